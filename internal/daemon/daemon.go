// Package daemon wires a node together, runs it and takes it apart again. It is
// the only package that knows all the others.
//
//	d, err := daemon.New(cfg, &daemon.Options{Logger: log})
//	if err != nil {
//		return err
//	}
//	return d.Run(ctx) // until ctx ends; then calls finish, children are drained
package daemon

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http/httputil"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fairlead-mcp/fairlead/internal/adminapi"
	"github.com/fairlead-mcp/fairlead/internal/approval"
	"github.com/fairlead-mcp/fairlead/internal/config"
	"github.com/fairlead-mcp/fairlead/internal/gateway"
	"github.com/fairlead-mcp/fairlead/internal/handover"
	"github.com/fairlead-mcp/fairlead/internal/health"
	"github.com/fairlead-mcp/fairlead/internal/sandbox"
	"github.com/fairlead-mcp/fairlead/internal/sdnotify"
	"github.com/fairlead-mcp/fairlead/internal/state"
	"github.com/fairlead-mcp/fairlead/internal/supervise"
	"github.com/fairlead-mcp/fairlead/internal/upstream"
	"github.com/fairlead-mcp/fairlead/mcp"
)

// Options are the optional settings of a [Daemon].
type Options struct {
	// Logger gets what an operator wants to know. Nil means discard.
	Logger *slog.Logger
	// Version is what the node says of itself. Empty means "0".
	Version string
	// OnReady is called once, when the listeners are up.
	OnReady func(Addresses)
	// Approvals are asked before each start of a child; what they do not hold is not
	// run. Nil means that the config's commands run as they stand.
	Approvals *approval.Store
	// ForeignOnly asks Approvals only about commands that came from a file of somebody
	// else (config.Upstream.Foreign). Without Approvals such a command is never run.
	ForeignOnly bool
	// ProbeEvery is the time between two probes of an upstream. Zero means 10 s.
	ProbeEvery time.Duration
	// ProbeTimeout bounds one probe. Zero means 5 s.
	ProbeTimeout time.Duration
	// Lookup is the environment of the node, of which upstreams get a part. Nil means os.LookupEnv.
	Lookup func(name string) (string, bool)
	// Source is the file of the config. Nil means that the config cannot be read again.
	Source *Source
	// Inherited are the listeners that the process was started with, and the process
	// that it takes over from. Nil means none.
	Inherited *handover.Inherited
	// Notify tells the service manager. Nil means that there is none.
	Notify *sdnotify.Notifier
	// Program is what an upgrade starts. Without a path there is no upgrade.
	Program handover.Program
	// Servers are compiled into the program. They stand before the config's upstreams.
	Servers []Server
}

// Addresses are where a node listens.
type Addresses struct {
	Endpoint string // URL of /mcp
	Admin    string // URL of the admin listener
	Socket   string // path of the admin socket
}

// Daemon is one node. It runs once.
type Daemon struct {
	cfg       *config.Config // that it was started with
	opts      Options
	log       *slog.Logger
	cert      atomic.Pointer[tls.Certificate] // nil for plain HTTP
	auth      auth
	now       atomic.Pointer[lineup]
	gateway   *gateway.Gateway
	front     *front
	monitor   *health.Monitor
	sandbox   *sandbox.Sandbox
	tree      *supervise.Tree // of the upstreams
	resources []health.Component
	starts    *upstream.Starts
	started   time.Time
	reloads   reloads

	state       *state.Store // open while the node runs
	startedWith string       // fingerprint of the files; empty without a Source

	changing sync.Mutex         // held while the lineup changes
	pending  map[string]*member // upstream's name -> what is being started to replace it
	life     context.Context    // of what changes in the background; nil before Run
	settled  bool               // nothing changes any more
	changes  sync.WaitGroup     // what does

	removesMu sync.Mutex
	removes   map[*upstream.Upstream]func() error // what stops it

	keys         []mcp.SealKey       // that of this process first
	public       []handover.Listener // what is handed over in an upgrade
	addresses    map[string]string   // name of a public listener -> what the config said
	servers      []*serving
	mcpAddr      net.Addr
	gate         chan struct{} // closed when the listeners may accept
	broken       chan error    // from servers whose listener has failed
	upgrades     chan upgrade  // holds one while upgrading
	upgrading    atomic.Bool
	ended        chan struct{}   // closed when Run has stopped serving
	replaced     bool            // by a new process
	replacedGone <-chan struct{} // closed when the process before this one has ended

	adminElsewhere atomic.Pointer[httputil.ReverseProxy] // where admin requests belong after an upgrade; nil before
	replaces       atomic.Pointer[adminapi.Replaced]     // the process before this one, while it drains

	ready    atomic.Bool
	draining atomic.Bool
	where    atomic.Pointer[Addresses] // nil until the listeners are up

	stopOnce sync.Once
	stopping chan struct{} // closed by Stop
	killOnce sync.Once
	killed   chan struct{} // closed by Kill
}

// New makes a node of a checked config; opts may be nil. It reads the TLS files,
// and neither listens nor starts anything.
func New(cfg *config.Config, opts *Options) (*Daemon, error) {
	d := &Daemon{
		cfg: cfg, started: time.Now(), stopping: make(chan struct{}), killed: make(chan struct{}),
		pending: map[string]*member{}, removes: map[*upstream.Upstream]func() error{},
		addresses: map[string]string{}, ended: make(chan struct{}), gate: make(chan struct{}),
		broken: make(chan error, 4), upgrades: make(chan upgrade, 1), // one error for each server
	}
	if opts != nil {
		d.opts = *opts
	}
	if d.opts.Version == "" {
		d.opts.Version = "0"
	}
	if d.opts.ProbeEvery == 0 {
		d.opts.ProbeEvery = 10 * time.Second
	}
	if d.opts.Lookup == nil {
		d.opts.Lookup = os.LookupEnv
	}
	d.log = d.opts.Logger
	if d.log == nil {
		d.log = slog.New(slog.DiscardHandler)
	}
	// The same rules as for a file: whoever changed cfg since cannot open a node to everybody.
	if err := cfg.Check(); err != nil {
		return nil, err
	}
	if err := cfg.Unpack(); err != nil {
		return nil, err
	}
	d.starts = upstream.NewStarts(cmp.Or(cfg.Limits.Starts, max(4, 2*runtime.GOMAXPROCS(0))))
	d.sandbox = sandbox.New(cfg.Data, &sandbox.Options{Logger: d.log})
	cert, err := certificate(cfg)
	if err != nil {
		return nil, err
	}
	d.cert.Store(cert)
	d.auth.set(cfg.Auth.Tokens)
	if err := d.namesAreFree(cfg); err != nil {
		return nil, err
	}
	d.keys = d.sealKeys()
	first := &lineup{cfg: cfg}
	for _, b := range d.blueprints(cfg) {
		first.members = append(first.members, b.make())
	}
	d.now.Store(first)
	d.reloads.loaded, d.reloads.by = d.started, "start"
	if d.opts.Source != nil {
		d.reloads.hash = hashOf(d.opts.Source.Text)
		d.startedWith = fingerprint(d.opts.Source.Text, d.files()[1:]...)
	}
	d.gateway = gateway.New(first.upstreams(), &gateway.Options{Keys: d.keys, Name: "fairlead", Version: d.opts.Version, MaxCalls: cfg.Limits.MaxCalls, Virtual: virtual(cfg), ToolSearch: cfg.ToolSearch, CacheBytes: int64(cfg.Limits.Cache)})
	d.front = newFront(cfg, &d.auth, d.gateway, d.log)
	d.monitor = d.newMonitor(first)
	return d, nil
}

func (d *Daemon) upstreamOptions() *upstream.Options {
	return &upstream.Options{
		Logger: d.log, ClientName: "fairlead", ClientVersion: d.opts.Version,
		Sandbox: d.sandbox, Starts: d.starts,
		OnEvent: func(st upstream.Status) { d.monitor.Wake(upstreamPrefix + st.Name) },
	}
}

// permit returns what decides whether the program of u may start.
func (d *Daemon) permit(u *config.Upstream) func() error {
	switch {
	case u.Added:
		return func() error { return d.allow(u) }
	case u.Foreign == "" && (d.opts.Approvals == nil || d.opts.ForeignOnly):
		return nil
	case d.opts.Approvals == nil:
		return func() error { return fmt.Errorf("the command that %s names is not approved", u.Foreign) }
	}
	return func() error {
		_, err := d.opts.Approvals.Allow(u)
		return err
	}
}

// Stop makes Run drain and return, as the end of its context does.
func (d *Daemon) Stop() { d.stopOnce.Do(func() { close(d.stopping) }) }

// Kill makes Run end what still runs, without grace, and return.
func (d *Daemon) Kill() {
	d.Stop()
	d.killOnce.Do(func() { close(d.killed) })
}

// Run serves until ctx ends or Stop is called, and then drains: not ready, after
// the shutdown delay no new connections, streams get their completion, calls finish
// until the shutdown grace is over and are then ended with an error, children are
// stopped. It returns nil after a clean end. No goroutine started by Run outlives it.
func (d *Daemon) Run(ctx context.Context) error {
	if d.where.Load() != nil || d.draining.Load() {
		return errors.New("a node runs once")
	}
	down := &teardown{log: d.log}
	err := d.serve(ctx, down)
	close(d.ended)
	d.announceEnd(err == nil && !d.replaced)
	// From here on nothing depends on ctx: it may have ended, and draining takes its own time.
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), d.now.Load().cfg.ShutdownGrace)
	defer cancel()
	ended := make(chan struct{})
	watched := make(chan struct{})
	go func() { // ends with Run or a Kill
		defer close(watched)
		select {
		case <-d.killed:
			cancel()
		case <-ended:
		}
	}()
	err = errors.Join(err, down.run(grace))
	close(ended)
	<-watched
	return err
}

// serve opens everything, says ready and waits for a reason to stop.
func (d *Daemon) serve(ctx context.Context, down *teardown) error {
	if err := os.MkdirAll(d.cfg.Data, 0o700); err != nil {
		return fmt.Errorf("data directory: %w", err)
	}
	admin, err := d.openAdmin(ctx, down, d.broken)
	if err != nil {
		return err
	}
	if err := d.openState(down); err != nil {
		return err
	}
	ln, err := d.listenOn(ctx, nameMCP, "listen", d.cfg.Listen)
	if err != nil {
		return err
	}
	d.mcpAddr = ln.Addr()
	endpoint := "http://"
	limit := newLimited(ln, connections(len(d.cfg.Upstreams)), d.gate)
	var wrapped net.Listener = limit
	if d.cert.Load() != nil {
		endpoint = "https://"
		wrapped = tls.NewListener(wrapped, &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: d.certificate, NextProtos: []string{"h2", "http/1.1"}})
	}

	if err := d.sandbox.Open(); err != nil {
		return err
	}
	down.push("sandbox", func(context.Context) error {
		d.sandbox.Close()
		return nil
	})
	d.runUpstreams(ctx, down)
	d.runMonitor(ctx, down)
	d.allowChanges(ctx, down)
	if err := d.serveAdded(); err != nil {
		return err
	}
	d.runWatch(ctx, down)

	// Pushed after the upstreams, so taken down before them: calls still have somebody to answer them.
	server := d.startServer("mcp", d.front.server(), wrapped, limit, down, d.broken)
	server.shared = d.addresses[nameMCP] == activated
	d.servers = append(d.servers, server)
	down.push("mcp calls", func(grace context.Context) error {
		d.front.endSubscriptions()
		server.leave(grace)
		closed := make(chan error, 1)
		go func() { closed <- d.front.close(grace) }() // bounded by grace
		server.shutdown(grace, closed)
		return nil
	})
	if err := d.takeOver(ctx, down); err != nil {
		return err
	}
	where := Addresses{Endpoint: endpoint + reachable(ln.Addr()) + "/mcp", Admin: "http://" + reachable(admin), Socket: d.cfg.AdminSocket}
	d.where.Store(&where)
	d.ready.Store(true)
	close(d.gate)
	d.runManager(ctx, down)
	d.log.Info("node ready", "endpoint", where.Endpoint, "admin", where.Admin)
	if d.opts.OnReady != nil {
		d.opts.OnReady(where)
	}
	return d.untilEnd(ctx, down)
}

// untilEnd waits for a reason to stop. One is that another process has taken over,
// and this one has nothing left to do.
func (d *Daemon) untilEnd(ctx context.Context, down *teardown) error {
	for {
		select {
		case <-ctx.Done():
			d.log.Info("node stops", "reason", context.Cause(ctx))
			return nil
		case <-d.stopping:
			d.log.Info("node stops", "reason", "asked to")
			return nil
		case err := <-d.broken:
			return err
		case u := <-d.upgrades:
			successor, out, err := d.replaceBy(ctx, down, u.Upgrade)
			if err != nil {
				d.log.Warn("not upgraded", "component", "upgrade", "err", err)
			}
			u.done <- upgradeResult{out, err}
			d.upgrading.Store(err == nil)
			if err == nil {
				d.replaced = true
				d.outlive(ctx, successor, out.Until)
				return nil
			}
		}
	}
}

// announceEnd says that the node is not ready any more and gives those who ask for
// it, such as balancers, the time to notice, during which nothing else changes.
func (d *Daemon) announceEnd(inOrder bool) {
	d.draining.Store(true)
	d.ready.Store(false)
	if !d.replaced {
		d.opts.Notify.Stopping("finishing calls")
	}
	delay := d.now.Load().cfg.ShutdownDelay
	if !inOrder || delay == 0 {
		return
	}
	wait := time.NewTimer(delay)
	defer wait.Stop()
	select {
	case <-wait.C:
	case <-d.killed:
	}
}

// certificate is that of a new connection: connections that are open keep theirs.
func (d *Daemon) certificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	return d.cert.Load(), nil
}

// runUpstreams runs the supervision tree until it is taken down.
func (d *Daemon) runUpstreams(ctx context.Context, down *teardown) {
	d.tree = supervise.NewTree("upstreams", nil)
	// Not ctx's end but its turn in the teardown stops the tree.
	treeCtx, stop := context.WithCancel(context.WithoutCancel(ctx))
	for _, m := range d.now.Load().members {
		d.start(m)
	}
	done := make(chan error, 1)
	go func() { done <- d.tree.Run(treeCtx) }() // ends with stop
	down.push("upstreams", func(context.Context) error {
		stop()
		return <-done // bounded by the tree's own timeout
	})
}

// allowChanges lets the lineup change until it is taken down. By then the calls have
// ended; what is still being replaced stays as it is.
func (d *Daemon) allowChanges(ctx context.Context, down *teardown) {
	life, end := context.WithCancel(context.WithoutCancel(ctx))
	d.changing.Lock()
	d.life = life
	d.changing.Unlock()
	down.push("changes of the config", func(context.Context) error {
		end()
		d.changing.Lock()
		d.settled = true
		d.changing.Unlock()
		d.changes.Wait()
		return nil
	})
}
