package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/http"
	"os"
	"time"

	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/mcp/mcptest/wirecheck"
	"github.com/fairlead-mcp/fairlead/mcp/stdio"
	"github.com/fairlead-mcp/fairlead/mcp/streamhttp"
)

type answer struct {
	Name string `json:"name"`
}

type number struct {
	N int `json:"n"`
}

func fairleadServer() *mcp.Server {
	s := mcp.NewServer("fairlead", "1", &mcp.ServerOptions{Instructions: helpText, PageSize: pageSize, Logging: true, ListTTL: time.Minute})
	text := func(name string, fn func(ctx context.Context, call *mcp.Call) (string, error)) error {
		return mcp.AddTool(s, mcp.Tool{Name: name}, func(ctx context.Context, call *mcp.Call, _ struct{}) (string, error) { return fn(ctx, call) })
	}
	blocks := func(name string, content ...mcp.Content) error {
		return s.AddRawTool(mcp.Tool{Name: name, InputSchema: mcp.Raw(`{"type":"object"}`)}, func(context.Context, *mcp.Call, []byte) (*mcp.ToolResult, error) {
			return &mcp.ToolResult{Content: content}, nil
		})
	}
	err := errors.Join(
		blocks("content", mcp.Text("text"), &mcp.ImageContent{Data: bytesOf, MIMEType: "image/png"},
			&mcp.EmbeddedResource{Resource: mcp.ResourceContents{URI: noteURI, Text: "a note"}}),
		blocks("audio", &mcp.AudioContent{Data: bytesOf, MIMEType: "audio/wav"}),
		blocks("link", &mcp.ResourceLink{URI: noteURI, Name: "note"}),
		mcp.AddTool(s, mcp.Tool{Name: "structured"}, func(context.Context, *mcp.Call, struct{}) (number, error) { return number{1}, nil }),
		text("fail", func(context.Context, *mcp.Call) (string, error) { return "", errors.New("it failed") }),
		text("count", func(_ context.Context, call *mcp.Call) (string, error) {
			for i := range 3 {
				if err := call.Progress(float64(i+1), 3, fmt.Sprint("step ", i+1)); err != nil {
					return "", err
				}
			}
			settle()
			return "counted", nil
		}),
		text("log", func(_ context.Context, call *mcp.Call) (string, error) {
			return "logged", errors.Join(call.Log(mcp.LogDebug, "world", "detail"), call.Log(mcp.LogWarning, "world", "careful"))
		}),
		text("hang", func(ctx context.Context, call *mcp.Call) (string, error) {
			if err := call.Progress(1, 0, "hanging"); err != nil {
				return "", err
			}
			begun.Add(1)
			<-ctx.Done()
			ended.Add(1)
			return "", ctx.Err()
		}),
		text("ended", func(context.Context, *mcp.Call) (string, error) { return hung(), nil }),
		text("form", func(ctx context.Context, call *mcp.Call) (string, error) {
			in, action, err := mcp.ElicitAs[answer](ctx, call, "name", "Who are you?")
			if err != nil || action != mcp.ElicitAccept {
				return string(action), err
			}
			return "Hello " + in.Name, nil
		}),
		text("page", func(ctx context.Context, call *mcp.Call) (string, error) {
			r, err := call.Open(ctx, "page", mcp.Page{Message: "Sign in", URL: pageToSee})
			if err != nil {
				return "", err
			}
			return string(r.Action), nil
		}),
		text("sample", func(ctx context.Context, call *mcp.Call) (string, error) {
			r, err := call.Sample(ctx, "model", &mcp.SampleParams{
				Messages:  []mcp.SamplingMessage{{Role: mcp.RoleUser, Content: []mcp.Content{mcp.Text("Say a word")}}},
				MaxTokens: 10,
			})
			if err != nil {
				return "", err
			}
			return r.Text(), nil
		}),
		text("roots", func(ctx context.Context, call *mcp.Call) (string, error) {
			roots, err := call.Roots(ctx, "roots")
			if err != nil || len(roots) != 1 {
				return fmt.Sprint(len(roots)), err
			}
			return roots[0].URI, nil
		}),
		mcp.AddTool(s, mcp.Tool{Name: "task", Execution: &mcp.ToolExecution{TaskSupport: mcp.TaskOptional}},
			func(context.Context, *mcp.Call, struct{}) (string, error) { return "worked", nil }),
		text("trace", func(_ context.Context, call *mcp.Call) (string, error) {
			return call.Trace().Parent, nil
		}),
		s.AddRawTool(mcp.Tool{Name: "mirror", InputSchema: mcp.Raw(`{"type":"object","properties":{"region":{"type":"string","x-mcp-header":"Region"}}}`)},
			func(_ context.Context, call *mcp.Call, args []byte) (*mcp.ToolResult, error) {
				return &mcp.ToolResult{Content: []mcp.Content{mcp.Text(string(args))}}, nil
			}),
		text("touch", func(context.Context, *mcp.Call) (string, error) {
			s.ResourceUpdated(noteURI)
			return "touched", nil
		}),
		text("grow", func(context.Context, *mcp.Call) (string, error) {
			return "grown", text(grow(), func(context.Context, *mcp.Call) (string, error) { return "", nil })
		}),
		s.AddResource(mcp.Resource{URI: noteURI, Name: "note", MIMEType: "text/plain"}, func(context.Context, *mcp.Call, string) ([]mcp.ResourceContents, error) {
			return []mcp.ResourceContents{{Text: "a note"}}, nil
		}),
		s.AddResource(mcp.Resource{URI: blobURI, Name: "blob"}, func(context.Context, *mcp.Call, string) ([]mcp.ResourceContents, error) {
			return []mcp.ResourceContents{{Blob: bytesOf}}, nil
		}),
		s.AddResourceTemplate(mcp.ResourceTemplate{URITemplate: itemURI, Name: "item"}, func(_ context.Context, _ *mcp.Call, _ string, vars map[string]string) ([]mcp.ResourceContents, error) {
			return []mcp.ResourceContents{{Text: "item " + vars["id"]}}, nil
		}),
		s.AddPrompt(mcp.Prompt{Name: "greet", Arguments: []mcp.PromptArgument{{Name: "who", Required: true}}},
			func(_ context.Context, _ *mcp.Call, args map[string]string) (*mcp.PromptResult, error) {
				return &mcp.PromptResult{Messages: []mcp.PromptMessage{{Role: mcp.RoleUser, Content: mcp.Text("Hello " + args["who"])}}}, nil
			}),
		s.CompletePrompt("greet", "who", func(_ context.Context, _ *mcp.Call, value string, _ map[string]string) ([]string, error) {
			return []string{value + "da", value + "lan"}, nil
		}),
	)
	if err != nil {
		log.Fatal(err)
	}
	return s
}

func fairleadHandler() (streamable, sse http.Handler) {
	h := streamhttp.NewHandler(fairleadServer(), nil)
	return h, h.SSE()
}

func fairleadStdio() error {
	if wire == "" {
		return stdio.Serve(context.Background(), fairleadServer(), nil)
	}
	tap, err := wirecheck.ToFile(wire)
	if err != nil {
		return err
	}
	in, out := tap.Pipes(wirecheck.Server, os.Stdin, os.Stdout)
	return stdio.ServeConn(context.Background(), fairleadServer(), in, out, nil)
}
