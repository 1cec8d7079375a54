package upstream

import (
	"context"
	"math"
	"sync"
	"time"

	"github.com/fairlead-mcp/fairlead/internal/limit"
)

// startHold is how long a start counts against the bound of starts. Loading is what
// takes a machine; one that is not ready after that waits for something else, and must
// not keep others from starting.
const startHold = 5 * time.Second

// Starts bounds how many programs start at the same time on a node, so that what died
// together does not come back together.
type Starts struct {
	turns *limit.Bulkhead[string]
}

// NewStarts lets n programs start at the same time.
func NewStarts(n int) *Starts {
	// Who waits is bounded by the upstreams and their instances, and nobody is refused.
	return &Starts{limit.NewBulkhead[string](limit.BulkheadOptions{Max: n, Queue: math.MaxInt, Wait: math.MaxInt64})}
}

// Status returns how many start and wait now.
func (s *Starts) Status() limit.BulkheadStatus { return s.turns.Status() }

// startTurn waits until the program may be started. The returned function says that it
// is ready, or has failed.
func (u *Upstream) startTurn(ctx context.Context) (started func(), err error) {
	if u.opts.Starts == nil || u.spec.URL != "" {
		return func() {}, nil
	}
	leave, _, err := u.opts.Starts.turns.Enter(ctx, u.name)
	if err != nil {
		return nil, err
	}
	leave = sync.OnceFunc(leave)
	timer := time.AfterFunc(startHold, leave)
	return func() {
		timer.Stop()
		leave()
	}, nil
}
