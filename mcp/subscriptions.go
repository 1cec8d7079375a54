package mcp

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/fairlead-mcp/fairlead/mcp/jsonrpc"
	"github.com/go-json-experiment/json"
)

// maxSubscribedURIs bounds the resources of one subscription.
const maxSubscribedURIs = 1024

// NotificationFilter says which notifications a subscription wants (MCP
// 2026-07-28, basic/patterns/subscriptions, Notification Filter).
type NotificationFilter struct {
	ToolsListChanged      bool     `json:"toolsListChanged,omitzero"`
	PromptsListChanged    bool     `json:"promptsListChanged,omitzero"`
	ResourcesListChanged  bool     `json:"resourcesListChanged,omitzero"`
	ResourceSubscriptions []string `json:"resourceSubscriptions,omitempty"` // URIs
	TaskIDs               []string `json:"taskIds,omitempty"`               // of [ExtensionTasks]
}

// hub holds the open subscriptions of a server. The zero hub is ready.
type hub struct {
	mu     sync.Mutex
	closed bool
	subs   map[*subscription]struct{}
	byURI  map[string]map[*subscription]struct{} // resource URI -> who wants its updates
	byTask map[string]map[*subscription]struct{} // task id -> who wants its states
}

// subscription is one open subscriptions/listen request.
type subscription struct {
	filter NotificationFilter
	sink   Sink

	mu      sync.Mutex
	acked   bool            // the acknowledgement is out: notifications may follow
	pending []*Notification // what came before that; bounded by maxPending
}

// maxPending bounds what waits while an acknowledgement is written, which takes
// microseconds: 64 is a burst of changes. Beyond it the oldest is dropped.
const maxPending = 64

// ResourceUpdated tells who subscribed to uri that the resource has changed (MCP
// 2026-07-28, server/resources, Subscriptions).
func (s *Server) ResourceUpdated(uri string) {
	subs := s.hub.subscribers(uri)
	if len(subs) == 0 {
		return
	}
	n := NewNotification(NotificationResourceUpdated, append(jsonrpc.AppendString([]byte(`{"uri":`), uri), '}'))
	for _, sub := range subs {
		sub.notify(n)
	}
}

// listChanged tells who asked for it that a list has changed.
func (s *Server) listChanged(method string, wants func(*NotificationFilter) bool) {
	subs := s.hub.matching(wants)
	if len(subs) == 0 {
		return
	}
	n := NewNotification(method, nil)
	for _, sub := range subs {
		sub.notify(n)
	}
}

func (s *Server) toolsChanged() {
	s.listChanged(NotificationToolsListChanged, func(f *NotificationFilter) bool { return f.ToolsListChanged })
}

func (s *Server) promptsChanged() {
	s.listChanged(NotificationPromptsListChanged, func(f *NotificationFilter) bool { return f.PromptsListChanged })
}

func (s *Server) resourcesChanged() {
	s.listChanged(NotificationResourcesListChanged, func(f *NotificationFilter) bool { return f.ResourcesListChanged })
}

// listen answers subscriptions/listen with an open stream.
func (s *Server) listen(ctx context.Context, req *Request, sink Sink) (Result, error) {
	filter, err := s.honour(req)
	if err != nil {
		return Result{}, err
	}
	if filter.TaskIDs, err = s.watchable(ctx, req, filter.TaskIDs); err != nil {
		return Result{}, err
	}
	params, err := json.Marshal(&struct {
		Notifications NotificationFilter `json:"notifications"`
	}{filter})
	if err != nil {
		return Result{}, fmt.Errorf("encode acknowledgement: %w", err)
	}
	sub := &subscription{filter: filter, sink: sink}

	// Registered before it is acknowledged, so that no change is lost between
	// the two; what comes meanwhile waits in pending.
	open := s.hub.add(sub)
	if err := sub.acknowledge(NewNotification(NotificationAcknowledged, params)); err != nil {
		s.hub.remove(sub)
		return Result{}, fmt.Errorf("acknowledge subscription: %w", err)
	}
	if !open || !s.hub.has(sub) { // closed before or meanwhile
		return Result{Body: s.bare}, nil
	}
	s.tellTasks(ctx, sub, req.Principal)
	context.AfterFunc(ctx, func() { s.hub.remove(sub) })
	return Result{Stream: true}, nil
}

// honour reads the filter of a request and keeps what the server can do.
func (s *Server) honour(req *Request) (f NotificationFilter, err error) {
	raw := jsonrpc.Get(req.Params, "notifications")
	if !isObject(raw) {
		return f, ErrInvalidParams("params.notifications is not an object")
	}
	if json.Unmarshal(raw, &f) != nil {
		return f, ErrInvalidParams("params.notifications is not a notification filter")
	}
	if len(f.ResourceSubscriptions) > maxSubscribedURIs {
		return f, ErrInvalidParams("A subscription has at most %d resources", maxSubscribedURIs)
	}
	f.ToolsListChanged = f.ToolsListChanged && s.tools.declared.Load()
	f.PromptsListChanged = f.PromptsListChanged && s.prompts.declared.Load()
	f.ResourcesListChanged = f.ResourcesListChanged && s.offersResources()
	if !s.offersResources() {
		f.ResourceSubscriptions = nil
	}
	slices.Sort(f.ResourceSubscriptions)
	f.ResourceSubscriptions = slices.Compact(f.ResourceSubscriptions)
	return f, nil
}

// acknowledge sends the acknowledgement, and then what has waited for it.
func (sub *subscription) acknowledge(ack *Notification) error {
	next := []*Notification{ack}
	for {
		for _, n := range next {
			if err := sub.sink.Notify(n); err != nil {
				return err
			}
		}
		sub.mu.Lock()
		next, sub.pending = sub.pending, nil
		sub.acked = len(next) == 0
		sub.mu.Unlock()
		if len(next) == 0 {
			return nil
		}
	}
}

func (sub *subscription) notify(n *Notification) {
	sub.mu.Lock()
	if !sub.acked {
		if len(sub.pending) == maxPending {
			sub.pending = slices.Delete(sub.pending, 0, 1)
		}
		sub.pending = append(sub.pending, n)
		sub.mu.Unlock()
		return
	}
	sub.mu.Unlock()
	// An error means that the stream has ended: its context says so too, and removes it.
	_ = sub.sink.Notify(n)
}

// add registers sub; false if the hub is closed.
func (h *hub) add(sub *subscription) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return false
	}
	if h.subs == nil {
		h.subs = make(map[*subscription]struct{})
		h.byURI = make(map[string]map[*subscription]struct{})
		h.byTask = make(map[string]map[*subscription]struct{})
	}
	h.subs[sub] = struct{}{}
	enter(h.byURI, sub.filter.ResourceSubscriptions, sub)
	enter(h.byTask, sub.filter.TaskIDs, sub)
	return true
}

func enter(by map[string]map[*subscription]struct{}, keys []string, sub *subscription) {
	for _, key := range keys {
		if by[key] == nil {
			by[key] = make(map[*subscription]struct{})
		}
		by[key][sub] = struct{}{}
	}
}

func (h *hub) has(sub *subscription) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	_, ok := h.subs[sub]
	return ok
}

func (h *hub) remove(sub *subscription) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.removeLocked(sub)
}

func (h *hub) removeLocked(sub *subscription) {
	delete(h.subs, sub)
	leave(h.byURI, sub.filter.ResourceSubscriptions, sub)
	leave(h.byTask, sub.filter.TaskIDs, sub)
}

func leave(by map[string]map[*subscription]struct{}, keys []string, sub *subscription) {
	for _, key := range keys {
		if delete(by[key], sub); len(by[key]) == 0 {
			delete(by, key)
		}
	}
}

func (h *hub) subscribers(uri string) []*subscription {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Collect(maps.Keys(h.byURI[uri]))
}

// watchers are the subscribers of a task.
func (h *hub) watchers(id string) []*subscription {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Collect(maps.Keys(h.byTask[id]))
}

func (h *hub) matching(wants func(*NotificationFilter) bool) []*subscription {
	h.mu.Lock()
	defer h.mu.Unlock()
	var subs []*subscription
	for sub := range h.subs {
		if wants(&sub.filter) {
			subs = append(subs, sub)
		}
	}
	return subs
}

// close ends all subscriptions with res.
func (h *hub) close(res Result) {
	h.mu.Lock()
	h.closed = true
	subs := make([]*subscription, 0, len(h.subs))
	for sub := range h.subs {
		subs = append(subs, sub)
		h.removeLocked(sub)
	}
	h.mu.Unlock()
	for _, sub := range subs {
		sub.sink.End(res, nil)
	}
}
