package legacy

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/mcp/jsonrpc"
)

// Wire is one connection to a server of an old revision: a transport implements it.
type Wire interface {
	// RoundTrip sends a request and returns the result object, a fresh copy. An
	// error that the peer sent is an *mcp.Error for which mcp.IsWireError holds.
	//
	// The transport chooses the request id. A _meta.progressToken in params is
	// the caller's: the transport sends one of its own in its place and maps it
	// back. Notifications of this call go to sink before RoundTrip returns. When
	// ctx ends, the transport cancels the call, except initialize.
	//
	// Notifications and requests of the server that belong to the call go to x
	// before RoundTrip returns.
	RoundTrip(ctx context.Context, method string, params []byte, x Exchange) (result []byte, err error)
	// Notify sends a notification.
	Notify(ctx context.Context, method string, params []byte) error
	// Answer sends the response to a request of the server.
	Answer(ctx context.Context, response []byte) error
}

// Exchange takes what a server sends in the middle of a call.
type Exchange interface {
	mcp.Sink
	// Ask takes a request of the server. It does not block and keeps no bytes of
	// msg. An error refuses the request: the transport answers with it. Otherwise
	// the answer comes by Wire.Answer.
	Ask(msg *jsonrpc.Message) *mcp.Error
}

// Info is what the client says about itself in initialize.
type Info struct {
	// ClientInfo is an Implementation object. Nil names this library.
	ClientInfo []byte
	// Capabilities is a ClientCapabilities object. Nil means {}. Tasks are not offered.
	Capabilities []byte
	// Parking bounds the calls that wait for answers to what the server asks.
	Parking Parking
	// Answer answers what the server asks in no call. Nil means that it is refused.
	Answer mcp.Answerer
	// Opened is called, if not nil, with the client before the server is told that
	// the session is open: from then on the server may ask.
	Opened func(*Client)
}

// Client speaks to one server of a revision with sessions, towards callers that
// speak the latest one. It is an mcp.Handler and safe for concurrent use.
type Client struct {
	wire    Wire
	server  Peer
	offered []byte // capabilities, as in initialize
	listens bool   // whether they allow any question

	levelMu sync.Mutex
	level   mcp.LogLevel // what the server was last asked for

	listeners listeners
	parking   parking
	unasked   unasked
	tasks     taskBook
}

// Peer is what a server said in answer to initialize. Slices are raw JSON.
type Peer struct {
	Version      mcp.Version
	Capabilities []byte // object
	ServerInfo   []byte // object or nil
	Instructions []byte // string or nil
}

// Connect performs the handshake of old revisions (MCP 2025-11-25,
// basic/lifecycle): it offers the latest revision with sessions and accepts any
// that this library speaks.
func Connect(ctx context.Context, w Wire, info Info) (*Client, error) {
	if info.ClientInfo == nil {
		info.ClientInfo = []byte(`{"name":"fairlead","version":"0"}`)
	}
	offered := offer(info.Capabilities)
	params := jsonrpc.Splice(nil, nil,
		jsonrpc.Member{Key: "protocolVersion", Value: jsonrpc.AppendString(nil, mcp.LatestLegacyVersion)},
		jsonrpc.Member{Key: "capabilities", Value: offered},
		jsonrpc.Member{Key: "clientInfo", Value: info.ClientInfo},
	)
	result, err := w.RoundTrip(ctx, methodInitialize, params, plain{mcp.Discard, nil})
	if err != nil {
		return nil, fmt.Errorf("initialize: %w", err)
	}
	peer, err := parseInitializeResult(result)
	if err != nil {
		return nil, fmt.Errorf("initialize: %w", err)
	}
	c := &Client{wire: w, server: peer, offered: offered, listens: canAsk(offered)}
	c.listeners.init(w, plain{mcp.Discard, c})
	c.parking.init(w, info.Parking)
	c.unasked.init(w, info.Answer)
	c.tasks.init()
	if info.Opened != nil {
		info.Opened(c)
	}
	if err := w.Notify(ctx, "notifications/initialized", nil); err != nil {
		c.Closed(err)
		c.Wait()
		return nil, fmt.Errorf("notifications/initialized: %w", err)
	}
	return c, nil
}

func parseInitializeResult(result []byte) (Peer, error) {
	version, ok := jsonrpc.Unquote(jsonrpc.Get(result, "protocolVersion"))
	if !ok {
		return Peer{}, errors.New("the result has no protocolVersion")
	}
	peer := Peer{Version: mcp.Version(version)}
	if !peer.Version.Known() || peer.Version.Modern() {
		return Peer{}, fmt.Errorf("the server chose protocol revision %.32q, which cannot be spoken in a session", version)
	}
	peer.Capabilities = jsonrpc.Get(result, "capabilities")
	if !isObject(peer.Capabilities) {
		return Peer{}, errors.New("the result has no capabilities object")
	}
	if info := jsonrpc.Get(result, "serverInfo"); isObject(info) {
		peer.ServerInfo = info
	}
	if text := jsonrpc.Get(result, "instructions"); len(text) > 0 && text[0] == '"' {
		peer.Instructions = text
	}
	return peer, nil
}

func isObject(raw []byte) bool { return len(raw) > 0 && raw[0] == '{' }

// Server returns what the server said about itself.
func (c *Client) Server() Peer { return c.server }

// Handle translates one request of the latest revision, and its answer back.
func (c *Client) Handle(ctx context.Context, req *mcp.Request, sink mcp.Sink) (mcp.Result, error) {
	switch req.Method {
	case mcp.MethodDiscover:
		return mcp.Result{Body: c.discoverBody(), Type: mcp.ResultComplete, Cache: private}, nil
	case mcp.MethodListen:
		return c.listeners.listen(ctx, c.server.Capabilities, req, sink)
	case methodPing: // whoever asks wants to know whether the server answers
		body, err := c.wire.RoundTrip(ctx, req.Method, nil, plain{levelSink{mcp.Discard, ""}, c})
		return mcp.Result{Body: body, Type: mcp.ResultComplete}, err
	case methodInitialize, methodSetLevel, methodSubscribe, methodUnsubscribe:
		// They are of the session, which is not the caller's.
		return mcp.Result{}, mcp.ErrMethodNotFound(req.Method)
	}
	if isTaskMethod(req.Method) {
		return c.task(ctx, req)
	}
	if asks(req.Method) {
		responses, state := retried(req.Params)
		switch {
		case state != nil:
			return c.resume(ctx, req, sink, state)
		case declined(responses):
			return declinedResult(req.Method)
		}
	}
	c.raiseLevel(ctx, req.Meta.LogLevel)
	if c.isTask(ctx, req) {
		return c.startTask(ctx, req, sink)
	}
	if c.listens && asks(req.Method) && canAsk(req.Meta.Capabilities) {
		return c.call(ctx, req, sink)
	}
	body, err := c.wire.RoundTrip(ctx, req.Method, requestParams(req), plain{levelSink{sink, req.Meta.LogLevel}, c})
	if err != nil {
		return c.refused(req, err)
	}
	return complete(body), nil
}

// complete makes a result of one of an old revision. Members that mean something in
// the latest one only are not the server's to set: some libraries send them in every revision.
func complete(body []byte) mcp.Result {
	for key := range jsonrpc.Members(body) {
		if key == "resultType" || key == "ttlMs" || key == "cacheScope" {
			body = jsonrpc.Splice(make([]byte, 0, len(body)), body,
				jsonrpc.Member{Key: "resultType"}, jsonrpc.Member{Key: "ttlMs"}, jsonrpc.Member{Key: "cacheScope"})
			break
		}
	}
	return mcp.Result{Body: body, Type: mcp.ResultComplete, Cache: private}
}

// retried returns what a retry brings: inputResponses and requestState, raw or nil.
func retried(params []byte) (responses, state []byte) {
	for key, value := range jsonrpc.Members(params) {
		switch key {
		case "inputResponses":
			responses = value
		case "requestState":
			state = value
		}
	}
	return responses, state
}

// plain is the exchange of a call in the middle of which nobody is asked.
type plain struct {
	mcp.Sink
	c *Client // nil until the session is open
}

// Ask implements Exchange.
func (p plain) Ask(msg *jsonrpc.Message) *mcp.Error {
	if p.c == nil {
		return mcp.ErrMethodNotFound(msg.Method)
	}
	return p.c.Requested(msg)
}

// refused makes an answer of an error: questions, if the server wants the user to
// open pages before the call is repeated, and the caller can do that.
func (c *Client) refused(req *mcp.Request, err error) (mcp.Result, error) {
	var e *mcp.Error
	if errors.As(err, &e) && mcp.IsWireError(err) && e.Code == codeURLElicitation &&
		asks(req.Method) && c.server.Version.Has(mcp.FeatureElicitationID) &&
		opensPages(c.offered) && opensPages(req.Meta.Capabilities) {
		if asked := pages(e); asked != nil {
			return inputRequired(asked, ""), nil
		}
	}
	return mcp.Result{}, modernError(req, err)
}

// private is the hint for answers of servers that give none: known to be shared with nobody.
var private = mcp.Cache{Scope: mcp.CachePrivate}

// discoverBody makes the result of server/discover from that of initialize.
func (c *Client) discoverBody() []byte {
	ext := extensions(c.server.Capabilities)
	if c.hasTasks() { // by the name that modern callers know
		ext.Value = jsonrpc.Splice(nil, ext.Value, jsonrpc.Member{Key: mcp.ExtensionTasks, Value: []byte(`{}`)})
	}
	capabilities := jsonrpc.Splice(nil, c.server.Capabilities, jsonrpc.Member{Key: "tasks"}, ext)
	var meta []byte
	if c.server.ServerInfo != nil {
		meta = jsonrpc.Splice(nil, nil, jsonrpc.Member{Key: mcp.MetaServerInfo, Value: c.server.ServerInfo})
	}
	versions := append(jsonrpc.AppendString([]byte{'['}, c.server.Version), ']')
	return jsonrpc.Splice(nil, nil,
		jsonrpc.Member{Key: "supportedVersions", Value: versions},
		jsonrpc.Member{Key: "capabilities", Value: capabilities},
		jsonrpc.Member{Key: "instructions", Value: c.server.Instructions},
		jsonrpc.Member{Key: "_meta", Value: meta},
	)
}

// requestParams returns a copy of the params without what only the latest revision
// has: metadata that old ones say in initialize, and what a retry brings. The
// progress token stays, for the transport to replace.
func requestParams(req *mcp.Request) []byte {
	var meta []byte
	if req.Meta.Raw != nil || req.Meta.ProgressToken != nil {
		meta = jsonrpc.Splice(nil, req.Meta.Raw,
			jsonrpc.Member{Key: mcp.MetaProtocolVersion},
			jsonrpc.Member{Key: mcp.MetaClientInfo},
			jsonrpc.Member{Key: mcp.MetaClientCapabilities},
			jsonrpc.Member{Key: mcp.MetaLogLevel},
			jsonrpc.Member{Key: mcp.MetaProgressToken, Value: req.Meta.ProgressToken},
		)
		if string(meta) == "{}" {
			meta = nil
		}
	}
	if req.Params == nil && meta == nil {
		return nil
	}
	edits := []jsonrpc.Member{{Key: "_meta", Value: meta}, {Key: "inputResponses"}, {Key: "requestState"}, {Key: "task"}}
	switch {
	case !asks(req.Method):
		edits = edits[:1]
	case req.Method != mcp.MethodCallTool: // only there it would be asked for a task
		edits = edits[:3]
	}
	params := jsonrpc.Splice(nil, req.Params, edits...)
	if string(params) == "{}" {
		return nil
	}
	return params
}

// Error codes of old revisions that modern callers do not know.
const (
	codeResourceNotFound = -32002 // resources/read of an unknown URI until 2025-11-25
	codeURLElicitation   = -32042 // 2025-11-25 only
)

// modernError gives a peer's error the code that the latest revision has for it.
func modernError(req *mcp.Request, err error) error {
	var e *mcp.Error
	if !errors.As(err, &e) || !mcp.IsWireError(err) {
		return err
	}
	switch {
	case e.Code == codeResourceNotFound && req.Method == mcp.MethodReadResource:
		mapped := *e // the copy remembers that the peer said so
		mapped.Code = jsonrpc.CodeInvalidParams
		data := e.Data
		if !isObject(data) {
			data = nil
		}
		mapped.Data = jsonrpc.Splice(nil, data, jsonrpc.Member{Key: "uri", Value: jsonrpc.AppendString(nil, req.Name)})
		return &mapped
	case e.Code == codeResourceNotFound: // a tool that reads one, say
		mapped := *e
		mapped.Code = jsonrpc.CodeInvalidParams
		return &mapped
	case e.Code == codeURLElicitation, e.Code == mcp.CodeHeaderMismatch, e.Code == mcp.CodeMissingCapability, e.Code == mcp.CodeUnsupportedVersion:
		// The last three have a meaning that an old server cannot mean: a caller would
		// list its tools again, say, or speak another revision to whoever is in between.
		mapped := *e
		mapped.Code, mapped.Data = jsonrpc.CodeInternalError, nil
		return &mapped
	}
	return err
}

// raiseLevel asks the server for messages from level on. The session is shared:
// its level is the least severe one that any call has asked for, and levelSink
// keeps from each call what it did not ask for. Failure costs only messages.
func (c *Client) raiseLevel(ctx context.Context, level mcp.LogLevel) {
	if level == "" || jsonrpc.Get(c.server.Capabilities, "logging") == nil {
		return
	}
	c.levelMu.Lock()
	before := c.level
	enough := before != "" && level.Reaches(before)
	if !enough {
		c.level = level
	}
	c.levelMu.Unlock()
	if enough {
		return
	}
	params := jsonrpc.Splice(nil, nil, jsonrpc.Member{Key: "level", Value: jsonrpc.AppendString(nil, level)})
	if _, err := c.wire.RoundTrip(ctx, methodSetLevel, params, plain{mcp.Discard, c}); err != nil {
		c.levelMu.Lock()
		if c.level == level {
			c.level = before
		}
		c.levelMu.Unlock()
	}
}

// levelSink drops log messages that its caller did not ask for.
type levelSink struct {
	mcp.Sink
	floor mcp.LogLevel
}

func (s levelSink) Notify(n *mcp.Notification) error {
	if n.Method == mcp.NotificationMessage {
		level, _ := jsonrpc.Unquote(jsonrpc.Get(n.Params, "level"))
		if !mcp.LogLevel(level).Reaches(s.floor) {
			return nil
		}
	}
	return s.Sink.Notify(n)
}

// Notification takes a notification that belongs to no call, from the transport's
// reader. It does not block and keeps no bytes of params.
func (c *Client) Notification(method string, params []byte) {
	if method == mcp.NotificationCancelled {
		c.parking.withdraw(params)
		c.unasked.withdraw(params)
		return
	}
	if method == mcp.NotificationToolsListChanged {
		c.tasks.forget()
	}
	c.listeners.notification(method, params)
}

// RootsChanged tells the server that the client's roots have changed (MCP
// 2025-11-25, client/roots), if the session was opened with that promise.
func (c *Client) RootsChanged(ctx context.Context) error {
	if !declares(c.offered, "roots", "listChanged") {
		return nil
	}
	return c.wire.Notify(ctx, "notifications/roots/list_changed", nil)
}

// Leave ends the calls that wait for answers and the answering of what belongs to
// no call, since no answer can be given any more. Calls that are not parked go on.
func (c *Client) Leave(err error) {
	c.parking.leave(err)
	c.unasked.close()
}

// Closed ends all calls that may be asked, and all streams, with err: the connection
// is gone. Later ones end at once.
func (c *Client) Closed(err error) {
	c.parking.close(err)
	c.unasked.close()
	c.listeners.close(err)
}

// Wait waits for the goroutines of the client; it is called after Closed.
func (c *Client) Wait() {
	c.parking.running.Wait()
	c.unasked.running.Wait()
	c.listeners.wait()
}
