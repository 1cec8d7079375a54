package streamhttp

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/mcp/internal/legacy"
	"github.com/fairlead-mcp/fairlead/mcp/jsonrpc"
)

// maxSides bounds the messages of a client of HTTP+SSE that are sent beside all calls.
const maxSides = 16

// Era says which of the two forms of the protocol a server is spoken to in.
type Era string

// The eras.
const (
	EraAuto   Era = ""       // ask the server, and remember
	EraModern Era = "modern" // 2026-07-28 and later: requests stand for themselves
	EraLegacy Era = "legacy" // until 2025-11-25: initialize, sessions
)

// ClientOptions changes the defaults of a [Client].
type ClientOptions struct {
	// HTTPClient makes the requests. Nil means a client with a transport of its
	// own. Redirects are followed, whatever it says, only within the same origin
	// and only if they keep the method.
	HTTPClient *http.Client
	// Header is sent with every request, such as Authorization. What the protocol
	// sets itself is not replaced.
	Header http.Header
	// Era is EraAuto unless it is known what the server speaks.
	Era Era
	// Timeout bounds a request whose context has no deadline, from send to result,
	// for a subscription until its acknowledgement. Zero means 60 seconds.
	Timeout time.Duration
	// Limits bounds each message from the server. Nil means the defaults.
	Limits *jsonrpc.Limits
	// ClientInfo is the Implementation object that a session is opened with. Nil
	// means that of the first request.
	ClientInfo []byte
	// Capabilities is the ClientCapabilities object that a session is opened with:
	// what a server of an old revision may ask. Nil means those of the first
	// request. A request is asked only what its own capabilities allow too. Tasks
	// are not offered.
	Capabilities []byte
	// ParkTime is how long a call whose server has asked something waits for the
	// retry that brings the answers. Zero means 5 minutes.
	ParkTime time.Duration
	// MaxParked bounds the calls of a session whose server has asked something, and
	// MaxParkedPerPrincipal those of one caller. Beyond, questions are refused. Zero
	// means 256 and 16.
	MaxParked, MaxParkedPerPrincipal int
	// OneCaller says that all calls are of one party. What a server of an old revision
	// asks on the GET stream of a session is then for the newest call in flight, and a
	// log message there for the call that is alone: some servers send on whichever
	// stream is at hand. Otherwise such questions belong to no call.
	OneCaller bool
	// OnInvalidTool is told of each tool that was left out of a list because its
	// x-mcp-header annotations are invalid. Nil means nobody is.
	OnInvalidTool func(tool string, err error)
	// MaxConns bounds the calls that are on their way at once; each has a
	// connection of its own, also while it waits for answers to what the server has
	// asked. Further ones wait, in order, within their time. Zero means no bound.
	MaxConns int
	// MaxIdleConns bounds the connections that are kept for later calls. Zero means 64.
	// Both do not count for an HTTPClient of one's own.
	MaxIdleConns int
}

// Client is a remote server, reached by Streamable HTTP in any revision from
// 2025-03-26 on (MCP 2026-07-28, basic/transports/streamable-http), or by HTTP+SSE
// of 2024-11-05. It is an [mcp.Handler] and safe for concurrent use.
//
// What a server of an old revision asks in the middle of a call becomes the call's
// result, as in the latest one (mcp.ResultInputRequired): the call waits, and the
// retry with its answers continues it. What belongs to no call goes to who is set
// by [Client.OnAsk].
//
// The first request finds out what the server speaks; requests that come meanwhile
// wait for it. A tool whose annotations are invalid is taken out of tools/list, and
// the headers that valid ones ask for are sent with tools/call.
//
// For subscriptions/listen Handle returns after the acknowledgement; one goroutine
// then reads the stream, ends the sink and ends itself when the server, the
// context or [Client.Close] ends the stream.
type Client struct {
	url    string
	origin string // for errors: no path, no query, no user
	bad    error  // the URL's problem
	opts   ClientOptions
	http   *http.Client
	idle   func()      // closes idle connections of a transport that is ours
	direct *wire       // our own connections; nil where net/http makes all requests
	notOwn atomic.Bool // the server wants what only net/http does

	ids     atomic.Int64
	sides   chan struct{} // a token for each message that is sent beside all calls
	headers headerCache

	ctx     context.Context // ends with Close
	cancel  context.CancelCauseFunc
	running sync.WaitGroup // calls, stream readers, drains

	mu         sync.Mutex
	closed     bool
	era        Era           // what the server speaks; EraAuto while unknown
	session    oldSession    // of a legacy server
	answer     mcp.Answerer  // of what belongs to no call
	connecting chan struct{} // closed when who asks the server is done; nil if nobody does
	connectErr error         // of the attempt that connecting stood for
}

// NewClient returns a client of the server at an http or https URL. It does no I/O;
// an unusable URL is the error of every request. A nil opts means the defaults.
func NewClient(endpoint string, opts *ClientOptions) *Client {
	c := &Client{url: endpoint, headers: headerCache{turn: make(chan struct{}, 1)}, sides: make(chan struct{}, maxSides)}
	if opts != nil {
		c.opts = *opts
	}
	c.opts.Header = c.opts.Header.Clone()
	if c.opts.Timeout <= 0 {
		c.opts.Timeout = 60 * time.Second
	}
	if c.opts.MaxIdleConns <= 0 {
		c.opts.MaxIdleConns = 64
	}
	c.era = c.opts.Era
	c.ctx, c.cancel = context.WithCancelCause(context.Background())

	u, err := url.Parse(endpoint)
	switch {
	case err != nil:
		c.bad = errors.New("the server's URL cannot be parsed")
	case u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
		c.bad = fmt.Errorf("the server's URL is not an http or https URL with a host")
	default:
		c.origin = u.Scheme + "://" + u.Host
	}
	client := http.Client{}
	if c.opts.HTTPClient != nil {
		client = *c.opts.HTTPClient
	} else {
		transport := &http.Transport{
			Proxy:               http.ProxyFromEnvironment,
			ForceAttemptHTTP2:   true,
			TLSClientConfig:     &tls.Config{MinVersion: tls.VersionTLS12},
			MaxIdleConnsPerHost: c.opts.MaxIdleConns, // a gateway's burst to one server keeps its connections
			IdleConnTimeout:     90 * time.Second,
			TLSHandshakeTimeout: 10 * time.Second,
			// A stream may be silent for hours; one whose server is gone must not be.
			HTTP2: &http.HTTP2Config{SendPingTimeout: 30 * time.Second, PingTimeout: 15 * time.Second},

			MaxResponseHeaderBytes: 256 << 10,
		}
		client.Transport, c.idle = transport, transport.CloseIdleConnections
		if u != nil && c.bad == nil {
			c.direct = newWire(u, &c.opts)
		}
	}
	client.CheckRedirect = sameOrigin
	c.http = &client
	return c
}

// sameOrigin refuses redirects that would carry credentials and arguments to
// somebody else, or turn a POST into a GET.
func sameOrigin(req *http.Request, via []*http.Request) error {
	first := via[0]
	switch {
	case len(via) >= 5:
		return errors.New("too many redirects")
	case req.URL.Scheme != first.URL.Scheme || req.URL.Host != first.URL.Host:
		return errors.New("the server redirects to another origin")
	case req.Method != first.Method:
		return errors.New("the server redirects with a change of method")
	}
	return nil
}

// Handle sends a request and waits for its answer.
func (c *Client) Handle(ctx context.Context, req *mcp.Request, sink mcp.Sink) (mcp.Result, error) {
	if !c.begin() {
		return mcp.Result{}, mcp.ErrClosed
	}
	defer c.running.Done()
	if c.bad != nil {
		return mcp.Result{}, c.bad
	}
	res, err := c.handle(ctx, req, sink)
	if err != nil && c.ctx.Err() != nil && ctx.Err() == nil && !mcp.IsWireError(err) {
		err = mcp.ErrClosed
	}
	return res, err
}

func (c *Client) handle(ctx context.Context, req *mcp.Request, sink mcp.Sink) (mcp.Result, error) {
	era, session, known := c.connected()
	if !known {
		connectCtx, cancel := c.bound(ctx)
		var err error
		era, session, err = c.connect(connectCtx, req)
		cancel(nil)
		if err != nil {
			return mcp.Result{}, err
		}
	}
	if era == EraLegacy {
		return c.handleLegacy(ctx, session, req, sink)
	}
	res, err := c.handleModern(ctx, req, sink)
	if c.opts.Era == EraAuto && revokesModern(err) {
		c.mu.Lock()
		c.era = EraAuto // the server was replaced; the next request asks again
		c.mu.Unlock()
	}
	return res, err
}

// Version returns the revision that the server is spoken to in; empty while that is
// unknown.
func (c *Client) Version() mcp.Version {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.era == EraModern:
		return mcp.LatestVersion
	case c.session != nil:
		return c.session.client().Server().Version
	}
	return ""
}

// OnAsk sets who answers what a server of an old revision asks outside of any call;
// see mcp.Asked.
func (c *Client) OnAsk(a mcp.Answerer) {
	c.mu.Lock()
	c.answer = a
	s := c.session
	c.mu.Unlock()
	if s != nil {
		s.client().Answer(a)
		if a != nil {
			s.hear()
		}
	}
}

// RootsChanged tells a server of an old revision that the roots have changed, if
// there is a session and its capabilities say roots.listChanged; see mcp.Asked.
func (c *Client) RootsChanged(ctx context.Context) error {
	if !c.begin() {
		return mcp.ErrClosed
	}
	defer c.running.Done()
	c.mu.Lock()
	s := c.session
	c.mu.Unlock()
	if s == nil {
		return nil
	}
	return s.client().RootsChanged(ctx)
}

// begin counts a call; false after Close.
func (c *Client) begin() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return false
	}
	c.running.Add(1)
	return true
}

// Close ends all calls and streams, waits for what reads them, and closes the
// session of a legacy server, as long as ctx lets it and for 2 seconds at most.
func (c *Client) Close(ctx context.Context) error {
	c.mu.Lock()
	session := c.session
	c.session = nil
	c.closed = true
	c.mu.Unlock()

	c.cancel(mcp.ErrClosed)
	if session != nil {
		ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
		defer cancel()
		session.delete(ctx)
		session.end(mcp.ErrClosed)
	}
	if c.direct != nil {
		_ = c.direct.conns.Close()
	}
	c.running.Wait()
	if c.idle != nil {
		c.idle()
	}
	return nil
}

// connected returns what is known of the server.
func (c *Client) connected() (era Era, session oldSession, known bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.era, c.session, !c.closed && (c.era == EraModern || c.session != nil)
}

// connect returns what the server speaks and, of a legacy one, its session. One
// caller at a time asks the server, with its own context; the others wait for it
// and share the outcome, unless it was the context that failed.
func (c *Client) connect(ctx context.Context, req *mcp.Request) (Era, oldSession, error) {
	for {
		c.mu.Lock()
		if c.closed {
			c.mu.Unlock()
			return EraAuto, nil, mcp.ErrClosed
		}
		if c.era == EraModern || c.session != nil {
			defer c.mu.Unlock()
			return c.era, c.session, nil
		}
		if wait := c.connecting; wait != nil {
			c.mu.Unlock()
			select {
			case <-ctx.Done():
				return EraAuto, nil, context.Cause(ctx)
			case <-wait:
			}
			c.mu.Lock()
			err := c.connectErr
			c.mu.Unlock()
			if err != nil && !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded) {
				return EraAuto, nil, err
			}
			continue
		}
		done, era := make(chan struct{}), c.era
		c.connecting, c.connectErr = done, nil
		c.mu.Unlock()

		era, session, err := c.negotiate(ctx, era, req)

		c.mu.Lock()
		c.connecting, c.connectErr = nil, err
		if c.closed && session != nil {
			err = mcp.ErrClosed
		} else if err == nil {
			c.era, c.session = era, session
			if session != nil && c.answer != nil {
				defer session.hear() // it may ask at once
			}
		} else {
			c.era = c.opts.Era // what was known did not help
		}
		close(done)
		c.mu.Unlock()
		if err != nil && session != nil {
			session.end(err)
		}
		return era, session, err
	}
}

// negotiate asks the server what it speaks, if that is not known, and opens a
// session with one that needs it (MCP 2026-07-28, basic/transports/streamable-http,
// Backward Compatibility; MCP 2025-11-25, basic/transports, Backwards Compatibility):
//
//	POST server/discover ── modern result or error ─> modern
//	  └ other: POST initialize ── result ───────────> session
//	      └ 400, 404, 405: GET ── endpoint event ───> session over HTTP+SSE
func (c *Client) negotiate(ctx context.Context, era Era, req *mcp.Request) (Era, oldSession, error) {
	if era == EraAuto {
		modern, err := c.probe(ctx, req)
		if err != nil {
			return EraAuto, nil, err
		}
		if modern {
			return EraModern, nil, nil
		}
	}
	s, err := c.openSession(ctx, req)
	var refused *initializeError
	switch {
	case err == nil:
		return EraLegacy, s, nil
	case !errors.As(err, &refused):
		return EraAuto, nil, err
	}
	old, sseErr := c.openSSE(ctx, req)
	if sseErr != nil {
		return EraAuto, nil, fmt.Errorf("%w; and it is no server of HTTP+SSE: %w", err, sseErr)
	}
	return EraLegacy, old, nil
}

// oldSession is a session with a server of an old revision.
type oldSession interface {
	legacy.Wire
	client() *legacy.Client
	listenTo(ctx context.Context) // opens the stream of what belongs to no call, and waits a little for it
	hear()                        // listenTo without waiting
	delete(ctx context.Context)   // tells the server
	end(cause error)
}

// info is what a session is opened with.
func (c *Client) info(first *mcp.Request, opened func(*legacy.Client)) legacy.Info {
	info := legacy.Info{
		ClientInfo:   c.opts.ClientInfo,
		Capabilities: c.opts.Capabilities,
		Parking:      legacy.Parking{Time: c.opts.ParkTime, Max: c.opts.MaxParked, MaxPerPrincipal: c.opts.MaxParkedPerPrincipal},
		Opened:       opened,
	}
	if info.ClientInfo == nil {
		info.ClientInfo = bytes.Clone(first.Meta.ClientInfo)
	}
	if info.Capabilities == nil {
		info.Capabilities = bytes.Clone(first.Meta.Capabilities)
	}
	c.mu.Lock()
	info.Answer = c.answer
	c.mu.Unlock()
	return info
}

// nextID is the raw id of a request on this hop, and its progress token.
func (c *Client) nextID() []byte { return strconv.AppendInt(nil, c.ids.Add(1), 10) }

// bound derives the context of one exchange: it ends with ctx, with Close and, if
// ctx has no deadline, after the timeout.
func (c *Client) bound(ctx context.Context) (context.Context, context.CancelCauseFunc) {
	ctx, cancel := c.attach(ctx)
	if _, ok := ctx.Deadline(); ok {
		return ctx, cancel
	}
	timer := time.AfterFunc(c.opts.Timeout, func() { cancel(context.DeadlineExceeded) })
	return ctx, func(cause error) {
		timer.Stop()
		cancel(cause)
	}
}

// boundCall is bound for a call that a closed connection ends: Close does that by itself.
func (c *Client) boundCall(ctx context.Context) (context.Context, context.CancelCauseFunc) {
	if _, ok := ctx.Deadline(); ok && c.wire() != nil {
		return ctx, func(error) {}
	}
	return c.bound(ctx)
}

// attach derives a context that ends with ctx and with Close.
func (c *Client) attach(ctx context.Context) (context.Context, context.CancelCauseFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(c.ctx, func() { cancel(mcp.ErrClosed) })
	return ctx, func(cause error) {
		stop()
		cancel(cause)
	}
}

// callerProgress gives a progress notification the caller's token in place of the
// hop's. It reports false for a token that is not this call's.
func callerProgress(params, hop, caller []byte) ([]byte, bool) {
	if caller == nil || !bytes.Equal(jsonrpc.Get(params, mcp.MetaProgressToken), hop) {
		return nil, false
	}
	return jsonrpc.Splice(nil, params, jsonrpc.Member{Key: mcp.MetaProgressToken, Value: caller}), true
}

// isChange reports whether a notification belongs to subscriptions and to no call.
func isChange(method string) bool {
	switch method {
	case mcp.NotificationToolsListChanged, mcp.NotificationPromptsListChanged,
		mcp.NotificationResourcesListChanged, mcp.NotificationResourceUpdated:
		return true
	}
	return false
}
