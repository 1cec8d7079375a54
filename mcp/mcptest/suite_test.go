package mcptest_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/mcp/mcptest"
	"github.com/fairlead-mcp/fairlead/mcp/mcptest/wirecheck"
	"github.com/fairlead-mcp/fairlead/mcp/streamhttp"
	"github.com/google/go-cmp/cmp"
)

// overEach runs test with a client of h over each transport and in each revision.
func overEach(t *testing.T, newServer func() *mcp.Server, test func(t *testing.T, s *mcp.Server, h mcp.Handler, version mcp.Version)) {
	t.Run("direct", func(t *testing.T) {
		s := newServer()
		test(t, s, s, mcp.LatestVersion)
	})
	for _, version := range mcp.Versions() {
		t.Run("pipe "+string(version), func(t *testing.T) {
			s := newServer()
			test(t, s, mcptest.Pair(t, s, version), version)
		})
	}
	for _, tt := range []struct {
		era     streamhttp.Era
		version mcp.Version
	}{
		{streamhttp.EraAuto, mcp.LatestVersion},
		{streamhttp.EraModern, mcp.LatestVersion},
		{streamhttp.EraLegacy, mcp.LatestLegacyVersion},
	} {
		t.Run(fmt.Sprintf("HTTP %s %s", tt.era, tt.version), func(t *testing.T) {
			s := newServer()
			web := httptest.NewServer(streamhttp.NewHandler(s, nil))
			tap := mcptest.Tap(t, wirecheck.Client, wirecheck.Server)
			c := streamhttp.NewClient(web.URL, &streamhttp.ClientOptions{Era: tt.era, HTTPClient: &http.Client{Transport: &http.Transport{DialContext: tap.Dial}}})
			t.Cleanup(func() {
				if err := c.Close(context.Background()); err != nil {
					t.Errorf("Close: %v", err)
				}
				web.Close()
			})
			test(t, s, c, tt.version)
		})
	}
}

// world is a server with a little of everything.
func world() *mcp.Server {
	s := mcp.NewServer("world", "1", &mcp.ServerOptions{PageSize: 3, Logging: true, Instructions: "Be kind."})
	must := func(err error) {
		if err != nil {
			panic(err)
		}
	}
	type numbers struct {
		A int `json:"a"`
		B int `json:"b"`
	}
	type sum struct {
		Sum int `json:"sum"`
	}
	must(mcp.AddTool(s, mcp.Tool{Name: "add", Description: "adds"}, func(_ context.Context, _ *mcp.Call, in numbers) (sum, error) {
		return sum{in.A + in.B}, nil
	}))
	type region struct {
		Region string `json:"region" x-mcp-header:"Region"`
	}
	must(mcp.AddTool(s, mcp.Tool{Name: "where"}, func(_ context.Context, _ *mcp.Call, in region) (string, error) {
		return "in " + in.Region, nil
	}))
	must(mcp.AddTool(s, mcp.Tool{Name: "fail"}, func(context.Context, *mcp.Call, struct{}) (string, error) {
		return "", errors.New("it failed")
	}))
	must(mcp.AddTool(s, mcp.Tool{Name: "panic"}, func(context.Context, *mcp.Call, struct{}) (string, error) { panic("secret") }))
	type steps struct {
		Steps int `json:"steps"`
	}
	must(mcp.AddTool(s, mcp.Tool{Name: "count"}, func(_ context.Context, call *mcp.Call, in steps) (string, error) {
		for i := range in.Steps {
			if err := call.Progress(float64(i+1), float64(in.Steps), fmt.Sprint("step ", i+1)); err != nil {
				return "", err
			}
		}
		return fmt.Sprint(in.Steps), call.Log(mcp.LogInfo, "count", map[string]int{"steps": in.Steps})
	}))
	must(mcp.AddTool(s, mcp.Tool{Name: "hang"}, func(ctx context.Context, call *mcp.Call, _ struct{}) (string, error) {
		if err := call.Progress(1, 0, ""); err != nil {
			return "", err
		}
		<-ctx.Done()
		return "", ctx.Err()
	}))
	must(s.AddResource(mcp.Resource{URI: "world://ü", Name: "u"}, func(_ context.Context, _ *mcp.Call, uri string) ([]mcp.ResourceContents, error) {
		return []mcp.ResourceContents{{URI: uri, Text: "umlaut"}, {URI: uri, Blob: []byte{0, 255}}}, nil
	}))
	must(s.AddResourceTemplate(mcp.ResourceTemplate{URITemplate: "city://{name}", Name: "city"},
		func(_ context.Context, _ *mcp.Call, uri string, vars map[string]string) ([]mcp.ResourceContents, error) {
			return []mcp.ResourceContents{{URI: uri, Text: vars["name"]}}, nil
		}))
	must(s.AddPrompt(mcp.Prompt{Name: "greet", Arguments: []mcp.PromptArgument{{Name: "who", Required: true}}},
		func(_ context.Context, _ *mcp.Call, args map[string]string) (*mcp.PromptResult, error) {
			return &mcp.PromptResult{Messages: []mcp.PromptMessage{{Role: mcp.RoleUser, Content: mcp.Text("Greet " + args["who"])}}}, nil
		}))
	must(s.CompletePrompt("greet", "who", func(_ context.Context, _ *mcp.Call, value string, _ map[string]string) ([]string, error) {
		return []string{value + "da", value + "lan"}, nil
	}))
	return s
}

func TestEverythingOverEachTransport(t *testing.T) {
	overEach(t, world, func(t *testing.T, _ *mcp.Server, h mcp.Handler, version mcp.Version) {
		ctx := t.Context()
		c := mcp.NewClient("test", "1", h, nil)

		found, err := c.Discover(ctx)
		if err != nil || found.Instructions != "Be kind." || found.Capabilities.Tools == nil || !strings.Contains(string(found.Meta), `"world"`) {
			t.Errorf("Discover = %+v, %v", found, err)
		}
		tools, err := c.ListTools(ctx)
		if err != nil || len(tools) != 6 {
			t.Errorf("ListTools: %d tools, %v", len(tools), err)
		}
		res, err := c.CallTool(ctx, "add", map[string]int{"a": 1, "b": 2}, nil)
		if err != nil || res.IsError || !strings.Contains(res.Text(), "3") {
			t.Errorf("add = %+v, %v", res, err)
		}
		if version.Has(mcp.FeatureStructuredContent) {
			var out struct {
				Sum int `json:"sum"`
			}
			if err := res.Decode(&out); err != nil || out.Sum != 3 {
				t.Errorf("add = %s, %v", res.Structured, err)
			}
		}
		if res, err = c.CallTool(ctx, "where", map[string]string{"region": " ü "}, nil); err != nil || res.Text() != "in  ü " {
			t.Errorf("where = %+v, %v", res, err)
		}
		if res, err = c.CallTool(ctx, "fail", nil, nil); err != nil || !res.IsError || res.Text() != "it failed" {
			t.Errorf("fail = %+v, %v", res, err)
		}
		if res, err = c.CallTool(ctx, "add", map[string]string{"a": "x"}, nil); err != nil || !res.IsError {
			t.Errorf("add of a string = %+v, %v", res, err)
		}
		var wire *mcp.Error
		if _, err = c.CallTool(ctx, "panic", nil, nil); !errors.As(err, &wire) || wire.Code != -32603 || strings.Contains(wire.Message, "secret") {
			t.Errorf("panic: %v", err)
		}
		if _, err = c.CallTool(ctx, "nothing", nil, nil); !errors.As(err, &wire) || wire.Code != -32602 {
			t.Errorf("unknown tool: %v", err)
		}

		var progress []string
		var logs []string
		res, err = c.CallTool(ctx, "count", map[string]int{"steps": 3}, &mcp.CallOptions{
			LogLevel: mcp.LogDebug,
			Progress: func(p mcp.Progress) { progress = append(progress, fmt.Sprint(p.Progress, "/", *p.Total)) },
			Log:      func(m mcp.LogMessage) { logs = append(logs, string(m.Data)) },
		})
		if err != nil || res.Text() != "3" {
			t.Errorf("count = %+v, %v", res, err)
		}
		if diff := cmp.Diff([]string{"1/3", "2/3", "3/3"}, progress); diff != "" {
			t.Errorf("progress (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff([]string{`{"steps":3}`}, logs); diff != "" {
			t.Errorf("log (-want +got):\n%s", diff)
		}

		resources, err := c.ListResources(ctx)
		if err != nil || len(resources) != 1 {
			t.Errorf("ListResources = %v, %v", resources, err)
		}
		templates, err := c.ListResourceTemplates(ctx)
		if err != nil || len(templates) != 1 {
			t.Errorf("ListResourceTemplates = %v, %v", templates, err)
		}
		read, err := c.ReadResource(ctx, "world://ü", nil)
		if err != nil || len(read.Contents) != 2 || read.Contents[0].Text != "umlaut" || len(read.Contents[1].Blob) != 2 {
			t.Errorf("ReadResource = %+v, %v", read, err)
		}
		if read, err = c.ReadResource(ctx, "city://Oslo", nil); err != nil || read.Contents[0].Text != "Oslo" {
			t.Errorf("ReadResource = %+v, %v", read, err)
		}
		if _, err = c.ReadResource(ctx, "none://", nil); !errors.As(err, &wire) || wire.Code != -32602 {
			t.Errorf("unknown resource: %v", err)
		}
		prompts, err := c.ListPrompts(ctx)
		if err != nil || len(prompts) != 1 {
			t.Errorf("ListPrompts = %v, %v", prompts, err)
		}
		prompt, err := c.GetPrompt(ctx, "greet", map[string]string{"who": "Ada"}, nil)
		if err != nil || len(prompt.Messages) != 1 {
			t.Errorf("GetPrompt = %+v, %v", prompt, err)
		}
		completion, err := c.Complete(ctx, mcp.CompleteParams{Prompt: "greet", Argument: "who", Value: "A"})
		if err != nil || !cmp.Equal(completion.Values, []string{"Ada", "Alan"}) {
			t.Errorf("Complete = %+v, %v", completion, err)
		}
		if _, err := c.Raw(ctx, "no/such/method", nil, nil); !errors.As(err, &wire) || wire.Code != -32601 {
			t.Errorf("unknown method: %v", err)
		}
	})
}

func TestListenOverEachTransport(t *testing.T) {
	overEach(t, world, func(t *testing.T, s *mcp.Server, h mcp.Handler, _ mcp.Version) {
		events := make(chan mcp.Event, 10)
		filter := mcp.NotificationFilter{ToolsListChanged: true, ResourceSubscriptions: []string{"world://ü"}}
		sub, err := mcp.NewClient("test", "1", h, nil).Listen(t.Context(), filter, func(e mcp.Event) { events <- e })
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(filter, sub.Acknowledged()); diff != "" {
			t.Errorf("acknowledged (-want +got):\n%s", diff)
		}
		s.ResourceUpdated("world://other")
		s.ResourceUpdated("world://ü")
		if e := <-events; e.Method != mcp.NotificationResourceUpdated || e.URI != "world://ü" {
			t.Errorf("event %+v", e)
		}
		err = mcp.AddTool(s, mcp.Tool{Name: "new"}, func(context.Context, *mcp.Call, struct{}) (string, error) { return "", nil })
		if err != nil {
			t.Fatal(err)
		}
		if e := <-events; e.Method != mcp.NotificationToolsListChanged {
			t.Errorf("event %+v", e)
		}
		sub.Close()
		if err := sub.Err(); err != nil {
			t.Errorf("Err = %v after Close", err)
		}
	})
}

func TestCancelOverEachTransport(t *testing.T) {
	overEach(t, world, func(t *testing.T, _ *mcp.Server, h mcp.Handler, _ mcp.Version) {
		ctx, cancel := context.WithCancel(t.Context())
		c := mcp.NewClient("test", "1", h, nil)
		_, err := c.CallTool(ctx, "hang", nil, &mcp.CallOptions{Progress: func(mcp.Progress) { cancel() }})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled call: %v", err)
		}
		if res, err := c.CallTool(t.Context(), "add", map[string]int{"a": 1, "b": 1}, nil); err != nil || res.IsError {
			t.Errorf("the call after it: %+v, %v", res, err)
		}
	})
}

// TestConcurrencyOverEachTransport has many callers with equal tokens: each gets
// its own answer and its own progress.
func TestConcurrencyOverEachTransport(t *testing.T) {
	overEach(t, world, func(t *testing.T, _ *mcp.Server, h mcp.Handler, _ mcp.Version) {
		var wg sync.WaitGroup
		for n := range 40 {
			wg.Go(func() {
				c := mcp.NewClient("test", "1", h, &mcp.ClientOptions{Timeout: 30 * time.Second})
				last := 0.0
				res, err := c.CallTool(t.Context(), "count", map[string]int{"steps": n}, &mcp.CallOptions{
					Progress: func(p mcp.Progress) {
						if *p.Total != float64(n) || p.Progress <= last {
							t.Errorf("call %d: progress %v of %v after %v", n, p.Progress, *p.Total, last)
						}
						last = p.Progress
					},
				})
				if err != nil || res.Text() != fmt.Sprint(n) || last != float64(n) {
					t.Errorf("call %d = %+v, %v, progress %v", n, res, err, last)
				}
			})
		}
		wg.Wait()
	})
}
