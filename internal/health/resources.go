package health

import (
	"context"
	"fmt"
)

// The thresholds of resources, in percent: what warns, and what is unhealthy.
const (
	MemoryWarn, MemoryFull           = 85, 95
	DescriptorsWarn, DescriptorsFull = 80, 95
	DiskWarn, DiskFull               = 80, 90 // used, so 20 and 10 free
)

// Usage is how much of something is used.
type Usage struct {
	Used, Limit uint64
	Of          string // what the limit is of, such as "the cgroup"
}

// Percent is the share that is used; 0 without a limit.
func (u Usage) Percent() float64 {
	if u.Limit == 0 {
		return 0
	}
	return 100 * float64(u.Used) / float64(u.Limit)
}

// Resource is a check of a usage against two thresholds in percent.
func Resource(what string, warn, full float64, read func() (Usage, error)) func(context.Context) error {
	return func(context.Context) error {
		u, err := read()
		if err != nil {
			return Warn(fmt.Errorf("%s cannot be read: %w", what, err))
		}
		p := u.Percent()
		if p < warn {
			return nil
		}
		err = fmt.Errorf("%s: %.0f %% of %s used (%d of %d)", what, p, u.Of, u.Used, u.Limit)
		if p < full {
			return Warn(err)
		}
		return err
	}
}
