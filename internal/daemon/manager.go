package daemon

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/fairlead-mcp/fairlead/internal/adminapi"
	"github.com/fairlead-mcp/fairlead/internal/upstream"
)

// statusEvery is how often the service manager gets a new line about the node at the most.
const statusEvery = 5 * time.Second

// runManager tells the service manager that the node is ready and, until it is taken
// down or replaced, that it lives and how it is doing.
func (d *Daemon) runManager(ctx context.Context, down *teardown) {
	if d.opts.Notify == nil {
		return
	}
	told := d.summary()
	d.opts.Notify.Ready(told)
	run, stop := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan struct{})
	every := statusEvery
	if w := d.opts.Notify.Watchdog(); w > 0 {
		every = min(every, w/2) // as sd_watchdog_enabled(3) asks
	}
	go func() { // ends with stop
		defer close(done)
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			select {
			case <-run.Done():
				return
			case <-tick.C:
			}
			if d.adminElsewhere.Load() != nil {
				return // another process is the service
			}
			if d.opts.Notify.Watchdog() > 0 {
				if err := d.lives(run, every); err == nil {
					d.opts.Notify.Alive()
				} else if run.Err() == nil {
					d.log.Error("the node does not answer itself", "component", "watchdog", "err", err)
				}
			}
			if now := d.summary(); now != told && !d.draining.Load() {
				told = now
				d.opts.Notify.Status(told)
			}
		}
	}()
	// Late: a node that finishes its calls still lives.
	down.pushLate("service manager", func(context.Context) error {
		stop()
		<-done
		return nil
	})
}

// lives asks the node's own admin socket whether the node lives, as others would.
func (d *Daemon) lives(ctx context.Context, within time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	transport := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", d.cfg.AdminSocket)
	}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://localhost"+adminapi.PathLive, nil)
	if err != nil {
		return err
	}
	res, err := transport.RoundTrip(req)
	if err != nil {
		return err
	}
	if err := res.Body.Close(); err != nil {
		return err
	}
	if res.StatusCode != http.StatusOK {
		return errors.New(res.Status)
	}
	return nil
}

// summary is the node in a line.
func (d *Daemon) summary() string {
	up := 0
	members := d.now.Load().members
	for _, m := range members {
		if m.up.Status().State == upstream.Ready {
			up++
		}
	}
	return fmt.Sprintf("%d of %d upstreams ready", up, len(members))
}
