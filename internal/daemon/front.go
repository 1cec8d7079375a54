package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fairlead-mcp/fairlead/internal/config"
	"github.com/fairlead-mcp/fairlead/internal/gateway"
	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/mcp/jsonrpc"
	"github.com/fairlead-mcp/fairlead/mcp/streamhttp"
)

// front is the MCP listener: one endpoint for everything, and one for each upstream and virtual server.
type front struct {
	auth      *auth
	opts      *streamhttp.HandlerOptions
	endpoints atomic.Pointer[map[string]endpoint] // path -> endpoint
	running   atomic.Int64                        // requests, open streams included
	elsewhere atomic.Pointer[relay]               // where some requests belong during an upgrade; nil else
	relaying  atomic.Bool                         // another process passes requests on to this one
}

// endpoint is one server, at /mcp... and by HTTP+SSE, for clients of 2024-11-05, at /sse...
type endpoint struct {
	*streamhttp.Handler
	sse http.Handler
}

func newEndpoint(h mcp.Handler, opts *streamhttp.HandlerOptions) endpoint {
	s := streamhttp.NewHandler(h, opts)
	return endpoint{s, s.SSE()}
}

func newFront(cfg *config.Config, a *auth, g *gateway.Gateway, log *slog.Logger) *front {
	f := &front{auth: a}
	f.opts = &streamhttp.HandlerOptions{
		Authenticate:   f.authenticate,
		AllowedOrigins: cfg.AllowedOrigins,
		Limits:         jsonrpc.Limits{MaxBytes: int(cfg.Limits.Body)},
		MaxSessions:    cfg.Limits.Sessions,
		SessionTimeout: cfg.Limits.SessionIdle,
		CallTimeout:    longest,
		OnPanic: func(method string, value any, stack []byte) {
			log.Error("panic", "component", "gateway", "method", method, "value", fmt.Sprint(value), "stack", string(stack))
		},
	}
	f.endpoints.Store(&map[string]endpoint{"/mcp": newEndpoint(g.Root(), f.opts)})
	f.follow(g)
	return f
}

// follow gives everything that the gateway has an endpoint, and returns the endpoints
// of what it has no more: the caller closes them. Those that stay keep their sessions.
func (f *front) follow(g *gateway.Gateway) (gone []*streamhttp.Handler) {
	last := *f.endpoints.Load()
	next := map[string]endpoint{"/mcp": last["/mcp"]}
	for _, name := range g.Names() {
		path := "/mcp/" + name
		e, ok := last[path]
		if !ok {
			one, _ := g.One(name)
			e = newEndpoint(one, f.opts)
		}
		next[path] = e
	}
	f.endpoints.Store(&next)
	for path, e := range last {
		if _, stays := next[path]; !stays {
			gone = append(gone, e.Handler)
		}
	}
	return gone
}

// longest bounds calls of sessions in front of the gateway, which ends each of them
// by the deadlines of its upstream: those change while the node runs.
const longest = 24 * time.Hour

func (f *front) server() *http.Server { return streamhttp.NewServer("", f) }

func (f *front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.running.Add(1)
	defer f.running.Add(-1)
	if x := f.elsewhere.Load(); x != nil && x.divert(w, r) {
		return
	}
	f.local(w, r)
}

// authenticate says who makes a request: by its token, if the node has any, or as
// another process of the node has found out.
func (f *front) authenticate(r *http.Request) (mcp.Principal, error) {
	if f.relaying.Load() {
		if who, ok, err := relayedPrincipal(r); ok {
			return who, err
		}
	}
	return f.auth.authenticate(r)
}

// find returns the endpoint of a path, and whether the path is that of HTTP+SSE.
func (f *front) find(path string) (e endpoint, sse, ok bool) {
	endpoints := *f.endpoints.Load()
	if e, ok = endpoints[path]; ok {
		return e, false, true
	}
	if name, isSSE := strings.CutPrefix(path, "/sse"); isSSE {
		e, ok = endpoints["/mcp"+name]
		return e, true, ok
	}
	return e, false, false
}

// sessions is the number of open sessions.
func (f *front) sessions() (n int) {
	for _, e := range *f.endpoints.Load() {
		n += e.Sessions()
	}
	return n
}

// local answers a request that is for this process.
func (f *front) local(w http.ResponseWriter, r *http.Request) {
	if e, sse, ok := f.find(r.URL.Path); ok {
		if sse {
			e.sse.ServeHTTP(w, r)
		} else {
			e.ServeHTTP(w, r)
		}
		return
	}
	// Who may not call is not told which paths there are.
	if _, err := f.authenticate(r); err != nil {
		w.Header().Set("WWW-Authenticate", "Bearer")
		http.Error(w, "Unauthorized", http.StatusUnauthorized)
		return
	}
	http.Error(w, "There is nothing here; MCP is at /mcp", http.StatusNotFound)
}

// endSubscriptions completes the streams of the latest revision on all endpoints.
func (f *front) endSubscriptions() {
	for _, h := range *f.endpoints.Load() {
		h.EndSubscriptions()
	}
}

// close ends streams and sessions of all endpoints side by side.
func (f *front) close(ctx context.Context) error {
	var wg sync.WaitGroup
	endpoints := *f.endpoints.Load()
	errs := make([]error, 0, len(endpoints))
	var mu sync.Mutex
	for path, h := range endpoints {
		wg.Go(func() {
			if err := h.Close(ctx); err != nil {
				mu.Lock()
				defer mu.Unlock()
				errs = append(errs, fmt.Errorf("%s: %w", path, err))
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

var _ http.Handler = (*front)(nil)

// principal is who has the token of this name.
func principal(name string) mcp.Principal { return mcp.Principal{Issuer: "token", Subject: name} }
