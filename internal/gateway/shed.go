package gateway

import (
	"time"

	"github.com/fairlead-mcp/fairlead/internal/limit"
	"github.com/fairlead-mcp/fairlead/internal/upstream"
)

// shedHint is how long callers of what was shed are told to wait.
const shedHint = 2 * time.Second

// shed reports whether work is to be left undone, and why.
func (g *Gateway) shed(w limit.Work) (why string, shed bool) {
	return g.shedder.Shed(w, g.admitted.share())
}

// refuse is the failure of a caller whose work is shed; nil if it is not.
func (g *Gateway) refuse(w limit.Work) error {
	why, shed := g.shed(w)
	if !shed {
		return nil
	}
	return &upstream.Failure{Class: upstream.Overloaded, Reason: why + "; " + w.String() + " have to wait", RetryAfter: shedHint, RetrySafe: true}
}

// shedCall refuses a call by its upstream's priority.
func (c *call) shedCall() error {
	w := limit.NormalCalls
	if c.target != nil {
		switch c.target.upstream.Spec().Priority {
		case upstream.PriorityHigh:
			return nil
		case upstream.PriorityLow:
			w = limit.LowCalls
		}
	}
	return c.scope.g.refuse(w)
}

// Shed returns how often each kind of work was left undone for want of room.
func (g *Gateway) Shed() map[limit.Work]uint64 { return g.shedder.Counts() }
