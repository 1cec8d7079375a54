package upstream

import (
	"context"
	"fmt"
	"time"

	"github.com/fairlead-mcp/fairlead/internal/supervise"
)

// errIdle ends the connections of an upstream that nobody has needed for a while. It
// is no failure.
var errIdle = fmt.Errorf("idle: %w", supervise.ErrRestart)

// sleep waits until the upstream is needed.
func (m *member) sleep(ctx context.Context) error {
	u := m.u
	u.mu.Lock()
	awake, alarm := u.awake, u.alarm
	u.mu.Unlock()
	if awake {
		return nil
	}
	u.update(func() {
		if !u.awake {
			m.state = Idle
		}
	})
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-alarm:
		return nil
	}
}

// Wake makes an upstream that sleeps start, and one that is away try again soon, as a
// call does. It returns how long the next attempt is still away.
func (u *Upstream) Wake() time.Duration {
	u.rouse()
	var delay time.Duration
	for i, m := range u.members {
		if d := m.keeper.Wake(); i == 0 || d < delay {
			delay = d
		}
	}
	return delay
}

// rouse ends the sleep of all members.
func (u *Upstream) rouse() {
	u.mu.Lock()
	awake := u.awake
	u.mu.Unlock()
	if awake {
		return
	}
	u.update(func() {
		if u.awake {
			return
		}
		u.awake, u.used = true, time.Now()
		for _, m := range u.members {
			if m.state != Idle {
				continue
			}
			if m.state = Starting; m.ever {
				m.state = Restarting
			}
		}
		close(u.alarm)
		u.alarm = make(chan struct{})
	})
}

// watchIdle lets the upstream sleep when nobody needs it, until the returned function
// is called.
func (u *Upstream) watchIdle() (stop func()) {
	if u.spec.IdleStop <= 0 {
		return func() {}
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.used = time.Now()
	over := false
	look := func() {
		rest := u.rest()
		u.mu.Lock()
		defer u.mu.Unlock()
		if !over {
			u.idle.Reset(rest)
		}
	}
	u.idle = time.AfterFunc(u.spec.IdleStop, look)
	return func() {
		u.mu.Lock()
		defer u.mu.Unlock()
		over = true
		u.idle.Stop()
	}
}

// rest sends the upstream to sleep if it is time, and returns when to look again.
func (u *Upstream) rest() time.Duration {
	u.mu.Lock()
	left := u.leftLocked()
	u.mu.Unlock()
	if left > 0 {
		return left
	}
	var links []*link
	u.update(func() {
		if u.leftLocked() > 0 { // somebody came
			return
		}
		u.awake = false
		for _, m := range u.members {
			if m.link != nil {
				links = append(links, m.link)
				m.link = nil // from here on calls wake another
				m.state = Idle
			}
		}
		u.leader = nil
	})
	if len(links) > 0 {
		u.log.Info("upstream stopped", "reason", "idle for "+u.spec.IdleStop.String())
	}
	for _, l := range links {
		l.end(errIdle)
	}
	return u.spec.IdleStop
}

// leftLocked is how long the upstream is still kept. What is not connected is left to
// its supervision, and who watches a resource needs it.
func (u *Upstream) leftLocked() time.Duration {
	if len(u.watched) > 0 {
		return u.spec.IdleStop
	}
	connected := false
	for _, m := range u.members {
		if m.link == nil {
			continue
		}
		connected = true
		if m.link.calls.Load() > 0 {
			return u.spec.IdleStop
		}
	}
	if !connected {
		return u.spec.IdleStop
	}
	return u.spec.IdleStop - time.Since(u.used)
}
