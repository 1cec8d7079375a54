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

// admit refuses what would be too much. Nothing queues here: a caller that is told
// at once can go elsewhere.
func admit(_ context.Context, c *call) (rule string, err error) {
	k := &c.scope.g.admitted
	rule = "at most " + strconv.Itoa(k.max) + " calls"
	if !k.enter() {
		return rule, &upstream.Failure{Class: upstream.Overloaded, RetryAfter: time.Second, RetrySafe: true}
	}
	c.after = append(c.after, k.leave)
	return rule, nil
}
