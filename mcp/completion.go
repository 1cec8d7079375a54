package mcp

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/fairlead-mcp/fairlead/mcp/jsonrpc"
)

// Completion is a list of suggestions, best first (MCP 2026-07-28, server/utilities/completion).
type Completion struct {
	Values  []string `json:"values"`
	Total   *int     `json:"total,omitzero"`
	HasMore bool     `json:"hasMore"`
}

// CompleteResult is the result of completion/complete.
type CompleteResult struct {
	Completion Completion `json:"completion"`
	Meta       Raw        `json:"_meta,omitzero"`
}

// maxCompletions is how many values one result may have.
const maxCompletions = 100

// CompleteFunc suggests values for an argument of which value has been typed,
// best first. resolved holds the arguments that are already known.
type CompleteFunc func(ctx context.Context, call *Call, value string, resolved map[string]string) ([]string, error)

// completers are the registered completions. The zero value is ready.
type completers struct {
	mu sync.RWMutex
	fn map[completerKey]CompleteFunc
}

type completerKey struct {
	ref  string // type of the reference
	name string // prompt name or URI template
	arg  string
}

// The types of a reference.
const (
	refPrompt   = "ref/prompt"
	refResource = "ref/resource"
)

// CompletePrompt has fn complete an argument of a registered prompt.
func (s *Server) CompletePrompt(name, arg string, fn CompleteFunc) error {
	p, ok := s.prompts.get(name)
	if !ok || !slices.ContainsFunc(p.Arguments, func(a PromptArgument) bool { return a.Name == arg }) {
		return fmt.Errorf("complete: there is no argument %q of a prompt %q", arg, name)
	}
	return s.completers.put(completerKey{refPrompt, name, arg}, fn)
}

// CompleteTemplate has fn complete a variable of a registered resource template.
func (s *Server) CompleteTemplate(uriTemplate, variable string, fn CompleteFunc) error {
	t, ok := s.templates.get(uriTemplate)
	if !ok || !t.match.has(variable) {
		return fmt.Errorf("complete: there is no variable %q of a template %q", variable, uriTemplate)
	}
	return s.completers.put(completerKey{refResource, uriTemplate, variable}, fn)
}

func (c *completers) put(key completerKey, fn CompleteFunc) error {
	if fn == nil {
		return fmt.Errorf("complete %q of %q: no function", key.arg, key.name)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.fn == nil {
		c.fn = make(map[completerKey]CompleteFunc)
	}
	c.fn[key] = fn
	return nil
}

func (c *completers) get(key completerKey) CompleteFunc {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.fn[key]
}

func (c *completers) any() bool {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return len(c.fn) > 0
}

// complete answers completion/complete. What can be referred to but has no
// function has no suggestions; what cannot is an error.
func (s *Server) complete(ctx context.Context, req *Request, sink Sink) (Result, error) {
	key, value, resolved, err := completionParams(req.Params)
	if err != nil {
		return Result{}, err
	}
	switch key.ref {
	case refPrompt:
		if _, ok := s.prompts.get(key.name); !ok {
			return Result{}, errUnknownPrompt(key.name)
		}
	case refResource:
		_, isTemplate := s.templates.get(key.name)
		_, isResource := s.resources.get(key.name)
		if !isTemplate && !isResource {
			return Result{}, ErrInvalidParams("Unknown resource template: %s", clip(key.name))
		}
	default:
		return Result{}, ErrInvalidParams("params.ref.type is neither %s nor %s", refPrompt, refResource)
	}
	var values []string
	if fn := s.completers.get(key); fn != nil {
		call := s.newCall(req, sink)
		defer call.end()
		if values, err = fn(ctx, call, value, resolved); err != nil {
			return Result{}, err
		}
	}
	total := len(values)
	return s.encode(&CompleteResult{Completion: Completion{
		Values: values[:min(total, maxCompletions)], Total: &total, HasMore: total > maxCompletions,
	}}, nil)
}

// completionParams reads the params of completion/complete.
func completionParams(params []byte) (key completerKey, value string, resolved map[string]string, err error) {
	ref, argument := jsonrpc.Get(params, "ref"), jsonrpc.Get(params, "argument")
	if !isObject(ref) || !isObject(argument) {
		return key, "", nil, ErrInvalidParams("params.ref and params.argument are not both objects")
	}
	texts := map[string]string{}
	for _, member := range [...]struct {
		of   []byte
		name string
	}{{ref, "type"}, {argument, "name"}, {argument, "value"}} {
		text, ok := jsonrpc.Unquote(jsonrpc.Get(member.of, member.name))
		if !ok {
			return key, "", nil, ErrInvalidParams("Missing or invalid %s of the completion's reference or argument", member.name)
		}
		texts[member.name] = text
	}
	key.ref, key.arg = texts["type"], texts["name"]
	member := "name"
	if key.ref == refResource {
		member = "uri"
	}
	var ok bool
	if key.name, ok = jsonrpc.Unquote(jsonrpc.Get(ref, member)); !ok {
		return key, "", nil, ErrInvalidParams("Missing or invalid params.ref.%s", member)
	}
	context := jsonrpc.Get(params, "context")
	if context != nil && !isObject(context) {
		return key, "", nil, ErrInvalidParams("params.context is not an object")
	}
	if resolved, err = stringMap(jsonrpc.Get(context, "arguments")); err != nil {
		return key, "", nil, ErrInvalidParams("params.context.arguments: %v", err)
	}
	return key, texts["value"], resolved, nil
}
