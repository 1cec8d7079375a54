package daemon

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/fairlead-mcp/fairlead/internal/config"
	"github.com/fairlead-mcp/fairlead/internal/upstream"
	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/mcp/jsonrpc"
)

// Server is an upstream that is compiled into the program.
type Server struct {
	Name    string // as an upstream's in the config
	Handler mcp.Handler
	// CallTimeout bounds a call. Zero means the config's limits.call_timeout.
	CallTimeout time.Duration
	// MaxConcurrent bounds the calls that run at the same time. Zero means an upstream's default.
	MaxConcurrent int
	// Critical says that the node is not ready without it.
	Critical bool
}

// namesAreFree refuses names of the program's servers that are no names, or that
// something else has.
func (d *Daemon) namesAreFree(cfg *config.Config) error {
	taken := make(map[string]bool)
	for i := range cfg.Upstreams {
		taken[cfg.Upstreams[i].Name] = true
	}
	for _, s := range d.opts.Servers {
		if err := config.CheckName(s.Name); err != nil {
			return err
		}
		if taken[s.Name] {
			return fmt.Errorf("two upstreams have the name %q: give the server of the program another one", s.Name)
		}
		taken[s.Name] = true
		if slices.ContainsFunc(cfg.Virtual, func(v config.Virtual) bool { return v.Name == s.Name }) {
			return fmt.Errorf("a virtual server has the name %q: give one of them another", s.Name)
		}
	}
	return nil
}

// server is the blueprint of a server that is compiled in.
func (d *Daemon) server(s *Server, cfg *config.Config) *blueprint {
	spec := upstream.Spec{CallTimeout: cmp.Or(s.CallTimeout, cfg.Limits.CallTimeout), MaxConcurrent: s.MaxConcurrent, Era: upstream.EraModern}
	return &blueprint{member{name: s.Name, spec: spec, critical: s.Critical}, func() *upstream.Options {
		opts := d.upstreamOptions()
		opts.Dial = d.dialServer(*s)
		return opts
	}}
}

// dialServer makes the connection to a server that is compiled in: it needs none
// and never breaks.
func (d *Daemon) dialServer(s Server) func(context.Context, upstream.Whose) (*upstream.Conn, error) {
	limit := s.MaxConcurrent
	if limit == 0 {
		limit = upstream.DefaultMaxConcurrent
	}
	conn := &upstream.Conn{
		Handler: &contained{d: d, name: s.Name, next: s.Handler, slots: make(chan struct{}, limit+ownCalls)},
		Version: func() mcp.Version { return mcp.LatestVersion },
	}
	return func(context.Context, upstream.Whose) (*upstream.Conn, error) { return conn, nil }
}

// contained keeps a compiled-in server from harming the node. A panic is an
// internal error to one caller, told in the log with its stack. A handler that
// does not end when its context does costs the caller no more time; its goroutine
// keeps a slot for as long as it lives, so that there are not ever more of them.
type contained struct {
	d     *Daemon
	name  string
	next  mcp.Handler
	slots chan struct{}
}

func (c *contained) Handle(ctx context.Context, req *mcp.Request, sink mcp.Sink) (mcp.Result, error) {
	select {
	case c.slots <- struct{}{}:
	default: // the upstream has let us through: others that have ended for their callers still run
		return mcp.Result{}, &upstream.Failure{
			Class: upstream.Overloaded, Upstream: c.name, RetryAfter: time.Second, RetrySafe: true,
			Err: errors.New("handlers do not end when their calls do"),
		}
	}
	req = req.Clone() // who does not end in time reads it after we have returned
	out := &lease{sink: sink}
	type end struct {
		res mcp.Result
		err error
	}
	done := make(chan end, 1)
	go func() { // ends with the handler
		defer func() { <-c.slots }()
		var e end
		e.res, e.err = c.recovered(ctx, req, out)
		done <- e
	}()
	select {
	case e := <-done:
		if !e.res.Stream {
			out.end()
		}
		return e.res, e.err
	case <-ctx.Done():
	}
	// Who ends with the context is let finish: it has the better reason.
	late := time.NewTimer(leaveTime)
	defer late.Stop()
	select {
	case e := <-done:
		out.end()
		return e.res, e.err
	case <-late.C:
		out.end()
		c.d.log.Warn("handler does not end", "component", "server", "upstream", c.name, "method", req.Method, "name", req.Name)
		return mcp.Result{}, context.Cause(ctx)
	}
}

// ownCalls are those of the node beside the callers': lists, probes, a stream.
const ownCalls = 16

// leaveTime is how long a handler may take to end after its context has.
const leaveTime = 25 * time.Millisecond

func (c *contained) recovered(ctx context.Context, req *mcp.Request, sink mcp.Sink) (res mcp.Result, err error) {
	defer func() {
		if value := recover(); value != nil {
			c.d.log.Error("panic contained", "component", "server", "upstream", c.name, "method", req.Method, "name", req.Name, "panic", fmt.Sprint(value), "stack", string(debug.Stack()))
			res, err = mcp.Result{}, mcp.Errorf(jsonrpc.CodeInternalError, "internal error")
		}
	}()
	return c.next.Handle(ctx, req, sink)
}

// lease is a sink that can be taken back from a handler that goes on.
type lease struct {
	sink mcp.Sink

	mu    sync.Mutex
	ended bool
}

func (l *lease) Notify(n *mcp.Notification) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended {
		return mcp.ErrSinkClosed
	}
	return l.sink.Notify(n)
}

func (l *lease) End(res mcp.Result, err error) { l.sink.End(res, err) }

func (l *lease) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ended = true
}
