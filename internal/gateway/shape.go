package gateway

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"

	"github.com/fairlead-mcp/fairlead/internal/upstream"
	"github.com/fairlead-mcp/fairlead/mcp"
)

// Shape is what a gateway is made of at one moment.
type Shape struct {
	Upstreams []*upstream.Upstream // in order of precedence
	Virtual   []Virtual
	// ToolSearch lists two tools of Root in place of all: find_tools and call_tool.
	ToolSearch bool
}

// shape is a Shape with what follows from it. It is immutable.
type shape struct {
	Shape
	doors   map[string]*door               // name -> one upstream, or a virtual server
	showing map[*upstream.Upstream][]*door // upstream -> who has something of it, Root included
}

// door is a server as callers reach it. What is behind it changes; its
// subscriptions, and the sessions of the transport in front, go on.
type door struct {
	scope atomic.Pointer[scope]
	hub   *hub
}

func newDoor(s *scope) *door {
	d := &door{}
	s.door = d
	d.scope.Store(s)
	d.hub = newHub(s.g, d)
	return d
}

// maxAgain bounds how often a call starts over. Once is enough, but for changes that
// come faster than calls.
const maxAgain = 8

// Handle implements [mcp.Handler]. A request sees one scope from begin to end. A call
// that came too late to an upstream which has been replaced was not sent, and starts over.
func (d *door) Handle(ctx context.Context, req *mcp.Request, sink mcp.Sink) (mcp.Result, error) {
	for range maxAgain {
		s := d.scope.Load()
		res, err := s.handle(ctx, req, sink)
		if !s.tooLate(err) {
			return res, err
		}
	}
	return mcp.Result{}, &upstream.Failure{Class: upstream.Overloaded, RetrySafe: true, Err: errors.New("the upstreams change all the time")}
}

// tooLate reports whether a call found its upstream retired, and there is something else by now.
func (s *scope) tooLate(err error) bool {
	return errors.Is(err, upstream.ErrRetired) && s.door.scope.Load() != s
}

// Set changes what the gateway is made of. Requests that run go on with what there
// was; later ones find the new shape. Subscribers learn which lists are different now,
// and what they watch is followed to its new owner. Upstreams that are no longer part
// of the shape are the caller's: [upstream.Upstream.Retire] them afterwards. It panics
// if two servers have the same name.
func (g *Gateway) Set(next Shape) {
	g.changing.Lock()
	defer g.changing.Unlock()
	last := g.shape.Load()
	now := &shape{Shape: next, doors: make(map[string]*door), showing: make(map[*upstream.Upstream][]*door)}

	var moves []move
	put := func(name string, d *door, s *scope) {
		s.g = g
		switch {
		case d != nil && d.scope.Load().same(s):
			s = d.scope.Load() // with the view that it has made
		case d != nil:
			s.door = d
			moves = append(moves, move{d, d.scope.Load(), s})
		default:
			d = newDoor(s)
		}
		if name != "" {
			if now.doors[name] != nil {
				panic("gateway: two servers named " + name)
			}
			now.doors[name] = d
		}
		for _, u := range s.upstreams {
			now.showing[u] = append(now.showing[u], d)
		}
	}
	put("", g.root, &scope{upstreams: next.Upstreams, prefixed: true, search: next.ToolSearch})
	for _, u := range next.Upstreams {
		put(u.Name(), last.doors[u.Name()], &scope{upstreams: []*upstream.Upstream{u}})
	}
	for i := range next.Virtual {
		v := &next.Virtual[i]
		put(v.Name, last.doors[v.Name], &scope{virtual: v, search: v.ToolSearch, upstreams: v.upstreams(next.Upstreams)})
	}

	g.watch(next.Upstreams) // before anybody can miss a change of theirs
	for _, m := range moves {
		m.door.scope.Store(m.to)
	}
	g.shape.Store(now)
	for _, m := range moves {
		m.door.hub.moved(m.from, m.to)
	}
	for name, d := range last.doors {
		if now.doors[name] == nil {
			d.scope.Store(&scope{g: g, door: d})
			d.hub.close()
		}
	}
	g.unwatch(next.Upstreams)
}

// move is a door that is getting another scope.
type move struct {
	door     *door
	from, to *scope
}

// same reports whether two scopes are made of the same things in the same way.
func (s *scope) same(t *scope) bool {
	return s.prefixed == t.prefixed && s.search == t.search && slices.Equal(s.upstreams, t.upstreams) &&
		(s.virtual == t.virtual || s.virtual != nil && t.virtual != nil && s.virtual.equal(t.virtual))
}

// watch follows the changes of upstreams that have not been followed so far.
func (g *Gateway) watch(upstreams []*upstream.Upstream) {
	if g.closed {
		return
	}
	for _, u := range upstreams {
		if g.watches[u] == nil {
			g.watches[u] = u.Watch(func(c upstream.Change) {
				g.cache.changed(u, c) // before others are told, who may then ask
				for _, d := range g.shape.Load().showing[u] {
					d.hub.changed(u, c)
				}
			})
		}
	}
}

// unwatch leaves all but the upstreams that are still there.
func (g *Gateway) unwatch(keep []*upstream.Upstream) {
	for u, stop := range g.watches {
		if !slices.Contains(keep, u) {
			stop()
			delete(g.watches, u)
			g.patience.forget(u)
			g.cache.forget(u)
		}
	}
}
