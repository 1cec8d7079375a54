package gateway_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fairlead-mcp/fairlead/internal/upstream"
	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/mcp/jsonrpc"
	"github.com/fairlead-mcp/fairlead/mcp/mcptest"
)

// hinted gives the lists of a server a hint.
func hinted(h mcp.Handler, hint mcp.Cache) mcp.Handler {
	return mcp.HandlerFunc(func(ctx context.Context, req *mcp.Request, sink mcp.Sink) (mcp.Result, error) {
		res, err := h.Handle(ctx, req, sink)
		switch req.Method {
		case mcp.MethodListTools, mcp.MethodListPrompts, mcp.MethodListResources, mcp.MethodListTemplates:
			res.Cache = hint
		}
		return res, err
	})
}

func hint(t *testing.T, h mcp.Handler, method string) mcp.Cache {
	t.Helper()
	res, err := h.Handle(t.Context(), request(method, `{}`), mcp.Discard)
	if err != nil {
		t.Fatal(err)
	}
	return res.Cache
}

// named returns the upstreams that a list's _meta names under key.
func named(body, key string) string {
	return string(jsonrpc.Get(jsonrpc.Get([]byte(body), "_meta"), key))
}

func TestMergedHints(t *testing.T) {
	long, short := mcp.Cache{TTL: time.Minute, Scope: mcp.CachePublic}, mcp.Cache{TTL: 10 * time.Second, Scope: mcp.CachePublic}
	own := upstream.Spec{Instances: upstream.InstancesPrincipal}
	for _, tt := range []struct {
		name string
		a, b *member
		want mcp.Cache
	}{
		{"both public", &member{name: "a", h: hinted(server("a"), long)}, &member{name: "b", h: hinted(server("b"), short)}, short},
		{"one private", &member{name: "a", h: hinted(server("a"), long)}, &member{name: "b", h: hinted(server("b"), mcp.Cache{TTL: time.Hour, Scope: mcp.CachePrivate})}, mcp.Cache{TTL: time.Minute, Scope: mcp.CachePrivate}},
		{"public, but each caller has a connection", &member{name: "a", h: hinted(server("a"), long)}, &member{name: "b", h: hinted(server("b"), long), spec: own}, mcp.Cache{TTL: time.Minute, Scope: mcp.CachePrivate}},
		{"one says nothing", &member{name: "a", h: hinted(server("a"), long)}, &member{name: "b", h: hinted(server("b"), mcp.Cache{})}, mcp.Cache{Scope: mcp.CachePrivate}},
		{"one of an old revision", &member{name: "a", h: hinted(server("a"), long)}, &member{name: "b", h: mcptest.Pair(t, server("b"), mcp.LatestLegacyVersion)}, mcp.Cache{TTL: 30 * time.Second, Scope: mcp.CachePrivate}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g, _ := newNode(t, nil, tt.a, tt.b)
			for _, method := range []string{mcp.MethodListTools, mcp.MethodListPrompts, mcp.MethodListResources, mcp.MethodListTemplates} {
				if diff := cmp.Diff(tt.want, hint(t, g.Root(), method)); diff != "" {
					t.Errorf("%s (-want +got):\n%s", method, diff)
				}
			}
			if got := hint(t, one(t, g, "a"), mcp.MethodListTools); got != long {
				t.Errorf("hint of one = %+v", got)
			}
		})
	}
}

// The hint of an upstream that does not tell of changes runs down, and it is listed again when it is over.
func TestHintRunsDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var lists atomic.Int32
		mute := mcp.HandlerFunc(func(_ context.Context, req *mcp.Request, _ mcp.Sink) (mcp.Result, error) {
			switch req.Method {
			case mcp.MethodDiscover:
				return mcp.Result{Body: []byte(`{"supportedVersions":["2026-07-28"],"capabilities":{"tools":{}}}`)}, nil
			case mcp.MethodListTools:
				lists.Add(1)
				return mcp.Result{Body: []byte(`{"tools":[]}`), Cache: mcp.Cache{TTL: 20 * time.Second, Scope: mcp.CachePublic}}, nil
			}
			return mcp.Result{}, mcp.ErrMethodNotFound(req.Method)
		})
		g, stop := newNode(t, nil, &member{name: "a", h: mute})
		defer stop()
		synctest.Wait()
		before := lists.Load()
		time.Sleep(15 * time.Second)
		if got := hint(t, g.Root(), mcp.MethodListTools).TTL; got != 5*time.Second {
			t.Errorf("TTL after 15 of 20 s = %v", got)
		}
		time.Sleep(6 * time.Second)
		synctest.Wait()
		if lists.Load() != before+1 {
			t.Errorf("listed %d times, want %d", lists.Load(), before+1)
		}
		if got := hint(t, g.Root(), mcp.MethodListTools).TTL; got != 19*time.Second {
			t.Errorf("TTL after it was listed again = %v", got)
		}
	})
}

// Upstreams that hang take one second once, all together, and then nothing.
func TestSlowUpstreamsDelayOneList(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, stop := newNode(t, nil, &member{name: "x", hang: true}, &member{name: "y", hang: true}, &member{name: "b", h: hinted(server("beta"), mcp.Cache{TTL: time.Hour, Scope: mcp.CachePublic})})
		defer stop()
		for i, want := range []time.Duration{time.Second, 0, 0} {
			for _, method := range []string{mcp.MethodListTools, mcp.MethodDiscover} {
				began := time.Now()
				body := ask(t, g.Root(), request(method, `{}`))
				if got := time.Since(began); got != want {
					t.Errorf("%s %d took %v, want %v", method, i, got, want)
				}
				if got := named(body, "io.fairlead/missing"); got != `["x","y"]` {
					t.Errorf("missing = %s", got)
				}
				want = 0
			}
		}
		// More is to come at any moment, so nobody is to keep what there is.
		if got := hint(t, g.Root(), mcp.MethodListTools); got.TTL != 0 {
			t.Errorf("hint of an incomplete list = %+v", got)
		}
	})
}

// An upstream that is away, or cannot be listed again, is in the lists as last known, at once and marked.
func TestStaleListsAreServedAndMarked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var broken, hangs atomic.Bool
		s := server("alpha")
		a := &member{name: "a", h: mcp.HandlerFunc(func(ctx context.Context, req *mcp.Request, sink mcp.Sink) (mcp.Result, error) {
			switch {
			case hangs.Load():
				<-ctx.Done()
				return mcp.Result{}, ctx.Err()
			case broken.Load() && req.Method == mcp.MethodListTools:
				return mcp.Result{}, errors.New("no list today")
			}
			return s.Handle(ctx, req, sink)
		})}
		g, stop := newNode(t, nil, a, &member{name: "b", h: server("beta")})
		defer stop()
		synctest.Wait()
		look := func(when, stale string) {
			t.Helper()
			began := time.Now()
			body := ask(t, g.Root(), request(mcp.MethodListTools, `{}`))
			if took := time.Since(began); took != 0 {
				t.Errorf("%s: the list took %v", when, took)
			}
			if diff := cmp.Diff([]string{"a__echo", "b__echo"}, names(body, "tools", "name")); diff != "" {
				t.Errorf("%s: tools (-want +got):\n%s", when, diff)
			}
			if got := named(body, "io.fairlead/stale"); got != stale {
				t.Errorf("%s: stale = %s, want %s", when, got, stale)
			}
			if ttl := hint(t, g.Root(), mcp.MethodListTools).TTL; stale != "" && ttl != 0 {
				t.Errorf("%s: a stale list may be kept for %v", when, ttl)
			}
		}
		look("in health", "")
		broken.Store(true)
		must(mcp.AddTool(s, mcp.Tool{Name: "new"}, func(context.Context, *mcp.Call, struct{}) (string, error) { return "", nil }))
		time.Sleep(time.Second)
		synctest.Wait()
		look("while it cannot be listed", `["a"]`)
		s.RemoveTools("new")
		broken.Store(false)
		time.Sleep(time.Minute)
		synctest.Wait()
		look("after the next look", "")
		hangs.Store(true)
		a.cut()
		synctest.Wait()
		look("while it comes back slowly", `["a"]`)
		hangs.Store(false)
		time.Sleep(time.Minute)
		synctest.Wait()
		look("when it is back", "")
	})
}
