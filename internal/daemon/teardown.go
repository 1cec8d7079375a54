package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// teardown is what a node takes apart when it ends, last opened first. Each
// entry has a name, so that the log says what an end waits for.
type teardown struct {
	log   *slog.Logger
	steps []step
}

type step struct {
	name string
	late bool
	fn   func(grace context.Context) error
}

// push adds a step that runs before all that were pushed earlier.
func (t *teardown) push(name string, fn func(grace context.Context) error) {
	t.steps = append(t.steps, step{name: name, fn: fn})
}

// pushLate adds a step that runs after the others: what it ends is needed by them.
func (t *teardown) pushLate(name string, fn func(grace context.Context) error) {
	t.steps = append(t.steps, step{name: name, late: true, fn: fn})
}

// run runs every step once and returns what went wrong, named.
func (t *teardown) run(grace context.Context) error {
	var errs []error
	for _, late := range []bool{false, true} {
		for i := len(t.steps) - 1; i >= 0; i-- {
			s := t.steps[i]
			if s.late != late {
				continue
			}
			begin := time.Now()
			if err := s.fn(grace); err != nil {
				errs = append(errs, fmt.Errorf("stop %s: %w", s.name, err))
			}
			t.log.Debug("stopped", "step", s.name, "took", time.Since(begin))
		}
	}
	return errors.Join(errs...)
}
