package streamhttp

import (
	"context"
	"math"
	"net/http"
	"sync"
	"time"

	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/mcp/internal/lifetime"
	"github.com/fairlead-mcp/fairlead/mcp/jsonrpc"
)

// A stream is a response that stays open: that of subscriptions/listen, or the
// GET stream of a session. It is a Sink that never blocks: notifications wait in
// a queue. When more than the budget waits, the reader is too slow and the stream
// is closed.
//
// Who writes the queue depends on the connection: where it can be watched without
// a goroutine the stream is parked ([lot]), else the goroutine of the HTTP request
// stays for as long as the stream does.
type stream struct {
	h    *Handler
	id   []byte // raw request id of subscriptions/listen; nil for a GET stream
	ctx  lifetime.Context
	over func() // runs once, after the stream has ended; nil for nothing

	mu      sync.Mutex
	wake    chan struct{} // holds one token while there is something to do; nil unless a goroutine serves
	parked  *parked       // nil unless parked
	queue   []queued
	waiting map[string]bool // changes in queue, while there are several: none is told twice
	bytes   int             // in queue and being written
	writing int             // of bytes: drained, not yet written
	ended   bool
	abrupt  bool        // ended without a result
	left    bool        // finish has run
	last    *completion // nil unless the stream was ended with a result
}

// queued is what waits: a notification, whose text other streams share, or an event.
type queued struct {
	n     *mcp.Notification
	event []byte
}

// completion is how a stream ends. It is apart because most streams do not yet.
type completion struct {
	res mcp.Result
	err error
}

// newStream returns a stream. id is not kept.
func newStream(h *Handler, r *http.Request, id []byte) *stream {
	// A parked stream outlives the request, and so its context.
	return &stream{h: h, id: append([]byte(nil), id...), ctx: lifetime.Until(r.Context())}
}

// Notify queues a notification.
func (s *stream) Notify(n *mcp.Notification) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return mcp.ErrSinkClosed
	}
	if s.toldLocked(n) {
		return nil
	}
	// What is counted is what has to be written.
	return s.queueLocked(queued{n: n}, len(n.Method)+len(n.Params)+len(s.id)+64, s.h.opts.StreamBudget)
}

// toldLocked reports whether a change is told already by what waits for a reader that
// does not keep up. How often something has changed says nothing to who has not looked.
func (s *stream) toldLocked(n *mcp.Notification) bool {
	if len(s.queue) == 0 || !isChange(n.Method) {
		return false
	}
	if s.waiting == nil {
		s.waiting = make(map[string]bool)
		for _, q := range s.queue {
			if q.n != nil && isChange(q.n.Method) {
				s.waiting[changeKey(q.n)] = true
			}
		}
	}
	key := changeKey(n)
	told := s.waiting[key]
	s.waiting[key] = true
	return told
}

func changeKey(n *mcp.Notification) string { return n.Method + " " + string(n.Params) }

// put queues an event. One that must go, because something else bounds it, goes
// over the budget too.
func (s *stream) put(event []byte, must bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	budget := s.h.opts.StreamBudget
	if must {
		budget = math.MaxInt
	}
	if !s.ended {
		_ = s.queueLocked(queued{event: event}, len(event), budget)
	}
}

func (s *stream) queueLocked(q queued, size, budget int) error {
	if s.bytes += size; s.bytes > budget {
		s.ended, s.abrupt = true, true
		s.queue, s.waiting = nil, nil
		s.signalLocked()
		return mcp.ErrSinkClosed
	}
	s.queue = append(s.queue, q)
	s.signalLocked()
	return nil
}

// End closes the stream after what is queued.
func (s *stream) End(res mcp.Result, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.ended {
		s.ended, s.last = true, &completion{res, err}
		s.signalLocked()
	}
}

// finish makes the stream refuse what may still come and gives back what it
// holds. Only the first call does anything.
func (s *stream) finish() {
	s.mu.Lock()
	left := s.left
	s.left, s.ended, s.queue, s.waiting = true, true, nil, nil
	s.mu.Unlock()
	if left {
		return
	}
	s.ctx.End(context.Canceled)
	if s.over != nil {
		s.over()
	}
	s.h.leave(s)
}

func (s *stream) signalLocked() {
	switch {
	case s.parked != nil:
		s.h.lot.schedule(s.parked)
	case s.wake != nil:
		select {
		case s.wake <- struct{}{}:
		default:
		}
	}
}

// unused reports whether nothing has come for the stream.
func (s *stream) unused() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.queue) == 0 && !s.ended
}

// run sends the header of the response and what comes after it, until the stream
// ends or the client leaves. A stream that can be parked is, and run returns.
func (s *stream) run(w http.ResponseWriter, r *http.Request) {
	if s.park(w, r) {
		return
	}
	defer s.finish()
	s.serve(w, r.Context())
}

// serve writes the stream from this goroutine.
func (s *stream) serve(w http.ResponseWriter, ctx context.Context) {
	wake := make(chan struct{}, 1)
	wake <- struct{}{} // for what came before
	s.mu.Lock()
	s.wake = wake
	s.mu.Unlock()

	startEvents(w)
	// What fails here fails again at the first event, where it ends the stream.
	_ = http.NewResponseController(w).Flush()
	defer func() { _ = http.NewResponseController(w).SetWriteDeadline(time.Time{}) }() // the connection may serve others
	silence := time.NewTimer(s.h.opts.KeepAlive)
	defer silence.Stop()
	var buf []byte
	for {
		buf = buf[:0]
		done := false
		select {
		case <-ctx.Done():
			return
		case <-silence.C:
			buf = append(buf, keepAlive...)
		case <-wake:
			if buf, done = s.drain(buf); len(buf) == 0 && !done {
				continue
			}
		}
		if len(buf) > 0 && writeEvent(w, buf, s.h.opts.WriteTimeout) != nil || done {
			return
		}
		s.written()
		if cap(buf) > 4<<10 {
			buf = nil // a stream is mostly idle
		}
		silence.Reset(s.h.opts.KeepAlive)
	}
}

// drain appends what is queued, and the response if the stream has ended.
func (s *stream) drain(dst []byte) (events []byte, done bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, q := range s.queue {
		if q.n != nil {
			dst = appendNotification(dst, q.n, s.id)
		} else {
			dst = append(dst, q.event...)
		}
	}
	s.queue, s.waiting, s.writing = nil, nil, s.bytes
	switch {
	case s.left:
	case s.abrupt && len(s.id) > 0:
		dst = appendEvent(dst, mcp.AppendResponse(nil, s.id, mcp.MethodListen, mcp.Result{}, tooSlow()))
	case s.abrupt:
		dst = append(dst, ": closed, "+tooSlow().Message+"\n\n"...)
	}
	if s.last != nil && !s.abrupt && len(s.id) > 0 {
		dst = appendEvent(dst, mcp.AppendResponse(nil, s.id, mcp.MethodListen, s.last.res, mcp.ErrorOf(s.last.err)))
	}
	return dst, s.ended
}

// tooSlow is why a stream was closed whose reader did not keep up.
func tooSlow() *mcp.Error {
	return mcp.Errorf(jsonrpc.CodeInternalError, "the client reads too slowly: too much waits for it")
}

// written gives back the budget of what drain returned.
func (s *stream) written() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.bytes -= s.writing
	s.writing = 0
}

// cut reports whether the stream ends without an end, because its reader was too slow
// and there is no response that could say so.
func (s *stream) cut() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.abrupt && len(s.id) == 0
}
