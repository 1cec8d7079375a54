package mcp

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/fairlead-mcp/fairlead/mcp/jsonrpc"
	"github.com/go-json-experiment/json"
)

// Prompt describes a prompt (MCP 2026-07-28, server/prompts, Prompt).
type Prompt struct {
	Name        string           `json:"name"`
	Title       string           `json:"title,omitzero"`
	Description string           `json:"description,omitzero"`
	Arguments   []PromptArgument `json:"arguments,omitempty"`
	Icons       []Icon           `json:"icons,omitempty"`
	Meta        Raw              `json:"_meta,omitzero"`
}

// PromptArgument describes an argument of a prompt. Its value is a string.
type PromptArgument struct {
	Name        string `json:"name"`
	Title       string `json:"title,omitzero"`
	Description string `json:"description,omitzero"`
	Required    bool   `json:"required,omitzero"`
}

// PromptMessage is one message of a prompt (MCP 2026-07-28, server/prompts, PromptMessage).
type PromptMessage struct {
	Role    Role
	Content Content
}

// MarshalJSON encodes m.
func (m PromptMessage) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Role    Role    `json:"role"`
		Content Content `json:"content"`
	}{m.Role, m.Content}, lenient)
}

// UnmarshalJSON decodes m.
func (m *PromptMessage) UnmarshalJSON(b []byte) error {
	var w struct {
		Role    Role `json:"role"`
		Content Raw  `json:"content"`
	}
	if err := json.Unmarshal(b, &w); err != nil {
		return err
	}
	content, err := UnmarshalContent(w.Content)
	if err != nil {
		return err
	}
	*m = PromptMessage{Role: w.Role, Content: content}
	return nil
}

// PromptResult is the result of prompts/get.
type PromptResult struct {
	Description string          `json:"description,omitzero"`
	Messages    []PromptMessage `json:"messages"`
	Meta        Raw             `json:"_meta,omitzero"`
}

// ListPromptsResult is a page of prompts.
type ListPromptsResult struct {
	Prompts    []Prompt `json:"prompts"`
	NextCursor *string  `json:"nextCursor,omitzero"` // nil on the last page; empty is a cursor
	Meta       Raw      `json:"_meta,omitzero"`
}

// prompt is a registered prompt.
type prompt struct {
	Prompt
	get func(ctx context.Context, call *Call, args map[string]string) (*PromptResult, error)
}

// AddPrompt registers a prompt (MCP 2026-07-28, server/prompts). A prompt with the
// same name is replaced. fn is called when all required arguments are there.
func (s *Server) AddPrompt(p Prompt, fn func(ctx context.Context, call *Call, args map[string]string) (*PromptResult, error)) error {
	if fn == nil {
		return fmt.Errorf("prompt %q: no function", p.Name)
	}
	if p.Name == "" {
		return errors.New("prompt has no name")
	}
	seen := make(map[string]bool)
	for _, arg := range p.Arguments {
		if arg.Name == "" || seen[arg.Name] {
			return fmt.Errorf("prompt %q: argument names are empty or repeated", p.Name)
		}
		seen[arg.Name] = true
	}
	encoded, err := json.Marshal(&p)
	if err != nil {
		return fmt.Errorf("prompt %q: %w", p.Name, err)
	}
	p.Arguments = slices.Clone(p.Arguments)
	s.prompts.put(p.Name, &prompt{p, fn}, encoded)
	s.promptsChanged()
	return nil
}

// RemovePrompts takes prompts away. Names that are not there are ignored.
func (s *Server) RemovePrompts(names ...string) {
	if s.prompts.remove(names) {
		s.promptsChanged()
	}
}

// getPrompt answers prompts/get.
func (s *Server) getPrompt(ctx context.Context, req *Request, sink Sink) (Result, error) {
	p, ok := s.prompts.get(req.Name)
	if !ok {
		return Result{}, errUnknownPrompt(req.Name)
	}
	args, err := stringMap(req.Arguments)
	if err != nil {
		return Result{}, ErrInvalidParams("params.arguments: %v", err)
	}
	var missing []string
	for _, arg := range p.Arguments {
		if _, given := args[arg.Name]; arg.Required && !given {
			missing = append(missing, arg.Name)
		}
	}
	if missing != nil {
		return Result{}, ErrInvalidParams("Missing required arguments: %s", strings.Join(missing, ", "))
	}
	call := s.newCall(req, sink)
	defer call.end()
	r, err := p.get(ctx, call, args)
	var res Result
	switch {
	case err != nil:
	case r == nil:
		err = fmt.Errorf("prompt %q: no result", p.Name)
	default:
		res, err = s.encode(&PromptResult{Description: r.Description, Messages: r.Messages}, r.Meta)
	}
	return call.settle(ctx, "prompt", p.Name, res, err)
}

func errUnknownPrompt(name string) *Error {
	return ErrInvalidParams("Unknown prompt: %s", clip(name))
}

// stringMap decodes an object of strings, or nothing.
func stringMap(raw []byte) (map[string]string, error) {
	if raw != nil && !isObject(raw) {
		return nil, errors.New("not an object")
	}
	m := make(map[string]string)
	for key, value := range jsonrpc.Members(raw) {
		s, ok := jsonrpc.Unquote(value)
		if !ok {
			return nil, fmt.Errorf("%q is not a string", clip(key))
		}
		m[key] = s
	}
	return m, nil
}
