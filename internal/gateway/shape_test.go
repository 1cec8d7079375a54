package gateway_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fairlead-mcp/fairlead/internal/gateway"
	"github.com/fairlead-mcp/fairlead/internal/upstream"
	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/mcp/jsonrpc"
)

// run runs a member until stop is called.
func (m *member) run(t *testing.T) (u *upstream.Upstream, stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	u = upstream.New(m.name, m.spec, &upstream.Options{Dial: m.dial})
	var wg sync.WaitGroup
	wg.Go(func() { _ = u.Run(ctx) })
	if !m.down {
		<-u.Listed()
	}
	return u, func() {
		cancel()
		wg.Wait()
	}
}

func TestShapeIsFollowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		beta := server("beta")
		beta.RemoveTools("echo")
		must(mcp.AddTool(beta, mcp.Tool{Name: "other"}, func(context.Context, *mcp.Call, struct{}) (string, error) { return "", nil }))
		a, stopA := (&member{name: "a", h: server("alpha")}).run(t)
		defer stopA()
		b, stopB := (&member{name: "b", h: server("beta")}).run(t)
		defer stopB()
		next, stopNext := (&member{name: "b", h: beta}).run(t)
		defer stopNext()
		g := gateway.New([]*upstream.Upstream{a, b}, nil)
		defer g.Close()
		time.Sleep(time.Second)

		const filter = `{"toolsListChanged":true,"promptsListChanged":true,"resourceSubscriptions":["test://alpha","test://beta"]}`
		acked := func(uris string) string {
			return ack + ` {"notifications":{"toolsListChanged":true,"promptsListChanged":true,"resourceSubscriptions":[` + uris + `]}}`
		}
		all, ofA, ofB := listen(t, t.Context(), g.Root(), filter), listen(t, t.Context(), one(t, g, "a"), filter), listen(t, t.Context(), one(t, g, "b"), filter)
		expect(t, "acknowledgement", all, acked(`"test://alpha","test://beta"`))
		expect(t, "acknowledgement of a", ofA, acked(`"test://alpha","test://beta"`)) // alone, it is asked for any
		expect(t, "acknowledgement of b", ofB, acked(`"test://alpha","test://beta"`))
		doorB := one(t, g, "b")

		g.Set(gateway.Shape{Upstreams: []*upstream.Upstream{a, next}})
		time.Sleep(time.Second)
		expect(t, "b replaced", all, updatedAs+`{"uri":"test://beta"}`, toolsMsg)
		expect(t, "b replaced, seen from a", ofA)
		if got := ofB.take(); len(got) != 3 || got[2] != toolsMsg {
			t.Errorf("b replaced, seen from b: %q, want both resources and the tools", got)
		}
		if diff := cmp.Diff([]string{"a__echo", "b__other"}, names(ask(t, g.Root(), request(mcp.MethodListTools, `{}`)), "tools", "name")); diff != "" {
			t.Errorf("tools (-want +got):\n%s", diff)
		}
		if one(t, g, "b") != doorB {
			t.Error("b has another door: the sessions in front of it would be lost")
		}
		beta.ResourceUpdated("test://beta")
		expect(t, "update by the new b", all, updatedAs+`{"uri":"test://beta"}`)

		g.Set(gateway.Shape{Upstreams: []*upstream.Upstream{a}})
		time.Sleep(time.Second)
		if got := all.take(); len(got) != 3 || got[0] != updatedAs+`{"uri":"test://beta"}` {
			t.Errorf("b removed: %q, want the resource, the tools and the prompts", got)
		}
		beta.ResourceUpdated("test://beta")
		expect(t, "update by a removed upstream", all)
		if !ofB.ended || ofA.ended || all.ended {
			t.Errorf("streams ended: of b %v, of a %v, of all %v; want that of b alone", ofB.ended, ofA.ended, all.ended)
		}
		if _, ok := g.One("b"); ok {
			t.Error("b is still there")
		}
		gone, never := refusal(t, g.Root(), call("b__other", `{}`)), refusal(t, g.Root(), call("c__other", `{}`))
		if gone.Code != never.Code || gone.Message != "Unknown tool: b__other" {
			t.Errorf("a tool of a removed upstream: %v, one that never was: %v", gone, never)
		}
		if e := refusal(t, doorB, call("other", `{}`)); e.Message != "Unknown tool: other" {
			t.Errorf("through the door of a removed upstream: %v", e)
		}
		if got := names(ask(t, doorB, request(mcp.MethodListTools, `{}`)), "tools", "name"); got != nil {
			t.Errorf("a removed upstream lists %q", got)
		}

		g.Set(gateway.Shape{Upstreams: []*upstream.Upstream{a, next}})
		time.Sleep(time.Second)
		all.take()
		beta.ResourceUpdated("test://beta")
		expect(t, "update when b is back", all, updatedAs+`{"uri":"test://beta"}`)
	})
}

func TestSameShapeTellsNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, stop := (&member{name: "a", h: server("alpha")}).run(t)
		defer stop()
		shape := func() gateway.Shape {
			return gateway.Shape{Upstreams: []*upstream.Upstream{a}, Virtual: []gateway.Virtual{{Name: "v", Tools: []gateway.Pick{{From: []string{"a"}}}}}}
		}
		g := gateway.New(nil, nil)
		defer g.Close()
		g.Set(shape())
		time.Sleep(time.Second)
		const filter = `{"toolsListChanged":true}`
		all, virtual := listen(t, t.Context(), g.Root(), filter), listen(t, t.Context(), one(t, g, "v"), filter)
		synctest.Wait()
		all.take()
		virtual.take()
		g.Set(shape())
		time.Sleep(time.Second)
		expect(t, "the same again", all)
		expect(t, "the same again, virtual", virtual)
		next := shape()
		next.Virtual[0].Tools[0].Prefix = "p_"
		g.Set(next)
		time.Sleep(time.Second)
		expect(t, "another virtual server", all)
		expect(t, "another virtual server, virtual", virtual, toolsMsg)
	})
}

// blocking is a member whose calls wait for release.
func blocking(name string) (m *member, entered, release chan struct{}) {
	entered, release = make(chan struct{}, 16), make(chan struct{})
	s := server(name)
	return &member{name: name, h: mcp.HandlerFunc(func(ctx context.Context, req *mcp.Request, sink mcp.Sink) (mcp.Result, error) {
		if req.Method == mcp.MethodCallTool {
			entered <- struct{}{}
			<-release
		}
		return s.Handle(ctx, req, sink)
	})}, entered, release
}

func TestCallsInFlightFinish(t *testing.T) {
	m, entered, release := blocking("a")
	old, stopOld := m.run(t)
	defer stopOld()
	g := gateway.New([]*upstream.Upstream{old}, nil)
	defer g.Close()
	done := make(chan string, 1)
	go func() { // ends with release
		res, err := g.Root().Handle(context.Background(), call("a__echo", `{"text":"x"}`), mcp.Discard)
		if err != nil {
			res.Body = []byte(err.Error())
		}
		done <- string(res.Body)
	}()
	<-entered
	g.Set(gateway.Shape{})
	old.Retire()
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if old.Idle(ended) == nil {
		t.Error("the upstream is idle while a call runs")
	}
	if e := refusal(t, g.Root(), call("a__echo", `{}`)); e.Message != "Unknown tool: a__echo" {
		t.Errorf("a new call: %v, want unknown tool", e)
	}
	close(release)
	if err := old.Idle(t.Context()); err != nil {
		t.Error(err)
	}
	if got := <-done; jsonrpc.Get([]byte(got), "content") == nil {
		t.Errorf("the running call: %s, want its result", got)
	}
}

// TestWaitingCallsStartOver: who waits for an upstream that does not come up is
// answered by the one that replaces it.
func TestWaitingCallsStartOver(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(g *gateway.Gateway, old, next *upstream.Upstream)
		ok     bool
	}{
		{"replaced, then retired", func(g *gateway.Gateway, old, next *upstream.Upstream) {
			g.Set(gateway.Shape{Upstreams: []*upstream.Upstream{next}})
			old.Retire()
		}, true},
		// The broken twin: in the wrong order there is nothing to start over with.
		{"retired, not replaced", func(_ *gateway.Gateway, old, _ *upstream.Upstream) { old.Retire() }, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				old := upstream.New("a", upstream.Spec{}, &upstream.Options{Dial: func(ctx context.Context, _ upstream.Whose) (*upstream.Conn, error) {
					<-ctx.Done() // never connected
					return nil, ctx.Err()
				}})
				var wg sync.WaitGroup
				defer wg.Wait()
				defer cancel()
				wg.Go(func() { _ = old.Run(ctx) })
				next, stop := (&member{name: "a", h: server("alpha")}).run(t)
				defer stop()
				var traces []gateway.Trace
				g := gateway.New([]*upstream.Upstream{old}, &gateway.Options{OnCall: func(tr gateway.Trace) { traces = append(traces, tr) }})
				defer g.Close()
				ended := make(chan error, 1)
				wg.Go(func() {
					_, err := g.Root().Handle(ctx, call("a__echo", `{"text":"x"}`), mcp.Discard)
					ended <- err
				})
				synctest.Wait()
				tt.change(g, old, next)
				if err := <-ended; (err == nil) != tt.ok {
					t.Errorf("the waiting call ends with %v", err)
				}
				if len(traces) != 1 {
					t.Errorf("one call is remembered %d times", len(traces))
				}
			})
		})
	}
}
