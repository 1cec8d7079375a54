package upstream

import (
	"context"
	"errors"
	"time"

	"github.com/fairlead-mcp/fairlead/mcp"
)

var errNotReady = errors.New("not ready")

// retryHint is what callers are told when no better figure is known: about the
// time that a restart takes.
const retryHint = time.Second

// Handle carries one call to the upstream. While the upstream is away it wakes it
// and waits, at most Spec.StartTimeout, and not beyond the first attempt that
// fails. The deadline is the caller's, and so is a place for the call, see
// [Upstream.Enter].
//
// Errors of the upstream are returned as they came; everything else is a
// [Failure]. A call is never sent twice. subscriptions/listen is not carried: the
// upstream holds its own stream, see [Upstream.Watch] and [Upstream.Subscribe].
func (u *Upstream) Handle(ctx context.Context, req *mcp.Request, sink mcp.Sink) (res mcp.Result, err error) {
	if req.Method == mcp.MethodListen {
		return mcp.Result{}, mcp.ErrMethodNotFound(req.Method)
	}
	if err := u.begin(); err != nil {
		return mcp.Result{}, err
	}
	defer u.end()
	var l *link
	if whose, own := u.owner(req); own {
		var leave func()
		if l, leave, err = u.instances.enter(ctx, whose); err != nil {
			return mcp.Result{}, err
		}
		defer leave()
	} else {
		var member uint64
		member, req = u.unpin(req)
		if l, err = u.acquire(ctx, member); err != nil {
			return mcp.Result{}, err
		}
		defer u.release(l)
	}
	done, err := u.guard(req)
	if err != nil {
		return mcp.Result{}, err
	}
	defer func() { done(err) }()
	callCtx := ctx
	if !l.conn.Ends {
		var cancel context.CancelCauseFunc
		callCtx, cancel = context.WithCancelCause(ctx)
		defer cancel(nil)
		// The transport ends calls itself when the connection goes; this makes it so for any Handler.
		defer context.AfterFunc(l.ctx, func() { cancel(mcp.ErrClosed) })()
	}
	if res, err = l.conn.Handler.Handle(callCtx, req, sink); err != nil {
		return mcp.Result{}, u.failure(ctx, l, req.Method, err)
	}
	if l.late.Load() {
		l.late.Store(false)
	}
	return u.pin(l, res), nil
}

// failure says what the caller of a call that was sent is told.
func (u *Upstream) failure(ctx context.Context, l *link, method string, err error) error {
	if _, ok := errors.AsType[*mcp.Error](err); ok {
		return err
	}
	f := &Failure{Class: Unavailable, Upstream: u.name, RetrySafe: reads(method), Sent: true, Err: err}
	switch {
	case timedOut(ctx):
		f.Class = Timeout
		l.late.Store(true)
	case u.refusal(f):
	case ctx.Err() != nil:
		return ctx.Err()
	case l.ctx.Err() == nil && invalidAnswer(err):
		f.Class = ProtocolError
	default:
		f.RetryAfter = retryHint
		if l.conn.Done == nil {
			select {
			case l.broken <- err:
			default: // one report is enough
			}
		}
	}
	return f
}

// reads reports whether a method changes nothing.
func reads(method string) bool {
	return method != mcp.MethodCallTool && method != mcp.MethodUpdateTask && method != mcp.MethodCancelTask
}

// WaitReady waits for the connection as a call does.
func (u *Upstream) WaitReady(ctx context.Context) error {
	l, err := u.acquire(ctx, 0)
	if err == nil {
		u.release(l)
	}
	return err
}

// acquire returns a shared connection, waiting for it if there is hope: the one of that
// number if it lives, else the one with the fewest calls.
func (u *Upstream) acquire(ctx context.Context, no uint64) (*link, error) {
	var (
		timer *time.Timer
		late  <-chan time.Time
		first int
	)
	for {
		u.mu.Lock()
		l, state, attempts, moved := u.pickLocked(no), u.status.State, u.attempts, u.moved
		u.mu.Unlock()
		if l != nil {
			return l, nil
		}
		if timer == nil {
			first = attempts
			timer = time.NewTimer(u.spec.StartTimeout)
			defer timer.Stop()
			late = timer.C
		}
		if err := u.retired(); err != nil {
			return nil, err
		}
		delay := u.Wake()
		if state == Stopped || attempts-first >= len(u.members) || (state == Failed && delay > 0) {
			return nil, u.away(delay)
		}
		select {
		case <-moved:
		case <-late:
			return nil, u.away(0)
		case <-ctx.Done():
			if timedOut(ctx) {
				return nil, u.away(0)
			}
			return nil, ctx.Err()
		}
	}
}

// away is the failure of a call that could not be sent.
func (u *Upstream) away(delay time.Duration) error {
	cause := errNotReady
	if s := u.Status(); s.LastError != "" {
		cause = errors.New(s.LastError)
	}
	return &Failure{Class: Unavailable, Upstream: u.name, RetryAfter: max(delay, retryHint), RetrySafe: true, Err: cause}
}

// pickLocked returns the connection for a call, with the call counted, or nil.
func (u *Upstream) pickLocked(no uint64) *link {
	var best *link
	n := len(u.members)
	u.turn++
	for i := range n {
		l := u.members[(u.turn+i)%n].link // from another one each time: of equals all get calls
		switch {
		case l == nil || !l.alive():
			continue
		case l.no == no:
			best = l
		case best == nil || best.no != no && l.calls.Load() < best.calls.Load():
			best = l
		}
	}
	if best != nil {
		best.calls.Add(1)
	}
	return best
}

// release ends the use of a connection by a call.
func (u *Upstream) release(l *link) {
	l.calls.Add(-1)
	if u.spec.IdleStop > 0 {
		u.mu.Lock()
		defer u.mu.Unlock()
		u.used = time.Now()
	}
}
