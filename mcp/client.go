package mcp

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/fairlead-mcp/fairlead/mcp/jsonrpc"
	"github.com/go-json-experiment/json"
)

var (
	// ErrClosed reports that a connection was gone before the answer came: whether
	// the peer has done what it was asked is unknown.
	ErrClosed = errors.New("mcp: connection closed before the answer")
	// ErrInputRequired reports that a server answered with questions
	// ([ResultInputRequired]) where the caller waits for a complete result.
	ErrInputRequired = errors.New("mcp: server asks for input")
)

// Client makes typed calls to a [Handler]: a child process, a remote server, a
// [Server] in this program. It is safe for concurrent use and owns nothing: who
// opened the Handler closes it.
//
// Errors that the peer sent are an *[Error] in the chain and [IsWireError] holds.
type Client struct {
	handler Handler
	opts    ClientOptions
	info    []byte // Implementation object
	offer   []byte // ClientCapabilities object
	bad     error  // why there is no offer
	tokens  atomic.Int64
}

// ClientOptions changes the defaults of a [Client].
type ClientOptions struct {
	// Capabilities is what the client offers with each request. Nil means nothing.
	Capabilities *ClientCapabilities
	// Interceptors wrap each request; the first sees it first.
	Interceptors []Interceptor
	// Timeout bounds one request, from send to result; for a subscription, until
	// its acknowledgement. Zero means 60 seconds.
	Timeout time.Duration
	// MaxTimeout bounds what a call may ask for instead. Zero means 1 hour.
	MaxTimeout time.Duration
	// LogLevel asks for log messages of this level and above with each request.
	// Empty means none. They go to the Log function of a call.
	LogLevel LogLevel
	// MaxPages bounds the pages of one list. Zero means 1000.
	MaxPages int
}

// NewClient returns a client named name that calls h. A nil opts means the defaults.
func NewClient(name, version string, h Handler, opts *ClientOptions) *Client {
	if h == nil {
		panic("mcp: NewClient without a Handler")
	}
	c := &Client{}
	if opts != nil {
		c.opts = *opts
	}
	if c.opts.Timeout <= 0 {
		c.opts.Timeout = 60 * time.Second
	}
	if c.opts.MaxTimeout <= 0 {
		c.opts.MaxTimeout = time.Hour
	}
	if c.opts.MaxPages <= 0 {
		c.opts.MaxPages = 1000
	}
	c.handler = Intercept(traceCalls(h), c.opts.Interceptors...)
	c.info = jsonrpc.Splice(nil, nil,
		jsonrpc.Member{Key: "name", Value: jsonrpc.AppendString(nil, name)},
		jsonrpc.Member{Key: "version", Value: jsonrpc.AppendString(nil, version)},
	)
	c.offer = []byte(`{}`)
	if c.opts.Capabilities != nil {
		c.offer, c.bad = json.Marshal(c.opts.Capabilities)
	}
	return c
}

// CallOptions changes one request.
type CallOptions struct {
	// Progress is called with each progress notification, before the call returns
	// and never concurrently.
	Progress func(Progress)
	// Log is called with each log message, before the call returns and never
	// concurrently. See ClientOptions.LogLevel.
	Log func(LogMessage)
	// Timeout bounds the request, at most ClientOptions.MaxTimeout. Zero means
	// ClientOptions.Timeout.
	Timeout time.Duration
	// LogLevel is used instead of the client's. Empty means that of the client.
	LogLevel LogLevel
	// Meta is a JSON object whose members are added to the request's _meta.
	Meta Raw
}

// Progress is how far a call is (MCP 2026-07-28, basic/patterns/progress).
type Progress struct {
	Progress float64  `json:"progress"`
	Total    *float64 `json:"total,omitzero"`
	Message  string   `json:"message,omitzero"`
}

// LogMessage is a log message of a server (MCP 2026-07-28, server/utilities/logging).
type LogMessage struct {
	Level  LogLevel `json:"level"`
	Logger string   `json:"logger,omitzero"`
	Data   Raw      `json:"data"` // any JSON value
}

// Raw sends a request with params, a JSON object or nil, and returns the result as
// it came, also one that asks for input. For subscriptions use [Client.Listen].
func (c *Client) Raw(ctx context.Context, method string, params []byte, opts *CallOptions) (Result, error) {
	if method == MethodListen {
		return Result{}, errors.New("mcp: subscriptions are opened with Listen")
	}
	req, err := c.request(method, params, opts)
	if err != nil {
		return Result{}, fmt.Errorf("%s: %w", method, err)
	}
	if opts == nil {
		opts = &CallOptions{}
	}
	timeout := c.opts.Timeout
	if opts.Timeout > 0 {
		timeout = min(opts.Timeout, c.opts.MaxTimeout)
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()

	sink := Discard
	if opts.Progress != nil || opts.Log != nil {
		calls := &callSink{opts: opts}
		defer calls.close()
		if opts.Progress != nil {
			req.Meta.ProgressToken = strconv.AppendInt(nil, c.tokens.Add(1), 10)
			calls.token = string(req.Meta.ProgressToken)
		}
		sink = calls
	}
	res, err := c.handler.Handle(ctx, req, sink)
	if err != nil {
		return Result{}, fmt.Errorf("%s: %w", method, err)
	}
	if res.Stream {
		return Result{}, fmt.Errorf("%s: the server opened a stream", method)
	}
	return res, nil
}

// request makes a request, with what a transport would have read from its bytes.
func (c *Client) request(method string, params []byte, opts *CallOptions) (*Request, error) {
	if params != nil {
		if err := jsonrpc.Valid(params, nil); err != nil {
			return nil, fmt.Errorf("params: %w", err)
		}
		if params = trimSpace(params); !isObject(params) {
			return nil, errors.New("params: not an object")
		}
	}
	req := &Request{Method: method, Params: params}
	if member := namedBy(method); member != "" {
		name, ok := jsonrpc.Unquote(jsonrpc.Get(params, member))
		if !ok {
			return nil, fmt.Errorf("params: no %s", member)
		}
		req.Name = name
	}
	if takesArguments(method) {
		if req.Arguments = jsonrpc.Get(params, "arguments"); req.Arguments != nil && !isObject(req.Arguments) {
			return nil, errors.New("params: arguments is not an object")
		}
	}
	if c.bad != nil {
		return nil, fmt.Errorf("capabilities of the client: %w", c.bad)
	}
	req.Meta = Meta{Version: LatestVersion, ClientInfo: c.info, Capabilities: c.offer, LogLevel: c.opts.LogLevel}
	req.Meta.Raw = jsonrpc.Get(params, "_meta")
	if opts == nil {
		return req, nil
	}
	if opts.LogLevel != "" {
		req.Meta.LogLevel = opts.LogLevel
	}
	if opts.Meta != nil {
		if err := jsonrpc.Valid(opts.Meta, nil); err != nil || !isObject(trimSpace(opts.Meta)) {
			return nil, errors.New("the call's Meta is not a JSON object")
		}
		for key, value := range jsonrpc.Members(opts.Meta) {
			req.Meta.Raw = jsonrpc.Splice(nil, req.Meta.Raw, jsonrpc.Member{Key: key, Value: value})
		}
	}
	return req, nil
}

// call sends a request and decodes its complete result into out.
func (c *Client) call(ctx context.Context, method string, params any, out any, opts *CallOptions) error {
	b, err := json.Marshal(params)
	if err != nil {
		return fmt.Errorf("%s: encode params: %w", method, err)
	}
	res, err := c.Raw(ctx, method, b, opts)
	if err != nil {
		return err
	}
	if res.Type != "" && res.Type != ResultComplete {
		return fmt.Errorf("%s: %w", method, ErrInputRequired)
	}
	body := res.Body
	if body == nil {
		body = []byte(`{}`)
	}
	if err := json.Unmarshal(body, out); err != nil {
		return fmt.Errorf("%s: decode result: %w", method, err)
	}
	return nil
}
