package mcp_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/google/go-cmp/cmp"
)

func answer(body string) mcp.HandlerFunc {
	return func(context.Context, *mcp.Request, mcp.Sink) (mcp.Result, error) {
		return mcp.Result{Body: []byte(body)}, nil
	}
}

func TestClientRequest(t *testing.T) {
	ctx := t.Context()
	for _, tt := range []struct {
		name                        string
		call                        func(c *mcp.Client) error
		method, target, params, arg string
	}{
		{"discover", func(c *mcp.Client) error { _, err := c.Discover(ctx); return err }, "server/discover", "", `{}`, ""},
		{"tool", func(c *mcp.Client) error {
			_, err := c.CallTool(ctx, "greet", map[string]any{"name": "Ada"}, nil)
			return err
		}, "tools/call", "greet", `{"name":"greet","arguments":{"name":"Ada"}}`, `{"name":"Ada"}`},
		{
			"tool without arguments", func(c *mcp.Client) error { _, err := c.CallTool(ctx, "x", nil, nil); return err },
			"tools/call", "x", `{"name":"x"}`, "",
		},
		{
			"tool with raw arguments", func(c *mcp.Client) error { _, err := c.CallTool(ctx, "x", mcp.Raw(`{"n":1}`), nil); return err },
			"tools/call", "x", `{"name":"x","arguments":{"n":1}}`, `{"n":1}`,
		},
		{
			"read", func(c *mcp.Client) error { _, err := c.ReadResource(ctx, "file:///ü", nil); return err },
			"resources/read", "file:///ü", `{"uri":"file:///ü"}`, "",
		},
		{"prompt", func(c *mcp.Client) error {
			_, err := c.GetPrompt(ctx, "p", map[string]string{"a": "b"}, nil)
			return err
		}, "prompts/get", "p", `{"name":"p","arguments":{"a":"b"}}`, `{"a":"b"}`},
		{"complete a prompt", func(c *mcp.Client) error {
			_, err := c.Complete(ctx, mcp.CompleteParams{Prompt: "p", Argument: "a", Value: "v", Context: map[string]string{"k": "w"}})
			return err
		}, "completion/complete", "", `{"ref":{"type":"ref/prompt","name":"p"},"argument":{"name":"a","value":"v"},"context":{"arguments":{"k":"w"}}}`, ""},
		{"complete a template", func(c *mcp.Client) error {
			_, err := c.Complete(ctx, mcp.CompleteParams{Template: "x://{a}", Argument: "a"})
			return err
		}, "completion/complete", "", `{"ref":{"type":"ref/resource","uri":"x://{a}"},"argument":{"name":"a","value":""}}`, ""},
		{"list", func(c *mcp.Client) error { _, err := c.ListTools(ctx); return err }, "tools/list", "", `{}`, ""},
		{
			"page", func(c *mcp.Client) error { cursor := ""; _, err := c.ListPromptsPage(ctx, &cursor); return err },
			"prompts/list", "", `{"cursor":""}`, "",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var got mcp.Request
			c := mcp.NewClient("me", "1", mcp.HandlerFunc(func(_ context.Context, req *mcp.Request, _ mcp.Sink) (mcp.Result, error) {
				got = *req.Clone()
				return mcp.Result{}, nil
			}), &mcp.ClientOptions{LogLevel: mcp.LogInfo, Capabilities: &mcp.ClientCapabilities{Roots: &mcp.ListCapability{}}})
			if err := tt.call(c); err != nil {
				t.Fatal(err)
			}
			if got.Method != tt.method || got.Name != tt.target || string(got.Params) != tt.params || string(got.Arguments) != tt.arg {
				t.Errorf("request %s %q %s arguments %s, want %s %q %s arguments %s",
					got.Method, got.Name, got.Params, got.Arguments, tt.method, tt.target, tt.params, tt.arg)
			}
			want := mcp.Meta{
				Version: mcp.LatestVersion, ClientInfo: []byte(`{"name":"me","version":"1"}`),
				Capabilities: []byte(`{"roots":{}}`), LogLevel: mcp.LogInfo,
			}
			if diff := cmp.Diff(want, got.Meta); diff != "" {
				t.Errorf("metadata (-want +got):\n%s", diff)
			}
		})
	}
}

func TestClientPages(t *testing.T) {
	pages := func(n int, cursor func(i int) string) mcp.HandlerFunc {
		i := 0
		return func(_ context.Context, req *mcp.Request, _ mcp.Sink) (mcp.Result, error) {
			i++
			body := fmt.Sprintf(`{"tools":[{"name":"t%d","inputSchema":{"type":"object"}}]`, i)
			if i < n {
				body += fmt.Sprintf(`,"nextCursor":%q`, cursor(i))
			}
			return mcp.Result{Body: []byte(body + "}")}, nil
		}
	}
	number := func(i int) string { return fmt.Sprint(i) }

	tools, err := mcp.NewClient("c", "1", pages(3, number), nil).ListTools(t.Context())
	if err != nil || len(tools) != 3 || tools[2].Name != "t3" {
		t.Errorf("ListTools over 3 pages = %v, %v", tools, err)
	}
	// An empty cursor is a cursor (MCP 2026-07-28, server/utilities/pagination).
	tools, err = mcp.NewClient("c", "1", pages(2, func(int) string { return "" }), nil).ListTools(t.Context())
	if err != nil || len(tools) != 2 {
		t.Errorf("ListTools with an empty cursor = %v, %v", tools, err)
	}
	for name, h := range map[string]mcp.Handler{
		"endless": pages(1<<30, number),
		"circle":  pages(1<<30, func(int) string { return "same" }),
	} {
		if _, err := mcp.NewClient("c", "1", h, &mcp.ClientOptions{MaxPages: 5}).ListTools(t.Context()); err == nil {
			t.Errorf("%s list: no error", name)
		}
	}
}

func TestClientNotifications(t *testing.T) {
	c := mcp.NewClient("c", "1", mcp.HandlerFunc(func(_ context.Context, req *mcp.Request, sink mcp.Sink) (mcp.Result, error) {
		for _, n := range []*mcp.Notification{
			mcp.NewNotification(mcp.NotificationProgress, fmt.Appendf(nil, `{"progressToken":%s,"progress":0.5,"total":2,"message":"half"}`, req.Meta.ProgressToken)),
			mcp.NewNotification(mcp.NotificationProgress, []byte(`{"progressToken":"other","progress":1}`)),
			mcp.NewNotification(mcp.NotificationProgress, fmt.Appendf(nil, `{"progressToken":%s,"progress":"broken"}`, req.Meta.ProgressToken)),
			mcp.NewNotification(mcp.NotificationMessage, []byte(`{"level":"info","logger":"l","data":{"a":1}}`)),
			mcp.NewNotification("notifications/unknown", nil),
		} {
			if err := sink.Notify(n); err != nil {
				t.Errorf("Notify: %v", err)
			}
		}
		return mcp.Result{Body: []byte(`{"content":[{"type":"text","text":"ok"}]}`)}, nil
	}), nil)
	var got []string
	res, err := c.CallTool(t.Context(), "x", nil, &mcp.CallOptions{
		Progress: func(p mcp.Progress) {
			got = append(got, fmt.Sprintf("progress %v of %v: %s", p.Progress, *p.Total, p.Message))
		},
		Log: func(m mcp.LogMessage) { got = append(got, fmt.Sprintf("%s %s %s", m.Level, m.Logger, m.Data)) },
	})
	if err != nil || res.Text() != "ok" {
		t.Fatalf("CallTool = %+v, %v", res, err)
	}
	if diff := cmp.Diff([]string{"progress 0.5 of 2: half", `info l {"a":1}`}, got); diff != "" {
		t.Errorf("notifications (-want +got):\n%s", diff)
	}
}

func TestClientResults(t *testing.T) {
	ctx := t.Context()
	t.Run("a tool's failure is a result", func(t *testing.T) {
		c := mcp.NewClient("c", "1", answer(`{"content":[{"type":"text","text":"no"}],"isError":true}`), nil)
		res, err := c.CallTool(ctx, "x", nil, nil)
		if err != nil || !res.IsError {
			t.Errorf("CallTool = %+v, %v", res, err)
		}
		_, err = mcp.CallToolAs[int](ctx, c, "x", nil, nil)
		var failed *mcp.ToolError
		if !errors.As(err, &failed) || failed.Result.Text() != "no" {
			t.Errorf("CallToolAs: %v, want a ToolError", err)
		}
	})
	t.Run("typed", func(t *testing.T) {
		c := mcp.NewClient("c", "1", answer(`{"content":[],"structuredContent":{"sum":3}}`), nil)
		type sum struct {
			Sum int `json:"sum"`
		}
		if got, err := mcp.CallToolAs[sum](ctx, c, "add", map[string]int{"a": 1, "b": 2}, nil); err != nil || got.Sum != 3 {
			t.Errorf("CallToolAs = %v, %v", got, err)
		}
		if _, err := mcp.CallToolAs[[]int](ctx, c, "add", nil, nil); err == nil {
			t.Error("CallToolAs of another type: no error")
		}
	})
	t.Run("errors keep their code", func(t *testing.T) {
		c := mcp.NewClient("c", "1", mcp.HandlerFunc(func(context.Context, *mcp.Request, mcp.Sink) (mcp.Result, error) {
			return mcp.Result{}, mcp.ErrInvalidParams("bad")
		}), nil)
		if _, err := c.CallTool(ctx, "x", nil, nil); !errors.Is(err, mcp.ErrInvalidParams("")) || !strings.Contains(err.Error(), `tool "x"`) {
			t.Errorf("CallTool: %v", err)
		}
	})
	t.Run("input required", func(t *testing.T) {
		c := mcp.NewClient("c", "1", mcp.HandlerFunc(func(context.Context, *mcp.Request, mcp.Sink) (mcp.Result, error) {
			return mcp.Result{Type: mcp.ResultInputRequired, Body: []byte(`{"inputRequests":{"r":{"method":"roots/list"}}}`)}, nil
		}), &mcp.ClientOptions{Capabilities: &mcp.ClientCapabilities{Roots: &mcp.ListCapability{}}})
		if _, err := c.CallTool(ctx, "x", nil, nil); !errors.Is(err, mcp.ErrInputRequired) {
			t.Errorf("CallTool: %v", err)
		}
		if res, err := c.Raw(ctx, "tools/call", []byte(`{"name":"x"}`), nil); err != nil || res.Type != mcp.ResultInputRequired {
			t.Errorf("Raw = %v, %v", res, err)
		}
	})
	t.Run("refused before they are sent", func(t *testing.T) {
		c := mcp.NewClient("c", "1", mcp.HandlerFunc(func(context.Context, *mcp.Request, mcp.Sink) (mcp.Result, error) {
			t.Error("the request was sent")
			return mcp.Result{}, nil
		}), nil)
		for _, args := range []any{[]int{1}, "text", func() {}} {
			if _, err := c.CallTool(ctx, "x", args, nil); err == nil {
				t.Errorf("CallTool with arguments %T: no error", args)
			}
		}
		for method, params := range map[string]string{
			"tools/call": `{"name":1}`, "a": `[]`, "b": `{"a":1,"a":2}`, "prompts/get": `{"name":"p","arguments":[]}`, "subscriptions/listen": `{}`,
		} {
			if _, err := c.Raw(ctx, method, []byte(params), nil); err == nil {
				t.Errorf("Raw(%s, %s): no error", method, params)
			}
		}
		if _, err := c.CallTool(ctx, "x", nil, &mcp.CallOptions{Meta: mcp.Raw(`[]`)}); err == nil {
			t.Error("Meta that is no object: no error")
		}
		if _, err := c.Complete(ctx, mcp.CompleteParams{}); err == nil {
			t.Error("Complete of nothing: no error")
		}
	})
}

func TestClientTimeout(t *testing.T) {
	for _, tt := range []struct {
		name string
		call time.Duration
		want time.Duration
	}{
		{"default", 0, 60 * time.Second},
		{"of the call", 5 * time.Second, 5 * time.Second},
		{"at most the maximum", 5 * time.Hour, time.Hour},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := mcp.NewClient("c", "1", mcp.HandlerFunc(func(ctx context.Context, _ *mcp.Request, _ mcp.Sink) (mcp.Result, error) {
					<-ctx.Done()
					return mcp.Result{}, ctx.Err()
				}), nil)
				start := time.Now()
				_, err := c.CallTool(t.Context(), "x", nil, &mcp.CallOptions{Timeout: tt.call})
				if !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != tt.want {
					t.Errorf("after %v: %v, want %v", time.Since(start), err, tt.want)
				}
			})
		})
	}
}

// listenServer acknowledges and hands its sink to the test.
func listenServer(sinks chan mcp.Sink) mcp.HandlerFunc {
	return func(ctx context.Context, req *mcp.Request, sink mcp.Sink) (mcp.Result, error) {
		_ = sink.Notify(mcp.NewNotification(mcp.NotificationAcknowledged, []byte(`{"notifications":{"toolsListChanged":true}}`)))
		sinks <- sink
		return mcp.Result{Stream: true}, nil
	}
}

func TestListen(t *testing.T) {
	toolsChanged := mcp.NewNotification(mcp.NotificationToolsListChanged, nil)
	updated := func(uri string) *mcp.Notification {
		return mcp.NewNotification(mcp.NotificationResourceUpdated, fmt.Appendf(nil, `{"uri":%q}`, uri))
	}
	t.Run("events, then closed by the server", func(t *testing.T) {
		sinks, events := make(chan mcp.Sink, 1), make(chan mcp.Event, 9)
		c := mcp.NewClient("c", "1", listenServer(sinks), nil)
		sub, err := c.Listen(t.Context(), mcp.NotificationFilter{ToolsListChanged: true}, func(e mcp.Event) { events <- e })
		if err != nil {
			t.Fatal(err)
		}
		if !sub.Acknowledged().ToolsListChanged {
			t.Error("not acknowledged")
		}
		sink := <-sinks
		_ = sink.Notify(toolsChanged)
		if e := <-events; e.Method != mcp.NotificationToolsListChanged {
			t.Errorf("event %v", e)
		}
		_ = sink.Notify(updated("x://1"))
		sink.End(mcp.Result{}, nil)
		<-sub.Done()
		if e := <-events; e.URI != "x://1" {
			t.Errorf("event %v", e)
		}
		if err := sub.Err(); err != nil {
			t.Errorf("Err = %v after an end in order", err)
		}
		if err := sink.Notify(toolsChanged); !errors.Is(err, mcp.ErrSinkClosed) {
			t.Errorf("Notify after the end: %v", err)
		}
	})
	t.Run("lost", func(t *testing.T) {
		sinks := make(chan mcp.Sink, 1)
		sub, err := mcp.NewClient("c", "1", listenServer(sinks), nil).Listen(t.Context(), mcp.NotificationFilter{}, func(mcp.Event) {})
		if err != nil {
			t.Fatal(err)
		}
		(<-sinks).End(mcp.Result{}, mcp.ErrClosed)
		<-sub.Done()
		if !errors.Is(sub.Err(), mcp.ErrClosed) {
			t.Errorf("Err = %v", sub.Err())
		}
	})
	t.Run("closed by us", func(t *testing.T) {
		sinks := make(chan mcp.Sink, 1)
		sub, err := mcp.NewClient("c", "1", listenServer(sinks), nil).Listen(t.Context(), mcp.NotificationFilter{}, func(mcp.Event) {})
		if err != nil {
			t.Fatal(err)
		}
		sub.Close()
		sub.Close()
		if sub.Err() != nil {
			t.Errorf("Err = %v after Close", sub.Err())
		}
	})
	t.Run("context ends", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		sub, err := mcp.NewClient("c", "1", listenServer(make(chan mcp.Sink, 1)), nil).Listen(ctx, mcp.NotificationFilter{}, func(mcp.Event) {})
		if err != nil {
			t.Fatal(err)
		}
		cancel()
		<-sub.Done()
		if !errors.Is(sub.Err(), context.Canceled) {
			t.Errorf("Err = %v", sub.Err())
		}
	})
	t.Run("no acknowledgement", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c := mcp.NewClient("c", "1", mcp.HandlerFunc(func(context.Context, *mcp.Request, mcp.Sink) (mcp.Result, error) {
				return mcp.Result{Stream: true}, nil
			}), nil)
			if _, err := c.Listen(t.Context(), mcp.NotificationFilter{}, func(mcp.Event) {}); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("Listen: %v", err)
			}
		})
	})
	t.Run("refused", func(t *testing.T) {
		c := mcp.NewClient("c", "1", answer(`{}`), nil)
		if _, err := c.Listen(t.Context(), mcp.NotificationFilter{}, func(mcp.Event) {}); err == nil {
			t.Error("Listen at a server that does not stream: no error")
		}
	})
	t.Run("slow event function", func(t *testing.T) {
		sinks, entered, leave := make(chan mcp.Sink, 1), make(chan bool, 1), make(chan bool)
		sub, err := mcp.NewClient("c", "1", listenServer(sinks), nil).Listen(t.Context(), mcp.NotificationFilter{}, func(e mcp.Event) {
			if e.Method == mcp.NotificationToolsListChanged {
				entered <- true
				<-leave
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		sink := <-sinks
		_ = sink.Notify(toolsChanged)
		<-entered
		for range 5000 { // equal ones are one
			if err := sink.Notify(updated("x://same")); err != nil {
				t.Fatal(err)
			}
		}
		for i := 0; ; i++ {
			if err := sink.Notify(updated(fmt.Sprint("x://", i))); err != nil {
				break
			}
			if i > 5000 {
				t.Fatal("events queue up without bound")
			}
		}
		close(leave)
		<-sub.Done()
		if sub.Err() == nil {
			t.Error("events were lost without an error")
		}
	})
}
