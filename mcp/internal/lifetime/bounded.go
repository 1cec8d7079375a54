package lifetime

import (
	"context"
	"sync"
	"time"
)

// A Bounded is the Context of one call: it also ends at a deadline, and with its
// parent where that can end. Its timer runs only once somebody waits for the end;
// most calls are answered by code that never looks.
type Bounded struct {
	Context
	deadline time.Time // zero for none
	detach   func() bool

	arming sync.Mutex
	timer  *time.Timer // nil until somebody waits
	over   bool
}

// Bind makes b a context with the values of parent that ends with parent, and at
// the deadline if that is not zero and earlier than the parent's. Release must be called.
func (b *Bounded) Bind(parent context.Context, deadline time.Time) {
	b.Context.Context, b.deadline = parent, deadline
	if at, ok := parent.Deadline(); ok && (deadline.IsZero() || at.Before(deadline)) {
		b.deadline = at // the parent keeps it
	}
	if parent.Done() != nil {
		b.Context.Context = context.WithoutCancel(parent)
		b.detach = context.AfterFunc(parent, func() { b.End(parent.Err()) })
	}
}

// Release ends the context, as a call that has ended does, and gives back what it holds.
func (b *Bounded) Release() {
	if b.detach != nil {
		b.detach()
	}
	b.End(context.Canceled)
	b.arming.Lock()
	defer b.arming.Unlock()
	b.over = true
	if b.timer != nil {
		b.timer.Stop()
	}
}

// Deadline implements context.Context.
func (b *Bounded) Deadline() (time.Time, bool) { return b.deadline, !b.deadline.IsZero() }

// Done implements context.Context.
func (b *Bounded) Done() <-chan struct{} {
	b.arm()
	return b.Context.Done()
}

// Err implements context.Context.
func (b *Bounded) Err() error {
	if err := b.Context.Err(); err != nil || b.deadline.IsZero() || time.Now().Before(b.deadline) {
		return err
	}
	b.End(context.DeadlineExceeded)
	return b.Context.Err()
}

// AfterFunc is as [Context.AfterFunc].
func (b *Bounded) AfterFunc(f func()) (stop func() bool) {
	b.arm()
	return b.Context.AfterFunc(f)
}

func (b *Bounded) arm() {
	if b.deadline.IsZero() {
		return
	}
	b.arming.Lock()
	defer b.arming.Unlock()
	if b.timer == nil && !b.over {
		b.timer = time.AfterFunc(time.Until(b.deadline), func() { b.End(context.DeadlineExceeded) })
	}
}
