package mcp

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/fairlead-mcp/fairlead/mcp/jsonrpc"
	"github.com/go-json-experiment/json"
)

// Discover asks what the server is and has (MCP 2026-07-28, server/discover).
func (c *Client) Discover(ctx context.Context) (*DiscoverResult, error) {
	out := new(DiscoverResult)
	if err := c.call(ctx, MethodDiscover, struct{}{}, out, nil); err != nil {
		return nil, err
	}
	return out, nil
}

// pageParams are the params of a list (MCP 2026-07-28, server/utilities/pagination).
type pageParams struct {
	Cursor *string `json:"cursor,omitzero"`
}

// ListTools returns all tools, page by page.
func (c *Client) ListTools(ctx context.Context) ([]Tool, error) {
	return all(c, ctx, MethodListTools, func(cursor *string) ([]Tool, *string, error) {
		page, err := c.ListToolsPage(ctx, cursor)
		if err != nil {
			return nil, nil, err
		}
		return page.Tools, page.NextCursor, nil
	})
}

// ListToolsPage returns one page of tools. A nil cursor asks for the first.
func (c *Client) ListToolsPage(ctx context.Context, cursor *string) (*ListToolsResult, error) {
	out := new(ListToolsResult)
	if err := c.call(ctx, MethodListTools, pageParams{cursor}, out, nil); err != nil {
		return nil, err
	}
	return out, nil
}

// ListResources returns all resources, page by page.
func (c *Client) ListResources(ctx context.Context) ([]Resource, error) {
	return all(c, ctx, MethodListResources, func(cursor *string) ([]Resource, *string, error) {
		page, err := c.ListResourcesPage(ctx, cursor)
		if err != nil {
			return nil, nil, err
		}
		return page.Resources, page.NextCursor, nil
	})
}

// ListResourcesPage returns one page of resources. A nil cursor asks for the first.
func (c *Client) ListResourcesPage(ctx context.Context, cursor *string) (*ListResourcesResult, error) {
	out := new(ListResourcesResult)
	if err := c.call(ctx, MethodListResources, pageParams{cursor}, out, nil); err != nil {
		return nil, err
	}
	return out, nil
}

// ListResourceTemplates returns all resource templates, page by page.
func (c *Client) ListResourceTemplates(ctx context.Context) ([]ResourceTemplate, error) {
	return all(c, ctx, MethodListTemplates, func(cursor *string) ([]ResourceTemplate, *string, error) {
		page, err := c.ListResourceTemplatesPage(ctx, cursor)
		if err != nil {
			return nil, nil, err
		}
		return page.ResourceTemplates, page.NextCursor, nil
	})
}

// ListResourceTemplatesPage returns one page of resource templates. A nil cursor asks for the first.
func (c *Client) ListResourceTemplatesPage(ctx context.Context, cursor *string) (*ListResourceTemplatesResult, error) {
	out := new(ListResourceTemplatesResult)
	if err := c.call(ctx, MethodListTemplates, pageParams{cursor}, out, nil); err != nil {
		return nil, err
	}
	return out, nil
}

// ListPrompts returns all prompts, page by page.
func (c *Client) ListPrompts(ctx context.Context) ([]Prompt, error) {
	return all(c, ctx, MethodListPrompts, func(cursor *string) ([]Prompt, *string, error) {
		page, err := c.ListPromptsPage(ctx, cursor)
		if err != nil {
			return nil, nil, err
		}
		return page.Prompts, page.NextCursor, nil
	})
}

// ListPromptsPage returns one page of prompts. A nil cursor asks for the first.
func (c *Client) ListPromptsPage(ctx context.Context, cursor *string) (*ListPromptsResult, error) {
	out := new(ListPromptsResult)
	if err := c.call(ctx, MethodListPrompts, pageParams{cursor}, out, nil); err != nil {
		return nil, err
	}
	return out, nil
}

// all collects the pages of a list. Who pages in circles or without end is cut off.
func all[T any](c *Client, ctx context.Context, method string, page func(cursor *string) ([]T, *string, error)) ([]T, error) {
	var items []T
	var cursor *string
	for range c.opts.MaxPages {
		more, next, err := page(cursor)
		if err != nil {
			return nil, err
		}
		items = append(items, more...)
		if next == nil {
			return items, nil
		}
		if cursor != nil && *next == *cursor {
			return nil, fmt.Errorf("%s: the server gave the same cursor twice", method)
		}
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("%s: %w", method, err)
		}
		cursor = next
	}
	return nil, fmt.Errorf("%s: more than %d pages", method, c.opts.MaxPages)
}

// CallTool calls a tool (MCP 2026-07-28, server/tools, Calling Tools). args is
// encoded to a JSON object ([Raw] as it is); nil means no arguments. A tool that fails has a result
// with IsError; an error means that there is no result.
func (c *Client) CallTool(ctx context.Context, name string, args any, opts *CallOptions) (*ToolResult, error) {
	if _, ok := c.caps.Extensions[ExtensionTasks]; ok { // the server may answer with a task
		t, err := c.StartTool(ctx, name, args, opts)
		if err != nil {
			return nil, err
		}
		return t.Wait(ctx)
	}
	params, err := callParams(name, args)
	if err != nil {
		return nil, err
	}
	out := new(ToolResult)
	if err := c.call(ctx, MethodCallTool, params, out, opts); err != nil {
		return nil, fmt.Errorf("tool %q: %w", name, err)
	}
	return out, nil
}

// callParams makes the params of tools/call.
func callParams(name string, args any) (Raw, error) {
	params := struct {
		Name      string `json:"name"`
		Arguments Raw    `json:"arguments,omitzero"`
	}{Name: name}
	if args != nil {
		raw, err := json.Marshal(args)
		if err != nil {
			return nil, fmt.Errorf("tool %q: encode arguments: %w", name, err)
		}
		if !isObject(raw) {
			return nil, fmt.Errorf("tool %q: arguments are not a JSON object", name)
		}
		params.Arguments = raw
	}
	raw, err := json.Marshal(&params)
	if err != nil {
		return nil, fmt.Errorf("tool %q: encode params: %w", name, err)
	}
	return raw, nil
}

// ToolError is the error of [CallToolAs] for a tool that failed.
type ToolError struct {
	Name   string
	Result *ToolResult
}

func (e *ToolError) Error() string { return fmt.Sprintf("tool %q failed: %s", e.Name, e.Result.Text()) }

// CallToolAs calls a tool and decodes its structured content. A tool that fails is a *[ToolError].
func CallToolAs[Out any](ctx context.Context, c *Client, name string, args any, opts *CallOptions) (Out, error) {
	res, err := c.CallTool(ctx, name, args, opts)
	return toolOutput[Out](name, res, err)
}

// ReadResource reads a resource (MCP 2026-07-28, server/resources, Reading Resources).
func (c *Client) ReadResource(ctx context.Context, uri string, opts *CallOptions) (*ReadResourceResult, error) {
	params := struct {
		URI string `json:"uri"`
	}{uri}
	out := new(ReadResourceResult)
	if err := c.call(ctx, MethodReadResource, params, out, opts); err != nil {
		return nil, fmt.Errorf("resource %q: %w", uri, err)
	}
	return out, nil
}

// GetPrompt gets a prompt with arguments filled in (MCP 2026-07-28, server/prompts, Getting a Prompt).
func (c *Client) GetPrompt(ctx context.Context, name string, args map[string]string, opts *CallOptions) (*PromptResult, error) {
	params := struct {
		Name      string            `json:"name"`
		Arguments map[string]string `json:"arguments,omitzero"`
	}{name, args}
	out := new(PromptResult)
	if err := c.call(ctx, MethodGetPrompt, params, out, opts); err != nil {
		return nil, fmt.Errorf("prompt %q: %w", name, err)
	}
	return out, nil
}

// CompleteParams says what is to be completed: an argument of either a prompt or a
// resource template (MCP 2026-07-28, server/utilities/completion).
type CompleteParams struct {
	Prompt   string            // name of a prompt, or
	Template string            // URI template of a resource template
	Argument string            // name of the argument
	Value    string            // what has been typed so far
	Context  map[string]string // arguments that have values already
}

// Complete asks for completions of an argument.
func (c *Client) Complete(ctx context.Context, p CompleteParams) (*Completion, error) {
	type ref struct {
		Type string `json:"type"`
		Name string `json:"name,omitempty"`
		URI  string `json:"uri,omitempty"`
	}
	type argument struct {
		Name  string `json:"name"`
		Value string `json:"value"`
	}
	type known struct {
		Arguments map[string]string `json:"arguments"`
	}
	params := struct {
		Ref      ref      `json:"ref"`
		Argument argument `json:"argument"`
		Context  *known   `json:"context,omitzero"`
	}{Ref: ref{Type: "ref/prompt", Name: p.Prompt}, Argument: argument{p.Argument, p.Value}}
	switch {
	case (p.Prompt == "") == (p.Template == ""):
		return nil, errors.New("complete: name either a prompt or a template")
	case p.Template != "":
		params.Ref = ref{Type: "ref/resource", URI: p.Template}
	}
	if len(p.Context) > 0 {
		params.Context = &known{p.Context}
	}
	out := new(CompleteResult)
	if err := c.call(ctx, MethodComplete, params, out, nil); err != nil {
		return nil, err
	}
	return &out.Completion, nil
}

// callSink gives a call's notifications to its functions.
type callSink struct {
	opts  *CallOptions
	limit *limit
	token string // the request's progress token, raw; empty if it has none

	mu     sync.Mutex
	closed bool
	last   *float64 // progress so far
}

func (s *callSink) Notify(n *Notification) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return ErrSinkClosed
	}
	// A notification that cannot be read costs only itself, never the call.
	switch n.Method {
	case NotificationProgress:
		if s.token == "" || string(jsonrpc.Get(n.Params, "progressToken")) != s.token {
			return nil
		}
		var p Progress
		if err := json.Unmarshal(n.Params, &p); err != nil {
			return nil
		}
		if s.last == nil || p.Progress > *s.last { // less or the same is no progress
			s.last = &p.Progress
			s.limit.extend()
		}
		if s.opts.Progress != nil {
			s.opts.Progress(p)
		}
	case NotificationMessage:
		if s.opts.Log == nil {
			return nil
		}
		var m LogMessage
		if err := json.Unmarshal(n.Params, &m); err == nil {
			s.opts.Log(m)
		}
	}
	return nil
}

func (s *callSink) End(Result, error) {}

func (s *callSink) close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
}
