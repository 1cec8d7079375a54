//lint:file-ignore SA1019 what is deprecated has to work too

package peers

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"
)

// goSDK is go-sdk's client on one connection.
type goSDK struct {
	*sdk.ClientSession
	progress, logs, updates, changes chan string
	cut                              *atomic.Bool
}

func connectGoSDK(t *testing.T, command []string, url, revision string) map[feature]func(context.Context) error {
	t.Helper()
	g := &goSDK{progress: make(chan string, 64), logs: make(chan string, 64), updates: make(chan string, 64), changes: make(chan string, 64)}
	c := sdk.NewClient(&sdk.Implementation{Name: "go-sdk", Version: "1"}, &sdk.ClientOptions{
		Capabilities: &sdk.ClientCapabilities{
			RootsV2:     &sdk.RootCapabilities{},
			Elicitation: &sdk.ElicitationCapabilities{Form: &sdk.FormElicitationCapabilities{}, URL: &sdk.URLElicitationCapabilities{}},
		},
		ElicitationHandler: func(_ context.Context, req *sdk.ElicitRequest) (*sdk.ElicitResult, error) {
			if req.Params.Mode == "url" {
				return &sdk.ElicitResult{Action: "accept"}, want(req.Params.URL, "https://example.com/sign-in")
			}
			return &sdk.ElicitResult{Action: "accept", Content: map[string]any{"name": "Ada"}}, nil
		},
		CreateMessageHandler: func(context.Context, *sdk.CreateMessageRequest) (*sdk.CreateMessageResult, error) {
			return &sdk.CreateMessageResult{Role: "assistant", Model: "none", Content: &sdk.TextContent{Text: "word"}}, nil
		},
		ProgressNotificationHandler: func(_ context.Context, req *sdk.ProgressNotificationClientRequest) {
			g.progress <- fmt.Sprint(req.Params.Progress)
		},
		LoggingMessageHandler: func(_ context.Context, req *sdk.LoggingMessageRequest) {
			g.logs <- fmt.Sprint(req.Params.Level, " ", req.Params.Logger, " ", req.Params.Data)
		},
		ResourceUpdatedHandler: func(_ context.Context, req *sdk.ResourceUpdatedNotificationRequest) { g.updates <- req.Params.URI },
		ToolListChangedHandler: func(context.Context, *sdk.ToolListChangedRequest) { g.changes <- "tools" },
	})
	c.AddRoots(&sdk.Root{URI: "file:///world"})
	var tr sdk.Transport
	switch {
	case url == "":
		tr = &sdk.CommandTransport{Command: exec.Command(command[0], command[1:]...)}
	case strings.Contains(url, "/sse"):
		tr = &sdk.SSEClientTransport{Endpoint: url}
	default:
		g.cut = new(atomic.Bool)
		tr = &sdk.StreamableClientTransport{Endpoint: url, HTTPClient: &http.Client{Transport: &interferer{base: http.DefaultTransport, version: "", cut: g.cut}}}
	}
	s, err := c.Connect(t.Context(), tr, &sdk.ClientSessionOptions{ProtocolVersion: revision})
	if err != nil {
		t.Fatalf("connect in %s: %v", revision, err)
	}
	t.Cleanup(func() { _ = s.Close() })
	g.ClientSession = s
	if got := s.InitializeResult().ProtocolVersion; got != revision {
		t.Fatalf("go-sdk speaks %s, want %s", got, revision)
	}
	all := map[feature]func(context.Context) error{
		discover:     g.discover,
		pagination:   g.pagination,
		content:      func(ctx context.Context) error { return g.shows(ctx, "content", "text, image/png true, a note") },
		audio:        func(ctx context.Context) error { return g.shows(ctx, "audio", "audio/wav true") },
		links:        func(ctx context.Context) error { return g.shows(ctx, "link", "test://note") },
		structured:   g.structured,
		failures:     g.failures,
		progress:     g.countSteps,
		logging:      func(ctx context.Context) error { return g.log(ctx, revision) },
		cancellation: g.cancel,
		resources:    g.resources,
		templates:    g.templates,
		subscribe: func(ctx context.Context) error {
			if err := g.Subscribe(ctx, &sdk.SubscribeParams{URI: "test://note"}); err != nil {
				return err
			}
			return g.told(ctx, "touch", g.updates, "test://note")
		},
		listChanged: func(ctx context.Context) error { return g.told(ctx, "grow", g.changes, "tools") },
		prompts:     g.prompts,
		completion:  g.complete,
		ping:        func(ctx context.Context) error { return g.Ping(ctx, nil) },
		form:        func(ctx context.Context) error { return g.says(ctx, "form", "Hello Ada") },
		page:        func(ctx context.Context) error { return g.says(ctx, "page", "accept") },
		sampling:    func(ctx context.Context) error { return g.says(ctx, "sample", "word") },
		roots:       func(ctx context.Context) error { return g.says(ctx, "roots", "file:///world") },
	}
	if g.cut != nil {
		all[resumption] = func(ctx context.Context) error {
			g.cut.Store(true)
			params := &sdk.CallToolParams{Name: "count"}
			params.SetProgressToken("resumed")
			res, err := g.CallTool(ctx, params)
			if g.cut.Load() {
				return errors.New("no stream was there to break")
			}
			if err != nil {
				return err
			}
			return want(textOfSDK(res.Content), "counted")
		}
	}
	return all
}

func textOfSDK(blocks []sdk.Content) string {
	var texts []string
	for _, block := range blocks {
		if t, ok := block.(*sdk.TextContent); ok {
			texts = append(texts, t.Text)
		}
	}
	return strings.Join(texts, "\n")
}

func (g *goSDK) call(ctx context.Context, name string) (*sdk.CallToolResult, error) {
	return g.CallTool(ctx, &sdk.CallToolParams{Name: name})
}

func (g *goSDK) says(ctx context.Context, tool, answer string) error {
	res, err := g.call(ctx, tool)
	if err != nil {
		return err
	}
	return want(textOfSDK(res.Content), answer)
}

// told calls a tool and waits for what it brings about.
func (g *goSDK) told(ctx context.Context, tool string, news chan string, expected string) error {
	if _, err := g.call(ctx, tool); err != nil {
		return err
	}
	select {
	case got := <-news:
		return want(got, expected)
	case <-ctx.Done():
		return errors.New("no notification came")
	}
}

func (g *goSDK) discover(context.Context) error {
	r := g.InitializeResult()
	if r.Capabilities.Tools == nil || r.ServerInfo == nil || r.ServerInfo.Name != "fairlead" {
		return fmt.Errorf("discovered %+v", r)
	}
	return want(r.Instructions, "Look around.")
}

func (g *goSDK) pagination(ctx context.Context) error {
	first, err := g.ListTools(ctx, nil)
	if err != nil {
		return err
	}
	names := map[string]bool{}
	for tool, err := range g.Tools(ctx, nil) {
		if err != nil {
			return err
		}
		names[tool.Name] = true
	}
	if len(first.Tools) != pageSize && len(first.Tools) != len(names) || len(names) < 12 { // a node has pages of its own
		return fmt.Errorf("%d tools on the first page, %d in all", len(first.Tools), len(names))
	}
	return nil
}

func (g *goSDK) shows(ctx context.Context, tool, content string) error {
	res, err := g.call(ctx, tool)
	if err != nil {
		return err
	}
	var got []string
	for _, block := range res.Content {
		switch b := block.(type) {
		case *sdk.TextContent:
			got = append(got, b.Text)
		case *sdk.ImageContent:
			got = append(got, fmt.Sprint(b.MIMEType, " ", bytes.Equal(b.Data, bytesOf)))
		case *sdk.AudioContent:
			got = append(got, fmt.Sprint(b.MIMEType, " ", bytes.Equal(b.Data, bytesOf)))
		case *sdk.ResourceLink:
			got = append(got, b.URI)
		case *sdk.EmbeddedResource:
			got = append(got, b.Resource.Text)
		}
	}
	return want(strings.Join(got, ", "), content)
}

func (g *goSDK) structured(ctx context.Context) error {
	res, err := g.call(ctx, "structured")
	if err != nil {
		return err
	}
	return want(fmt.Sprint(res.StructuredContent), "map[n:1]")
}

func (g *goSDK) failures(ctx context.Context) error {
	res, err := g.call(ctx, "fail")
	if err != nil || !res.IsError || textOfSDK(res.Content) != "it failed" {
		return fmt.Errorf("a tool that fails: %+v, %v", res, err)
	}
	if res, err := g.call(ctx, "nothing"); err == nil {
		return fmt.Errorf("an unknown tool: %+v", res)
	}
	return nil
}

func (g *goSDK) countSteps(ctx context.Context) error {
	params := &sdk.CallToolParams{Name: "count"}
	params.SetProgressToken("steps")
	if _, err := g.CallTool(ctx, params); err != nil {
		return err
	}
	return collect(ctx, g.progress, "1", "2", "3")
}

// collect waits for texts, in this order.
func collect(ctx context.Context, from chan string, texts ...string) error {
	for _, text := range texts {
		select {
		case got := <-from:
			if got != text {
				return fmt.Errorf("got %q, want %q", got, text)
			}
		case <-ctx.Done():
			return fmt.Errorf("%q did not come", text)
		}
	}
	return nil
}

func (g *goSDK) log(ctx context.Context, revision string) error {
	params := &sdk.CallToolParams{Name: "log"}
	if revision >= "2026-07-28" {
		params.Meta = sdk.Meta{"io.modelcontextprotocol/logLevel": "warning"}
	} else if err := g.SetLoggingLevel(ctx, &sdk.SetLoggingLevelParams{Level: "warning"}); err != nil {
		return err
	}
	if _, err := g.CallTool(ctx, params); err != nil {
		return err
	}
	return collect(ctx, g.logs, "warning world careful")
}

func (g *goSDK) cancel(ctx context.Context) error {
	count := func() (string, error) {
		res, err := g.call(ctx, "ended")
		if err != nil {
			return "", err
		}
		_, ended, _ := strings.Cut(textOfSDK(res.Content), " ")
		return ended, nil
	}
	before, err := count()
	if err != nil {
		return err
	}
	for len(g.progress) > 0 {
		<-g.progress
	}
	calling, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() { // until the call is under way
		select {
		case <-g.progress:
			cancel()
		case <-calling.Done():
		}
	}()
	params := &sdk.CallToolParams{Name: "hang"}
	params.SetProgressToken("hanging")
	if _, err := g.CallTool(calling, params); err == nil || ctx.Err() != nil {
		return fmt.Errorf("hang: %w", err)
	}
	return eventually(ctx, "the server notices", func() (bool, error) {
		after, err := count()
		return after != before, err
	})
}

func (g *goSDK) resources(ctx context.Context) error {
	list, err := g.ListResources(ctx, nil)
	if err != nil || len(list.Resources) != 2 {
		return fmt.Errorf("resources %+v, %v", list, err)
	}
	note, err := g.ReadResource(ctx, &sdk.ReadResourceParams{URI: "test://note"})
	if err != nil || len(note.Contents) != 1 || note.Contents[0].Text != "a note" {
		return fmt.Errorf("note %+v, %v", note, err)
	}
	blob, err := g.ReadResource(ctx, &sdk.ReadResourceParams{URI: "test://blob"})
	if err != nil || len(blob.Contents) != 1 || !bytes.Equal(blob.Contents[0].Blob, bytesOf) {
		return fmt.Errorf("blob %+v, %v", blob, err)
	}
	if none, err := g.ReadResource(ctx, &sdk.ReadResourceParams{URI: "test://none"}); err == nil {
		return fmt.Errorf("a resource that does not exist: %+v", none)
	}
	return nil
}

func (g *goSDK) templates(ctx context.Context) error {
	list, err := g.ListResourceTemplates(ctx, nil)
	if err != nil || len(list.ResourceTemplates) != 1 {
		return fmt.Errorf("templates %+v, %v", list, err)
	}
	item, err := g.ReadResource(ctx, &sdk.ReadResourceParams{URI: "test://item/7"})
	if err != nil || len(item.Contents) != 1 {
		return fmt.Errorf("item %+v, %v", item, err)
	}
	return want(item.Contents[0].Text, "item 7")
}

func (g *goSDK) prompts(ctx context.Context) error {
	list, err := g.ListPrompts(ctx, nil)
	if err != nil || len(list.Prompts) != 1 || len(list.Prompts[0].Arguments) != 1 || !list.Prompts[0].Arguments[0].Required {
		return fmt.Errorf("prompts %+v, %v", list, err)
	}
	p, err := g.GetPrompt(ctx, &sdk.GetPromptParams{Name: "greet", Arguments: map[string]string{"who": "Ada"}})
	if err != nil || len(p.Messages) != 1 {
		return fmt.Errorf("prompt %+v, %v", p, err)
	}
	return want(textOfSDK([]sdk.Content{p.Messages[0].Content}), "Hello Ada")
}

func (g *goSDK) complete(ctx context.Context) error {
	r, err := g.Complete(ctx, &sdk.CompleteParams{
		Ref: &sdk.CompleteReference{Type: "ref/prompt", Name: "greet"}, Argument: sdk.CompleteParamsArgument{Name: "who", Value: "a"},
	})
	if err != nil {
		return err
	}
	return want(fmt.Sprint(r.Completion.Values), "[ada alan]")
}
