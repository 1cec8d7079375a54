package gateway

import (
	"context"
	"time"

	"github.com/fairlead-mcp/fairlead/internal/upstream"
)

// deadline bounds the stages that follow. The time began with the call; what its
// queue takes is not given on top.
func deadline(_ context.Context, c *call) (rule string, err error) {
	var d upstream.Deadline
	if c.target != nil {
		d = c.target.upstream.Deadline(c.req.Method, c.target.name)
	}
	for _, t := range c.try { // who asks several takes what the slowest may take
		if one := t.upstream.Deadline(c.req.Method, t.name); one.Hard > d.Hard {
			d = one
		}
	}
	rule = d.Rule + " " + d.Limit.String()
	if d.Hard == d.Limit {
		c.narrow = func(ctx context.Context) (context.Context, func()) {
			ctx, cancel := context.WithDeadline(ctx, c.began.Add(d.Hard))
			return ctx, cancel
		}
		return rule, nil
	}
	c.narrow = func(ctx context.Context) (context.Context, func()) {
		// A context's own deadline cannot be moved: that is the last one, and the
		// one before it, which moves, is a timer that ends the context.
		ctx, cancel := context.WithDeadline(ctx, c.began.Add(d.Hard))
		ctx, end := context.WithCancelCause(ctx)
		timer := time.AfterFunc(d.Limit-time.Since(c.began), func() { end(context.DeadlineExceeded) })
		// Progress that comes when the timer has fired is too late: the context has ended.
		c.progressed = func() { timer.Reset(d.Limit) }
		return ctx, func() {
			timer.Stop()
			end(nil)
			cancel()
		}
	}
	return rule + " after each progress, " + d.Hard.String() + " in all", nil
}
