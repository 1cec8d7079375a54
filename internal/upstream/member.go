package upstream

import (
	"context"
	"errors"
	"time"

	"github.com/fairlead-mcp/fairlead/internal/supervise"
	"github.com/fairlead-mcp/fairlead/mcp"
)

// member is one of the shared connections of an upstream. Members are equals, each
// with a supervision of its own. One of those that are connected leads: its lists and
// changes are the upstream's. When it goes another one leads at once.
type member struct {
	u      *Upstream
	no     int // from 1
	keeper *supervise.Keeper

	// Guarded by u.mu.
	state    State
	link     *link // nil while not ready
	reached  bool  // the current attempt has been ready
	ever     bool  // an attempt has ended
	restarts int
	lastErr  string
}

func newMember(u *Upstream, no int, policy *supervise.Policy) *member {
	m := &member{u: u, no: no, state: Starting}
	if u.spec.Lazy {
		m.state = Idle
	}
	m.keeper = supervise.NewKeeper(u.name, supervise.ServiceFunc(m.attempt), &supervise.KeeperOptions{Policy: policy, OnEvent: m.kept})
	return m
}

// stateLocked is the state of the upstream: that of the member that is nearest to ready.
func (u *Upstream) stateLocked() State {
	if len(u.members) == 1 {
		return u.members[0].state
	}
	for _, s := range []State{Ready, Restarting, Starting, Idle, Failed} {
		for _, m := range u.members {
			if m.state == s {
				return s
			}
		}
	}
	return Stopped
}

// kept follows the keeper.
func (m *member) kept(e supervise.Event) {
	u := m.u
	if e.Err != nil && e.Kind != supervise.Stopped && !errors.Is(e.Err, supervise.ErrRestart) {
		u.log.Warn("upstream lost", "instance", m.no, "attempt", e.Attempt, "again_in", e.Delay, "state", string(e.Kind), "err", e.Err)
	}
	u.update(func() {
		switch e.Kind {
		case supervise.Started:
			return
		case supervise.Backoff:
			m.state = Restarting
		case supervise.Failed:
			m.state = Failed
		case supervise.Stopped:
			m.state = Stopped
			return
		}
		m.ever = true
		if errors.Is(e.Err, errIdle) {
			m.state, m.reached = Idle, false
			return
		}
		m.restarts++
		m.lastErr = e.Err.Error()
		u.status.LastError = m.lastErr
		if !m.reached {
			u.attempts++
		}
		m.reached = false
	})
}

// attempt is one connection, from the moment that somebody needs it to its end.
func (m *member) attempt(run context.Context) error {
	u := m.u
	if err := m.sleep(run); err != nil {
		return err
	}
	started, err := u.startTurn(run)
	if err != nil {
		return err
	}
	defer started()
	ctx, cancel := context.WithCancelCause(run)
	defer cancel(context.Canceled)

	startCtx, cancelStart := context.WithTimeoutCause(ctx, u.spec.StartTimeout, errors.New("not ready within "+u.spec.StartTimeout.String()))
	defer cancelStart()
	conn, err := u.dial(startCtx, Whose{})
	if err != nil {
		return classify(err)
	}
	if conn.Close != nil {
		defer func() {
			if err := conn.Close(); err != nil && !errors.Is(err, mcp.ErrClosed) {
				u.log.Debug("connection closed", "err", err)
			}
		}()
	}
	stopDone := closeWith(ctx, cancel, conn)
	defer stopDone()
	// The child may be gone before it has listed anything; then ctx ends.
	catalogue, err := u.fetch(startCtx, conn.Handler)
	if err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return classify(err)
	}
	cancelStart()
	started()

	l := &link{conn: conn, ctx: ctx, end: cancel, broken: make(chan error, 1)}
	defer m.disconnected(run)
	return m.follow(l, catalogue)
}

// follow leads if nobody does, else waits until it can.
func (m *member) follow(l *link, c *Catalogue) error {
	u := m.u
	select {
	case u.lead <- struct{}{}:
		defer func() { <-u.lead }()
	default: // another leads
		m.connected(l, c, false)
		if err := m.standBy(l); err != nil {
			return err
		}
		defer func() { <-u.lead }()
		ctx, cancel := context.WithTimeout(l.ctx, u.spec.StartTimeout)
		fresh, err := u.fetch(ctx, l.conn.Handler)
		cancel()
		if err != nil {
			return classify(err)
		}
		c = fresh
	}
	first := u.Catalogue() == nil
	m.connected(l, c, true)
	return u.listen(l, first)
}

// standBy waits until the member leads, or is lost.
func (m *member) standBy(l *link) error {
	for {
		select {
		case <-l.ctx.Done():
			return context.Cause(l.ctx)
		case m.u.lead <- struct{}{}:
			return nil
		case err := <-l.broken:
			ctx, cancel := context.WithTimeout(l.ctx, m.u.spec.StartTimeout)
			_, probeErr := l.conn.Handler.Handle(ctx, m.u.request(mcp.MethodDiscover, []byte(`{}`)), mcp.Discard)
			cancel()
			if probeErr != nil && !mcp.IsWireError(probeErr) {
				return err
			}
		}
	}
}

// connected announces a link to calls and, of a member that leads, what it offers and
// what is different since the last one.
func (m *member) connected(l *link, c *Catalogue, leads bool) {
	u := m.u
	version := c.version(u.spec.Era)
	if l.conn.Version != nil {
		version = l.conn.Version()
	}
	if l.conn.Done != nil && len(u.members) == 1 {
		// Another process: what the last one did says nothing. A remote server that
		// lists and then fails calls is the same one, and of several processes one is.
		u.breakers.reset()
	}
	last := u.Catalogue() // only who leads changes it
	if last != nil && c.same(last) {
		c = last // what others have made of it stays good
	}
	promoted := false
	u.update(func() {
		if promoted = m.link == l; !promoted {
			u.links++
			l.no = u.links
			m.link, m.state, m.reached, u.used = l, Ready, true, time.Now()
		}
		u.status.Version = version
		u.status.Era = EraLegacy
		if version.Modern() {
			u.status.Era = EraModern
		}
		if leads {
			u.catalogue.Store(c)
			u.leader = l
			u.looked, u.behind = time.Now(), false
			u.describe()
		}
	})
	if !promoted {
		u.log.Info("upstream ready", "instance", m.no, "version", string(version), "pid", l.conn.PID, "tools", len(c.Tools))
	}
	if !leads {
		return
	}
	if last == nil {
		close(u.listed)
		last = &Catalogue{}
	}
	u.tell(Change{Lists: differences(last, c)})
}

// disconnected takes the link of a member away.
func (m *member) disconnected(run context.Context) {
	u := m.u
	u.update(func() {
		if m.link != nil && u.leader == m.link {
			u.leader = nil
		}
		m.link = nil
		if run.Err() == nil && m.state == Ready {
			m.state = Restarting
		}
	})
}
