package gateway_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fairlead-mcp/fairlead/internal/gateway"
	"github.com/fairlead-mcp/fairlead/internal/upstream"
	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/mcp/jsonrpc"
	"github.com/fairlead-mcp/fairlead/mcp/streamhttp"
)

// remote is a real HTTP server with a fault that strikes calls and reads, not lists.
type remote struct {
	*httptest.Server
	fault atomic.Pointer[func(w http.ResponseWriter, r *http.Request)]
	calls atomic.Int32 // calls and reads that came
	asked atomic.Int32 // requests of any kind
}

// newRemote starts a server; fault is what happens to each call, nil for nothing.
func newRemote(t *testing.T, fault http.HandlerFunc) *remote {
	server := mcp.NewServer("s", "1", nil)
	for name, hints := range map[string]*mcp.ToolAnnotations{"plain": nil, "idempotent": {IdempotentHint: true}} {
		must(mcp.AddTool(server, mcp.Tool{Name: name, Annotations: hints}, func(context.Context, *mcp.Call, struct{}) (string, error) { return "done", nil }))
	}
	handler := streamhttp.NewHandler(server, nil)
	r := &remote{}
	r.set(fault)
	r.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		r.asked.Add(1)
		body, _ := io.ReadAll(req.Body)
		req.Body = io.NopCloser(strings.NewReader(string(body)))
		if msg, err := jsonrpc.Scan(body, nil); err == nil && msg.Method == mcp.MethodCallTool {
			r.calls.Add(1)
			if fault := r.fault.Load(); fault != nil {
				(*fault)(w, req)
				return
			}
		}
		handler.ServeHTTP(w, req)
	}))
	t.Cleanup(func() {
		r.CloseClientConnections()
		r.Close()
	})
	return r
}

func (r *remote) set(fault http.HandlerFunc) {
	if fault == nil {
		r.fault.Store(nil)
		return
	}
	f := (func(http.ResponseWriter, *http.Request))(fault)
	r.fault.Store(&f)
}

// front runs an upstream at url behind a gateway.
func front(t *testing.T, url string) (*gateway.Gateway, *upstream.Upstream) {
	t.Helper()
	u := upstream.New("a", upstream.Spec{URL: url, StartTimeout: 10 * time.Second}, nil)
	g := gateway.New([]*upstream.Upstream{u}, nil)
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { _ = u.Run(ctx) })
	t.Cleanup(func() {
		g.Close()
		cancel()
		wg.Wait()
	})
	return g, u
}

func cut(w http.ResponseWriter, _ *http.Request) { panic(http.ErrAbortHandler) }

func half(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", "1000")
	_, _ = io.WriteString(w, `{"jsonrpc":"2.0","id":`)
	panic(http.ErrAbortHandler)
}

func status(code int, headers ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for _, h := range headers {
			name, value, _ := strings.Cut(h, ": ")
			w.Header().Set(name, value)
		}
		w.WriteHeader(code)
	}
}

// TestFaultsOfRemotes: each call ends once, and is sent a second time only where that
// is safe and of use.
func TestFaultsOfRemotes(t *testing.T) {
	for _, tt := range []struct {
		name  string
		fault http.HandlerFunc
		tool  string
		class upstream.Class
		sent  int32
		safe  bool
	}{
		{"500", status(500), "plain", upstream.Unavailable, 1, false},
		{"500", status(500), "idempotent", upstream.Unavailable, 2, false},
		{"503 without a time", status(503), "plain", upstream.Unavailable, 1, false},
		{"reset", cut, "plain", upstream.Unavailable, 1, false},
		{"reset", cut, "idempotent", upstream.Unavailable, 2, false},
		{"half an answer", half, "plain", upstream.Unavailable, 1, false},
		{"half an answer", half, "idempotent", upstream.Unavailable, 2, false},
		{"429", status(429), "idempotent", upstream.RateLimited, 1, true},
		{"429 with a time", status(429, "Retry-After: 60"), "idempotent", upstream.RateLimited, 1, true},
		{"503 with a time", status(503, "Retry-After: 60"), "idempotent", upstream.RateLimited, 1, true},
		{"401", status(401), "idempotent", upstream.Unavailable, 1, false},
		{"403", status(403), "idempotent", upstream.Unavailable, 1, false},
		{"a redirect", status(307, "Location: http://127.0.0.1:1/mcp"), "plain", upstream.ProtocolError, 1, false},
		{"a web page", status(200, "Content-Type: text/html"), "idempotent", upstream.ProtocolError, 1, false},
	} {
		t.Run(tt.name+" "+tt.tool, func(t *testing.T) {
			r := newRemote(t, tt.fault)
			r.Start()
			g, u := front(t, r.URL)
			if err := u.WaitReady(t.Context()); err != nil {
				t.Fatal(err)
			}
			_, err := g.Root().Handle(t.Context(), call("a__"+tt.tool, `{}`), mcp.Discard)
			f, ok := errors.AsType[*upstream.Failure](err)
			if !ok || f.Class != tt.class || f.RetrySafe != tt.safe || r.calls.Load() != tt.sent {
				t.Errorf("sent %d times: %v, safe %v; want %d, %s, %v", r.calls.Load(), err, f != nil && f.RetrySafe, tt.sent, tt.class, tt.safe)
			}
		})
	}
}

// TestRetryAfterIsRespected: while a server wants to be left alone it gets no calls, and
// callers are told when to come back.
func TestRetryAfterIsRespected(t *testing.T) {
	r := newRemote(t, status(429, "Retry-After: 60"))
	r.Start()
	g, u := front(t, r.URL)
	if err := u.WaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	for i := range 20 {
		_, err := g.Root().Handle(t.Context(), call("a__plain", `{}`), mcp.Discard)
		f, ok := errors.AsType[*upstream.Failure](err)
		if !ok || f.Class != upstream.RateLimited || f.RetryAfter < 30*time.Second || f.RetryAfter > time.Minute {
			t.Fatalf("call %d: %v", i, err)
		}
	}
	if n := r.calls.Load(); n != 1 {
		t.Errorf("it got %d calls", n)
	}
	if st := u.Breaker(); st.Opened != 0 {
		t.Errorf("breaker %+v", st)
	}
	// An operator knows better.
	r.set(nil)
	u.Restart()
	waitFor(t, func() bool {
		_, err := g.Root().Handle(t.Context(), call("a__plain", `{}`), mcp.Discard)
		return err == nil
	})
}

// waitFor polls for what no event tells of.
func waitFor(t *testing.T, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it does not come")
		}
	}
}

// TestRefusedAtTheDoor: what cannot be spoken to safely is not spoken to, and the
// operator is told why.
func TestRefusedAtTheDoor(t *testing.T) {
	elsewhere := newRemote(t, nil)
	elsewhere.Start()
	for _, tt := range []struct {
		name  string
		serve func(t *testing.T) (url string, r *remote)
		want  string // in the last error
		state upstream.State
	}{
		{"certificate of nobody we know", func(t *testing.T) (string, *remote) {
			r := newRemote(t, nil)
			r.StartTLS()
			return r.URL, r
		}, "certificate", upstream.Failed},
		{"plain HTTP where TLS is wanted", func(t *testing.T) (string, *remote) {
			r := newRemote(t, nil)
			r.Start()
			return strings.Replace(r.URL, "http:", "https:", 1), r
		}, "HTTP response to HTTPS client", upstream.Restarting},
		{"TLS of an old version", func(t *testing.T) (string, *remote) {
			r := newRemote(t, nil)
			r.TLS = &tls.Config{MaxVersion: tls.VersionTLS11, MinVersion: tls.VersionTLS10}
			r.StartTLS()
			return r.URL, r
		}, "protocol version", upstream.Restarting},
		{"redirect to another origin", func(t *testing.T) (string, *remote) {
			r := newRemote(t, nil)
			r.Config.Handler = http.RedirectHandler(elsewhere.URL, http.StatusTemporaryRedirect)
			r.Start()
			return r.URL, r
		}, "redirects to another origin", upstream.Restarting},
		{"nobody there", func(t *testing.T) (string, *remote) {
			r := newRemote(t, nil)
			r.Start()
			r.Close()
			return r.URL, r
		}, "connection refused", upstream.Restarting},
	} {
		t.Run(tt.name, func(t *testing.T) {
			url, r := tt.serve(t)
			g, u := front(t, url)
			_, err := g.Root().Handle(t.Context(), call("a__plain", `{}`), mcp.Discard)
			f, ok := errors.AsType[*upstream.Failure](err)
			if !ok || f.Class != upstream.Unavailable || !f.RetrySafe || f.RetryAfter <= 0 {
				t.Errorf("call: %v", err)
			}
			if st := u.Status(); st.State != tt.state || !strings.Contains(st.LastError, tt.want) {
				t.Errorf("%s: %q; want %s, %q", st.State, st.LastError, tt.state, tt.want)
			}
			if wire := fmt.Sprintf("%+v", mcp.ErrorOf(err)); strings.Contains(wire, "127.0.0.1") {
				t.Errorf("the caller is told an address: %s", wire)
			}
			if r.asked.Load() != 0 || elsewhere.asked.Load() != 0 {
				t.Errorf("%d and %d requests got through", r.asked.Load(), elsewhere.asked.Load())
			}
		})
	}
}
