package streamhttp

import (
	"context"
	"net/http"
	"sync"
	"time"

	"github.com/fairlead-mcp/fairlead/mcp"
)

// A stream is a response that stays open: that of subscriptions/listen, or the
// GET stream of a session. It is a Sink that never blocks: notifications wait in
// a queue, which the goroutine of the HTTP request writes. When more than the
// budget waits, the reader is too slow and the stream is closed.
type stream struct {
	h    *Handler
	w    http.ResponseWriter
	id   []byte        // raw request id of subscriptions/listen; nil for a GET stream
	wake chan struct{} // holds one token while there is something to do

	started bool // the header is sent

	mu     sync.Mutex
	queue  []*mcp.Notification
	bytes  int // in queue
	ended  bool
	abrupt bool // ended without a result
	res    mcp.Result
	err    error
}

func newStream(h *Handler, w http.ResponseWriter, id []byte) *stream {
	return &stream{h: h, w: w, id: id, wake: make(chan struct{}, 1)}
}

// Notify queues a notification.
func (s *stream) Notify(n *mcp.Notification) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return mcp.ErrSinkClosed
	}
	// The text is shared with other streams; what is counted is what has to be written.
	s.bytes += len(n.Method) + len(n.Params) + len(s.id) + 64
	if s.bytes > s.h.opts.StreamBudget {
		s.ended, s.abrupt = true, true
		s.queue = nil
		s.signal()
		return mcp.ErrSinkClosed
	}
	s.queue = append(s.queue, n)
	s.signal()
	return nil
}

// End closes the stream after what is queued.
func (s *stream) End(res mcp.Result, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.ended {
		s.ended, s.res, s.err = true, res, err
		s.signal()
	}
}

// close makes the stream refuse what may still come.
func (s *stream) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended, s.queue = true, nil
}

func (s *stream) signal() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// unused reports whether nothing has come for the stream.
func (s *stream) unused() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.queue) == 0 && !s.ended
}

// start sends the header of the response. Only the goroutine of the request calls it.
func (s *stream) start() {
	if !s.started {
		s.started = true
		startEvents(s.w)
		// What fails here fails again at the first event, where it ends the stream.
		_ = http.NewResponseController(s.w).Flush()
	}
}

// serve writes the stream until it ends or the client leaves.
func (s *stream) serve(ctx context.Context) {
	s.start()
	timeout := s.h.opts.WriteTimeout
	defer func() { _ = http.NewResponseController(s.w).SetWriteDeadline(time.Time{}) }() // the connection may serve others
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
		case <-s.wake:
			if buf, done = s.drain(buf); len(buf) == 0 && !done {
				continue
			}
		}
		if len(buf) > 0 && writeEvent(s.w, buf, timeout) != nil || done {
			return
		}
		if cap(buf) > 4<<10 {
			buf = nil // a stream is mostly idle
		}
		silence.Reset(s.h.opts.KeepAlive)
	}
}

// drain appends what is queued, and the response if the stream has ended.
func (s *stream) drain(dst []byte) ([]byte, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, n := range s.queue {
		dst = appendNotification(dst, n, s.id)
	}
	s.queue, s.bytes = nil, 0
	if s.ended && !s.abrupt && s.id != nil {
		dst = appendEvent(dst, mcp.AppendResponse(nil, s.id, mcp.MethodListen, s.res, mcp.ErrorOf(s.err)))
	}
	return dst, s.ended
}
