package health

import (
	"context"
	"errors"
	"time"
)

// State is how a component is.
type State string

// The states. A component is Unknown until its first success or its third failure.
const (
	Healthy   State = "healthy"
	Degraded  State = "degraded" // works, with a reason to look at it
	Unhealthy State = "unhealthy"
	Unknown   State = "unknown"
)

// Component is something that can be well or not.
type Component struct {
	Name string
	// Critical says that the node is not well without it.
	Critical bool
	// Check says how it is: nil, an error made by [Warn], or another error. It
	// honours ctx; one that does not is left behind, and asked again when it returns.
	Check func(ctx context.Context) error
	// Every is the time between checks. Zero means 30 s.
	Every time.Duration
	// Timeout bounds one check. Zero means 5 s.
	Timeout time.Duration
	// Failures in a row make it unhealthy, Successes in a row bring it back. Zero means 3 and 2.
	Failures, Successes int
}

func (c Component) withDefaults() Component {
	if c.Every <= 0 {
		c.Every = 30 * time.Second
	}
	if c.Timeout <= 0 {
		c.Timeout = 5 * time.Second
	}
	if c.Failures <= 0 {
		c.Failures = 3
	}
	if c.Successes <= 0 {
		c.Successes = 2
	}
	return c
}

// Warn marks an error of a component that works nevertheless.
func Warn(err error) error { return &warning{err} }

type warning struct{ error }

func (w *warning) Unwrap() error { return w.error }

// Status is a component at one moment.
type Status struct {
	Name     string
	Critical bool
	State    State
	Reason   string    // what the last check said that was not good; empty once it is well
	Since    time.Time // when State began
	Checked  time.Time // when it was last checked; zero for never
	Changes  int       // of State, since the start
}

// record is the memory of one component.
type record struct {
	Component
	status    Status
	bad, good int           // checks in a row
	running   bool          // a check has not returned
	wake      chan struct{} // holds a token while a check is wanted at once
	stop      func()        // ends the checking; nil before it has begun
}

// learn takes the result of a check. It reports whether the state has changed.
func (r *record) learn(err error, now time.Time) bool {
	r.status.Checked = now
	before := r.status.State
	var w *warning
	switch {
	case err == nil:
		r.bad = 0
		r.good++
		if before == Unknown || before == Healthy || r.good >= r.Successes {
			r.status.State, r.status.Reason = Healthy, ""
		}
	case errors.As(err, &w):
		r.bad = 0
		r.status.Reason = err.Error()
		// From unhealthy this is an improvement, which has to last; from healthy it is
		// news, which does too.
		if r.good++; before == Unhealthy && r.good < r.Successes {
			break
		}
		r.status.State = Degraded
		r.good = 0
	default:
		r.good = 0
		r.bad++
		r.status.Reason = err.Error()
		if r.bad >= r.Failures {
			r.status.State = Unhealthy
		}
	}
	if r.status.State == before {
		return false
	}
	r.status.Since = now
	r.status.Changes++
	return true
}

// verdict sums up: unhealthy when a critical component is, when more than a few
// are, or when under half are healthy; unknown while some are and the others are well.
func verdict(list []Status) State {
	unhealthy, healthy := 0, 0
	for _, s := range list {
		switch s.State {
		case Unhealthy:
			if unhealthy++; s.Critical {
				return Unhealthy
			}
		case Healthy:
			healthy++
		}
	}
	known := 0
	for _, s := range list {
		if s.State != Unknown {
			known++
		}
	}
	switch {
	case unhealthy > max(3, len(list)/10), known > 0 && 2*healthy < known && unhealthy > 0:
		return Unhealthy
	case healthy < known:
		return Degraded
	case known < len(list):
		return Unknown
	}
	return Healthy
}
