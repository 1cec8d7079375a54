package peers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/fairlead-mcp/fairlead/mcp"
)

// theirs is a client of a peer on one connection. What its typed calls return comes
// as JSON.
type theirs struct {
	revision string
	// do makes a request with the peer's own call for it; initialize returns what
	// the peer knows of the server.
	do func(ctx context.Context, method string, params map[string]any) (json.RawMessage, error)
	// follow opens a subscription, or does what an old revision has instead.
	follow                           func(ctx context.Context, what mcp.NotificationFilter) error
	progress, logs, updates, changes chan string
	cut                              *atomic.Bool // the next stream breaks after its first event; nil on stdio
}

func newTheirs(revision string) *theirs {
	return &theirs{revision: revision, progress: make(chan string, 64), logs: make(chan string, 64), updates: make(chan string, 64), changes: make(chan string, 64)}
}

// ask makes a request and decodes its result.
func ask[T any](ctx context.Context, th *theirs, method string, params map[string]any) (*T, error) {
	raw, err := th.do(ctx, method, params)
	if err != nil {
		return nil, err
	}
	out := new(T)
	if err := json.Unmarshal(raw, out); err != nil {
		return nil, fmt.Errorf("%s: %s: %w", method, raw, err)
	}
	return out, nil
}

func (th *theirs) call(ctx context.Context, tool string) (*mcp.ToolResult, error) {
	return ask[mcp.ToolResult](ctx, th, "tools/call", map[string]any{"name": tool, "arguments": map[string]any{}})
}

func (th *theirs) says(tool, answer string) func(context.Context) error {
	return func(ctx context.Context) error {
		res, err := th.call(ctx, tool)
		if err != nil {
			return err
		}
		return want(res.Text(), answer)
	}
}

// features says what the client does with our server.
func (th *theirs) features() map[feature]func(context.Context) error {
	all := map[feature]func(context.Context) error{
		discover: func(ctx context.Context) error {
			found, err := ask[struct {
				Instructions string `json:"instructions"`
				Capabilities mcp.ServerCapabilities
			}](ctx, th, "initialize", nil)
			if err != nil {
				return err
			}
			if found.Capabilities.Tools == nil || found.Capabilities.Completions == nil && th.revision > "2024-11-05" {
				return fmt.Errorf("capabilities %+v", found.Capabilities)
			}
			return want(found.Instructions, "Look around.")
		},
		pagination:   th.pages,
		content:      th.shows("content", "text, image/png true, a note"),
		audio:        th.shows("audio", "audio/wav true"),
		links:        th.shows("link", "test://note"),
		structured:   th.structured,
		failures:     th.failures,
		progress:     th.steps,
		logging:      th.log,
		cancellation: th.cancel,
		resources:    th.resources,
		templates:    th.templates,
		subscribe: func(ctx context.Context) error {
			return th.told(ctx, mcp.NotificationFilter{ResourceSubscriptions: []string{"test://note"}}, "touch", th.updates, "test://note")
		},
		listChanged: func(ctx context.Context) error {
			return th.told(ctx, mcp.NotificationFilter{ToolsListChanged: true}, "grow", th.changes, "tools")
		},
		prompts:    th.prompts,
		completion: th.complete,
		ping: func(ctx context.Context) error {
			_, err := th.do(ctx, "ping", nil)
			return err
		},
		form:     th.says("form", "Hello Ada"),
		page:     th.says("page", "accept"),
		sampling: th.says("sample", "word"),
		roots:    th.says("roots", "file:///world"),
		tasks: func(ctx context.Context) error {
			res, err := ask[mcp.ToolResult](ctx, th, "tools/task", map[string]any{"name": "task"})
			if err != nil {
				return err
			}
			return want(res.Text(), "worked")
		},
	}
	if th.cut != nil {
		all[resumption] = func(ctx context.Context) error {
			th.cut.Store(true)
			res, err := ask[mcp.ToolResult](ctx, th, "tools/call", map[string]any{"name": "count", "progress": true})
			if th.cut.Load() {
				return errors.New("no stream was there to break")
			}
			if err != nil {
				return err
			}
			return want(res.Text(), "counted")
		}
	}
	return all
}

// told follows something, calls a tool and waits for what that brings about.
func (th *theirs) told(ctx context.Context, what mcp.NotificationFilter, tool string, news chan string, expected string) error {
	if err := th.follow(ctx, what); err != nil {
		return err
	}
	for { // not every client says when it has been acknowledged, so this may be too early
		if _, err := th.call(ctx, tool); err != nil {
			return err
		}
		select {
		case got := <-news:
			return want(got, expected)
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return errors.New("no notification came")
		}
	}
}

func (th *theirs) pages(ctx context.Context) error {
	first, err := ask[mcp.ListToolsResult](ctx, th, "tools/list", nil)
	if err != nil {
		return err
	}
	if len(first.Tools) > 12 && first.NextCursor == nil {
		return nil // the client pages by itself
	}
	if len(first.Tools) != pageSize || first.NextCursor == nil {
		return fmt.Errorf("the first page has %d tools, cursor %v", len(first.Tools), first.NextCursor)
	}
	names := map[string]bool{}
	for page := first; ; {
		for _, tool := range page.Tools {
			names[tool.Name] = true
		}
		if page.NextCursor == nil || *page.NextCursor == "" { // some write the end as an empty cursor when asked for JSON
			break
		}
		if page, err = ask[mcp.ListToolsResult](ctx, th, "tools/list", map[string]any{"cursor": *page.NextCursor}); err != nil {
			return err
		}
	}
	if len(names) < 12 {
		return fmt.Errorf("%d tools in all", len(names))
	}
	return nil
}

func (th *theirs) shows(tool, content string) func(context.Context) error {
	return func(ctx context.Context) error {
		res, err := th.call(ctx, tool)
		if err != nil {
			return err
		}
		return want(blocks(res.Content), content)
	}
}

func (th *theirs) structured(ctx context.Context) error {
	res, err := th.call(ctx, "structured")
	if err != nil {
		return err
	}
	return want(string(res.Structured), `{"n":1}`)
}

func (th *theirs) failures(ctx context.Context) error {
	res, err := th.call(ctx, "fail")
	if err != nil || !res.IsError || res.Text() != "it failed" {
		return fmt.Errorf("a tool that fails: %+v, %v", res, err)
	}
	if res, err := th.call(ctx, "nothing"); err == nil && !res.IsError {
		return fmt.Errorf("an unknown tool: %+v", res)
	}
	return nil
}

func (th *theirs) steps(ctx context.Context) error {
	if _, err := th.do(ctx, "tools/call", map[string]any{"name": "count", "progress": true}); err != nil {
		return err
	}
	return collect(ctx, th.progress, "1", "2", "3")
}

func (th *theirs) log(ctx context.Context) error {
	params := map[string]any{"name": "log"}
	if th.revision >= "2026-07-28" {
		params["logLevel"] = "warning"
	} else if _, err := th.do(ctx, "logging/setLevel", map[string]any{"level": "warning"}); err != nil {
		return err
	}
	if _, err := th.do(ctx, "tools/call", params); err != nil {
		return err
	}
	return collect(ctx, th.logs, "warning world careful")
}

func (th *theirs) cancel(ctx context.Context) error {
	count := func() (string, error) {
		res, err := th.call(ctx, "ended")
		if err != nil {
			return "", err
		}
		_, ended, _ := strings.Cut(res.Text(), " ")
		return ended, nil
	}
	before, err := count()
	if err != nil {
		return err
	}
	for len(th.progress) > 0 {
		<-th.progress
	}
	calling, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() { // until the call is under way
		select {
		case <-th.progress:
			cancel()
		case <-calling.Done():
		}
	}()
	if _, err := th.do(calling, "tools/call", map[string]any{"name": "hang", "progress": true}); err == nil || ctx.Err() != nil {
		return fmt.Errorf("hang: %w", err)
	}
	return eventually(ctx, "the server notices", func() (bool, error) {
		after, err := count()
		return after != before, err
	})
}

func (th *theirs) read(ctx context.Context, uri string) (mcp.ResourceContents, error) {
	res, err := ask[mcp.ReadResourceResult](ctx, th, "resources/read", map[string]any{"uri": uri})
	if err != nil || len(res.Contents) != 1 {
		return mcp.ResourceContents{}, fmt.Errorf("%s: %+v, %w", uri, res, err)
	}
	return res.Contents[0], nil
}

func (th *theirs) resources(ctx context.Context) error {
	list, err := ask[mcp.ListResourcesResult](ctx, th, "resources/list", nil)
	if err != nil || len(list.Resources) != 2 {
		return fmt.Errorf("resources %+v, %v", list, err)
	}
	note, err := th.read(ctx, "test://note")
	if err != nil || note.Text != "a note" {
		return fmt.Errorf("note %+v, %v", note, err)
	}
	blob, err := th.read(ctx, "test://blob")
	if err != nil || string(blob.Blob) != string(bytesOf) {
		return fmt.Errorf("blob %+v, %v", blob, err)
	}
	if none, err := th.read(ctx, "test://none"); err == nil {
		return fmt.Errorf("a resource that does not exist: %+v", none)
	}
	return nil
}

func (th *theirs) templates(ctx context.Context) error {
	list, err := ask[mcp.ListResourceTemplatesResult](ctx, th, "resources/templates/list", nil)
	if err != nil || len(list.ResourceTemplates) != 1 {
		return fmt.Errorf("templates %+v, %v", list, err)
	}
	item, err := th.read(ctx, "test://item/7")
	if err != nil {
		return err
	}
	return want(item.Text, "item 7")
}

func (th *theirs) prompts(ctx context.Context) error {
	list, err := ask[mcp.ListPromptsResult](ctx, th, "prompts/list", nil)
	if err != nil || len(list.Prompts) != 1 || len(list.Prompts[0].Arguments) != 1 || !list.Prompts[0].Arguments[0].Required {
		return fmt.Errorf("prompts %+v, %v", list, err)
	}
	p, err := ask[mcp.PromptResult](ctx, th, "prompts/get", map[string]any{"name": "greet", "arguments": map[string]any{"who": "Ada"}})
	if err != nil || len(p.Messages) != 1 {
		return fmt.Errorf("prompt %+v, %v", p, err)
	}
	return want(blocks([]mcp.Content{p.Messages[0].Content}), "Hello Ada")
}

func (th *theirs) complete(ctx context.Context) error {
	r, err := ask[mcp.CompleteResult](ctx, th, "completion/complete", map[string]any{
		"ref": map[string]any{"type": "ref/prompt", "name": "greet"}, "argument": map[string]any{"name": "who", "value": "a"},
	})
	if err != nil {
		return err
	}
	return want(strings.Join(r.Completion.Values, " "), "ada alan")
}
