package stdio

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/mcp/jsonrpc"
)

const (
	// outboxBytes is what may wait for the server to read; then senders wait. It is
	// 16 pipes full: enough to join writes, too little to hide a server that is stuck.
	outboxBytes = 1 << 20
	// outboxSpare is room for messages of the connection itself, such as
	// cancellations, which never wait.
	outboxSpare = 64 << 10
)

var errWriteTimeout = errors.New("the server does not read its input")

// outbox writes messages to a pipe from one goroutine, so that a sender whose
// context ends need not wait for a server that does not read. Messages that come
// during a write are joined into the next one.
type outbox struct {
	w       io.WriteCloser
	timeout time.Duration
	wake    chan struct{} // one token when there is work

	mu      sync.Mutex
	queue   []byte
	spare   []byte        // the buffer that queue and run exchange
	room    chan struct{} // closed when the queue has been taken; nil if nobody waits
	closing bool
	err     error
}

func newOutbox(w io.WriteCloser, timeout time.Duration) *outbox {
	return &outbox{w: w, timeout: timeout, wake: make(chan struct{}, 1)}
}

// send queues msg. It waits while the queue is full, until ctx ends.
func (o *outbox) send(ctx context.Context, msg []byte) error {
	msg = jsonrpc.Compact(msg)
	for {
		o.mu.Lock()
		if err := o.refusalLocked(); err != nil {
			o.mu.Unlock()
			return err
		}
		if len(o.queue) == 0 || len(o.queue)+len(msg) < outboxBytes {
			o.putLocked(msg)
			o.mu.Unlock()
			return nil
		}
		if o.room == nil {
			o.room = make(chan struct{})
		}
		room := o.room
		o.mu.Unlock()
		select {
		case <-room:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// post queues a short message without waiting; it reports false when there is no room.
func (o *outbox) post(msg []byte) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.refusalLocked() != nil || (len(o.queue) > 0 && len(o.queue)+len(msg) >= outboxBytes+outboxSpare) {
		return false
	}
	o.putLocked(jsonrpc.Compact(msg))
	return true
}

func (o *outbox) refusalLocked() error {
	if o.err == nil && o.closing {
		return mcp.ErrClosed
	}
	return o.err
}

func (o *outbox) putLocked(msg []byte) {
	o.queue = append(o.queue, msg...)
	o.queue = append(o.queue, '\n')
	o.signal()
}

func (o *outbox) signal() {
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// close makes run write what is queued, close the pipe and return.
func (o *outbox) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.closing = true
	o.signal()
}

// run writes until close or an error, and closes the pipe.
func (o *outbox) run() error {
	defer o.w.Close()
	// The timer frees a write to a full pipe by closing it: every pipe can do that,
	// write deadlines only some.
	expired := time.AfterFunc(time.Hour, func() { o.w.Close() })
	expired.Stop()
	for range o.wake {
		o.mu.Lock()
		batch, closing := o.queue, o.closing
		o.queue, o.spare = o.spare[:0], nil
		if o.room != nil {
			close(o.room)
			o.room = nil
		}
		o.mu.Unlock()
		if len(batch) > 0 {
			expired.Reset(o.timeout)
			n, err := o.w.Write(batch)
			if !expired.Stop() {
				err = errWriteTimeout
			} else if err == nil && n < len(batch) {
				err = io.ErrShortWrite
			}
			if err != nil {
				o.fail(err)
				return err
			}
		}
		o.mu.Lock()
		if cap(batch) <= outboxSpare {
			o.spare = batch
		}
		if closing && len(o.queue) > 0 {
			closing = false // put in before close was called
			o.signal()
		}
		o.mu.Unlock()
		if closing {
			return nil
		}
	}
	return nil
}

func (o *outbox) fail(err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.err, o.queue = err, nil
	if o.room != nil {
		close(o.room)
		o.room = nil
	}
}
