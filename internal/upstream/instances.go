package upstream

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/mcp/jsonrpc"
)

// Instances says who shares a connection, and with it a child or an old session.
type Instances string

// The ways to share. The empty Instances is InstancesAuto.
const (
	// InstancesAuto is InstancesShared for programs. A remote server of an old
	// revision gets a session for each caller that it may ask something.
	InstancesAuto Instances = "auto"
	// InstancesShared is one connection for all callers. A server of an old revision
	// cannot ask them anything: its question would not say whom.
	InstancesShared Instances = "shared"
	// InstancesPrincipal is a connection for each principal and what its client
	// offers to answer, and one for what everybody sees the same: the catalogue.
	InstancesPrincipal Instances = "principal"
)

// InstancesSession is a connection for each session of a caller, which ends with the
// session: the server remembers one caller's one window. Callers whose requests stand
// alone, in 2026-07-28, have one as with InstancesPrincipal.
const InstancesSession Instances = "session"

// Whose is the party that a connection belongs to. The zero Whose is everybody.
type Whose struct {
	Principal mcp.Principal
	// Capabilities is what the client offers to answer, a ClientCapabilities object, or empty.
	Capabilities string
	// Session is the one session that it is for, or nil.
	Session *mcp.Session
}

// single reports whether all that comes over the connection is of one party, to whom a
// question of the server's can only be.
func (w Whose) single() bool { return w.Session != nil || !w.Principal.Anonymous() }

const (
	// maxInstances bounds the connections of callers of one upstream.
	maxInstances = 64
	// instanceIdle is how long one stays open without a call.
	instanceIdle = 5 * time.Minute
	// instanceWait is how long after a failed start the next one waits; each failure doubles it.
	instanceWait, instanceMaxWait = 200 * time.Millisecond, 30 * time.Second
)

// instances are the connections of single callers.
type instances struct {
	u *Upstream

	mu      sync.Mutex
	ctx     context.Context // of Run; nil before
	open    map[Whose]*instance
	closed  bool
	running sync.WaitGroup // dials and closings
}

// instance is the connection of one caller.
type instance struct {
	whose  Whose
	dialed chan struct{} // closed when link or err is there
	link   *link
	err    error

	// Guarded by instances.mu.
	calls   int
	used    time.Time
	wait    time.Duration // until the next attempt after a failure
	retryAt time.Time
	idle    *time.Timer
	forget  func() // about the end of the session
	gone    bool
}

// owner says whose connection a call goes over; false for the shared one.
func (u *Upstream) owner(req *mcp.Request) (Whose, bool) {
	caps := questions(req.Meta.Capabilities)
	switch u.spec.Instances {
	case InstancesPrincipal:
	case InstancesSession:
		w := Whose{Principal: req.Principal, Capabilities: caps, Session: req.Session}
		return w, w != Whose{}
	case InstancesAuto:
		if u.spec.URL == "" || caps == "" || u.Status().Version.Modern() {
			return Whose{}, false
		}
	default:
		return Whose{}, false
	}
	w := Whose{Principal: req.Principal, Capabilities: caps}
	return w, w != Whose{} // nobody, who can be asked nothing, is everybody
}

// MayAsk reports whether the upstream can ask the caller of a request: one of the
// latest revision, or one over a connection of the caller's own.
func (u *Upstream) MayAsk(req *mcp.Request) bool {
	if u.Status().Version.Modern() {
		return true
	}
	_, own := u.owner(req)
	return own
}

// questions returns what of a client's capabilities answers questions.
func questions(caps []byte) string {
	var members []jsonrpc.Member
	for key, value := range jsonrpc.Members(caps) {
		switch key {
		case "elicitation", "sampling", "roots":
			members = append(members, jsonrpc.Member{Key: key, Value: value})
		}
	}
	if members == nil {
		return ""
	}
	return string(jsonrpc.Splice(nil, nil, members...))
}

func newInstances(u *Upstream) *instances {
	return &instances{u: u, open: make(map[Whose]*instance)}
}

// start lets connections be opened until ctx ends.
func (s *instances) start(ctx context.Context) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ctx = ctx
}

// enter returns the caller's connection, opened if there is none, and what ends the use of it.
func (s *instances) enter(ctx context.Context, w Whose) (*link, func(), error) {
	in, err := s.find(w)
	if err != nil {
		return nil, nil, err
	}
	leave := func() { s.leave(in) }
	select {
	case <-in.dialed:
	case <-ctx.Done():
		leave()
		if timedOut(ctx) {
			return nil, nil, s.u.away(0)
		}
		return nil, nil, ctx.Err()
	}
	if in.err != nil {
		leave()
		return nil, nil, &Failure{Class: Unavailable, Upstream: s.u.name, RetryAfter: max(in.wait, retryHint), RetrySafe: true, Err: in.err}
	}
	return in.link, leave, nil
}

// find returns the instance of a caller and counts a call of it.
func (s *instances) find(w Whose) (*instance, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || s.ctx == nil {
		return nil, &Failure{Class: Unavailable, Upstream: s.u.name, RetrySafe: true, Err: errNotReady}
	}
	in := s.open[w]
	wait := instanceWait
	if in != nil {
		select {
		case <-in.dialed:
			if in.err == nil && in.link.alive() {
				in.calls++
				return in, nil
			}
			if left := time.Until(in.retryAt); in.err != nil && left > 0 {
				return nil, &Failure{Class: Unavailable, Upstream: s.u.name, RetryAfter: left, RetrySafe: true, Err: in.err}
			}
			if in.err != nil {
				wait = min(2*in.wait, instanceMaxWait)
			}
			s.dropLocked(in)
		default: // others wait for it too
			in.calls++
			return in, nil
		}
	}
	if len(s.open) >= maxInstances && !s.evictLocked() {
		return nil, &Failure{Class: Overloaded, Upstream: s.u.name, RetryAfter: retryHint, RetrySafe: true, Err: errors.New("every connection of a caller is in use")}
	}
	in = &instance{whose: w, dialed: make(chan struct{}), calls: 1, wait: wait, forget: func() {}}
	if w.Session != nil {
		var ok bool
		if in.forget, ok = w.Session.AfterEnd(func() { s.ended(in) }); !ok {
			return nil, context.Canceled
		}
	}
	in.idle = time.AfterFunc(s.idleTime(w), func() { s.retire(in) })
	s.open[w] = in
	ctx := s.ctx
	s.running.Go(func() { s.dial(ctx, in) })
	return in, nil
}

// dial opens the connection of an instance. It does not depend on the call that wanted it first.
func (s *instances) dial(run context.Context, in *instance) {
	conn, err := s.connect(run, in.whose)
	if err == nil {
		linkCtx, end := context.WithCancelCause(run)
		in.link = &link{conn: conn, ctx: linkCtx, end: end, broken: make(chan error, 1)}
		if conn.Done != nil {
			s.running.Go(func() { // ends with the connection or the link
				select {
				case <-conn.Done:
					end(mcp.ErrClosed)
				case <-linkCtx.Done():
				}
			})
		}
	}
	in.err = err
	s.mu.Lock()
	in.retryAt = time.Now().Add(in.wait)
	gone := in.gone
	s.mu.Unlock()
	close(in.dialed)
	if err != nil {
		s.u.log.Warn("connection of a caller not opened", "principal", in.whose.Principal.Subject, "err", err)
		return
	}
	s.u.log.Info("connection of a caller opened", "principal", in.whose.Principal.Subject, "pid", conn.PID)
	if gone {
		s.end(in)
	}
}

// connect dials when it is its turn.
func (s *instances) connect(run context.Context, w Whose) (*Conn, error) {
	started, err := s.u.startTurn(run)
	if err != nil {
		return nil, err
	}
	defer started()
	ctx, cancel := context.WithTimeoutCause(run, s.u.spec.StartTimeout, errors.New("not ready within "+s.u.spec.StartTimeout.String()))
	defer cancel()
	conn, err := s.u.dial(ctx, w)
	if cause := context.Cause(ctx); err != nil && cause != nil {
		return nil, cause
	}
	return conn, err
}

// leave ends the use of an instance by a call.
func (s *instances) leave(in *instance) {
	s.mu.Lock()
	defer s.mu.Unlock()
	in.calls--
	in.used = time.Now()
	if in.calls == 0 && !in.gone {
		in.idle.Reset(s.idleTime(in.whose))
	}
}

// idleTime is how long an instance stays open without a call.
// That of a session has what the caller relies on: it lives as long as the session,
// which has a bound of its own.
func (s *instances) idleTime(w Whose) time.Duration {
	if w.Session != nil {
		return cmp.Or(s.u.spec.IdleStop, 24*time.Hour)
	}
	return cmp.Or(s.u.spec.IdleStop, instanceIdle)
}

// ended closes the instance of a session that has ended, with what runs on it.
func (s *instances) ended(in *instance) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !in.gone {
		s.dropLocked(in)
	}
}

// retire closes an instance that has been idle.
func (s *instances) retire(in *instance) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if in.calls == 0 && !in.gone && time.Since(in.used) >= s.idleTime(in.whose) {
		s.dropLocked(in)
	}
}

// evictLocked closes the instance that has been idle for longest.
func (s *instances) evictLocked() bool {
	var oldest *instance
	for _, in := range s.open {
		if in.calls == 0 && (oldest == nil || in.used.Before(oldest.used)) {
			oldest = in
		}
	}
	if oldest == nil {
		return false
	}
	s.dropLocked(oldest)
	return true
}

// dropLocked takes an instance away; its connection is closed behind it.
func (s *instances) dropLocked(in *instance) {
	in.gone = true
	in.idle.Stop()
	in.forget()
	delete(s.open, in.whose)
	select {
	case <-in.dialed:
		s.running.Go(func() { s.end(in) })
	default: // dial ends it
	}
}

// end closes the connection of an instance.
func (s *instances) end(in *instance) {
	if in.link == nil {
		return
	}
	in.link.end(mcp.ErrClosed)
	if in.link.conn.Close != nil {
		if err := in.link.conn.Close(); err != nil && !errors.Is(err, mcp.ErrClosed) {
			s.u.log.Debug("connection of a caller closed", "err", err)
		}
	}
}

// close ends all instances and waits for them.
func (s *instances) close() {
	s.mu.Lock()
	s.closed = true
	for _, in := range s.open {
		s.dropLocked(in)
	}
	s.mu.Unlock()
	s.running.Wait()
}

// count is how many connections of callers are open.
func (s *instances) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.open)
}

// list describes the connections of callers.
func (s *instances) list() []Connection {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []Connection
	for whose, in := range s.open {
		c := Connection{Owner: whose.Principal.Subject, Own: true, State: Starting, Calls: in.calls}
		select {
		case <-in.dialed:
			if c.State = Restarting; in.err == nil && in.link.alive() {
				c.State, c.PID = Ready, in.link.conn.PID
			}
		default:
		}
		list = append(list, c)
	}
	slices.SortFunc(list, func(a, b Connection) int { return cmp.Or(cmp.Compare(a.Owner, b.Owner), cmp.Compare(a.PID, b.PID)) })
	return list
}
