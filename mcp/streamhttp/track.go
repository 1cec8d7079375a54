package streamhttp

import (
	"bytes"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/mcp/jsonrpc"
)

// A track is one stream of a session, over as many connections as it takes: the
// events of a call from its first one to the response, or those of a GET. Where
// the revision has it, events have ids and are kept for a client that comes back.
type track struct {
	store  EventStore // nil: events have no ids and are not kept
	id     string     // of the session
	no     uint64     // of the stream, in its session
	isCall bool

	mu    sync.Mutex
	seq   uint64
	out   *stream // the GET that carries it now; nil without
	taken bool    // the stream of a call is not for its POST any more
	ended bool
}

// An eventID names an event of a session: c3.17 is the 17th of stream 3, which is
// a call's; g5.0 is what a client of the GET stream 5 has before the first event.
type eventID struct {
	isCall  bool
	no, seq uint64
}

func parseEventID(s string) (id eventID, ok bool) {
	switch {
	case strings.HasPrefix(s, "c"):
		id.isCall = true
	case strings.HasPrefix(s, "g"):
	default:
		return id, false
	}
	no, seq, _ := strings.Cut(s[1:], ".")
	var errs [2]error
	id.no, errs[0] = strconv.ParseUint(no, 10, 63)
	id.seq, errs[1] = strconv.ParseUint(seq, 10, 63)
	return id, errs == [2]error{}
}

// appendID appends the id field of the event numbered seq.
func (t *track) appendID(dst []byte, seq uint64) []byte {
	if t.store == nil {
		return dst
	}
	kind := byte('g')
	if t.isCall {
		kind = 'c'
	}
	dst = append(append(dst, "id: "...), kind)
	dst = append(strconv.AppendUint(dst, t.no, 10), '.')
	return append(strconv.AppendUint(dst, seq, 10), '\n')
}

// appendPriming appends an event that has only an id, so that a client that loses
// the connection before the first message can come back.
func (t *track) appendPriming(dst []byte) []byte {
	return append(t.appendID(dst, 0), "data: \n\n"...)
}

func (t *track) appendEvent(dst []byte, seq uint64, msg []byte) []byte {
	return appendEvent(t.appendID(dst, seq), msg)
}

// add keeps a message and gives it to the GET that carries the track, if there
// is one. It returns the event for the POST of the call, nil if that has lost the track.
func (t *track) add(dst, msg []byte, last bool) []byte {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ended {
		return nil
	}
	t.ended = last
	t.seq++
	if t.store != nil {
		t.store.Append(t.id, t.no, StoredEvent{Seq: t.seq, Data: bytes.Clone(jsonrpc.Compact(msg)), Last: last})
	}
	if t.out != nil {
		t.out.put(t.appendEvent(nil, t.seq, msg), last)
		if last {
			t.out.End(mcp.Result{}, nil)
		}
	}
	if t.taken {
		return nil
	}
	return t.appendEvent(dst, t.seq, msg)
}

// end ends a track without a response.
func (t *track) end() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ended {
		return
	}
	t.ended = true
	t.seq++
	if t.store != nil && t.isCall {
		t.store.Append(t.id, t.no, StoredEvent{Seq: t.seq, Last: true})
	}
	if t.out != nil {
		t.out.End(mcp.Result{}, nil)
	}
}

// resume replays to st what follows seq, and goes on there. It returns false if
// the track of a call has lost some of it.
func (t *track) resume(st *stream, seq uint64) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	events, complete := t.store.After(t.id, t.no, seq)
	if len(events) == 0 && seq < t.seq {
		complete = false
	}
	if !complete && t.isCall || seq > t.seq {
		return false
	}
	if t.out != nil {
		t.out.End(mcp.Result{}, nil) // its client has left it, or it would not be here
	}
	t.replay(st, events)
	if t.ended {
		st.End(mcp.Result{}, nil)
		return true
	}
	t.out, t.taken = st, true
	return true
}

func (t *track) replay(st *stream, events []StoredEvent) {
	for _, e := range events {
		if e.Data != nil {
			st.put(t.appendEvent(nil, e.Seq, e.Data), true)
		}
	}
}

// lost notes that the connection of st is gone.
func (t *track) lost(st *stream) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.out == st {
		t.out = nil
	}
}

// carried reports whether a connection carries the track.
func (t *track) carried() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.out != nil
}

// Notify makes a track the Sink of a session. Without a connection the
// notification is for one that comes back.
func (t *track) Notify(n *mcp.Notification) error {
	t.add(nil, n.AppendTo(nil, nil), false)
	return nil
}

// End does nothing: the stream of a session ends with the session.
func (t *track) End(mcp.Result, error) {}

// detach ends the connection of a GET that carries the track.
func (t *track) detach(event []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.out != nil {
		t.out.put(event, true)
		t.out.End(mcp.Result{}, nil)
		t.out = nil
	}
}

// Detach ends the connection of a call that goes on (see mcp.Call.Detach).
func (e *reply) Detach(retry time.Duration) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.ended || e.ss == nil || !e.http1 || !e.ss.Version().Has(mcp.FeaturePolling) {
		return false
	}
	e.streamLocked()
	after := append(strconv.AppendInt([]byte("retry: "), retry.Milliseconds(), 10), "\n\n"...)
	e.track.detach(after)
	if e.failed {
		return true // the client has gone or has come back and was sent away just now
	}
	e.writeLocked(after)
	if e.failed {
		return true
	}
	// The goroutine of the request runs the call. To end the response before the
	// call, the connection is taken from under it.
	conn, _, err := http.NewResponseController(e.w).Hijack()
	if err != nil {
		return false
	}
	e.failed = true
	_ = conn.SetWriteDeadline(time.Now().Add(e.h.opts.WriteTimeout))
	_, _ = conn.Write([]byte("0\r\n\r\n")) // who does not get it sees the connection end
	_ = conn.Close()
	return true
}
