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
	max  int
	rule string // what admit says: the same for each call
	undo func() // leave

	mu sync.Mutex
	n  int
}

func (k *counter) init(most int) {
	k.max, k.rule, k.undo = most, "at most "+strconv.Itoa(most)+" calls", k.leave
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
	if err := c.shedCall(); err != nil {
		return "shed by priority", err
	}
	if !k.enter() {
		return k.rule, &upstream.Failure{Class: upstream.Overloaded, Reason: "as many calls run as the node takes", RetryAfter: time.Second, RetrySafe: true}
	}
	c.after = append(c.after, k.undo)
	return k.rule, nil
}
