package streamhttp

import (
	"sync"

	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/mcp/internal/legacy"
	"github.com/fairlead-mcp/fairlead/mcp/jsonrpc"
)

// strays finds the call of progress that comes on the GET stream of a session:
// some servers send it on whichever stream is at hand. The token, which is ours,
// names the call. Log messages have no such mark, and are nobody's.
type strays struct {
	mu    sync.Mutex
	calls map[string]*progressing // token of this hop -> call in flight
}

// progressing is a call whose caller wants its progress.
type progressing struct {
	token []byte // of the caller

	mu   sync.Mutex // held while x is told
	x    legacy.Exchange
	over bool
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
