package gateway

import (
	"context"
	"strconv"
	"sync"
	"time"

	"github.com/fairlead-mcp/fairlead/internal/upstream"
)

// counter counts what runs, up to a bound.
type counter struct {
	max int

	mu sync.Mutex
	n  int
}

func (k *counter) enter() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.n >= k.max {
		return false
	}
	k.n++
	return true
}

func (k *counter) leave() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.n--
}

// share is the part of the bound that is taken.
func (k *counter) share() float64 {
	k.mu.Lock()
	defer k.mu.Unlock()
	return float64(k.n) / float64(k.max)
}

// admit refuses what would be too much. Nothing queues here: a caller that is told
// at once can go elsewhere.
func admit(_ context.Context, c *call) (rule string, err error) {
	k := &c.scope.g.admitted
	rule = "at most " + strconv.Itoa(k.max) + " calls"
	if err := c.shedCall(); err != nil {
		return "shed by priority", err
	}
	if !k.enter() {
		return rule, &upstream.Failure{Class: upstream.Overloaded, Reason: "as many calls run as the node takes", RetryAfter: time.Second, RetrySafe: true}
	}
	c.after = append(c.after, k.leave)
	return rule, nil
}
