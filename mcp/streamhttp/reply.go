package streamhttp

import (
	"net/http"
	"sync"
	"time"

	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/mcp/jsonrpc"
)

// A reply is the response to one call: a JSON object if the answer comes
// before anything else does, else a stream of events. It is the call's Sink.
type reply struct {
	h     *Handler
	w     http.ResponseWriter
	sl    *slot
	ss    *session // nil for a stateless request; else a client that has gone has not cancelled
	http1 bool     // the connection is of HTTP/1.1

	mu        sync.Mutex
	streaming bool
	track     *track // from the first event of a session's call on
	ended     bool
	failed    bool // the client takes no more
	last      time.Time
	buf       []byte
}

// start arms the timer that turns a slow answer into a stream, and returns the time.
func (e *reply) start(sl *slot) time.Time {
	now := time.Now()
	e.sl, e.last = sl, now
	sl.mu.Lock()
	sl.now = e
	sl.mu.Unlock()
	sl.timer.Reset(e.h.opts.StreamAfter)
	return now
}

// tick runs the timer of whatever reply has the slot: a timer that could not
// be stopped in time may meet the next one, which then finds itself too young.
func (sl *slot) tick() {
	sl.mu.Lock()
	e := sl.now
	sl.mu.Unlock()
	if e == nil {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.ended || e.failed {
		return
	}
	wait := e.h.opts.StreamAfter
	if e.streaming {
		wait = e.h.opts.KeepAlive
	}
	if rest := wait - time.Since(e.last); rest > 0 {
		sl.timer.Reset(rest)
		return
	}
	e.streamLocked()
	e.writeLocked(append(e.buf[:0], keepAlive...))
	sl.timer.Reset(e.h.opts.KeepAlive)
}

// end parts the reply from the response and the slot.
func (e *reply) end() {
	e.sl.mu.Lock()
	e.sl.now = nil
	e.sl.mu.Unlock()
	e.sl.timer.Stop()
	e.mu.Lock()
	defer e.mu.Unlock()
	e.ended = true
	if e.track != nil {
		e.track.end()
		e.h.sessions.forget(e.ss, e.track)
	}
}

// Notify writes a notification; the response is a stream from then on.
func (e *reply) Notify(n *mcp.Notification) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.ended {
		return mcp.ErrSinkClosed
	}
	if e.ss != nil {
		e.sendLocked(n.AppendTo(nil, nil), false)
		return nil
	}
	if !e.failed {
		e.streamLocked()
		e.writeLocked(appendNotification(e.buf[:0], n, nil))
	}
	if e.failed {
		return mcp.ErrSinkClosed
	}
	return nil
}

// sendLocked sends a message of a session's call, or keeps it for a client that comes back.
func (e *reply) sendLocked(msg []byte, last bool) {
	e.streamLocked()
	if event := e.track.add(e.buf[:0], msg, last); event != nil && !e.failed {
		e.writeLocked(event)
	}
}

// Send writes a request of the server; the response is a stream from then on. It
// fails when the client has gone and cannot come back, as nobody would answer.
func (e *reply) Send(msg []byte) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.ended {
		return mcp.ErrSinkClosed
	}
	e.sendLocked(msg, false)
	if e.failed && e.track.store == nil {
		return mcp.ErrSinkClosed
	}
	return nil
}

// End does nothing: a reply is no open stream.
func (e *reply) End(mcp.Result, error) {}

// finish sends the response.
func (e *reply) finish(status int, response []byte) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.ended = true
	switch {
	case e.track != nil:
		e.sendLocked(response, true)
		_ = http.NewResponseController(e.w).SetWriteDeadline(time.Time{}) // the connection may serve others
	case e.failed:
	case e.streaming:
		e.writeLocked(appendEvent(e.buf[:0], response))
		_ = http.NewResponseController(e.w).SetWriteDeadline(time.Time{}) // the connection may serve others
	case len(response) < bigResponse:
		writeJSON(e.w, status, response)
	default:
		control := http.NewResponseController(e.w)
		_ = control.SetWriteDeadline(time.Now().Add(e.h.opts.WriteTimeout))
		writeJSON(e.w, status, response)
		_ = control.Flush()
		_ = control.SetWriteDeadline(time.Time{})
	}
}

// bigResponse is the size from which a response may not fit into the socket's
// buffer, so that writing it waits for the client.
const bigResponse = 16 << 10

// abandon ends a call that gets no response: the client has cancelled it.
func (e *reply) abandon() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.ended = true
	if !e.failed && !e.streaming {
		e.streamLocked()
		e.writeLocked(append(e.buf[:0], keepAlive...))
	}
	_ = http.NewResponseController(e.w).SetWriteDeadline(time.Time{})
}

// accept ends a reply to a message in which nothing was asked.
func (e *reply) accept() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.ended = true
	if !e.streaming {
		accepted(e.w)
	}
}

func (e *reply) streamLocked() {
	if e.streaming {
		return
	}
	e.streaming = true
	startEvents(e.w)
	if e.ss == nil {
		return
	}
	e.track = e.h.sessions.newTrack(e.ss, true)
	if e.ss.Version().Has(mcp.FeaturePolling) {
		_, _ = e.w.Write(e.track.appendPriming(nil)) // what fails here fails again at the first event
	}
}

func (e *reply) writeLocked(event []byte) {
	e.last = time.Now()
	e.buf = event
	e.failed = writeEvent(e.w, event, e.h.opts.WriteTimeout) != nil
}

// keepAlive is a comment of an event stream.
const keepAlive = ":\n\n"

// startEvents makes the response a stream of events.
func startEvents(w http.ResponseWriter) {
	eventHeaders(w.Header())
	w.WriteHeader(http.StatusOK)
}

func eventHeaders(h http.Header) {
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-cache")
	h.Set("X-Accel-Buffering", "no") // or nginx would keep events back
}

func appendEvent(dst, msg []byte) []byte {
	dst = append(dst, "event: message\ndata: "...)
	dst = append(dst, jsonrpc.Compact(msg)...)
	return append(dst, "\n\n"...)
}

// appendNotification appends the event of a notification.
func appendNotification(dst []byte, n *mcp.Notification, subscriptionID []byte) []byte {
	dst = append(dst, "event: message\ndata: "...)
	start := len(dst)
	dst = n.AppendTo(dst, subscriptionID)
	if compact := jsonrpc.Compact(dst[start:]); len(compact) < len(dst)-start {
		dst = append(dst[:start], compact...)
	}
	return append(dst, "\n\n"...)
}

// writeEvent writes and flushes within the time given.
func writeEvent(w http.ResponseWriter, event []byte, timeout time.Duration) error {
	control := http.NewResponseController(w)
	_ = control.SetWriteDeadline(time.Now().Add(timeout)) // not every ResponseWriter can
	if _, err := w.Write(event); err != nil {
		return err
	}
	return control.Flush()
}
