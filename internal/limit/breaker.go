package limit

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/sony/gobreaker/v2"
)

// BreakerState is where a [Breaker] is.
type BreakerState string

// The states.
const (
	Closed   BreakerState = "closed"    // calls pass
	Open     BreakerState = "open"      // calls are refused
	HalfOpen BreakerState = "half-open" // a few trial calls pass
)

// Outcome is what a call says about the one who was called.
type Outcome uint8

// The outcomes.
const (
	Success Outcome = iota
	Failure
	Excluded // nothing: the caller left, or was mistaken
)

// BreakerOptions are the figures of a [Breaker]. The zero value has those of a node.
type BreakerOptions struct {
	Consecutive int           // failures in a row that open it. Zero means 5.
	Ratio       float64       // share of failures that opens it. Zero means 0.5.
	MinCalls    int           // calls below which the share does not count. Zero means 10.
	Window      time.Duration // over which the share is taken. Zero means 10 s.
	OpenFor     time.Duration // before trial calls pass. Zero means 60 s.
	Trials      int           // calls that pass half-open, and successes that close it. Zero means 2.
}

func (o BreakerOptions) withDefaults() BreakerOptions {
	if o.Consecutive <= 0 {
		o.Consecutive = 5
	}
	if o.Ratio <= 0 {
		o.Ratio = 0.5
	}
	if o.MinCalls <= 0 {
		o.MinCalls = 10
	}
	if o.Window <= 0 {
		o.Window = 10 * time.Second
	}
	if o.OpenFor <= 0 {
		o.OpenFor = time.Minute
	}
	if o.Trials <= 0 {
		o.Trials = 2
	}
	return o
}

// Breaker refuses calls to one who keeps failing. It is safe for concurrent use.
type Breaker struct {
	opts BreakerOptions

	mu     sync.Mutex
	auto   *gobreaker.TwoStepCircuitBreaker[struct{}]
	forced BreakerState // Open or Closed by an operator; empty: as it comes
	since  time.Time    // of the state
	opened int          // how often it has opened by itself
}

// NewBreaker returns a closed breaker.
func NewBreaker(opts BreakerOptions) *Breaker {
	b := &Breaker{opts: opts.withDefaults()}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.resetLocked()
	return b
}

func (b *Breaker) resetLocked() {
	o := b.opts
	b.since = time.Now()
	var current *gobreaker.TwoStepCircuitBreaker[struct{}]
	current = gobreaker.NewTwoStepCircuitBreaker[struct{}](gobreaker.Settings{
		MaxRequests:  uint32(o.Trials),
		Interval:     o.Window,
		BucketPeriod: o.Window / 10,
		Timeout:      o.OpenFor,
		ReadyToTrip: func(c gobreaker.Counts) bool {
			judged := c.TotalSuccesses + c.TotalFailures
			return c.ConsecutiveFailures >= uint32(o.Consecutive) ||
				judged >= uint32(o.MinCalls) && float64(c.TotalFailures) >= o.Ratio*float64(judged)
		},
		IsExcluded: func(err error) bool { return err == errExcluded },
		OnStateChange: func(_ string, _, to gobreaker.State) {
			b.mu.Lock()
			defer b.mu.Unlock()
			if b.auto != current {
				return // of before a reset
			}
			b.since = time.Now()
			if to == gobreaker.StateOpen {
				b.opened++
			}
		},
	})
	b.auto = current
}

var (
	errFailed   = errors.New("failed")
	errExcluded = errors.New("excluded")
)

// Enter asks whether a call may pass. If so, done must be called once with what
// came of it; if not, retryAfter says when asking again makes sense, zero if nobody knows.
func (b *Breaker) Enter() (done func(Outcome), retryAfter time.Duration, ok bool) {
	b.mu.Lock()
	auto, forced := b.auto, b.forced
	b.mu.Unlock()
	switch forced {
	case Open:
		return nil, 0, false
	case Closed:
		return func(Outcome) {}, 0, true
	}
	finish, err := auto.Allow()
	if err != nil {
		return nil, b.remaining(), false
	}
	return func(o Outcome) {
		switch o {
		case Success:
			finish(nil)
		case Failure:
			finish(errFailed)
		default:
			finish(errExcluded)
		}
	}, 0, true
}

// remaining is how long the breaker stays open; half-open, a moment.
func (b *Breaker) remaining() time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	return max(b.opts.OpenFor-time.Since(b.since), time.Second)
}

// Force sets the state by an operator's wish: Open or Closed until Release.
// Another state is an error.
func (b *Breaker) Force(s BreakerState) error {
	if s != Open && s != Closed {
		return fmt.Errorf("a breaker is forced open or closed, not %q", s)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.forced, b.since = s, time.Now()
	return nil
}

// Release ends what an operator forced; the breaker is closed and has seen nothing.
func (b *Breaker) Release() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.forced = ""
	b.resetLocked()
}

// Reset forgets what the breaker has seen: who was called is a new one. What an
// operator forced stays.
func (b *Breaker) Reset() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.forced == "" {
		b.resetLocked()
	}
}

// BreakerStatus is a [Breaker] at one moment.
type BreakerStatus struct {
	State  BreakerState
	Since  time.Time
	Forced bool // by an operator
	Opened int  // how often it has opened by itself
}

// Status returns what the breaker is now.
func (b *Breaker) Status() BreakerStatus {
	b.mu.Lock()
	auto := b.auto
	b.mu.Unlock()
	state := Closed
	switch auto.State() { // may call OnStateChange, which takes the lock
	case gobreaker.StateOpen:
		state = Open
	case gobreaker.StateHalfOpen:
		state = HalfOpen
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.forced != "" {
		state = b.forced
	}
	return BreakerStatus{State: state, Since: b.since, Forced: b.forced != "", Opened: b.opened}
}
