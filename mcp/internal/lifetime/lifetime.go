// Package lifetime has contexts that cost little: a node has one for each call and
// each open stream, and those of package context are made for trees.
package lifetime

import (
	"context"
	"sync"
)

// A Context has the values of another one, ends when End is called and takes a
// third of what the standard one does. What it is made with must not end by itself.
type Context struct {
	context.Context // without its end

	mu    sync.Mutex
	done  chan struct{} // nil until somebody asks
	err   error
	after []*func() // to be run when it ends
}

// Until returns a Context with the values of parent, which is made without its end.
func Until(parent context.Context) Context {
	return Context{Context: context.WithoutCancel(parent)}
}

// Done implements context.Context.
func (c *Context) Done() <-chan struct{} {
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
func (c *Context) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// AfterFunc is what context.AfterFunc, and contexts made from this one, use
// instead of a goroutine that waits for Done.
func (c *Context) AfterFunc(f func()) (stop func() bool) {
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

// End ends the context with an error, as a rule context.Canceled. Only the first
// call does anything, and reports true.
func (c *Context) End(err error) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return false
	}
	c.err = err
	if c.done != nil {
		close(c.done)
	}
	for _, f := range c.after {
		go (*f)() // as above
	}
	c.after = nil
	return true
}
