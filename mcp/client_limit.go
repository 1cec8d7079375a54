package mcp

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"
)

// limit is the time that a call gives its server to answer, until the next question
// or the end. The time that answers take is not part of it.
type limit struct {
	stop    context.CancelFunc
	timeout time.Duration
	timer   *time.Timer // of one that progress extends; else nil
}

// limit bounds ctx by the timeout of a call, and by the call's end.
func (c *Client) limit(ctx context.Context, end time.Time, opts *CallOptions) (context.Context, *limit) {
	l := &limit{timeout: c.opts.Timeout}
	if opts.Timeout > 0 {
		l.timeout = min(opts.Timeout, c.opts.MaxTimeout)
	}
	if !opts.ProgressExtends {
		if deadline := time.Now().Add(l.timeout); deadline.Before(end) {
			end = deadline
		}
		ctx, l.stop = context.WithDeadline(ctx, end)
		return ctx, l
	}
	ctx, expire := context.WithCancelCause(ctx)
	ctx, cancel := context.WithDeadline(ctx, end)
	l.timer = time.AfterFunc(l.timeout, func() { expire(context.DeadlineExceeded) })
	l.stop = func() {
		l.timer.Stop()
		cancel()
		expire(nil)
	}
	return ctx, l
}

// extend starts the timeout anew.
func (l *limit) extend() {
	if l.timer != nil {
		l.timer.Reset(l.timeout)
	}
}

// why returns err, or the timeout if that is behind it: a context that a timer has
// ended says only that it was canceled.
func (l *limit) why(ctx context.Context, err error) error {
	if l.timer != nil && !IsWireError(err) && errors.Is(context.Cause(ctx), context.DeadlineExceeded) {
		return context.DeadlineExceeded
	}
	return err
}

// backoff is how long to wait before the attempt after the given number of others:
// from base on twice as long each time up to the top, less a random part of a half,
// so that those who were cut off together do not come back together.
func backoff(attempt int, base, top time.Duration) time.Duration {
	d := top
	if attempt < 30 {
		d = min(top, base<<attempt)
	}
	return d - rand.N(d/2+1)
}

// sleep waits, and reports whether ctx let it.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
