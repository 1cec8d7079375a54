package legacy

import (
	"bytes"
	"context"
	"sync/atomic"
	"time"

	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/mcp/internal/lifetime"
	"github.com/fairlead-mcp/fairlead/mcp/jsonrpc"
)

// running is one request in flight, and its context.
type running struct {
	lifetime.Bounded
	id        []byte // by callID
	cancelled atomic.Bool
}

// Handle answers one request of the client: it appends the response to dst. It
// returns false, and dst as it was, when the client has cancelled the request
// and so waits for no response (MCP 2025-11-25, basic/utilities/cancellation).
// The request ends with ctx, and at the deadline unless that is zero.
// Notifications that belong to the request, and what the handler asks the client,
// go to st while Handle runs.
func (s *Session) Handle(ctx context.Context, deadline time.Time, msg *jsonrpc.Message, dst []byte, st Stream) ([]byte, bool) {
	c := &running{id: callID(msg.ID)}
	c.Bind(ctx, deadline)
	defer c.Release()
	if err := s.begin(c); err != nil {
		return appendError(dst, msg.ID, err), true
	}
	defer s.end(c)

	body, err := s.answer(c, msg, st)
	switch {
	case c.cancelled.Load():
		return dst, false
	case err != nil:
		return appendError(dst, msg.ID, err), true
	}
	return jsonrpc.AppendResult(dst, msg.ID, body), true
}

func appendError(dst, id []byte, err *mcp.Error) []byte {
	return jsonrpc.AppendError(dst, id, err.Code, err.Message, err.Data)
}

// begin enters a call into the calls in flight.
func (s *Session) begin(c *running) *mcp.Error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return mcp.Errorf(jsonrpc.CodeInvalidRequest, "The session has ended")
	}
	if !s.calls.add(c) {
		return mcp.Errorf(jsonrpc.CodeInvalidRequest, "The request id is in use by a request in flight")
	}
	return nil
}

func (s *Session) end(c *running) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls.remove(c)
}

// callID makes equal ids equal: a string may be spelled in several ways.
func callID(raw []byte) []byte {
	if bytes.IndexByte(raw, '\\') < 0 {
		return raw
	}
	text, _ := jsonrpc.Unquote(raw)
	return []byte(`"` + text + `"`) // never sent: it only has to be the same for the same text
}

// calls are the calls in flight of a session. Most sessions have one at a time,
// for which no map is made.
type calls struct {
	one  *running
	more map[string]*running // id -> request; nil without
}

func (k *calls) find(id []byte) *running {
	if k.one != nil && bytes.Equal(k.one.id, id) {
		return k.one
	}
	return k.more[string(id)]
}

// add enters a call; false if its id is in use.
func (k *calls) add(c *running) bool {
	switch {
	case k.find(c.id) != nil:
		return false
	case k.one == nil:
		k.one = c
		return true
	case k.more == nil:
		k.more = make(map[string]*running)
	}
	k.more[string(c.id)] = c
	return true
}

func (k *calls) remove(c *running) {
	if k.one == c {
		k.one = nil
		return
	}
	if delete(k.more, string(c.id)); len(k.more) == 0 {
		k.more = nil // a map never shrinks, and an idle session is to be small
	}
}

func (k *calls) each(do func(*running)) {
	if k.one != nil {
		do(k.one)
	}
	for _, c := range k.more {
		do(c)
	}
}
