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

// ErrClosed reports that a connection was gone before the answer came: whether the
// peer has done what it was asked is unknown.
var ErrClosed = errors.New("mcp: connection closed before the answer")

// Client makes typed calls to a [Handler]: a child process, a remote server, a
// [Server] in this program. It is safe for concurrent use and owns nothing: who
// opened the Handler closes it.
//
// Errors that the peer sent are an *[Error] in the chain and [IsWireError] holds; a
// peer that breaks the protocol is a *[ProtocolError].
type Client struct {
	handler Handler
	origin  Handler // handler without the interceptors
	opts    ClientOptions
	caps    ClientCapabilities
	info    []byte // Implementation object
	offer   []byte // ClientCapabilities object
	bad     error  // what is wrong with the options
	cache   *cache // nil: none
	tokens  atomic.Int64
}

// ClientOptions changes the defaults of a [Client].
type ClientOptions struct {
	// Capabilities is what the client offers with each request, besides what follows
	// from the functions below. What is offered without a function is answered by
	// hand; see [InputRequiredError].
	Capabilities *ClientCapabilities

	// OnElicit shows the user a form of the server and returns the answer (MCP
	// 2026-07-28, client/elicitation). The user must see which server asks, and must
	// be able to change the answer, to decline and to cancel. An accepted answer is
	// completed with the form's defaults and must fit the form; see
	// [ElicitParams.Complete]. Its texts are the server's, control characters included.
	OnElicit func(ctx context.Context, p *ElicitParams) (*ElicitResult, error)
	// OnPage lets the user open a page of the server in a browser (MCP 2026-07-28,
	// client/elicitation, URL Mode): it shows the whole URL and [Page.Warnings], asks,
	// and opens the page only on consent, where the program cannot see it. Nothing is
	// fetched from the URL before.
	OnPage func(ctx context.Context, p Page) (ElicitAction, error)
	// OnSample asks the client's model (MCP 2026-07-28, client/sampling), after the
	// user has seen what is asked, for at most MaxTokens. Requests with tools come only
	// if Capabilities.Sampling.Tools says so.
	//
	// Deprecated in the protocol since 2026-07-28.
	OnSample func(ctx context.Context, p *SampleParams) (*SampleResult, error)
	// Roots are the client's roots (MCP 2026-07-28, client/roots). Nil means that it
	// says nothing of roots, an empty slice that it has none.
	//
	// Deprecated in the protocol since 2026-07-28.
	Roots []Root
	// OnListRoots is used instead of Roots by a client whose roots change; see
	// [Client.RootsChanged].
	//
	// Deprecated in the protocol since 2026-07-28.
	OnListRoots func(ctx context.Context) ([]Root, error)

	// MaxRounds bounds how often the server may ask in the middle of one call. Zero means 16.
	MaxRounds int
	// Interceptors wrap each request; the first sees it first.
	Interceptors []Interceptor
	// Timeout bounds one request, from send to result; for a subscription, until its
	// acknowledgement. A call that is asked in the middle of it is several requests,
	// and the time in between is not counted. Zero means 60 seconds.
	Timeout time.Duration
	// MaxTimeout bounds what a call may ask for instead, and a call as a whole, with
	// the time that it takes to answer the server. Zero means 1 hour.
	MaxTimeout time.Duration
	// CacheBytes bounds a cache of lists, of resources and of what [Client.Discover]
	// says, each kept for as long as the server allows, a day at most, unless a
	// subscription of this client says that it has changed (MCP 2026-07-28,
	// server/utilities/caching). Nobody else gets what is in it; see also
	// [Client.DropCache]. Zero means no cache.
	CacheBytes int64
	// LogLevel asks for log messages of this level and above with each request.
	// Empty means none. They go to the Log function of a call.
	LogLevel LogLevel
	// MaxPages bounds the pages of one list. Zero means 1000.
	MaxPages int
}

// NewClient returns a client named name that calls h. A nil opts means the defaults.
//
// The On functions of opts are called concurrently, return when their context ends,
// and end the call with their error. If h is [Asked], they also answer what its
// server asks outside of calls; of several such clients of h the last one does.
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
	if c.opts.MaxRounds <= 0 {
		c.opts.MaxRounds = 16
	}
	c.handler = Intercept(traceCalls(h), c.opts.Interceptors...)
	c.info = jsonrpc.Splice(nil, nil,
		jsonrpc.Member{Key: "name", Value: jsonrpc.AppendString(nil, name)},
		jsonrpc.Member{Key: "version", Value: jsonrpc.AppendString(nil, version)},
	)
	c.cache = newCache(c.opts.CacheBytes)
	c.caps = c.opts.Offer()
	if c.offer, c.bad = json.Marshal(&c.caps); c.bad == nil {
		c.bad = checkRoots(c.opts.Roots)
	}
	c.origin = h
	if a, ok := h.(Asked); ok && (c.opts.OnElicit != nil || c.opts.OnPage != nil || c.opts.OnSample != nil || c.hasRoots()) {
		a.OnAsk(c.answerOutside)
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
	// Timeout bounds each request of the call, at most ClientOptions.MaxTimeout. Zero
	// means ClientOptions.Timeout.
	Timeout time.Duration
	// ProgressExtends starts Timeout anew with each progress notification, but never
	// beyond ClientOptions.MaxTimeout.
	ProgressExtends bool
	// Fresh asks the server even if there is a result in the cache.
	Fresh bool
	// ByHand returns what the server asks as an *[InputRequiredError] instead of
	// answering it.
	ByHand bool
	// Input is what the server has asked for. Nil for a call from the start.
	Input *Input
	// LogLevel is used instead of the client's. Empty means that of the client.
	LogLevel LogLevel
	// Meta is a JSON object whose members are added to the request's _meta.
	Meta Raw

	tasks bool // the server may answer with a task
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

// Raw sends one request with params, a JSON object or nil, and returns the result as
// it came, also one that asks for input. For subscriptions use [Client.Listen].
func (c *Client) Raw(ctx context.Context, method string, params []byte, opts *CallOptions) (Result, error) {
	if method == MethodListen {
		return Result{}, errors.New("mcp: subscriptions are opened with Listen")
	}
	if opts == nil {
		opts = &CallOptions{}
	}
	ctx, l := c.limit(ctx, time.Now().Add(c.opts.MaxTimeout), opts)
	defer l.stop()
	return c.send(ctx, l, method, params, opts, opts.Input)
}

// send sends one request. ctx is that of l.
func (c *Client) send(ctx context.Context, l *limit, method string, params []byte, opts *CallOptions, input *Input) (Result, error) {
	req, err := c.request(method, params, opts, input)
	if err != nil {
		return Result{}, fmt.Errorf("%s: %w", method, err)
	}
	sink := Discard
	if opts.Progress != nil || opts.Log != nil || opts.ProgressExtends {
		calls := &callSink{opts: opts, limit: l}
		defer calls.close()
		if opts.Progress != nil || opts.ProgressExtends {
			req.Meta.ProgressToken = strconv.AppendInt(nil, c.tokens.Add(1), 10)
			calls.token = string(req.Meta.ProgressToken)
		}
		sink = calls
	}
	res, err := c.handler.Handle(ctx, req, sink)
	if err != nil {
		return Result{}, fmt.Errorf("%s: %w", method, l.why(ctx, err))
	}
	if res.Stream {
		return Result{}, fmt.Errorf("%s: the server opened a stream", method)
	}
	return res, nil
}

// request makes a request, with what a transport would have read from its bytes.
func (c *Client) request(method string, params []byte, opts *CallOptions, input *Input) (*Request, error) {
	if params != nil {
		if err := jsonrpc.Valid(params, nil); err != nil {
			return nil, fmt.Errorf("params: %w", err)
		}
		if params = trimSpace(params); !isObject(params) {
			return nil, errors.New("params: not an object")
		}
	}
	if input != nil {
		if params = input.into(params); !mayAsk(method) {
			return nil, errors.New("no server asks for input here")
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
		return nil, fmt.Errorf("options of the client: %w", c.bad)
	}
	req.Meta = Meta{Version: LatestVersion, ClientInfo: c.info, Capabilities: c.offer, LogLevel: c.opts.LogLevel}
	req.Meta.Raw = jsonrpc.Get(params, "_meta")
	if opts == nil {
		return req, nil
	}
	if opts.tasks {
		req.Meta.Capabilities = withTasks(c.offer)
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

// call makes a request, answers what the server asks in the middle of it, and
// decodes its complete result into out.
func (c *Client) call(ctx context.Context, method string, params any, out any, opts *CallOptions) error {
	b, err := json.Marshal(params)
	if err != nil {
		return fmt.Errorf("%s: encode params: %w", method, err)
	}
	if opts == nil {
		opts = &CallOptions{}
	}
	res, err := c.cached(ctx, method, b, opts)
	if err != nil {
		return err
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
