package health

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// Options are the optional settings of a [Monitor].
type Options struct {
	// OnChange is told of each change of a component's state, in order. It must not block.
	OnChange func(before State, now Status)
}

// Monitor checks components. It is safe for concurrent use.
type Monitor struct {
	opts Options

	mu      sync.Mutex
	records []*record
	run     context.Context // nil while Run does not run
	loops   sync.WaitGroup
}

// New makes a monitor of components; opts may be nil. Nothing is checked before Run.
func New(components []Component, opts *Options) *Monitor {
	m := &Monitor{}
	if opts != nil {
		m.opts = *opts
	}
	if m.opts.OnChange == nil {
		m.opts.OnChange = func(State, Status) {}
	}
	m.Set(components)
	return m
}

// Set says what is checked from now on. What is known of a component stays when one
// of the same name is among them.
func (m *Monitor) Set(components []Component) {
	m.mu.Lock()
	defer m.mu.Unlock()
	last := m.records
	m.records = make([]*record, 0, len(components))
	for _, c := range components {
		r := &record{
			Component: c.withDefaults(), wake: make(chan struct{}, 1),
			status: Status{Name: c.Name, Critical: c.Critical, State: Unknown, Reason: "not checked yet", Since: time.Now()},
		}
		if i := slices.IndexFunc(last, func(r *record) bool { return r.Name == c.Name }); i >= 0 {
			r.status, r.bad, r.good = last[i].status, last[i].bad, last[i].good
			r.status.Critical = c.Critical
		}
		m.records = append(m.records, r)
		if m.run != nil {
			m.startLocked(r)
		}
	}
	for _, r := range last {
		if r.stop != nil {
			r.stop()
		}
	}
}

// startLocked begins to check a component, until it or Run is stopped.
func (m *Monitor) startLocked(r *record) {
	ctx, stop := context.WithCancel(m.run)
	r.stop = stop
	m.loops.Go(func() { m.loop(ctx, r) })
}

// Run checks until ctx ends, and returns when the checks that honour their context have ended.
func (m *Monitor) Run(ctx context.Context) {
	m.mu.Lock()
	m.run = ctx
	for _, r := range m.records {
		m.startLocked(r)
	}
	m.mu.Unlock()
	<-ctx.Done()
	m.mu.Lock()
	m.run = nil // from here on Set starts nothing
	m.mu.Unlock()
	m.loops.Wait()
}

// loop checks one component at its pace, at once for the first time.
func (m *Monitor) loop(ctx context.Context, r *record) {
	tick := time.NewTicker(r.Every)
	defer tick.Stop()
	for {
		m.check(ctx, r)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-r.wake:
		}
	}
}

// Wake has a component checked at once: something has happened to it.
func (m *Monitor) Wake(name string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, r := range m.records {
		if r.Name == name {
			select {
			case r.wake <- struct{}{}:
			default: // a check is on its way
			}
		}
	}
}

// check asks a component, for at most its timeout. One whose last check still
// hangs is not asked again: it counts as failed.
func (m *Monitor) check(ctx context.Context, r *record) {
	m.mu.Lock()
	if r.running {
		defer m.mu.Unlock()
		m.learnLocked(r, errors.New("the last check still hangs"))
		return
	}
	r.running = true
	m.mu.Unlock()

	bounded, cancel := context.WithTimeout(ctx, r.Timeout)
	defer cancel()
	result := make(chan error, 1)
	go func() { // ends with the check, which honours bounded or hangs by itself
		err := ask(bounded, r)
		m.mu.Lock()
		r.running = false
		m.mu.Unlock()
		result <- err
	}()
	var err error
	select {
	case err = <-result:
	case <-bounded.Done():
		err = context.DeadlineExceeded
	}
	if errors.Is(err, context.DeadlineExceeded) {
		err = fmt.Errorf("no answer within %v", r.Timeout)
	}
	if ctx.Err() != nil {
		return // the end of the monitor says nothing about the component
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.learnLocked(r, err)
}

// ask calls the check and makes an error of a panic.
func ask(ctx context.Context, r *record) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("the check panicked: %v", v)
		}
	}()
	return r.Check(ctx)
}

func (m *Monitor) learnLocked(r *record, err error) {
	before := r.status.State
	if r.learn(err, time.Now()) {
		m.opts.OnChange(before, r.status)
	}
}

// Snapshot returns all components, in the order of New or Set.
func (m *Monitor) Snapshot() []Status {
	m.mu.Lock()
	defer m.mu.Unlock()
	list := make([]Status, len(m.records))
	for i, r := range m.records {
		list[i] = r.status
	}
	return list
}

// Verdict sums the components up.
func (m *Monitor) Verdict() State { return verdict(m.Snapshot()) }
