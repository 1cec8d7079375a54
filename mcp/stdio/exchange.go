package stdio

import (
	"bytes"
	"context"
	"errors"

	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/mcp/jsonrpc"
)

// streamBytes bounds what waits for the client on one open stream; a client that
// reads so slowly loses the stream rather than single notifications.
const streamBytes = 1 << 20

var errCancelled = errors.New("stdio: the client cancelled the request")

// phase is where a request stands.
type phase uint8

const (
	running phase = iota
	streaming
	over
)

// exchange is one request in flight, or one open stream, and its Sink.
type exchange struct {
	conn   *conn
	key    string // in conn.calls; empty for the notifications of a session
	id     []byte // of subscriptions/listen; nil for others, whose notifications carry none
	ctx    context.Context
	cancel context.CancelCauseFunc

	// The rest is guarded by conn.mu.
	state  phase
	queued int  // bytes of frames
	early  bool // End was called before the stream was open
	res    mcp.Result
	err    error
}

// frame is a notification, or the encoded end, of a stream.
type frame struct {
	ex   *exchange
	n    *mcp.Notification
	last []byte
}

// enter registers a request, in the order of reading, so that a cancellation that
// comes right behind finds it. It reports false if the id is taken.
func (c *conn) enter(j *job) bool {
	ex := &exchange{conn: c, key: string(j.msg.ID)}
	if j.session == nil && j.msg.Method == mcp.MethodListen {
		ex.id = bytes.Clone(j.msg.ID)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, taken := c.calls[ex.key]; taken {
		return false
	}
	ex.ctx, ex.cancel = context.WithCancelCause(c.ctx)
	c.calls[ex.key] = ex
	j.ex = ex
	return true
}

// cancelCall ends a request by the client's wish: there will be no response.
func (c *conn) cancelCall(id []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	ex := c.calls[string(id)]
	if ex == nil {
		return
	}
	if ex.state == streaming {
		ex.closeLocked()
	} else {
		ex.state = over // the id stays taken until Handle returns
	}
	ex.cancel(errCancelled)
}

// finish ends a request whose Handle has returned. It reports false if the client
// has cancelled it and waits for no response.
func (ex *exchange) finish() bool {
	c := ex.conn
	c.mu.Lock()
	wanted := ex.state == running
	ex.state = over
	delete(c.calls, ex.key)
	c.mu.Unlock()
	ex.cancel(nil)
	return wanted
}

// stream makes a request whose Handle has returned an open stream.
func (ex *exchange) stream() *mcp.Error {
	c := ex.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case ex.state == over: // cancelled meanwhile
		delete(c.calls, ex.key)
		return nil
	case c.streams >= c.opts.MaxStreams:
		return mcp.Errorf(jsonrpc.CodeInternalError, "Too many open streams")
	}
	ex.state = streaming
	c.streams++
	if ex.early || c.draining {
		ex.endLocked(ex.res, ex.err)
	}
	return nil
}

// Notify implements mcp.Sink.
func (ex *exchange) Notify(n *mcp.Notification) error {
	c := ex.conn
	c.mu.Lock()
	switch ex.state {
	case running:
		c.mu.Unlock()
		c.write(n.AppendTo(nil, ex.id))
		return nil
	case streaming:
		defer c.mu.Unlock()
		size := len(n.Params) + len(ex.id) + 128 // near enough
		if ex.queued += size; ex.queued > streamBytes {
			ex.endLocked(mcp.Result{}, mcp.Errorf(jsonrpc.CodeInternalError, "The client reads too slowly"))
			return mcp.ErrSinkClosed
		}
		c.putLocked(frame{ex: ex, n: n})
		return nil
	}
	c.mu.Unlock()
	return mcp.ErrSinkClosed
}

// Send implements legacy.Stream.
func (ex *exchange) Send(msg []byte) error {
	c := ex.conn
	c.mu.Lock()
	open := ex.state == running && c.failure == nil
	c.mu.Unlock()
	if !open {
		return mcp.ErrSinkClosed
	}
	c.write(msg)
	return nil
}

// End implements mcp.Sink.
func (ex *exchange) End(res mcp.Result, err error) {
	ex.conn.mu.Lock()
	defer ex.conn.mu.Unlock()
	switch {
	case ex.state == streaming:
		ex.endLocked(res, err)
	case ex.state == running && !ex.early:
		ex.early, ex.res, ex.err = true, res, err
	}
}

// endLocked ends an open stream with a response.
func (ex *exchange) endLocked(res mcp.Result, err error) {
	ex.closeLocked()
	ex.cancel(nil)
	if ex.id != nil {
		ex.conn.putLocked(frame{ex: ex, last: mcp.AppendResponse(nil, ex.id, mcp.MethodListen, res, mcp.ErrorOf(err))})
	}
}

func (ex *exchange) closeLocked() {
	c := ex.conn
	ex.state = over
	if ex.key != "" {
		delete(c.calls, ex.key)
		c.streams--
	}
}

// putLocked queues a frame for the goroutine that writes for streams, so that
// Notify on a stream never waits. There is one as long as frames are queued.
func (c *conn) putLocked(f frame) {
	c.frames = append(c.frames, f)
	if !c.pumping {
		c.pumping = true
		c.goLocked(c.pump)
	}
}

func (c *conn) pump() {
	var buf []byte
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.frames) > 0 {
		batch := c.frames
		c.frames = nil
		var silent []bool // frames whose stream was cancelled meanwhile
		for _, f := range batch {
			silent = append(silent, f.n != nil && f.ex.state == over && f.ex.ctx.Err() != nil && context.Cause(f.ex.ctx) == errCancelled)
		}
		c.mu.Unlock()
		for i, f := range batch {
			switch {
			case silent[i]:
				continue
			case f.n != nil:
				buf = f.n.AppendTo(buf[:0], f.ex.id)
			default:
				buf = append(buf[:0], f.last...)
			}
			c.check(c.w.WriteLater(buf))
		}
		c.check(c.w.Flush())
		c.mu.Lock()
		for _, f := range batch {
			if f.n != nil {
				f.ex.queued -= len(f.n.Params) + len(f.ex.id) + 128
			}
		}
	}
	c.pumping = false
}
