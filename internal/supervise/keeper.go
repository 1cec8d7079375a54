package supervise

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"sync"
	"time"
)

// Service is something that runs until it ends or ctx does.
//
// What Run returns decides what comes next: nil means that the work is done and
// the service is not started again; an error means that it is; an error that is
// [ErrStop] means never again, whatever happens; one made by [Persistent] means
// again, but with the slow pace of a failed service from now on. A panic counts as
// an error. Run returns soon after ctx ends and leaves no goroutine behind.
type Service interface {
	Run(ctx context.Context) error
}

// ServiceFunc makes a Service of a function.
type ServiceFunc func(ctx context.Context) error

// Run calls f.
func (f ServiceFunc) Run(ctx context.Context) error { return f(ctx) }

// ErrStop says that a service is not to be started again.
var ErrStop = errors.New("supervise: not to be started again")

// ErrRestart says that a service is to be started again at once: it was ended on
// purpose, which is no failure.
var ErrRestart = errors.New("supervise: restarted on purpose")

// Persistent marks err as one that an early new attempt does not mend, such as a
// missing program or a refused credential.
func Persistent(err error) error { return &persistent{err} }

// NotBefore marks err as one after which a new attempt makes no sense before a time has
// passed, whoever asks for one: the one who refused has said so.
func NotBefore(err error, d time.Duration) error { return &notBefore{err, d} }

type notBefore struct {
	err error
	d   time.Duration
}

func (n *notBefore) Error() string { return n.err.Error() }
func (n *notBefore) Unwrap() error { return n.err }

type persistent struct{ err error }

func (p *persistent) Error() string { return p.err.Error() }
func (p *persistent) Unwrap() error { return p.err }

// PanicError is the error of a service that panicked.
type PanicError struct {
	Value any
	Stack []byte
}

func (e *PanicError) Error() string { return fmt.Sprintf("panic: %v", e.Value) }

// Policy says when a service is started again. Zero fields mean the defaults.
type Policy struct {
	// First is the delay after the first failure; each further one doubles it. Zero means 200 ms.
	First time.Duration
	// Max bounds the delay. Zero means 30 s.
	Max time.Duration
	// Healthy is how long a service has to run before its failures are forgotten. Zero means 10 min.
	Healthy time.Duration
	// Budget is how many failures within Window make a service failed. Zero means 5; negative means no bound.
	Budget int
	// Window is the time that Budget is for. Zero means 1 min.
	Window time.Duration
	// Slow is the delay between attempts of a failed service. Zero means 1 min.
	Slow time.Duration
}

func (p *Policy) withDefaults() Policy {
	var q Policy
	if p != nil {
		q = *p
	}
	set := func(d *time.Duration, def time.Duration) {
		if *d == 0 {
			*d = def
		}
	}
	set(&q.First, 200*time.Millisecond)
	set(&q.Max, 30*time.Second)
	set(&q.Healthy, 10*time.Minute)
	set(&q.Window, time.Minute)
	set(&q.Slow, time.Minute)
	if q.Budget == 0 {
		q.Budget = 5
	}
	return q
}

// EventKind says what happened to a service.
type EventKind string

// The kinds of events.
const (
	Started EventKind = "started" // Run is about to be called
	Backoff EventKind = "backoff" // Run failed; the next attempt comes after Delay
	Failed  EventKind = "failed"  // as Backoff, but the budget is spent or the failure is persistent
	Stopped EventKind = "stopped" // Run will not be called again
)

// Event tells what happened to a service.
type Event struct {
	Service string
	Kind    EventKind
	Attempt int           // how often Run has been called
	Delay   time.Duration // until the next attempt, for Backoff and Failed
	Err     error         // what Run returned, nil for Started
}

// Keeper runs one service and starts it again when it fails.
type Keeper struct {
	name    string
	service Service
	policy  Policy
	onEvent func(Event)

	mu     sync.Mutex
	waking chan struct{} // holds a token when until has changed; non-nil while a delay runs
	since  time.Time     // when the delay began
	until  time.Time     // when it ends by itself
	floor  time.Duration // the shortest that Wake may make it
}

// KeeperOptions are the optional settings of a [Keeper].
type KeeperOptions struct {
	Policy *Policy
	// OnEvent is called from the goroutine of Run, so it must not block.
	OnEvent func(Event)
}

// NewKeeper makes a Keeper; opts may be nil.
func NewKeeper(name string, s Service, opts *KeeperOptions) *Keeper {
	if opts == nil {
		opts = &KeeperOptions{}
	}
	k := &Keeper{name: name, service: s, policy: opts.Policy.withDefaults(), onEvent: opts.OnEvent}
	if k.onEvent == nil {
		k.onEvent = func(Event) {}
	}
	return k
}

// Run runs the service until it is done, stops for good or ctx ends. It returns
// nil when the service is done, what the service returned when that is ErrStop,
// and the cause of ctx otherwise.
func (k *Keeper) Run(ctx context.Context) error {
	var failures []time.Time // within the last Window, oldest first
	failed := false
	delay := k.policy.First
	for attempt := 1; ; attempt++ {
		k.onEvent(Event{Service: k.name, Kind: Started, Attempt: attempt})
		began := time.Now()
		err := k.once(ctx)
		now := time.Now()

		if err == nil || errors.Is(err, ErrStop) || ctx.Err() != nil {
			k.onEvent(Event{Service: k.name, Kind: Stopped, Attempt: attempt, Err: err})
			if err != nil && !errors.Is(err, ErrStop) {
				err = context.Cause(ctx)
			}
			return err
		}

		if errors.Is(err, ErrRestart) {
			failures, failed, delay = nil, false, k.policy.First
			k.onEvent(Event{Service: k.name, Kind: Backoff, Attempt: attempt, Err: err})
			continue
		}
		if now.Sub(began) >= k.policy.Healthy {
			failures, failed, delay = nil, false, k.policy.First
		}
		for len(failures) > 0 && now.Sub(failures[0]) >= k.policy.Window {
			failures = failures[1:]
		}
		failures = append(failures, now)
		if k.policy.Budget > 0 && len(failures) > k.policy.Budget {
			failed = true
		}
		if len(failures) > k.policy.Budget {
			failures = failures[1:] // more are never needed
		}
		event := Event{Service: k.name, Kind: Backoff, Attempt: attempt, Delay: jitter(delay), Err: err}
		floor := k.policy.First
		if _, ok := errors.AsType[*persistent](err); ok || failed {
			event.Kind, event.Delay, floor = Failed, jitter(k.policy.Slow), k.policy.Max
		} else {
			delay = min(2*delay, k.policy.Max)
		}
		if n, ok := errors.AsType[*notBefore](err); ok {
			event.Delay, floor = max(event.Delay, n.d), max(floor, n.d)
		}
		if err := k.wait(ctx, event, floor); err != nil {
			k.onEvent(Event{Service: k.name, Kind: Stopped, Attempt: attempt, Err: err})
			return err
		}
	}
}

// once calls the service and makes an error of a panic.
func (k *Keeper) once(ctx context.Context) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &PanicError{Value: v, Stack: debug.Stack()}
		}
	}()
	return k.service.Run(ctx)
}

// wait lets the delay of event pass. The delay is announced only once Wake can shorten it.
func (k *Keeper) wait(ctx context.Context, event Event, floor time.Duration) error {
	waking := make(chan struct{}, 1)
	k.mu.Lock()
	k.waking, k.floor = waking, min(floor, event.Delay)
	k.since = time.Now()
	k.until = k.since.Add(event.Delay)
	k.mu.Unlock()
	defer func() {
		k.mu.Lock()
		k.waking = nil
		k.mu.Unlock()
	}()
	k.onEvent(event)

	timer := time.NewTimer(event.Delay)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-timer.C:
			return nil
		case <-waking:
			k.mu.Lock()
			timer.Reset(time.Until(k.until))
			k.mu.Unlock()
		}
	}
}

// Wake shortens the delay that runs, because somebody needs the service now. It
// returns how long the next attempt is still away: after a failure never less
// than Policy.First since the failure, and for a failed service Policy.Max, so
// that a crowd of callers cannot make a restart loop spin. Zero means that the
// service is not being delayed.
func (k *Keeper) Wake() time.Duration {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.waking == nil {
		return 0
	}
	if earliest := k.since.Add(k.floor); earliest.Before(k.until) {
		k.endAtLocked(earliest)
	}
	return max(time.Until(k.until), time.Nanosecond)
}

// Now ends the delay that runs, whatever its reason: somebody has mended it.
func (k *Keeper) Now() {
	k.mu.Lock()
	defer k.mu.Unlock()
	if now := time.Now(); k.waking != nil && now.Before(k.until) {
		k.endAtLocked(now)
	}
}

func (k *Keeper) endAtLocked(t time.Time) {
	k.until = t
	select {
	case k.waking <- struct{}{}:
	default: // one token is enough
	}
}

// jitter spreads d by a fifth in both directions, so that what failed together does not come back together.
func jitter(d time.Duration) time.Duration {
	return time.Duration(float64(d) * (0.8 + 0.4*rand.Float64()))
}
