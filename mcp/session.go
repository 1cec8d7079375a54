package mcp

import "sync"

// Session is the life of the session that a request came in: of revisions until
// 2025-11-25, whose callers may rely on a server that remembers them. Two requests of
// one session have the same Session. The zero Session is one that lives.
type Session struct {
	mu    sync.Mutex
	ended bool
	last  int
	after map[int]func() // nil while nobody wants to know
}

// AfterEnd has fn called when the session has ended, unless stop is called before. It
// reports false, and never calls fn, if the session has ended already. fn must not
// block.
func (s *Session) AfterEnd(fn func()) (stop func(), ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return func() {}, false
	}
	if s.after == nil {
		s.after = make(map[int]func())
	}
	s.last++
	n := s.last
	s.after[n] = fn
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.after, n)
	}, true
}

// End ends the session. It is for transports.
func (s *Session) End() {
	s.mu.Lock()
	after := s.after
	s.ended, s.after = true, nil
	s.mu.Unlock()
	for _, fn := range after {
		fn()
	}
}
