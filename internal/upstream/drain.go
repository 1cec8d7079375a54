package upstream

import (
	"context"
	"errors"
)

// ErrRetired is why a call was not sent: the upstream has been replaced or removed.
var ErrRetired = errors.New("the upstream has been replaced or removed")

// errDrained is why a call was not sent to an upstream that takes none.
var errDrained = errors.New("an operator has drained the upstream")

// draining says whether an upstream takes calls, and counts those that run.
type draining struct {
	refusal error         // why calls are refused; nil while they are taken
	running int           // calls, those that wait for the connection included
	idle    chan struct{} // closed when running gets 0; nil while nobody waits for it
}

// Drain refuses new calls until Undrain or Restart; those that run finish. The
// connection stays.
func (u *Upstream) Drain() { u.refuse(errDrained) }

// Retire refuses new calls for good. Calls that wait for the connection end with
// ErrRetired, as new ones do: nothing of them has been sent. Those that run finish.
func (u *Upstream) Retire() { u.refuse(ErrRetired) }

// Undrain takes calls again.
func (u *Upstream) Undrain() { u.refuse(nil) }

func (u *Upstream) refuse(why error) {
	u.update(func() {
		if !errors.Is(u.draining.refusal, ErrRetired) {
			u.draining.refusal = why
		}
		u.status.Drained = u.draining.refusal != nil
	})
}

// Idle waits until no calls run.
func (u *Upstream) Idle(ctx context.Context) error {
	for {
		u.mu.Lock()
		a := &u.draining
		if a.running == 0 {
			u.mu.Unlock()
			return nil
		}
		if a.idle == nil {
			a.idle = make(chan struct{})
		}
		idle := a.idle
		u.mu.Unlock()
		select {
		case <-idle:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// begin counts a call, or says why there can be none.
func (u *Upstream) begin() error {
	u.mu.Lock()
	defer u.mu.Unlock()
	if why := u.draining.refusal; why != nil {
		return u.refused(why)
	}
	u.draining.running++
	return nil
}

func (u *Upstream) end() {
	u.mu.Lock()
	defer u.mu.Unlock()
	a := &u.draining
	if a.running--; a.running == 0 && a.idle != nil {
		close(a.idle)
		a.idle = nil
	}
}

// retired is the failure of calls that wait when the upstream is retired, else nil.
func (u *Upstream) retired() error {
	u.mu.Lock()
	defer u.mu.Unlock()
	if !errors.Is(u.draining.refusal, ErrRetired) {
		return nil
	}
	return u.refused(ErrRetired)
}

func (u *Upstream) refused(why error) error {
	return &Failure{Class: Unavailable, Upstream: u.name, RetryAfter: retryHint, RetrySafe: true, Err: why}
}
