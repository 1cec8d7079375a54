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
	RoundTrip(ctx context.Context, method string, params []byte, sink mcp.Sink) (result []byte, err error)
	// Notify sends a notification.
	Notify(ctx context.Context, method string, params []byte) error
}

// Info is what the client says about itself in initialize.
type Info struct {
	// ClientInfo is an Implementation object. Nil names this library.
	ClientInfo []byte
	// Capabilities is a ClientCapabilities object. Nil means {}.
	Capabilities []byte
}

// Client speaks to one server of a revision with sessions, towards callers that
// speak the latest one. It is an mcp.Handler and safe for concurrent use.
type Client struct {
	wire   Wire
	server Peer

	levelMu sync.Mutex
	level   mcp.LogLevel // what the server was last asked for

	listeners listeners
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
	if info.Capabilities == nil {
		info.Capabilities = []byte(`{}`)
	}
	params := jsonrpc.Splice(nil, nil,
		jsonrpc.Member{Key: "protocolVersion", Value: jsonrpc.AppendString(nil, mcp.LatestLegacyVersion)},
		jsonrpc.Member{Key: "capabilities", Value: info.Capabilities},
		jsonrpc.Member{Key: "clientInfo", Value: info.ClientInfo},
	)
	result, err := w.RoundTrip(ctx, methodInitialize, params, mcp.Discard)
	if err != nil {
		return nil, fmt.Errorf("initialize: %w", err)
	}
	peer, err := parseInitializeResult(result)
	if err != nil {
		return nil, fmt.Errorf("initialize: %w", err)
	}
	if err := w.Notify(ctx, "notifications/initialized", nil); err != nil {
		return nil, fmt.Errorf("notifications/initialized: %w", err)
	}
	return newClient(w, peer), nil
}

func newClient(w Wire, peer Peer) *Client {
	c := &Client{wire: w, server: peer}
	c.listeners.init(w)
	return c
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
	case methodInitialize, methodPing, methodSetLevel, methodSubscribe, methodUnsubscribe:
		// They are of the session, which is not the caller's.
		return mcp.Result{}, mcp.ErrMethodNotFound(req.Method)
	}
	c.raiseLevel(ctx, req.Meta.LogLevel)
	body, err := c.wire.RoundTrip(ctx, req.Method, requestParams(req), levelSink{sink, req.Meta.LogLevel})
	if err != nil {
		return mcp.Result{}, modernError(req, err)
	}
	return mcp.Result{Body: body, Type: mcp.ResultComplete, Cache: private}, nil
}

// private is the hint for answers of servers that give none: known to be shared with nobody.
var private = mcp.Cache{Scope: mcp.CachePrivate}

// discoverBody makes the result of server/discover from that of initialize.
func (c *Client) discoverBody() []byte {
	// The tasks of 2025-11-25 are not those of the extension that modern callers know.
	capabilities := jsonrpc.Splice(nil, c.server.Capabilities, jsonrpc.Member{Key: "tasks"})
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

// requestParams returns the params without the metadata that old revisions say in
// initialize. The progress token stays, for the transport to replace.
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
	params := jsonrpc.Splice(nil, req.Params, jsonrpc.Member{Key: "_meta", Value: meta})
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
	case e.Code == codeURLElicitation:
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
	if _, err := c.wire.RoundTrip(ctx, methodSetLevel, params, mcp.Discard); err != nil {
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
	c.listeners.notification(method, params)
}

// Closed ends all streams with err: the connection is gone. Later ones end at once.
func (c *Client) Closed(err error) { c.listeners.close(err) }

// Wait waits for the goroutines that serve streams; it is called after Closed.
func (c *Client) Wait() { c.listeners.wait() }
