package upstream

import (
	"context"
	"errors"
	"time"

	"github.com/fairlead-mcp/fairlead/internal/limit"
	"github.com/fairlead-mcp/fairlead/mcp"
)

// Enter waits for one of the places of the upstream, Spec.MaxConcurrent, in a bounded
// queue in which callers take turns. Then leave must be called once, after Handle has
// returned; waited says how long it took. The error is a [Failure], or that the
// caller has left.
func (u *Upstream) Enter(ctx context.Context, who mcp.Principal) (leave func(), waited time.Duration, err error) {
	leave, waited, err = u.bulkhead.Enter(ctx, who)
	switch refusal, refused := errors.AsType[*limit.Refusal](err); {
	case err == nil:
		return leave, waited, nil
	case refused:
		return nil, waited, &Failure{Class: Overloaded, Upstream: u.name, Reason: refusal.Why, RetryAfter: refusal.RetryAfter, RetrySafe: true}
	case timedOut(ctx):
		return nil, waited, &Failure{Class: Timeout, Upstream: u.name, Reason: "the time was over before the call had begun", RetrySafe: true}
	}
	return nil, waited, ctx.Err()
}

// Load returns how many calls run and wait now.
func (u *Upstream) Load() limit.BulkheadStatus { return u.bulkhead.Status() }
