package gateway_test

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fairlead-mcp/fairlead/internal/gateway"
	"github.com/fairlead-mcp/fairlead/internal/upstream"
	"github.com/fairlead-mcp/fairlead/mcp"
)

// library is an upstream whose resources have a hint, and which counts how often it is asked.
type library struct {
	*mcp.Server
	hint  mcp.Cache
	reads atomic.Int32
	size  int
	hold  chan struct{} // if not nil, a read answers when it can be received from
}

func newLibrary(hint mcp.Cache) *library {
	l := &library{hint: hint, Server: mcp.NewServer("library", "1", nil)}
	answer := func(_ context.Context, call *mcp.Call, uri string) ([]mcp.ResourceContents, error) {
		n := l.reads.Add(1)
		if l.hold != nil {
			<-l.hold
		}
		return []mcp.ResourceContents{{URI: uri, Text: fmt.Sprintf("%d for %s", n, call.Principal().Subject) + strings.Repeat("x", l.size)}}, nil
	}
	must(l.AddResource(mcp.Resource{URI: "lib:/a", Name: "a"}, answer))
	must(l.AddResource(mcp.Resource{URI: "lib:/b", Name: "b"}, answer))
	return l
}

func (l *library) Handle(ctx context.Context, req *mcp.Request, sink mcp.Sink) (mcp.Result, error) {
	res, err := l.Server.Handle(ctx, req, sink)
	if req.Method == mcp.MethodReadResource {
		res.Cache = l.hint
	}
	return res, err
}

func readAs(subject, uri string) *mcp.Request {
	req := request(mcp.MethodReadResource, fmt.Sprintf(`{"uri":%q}`, uri))
	req.Principal = mcp.Principal{Issuer: "token", Subject: subject}
	return req
}

func TestCacheScopes(t *testing.T) {
	for _, tt := range []struct {
		name string
		hint mcp.Cache
		spec upstream.Spec
		want int32 // reads upstream of two by each of two callers
	}{
		{"public", mcp.Cache{TTL: time.Hour, Scope: mcp.CachePublic}, upstream.Spec{}, 1},
		{"private", mcp.Cache{TTL: time.Hour, Scope: mcp.CachePrivate}, upstream.Spec{}, 2},
		{"called public on a connection of the caller's own", mcp.Cache{TTL: time.Hour, Scope: mcp.CachePublic}, upstream.Spec{Instances: upstream.InstancesPrincipal}, 2},
		{"stale at once", mcp.Cache{Scope: mcp.CachePublic}, upstream.Spec{}, 4},
		{"no hint", mcp.Cache{}, upstream.Spec{}, 4},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := newLibrary(tt.hint)
			var rules []string
			g, _ := newNode(t, &gateway.Options{OnCall: func(tr gateway.Trace) { rules = append(rules, tr.Decisions[4].Rule) }}, &member{name: "lib", h: l, spec: tt.spec})
			for range 2 {
				for _, who := range []string{"ann", "bob"} {
					res, err := g.Root().Handle(t.Context(), readAs(who, "lib:/a"), mcp.Discard)
					if err != nil {
						t.Fatal(err)
					}
					if other := map[string]string{"ann": "bob", "bob": "ann"}[who]; tt.want == 2 && strings.Contains(string(res.Body), other) {
						t.Errorf("%s got what is private: %s", who, res.Body)
					}
					if res.Cache.TTL > tt.hint.TTL {
						t.Errorf("hint = %+v", res.Cache)
					}
				}
			}
			if got := l.reads.Load(); got != tt.want {
				t.Errorf("the upstream was asked %d times, want %d: %q", got, tt.want, rules)
			}
			// explain shows it.
			if hits := strings.Count(strings.Join(rules, "\n"), "hit, "); int32(hits) != 4-tt.want || !strings.HasPrefix(rules[0], "miss") {
				t.Errorf("rules = %q", rules)
			}
		})
	}
}

func TestCacheRunsOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLibrary(mcp.Cache{TTL: 10 * time.Second, Scope: mcp.CachePublic})
		g, stop := newNode(t, nil, &member{name: "lib", h: l})
		defer stop()
		synctest.Wait()
		ask(t, g.Root(), readAs("ann", "lib:/a"))
		time.Sleep(4 * time.Second)
		res, err := g.Root().Handle(t.Context(), readAs("bob", "lib:/a"), mcp.Discard)
		if err != nil || res.Cache != (mcp.Cache{TTL: 6 * time.Second, Scope: mcp.CachePublic}) {
			t.Errorf("hint after 4 of 10 s = %+v, %v", res.Cache, err)
		}
		time.Sleep(7 * time.Second)
		ask(t, g.Root(), readAs("ann", "lib:/a"))
		if got := l.reads.Load(); got != 2 {
			t.Errorf("the upstream was asked %d times, want 2", got)
		}
	})
}

// What an upstream tells of is not served any more; nor is what was asked for before it told.
func TestCacheInvalidation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLibrary(mcp.Cache{TTL: time.Hour, Scope: mcp.CachePublic})
		m := &member{name: "lib", h: l}
		g, stop := newNode(t, nil, m)
		defer stop()
		// Only resources that somebody watches are told of.
		var sink recorder
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		if _, err := g.Root().Handle(ctx, request(mcp.MethodListen, `{"notifications":{"resourceSubscriptions":["lib:/a"]}}`), &sink); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		reads := func(when string, want int32) {
			t.Helper()
			before := l.reads.Load()
			ask(t, g.Root(), readAs("ann", "lib:/a"))
			ask(t, g.Root(), readAs("ann", "lib:/b"))
			if got := l.reads.Load() - before; got != want {
				t.Errorf("%s: asked %d times, want %d", when, got, want)
			}
		}
		reads("at first", 2)
		reads("again", 0)
		l.ResourceUpdated("lib:/a")
		synctest.Wait()
		reads("after an update of one", 1)
		must(l.AddResource(mcp.Resource{URI: "lib:/c", Name: "c"}, func(context.Context, *mcp.Call, string) ([]mcp.ResourceContents, error) { return nil, nil }))
		time.Sleep(time.Second)
		synctest.Wait()
		reads("after a change of the list", 2)
		m.cut()
		time.Sleep(time.Minute)
		synctest.Wait()
		reads("after a gap", 2)

		// An update in the middle of a read: its answer may be from before.
		l.hold = make(chan struct{})
		l.ResourceUpdated("lib:/a")
		synctest.Wait()
		done := make(chan struct{})
		go func() { // ends when it is answered
			defer close(done)
			_, _ = g.Root().Handle(t.Context(), readAs("ann", "lib:/a"), mcp.Discard)
		}()
		synctest.Wait()
		l.ResourceUpdated("lib:/a")
		synctest.Wait()
		close(l.hold)
		<-done
		reads("after an update in the middle of a read", 1)
	})
}

func TestCacheKeepsOut(t *testing.T) {
	l := newLibrary(mcp.Cache{TTL: time.Hour, Scope: mcp.CachePublic})
	l.size = 1000
	g, _ := newNode(t, &gateway.Options{CacheBytes: 16_000}, &member{name: "lib", h: l})
	twice := func(what string, req *mcp.Request, want int32) {
		t.Helper()
		before := l.reads.Load()
		for range 2 {
			ask(t, g.Root(), req)
		}
		if got := l.reads.Load() - before; got != want {
			t.Errorf("%s: asked %d times, want %d", what, got, want)
		}
	}
	twice("plain", readAs("ann", "lib:/a"), 1)
	req := readAs("ann", "lib:/a")
	req.Params = []byte(`{"uri":"lib:/a","inputResponses":{}}`)
	twice("an answer to a question", req, 2)
	req = readAs("ann", "lib:/a")
	req.Meta.Raw = []byte(`{"com.example/tenant":"x"}`)
	twice("with metadata of its own", req, 2)
	req = readAs("ann", "lib:/a")
	req.Meta.Raw = []byte(`{"progressToken":1,"traceparent":"x","io.modelcontextprotocol/clientInfo":{}}`)
	twice("with metadata that changes nothing", req, 0)
	l.size = 3000
	twice("too large for its share", readAs("ann", "lib:/b"), 2)
	// The bound holds: what was used longest ago goes.
	l.size = 1000
	for i := range 20 {
		req := readAs("ann", "lib:/b")
		req.Meta.Capabilities = fmt.Appendf(nil, `{"experimental":{"n":%d}}`, i)
		twice("one of many", req, 1)
	}
	twice("the first of many", readAs("ann", "lib:/a"), 1)
}
