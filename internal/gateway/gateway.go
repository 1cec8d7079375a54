package gateway

import (
	"context"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fairlead-mcp/fairlead/internal/limit"
	"github.com/fairlead-mcp/fairlead/internal/upstream"
	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/mcp/jsonrpc"
)

// Options are the optional settings of a [Gateway].
type Options struct {
	// Name and Version are the node's serverInfo. Empty means "fairlead" and "0".
	Name, Version string
	// Keys seal the handles that leave the node; the first seals, all open. Nodes
	// that share callers share keys. None means a random key, good until the process ends.
	Keys []mcp.SealKey
	// MaxCalls bounds the calls that run at the same time. Zero means 4096.
	MaxCalls int
	// PageSize bounds the entries of one page of a list. Zero means 500.
	PageSize int
	// ListWait is how long a list waits for upstreams that have never been listed. Zero means 1 s.
	ListWait time.Duration
	// Coalesce is how long list changes are collected before they are passed on. Zero means 250 ms.
	Coalesce time.Duration
	// Memory says which share of the node's memory is taken, from 0 to 1. Nil means the
	// share of GOMEMLIMIT.
	Memory func() float64
	// MaxStreams bounds the open subscriptions. Zero means 10,000.
	MaxStreams int
	// CacheBytes bounds the results that are kept for as long as their hints say. Zero
	// means 16 MiB.
	CacheBytes int64
	// RestBytes bounds what is kept of results that were cut. Zero means 32 MiB.
	RestBytes int
	// Virtual are servers made of chosen things of the upstreams, beside [Gateway.One] and
	// with names of their own.
	Virtual []Virtual
	// ToolSearch lists two tools of Root in place of all: find_tools and call_tool.
	ToolSearch bool
	// OnCall is told of each call that has ended. It must not block.
	OnCall func(Trace)
}

// At most a tenth of the calls are sent a second time, and after a quiet time a few at once.
const (
	retryShare = 0.1
	retryBurst = 10
)

// Gateway is many upstreams as one server. It is safe for concurrent use.
type Gateway struct {
	opts       Options
	stages     []stage
	serverInfo []byte
	sealer     *mcp.Sealer
	sealed     atomic.Int64 // Unix seconds until which a handle may be good that ends with this process
	admitted   counter
	shedder    *limit.Shedder
	retries    *limit.Budget
	history    *history
	patience   patience
	cache      *cache
	rests      *rests
	root       *door
	shape      atomic.Pointer[shape]

	changing sync.Mutex                    // held by Set and Close
	watches  map[*upstream.Upstream]func() // upstream -> what ends the watching of it
	closed   bool
}

// scope is one server that the gateway shows, as it is between two changes of its
// shape: all upstreams, one, a virtual server, or one that is gone.
type scope struct {
	g         *Gateway
	door      *door
	upstreams []*upstream.Upstream
	prefixed  bool     // whether names carry the upstream's name
	virtual   *Virtual // nil for the others
	search    bool     // whether tools are found by searching, not listed

	building sync.Mutex // held while a view is built, so that it is built once
	view     atomic.Pointer[view]
}

// New makes a gateway in front of upstreams, in order of precedence; opts may be
// nil. It does not run the upstreams. It panics if two have the same name.
func New(upstreams []*upstream.Upstream, opts *Options) *Gateway {
	g := &Gateway{watches: make(map[*upstream.Upstream]func())}
	if opts != nil {
		g.opts = *opts
	}
	if g.opts.Name == "" {
		g.opts.Name, g.opts.Version = "fairlead", "0"
	}
	for _, d := range []struct {
		value *int
		def   int
	}{{&g.opts.MaxCalls, 4096}, {&g.opts.PageSize, 500}, {&g.opts.MaxStreams, 10_000}, {&g.opts.RestBytes, 32 << 20}} {
		if *d.value == 0 {
			*d.value = d.def
		}
	}
	if g.opts.ListWait == 0 {
		g.opts.ListWait = time.Second
	}
	if g.opts.Coalesce == 0 {
		g.opts.Coalesce = 250 * time.Millisecond
	}
	if g.opts.OnCall == nil {
		g.opts.OnCall = func(Trace) {}
	}
	g.serverInfo = jsonrpc.Splice(nil, nil,
		jsonrpc.Member{Key: "name", Value: jsonrpc.AppendString(nil, g.opts.Name)},
		jsonrpc.Member{Key: "version", Value: jsonrpc.AppendString(nil, g.opts.Version)})
	g.sealer = mcp.NewSealer(g.opts.Keys...)
	g.stages = stages()
	g.admitted.init(g.opts.MaxCalls)
	g.shedder = limit.NewShedder(g.opts.Memory)
	g.retries = limit.NewBudget(retryShare, retryBurst)
	g.history = newHistory()
	if g.opts.CacheBytes == 0 {
		g.opts.CacheBytes = 16 << 20
	}
	g.cache = newCache(g.opts.CacheBytes)
	g.rests = newRests(g.opts.RestBytes, g.sealer)

	g.root = newDoor(&scope{g: g, prefixed: true})
	g.shape.Store(&shape{})
	g.Set(Shape{Upstreams: upstreams, Virtual: g.opts.Virtual, ToolSearch: g.opts.ToolSearch})
	return g
}

// alone reports whether the scope is one upstream as it is.
func (s *scope) alone() bool { return len(s.upstreams) == 1 && !s.prefixed && s.virtual == nil }

// name is that of the virtual server, or empty.
func (s *scope) name() string {
	if s.virtual == nil {
		return ""
	}
	return s.virtual.Name
}

// Root returns the server that has everything of all upstreams.
func (g *Gateway) Root() mcp.Handler { return g.root }

// One returns the server that is one upstream under its own names, or a virtual
// one. It stays the same when what is behind the name changes, and has nothing
// once the name is gone.
func (g *Gateway) One(name string) (mcp.Handler, bool) {
	d, ok := g.shape.Load().doors[name]
	return d, ok
}

// Names lists the servers that One returns, sorted.
func (g *Gateway) Names() []string { return slices.Sorted(maps.Keys(g.shape.Load().doors)) }

// Hidden lists what collides with something of an earlier upstream or is
// otherwise not offered by Root, in config order, and then the same of the virtual servers.
func (g *Gateway) Hidden() []Hidden {
	hidden := slices.Clone(g.root.scope.Load().current().hidden)
	now := g.shape.Load()
	for i := range now.Virtual {
		hidden = append(hidden, now.doors[now.Virtual[i].Name].scope.Load().current().hidden...)
	}
	return hidden
}

// Missing names the upstreams that have never been listed, in config order.
func (g *Gateway) Missing() []string { return g.root.scope.Load().missing() }

// HandlesUntil is when the last handle ends that only this process can honour: it
// stands for something at an upstream that the process has started or has a session
// with. It is zero if there was never one.
func (g *Gateway) HandlesUntil() time.Time {
	if n := g.sealed.Load(); n != 0 {
		return time.Unix(n, 0)
	}
	return time.Time{}
}

// Close ends all open subscriptions with their completion result. Calls go on.
func (g *Gateway) Close() {
	g.changing.Lock()
	defer g.changing.Unlock()
	g.closed = true
	for _, stop := range g.watches {
		stop()
	}
	g.root.hub.close()
	for _, d := range g.shape.Load().doors {
		d.hub.close()
	}
}

// handle answers a request with what the scope is.
func (s *scope) handle(ctx context.Context, req *mcp.Request, sink mcp.Sink) (mcp.Result, error) {
	switch req.Method {
	case mcp.MethodDiscover:
		return s.discover(ctx, tasksFor(req.Meta.Version))
	case mcp.MethodListTools:
		if s.search {
			return s.listSearch(req)
		}
		return s.list(ctx, upstream.Tools, req)
	case mcp.MethodListResources:
		return s.list(ctx, upstream.Resources, req)
	case mcp.MethodListTemplates:
		return s.list(ctx, upstream.Templates, req)
	case mcp.MethodListPrompts:
		return s.list(ctx, upstream.Prompts, req)
	case mcp.MethodCallTool, mcp.MethodGetPrompt, mcp.MethodReadResource, mcp.MethodComplete:
		return s.call(ctx, req, sink)
	case mcp.MethodGetTask, mcp.MethodUpdateTask, mcp.MethodCancelTask:
		if !carriesTasks(req.Meta.Version) {
			break
		}
		return s.call(ctx, req, sink)
	case mcp.MethodListSkills, mcp.MethodGetSkill, mcp.MethodReadDirectory:
		if s.alone() { // beside others, a skill's files are resources like any
			return s.call(ctx, req, sink)
		}
	case mcp.MethodListen:
		return s.door.hub.listen(ctx, s, req, sink)
	}
	return mcp.Result{}, mcp.ErrMethodNotFound(req.Method)
}

// current returns the view of what the upstreams now offer.
func (s *scope) current() *view {
	if v := s.view.Load(); v != nil && v.fresh(s.upstreams) {
		return v
	}
	s.building.Lock()
	defer s.building.Unlock()
	v := s.view.Load()
	if v == nil || !v.fresh(s.upstreams) {
		v = buildView(s)
		s.view.Store(v)
	}
	return v
}

func (s *scope) missing() []string {
	var names []string
	for _, u := range s.upstreams {
		if u.Catalogue() == nil {
			names = append(names, u.Name())
		}
	}
	return names
}

func (s *scope) stale() []string {
	var names []string
	for _, u := range s.upstreams {
		if u.Stale() {
			names = append(names, u.Name())
		}
	}
	return names
}

// await gives upstreams that have never been listed ListWait, counted once from when
// they were first waited for: a slow one delays the first lists and no others. Those
// of which an attempt has failed get none.
func (s *scope) await(ctx context.Context) {
	type wait struct {
		u     *upstream.Upstream
		until time.Time
	}
	if _, shed := s.g.shed(limit.ListWaits); shed {
		return // with what is known
	}
	var waits []wait // for all of them at the same time
	for _, u := range s.upstreams {
		if u.Catalogue() != nil {
			continue
		}
		u.Wake()
		if u.Status().State == upstream.Starting {
			waits = append(waits, wait{u, s.g.patience.until(u, s.g.opts.ListWait)})
		}
	}
	for _, w := range waits {
		left := time.Until(w.until)
		if left <= 0 {
			continue
		}
		timer := time.NewTimer(left)
		select {
		case <-w.u.Listed():
		case <-timer.C:
		case <-ctx.Done():
		}
		timer.Stop()
	}
}

// patience remembers until when lists wait for an upstream.
type patience struct {
	mu   sync.Mutex
	ends map[*upstream.Upstream]time.Time
}

func (p *patience) until(u *upstream.Upstream, wait time.Duration) time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	end, ok := p.ends[u]
	if !ok {
		if p.ends == nil {
			p.ends = make(map[*upstream.Upstream]time.Time)
		}
		end = time.Now().Add(wait)
		p.ends[u] = end
	}
	return end
}

func (p *patience) forget(u *upstream.Upstream) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.ends, u)
}
