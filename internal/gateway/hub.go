package gateway

import (
	"context"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/fairlead-mcp/fairlead/internal/limit"
	"github.com/fairlead-mcp/fairlead/internal/upstream"
	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/mcp/jsonrpc"
)

// maxURIs bounds the resources of one subscription.
const maxURIs = 1024

// settleTime bounds how long the upstreams can hold up an acknowledgement.
const settleTime = time.Second

// hub holds the open subscriptions of a door. They hold no goroutine.
type hub struct {
	g    *Gateway
	door *door

	binding sync.Mutex // held while watched resources get other owners; before mu

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
	lists  map[string]bool // methods of list changes that it wants
	detach func() bool     // stops waiting for the end of the request

	mu      sync.Mutex
	watched map[string]watch // URI of a resource that it wants -> who has it; the keys stay
	ended   bool
	acked   bool
	pending []*mcp.Notification // from before the acknowledgement; at most one per list and URI
	waiting map[string]bool     // what is pending
}

// watch is the subscription of an upstream's resource; zero while nobody has it.
type watch struct {
	owner *upstream.Upstream
	stop  func()
}

func newHub(g *Gateway, d *door) *hub {
	return &hub{g: g, door: d, subs: make(map[*sub]struct{}), dirty: make(map[string]bool)}
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
func (h *hub) listen(ctx context.Context, at *scope, req *mcp.Request, sink mcp.Sink) (mcp.Result, error) {
	filter := jsonrpc.Get(req.Params, "notifications")
	if len(filter) == 0 || filter[0] != '{' {
		return mcp.Result{}, mcp.ErrInvalidParams("notifications is missing or not an object")
	}
	s := &sub{sink: sink, lists: make(map[string]bool), watched: make(map[string]watch), waiting: make(map[string]bool)}
	var honoured []jsonrpc.Member
	for _, m := range filterMembers() {
		switch value := string(jsonrpc.Get(filter, m.member)); {
		case value == "true" && at.tells(m.capability):
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
		at.await(ctx)
		list := []byte{'['}
		for _, uri := range uris {
			w := at.watch(uri)
			if w.owner == nil {
				continue
			}
			s.watched[uri] = w
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
		s.end()
		return mcp.Result{}, err
	}
	if now := h.door.scope.Load(); now != at { // it has changed before the subscription was there to be told
		h.rebind(s, now, false)
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

// tells reports whether changes of a list can be told.
func (s *scope) tells(capability string) bool {
	switch {
	case s.virtual != nil:
		return s.virtual.has(capability)
	case !s.alone():
		return true // as the capabilities of Root say
	}
	c := s.upstreams[0].Catalogue()
	return c == nil || c.Has(capability)
}

// watch asks the owner of a resource for its updates. The watch is zero if there is
// nobody who could tell.
func (s *scope) watch(uri string) watch {
	t := s.watchable(uri)
	if t == nil {
		return watch{}
	}
	stop, ok := t.upstream.Subscribe(t.name)
	if !ok {
		return watch{}
	}
	return watch{t.upstream, stop}
}

func (s *scope) watchable(uri string) *target {
	var t *target
	if s.alone() {
		t = resourceOf(s.upstreams[0], uri)
	} else {
		t = s.owner(uri)
	}
	if t == nil || t.upstream.Catalogue() == nil || !t.upstream.Catalogue().Subscribes() {
		return nil
	}
	return t
}

// settle gives the upstreams a moment to know of the subscriptions, so that what
// the caller does after the acknowledgement is not missed.
func (s *sub) settle(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, settleTime)
	defer cancel()
	for _, u := range s.owners() {
		u.Settle(ctx)
	}
}

// owners are the upstreams of which resources are watched.
func (s *sub) owners() []*upstream.Upstream {
	s.mu.Lock()
	defer s.mu.Unlock()
	var owners []*upstream.Upstream
	for _, w := range s.watched {
		if w.owner != nil && !slices.Contains(owners, w.owner) {
			owners = append(owners, w.owner)
		}
	}
	return owners
}

// end ends the subscriptions upstream, for good.
func (s *sub) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = true
	for _, w := range s.watched {
		if w.stop != nil {
			w.stop()
		}
	}
}

func (h *hub) add(ctx context.Context, s *sub) error {
	if err := h.g.refuse(limit.NewStreams); err != nil {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed || len(h.subs) >= h.g.opts.MaxStreams {
		return &upstream.Failure{Class: upstream.Overloaded, Reason: "as many subscriptions are open as the node takes", RetryAfter: time.Second, RetrySafe: true}
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
	s.end()
}

// changed is told of a change of an upstream. It does not wait.
func (h *hub) changed(u *upstream.Upstream, c upstream.Change) {
	if c.URI != "" || c.Gap {
		h.updated(u, c)
	}
	h.changedLists(c.Lists)
	if slices.Contains(c.Lists, upstream.Resources) || slices.Contains(c.Lists, upstream.Templates) {
		now := h.door.scope.Load()
		for _, s := range h.open() {
			h.rebind(s, now, true)
		}
	}
}

// moved is told that the door has another scope: who listens learns what is different.
func (h *hub) moved(from, to *scope) {
	was, is := from.current(), to.current()
	var kinds []upstream.Kind
	for _, kind := range upstream.Kinds() {
		if was.lists[kind].generation != is.lists[kind].generation || kind == upstream.Tools && from.search != to.search {
			kinds = append(kinds, kind)
		}
	}
	h.changedLists(kinds)
	for _, s := range h.open() {
		h.rebind(s, to, false)
	}
}

// rebind follows watched resources to who has them now; orphans says that only those
// which nobody had are looked for. Of each that has another owner, or none any more,
// an update is told: who reads it then learns what has become of it, and the watch
// holds for when it comes back.
func (h *hub) rebind(s *sub, at *scope, orphans bool) {
	h.binding.Lock()
	defer h.binding.Unlock()
	s.mu.Lock()
	watched := maps.Clone(s.watched)
	s.mu.Unlock()
	for uri, was := range watched {
		if orphans && was.owner != nil || was.owner == at.watchable(uri).owner() {
			continue
		}
		is := at.watch(uri)
		s.mu.Lock()
		if s.ended {
			was = is // it has ended what it had itself
		} else {
			s.watched[uri] = is
		}
		s.mu.Unlock()
		if was.stop != nil {
			was.stop()
		}
		h.send(s, uri, updateOf(uri))
	}
}

// changedLists sees to it that changes of lists are told soon.
func (h *hub) changedLists(kinds []upstream.Kind) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed || len(h.subs) == 0 || len(kinds) == 0 {
		return
	}
	for _, kind := range kinds {
		h.dirty[changeMethod(kind)] = true
	}
	if h.timer == nil {
		h.timing.Add(1)
		h.timer = time.AfterFunc(h.g.opts.Coalesce, h.flush)
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
	if c.URI != "" {
		c.URI = h.door.scope.Load().exposedURI(u, c.URI)
	}
	encoded := make(map[string]*mcp.Notification)
	for _, s := range h.open() {
		for _, told := range s.concerned(u, c) {
			n := encoded[told]
			if n == nil {
				n = updateOf(told)
				encoded[told] = n
			}
			h.send(s, told, n)
		}
	}
}

// concerned lists the URIs that a subscription is told of after a change.
func (s *sub) concerned(u *upstream.Upstream, c upstream.Change) (uris []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for uri, w := range s.watched {
		switch {
		case w.owner != u:
		case c.Gap:
			uris = append(uris, uri)
		case covers(uri, c.URI):
			uris = append(uris, c.URI)
		}
	}
	return uris
}

func updateOf(uri string) *mcp.Notification {
	return mcp.NewNotification(mcp.NotificationResourceUpdated,
		jsonrpc.Splice(nil, nil, jsonrpc.Member{Key: "uri", Value: jsonrpc.AppendString(nil, uri)}))
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
