package stdio

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/mcp/internal/legacy"
	"github.com/fairlead-mcp/fairlead/mcp/jsonrpc"
)

const (
	// callQueue bounds the notifications that wait for a call's sink. Beyond it the
	// oldest progress is dropped: the newest says it all.
	callQueue = 64
	// streamQueue bounds those that wait for an open stream. A lost one would go
	// unnoticed, so beyond it the stream ends.
	streamQueue = 1024
)

var errSlowStream = errors.New("the stream's reader is too slow")

// call is one request that waits for its answer, or one open stream.
type call struct {
	ready  chan struct{} // one token when there is something to take
	id     uint64
	method string
	token  []byte // the caller's progress token, raw; nil if it wants none
	quiet  bool   // not cancelled by message: initialize and the probe

	exchange legacy.Exchange // takes requests of a legacy server; nil for a modern one

	// The rest is guarded by Client.mu.
	queue    []*mcp.Notification
	answered bool
	res      mcp.Result
	err      error
	sink     mcp.Sink // of an open stream: pumped by the client from now on
	pumping  bool
}

// Handle sends one request and waits for its answer. When ctx ends first it sends
// notifications/cancelled and drops the late answer. When the connection ends
// first the error wraps mcp.ErrClosed.
func (c *Client) Handle(ctx context.Context, req *mcp.Request, sink mcp.Sink) (mcp.Result, error) {
	if c.proxy != nil {
		return c.proxy.Handle(ctx, req, sink)
	}
	k, err := c.ask(ctx, req, false)
	if err != nil {
		return mcp.Result{}, err
	}
	return c.await(ctx, k, sink, req.Method == mcp.MethodListen)
}

// ask sends a modern request.
func (c *Client) ask(ctx context.Context, req *mcp.Request, quiet bool) (*call, error) {
	k, err := c.begin(req.Method, req.Meta.ProgressToken, quiet)
	if err != nil {
		return nil, err
	}
	return k, c.dispatch(ctx, k, func(dst, id, token []byte) []byte {
		return mcp.AppendRequest(dst, id, req, token)
	})
}

// RoundTrip sends a request of an old revision; see legacy.Wire.
func (w wire) RoundTrip(ctx context.Context, method string, params []byte, x legacy.Exchange) ([]byte, error) {
	c := w.c
	meta := jsonrpc.Get(params, "_meta")
	k, err := c.begin(method, jsonrpc.Get(meta, mcp.MetaProgressToken), method == "initialize")
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	k.exchange = x
	c.mu.Unlock()
	err = c.dispatch(ctx, k, func(dst, id, token []byte) []byte {
		if token != nil {
			meta := jsonrpc.Splice(nil, meta, jsonrpc.Member{Key: mcp.MetaProgressToken, Value: token})
			params = jsonrpc.Splice(nil, params, jsonrpc.Member{Key: "_meta", Value: meta})
		}
		return jsonrpc.AppendRequest(dst, id, method, params)
	})
	if err != nil {
		return nil, err
	}
	res, err := c.await(ctx, k, x, false)
	return res.Body, err
}

// Notify sends a notification; see legacy.Wire.
func (w wire) Notify(ctx context.Context, method string, params []byte) error {
	return w.c.out.send(ctx, jsonrpc.AppendNotification(nil, method, params))
}

// Answer sends the response to a request of the server; see legacy.Wire.
func (w wire) Answer(ctx context.Context, response []byte) error { return w.c.out.send(ctx, response) }

// wire is the Client as the legacy package sees it.
type wire struct{ c *Client }

// begin enters a call into the table.
func (c *Client) begin(method string, token []byte, quiet bool) (*call, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.err != nil:
		return nil, c.err
	case c.stopping:
		return nil, fmt.Errorf("%w: closing", mcp.ErrClosed)
	}
	k := c.free.Get().(*call)
	c.lastID++
	k.id, k.method, k.token, k.quiet = c.lastID, method, token, quiet
	c.calls[k.id] = k
	return k, nil
}

// dispatch writes the message that encode makes for the call's id and for the
// progress token of this hop, which is the same number, or nil.
func (c *Client) dispatch(ctx context.Context, k *call, encode func(dst, id, token []byte) []byte) error {
	var digits [20]byte
	id := strconv.AppendUint(digits[:0], k.id, 10)
	var token []byte
	if k.token != nil {
		token = id
	}
	buf := c.bufs.Get().(*[]byte)
	*buf = encode((*buf)[:0], id, token)
	err := c.out.send(ctx, *buf)
	if cap(*buf) <= outboxSpare {
		c.bufs.Put(buf)
	}
	if err == nil {
		return nil
	}
	c.mu.Lock()
	_, waiting := c.calls[k.id]
	delete(c.calls, k.id)
	method, failure := k.method, c.err
	c.mu.Unlock()
	if waiting {
		c.recycle(k)
	}
	switch {
	case failure != nil:
		err = failure // why, rather than that
	case ctx.Err() == nil && !errors.Is(err, mcp.ErrClosed):
		err = fmt.Errorf("%w: %w", mcp.ErrClosed, err)
	}
	return fmt.Errorf("%s: %w", method, err)
}

// await pumps the call's notifications until its answer. If stream is true, the
// first notification (the acknowledgement) makes it an open stream.
func (c *Client) await(ctx context.Context, k *call, sink mcp.Sink, stream bool) (mcp.Result, error) {
	for {
		select {
		case <-k.ready:
		case <-ctx.Done():
			if c.cancel(k) {
				err := fmt.Errorf("%s: %w", k.method, ctx.Err())
				c.recycle(k)
				return mcp.Result{}, err
			}
			<-k.ready // the answer has just come
		}
		c.mu.Lock()
		batch := k.queue
		k.queue = nil
		done := k.answered
		c.mu.Unlock()
		for _, n := range batch {
			_ = sink.Notify(n) // a caller that has gone is told by ctx
		}
		switch {
		case done:
			res, err := k.res, k.err
			c.recycle(k)
			return res, err
		case stream && len(batch) > 0:
			c.open(ctx, k, sink)
			return mcp.Result{Stream: true}, nil
		}
	}
}

// recycle keeps k for another call. Nothing else refers to it: it is not in the table.
func (c *Client) recycle(k *call) {
	select {
	case <-k.ready:
	default:
	}
	clear(k.queue)
	*k = call{ready: k.ready, queue: k.queue[:0]}
	c.free.Put(k)
}

// cancel takes the call from the table and tells the server. It reports false if
// the call is not there any more.
func (c *Client) cancel(k *call) bool {
	c.mu.Lock()
	_, waiting := c.calls[k.id]
	delete(c.calls, k.id)
	c.mu.Unlock()
	if waiting && !k.quiet {
		params := append(strconv.AppendUint([]byte(`{"requestId":`), k.id, 10), '}')
		c.out.post(jsonrpc.AppendNotification(nil, mcp.NotificationCancelled, params))
	}
	return waiting
}

// open makes k an open stream, which no goroutine waits for.
func (c *Client) open(ctx context.Context, k *call, sink mcp.Sink) {
	c.mu.Lock()
	k.sink = sink
	k.token = slices.Clone(k.token) // the request's bytes end with Handle
	c.pumpLocked(k)
	c.mu.Unlock()
	context.AfterFunc(ctx, func() { c.cancel(k) })
}

// signalLocked wakes whoever serves k.
func (c *Client) signalLocked(k *call) {
	if k.sink != nil {
		c.pumpLocked(k)
		return
	}
	select {
	case k.ready <- struct{}{}:
	default:
	}
}

// pumpLocked starts the goroutine that serves an open stream, if it has something
// to do and there is none. It is not the reader, since no sink may make that wait,
// and it ends when nothing is queued.
func (c *Client) pumpLocked(k *call) {
	if k.pumping || (len(k.queue) == 0 && !k.answered) {
		return
	}
	k.pumping = true
	c.pumps++
	go c.pump(k) // Close waits for pumps to fall to 0
}

func (c *Client) pump(k *call) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(k.queue) > 0 || k.answered {
		batch, done := k.queue, k.answered
		k.queue = nil
		c.mu.Unlock()
		var err error
		for _, n := range batch {
			err = errors.Join(err, k.sink.Notify(n))
		}
		switch {
		case done:
			k.sink.End(k.res, k.err)
		case err != nil:
			c.cancel(k)
			k.sink.End(mcp.Result{}, err)
		}
		c.mu.Lock()
		if done || err != nil {
			break
		}
	}
	k.pumping = false
	if c.pumps--; c.pumps == 0 {
		c.idle.Broadcast()
	}
}

// fail ends the connection, once: every call gets err.
func (c *Client) fail(err error) {
	c.mu.Lock()
	if c.err != nil {
		c.mu.Unlock()
		return
	}
	c.err = err
	for id, k := range c.calls {
		delete(c.calls, id)
		k.answered, k.err = true, fmt.Errorf("%s: %w", k.method, err)
		c.signalLocked(k)
	}
	close(c.done)
	c.mu.Unlock()
	c.out.fail(err)
	c.out.close()
	if session := c.session.Load(); session != nil {
		session.Closed(err)
	}
}
