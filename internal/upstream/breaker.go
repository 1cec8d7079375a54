package upstream

import (
	"cmp"
	"context"
	"errors"
	"sync"
	"time"

	"github.com/fairlead-mcp/fairlead/internal/limit"
	"github.com/fairlead-mcp/fairlead/mcp"
)

// breakers are the breaker of an upstream and those of its tools. A tool that has
// never failed has none.
type breakers struct {
	all *limit.Breaker

	mu    sync.RWMutex
	tools map[string]*limit.Breaker
}

// maxToolBreakers bounds the tools with breakers; names are those of the catalogue.
const maxToolBreakers = 10_000

func newBreakers() *breakers {
	return &breakers{all: limit.NewBreaker(limit.BreakerOptions{}), tools: map[string]*limit.Breaker{}}
}

func (b *breakers) tool(name string) *limit.Breaker {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.tools[name]
}

// reset forgets everything: the upstream is a new process.
func (b *breakers) reset() {
	b.all.Reset()
	b.mu.Lock()
	defer b.mu.Unlock()
	clear(b.tools)
}

// failed counts the failure of a tool that has had none yet.
func (b *breakers) failed(name string) {
	b.mu.Lock()
	t := b.tools[name]
	if t == nil && len(b.tools) < maxToolBreakers {
		t = limit.NewBreaker(limit.BreakerOptions{})
		b.tools[name] = t
	}
	b.mu.Unlock()
	if t == nil {
		return
	}
	if done, _, ok := t.Enter(); ok {
		done(limit.Failure)
	}
}

// guard asks the breakers whether a call may be sent. done takes what came of it.
func (u *Upstream) guard(req *mcp.Request) (done func(error), refused error) {
	if left := u.pause.left(); left > 0 {
		return nil, &Failure{Class: RateLimited, Upstream: u.name, RetryAfter: left, RetrySafe: true}
	}
	allDone, after, ok := u.breakers.all.Enter()
	if !ok {
		return nil, &Failure{Class: CircuitOpen, Upstream: u.name, RetryAfter: cmp.Or(after, breakerHint), RetrySafe: true}
	}
	if req.Method != mcp.MethodCallTool {
		return func(err error) { allDone(outcome(err)) }, nil
	}
	tool := u.breakers.tool(req.Name)
	if tool == nil {
		return func(err error) {
			o := outcome(err)
			allDone(o)
			if o == limit.Failure {
				u.breakers.failed(req.Name)
			}
		}, nil
	}
	toolDone, after, ok := tool.Enter()
	if !ok {
		allDone(limit.Excluded)
		return nil, &Failure{Class: CircuitOpen, Upstream: u.name, RetryAfter: cmp.Or(after, breakerHint), RetrySafe: true, Err: errors.New("of the tool " + req.Name)}
	}
	return func(err error) {
		o := outcome(err)
		allDone(o)
		toolDone(o)
	}, nil
}

// outcome says what the end of a call says about the upstream. An error that it
// has sent is an answer; so is a refusal for too many calls, and a caller that has
// left says nothing.
func outcome(err error) limit.Outcome {
	if err == nil {
		return limit.Success
	}
	f, ok := errors.AsType[*Failure](err)
	if !ok {
		if errors.Is(err, context.Canceled) {
			return limit.Excluded
		}
		return limit.Success
	}
	if f.Class == RateLimited {
		return limit.Excluded
	}
	return limit.Failure
}

// BreakerStatus is the state of the upstream's breaker, and how many of its tools
// have one that is not closed.
type BreakerStatus struct {
	limit.BreakerStatus
	OpenTools []string
}

// Breaker returns the state of the breakers.
func (u *Upstream) Breaker() BreakerStatus {
	st := BreakerStatus{BreakerStatus: u.breakers.all.Status()}
	u.breakers.mu.RLock()
	defer u.breakers.mu.RUnlock()
	for name, b := range u.breakers.tools {
		if b.Status().State != limit.Closed {
			st.OpenTools = append(st.OpenTools, name)
		}
	}
	return st
}

// OpenBreaker makes the breaker refuse all calls until ReleaseBreaker.
func (u *Upstream) OpenBreaker() { _ = u.breakers.all.Force(limit.Open) } // cannot fail: it is one of the two states

// CloseBreaker makes the breaker let all calls pass until ReleaseBreaker, and closes those of the tools.
func (u *Upstream) CloseBreaker() {
	_ = u.breakers.all.Force(limit.Closed)
	u.breakers.mu.Lock()
	defer u.breakers.mu.Unlock()
	clear(u.breakers.tools)
}

// ReleaseBreaker ends what OpenBreaker or CloseBreaker forced.
func (u *Upstream) ReleaseBreaker() { u.breakers.all.Release() }

// breakerHint is how long callers of a forced breaker are told to wait.
const breakerHint = time.Minute
