package stdio

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/mcp/internal/legacy"
	"github.com/fairlead-mcp/fairlead/mcp/jsonrpc"
)

// Era says in which of its two ways a server speaks the protocol (MCP 2026-07-28,
// basic/versioning, Backward Compatibility).
type Era string

// The eras. The zero Era means that a probe finds out.
const (
	EraAuto   Era = ""
	EraLegacy Era = "legacy" // sessions, until 2025-11-25
	EraModern Era = "modern" // metadata in each request, from 2026-07-28
)

// ClientOptions adjusts a Client. A nil *ClientOptions means the defaults.
type ClientOptions struct {
	// Era skips the probe when the server's era is known. [Client.Era] tells it for the next time.
	Era Era
	// ClientInfo names this client in the handshake. A zero value names the library.
	ClientInfo mcp.Implementation
	// Capabilities is the ClientCapabilities object that a server of an old revision
	// is told in the handshake: what it may ask. Nil means {}, and it asks nothing.
	// A request is asked only what its own capabilities allow too. Tasks are not offered.
	Capabilities []byte
	// ParkTime is how long a call whose server has asked something waits for the
	// retry that brings the answers. Zero means 5 minutes.
	ParkTime time.Duration
	// MaxParked bounds the calls whose server has asked something, and
	// MaxParkedPerPrincipal those of one caller. Beyond, questions are refused. Zero
	// means 256 and 16.
	MaxParked, MaxParkedPerPrincipal int
	// ProbeAfterOutput and ProbeAfterStart bound how long the probe waits for an
	// answer before it tries the handshake of old revisions, from the child's
	// first output and from its start; the earlier one counts. Zero means 3 and 10 seconds.
	ProbeAfterOutput, ProbeAfterStart time.Duration
	// Limits bounds the messages of the server. Nil means the defaults.
	Limits *jsonrpc.Limits
	// MaxBadLines is how many lines that are no message may come within a minute
	// before the connection fails. Zero means 100.
	MaxBadLines int
	// WriteTimeout bounds one write to a server that does not read. Zero means 10 seconds.
	WriteTimeout time.Duration
	// StopWait is how long Close waits after closing the child's input, and again
	// after SIGTERM. Zero means 2 seconds.
	StopWait time.Duration
	// OneCaller says that all requests come from one party. Log messages, which
	// name no request, then go to the only call in flight; without it they go to
	// OnNotification alone, since they might tell one caller of another. What a
	// server of an old revision asks then belongs to the newest call; without it
	// only a call that is alone in flight is asked, parked ones included.
	OneCaller bool
	// OnNotification gets what belongs to no request: method and params. It is
	// called by the reader of the connection: it must not block, and params is
	// valid until it returns. Nil drops it.
	OnNotification func(method string, params []byte)
	// OnFault is told of each thing that [Client.Stats] counts, with the reason where
	// there is one. It is called by the reader of the connection, and must not block
	// nor call the client. Nil means that they are only counted.
	OnFault func(f Fault, err error)
	// Launch starts the child in place of cmd.Start: for whoever starts processes in
	// ways of his own, such as through a launcher. It returns when the program runs;
	// after an error nothing is left. Nil calls cmd.Start.
	Launch func(cmd *exec.Cmd) error
	// Stderr gets each line that a child writes to its standard error, cut at
	// 8 KB. It must not block for long; line is valid until it returns. Nil drops it.
	Stderr func(line []byte)
}

func (o *ClientOptions) withDefaults() ClientOptions {
	var c ClientOptions
	if o != nil {
		c = *o
	}
	orElse(&c.ProbeAfterOutput, 3*time.Second)
	orElse(&c.ProbeAfterStart, 10*time.Second)
	orElse(&c.WriteTimeout, 10*time.Second)
	orElse(&c.StopWait, 2*time.Second)
	if c.MaxBadLines <= 0 {
		c.MaxBadLines = 100
	}
	return c
}

func orElse(d *time.Duration, def time.Duration) {
	if *d <= 0 {
		*d = def
	}
}

// info is the Implementation object of the handshake and the probe.
func (o *ClientOptions) info() []byte {
	name, version := o.ClientInfo.Name, o.ClientInfo.Version
	if name == "" {
		name = "fairlead"
	}
	if version == "" {
		version = "0"
	}
	var title []byte
	if o.ClientInfo.Title != "" {
		title = jsonrpc.AppendString(nil, o.ClientInfo.Title)
	}
	return jsonrpc.Splice(nil, nil,
		jsonrpc.Member{Key: "name", Value: jsonrpc.AppendString(nil, name)},
		jsonrpc.Member{Key: "title", Value: title},
		jsonrpc.Member{Key: "version", Value: jsonrpc.AppendString(nil, version)},
	)
}

// Client is the connection to one server over pipes, usually a child process. It
// is an mcp.Handler and safe for concurrent use.
//
// What a server of an old revision asks in the middle of a call becomes the call's
// result, as in the latest one (mcp.ResultInputRequired): the call waits, and the
// retry with its answers continues it. What belongs to no call goes to who is set
// by [Client.OnAsk].
//
// Its goroutines (a reader, a writer, a janitor; for a child also a waiter and a
// reader of standard error) end after Close, or by themselves when the connection
// has failed; Close also waits for them.
type Client struct {
	opts  ClientOptions
	out   *outbox
	peer  peer
	born  time.Time
	era   Era            // fixed when Start or NewClient returns
	proxy *legacy.Client // the translation for a legacy server; likewise

	session     atomic.Pointer[legacy.Client] // proxy, for the reader, which lives before that
	sessionless atomic.Bool                   // known to be modern: requests from the server are not answered

	spoken     chan struct{} // closed at the first output
	spokenOnce sync.Once

	closing   chan struct{} // closed by Close
	closeOnce sync.Once
	hurry     chan struct{} // closed when Close has run out of time
	hurryOnce sync.Once
	done      chan struct{} // closed when no call can be made any more
	finished  chan struct{} // closed when the peer is gone and all goroutines but this client's pumps have ended

	mu       sync.Mutex
	idle     sync.Cond // signalled when pumps falls to 0
	pumps    int       // goroutines that write to open streams
	calls    map[uint64]*call
	lastID   uint64
	probe    uint64 // id of the discover request while the probe waits
	stopping bool   // Close was called: no new calls
	err      error  // why done is closed

	wanted bool // the reader's own: the line at hand is of a call that waits
	stats  counters
	free   sync.Pool // *call
	bufs   sync.Pool // *[]byte
}

// peer is the other end: a child process or a pair of pipes.
type peer interface {
	gone() <-chan struct{} // closed when it has ended
	terminate()            // asks it to end
	kill()                 // makes it end
	status() string        // how it ended; empty while it has not, or if there is nothing to say
	release()              // closes what is left, after the end
}

// Start starts a child process and connects to it. cmd is a template: it is
// copied and not started itself. Its Stdin, Stdout and Stderr must be nil. A nil
// Env gives the child PATH, HOME, LANG, TZ and TMPDIR only.
//
// ctx bounds the start and the handshake, not the child's life. A child that
// exits on the probe is started once more as one of an old revision.
func Start(ctx context.Context, cmd *exec.Cmd, opts *ClientOptions) (*Client, error) {
	o := opts.withDefaults()
	c, err := startOnce(ctx, cmd, o)
	var gone *probeExit
	if errors.As(err, &gone) && o.Era == EraAuto && ctx.Err() == nil {
		o.Era = EraLegacy
		c, err = startOnce(ctx, cmd, o)
	}
	return c, err
}

func startOnce(ctx context.Context, cmd *exec.Cmd, o ClientOptions) (*Client, error) {
	c := newClient(o)
	child, err := startChild(cmd, o.Launch)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", cmd.Path, err)
	}
	c.peer = child
	var readers sync.WaitGroup
	readers.Go(func() { c.readLines(child.stderr, o.Stderr) })
	c.run(child.stdout, child.stdin, &readers)
	if err := c.connect(ctx); err != nil {
		c.abandon(ctx)
		return nil, fmt.Errorf("connect to %s: %w", cmd.Path, err)
	}
	return c, nil
}

// NewClient connects to a server over a pair of pipes or sockets. Close closes both.
func NewClient(ctx context.Context, in io.ReadCloser, out io.WriteCloser, opts *ClientOptions) (*Client, error) {
	c := newClient(opts.withDefaults())
	pipes := &pipePeer{in: in, out: out, ended: make(chan struct{})}
	c.peer = pipes
	var readers sync.WaitGroup
	c.run(pipes.watch(in), out, &readers)
	if err := c.connect(ctx); err != nil {
		c.abandon(ctx)
		return nil, fmt.Errorf("connect: %w", err)
	}
	return c, nil
}

func newClient(o ClientOptions) *Client {
	c := &Client{
		opts:     o,
		born:     time.Now(),
		spoken:   make(chan struct{}),
		closing:  make(chan struct{}),
		hurry:    make(chan struct{}),
		done:     make(chan struct{}),
		finished: make(chan struct{}),
		calls:    make(map[uint64]*call),
	}
	c.idle.L = &c.mu
	c.free.New = func() any { return &call{ready: make(chan struct{}, 1)} }
	c.bufs.New = func() any { return new([]byte) }
	return c
}

// run starts the goroutines of the connection. readers is the group of those that
// read the peer's other streams.
func (c *Client) run(in io.Reader, out io.WriteCloser, readers *sync.WaitGroup) {
	c.out = newOutbox(out, c.opts.WriteTimeout)
	readers.Go(func() { // ends with the peer's output, or when release closes it
		err := c.read(&heardReader{in, c.heard})
		c.fail(c.reason(err))
	})
	readers.Go(func() { // ends when the input is closed or does not take a write
		if err := c.out.run(); err != nil {
			c.fail(c.reason(err))
		}
	})
	go func() { // ends after the peer; Close waits for finished
		c.janitor()
		readers.Wait()
		c.peer.release()
		close(c.finished)
	}()
}

// janitor sees the peer off once, in the order of the specification: its input is
// closed, it is asked to end, it is made to.
func (c *Client) janitor() {
	select {
	case <-c.closing:
	case <-c.done:
	}
	c.out.close()
	if !c.waitGone() {
		c.peer.terminate()
		if !c.waitGone() {
			c.peer.kill()
			<-c.peer.gone()
		}
	}
}

func (c *Client) waitGone() bool {
	timer := time.NewTimer(c.opts.StopWait)
	defer timer.Stop()
	select {
	case <-c.peer.gone():
		return true
	case <-timer.C:
	case <-c.hurry:
	}
	return false
}

// exitGrace is how long a broken pipe waits for the exit status that explains it.
const exitGrace = 250 * time.Millisecond

// reason explains the end of a connection.
func (c *Client) reason(err error) error {
	timer := time.NewTimer(exitGrace)
	defer timer.Stop()
	select {
	case <-c.peer.gone():
	case <-timer.C:
	}
	switch status := c.peer.status(); {
	case status != "":
		return fmt.Errorf("%w: the server has ended: %s", mcp.ErrClosed, status)
	case err == nil || errors.Is(err, io.EOF):
		return fmt.Errorf("%w: the server has closed its output", mcp.ErrClosed)
	default:
		return fmt.Errorf("%w: %w", mcp.ErrClosed, err)
	}
}

// heard notes that the server has written something.
func (c *Client) heard() { c.spokenOnce.Do(func() { close(c.spoken) }) }

// Era returns the server's era, auto no more.
func (c *Client) Era() Era { return c.era }

// Version returns the revision that the server speaks.
func (c *Client) Version() mcp.Version {
	if c.proxy != nil {
		return c.proxy.Server().Version
	}
	return mcp.LatestVersion
}

// OnAsk sets who answers what a server of an old revision asks outside of any call;
// see mcp.Asked. What it asks within 2 seconds of the handshake waits for that.
func (c *Client) OnAsk(a mcp.Answerer) {
	if c.proxy != nil {
		c.proxy.Answer(a)
	}
}

// RootsChanged tells a server of an old revision that the roots have changed, if
// the capabilities say roots.listChanged; see mcp.Asked.
func (c *Client) RootsChanged(ctx context.Context) error {
	if c.proxy == nil {
		return nil
	}
	return c.proxy.RootsChanged(ctx)
}

// Done is closed when the connection is over: no call can be made any more.
func (c *Client) Done() <-chan struct{} { return c.done }

// Err says why the connection is over, with a child's exit status if it is known.
// The error wraps mcp.ErrClosed. It is nil before Done is closed.
func (c *Client) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// Stats returns counts since the start.
func (c *Client) Stats() Stats { return c.stats.read() }

// Close refuses new calls and ends the server: it closes its input, so that calls
// in flight may still be answered; after StopWait it sends SIGTERM to the child's
// process group, after another StopWait SIGKILL. When ctx ends the waits end. Close
// returns when child and group are gone and reaped. It may be called repeatedly.
func (c *Client) Close(ctx context.Context) error {
	c.mu.Lock()
	c.stopping = true
	c.mu.Unlock()
	if session := c.session.Load(); session != nil {
		session.Leave(fmt.Errorf("%w: closing", mcp.ErrClosed)) // no retry can come any more
	}
	c.closeOnce.Do(func() { close(c.closing) })
	select {
	case <-c.finished:
	case <-ctx.Done():
		c.hurryOnce.Do(func() { close(c.hurry) })
		timer := time.NewTimer(c.opts.StopWait) // SIGKILL is not refused, but takes a moment
		defer timer.Stop()
		select {
		case <-c.finished:
		case <-timer.C:
			return fmt.Errorf("close: the server does not end: %w", ctx.Err())
		}
	}
	c.mu.Lock()
	for c.pumps > 0 {
		c.idle.Wait()
	}
	c.mu.Unlock()
	if session := c.session.Load(); session != nil {
		session.Wait()
	}
	return nil
}

// abandon ends a connection that never came to be, without waiting for manners.
func (c *Client) abandon(ctx context.Context) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	cancel()
	_ = c.Close(ctx) // the error that led here tells more
}
