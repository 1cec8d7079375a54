package gateway

import (
	"context"
	"slices"
	"strings"

	"github.com/fairlead-mcp/fairlead/internal/upstream"
	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/mcp/jsonrpc"
)

// resolve finds out which upstream a call is for.
func resolve(ctx context.Context, c *call) (rule string, err error) {
	byCall := ""
	if c.scope.search && c.req.Method == mcp.MethodCallTool {
		switch c.req.Name {
		case findTools:
			return find(ctx, c)
		case callTool:
			if err := c.unwrap(); err != nil {
				return "by " + callTool, err
			}
			byCall = "by " + callTool + " " + clip(c.req.Name) + ", "
		}
	}
	out := *c.req
	out.Header = nil // said to this node; towards an upstream its transport computes them afresh
	c.out = &out
	switch c.req.Method {
	case mcp.MethodCallTool:
		c.unknown = func() error { return mcp.ErrInvalidParams("Unknown tool: %s", clip(c.req.Name)) }
		rule, err = c.resolveName(ctx, upstream.Tools, c.req.Name)
		rule = byCall + rule
		c.name = c.writeName
	case mcp.MethodGetPrompt:
		c.unknown = func() error { return mcp.ErrInvalidParams("Unknown prompt: %s", clip(c.req.Name)) }
		rule, err = c.resolveName(ctx, upstream.Prompts, c.req.Name)
		c.name = c.writeName
	case mcp.MethodReadResource:
		c.unknown = func() error {
			e := mcp.ErrInvalidParams("Resource not found")
			e.Data = jsonrpc.Splice(nil, nil, jsonrpc.Member{Key: "uri", Value: jsonrpc.AppendString(nil, c.req.Name)})
			return e
		}
		if strings.HasPrefix(c.req.Name, restScheme) {
			return readRest(ctx, c)
		}
		c.name = c.writeURI
		rule, err = c.resolveURI(ctx, c.req.Name)
	case mcp.MethodComplete:
		rule, err = c.resolveRef(ctx)
	case mcp.MethodGetTask, mcp.MethodUpdateTask, mcp.MethodCancelTask:
		rule, err = c.resolveTask()
	default: // of an extension, which the only upstream of this scope answers
		c.unknown = func() error { return mcp.ErrMethodNotFound(c.req.Method) }
		c.name = func(*target) {}
		c.target = &target{upstream: c.scope.upstreams[0], allowed: true, rule: "no rules for skills"}
		rule = "only upstream"
	}
	if err != nil {
		return rule, err
	}
	return rule, c.openState()
}

// resolveName finds a tool or prompt. A call may be for an upstream that was never
// listed: then the call waits for it, as calls do.
func (c *call) resolveName(ctx context.Context, kind upstream.Kind, name string) (rule string, err error) {
	s := c.scope
	if c.target = s.current().targets[kind][name]; c.target != nil {
		return "listed", nil
	}
	for _, u := range s.upstreams {
		own, ok := s.own(u, kind, name)
		if !ok || u.Catalogue() != nil {
			continue
		}
		// A name of the greatest length may be a cut one; then the view decides after waiting.
		if kind == upstream.Tools && len(name) < maxName {
			if rule, ok := u.Allows(own); !ok {
				return rule, c.unknown()
			}
		}
		if err := u.WaitReady(ctx); err != nil {
			return "upstream was never listed", err
		}
		if c.target = s.current().targets[kind][name]; c.target != nil {
			return "listed after waiting", nil
		}
	}
	return "not listed", c.unknown()
}

// own returns what u would call something that the scope has under name.
func (s *scope) own(u *upstream.Upstream, kind upstream.Kind, name string) (own string, ok bool) {
	switch {
	case s.virtual != nil:
		return s.virtual.own(u, kind, name)
	case s.prefixed:
		return strings.CutPrefix(name, u.Name()+separator)
	}
	return name, true
}

// resolveURI finds who has a resource. Not every resource is listed: a tool may
// have answered with a link to one. Such a URI is asked for in config order.
func (c *call) resolveURI(ctx context.Context, uri string) (rule string, err error) {
	s := c.scope
	if s.alone() {
		c.target = resourceOf(s.upstreams[0], uri)
		return "only upstream", nil
	}
	owner := s.owner(uri)
	if owner == nil && len(s.missing()) > 0 {
		s.await(ctx)
		owner = s.owner(uri)
	}
	if owner != nil {
		c.target = owner
		return "listed or matched by a template", nil
	}
	if c.try = s.askable(uri); len(c.try) == 0 {
		return "nobody to ask for it", c.unknown()
	}
	return "not listed, asked in config order", nil
}

// resolveRef finds who completes an argument: the owner of the prompt or template.
func (c *call) resolveRef(ctx context.Context) (rule string, err error) {
	ref := jsonrpc.Get(c.req.Params, "ref")
	kind, _ := jsonrpc.Unquote(jsonrpc.Get(ref, "type"))
	switch kind {
	case "ref/prompt":
		name, ok := jsonrpc.Unquote(jsonrpc.Get(ref, "name"))
		if !ok {
			return "no name", mcp.ErrInvalidParams("ref.name is missing or not a string")
		}
		c.unknown = func() error { return mcp.ErrInvalidParams("Unknown prompt: %s", clip(name)) }
		c.name = func(t *target) {
			ref := jsonrpc.Splice(nil, ref, jsonrpc.Member{Key: "name", Value: jsonrpc.AppendString(nil, t.name)})
			c.out.Params = jsonrpc.Splice(nil, c.out.Params, jsonrpc.Member{Key: "ref", Value: ref})
		}
		return c.resolveName(ctx, upstream.Prompts, name)
	case "ref/resource":
		uri, ok := jsonrpc.Unquote(jsonrpc.Get(ref, "uri"))
		if !ok {
			return "no uri", mcp.ErrInvalidParams("ref.uri is missing or not a string")
		}
		c.unknown = func() error { return mcp.ErrInvalidParams("Unknown resource template: %s", clip(uri)) }
		c.name = func(t *target) {
			if t.name != uri {
				ref := jsonrpc.Splice(nil, ref, jsonrpc.Member{Key: "uri", Value: jsonrpc.AppendString(nil, t.name)})
				c.out.Params = jsonrpc.Splice(nil, c.out.Params, jsonrpc.Member{Key: "ref", Value: ref})
			}
		}
		if t := c.scope.current().targets[upstream.Templates][uri]; t != nil {
			c.target = t
			return "listed template", nil
		}
		return c.resolveURI(ctx, uri)
	}
	return "no such type", mcp.ErrInvalidParams("ref.type must be ref/prompt or ref/resource")
}

// writeName puts the upstream's own name into the request.
func (c *call) writeName(t *target) {
	if c.out.Name = t.name; t.name != c.req.Name {
		c.out.Params = jsonrpc.Splice(nil, c.out.Params, jsonrpc.Member{Key: "name", Value: jsonrpc.AppendString(nil, t.name)})
	}
	if t.args != nil {
		c.out.Arguments = t.args.put(c.req.Arguments)
		c.out.Params = jsonrpc.Splice(nil, c.out.Params, jsonrpc.Member{Key: "arguments", Value: c.out.Arguments})
	}
}

// writeURI puts the upstream's own URI into the request.
func (c *call) writeURI(t *target) {
	if c.out.Name = t.name; t.name != c.req.Name {
		c.out.Params = jsonrpc.Splice(nil, c.out.Params, jsonrpc.Member{Key: "uri", Value: jsonrpc.AppendString(nil, t.name)})
	}
}

// openState opens the envelope that the retry of a call carries. The state goes
// back to the upstream that it came from and to no other.
func (c *call) openState() error {
	raw := jsonrpc.Get(c.req.Params, "requestState")
	if raw == nil {
		return nil
	}
	sealed, ok := jsonrpc.Unquote(raw)
	if !ok {
		return mcp.ErrInvalidParams("requestState must be a string")
	}
	from, state, err := c.scope.g.openState(c.req, sealed)
	if err != nil {
		return mcp.ErrInvalidParams("%v", err)
	}
	if c.target == nil {
		i := slices.IndexFunc(c.try, func(t *target) bool { return t.upstream.Name() == from })
		if i < 0 {
			return mcp.ErrInvalidParams("%v", errState)
		}
		c.target, c.try = c.try[i], nil
	}
	if c.target.upstream.Name() != from {
		return mcp.ErrInvalidParams("%v", errState)
	}
	c.out.Params = jsonrpc.Splice(nil, c.out.Params, jsonrpc.Member{Key: "requestState", Value: jsonrpc.AppendString(nil, state)})
	return nil
}

// clip shortens what a caller sent before it is sent back.
func clip(s string) string {
	const most = 128
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "..."
}
