package gateway

import (
	"context"
	"time"

	"github.com/fairlead-mcp/fairlead/internal/upstream"
)

// guard waits for a place at the upstream. A call that asks several upstreams in
// turn enters each when its turn comes.
func guard(ctx context.Context, c *call) (rule string, err error) {
	if c.target == nil {
		return "at each upstream", nil
	}
	leave, waited, err := c.target.upstream.Enter(ctx, c.req.Principal)
	switch {
	case err != nil:
		return waiting(c.target.upstream, waited, "no place"), err
	case waited > 0:
		rule = waiting(c.target.upstream, waited, "a place")
	default:
		rule = "a place at once"
	}
	c.after = append(c.after, leave)
	return rule, nil
}

// waiting says how a call fared in the queue of an upstream.
func waiting(u *upstream.Upstream, waited time.Duration, got string) string {
	return got + " at " + u.Name() + " after " + waited.Round(time.Microsecond).String()
}
