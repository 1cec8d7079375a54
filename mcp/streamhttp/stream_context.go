package streamhttp

import (
	"context"
	"sync"
)

// A streamContext is the context of a stream: it has the values of the request,
// ends with the stream and takes a third of what the standard one does, of which
// there would be thousands.
type streamContext struct {
	context.Context // of the request, without its end

	mu    sync.Mutex
	done  chan struct{} // nil until somebody asks
	err   error
	after []*func() // to be run when it ends
}

// Done implements context.Context.
func (c *streamContext) Done() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.done == nil {
		c.done = make(chan struct{})
		if c.err != nil {
			close(c.done)
		}
	}
	return c.done
}

// Err implements context.Context.
func (c *streamContext) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// AfterFunc is what context.AfterFunc, and contexts made from this one, use
// instead of a goroutine that waits for Done.
func (c *streamContext) AfterFunc(f func()) (stop func() bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		go f() // ends when f does: package context asks for a goroutine of its own
		return func() bool { return false }
	}
	entry := &f
	c.after = append(c.after, entry)
	return func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		for i, e := range c.after {
			if e == entry {
				c.after = append(c.after[:i:i], c.after[i+1:]...)
				return true
			}
		}
		return false
	}
}

// end ends the context. Only the first call does anything.
func (c *streamContext) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return
	}
	c.err = context.Canceled
	if c.done != nil {
		close(c.done)
	}
	for _, f := range c.after {
		go (*f)() // as above
	}
	c.after = nil
}
