package streamhttp

import (
	"slices"
	"sync"

	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/mcp/internal/legacy"
	"github.com/fairlead-mcp/fairlead/mcp/jsonrpc"
)

// strays finds the call of what comes on the GET stream of a session: some servers
// send on whichever stream is at hand. The token of progress, which is ours, names
// the call. Log messages and questions have no such mark: they are nobody's, unless
// all calls are of one party.
type strays struct {
	mu     sync.Mutex
	calls  map[string]*progressing // token of this hop -> call in flight
	askers []*progressing          // calls of the one party that may be asked, in the order in which they began
}

// progressing is a call that something on the GET stream may be for.
type progressing struct {
	token []byte // of the caller; nil if it wants no progress

	mu   sync.Mutex // held while x is told
	x    legacy.Exchange
	over bool
}

// join enters a call that may be asked, in a session whose calls are all of one party.
func (s *strays) join(x legacy.Exchange) (end func()) {
	p := &progressing{x: x}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.askers = append(s.askers, p)
	return func() {
		s.mu.Lock()
		i := slices.Index(s.askers, p)
		s.askers = slices.Delete(s.askers, i, i+1)
		s.mu.Unlock()
		p.mu.Lock()
		defer p.mu.Unlock()
		p.over = true
	}
}

// newest is the call that a question on the GET stream is for, as on a pipe of one
// party; nil if there is none.
func (s *strays) newest() legacy.Exchange {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.askers) == 0 {
		return nil
	}
	return s.askers[len(s.askers)-1].x // its Ask refuses when it is over
}

// logged gives a log message to the call that is alone in flight.
func (s *strays) logged(params []byte) {
	s.mu.Lock()
	var p *progressing
	if len(s.askers) == 1 {
		p = s.askers[0]
	}
	s.mu.Unlock()
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.over {
		_ = p.x.Notify(mcp.NewNotification(mcp.NotificationMessage, params)) // its caller may have gone
	}
}

// expect enters a call; the function that it returns takes it out, and waits until it is told nothing more.
func (s *strays) expect(hop, caller []byte, x legacy.Exchange) (end func()) {
	if caller == nil {
		return func() {}
	}
	p := &progressing{token: caller, x: x}
	key := string(hop)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.calls == nil {
		s.calls = make(map[string]*progressing)
	}
	s.calls[key] = p
	return func() {
		s.mu.Lock()
		delete(s.calls, key)
		s.mu.Unlock()
		p.mu.Lock()
		defer p.mu.Unlock()
		p.over = true
	}
}

// deliver gives progress to its call, if that is in flight.
func (s *strays) deliver(params []byte) {
	hop := jsonrpc.Get(params, mcp.MetaProgressToken)
	s.mu.Lock()
	p := s.calls[string(hop)]
	s.mu.Unlock()
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if own, ok := callerProgress(params, hop, p.token); ok && !p.over {
		_ = p.x.Notify(mcp.NewNotification(mcp.NotificationProgress, own)) // its caller may have gone
	}
}
