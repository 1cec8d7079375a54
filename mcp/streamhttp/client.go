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
	"github.com/fairlead-mcp/fairlead/mcp/jsonrpc"
)

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
	// Capabilities is the ClientCapabilities object that a session is opened with.
	// Nil means {}: this client answers no request of a server but ping.
	Capabilities []byte
	// OnInvalidTool is told of each tool that was left out of a list because its
	// x-mcp-header annotations are invalid. Nil means nobody is.
	OnInvalidTool func(tool string, err error)
}

// Client is a remote server, reached by Streamable HTTP in any revision from
// 2025-03-26 on (MCP 2026-07-28, basic/transports/streamable-http). It is an
// [mcp.Handler] and safe for concurrent use.
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
	idle   func() // closes idle connections of a transport that is ours

	ids     atomic.Int64
	headers headerCache

	ctx     context.Context // ends with Close
	cancel  context.CancelCauseFunc
	running sync.WaitGroup // calls, stream readers, drains

	mu         sync.Mutex
	closed     bool
	era        Era            // what the server speaks; EraAuto while unknown
	session    *clientSession // of a legacy server
	connecting chan struct{}  // closed when who asks the server is done; nil if nobody does
	connectErr error          // of the attempt that connecting stood for
}

// NewClient returns a client of the server at an http or https URL. It does no I/O;
// an unusable URL is the error of every request. A nil opts means the defaults.
func NewClient(endpoint string, opts *ClientOptions) *Client {
	c := &Client{url: endpoint, headers: headerCache{turn: make(chan struct{}, 1)}}
	if opts != nil {
		c.opts = *opts
	}
	c.opts.Header = c.opts.Header.Clone()
	if c.opts.Timeout <= 0 {
		c.opts.Timeout = 60 * time.Second
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
			MaxIdleConnsPerHost: 64, // a gateway's burst to one server keeps its connections
			IdleConnTimeout:     90 * time.Second,
			TLSHandshakeTimeout: 10 * time.Second,
			// A stream may be silent for hours; one whose server is gone must not be.
			HTTP2: &http.HTTP2Config{SendPingTimeout: 30 * time.Second, PingTimeout: 15 * time.Second},

			MaxResponseHeaderBytes: 256 << 10,
		}
		client.Transport, c.idle = transport, transport.CloseIdleConnections
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
	connectCtx, cancel := c.bound(ctx)
	era, session, err := c.connect(connectCtx, req)
	cancel(nil)
	if err != nil {
		return mcp.Result{}, err
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
		return c.session.version
	}
	return ""
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
	c.running.Wait()
	if c.idle != nil {
		c.idle()
	}
	return nil
}

// connect returns what the server speaks and, of a legacy one, its session. One
// caller at a time asks the server, with its own context; the others wait for it
// and share the outcome, unless it was the context that failed.
func (c *Client) connect(ctx context.Context, req *mcp.Request) (Era, *clientSession, error) {
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
// Backward Compatibility).
func (c *Client) negotiate(ctx context.Context, era Era, req *mcp.Request) (Era, *clientSession, error) {
	if era == EraAuto {
		modern, err := c.probe(ctx, req)
		if err != nil {
			return EraAuto, nil, err
		}
		if modern {
			return EraModern, nil, nil
		}
	}
	session, err := c.openSession(ctx, req)
	if err != nil {
		return EraAuto, nil, err
	}
	return EraLegacy, session, nil
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
