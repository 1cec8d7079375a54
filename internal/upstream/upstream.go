package upstream

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fairlead-mcp/fairlead/internal/limit"
	"github.com/fairlead-mcp/fairlead/internal/sandbox"
	"github.com/fairlead-mcp/fairlead/internal/supervise"
	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/mcp/jsonrpc"
)

// State is where an upstream is in its life.
type State string

// The states.
const (
	Idle       State = "idle"       // not running, since nobody needs it; a call starts it
	Starting   State = "starting"   // never yet ready
	Ready      State = "ready"      // calls are carried
	Restarting State = "restarting" // was lost; the next attempt comes soon
	Failed     State = "failed"     // attempts are rare until one succeeds
	Stopped    State = "stopped"    // Run has returned
)

// Status is what is known of an upstream at one moment.
type Status struct {
	Name      string
	State     State
	Since     time.Time       // when State began
	LastError string          // why it is or was not ready; empty if there never was a reason
	Restarts  int             // how often it was started again
	PID       int             // of the child, or 0; of the first where there are several
	Alive     int             // shared connections that are open
	Era       Era             // as found out, or as configured until then
	Version   mcp.Version     // empty until the first connection
	Server    []byte          // raw serverInfo, or nil
	Tools     int             // number of tools listed
	Instances int             // connections of single callers
	Bounds    []sandbox.Bound // limits of the child that runs or ran last, and who sees to them
	Hits      map[string]int  // limit -> how often a child has reached it
	Dropped   uint64          // lines of standard error that were not logged
	Listed    bool            // the catalogue is known, though maybe from an earlier connection
	Drained   bool            // takes no new calls
}

// Change is something about an upstream that its watchers may want to pass on.
type Change struct {
	// Lists are the lists of which the upstream said that they have changed, or
	// that were found different after a reconnection.
	Lists []Kind
	// URI is a resource that was updated; empty for other changes.
	URI string
	// Gap says that updates may have been lost: watched resources count as updated.
	Gap bool
}

// Upstream is one upstream. It is safe for concurrent use.
type Upstream struct {
	name       string
	spec       Spec
	opts       Options
	log        *slog.Logger
	clientInfo []byte
	dial       func(context.Context, Whose) (*Conn, error)
	instances  *instances
	members    []*member // the shared connections; there is one unless Spec.Size says more
	breakers   *breakers
	faults     faults
	pause      pause
	bulkhead   *limit.Bulkhead[mcp.Principal]
	catalogue  atomic.Pointer[Catalogue] // changed under mu; read for each call
	lead       chan struct{}             // holds a token while a member leads
	dropped    atomic.Uint64             // lines of standard error
	events     sync.Mutex                // held while OnEvent is called, so that events come in order

	mu       sync.Mutex
	status   Status
	leader   *link         // whose lists and changes count; nil while there is none
	moved    chan struct{} // closed and replaced when a state or link changes
	attempts int           // attempts that ended without having been ready
	looked   time.Time     // when everything was last listed
	behind   bool          // the last attempt to list something failed
	awake    bool          // wanted; false lets members sleep
	alarm    chan struct{} // closed when awake becomes true, and then replaced
	used     time.Time     // when a shared connection was last needed
	idle     *time.Timer   // looks whether it is time to sleep; nil without Spec.IdleStop
	links    uint64        // counts links
	turn     int           // counts calls
	listed   chan struct{} // closed with the first catalogue
	draining draining
	watched  map[string]int
	watching chan struct{} // closed and replaced when the keys of watched change
	wishes   int           // counts those changes
	settled  int           // the wishes that the stream to the upstream has been opened for
	settling chan struct{} // closed and replaced when settled changes
	watchers map[int]func(Change)
	nextID   int
}

// link is one connection from ready to broken.
type link struct {
	no     uint64 // tells links of an upstream apart; 0 for those of callers
	calls  atomic.Int64
	conn   *Conn
	ctx    context.Context // ends with the connection
	end    context.CancelCauseFunc
	broken chan error // holds the first failure of a call of a connection without Done

	silent int         // probes in a row without an answer; guarded by Upstream.mu
	late   atomic.Bool // a call has reached its time, and nothing was answered since
}

// alive reports whether calls make sense. Done is asked itself, since ctx ends a
// moment after it, and in that moment a call would be sent to the dead.
func (l *link) alive() bool {
	select {
	case <-l.conn.Done: // nil blocks: such a connection does not break
		return false
	default:
		return l.ctx.Err() == nil
	}
}

// New makes an upstream; opts may be nil. Nothing is started before Run.
func New(name string, spec Spec, opts *Options) *Upstream {
	u := &Upstream{
		name: name, spec: spec.withDefaults(),
		moved: make(chan struct{}), listed: make(chan struct{}), watching: make(chan struct{}), settling: make(chan struct{}),
		alarm: make(chan struct{}), lead: make(chan struct{}, 1),
		watched: make(map[string]int), watchers: make(map[int]func(Change)), breakers: newBreakers(),
	}
	if opts != nil {
		u.opts = *opts
	}
	u.log = u.opts.Logger
	if u.log == nil {
		u.log = slog.New(slog.DiscardHandler)
	}
	u.log = u.log.With("component", "upstream", "upstream", name)
	if u.opts.OnEvent == nil {
		u.opts.OnEvent = func(Status) {}
	}
	if u.opts.ClientName == "" {
		u.opts.ClientName, u.opts.ClientVersion = "fairlead", "0"
	}
	if u.opts.MaxItems == 0 {
		u.opts.MaxItems = 10_000
	}
	if u.opts.MaxListBytes == 0 {
		u.opts.MaxListBytes = 16 << 20
	}
	u.clientInfo = jsonrpc.AppendString([]byte(`{"name":`), u.opts.ClientName)
	u.clientInfo = append(jsonrpc.AppendString(append(u.clientInfo, `,"version":`...), u.opts.ClientVersion), '}')
	u.status = Status{Name: name, State: Starting, Since: time.Now(), Era: u.spec.Era}

	u.bulkhead = limit.NewBulkhead[mcp.Principal](limit.BulkheadOptions{Max: u.spec.MaxConcurrent, Queue: u.spec.Queue, Wait: u.spec.QueueWait})
	u.instances = newInstances(u)
	policy := u.opts.Policy
	switch {
	case u.opts.Dial != nil:
		u.dial = u.opts.Dial
	case u.spec.URL != "":
		u.dial = u.dialRemote
		if policy == nil {
			// A remote server is somebody else's to mend: keep asking every 30 s.
			policy = &supervise.Policy{Budget: -1}
		}
	default:
		u.dial = u.startChild
	}
	for i := range u.spec.Size {
		u.members = append(u.members, newMember(u, i+1, policy))
	}
	u.awake = !u.spec.Lazy
	u.status.State = u.stateLocked()
	return u
}

// Name returns the upstream's name.
func (u *Upstream) Name() string { return u.name }

// Spec returns what the upstream is, with the defaults filled in.
func (u *Upstream) Spec() Spec { return u.spec }

// Allows reports whether a tool, by the upstream's own name, is offered to
// callers, and by which rule.
func (u *Upstream) Allows(tool string) (rule string, ok bool) { return u.spec.allows(tool) }

// MaxResult bounds the result of a tool, by the upstream's own name; zero for no bound.
func (u *Upstream) MaxResult(tool string) int { return u.spec.maxResult(tool) }

// Status returns what is known now.
func (u *Upstream) Status() Status {
	n := u.instances.count()
	u.mu.Lock()
	defer u.mu.Unlock()
	st := u.status
	st.Instances = n
	st.Dropped = u.dropped.Load()
	return st
}

// Catalogue returns what the upstream offers, or what it last offered while it is
// away. It is nil until the upstream has been reached for the first time.
func (u *Upstream) Catalogue() *Catalogue { return u.catalogue.Load() }

// Listed returns a channel that is closed once Catalogue is not nil.
func (u *Upstream) Listed() <-chan struct{} { return u.listed }

// Restart ends the shared connections, and their children with them, and opens others
// at once. Calls that run end as they do when a connection is lost. One that was drained
// takes calls again.
func (u *Upstream) Restart() {
	u.Undrain()
	u.mu.Lock()
	var links []*link
	for _, m := range u.members {
		if m.link != nil {
			links = append(links, m.link)
		}
	}
	u.mu.Unlock()
	u.pause.end()
	for _, l := range links {
		l.end(supervise.ErrRestart)
	}
	u.rouse()
	for _, m := range u.members {
		m.keeper.Now()
	}
}

// Watch has fn called for every change until stop is called. fn must not block;
// it is called from one goroutine at a time.
func (u *Upstream) Watch(fn func(Change)) (stop func()) {
	u.mu.Lock()
	defer u.mu.Unlock()
	id := u.nextID
	u.nextID++
	u.watchers[id] = fn
	return func() {
		u.mu.Lock()
		defer u.mu.Unlock()
		delete(u.watchers, id)
	}
}

// Run keeps the upstream connected until ctx ends. It is a supervise.Service that
// does its own restarting: it returns only when ctx has ended, and then nil. No
// goroutine and no child outlives it.
func (u *Upstream) Run(ctx context.Context) error {
	u.instances.start(ctx)
	defer u.instances.close()
	defer u.watchIdle()()
	run, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	for _, m := range u.members {
		wg.Go(func() { // until run ends
			if err := m.keeper.Run(run); err != nil && run.Err() == nil {
				cancel(err)
			}
		})
	}
	wg.Wait()
	if ctx.Err() != nil || run.Err() == nil {
		return nil
	}
	return context.Cause(run)
}

// update changes what u.mu guards, wakes who waits and tells of it.
func (u *Upstream) update(change func()) {
	u.events.Lock()
	defer u.events.Unlock()
	u.mu.Lock()
	change()
	if state := u.stateLocked(); state != u.status.State {
		u.status.State, u.status.Since = state, time.Now()
	}
	u.status.PID, u.status.Alive, u.status.Restarts = 0, 0, 0
	for _, m := range u.members {
		u.status.Restarts += m.restarts
		if m.link == nil {
			continue
		}
		u.status.Alive++
		if u.status.PID == 0 {
			u.status.PID = m.link.conn.PID
		}
	}
	close(u.moved)
	u.moved = make(chan struct{})
	status := u.status
	u.mu.Unlock()
	u.opts.OnEvent(status)
}

// closeWith cancels when conn is done. The returned function ends the watching.
func closeWith(ctx context.Context, cancel context.CancelCauseFunc, conn *Conn) func() {
	if conn.Done == nil {
		return func() {}
	}
	var wg sync.WaitGroup
	wg.Go(func() { // ends with ctx, which the caller cancels before it waits
		select {
		case <-ctx.Done():
		case <-conn.Done:
			err := mcp.ErrClosed
			if conn.Err != nil && conn.Err() != nil {
				err = conn.Err()
			}
			cancel(err)
		}
	})
	return func() {
		cancel(context.Canceled)
		wg.Wait()
	}
}

// describe copies into the status what the catalogue says; u.mu is held.
func (u *Upstream) describe() {
	c := u.catalogue.Load()
	u.status.Server, u.status.Tools, u.status.Listed = c.Server, len(c.Tools), true
}

// tell passes a change to the watchers.
func (u *Upstream) tell(c Change) {
	if len(c.Lists) == 0 && c.URI == "" && !c.Gap {
		return
	}
	u.mu.Lock()
	fns := make([]func(Change), 0, len(u.watchers))
	for _, fn := range u.watchers {
		fns = append(fns, fn)
	}
	u.mu.Unlock()
	for _, fn := range fns {
		fn(c)
	}
}
