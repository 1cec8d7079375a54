package main

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"
)

// completions completes the argument of the prompt.
type completions struct{}

func (completions) CompletePromptArgument(_ context.Context, _ string, arg mcp.CompleteArgument, _ mcp.CompleteContext) (*mcp.Completion, error) {
	return &mcp.Completion{Values: []string{arg.Value + "da", arg.Value + "lan"}, Total: 2}, nil
}

func mcpGoServer() *server.MCPServer {
	s := server.NewMCPServer("mcpgo", "1",
		server.WithInstructions(helpText), server.WithPaginationLimit(pageSize), server.WithLogging(),
		server.WithToolCapabilities(true), server.WithResourceCapabilities(true, true), server.WithPromptCapabilities(true),
		server.WithCompletions(), server.WithPromptCompletionProvider(completions{}), server.WithElicitation(), server.WithRoots(),
		server.WithTaskCapabilities(true, true, true))
	s.EnableSampling()
	add := func(name string, fn server.ToolHandlerFunc) {
		s.AddTool(mcp.NewTool(name), fn)
	}
	text := func(name string, fn func(ctx context.Context, req mcp.CallToolRequest) (string, error)) {
		add(name, func(ctx context.Context, req mcp.CallToolRequest) (*mcp.CallToolResult, error) {
			t, err := fn(ctx, req)
			if err != nil {
				return nil, err
			}
			return mcp.NewToolResultText(t), nil
		})
	}
	data := base64.StdEncoding.EncodeToString(bytesOf)
	blocks := func(name string, content ...mcp.Content) {
		add(name, func(context.Context, mcp.CallToolRequest) (*mcp.CallToolResult, error) {
			return &mcp.CallToolResult{Content: content}, nil
		})
	}
	blocks("content", mcp.NewTextContent("text"), mcp.NewImageContent(data, "image/png"),
		mcp.NewEmbeddedResource(mcp.TextResourceContents{URI: noteURI, Text: "a note"}))
	blocks("audio", mcp.NewAudioContent(data, "audio/wav"))
	blocks("link", mcp.NewResourceLink(noteURI, "note", "", ""))
	s.AddTool(mcp.NewTool("structured", mcp.WithOutputSchema[number]()),
		mcp.NewStructuredToolHandler(func(context.Context, mcp.CallToolRequest, struct{}) (number, error) { return number{1}, nil }))
	add("fail", func(context.Context, mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		return mcp.NewToolResultError("it failed"), nil
	})
	progress := func(ctx context.Context, req mcp.CallToolRequest, n int) error {
		if req.Params.Meta == nil || req.Params.Meta.ProgressToken == nil {
			return nil
		}
		return s.SendNotificationToClient(ctx, "notifications/progress", map[string]any{
			"progressToken": req.Params.Meta.ProgressToken, "progress": n, "total": 3, "message": fmt.Sprint("step ", n),
		})
	}
	text("count", func(ctx context.Context, req mcp.CallToolRequest) (string, error) {
		for i := range 3 {
			if err := progress(ctx, req, i+1); err != nil {
				return "", err
			}
		}
		settle()
		return "counted", nil
	})
	text("log", func(ctx context.Context, _ mcp.CallToolRequest) (string, error) {
		for _, m := range []struct {
			level mcp.LoggingLevel
			text  string
		}{{mcp.LoggingLevelDebug, "detail"}, {mcp.LoggingLevelWarning, "careful"}} {
			if err := s.SendLogMessageToClient(ctx, mcp.NewLoggingMessageNotification(m.level, "world", m.text)); err != nil {
				return "", err
			}
		}
		settle()
		return "logged", nil
	})
	text("hang", func(ctx context.Context, req mcp.CallToolRequest) (string, error) {
		if err := progress(ctx, req, 1); err != nil {
			return "", err
		}
		begun.Add(1)
		<-ctx.Done()
		ended.Add(1)
		return "", ctx.Err()
	})
	text("ended", func(context.Context, mcp.CallToolRequest) (string, error) { return hung(), nil })
	elicit := func(name string, params mcp.ElicitationParams) {
		add(name, func(_ context.Context, req mcp.CallToolRequest) (*mcp.CallToolResult, error) {
			r := server.ElicitationResponse(req.Params.InputResponses, "q")
			if r == nil {
				return server.NewInputRequestBuilder("").Elicit("q", params).ToolResult(), nil
			}
			if content, ok := r.Content.(map[string]any); ok {
				return mcp.NewToolResultText(fmt.Sprint("Hello ", content["name"])), nil
			}
			return mcp.NewToolResultText(string(r.Action)), nil
		})
	}
	elicit("form", mcp.ElicitationParams{Mode: mcp.ElicitationModeForm, Message: "Who are you?", RequestedSchema: schema})
	elicit("page", mcp.ElicitationParams{Mode: mcp.ElicitationModeURL, Message: "Sign in", URL: pageToSee, ElicitationID: "page"})
	add("sample", func(_ context.Context, req mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		r := server.SamplingResponse(req.Params.InputResponses, "q")
		if r == nil {
			return server.NewInputRequestBuilder("").Sample("q", mcp.CreateMessageParams{
				Messages: []mcp.SamplingMessage{{Role: mcp.RoleUser, Content: mcp.NewTextContent("Say a word")}}, MaxTokens: 10,
			}).ToolResult(), nil
		}
		return mcp.NewToolResultText(mcp.GetTextFromContent(r.Content)), nil
	})
	add("roots", func(_ context.Context, req mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		r := server.RootsResponse(req.Params.InputResponses, "q")
		if r == nil {
			return server.NewInputRequestBuilder("").Roots("q").ToolResult(), nil
		}
		return mcp.NewToolResultText(r.Roots[0].URI), nil
	})
	text("trace", func(_ context.Context, req mcp.CallToolRequest) (string, error) {
		if req.Params.Meta == nil {
			return "", nil
		}
		parent, _ := req.Params.Meta.AdditionalFields["traceparent"].(string)
		return parent, nil
	})
	s.AddTool(mcp.NewTool("task", mcp.WithTaskSupport(mcp.TaskSupportOptional)), func(context.Context, mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		return mcp.NewToolResultText("worked"), nil
	})
	text("touch", func(context.Context, mcp.CallToolRequest) (string, error) {
		s.SendNotificationToAllClients("notifications/resources/updated", map[string]any{"uri": noteURI})
		return "touched", nil
	})
	text("grow", func(context.Context, mcp.CallToolRequest) (string, error) {
		text(grow(), func(context.Context, mcp.CallToolRequest) (string, error) { return "", nil })
		return "grown", nil
	})
	read := func(contents mcp.ResourceContents) server.ResourceHandlerFunc {
		return func(context.Context, mcp.ReadResourceRequest) ([]mcp.ResourceContents, error) {
			return []mcp.ResourceContents{contents}, nil
		}
	}
	s.AddResource(mcp.NewResource(noteURI, "note", mcp.WithMIMEType("text/plain")), read(mcp.TextResourceContents{URI: noteURI, Text: "a note"}))
	s.AddResource(mcp.NewResource(blobURI, "blob"), read(mcp.BlobResourceContents{URI: blobURI, Blob: data}))
	s.AddResourceTemplate(mcp.NewResourceTemplate(itemURI, "item"), func(_ context.Context, req mcp.ReadResourceRequest) ([]mcp.ResourceContents, error) {
		uri := req.Params.URI
		return []mcp.ResourceContents{mcp.TextResourceContents{URI: uri, Text: "item " + strings.TrimPrefix(uri, "test://item/")}}, nil
	})
	s.AddPrompt(mcp.NewPrompt("greet", mcp.WithArgument("who", mcp.RequiredArgument())), func(_ context.Context, req mcp.GetPromptRequest) (*mcp.GetPromptResult, error) {
		return mcp.NewGetPromptResult("", []mcp.PromptMessage{mcp.NewPromptMessage(mcp.RoleUser, mcp.NewTextContent("Hello "+req.Params.Arguments["who"]))}), nil
	})
	return s
}

func mcpGoHandler() (streamable, sse http.Handler) {
	s := mcpGoServer()
	return server.NewStreamableHTTPServer(s, server.WithStateful(true), server.WithEventStore(server.NewInMemoryEventStore())), server.NewSSEServer(s)
}

func mcpGoStdio() error { return server.ServeStdio(mcpGoServer()) }
