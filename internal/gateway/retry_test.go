package gateway_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fairlead-mcp/fairlead/internal/gateway"
	"github.com/fairlead-mcp/fairlead/internal/upstream"
	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/mcp/jsonrpc"
)

// dying is an upstream that dies under the first deaths calls; the tool "noisy"
// tells of its progress before.
func dying(t *testing.T, deaths int) (m *member, calls *int) {
	t.Helper()
	calls = new(int)
	server := mcp.NewServer("s", "1", nil)
	yes := true
	for name, hints := range map[string]*mcp.ToolAnnotations{
		"plain": nil, "idempotent": {IdempotentHint: true}, "reads": {ReadOnlyHint: true}, "noisy": {IdempotentHint: true}, "destroys": {DestructiveHint: &yes},
	} {
		must(mcp.AddTool(server, mcp.Tool{Name: name, Annotations: hints}, func(context.Context, *mcp.Call, struct{}) (string, error) { return "done", nil }))
	}
	must(server.AddResource(mcp.Resource{URI: "x:y", Name: "y"}, func(context.Context, *mcp.Call, string) ([]mcp.ResourceContents, error) { return nil, nil }))
	m = &member{name: "a"}
	m.h = mcp.HandlerFunc(func(ctx context.Context, req *mcp.Request, sink mcp.Sink) (mcp.Result, error) {
		if req.Method != mcp.MethodCallTool && req.Method != mcp.MethodReadResource {
			return server.Handle(ctx, req, sink)
		}
		if *calls++; *calls <= deaths {
			if req.Name == "noisy" {
				_ = sink.Notify(mcp.NewNotification(mcp.NotificationProgress, []byte(`{"progressToken":1,"progress":1}`)))
			}
			m.cut()
			<-ctx.Done()
			return mcp.Result{}, mcp.ErrClosed
		}
		return server.Handle(ctx, req, sink)
	})
	return m, calls
}

func TestRetry(t *testing.T) {
	for _, tt := range []struct {
		name   string
		req    *mcp.Request
		deaths int
		calls  int
		ok     bool
	}{
		{"a tool that may have acted", call("a__plain", `{}`), 1, 1, false},
		{"a destructive tool", call("a__destroys", `{}`), 1, 1, false},
		{"an idempotent tool", call("a__idempotent", `{}`), 1, 2, true},
		{"a tool that only reads", call("a__reads", `{}`), 1, 2, true},
		{"a resource", request(mcp.MethodReadResource, `{"uri":"x:y"}`), 1, 2, true},
		{"never a third time", call("a__idempotent", `{}`), 2, 2, false},
		{"the caller has seen something", call("a__noisy", `{}`), 1, 1, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m, calls := dying(t, tt.deaths)
				g, stop := newNode(t, nil, m)
				defer stop()
				res, err := g.Root().Handle(t.Context(), tt.req, mcp.Discard)
				if tt.ok != (err == nil) || *calls != tt.calls {
					t.Errorf("%d calls, %s, %v; want %d, %v", *calls, res.Body, err, tt.calls, tt.ok)
				}
				if err != nil && !tt.ok {
					f, ok := errors.AsType[*upstream.Failure](err)
					if !ok || f.Class != upstream.Unavailable {
						t.Errorf("got %v", err)
					}
				}
			})
		})
	}
}

func TestRetriesHaveABudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, calls := dying(t, 1<<30)
		g, stop := newNode(t, nil, m)
		defer stop()
		sent := 0
		for range 40 {
			time.Sleep(15 * time.Minute) // on the fake clock: earlier deaths are forgiven
			before := *calls
			_, _ = g.Root().Handle(t.Context(), call("a__idempotent", `{}`), mcp.Discard)
			if *calls > before {
				sent++
			}
		}
		if extra := *calls - sent; extra < 5 || extra > 10+sent/10 {
			t.Errorf("%d calls were sent, and %d of them twice", sent, extra)
		}
	})
}

func TestExplain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, _ := dying(t, 1)
		g, stop := newNode(t, nil, m)
		defer stop()
		_, err := g.Root().Handle(t.Context(), call("a__plain", `{}`), mcp.Discard)
		id, _ := jsonrpc.Unquote(jsonrpc.Get(mcp.ErrorOf(err).Data, "requestId"))
		tr, ok := g.Find(id)
		if !ok || tr.Name != "a__plain" || tr.Upstream != "a" || tr.Err == nil {
			t.Fatalf("call %q: %+v, %v", id, tr, ok)
		}
		var stages []string
		for _, d := range tr.Decisions {
			stages = append(stages, d.Stage)
		}
		if got, want := strings.Join(stages, " "), strings.Join(gateway.Stages(), " "); got != want {
			t.Errorf("stages %s, want %s", got, want)
		}
		if last := tr.Decisions[len(tr.Decisions)-1]; last.OK {
			t.Errorf("the last decision is %+v", last)
		}
		if _, err := g.Root().Handle(t.Context(), call("a__reads", `{}`), mcp.Discard); err != nil {
			t.Fatal(err)
		}
		long := strings.Repeat("x", 10_000)
		_, _ = g.Root().Handle(t.Context(), call(long, `{}`), mcp.Discard)
		recent := g.Recent(2)
		if len(recent) != 2 || len(recent[0].Name) > 300 || recent[1].Name != "a__reads" || recent[1].Err != nil {
			t.Errorf("recent %+v", recent)
		}
		if _, ok := g.Find("nonsense"); ok {
			t.Error("found what never was")
		}
		for range 5000 {
			_, _ = g.Root().Handle(t.Context(), call("a__reads", `{}`), mcp.Discard)
		}
		if _, ok := g.Find(id); ok || len(g.Recent(10_000)) != 4096 {
			t.Errorf("the node remembers %d calls", len(g.Recent(10_000)))
		}
	})
}
