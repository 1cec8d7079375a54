package streamhttp

import (
	"container/list"
	"sync"
	"time"
)

// An EventStore keeps the events of streams of sessions, so that a client whose
// connection broke gets what it missed (MCP 2025-11-25, basic/transports,
// Resumability and Redelivery). It is safe for concurrent use. Its methods are
// called while a stream waits for them, so they do not wait for others.
//
// An EventStore may forget: events that are asked for and not kept any more are
// an error to the client, which calls again.
type EventStore interface {
	// Append keeps an event of a stream of a session. The event's bytes are the
	// store's from then on.
	Append(session string, stream uint64, e StoredEvent)
	// After returns the events of a stream that follow the one numbered seq,
	// oldest first. It returns false if one of them is not kept any more.
	After(session string, stream, seq uint64) ([]StoredEvent, bool)
	// Forget drops everything of a session, which has ended.
	Forget(session string)
}

// StoredEvent is one event of a stream.
type StoredEvent struct {
	Seq  uint64 // position in the stream, from 1
	Data []byte // one message; nil at the end of a stream without a response
	Last bool   // nothing follows in this stream
}

// MemoryStoreOptions bounds a [MemoryStore]. Zero fields mean the defaults. What
// is over a bound drops the oldest events: of the session, or of all sessions.
type MemoryStoreOptions struct {
	// MaxEventsPerSession bounds the events of one session. Zero means 1000.
	MaxEventsPerSession int
	// MaxBytesPerSession bounds the messages of one session. Zero means 1 MiB.
	MaxBytesPerSession int
	// MaxBytes bounds the messages of all sessions. Zero means 64 MiB.
	MaxBytes int
	// MaxAge is how long an event is kept. Zero means 10 minutes.
	MaxAge time.Duration
}

// MemoryStore is an [EventStore] in memory.
type MemoryStore struct {
	opts MemoryStoreOptions

	mu       sync.Mutex
	bytes    int
	all      list.List                // of *storedEvent, the oldest first
	sessions map[string]*storedEvents // session id -> its events
}

type storedEvents struct {
	bytes int
	queue []*list.Element // the oldest first
}

type storedEvent struct {
	StoredEvent
	session string
	stream  uint64
	at      time.Time
}

// NewMemoryStore returns an empty store.
func NewMemoryStore(opts *MemoryStoreOptions) *MemoryStore {
	s := &MemoryStore{sessions: map[string]*storedEvents{}}
	if opts != nil {
		s.opts = *opts
	}
	orDefault(&s.opts.MaxEventsPerSession, 1000)
	orDefault(&s.opts.MaxBytesPerSession, 1<<20)
	orDefault(&s.opts.MaxBytes, 64<<20)
	orDefault(&s.opts.MaxAge, 10*time.Minute)
	return s
}

// eventCost is what an event takes beside its message.
const eventCost = 160

func (e *storedEvent) cost() int { return len(e.Data) + eventCost }

// Append implements [EventStore].
func (s *MemoryStore) Append(session string, stream uint64, e StoredEvent) {
	s.mu.Lock()
	defer s.mu.Unlock()
	of := s.sessions[session]
	if of == nil {
		of = &storedEvents{}
		s.sessions[session] = of
	}
	entry := &storedEvent{StoredEvent: e, session: session, stream: stream, at: time.Now()}
	of.queue = append(of.queue, s.all.PushBack(entry))
	of.bytes += entry.cost()
	s.bytes += entry.cost()
	for len(of.queue) > s.opts.MaxEventsPerSession || of.bytes > s.opts.MaxBytesPerSession {
		s.dropLocked(of)
	}
	for s.bytes > s.opts.MaxBytes {
		s.dropLocked(s.sessions[s.all.Front().Value.(*storedEvent).session])
	}
	s.expireLocked()
}

func (s *MemoryStore) expireLocked() {
	for e := s.all.Front(); e != nil && time.Since(e.Value.(*storedEvent).at) > s.opts.MaxAge; e = s.all.Front() {
		s.dropLocked(s.sessions[e.Value.(*storedEvent).session])
	}
}

// dropLocked drops the oldest event of a session.
func (s *MemoryStore) dropLocked(of *storedEvents) {
	e := of.queue[0].Value.(*storedEvent)
	s.all.Remove(of.queue[0])
	of.queue[0] = nil
	of.queue = of.queue[1:]
	of.bytes -= e.cost()
	s.bytes -= e.cost()
	if len(of.queue) == 0 {
		delete(s.sessions, e.session)
	}
}

// After implements [EventStore].
func (s *MemoryStore) After(session string, stream, seq uint64) ([]StoredEvent, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.expireLocked()
	of := s.sessions[session]
	if of == nil {
		return nil, true
	}
	var events []StoredEvent
	for _, el := range of.queue {
		if e := el.Value.(*storedEvent); e.stream == stream && e.Seq > seq {
			events = append(events, e.StoredEvent)
		}
	}
	// The oldest go first, so a gap can only be in front.
	return events, len(events) == 0 || events[0].Seq == seq+1
}

// Forget implements [EventStore].
func (s *MemoryStore) Forget(session string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for of := s.sessions[session]; of != nil && len(of.queue) > 0; {
		s.dropLocked(of)
	}
}
