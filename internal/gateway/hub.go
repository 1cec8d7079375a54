package gateway

import (
	"context"
	"strings"
	"sync"
	"time"

	"github.com/fairlead-mcp/fairlead/internal/upstream"
	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/mcp/jsonrpc"
)

// maxURIs bounds the resources of one subscription.
const maxURIs = 1024

// settleTime bounds how long the upstreams can hold up an acknowledgement.
const settleTime = time.Second

// hub holds the open subscriptions of a scope. They hold no goroutine.
type hub struct {
	scope *scope

	mu     sync.Mutex
	closed bool
	subs   map[*sub]struct{}
	dirty  map[string]bool // notifications to send when the timer fires
	timer  *time.Timer     // nil while nothing is dirty
	timing sync.WaitGroup  // callbacks of timer to come or running
}

// sub is one subscription.
type sub struct {
	sink   mcp.Sink
	lists  map[string]bool               // methods of list changes that it wants
	uris   map[string]*upstream.Upstream // resources that it wants, with who owns them
	stops  []func()                      // upstream subscriptions
	detach func() bool                   // stops waiting for the end of the request

	mu      sync.Mutex
	acked   bool
	pending []*mcp.Notification // from before the acknowledgement; at most one per list and URI
	waiting map[string]bool     // what is pending
}

func newHub(s *scope) *hub {
	return &hub{scope: s, subs: make(map[*sub]struct{}), dirty: make(map[string]bool)}
}

// filterMembers are the members of a filter that ask for changes of lists.
func filterMembers() [3]struct{ member, capability, method string } {
	return [3]struct{ member, capability, method string }{
		{"toolsListChanged", "tools", mcp.NotificationToolsListChanged},
		{"promptsListChanged", "prompts", mcp.NotificationPromptsListChanged},
		{"resourcesListChanged", "resources", mcp.NotificationResourcesListChanged},
	}
}

// listen answers subscriptions/listen (MCP 2026-07-28, basic/patterns/subscriptions):
// it says what can be honoured; the subscriptions upstream form behind it.
func (h *hub) listen(ctx context.Context, req *mcp.Request, sink mcp.Sink) (mcp.Result, error) {
	filter := jsonrpc.Get(req.Params, "notifications")
	if len(filter) == 0 || filter[0] != '{' {
		return mcp.Result{}, mcp.ErrInvalidParams("notifications is missing or not an object")
	}
	s := &sub{sink: sink, lists: make(map[string]bool), uris: make(map[string]*upstream.Upstream), waiting: make(map[string]bool)}
	var honoured []jsonrpc.Member
	for _, m := range filterMembers() {
		switch value := string(jsonrpc.Get(filter, m.member)); {
		case value == "true" && h.offers(m.capability):
			s.lists[m.method] = true
			honoured = append(honoured, jsonrpc.Member{Key: m.member, Value: []byte("true")})
		case value != "" && value != "true" && value != "false":
			return mcp.Result{}, mcp.ErrInvalidParams("notifications.%s must be a boolean", m.member)
		}
	}
	uris, err := filterURIs(filter)
	if err != nil {
		return mcp.Result{}, err
	}
	if len(uris) > 0 {
		h.scope.await(ctx)
		list := []byte{'['}
		for _, uri := range uris {
			if !h.subscribe(s, uri) {
				continue
			}
			if len(list) > 1 {
				list = append(list, ',')
			}
			list = jsonrpc.AppendString(list, uri)
		}
		if len(list) > 1 {
			honoured = append(honoured, jsonrpc.Member{Key: "resourceSubscriptions", Value: append(list, ']')})
		}
	}
	if err := h.add(ctx, s); err != nil {
		for _, stop := range s.stops {
			stop()
		}
		return mcp.Result{}, err
	}
	s.settle(ctx) // what comes meanwhile is kept for after the acknowledgement
	ack := jsonrpc.Splice(nil, nil, jsonrpc.Member{Key: "notifications", Value: jsonrpc.Splice(nil, nil, honoured...)})
	if err := s.acknowledge(mcp.NewNotification(mcp.NotificationAcknowledged, ack)); err != nil {
		h.remove(s)
		return mcp.Result{}, err
	}
	return mcp.Result{Stream: true}, nil
}

// filterURIs returns the resources of a filter, each once.
func filterURIs(filter []byte) ([]string, error) {
	raw := jsonrpc.Get(filter, "resourceSubscriptions")
	if raw == nil {
		return nil, nil
	}
	if raw[0] != '[' {
		return nil, mcp.ErrInvalidParams("notifications.resourceSubscriptions must be an array of strings")
	}
	var uris []string
	seen := make(map[string]bool)
	for e := range jsonrpc.Elements(raw) {
		uri, ok := jsonrpc.Unquote(e)
		if !ok {
			return nil, mcp.ErrInvalidParams("notifications.resourceSubscriptions must be an array of strings")
		}
		if seen[uri] {
			continue
		}
		if len(uris) == maxURIs {
			return nil, mcp.ErrInvalidParams("notifications.resourceSubscriptions has more than %d resources", maxURIs)
		}
		seen[uri] = true
		uris = append(uris, uri)
	}
	return uris, nil
}

// offers reports whether changes of a list can be told.
func (h *hub) offers(capability string) bool {
	if v := h.scope.virtual; v != nil {
		return v.has(capability)
	}
	if h.scope.prefixed {
		return true // as the capabilities of Root say
	}
	c := h.scope.upstreams[0].Catalogue()
	return c == nil || c.Has(capability)
}

// subscribe asks the owner of a resource for its updates.
func (h *hub) subscribe(s *sub, uri string) bool {
	u := h.scope.upstreams[0]
	if !h.scope.alone() {
		if u = h.scope.current().owner(uri); u == nil {
			return false
		}
	}
	if c := u.Catalogue(); c == nil || !c.Subscribes() {
		return false
	}
	stop, ok := u.Subscribe(uri)
	if !ok {
		return false
	}
	s.uris[uri] = u
	s.stops = append(s.stops, stop)
	return true
}

// settle gives the upstreams a moment to know of the subscriptions, so that what
// the caller does after the acknowledgement is not missed.
func (s *sub) settle(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, settleTime)
	defer cancel()
	for _, u := range s.uris {
		u.Settle(ctx)
	}
}

func (h *hub) add(ctx context.Context, s *sub) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed || len(h.subs) >= h.scope.g.opts.MaxStreams {
		return &upstream.Failure{Class: upstream.Overloaded, RetryAfter: time.Second, RetrySafe: true}
	}
	h.subs[s] = struct{}{}
	s.detach = context.AfterFunc(ctx, func() { h.remove(s) })
	return nil
}

// remove forgets a subscription that has ended. Only the first call does anything.
func (h *hub) remove(s *sub) {
	h.mu.Lock()
	_, there := h.subs[s]
	delete(h.subs, s)
	h.mu.Unlock()
	if !there {
		return
	}
	s.detach()
	for _, stop := range s.stops {
		stop()
	}
}

// changed is told of a change of an upstream. It does not wait.
func (h *hub) changed(u *upstream.Upstream, c upstream.Change) {
	if c.URI != "" || c.Gap {
		h.updated(u, c)
	}
	if len(c.Lists) == 0 {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed || len(h.subs) == 0 {
		return
	}
	for _, kind := range c.Lists {
		h.dirty[changeMethod(kind)] = true
	}
	if h.timer == nil {
		h.timing.Add(1)
		h.timer = time.AfterFunc(h.scope.g.opts.Coalesce, h.flush)
	}
}

func changeMethod(kind upstream.Kind) string {
	switch kind {
	case upstream.Tools:
		return mcp.NotificationToolsListChanged
	case upstream.Prompts:
		return mcp.NotificationPromptsListChanged
	}
	return mcp.NotificationResourcesListChanged
}

// flush tells of the list changes since the last time.
func (h *hub) flush() {
	defer h.timing.Done()
	h.mu.Lock()
	h.timer = nil
	dirty := h.dirty
	h.dirty = make(map[string]bool)
	h.mu.Unlock()
	for _, m := range filterMembers() {
		if !dirty[m.method] {
			continue
		}
		n := mcp.NewNotification(m.method, nil)
		for _, s := range h.open() {
			if s.lists[m.method] {
				h.send(s, m.method, n)
			}
		}
	}
}

// updated tells of an updated resource or, after a gap, of all resources of the
// upstream: what was missed is not known.
func (h *hub) updated(u *upstream.Upstream, c upstream.Change) {
	encoded := make(map[string]*mcp.Notification)
	for _, s := range h.open() {
		for uri, owner := range s.uris {
			if owner != u || !c.Gap && !covers(uri, c.URI) {
				continue
			}
			told := uri
			if !c.Gap {
				told = c.URI
			}
			n := encoded[told]
			if n == nil {
				n = mcp.NewNotification(mcp.NotificationResourceUpdated,
					jsonrpc.Splice(nil, nil, jsonrpc.Member{Key: "uri", Value: jsonrpc.AppendString(nil, told)}))
				encoded[told] = n
			}
			h.send(s, told, n)
		}
	}
}

// covers reports whether an update of uri is for a subscription to subscribed: the
// same resource, or one below it (MCP 2026-07-28, server/resources).
func covers(subscribed, uri string) bool {
	rest, ok := strings.CutPrefix(uri, subscribed)
	return ok && (rest == "" || rest[0] == '/' || strings.HasSuffix(subscribed, "/"))
}

func (h *hub) open() []*sub {
	h.mu.Lock()
	defer h.mu.Unlock()
	subs := make([]*sub, 0, len(h.subs))
	for s := range h.subs {
		subs = append(subs, s)
	}
	return subs
}

func (h *hub) send(s *sub, key string, n *mcp.Notification) {
	s.mu.Lock()
	if !s.acked {
		if !s.waiting[key] {
			s.waiting[key] = true
			s.pending = append(s.pending, n)
		}
		s.mu.Unlock()
		return
	}
	s.mu.Unlock()
	if s.sink.Notify(n) != nil {
		h.remove(s)
	}
}

// acknowledge sends the first notification of the stream, and then what came in the meantime.
func (s *sub) acknowledge(n *mcp.Notification) error {
	if err := s.sink.Notify(n); err != nil {
		return err
	}
	for {
		s.mu.Lock()
		pending := s.pending
		s.pending = nil
		clear(s.waiting)
		s.acked = len(pending) == 0
		s.mu.Unlock()
		if len(pending) == 0 {
			return nil
		}
		for _, n := range pending {
			if err := s.sink.Notify(n); err != nil {
				return err
			}
		}
	}
}

// close completes all subscriptions and takes no new ones.
func (h *hub) close() {
	h.mu.Lock()
	h.closed = true
	if h.timer != nil && h.timer.Stop() {
		h.timing.Done()
	}
	h.timer = nil
	h.mu.Unlock()
	h.timing.Wait()
	for _, s := range h.open() {
		h.remove(s)
		s.sink.End(mcp.Result{}, nil)
	}
}
