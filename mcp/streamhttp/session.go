package streamhttp

import (
	"crypto/rand"
	"sync"
	"time"

	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/mcp/internal/legacy"
)

// sessions are the sessions of old clients (MCP 2025-11-25, basic/transports,
// Session Management). Nothing runs for an idle one; one timer, alive only while
// there are sessions, ends those that are idle for too long.
type sessions struct {
	timeout        time.Duration
	store          EventStore
	max, maxPerOne int

	mu     sync.Mutex
	byID   map[string]*session
	perOne map[mcp.Principal]int // who is not anonymous -> sessions
	timer  *time.Timer           // nil while there are no sessions
	closed bool
	busy   int           // uses of sessions, all together
	idle   chan struct{} // closed when closed and not busy
}

// A session is a legacy session and what HTTP adds to it. Its fields are guarded by sessions.mu.
type session struct {
	*legacy.Session
	id       string
	who      mcp.Principal
	lastUsed time.Time
	uses     int // calls and streams that are open
	ended    bool

	lastTrack uint64            // number of the newest track
	calls     map[uint64]*track // number -> the stream of a call that runs; nil without
	out       *track            // the GET stream, with a connection or waiting for one; nil before the first
}

// maxUses bounds the calls and streams of one session that are open at once:
// calls go on without their connections.
const maxUses = 1024

func (s *sessions) init(o *HandlerOptions) {
	s.timeout, s.max, s.maxPerOne = o.SessionTimeout, o.MaxSessions, o.MaxSessionsPerPrincipal
	s.store = o.EventStore
	s.byID = map[string]*session{}
	s.perOne = map[mcp.Principal]int{}
	s.idle = make(chan struct{})
}

// full reports whether who can have no more sessions.
func (s *sessions) full(who mcp.Principal) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.fullLocked(who)
}

func (s *sessions) fullLocked(who mcp.Principal) bool {
	return s.closed || len(s.byID) >= s.max || !who.Anonymous() && s.perOne[who] >= s.maxPerOne
}

// add gives a session an id: 130 random bits in base32.
func (s *sessions) add(l *legacy.Session, who mcp.Principal) (id string, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fullLocked(who) {
		return "", false
	}
	id = rand.Text()
	s.byID[id] = &session{Session: l, id: id, who: who, lastUsed: time.Now()}
	if !who.Anonymous() {
		s.perOne[who]++
	}
	if s.timer == nil {
		s.timer = time.AfterFunc(s.sweepEvery(), s.sweep)
	}
	return id, true
}

// sweepEvery makes a session live at most an eighth longer than it should.
func (s *sessions) sweepEvery() time.Duration {
	return min(max(s.timeout/8, time.Millisecond), time.Minute)
}

func (s *sessions) sweep() {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	for _, ss := range s.byID {
		if ss.uses == 0 && now.Sub(ss.lastUsed) >= s.timeout {
			s.removeLocked(ss)
		}
	}
	if s.timer != nil {
		s.timer.Reset(s.sweepEvery())
	}
}

func (s *sessions) removeLocked(ss *session) {
	if ss.ended {
		return
	}
	ss.ended = true
	delete(s.byID, ss.id)
	if n := s.perOne[ss.who]; n > 1 {
		s.perOne[ss.who] = n - 1
	} else {
		delete(s.perOne, ss.who)
	}
	if ss.out != nil {
		ss.out.end()
	}
	ss.Close()
	if ss.lastTrack > 0 {
		s.store.Forget(ss.id)
	}
	if len(s.byID) == 0 {
		s.byID = map[string]*session{} // give the memory of a crowd back
		if s.timer != nil {
			s.timer.Stop()
			s.timer = nil
		}
	}
}

// use finds a session and keeps it alive until release. A session of somebody
// else is not found: an id is no credential. A session in which too much is open
// is found, but busy.
func (s *sessions) use(id string, who mcp.Principal) (ss *session, busy bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	ss = s.byID[id]
	if ss == nil || ss.who != who {
		return nil, false
	}
	if ss.uses >= maxUses {
		return nil, true
	}
	ss.uses++
	s.busy++
	return ss, false
}

func (s *sessions) release(ss *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	ss.uses--
	ss.lastUsed = time.Now()
	s.busy--
	if s.closed && s.busy == 0 {
		close(s.idle)
	}
}

// newTrack begins a stream of a session.
func (s *sessions) newTrack(ss *session, isCall bool) *track {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.newTrackLocked(ss, isCall)
	if isCall {
		if ss.calls == nil {
			ss.calls = map[uint64]*track{}
		}
		ss.calls[t.no] = t
	}
	return t
}

func (s *sessions) newTrackLocked(ss *session, isCall bool) *track {
	ss.lastTrack++
	t := &track{id: ss.id, no: ss.lastTrack, isCall: isCall}
	if ss.Version().Has(mcp.FeatureResume) {
		t.store = s.store
	}
	return t
}

// forget drops the stream of a call that has ended: what comes for it is in the store.
func (s *sessions) forget(ss *session, t *track) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if delete(ss.calls, t.no); len(ss.calls) == 0 {
		ss.calls = nil
	}
	if ss.ended { // what came after the session did
		s.store.Forget(ss.id)
	}
}

// find returns the stream that an event id names; nil if it has ended.
func (s *sessions) find(ss *session, id eventID) *track {
	s.mu.Lock()
	defer s.mu.Unlock()
	if id.isCall {
		return ss.calls[id.no]
	}
	if ss.out != nil && ss.out.no == id.no {
		return ss.out
	}
	return nil
}

// attach makes out carry a new GET stream of the session, unless another
// connection carries one.
func (s *sessions) attach(ss *session, out *stream) (t *track, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if ss.ended || ss.out != nil && ss.out.carried() {
		return nil, false
	}
	if ss.out != nil {
		ss.out.end()
		ss.Detach()
	}
	ss.out = s.newTrackLocked(ss, false)
	ss.out.out = out
	return ss.out, true
}

// detach drops a GET stream that nobody can come back to.
func (s *sessions) detach(ss *session, t *track) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if ss.out == t {
		ss.out = nil
		ss.Detach()
	}
}

// end ends a session at the client's wish.
func (s *sessions) end(ss *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.removeLocked(ss)
}

// close admits no more sessions; the channel is closed once none is in use.
func (s *sessions) close() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.closed = true
		if s.busy == 0 {
			close(s.idle)
		}
	}
	return s.idle
}

// kill ends all sessions, with their calls.
func (s *sessions) kill() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, ss := range s.byID {
		s.removeLocked(ss)
	}
}

// Sessions is the number of sessions that are open now, those of HTTP+SSE included.
func (s *Handler) Sessions() int {
	s.sse.mu.Lock()
	n := len(s.sse.byID)
	s.sse.mu.Unlock()
	s.sessions.mu.Lock()
	defer s.sessions.mu.Unlock()
	return n + len(s.sessions.byID)
}

// HasSession reports whether a session, of HTTP+SSE maybe, is open under an id. It
// is for those who pass requests on to where their sessions are: whose session it is
// the request itself has to show.
func (s *Handler) HasSession(id string) bool {
	s.sse.mu.Lock()
	_, there := s.sse.byID[id]
	s.sse.mu.Unlock()
	s.sessions.mu.Lock()
	defer s.sessions.mu.Unlock()
	return there || s.sessions.byID[id] != nil
}
