//lint:file-ignore SA1019 what is deprecated has to work too

package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// schema is the form of the tool form.
var schema = map[string]any{
	"type": "object", "properties": map[string]any{"name": map[string]any{"type": "string"}}, "required": []string{"name"},
}

func goSDKServer() *mcp.Server {
	s := mcp.NewServer(&mcp.Implementation{Name: "gosdk", Version: "1"}, &mcp.ServerOptions{
		Instructions:       helpText,
		PageSize:           pageSize,
		SubscribeHandler:   func(context.Context, *mcp.SubscribeRequest) error { return nil },
		UnsubscribeHandler: func(context.Context, *mcp.UnsubscribeRequest) error { return nil },
		CompletionHandler: func(_ context.Context, req *mcp.CompleteRequest) (*mcp.CompleteResult, error) {
			v := req.Params.Argument.Value
			return &mcp.CompleteResult{Completion: mcp.CompletionResultDetails{Values: []string{v + "da", v + "lan"}, Total: 2}}, nil
		},
	})
	type none = struct{}
	result := func(blocks ...mcp.Content) *mcp.CallToolResult { return &mcp.CallToolResult{Content: blocks} }
	text := func(name string, fn func(ctx context.Context, req *mcp.CallToolRequest) (string, error)) {
		mcp.AddTool(s, &mcp.Tool{Name: name}, func(ctx context.Context, req *mcp.CallToolRequest, _ none) (*mcp.CallToolResult, any, error) {
			t, err := fn(ctx, req)
			return result(&mcp.TextContent{Text: t}), nil, err
		})
	}
	// asking asks in the way that this SDK brings to every revision.
	asking := func(name string, ask mcp.InputRequest, answered func(mcp.InputResponse) string) {
		mcp.AddTool(s, &mcp.Tool{Name: name}, func(_ context.Context, req *mcp.CallToolRequest, _ none) (*mcp.CallToolResult, any, error) {
			if r := req.Params.InputResponses["q"]; r != nil {
				return result(&mcp.TextContent{Text: answered(r)}), nil, nil
			}
			return &mcp.CallToolResult{InputRequests: mcp.InputRequestMap{"q": ask}}, nil, nil
		})
	}
	blocks := func(name string, content ...mcp.Content) {
		mcp.AddTool(s, &mcp.Tool{Name: name}, func(context.Context, *mcp.CallToolRequest, none) (*mcp.CallToolResult, any, error) {
			return result(content...), nil, nil
		})
	}
	blocks("content", &mcp.TextContent{Text: "text"}, &mcp.ImageContent{Data: bytesOf, MIMEType: "image/png"},
		&mcp.EmbeddedResource{Resource: &mcp.ResourceContents{URI: noteURI, Text: "a note"}})
	blocks("audio", &mcp.AudioContent{Data: bytesOf, MIMEType: "audio/wav"})
	blocks("link", &mcp.ResourceLink{URI: noteURI, Name: "note"})
	mcp.AddTool(s, &mcp.Tool{Name: "structured"}, func(context.Context, *mcp.CallToolRequest, none) (*mcp.CallToolResult, number, error) {
		return nil, number{1}, nil
	})
	text("fail", func(context.Context, *mcp.CallToolRequest) (string, error) { return "", errors.New("it failed") })
	progress := func(ctx context.Context, req *mcp.CallToolRequest, n, total float64) error {
		token := req.Params.GetProgressToken()
		if token == nil {
			return nil
		}
		return req.Session.NotifyProgress(ctx, &mcp.ProgressNotificationParams{ProgressToken: token, Progress: n, Total: total, Message: fmt.Sprint("step ", n)})
	}
	text("count", func(ctx context.Context, req *mcp.CallToolRequest) (string, error) {
		for i := range 3 {
			if err := progress(ctx, req, float64(i+1), 3); err != nil {
				return "", err
			}
		}
		return "counted", nil
	})
	text("log", func(ctx context.Context, req *mcp.CallToolRequest) (string, error) {
		return "logged", errors.Join(
			req.Session.Log(ctx, &mcp.LoggingMessageParams{Level: "debug", Logger: "world", Data: "detail"}),
			req.Session.Log(ctx, &mcp.LoggingMessageParams{Level: "warning", Logger: "world", Data: "careful"}))
	})
	text("hang", func(ctx context.Context, req *mcp.CallToolRequest) (string, error) {
		if err := progress(ctx, req, 1, 0); err != nil {
			return "", err
		}
		begun.Add(1)
		<-ctx.Done()
		ended.Add(1)
		return "", ctx.Err()
	})
	text("ended", func(context.Context, *mcp.CallToolRequest) (string, error) { return hung(), nil })
	elicited := func(r mcp.InputResponse) string {
		if r := r.(*mcp.ElicitResult); r.Content != nil {
			return fmt.Sprint("Hello ", r.Content["name"])
		}
		return r.(*mcp.ElicitResult).Action
	}
	asking("form", &mcp.ElicitParams{Mode: "form", Message: "Who are you?", RequestedSchema: schema}, elicited)
	asking("page", &mcp.ElicitParams{Mode: "url", Message: "Sign in", URL: pageToSee, ElicitationID: "page"}, elicited)
	asking("sample", &mcp.CreateMessageParams{
		Messages: []*mcp.SamplingMessage{{Role: "user", Content: &mcp.TextContent{Text: "Say a word"}}}, MaxTokens: 10,
	}, func(r mcp.InputResponse) string {
		if r, ok := r.(*mcp.CreateMessageWithToolsResult); ok {
			return r.Content[0].(*mcp.TextContent).Text
		}
		return r.(*mcp.CreateMessageResult).Content.(*mcp.TextContent).Text
	})
	asking("roots", &mcp.ListRootsParams{}, func(r mcp.InputResponse) string { return r.(*mcp.ListRootsResult).Roots[0].URI })
	text("trace", func(_ context.Context, req *mcp.CallToolRequest) (string, error) {
		parent, _ := req.Params.Meta["traceparent"].(string)
		return parent, nil
	})
	text("touch", func(ctx context.Context, _ *mcp.CallToolRequest) (string, error) {
		return "touched", s.ResourceUpdated(ctx, &mcp.ResourceUpdatedNotificationParams{URI: noteURI})
	})
	text("ping", func(ctx context.Context, req *mcp.CallToolRequest) (string, error) {
		return "pong", req.Session.Ping(ctx, nil)
	})
	text("grow", func(context.Context, *mcp.CallToolRequest) (string, error) {
		text(grow(), func(context.Context, *mcp.CallToolRequest) (string, error) { return "", nil })
		return "grown", nil
	})
	read := func(contents mcp.ResourceContents) mcp.ResourceHandler {
		return func(context.Context, *mcp.ReadResourceRequest) (*mcp.ReadResourceResult, error) {
			return &mcp.ReadResourceResult{Contents: []*mcp.ResourceContents{&contents}}, nil
		}
	}
	s.AddResource(&mcp.Resource{URI: noteURI, Name: "note", MIMEType: "text/plain"}, read(mcp.ResourceContents{URI: noteURI, Text: "a note"}))
	s.AddResource(&mcp.Resource{URI: blobURI, Name: "blob"}, read(mcp.ResourceContents{URI: blobURI, Blob: bytesOf}))
	s.AddResourceTemplate(&mcp.ResourceTemplate{URITemplate: itemURI, Name: "item"}, func(_ context.Context, req *mcp.ReadResourceRequest) (*mcp.ReadResourceResult, error) {
		uri := req.Params.URI
		return &mcp.ReadResourceResult{Contents: []*mcp.ResourceContents{{URI: uri, Text: "item " + strings.TrimPrefix(uri, "test://item/")}}}, nil
	})
	s.AddPrompt(&mcp.Prompt{Name: "greet", Arguments: []*mcp.PromptArgument{{Name: "who", Required: true}}}, func(_ context.Context, req *mcp.GetPromptRequest) (*mcp.GetPromptResult, error) {
		return &mcp.GetPromptResult{Messages: []*mcp.PromptMessage{{Role: "user", Content: &mcp.TextContent{Text: "Hello " + req.Params.Arguments["who"]}}}}, nil
	})
	return s
}

// goSDKHandler serves both eras: this SDK needs one handler for each.
func goSDKHandler() (streamable, sse http.Handler) {
	s := goSDKServer()
	get := func(*http.Request) *mcp.Server { return s }
	stateless := mcp.NewStreamableHTTPHandler(get, &mcp.StreamableHTTPOptions{Stateless: true, PropagateRequestCancellation: true})
	stateful := mcp.NewStreamableHTTPHandler(get, &mcp.StreamableHTTPOptions{EventStore: mcp.NewMemoryEventStore(nil)})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("MCP-Protocol-Version") >= "2026-07-28" {
			stateless.ServeHTTP(w, r)
		} else {
			stateful.ServeHTTP(w, r)
		}
	}), mcp.NewSSEHandler(get, nil)
}

func goSDKStdio() error { return goSDKServer().Run(context.Background(), &mcp.StdioTransport{}) }
