// Package http1 is a client of one origin over pooled connections of HTTP/1.1,
// plain or TLS. It does what an MCP client needs and refuses the rest: responses
// are read strictly (RFC 9112), so that what a hostile server sends cannot be taken
// for the answer to another request. An exchange runs on the goroutine of its
// caller. Redirects, proxies, HTTP/2 and cookies are for net/http.
//
//	c := http1.New("example.com:443", &http1.Options{TLS: &tls.Config{}})
//	res, err := c.Do(ctx, &http1.Request{Head: head, Body: body})
//	if err != nil {
//		return err
//	}
//	defer res.Close()
//	text, err := res.ReadAll(1 << 20)
package http1

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"slices"
	"sync"
	"time"
)

// Options adjusts a [Client].
type Options struct {
	// TLS makes the connections TLS ones; its NextProtos and, if empty, ServerName are set here.
	TLS *tls.Config
	// MaxConns bounds the exchanges that are not Beside. Further ones wait, in order. Zero means no bound.
	MaxConns int
	// MaxIdle bounds the idle connections. Zero means 64.
	MaxIdle int
	// IdleTimeout is how long a connection stays open unused. Zero means 90 seconds;
	// a shorter time that the server tells (Keep-Alive) is kept.
	IdleTimeout time.Duration
	// MaxHeaderBytes bounds the head of a response, interim ones and trailers included. Zero means 256 KiB.
	MaxHeaderBytes int
}

// tlsTimeout bounds a handshake.
const tlsTimeout = 10 * time.Second

// Errors of exchanges, beside those of the network and [ErrMalformed].
var (
	// ErrHTTP2 reports a server that chose HTTP/2. Nothing was sent to it.
	ErrHTTP2 = errors.New("http1: the server chose HTTP/2")
	// ErrClosed reports a closed Client.
	ErrClosed = errors.New("http1: the client is closed")
)

// Client is safe for concurrent use.
type Client struct {
	addr  string
	opts  Options
	slots chan struct{} // holds a token for each exchange that counts; nil without a bound

	ctx    context.Context // of dials; ends with Close
	cancel context.CancelFunc

	mu     sync.Mutex
	closed bool
	idle   []*conn            // the longest idle first
	all    map[*conn]struct{} // open connections
	timer  *time.Timer        // closes idle connections; nil while there are none
}

// New returns a client of the server at addr, HOST:PORT. It does no I/O; opts may be nil.
func New(addr string, opts *Options) *Client {
	c := &Client{addr: addr, all: map[*conn]struct{}{}}
	if opts != nil {
		c.opts = *opts
	}
	o := &c.opts
	if o.MaxConns > 0 {
		c.slots = make(chan struct{}, o.MaxConns)
	}
	if o.MaxIdle <= 0 {
		o.MaxIdle = 64
	}
	if o.IdleTimeout <= 0 {
		o.IdleTimeout = 90 * time.Second
	}
	if o.MaxHeaderBytes <= 0 {
		o.MaxHeaderBytes = 256 << 10
	}
	if o.TLS != nil {
		o.TLS = o.TLS.Clone()
		o.TLS.NextProtos = []string{"h2", "http/1.1"}
		if o.TLS.ServerName == "" {
			o.TLS.ServerName, _, _ = net.SplitHostPort(addr)
		}
	}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	return c
}

// Request is one request.
type Request struct {
	// Head is the request line and the fields, each with its CRLF, without
	// Content-Length and the empty line; see AppendField.
	Head []byte
	// Body is sent with its length. Nil means that there is none.
	Body []byte
	// Repeatable says that to do it twice is to do it once. It is then sent again,
	// once, if a kept connection turns out to be dead. Other requests never are
	// once a byte of them is out.
	Repeatable bool
	// Beside takes a request out of the count of MaxConns: one that a counted
	// exchange may wait for, or one that stays open.
	Beside bool
}

// Do sends a request and returns the response when its head is there. The end of
// ctx closes the connection, until the response is closed or detached. Nothing else
// bounds the time. The error is ctx's cause if it has ended.
func (c *Client) Do(ctx context.Context, req *Request) (*Response, error) {
	if c.slots != nil && !req.Beside {
		select {
		case c.slots <- struct{}{}:
		default:
			select {
			case c.slots <- struct{}{}:
			case <-ctx.Done():
				return nil, context.Cause(ctx)
			case <-c.ctx.Done():
				return nil, ErrClosed
			}
		}
	}
	res, err := c.do(ctx, req)
	if err != nil {
		c.leave(req.Beside)
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return nil, err
	}
	return res, nil
}

func (c *Client) leave(beside bool) {
	if c.slots != nil && !beside {
		<-c.slots
	}
}

// do tries a kept connection, and a new one if that was dead.
func (c *Client) do(ctx context.Context, req *Request) (*Response, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if kept := c.take(); kept != nil {
		res, err := c.exchange(ctx, kept, req)
		if err == nil || ctx.Err() != nil || kept.out && !(req.Repeatable && kept.silent()) {
			return res, err
		}
	}
	fresh, err := c.dial(ctx)
	if err != nil {
		return nil, err
	}
	return c.exchange(ctx, fresh, req)
}

// exchange sends a request on a connection, which it closes if there is no response.
func (c *Client) exchange(ctx context.Context, cn *conn, req *Request) (*Response, error) {
	res := &Response{conn: cn, beside: req.Beside}
	if ctx.Done() != nil {
		res.stop = context.AfterFunc(ctx, cn.cancel)
	}
	err := cn.send(req)
	if err == nil || cn.out {
		// A server may answer and hang up before it has read everything.
		if err != nil {
			_ = cn.net.SetReadDeadline(time.Now().Add(time.Second))
		}
		if e := cn.readHead(res); err == nil {
			err = e
		} else if e == nil {
			err, cn.final = nil, true
		}
	}
	if err != nil {
		res.Detach()
		cn.close()
		return nil, err
	}
	return res, nil
}

// dial opens a connection.
func (c *Client) dial(ctx context.Context) (*conn, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(c.ctx, cancel)()

	// A peer that has vanished is noticed after a minute of silence at most.
	dialer := net.Dialer{KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 15 * time.Second, Interval: 15 * time.Second, Count: 3}}
	raw, err := dialer.DialContext(ctx, "tcp", c.addr)
	if err != nil {
		return nil, c.closedOr(err)
	}
	cn := &conn{c: c, raw: raw, net: raw}
	if c.opts.TLS != nil {
		secure := tls.Client(raw, c.opts.TLS)
		shake, done := context.WithTimeout(ctx, tlsTimeout)
		err := secure.HandshakeContext(shake)
		done()
		if bad, ok := errors.AsType[tls.RecordHeaderError](err); ok && string(bad.RecordHeader[:]) == "HTTP/" {
			err = errors.New("http1: server gave HTTP response to HTTPS client")
		}
		if err == nil && secure.ConnectionState().NegotiatedProtocol == "h2" {
			err = ErrHTTP2
		}
		if err != nil {
			_ = raw.Close()
			return nil, c.closedOr(err)
		}
		cn.net = secure
	}
	cn.cancel = cn.abort
	cn.watch()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		_ = raw.Close()
		return nil, ErrClosed
	}
	c.all[cn] = struct{}{}
	return cn, nil
}

func (c *Client) closedOr(err error) error {
	if c.ctx.Err() != nil {
		return ErrClosed
	}
	return err
}

// take returns the connection that was used last, if one is kept that lives.
func (c *Client) take() *conn {
	for {
		c.mu.Lock()
		if len(c.idle) == 0 {
			c.mu.Unlock()
			return nil
		}
		last := len(c.idle) - 1
		cn := c.idle[last]
		c.idle[last] = nil
		c.idle = c.idle[:last]
		c.mu.Unlock()
		if time.Now().Before(cn.until) && cn.alive() {
			return cn
		}
		cn.close()
	}
}

// keep makes a connection one that others may take.
func (c *Client) keep(cn *conn) {
	life := c.opts.IdleTimeout
	for _, less := range []time.Duration{cn.patience, idleTrust} {
		if less > 0 {
			life = min(life, less)
		}
	}
	cn.reset(time.Now().Add(life))
	c.mu.Lock()
	var oldest *conn
	closed := c.closed
	if !closed {
		if len(c.idle) >= c.opts.MaxIdle {
			oldest = c.idle[0]
			c.idle = slices.Delete(c.idle, 0, 1)
		}
		c.idle = append(c.idle, cn)
		if c.timer == nil {
			c.timer = time.AfterFunc(c.opts.IdleTimeout, c.sweep)
		}
	}
	c.mu.Unlock()
	switch {
	case closed:
		cn.close()
	case oldest != nil:
		oldest.close()
	}
}

// sweep closes what has been idle for too long.
func (c *Client) sweep() {
	now := time.Now()
	c.mu.Lock()
	var old []*conn
	c.idle = slices.DeleteFunc(c.idle, func(cn *conn) bool {
		if now.Before(cn.until) {
			return false
		}
		old = append(old, cn)
		return true
	})
	if len(c.idle) > 0 && !c.closed {
		c.timer.Reset(max(time.Until(c.idle[0].until), c.opts.IdleTimeout/8))
	} else {
		c.timer = nil
	}
	c.mu.Unlock()
	for _, cn := range old {
		cn.close()
	}
}

// Close closes all connections; exchanges that run on them fail.
func (c *Client) Close() error {
	c.mu.Lock()
	c.closed = true
	open := make([]*conn, 0, len(c.all))
	for cn := range c.all {
		open = append(open, cn)
	}
	c.idle = nil
	if c.timer != nil {
		c.timer.Stop()
	}
	c.mu.Unlock()
	c.cancel()
	for _, cn := range open {
		cn.abort()
	}
	return nil
}

// Conns returns how many connections are open, and how many of them are idle.
func (c *Client) Conns() (open, idle int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.all), len(c.idle)
}

var _ io.ReadCloser = (*Response)(nil)
