package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fairlead-mcp/fairlead/internal/config"
	"github.com/fairlead-mcp/fairlead/internal/gateway"
	"github.com/fairlead-mcp/fairlead/internal/upstream"
	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/mcp/jsonrpc"
	"github.com/fairlead-mcp/fairlead/mcp/streamhttp"
)

// front is the MCP listener: one endpoint for everything, and one for each upstream and virtual server.
type front struct {
	tokens    tokens
	endpoints map[string]*streamhttp.Handler // path -> endpoint
	sse       map[string]http.Handler        // path -> the same by HTTP+SSE, for clients of 2024-11-05
	running   atomic.Int64                   // requests, open streams included
}

func newFront(cfg *config.Config, upstreams []*upstream.Upstream, g *gateway.Gateway, log *slog.Logger) *front {
	f := &front{tokens: cfg.Auth.Tokens, endpoints: map[string]*streamhttp.Handler{}, sse: map[string]http.Handler{}}
	opts := &streamhttp.HandlerOptions{
		AllowedOrigins: cfg.AllowedOrigins,
		Limits:         jsonrpc.Limits{MaxBytes: int(cfg.Limits.Body)},
		MaxSessions:    cfg.Limits.Sessions,
		SessionTimeout: cfg.Limits.SessionIdle,
		CallTimeout:    longest(cfg, upstreams),
		OnPanic: func(method string, value any, stack []byte) {
			log.Error("panic", "component", "gateway", "method", method, "value", fmt.Sprint(value), "stack", string(stack))
		},
	}
	if len(f.tokens) > 0 {
		opts.Authenticate = f.tokens.authenticate
	}
	f.endpoints["/mcp"] = streamhttp.NewHandler(g.Root(), opts)
	f.sse["/sse"] = f.endpoints["/mcp"].SSE()
	for _, name := range g.Names() {
		if one, ok := g.One(name); ok {
			h := streamhttp.NewHandler(one, opts)
			f.endpoints["/mcp/"+name], f.sse["/sse/"+name] = h, h.SSE()
		}
	}
	return f
}

// longest is the time after which a call of any upstream has ended.
func longest(cfg *config.Config, upstreams []*upstream.Upstream) time.Duration {
	d := cfg.Limits.CallTimeout
	for _, u := range upstreams {
		d = max(d, u.Spec().CallTimeout)
	}
	return d
}

func (f *front) server() *http.Server { return streamhttp.NewServer("", f) }

func (f *front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.running.Add(1)
	defer f.running.Add(-1)
	if h, ok := f.endpoints[r.URL.Path]; ok {
		h.ServeHTTP(w, r)
		return
	}
	if h, ok := f.sse[r.URL.Path]; ok {
		h.ServeHTTP(w, r)
		return
	}
	// Who may not call is not told which paths there are.
	if len(f.tokens) > 0 {
		if _, err := f.tokens.authenticate(r); err != nil {
			w.Header().Set("WWW-Authenticate", "Bearer")
			http.Error(w, "Unauthorized", http.StatusUnauthorized)
			return
		}
	}
	http.Error(w, "There is nothing here; MCP is at /mcp", http.StatusNotFound)
}

// endSubscriptions completes the streams of the latest revision on all endpoints.
func (f *front) endSubscriptions() {
	for _, h := range f.endpoints {
		h.EndSubscriptions()
	}
}

// close ends streams and sessions of all endpoints side by side.
func (f *front) close(ctx context.Context) error {
	var wg sync.WaitGroup
	errs := make([]error, 0, len(f.endpoints))
	var mu sync.Mutex
	for path, h := range f.endpoints {
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
