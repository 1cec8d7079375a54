package streamhttp

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/mcp/internal/http1"
	"github.com/fairlead-mcp/fairlead/mcp/jsonrpc"
)

// probe asks the server what it is: true for one that speaks the latest revision,
// false for one that must be asked with initialize. server/discover has no effects,
// so a server of any age may see it.
func (c *Client) probe(ctx context.Context, first *mcp.Request) (modern bool, err error) {
	req := &mcp.Request{Method: mcp.MethodDiscover, Meta: mcp.Meta{
		Version: mcp.LatestVersion, ClientInfo: c.opts.ClientInfo, Capabilities: c.opts.Capabilities,
	}}
	if req.Meta.ClientInfo == nil {
		req.Meta.ClientInfo = first.Meta.ClientInfo
	}
	for attempt := 0; ; attempt++ {
		res, status, err := c.roundTrip(ctx, req, mcp.Discard)
		switch answer, supported := c.classify(res, status, err); answer {
		case speaksModern:
			return true, nil
		case speaksLegacy:
			return false, nil
		case speaksOneOf:
			if _, legacy := choose(supported); legacy {
				return false, nil
			}
			return false, fmt.Errorf("%s: the server speaks no protocol revision that this client speaks", c.origin)
		case askAgain:
			if attempt == 0 {
				continue
			}
			return false, err
		default:
			return false, err
		}
	}
}

type probeAnswer uint8

const (
	unclear      probeAnswer = iota // the error stands
	speaksModern                    // 2026-07-28
	speaksLegacy                    // needs initialize
	speaksOneOf                     // other revisions than the latest
	askAgain                        // it refused the latest revision, and names it as supported
)

// classify reads the answer to the probe (MCP 2026-07-28,
// basic/transports/streamable-http, Backward Compatibility).
func (c *Client) classify(res mcp.Result, status int, err error) (answer probeAnswer, supported []byte) {
	var wire *mcp.Error
	var bare *StatusError
	switch {
	case err == nil:
		supported = jsonrpc.Get(res.Body, "supportedVersions")
		if modern, _ := choose(supported); modern {
			return speaksModern, nil
		}
		if len(supported) == 0 {
			return speaksLegacy, nil // it answers anything
		}
		return speaksOneOf, supported
	case mcp.IsWireError(err) && errors.As(err, &wire):
		switch wire.Code {
		case mcp.CodeHeaderMismatch, mcp.CodeMissingCapability:
			return speaksModern, nil
		case mcp.CodeUnsupportedVersion:
			supported = jsonrpc.Get(wire.Data, "supported")
			if modern, _ := choose(supported); modern {
				return askAgain, nil
			}
			return speaksOneOf, supported
		case jsonrpc.CodeMethodNotFound:
			if status == http.StatusNotFound { // only modern servers say both
				return speaksModern, nil
			}
		}
		if status < 500 && !isRefusal(status) {
			return speaksLegacy, nil
		}
	case errors.As(err, &bare):
		if bare.Code >= 400 && bare.Code < 500 && !isRefusal(bare.Code) {
			return speaksLegacy, nil
		}
	}
	return unclear, nil
}

// isRefusal reports whether a status says nothing about what the server speaks.
func isRefusal(status int) bool {
	switch status {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusProxyAuthRequired,
		http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests:
		return true
	}
	return false
}

// choose reads a list of revisions: whether it has the latest, and one with sessions.
func choose(supported []byte) (modern, legacy bool) {
	for raw := range jsonrpc.Elements(supported) {
		s, _ := jsonrpc.Unquote(raw)
		v := mcp.Version(s)
		modern = modern || v == mcp.LatestVersion
		legacy = legacy || v.Known() && !v.Modern()
	}
	return modern, legacy
}

// revokesModern reports whether err shows that the server is modern no more.
func revokesModern(err error) bool {
	var bare *StatusError
	if errors.As(err, &bare) {
		switch bare.Code {
		case http.StatusBadRequest, http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusNotAcceptable:
			return true
		}
	}
	return errors.Is(err, &mcp.Error{Code: mcp.CodeUnsupportedVersion})
}

// handleModern sends a request of the latest revision.
func (c *Client) handleModern(ctx context.Context, req *mcp.Request, sink mcp.Sink) (mcp.Result, error) {
	if req.Method == mcp.MethodListen {
		return c.listenModern(ctx, req, sink)
	}
	ctx, cancel := c.boundCall(ctx)
	defer cancel(nil)
	generation := c.headers.generation()
	res, _, err := c.roundTrip(ctx, req, sink)
	if req.Method == mcp.MethodCallTool && mcp.IsWireError(err) && errors.Is(err, &mcp.Error{Code: mcp.CodeHeaderMismatch}) {
		// The server did not run the tool: its annotations are other than we
		// remember (Client Behavior). Ask for them, and try once more.
		if c.refresh(ctx, req, generation) == nil {
			res, _, err = c.roundTrip(ctx, req, sink)
		}
	}
	if err == nil && req.Method == mcp.MethodListTools {
		res.Body = c.headers.learn(res.Body, c.opts.OnInvalidTool)
	}
	return res, err
}

// modernFields are the headers of a request beside those of every POST: what
// intermediaries may read of it. Names are in canonical form.
func (c *Client) modernFields(req *mcp.Request, set func(name, value string)) {
	set(headerVersion, string(mcp.LatestVersion))
	set(headerMethod, req.Method)
	switch req.Method {
	case mcp.MethodCallTool:
		c.headers.get(req.Name).Each(req.Arguments, set)
		fallthrough
	case mcp.MethodGetPrompt, mcp.MethodReadResource, mcp.MethodGetTask, mcp.MethodUpdateTask, mcp.MethodCancelTask:
		set(headerName, mcp.EncodeHeaderValue(req.Name))
	}
}

// post sends a request of the latest revision.
func (c *Client) post(ctx context.Context, req *mcp.Request, body []byte) (*exchange, error) {
	if w := c.wire(); w != nil {
		head := append(make([]byte, 0, len(w.post)+256), w.post...)
		ok := true
		c.modernFields(req, func(name, value string) {
			if ok {
				head, ok = http1.AppendField(head, name, value)
			}
		})
		if !ok {
			return nil, errors.New("the request cannot be made: a parameter does not fit into a header")
		}
		call := http1.Request{Head: head, Body: body, Repeatable: repeatable(req.Method), Beside: req.Method == mcp.MethodListen}
		if x, err := c.sendWire(ctx, &call); x != nil || err != nil {
			return x, err
		}
	}
	h := postHeader()
	c.modernFields(req, func(name, value string) { h[name] = []string{value} })
	return c.sendTo(ctx, c.url, http.MethodPost, h, body)
}

// roundTrip sends a request and waits for its result. status is that of the
// response, 0 if there was none. ctx ends within bounds.
func (c *Client) roundTrip(ctx context.Context, req *mcp.Request, sink mcp.Sink) (res mcp.Result, status int, err error) {
	id := c.nextID()
	var token []byte
	if req.Meta.ProgressToken != nil {
		token = id
	}
	body := mcp.AppendRequest(make([]byte, 0, len(req.Params)+512), id, req, token)
	x, err := c.post(ctx, req, body)
	if err != nil {
		return mcp.Result{}, 0, err
	}
	status = x.status
	msg, err := x.reply(id, func(msg *jsonrpc.Message) error {
		if msg.Kind != jsonrpc.Notification {
			return nil // servers must not ask here, and who answered would not be heard
		}
		return notifyCaller(msg, token, req, sink)
	})
	if err != nil {
		x.close(err)
		return mcp.Result{}, status, err
	}
	res, err = mcp.DecodeResponse(&msg)
	x.finish()
	if err != nil && !mcp.IsWireError(err) {
		err = fmt.Errorf("%s: %w", c.origin, err)
	}
	return res, status, err
}

// notifyCaller passes a notification of a call on to its caller.
func notifyCaller(msg *jsonrpc.Message, token []byte, req *mcp.Request, sink mcp.Sink) error {
	params := msg.Params
	switch {
	case msg.Method == mcp.NotificationProgress:
		var ok bool
		if params, ok = callerProgress(params, token, req.Meta.ProgressToken); !ok {
			return nil
		}
	case msg.Method == mcp.NotificationMessage:
		if req.Meta.LogLevel == "" {
			return nil
		}
	case isChange(msg.Method), msg.Method == mcp.NotificationAcknowledged, msg.Method == mcp.NotificationCancelled:
		return nil // not about this request
	}
	return sink.Notify(mcp.NewNotification(msg.Method, params))
}

// listenModern opens a subscription and returns after its acknowledgement.
func (c *Client) listenModern(ctx context.Context, req *mcp.Request, sink mcp.Sink) (mcp.Result, error) {
	id := c.nextID()
	ctx, cancel := c.attach(ctx)
	timer := time.AfterFunc(c.opts.Timeout, func() { cancel(context.DeadlineExceeded) })
	defer timer.Stop()

	body := mcp.AppendRequest(nil, id, req, nil)
	x, err := c.post(ctx, req, body)
	if err != nil {
		cancel(err)
		return mcp.Result{}, err
	}
	acknowledged := errors.New("acknowledged")
	msg, err := x.reply(id, func(msg *jsonrpc.Message) error {
		if msg.Kind != jsonrpc.Notification || msg.Method != mcp.NotificationAcknowledged || !subscribed(msg, id) {
			return nil // nothing may come before the acknowledgement
		}
		if err := sink.Notify(mcp.NewNotification(msg.Method, msg.Params)); err != nil {
			return err
		}
		return acknowledged
	})
	switch {
	case err == nil: // the server ended it at once
		res, err := mcp.DecodeResponse(&msg)
		x.finish()
		cancel(nil)
		return res, err
	case !errors.Is(err, acknowledged):
		x.close(err)
		cancel(err)
		return mcp.Result{}, err
	case !timer.Stop():
		x.close(context.DeadlineExceeded)
		cancel(nil)
		return mcp.Result{}, context.DeadlineExceeded
	}
	c.running.Go(func() { // until the stream ends: by the server, ctx or Close
		res, err := x.subscription(id, sink)
		if err == nil {
			x.finish()
		} else {
			x.close(err)
		}
		cancel(nil)
		sink.End(res, err)
	})
	return mcp.Result{Stream: true}, nil
}

// subscription reads an open subscription to its end.
func (x *exchange) subscription(id []byte, sink mcp.Sink) (mcp.Result, error) {
	msg, err := x.reply(id, func(msg *jsonrpc.Message) error {
		if msg.Kind != jsonrpc.Notification || msg.Method == mcp.NotificationAcknowledged || !subscribed(msg, id) {
			return nil
		}
		return sink.Notify(mcp.NewNotification(msg.Method, msg.Params))
	})
	if err != nil {
		return mcp.Result{}, err
	}
	return mcp.DecodeResponse(&msg)
}

// subscribed reports whether a notification is for the subscription id. One that
// names none can be for no other: each has a stream of its own.
func subscribed(msg *jsonrpc.Message, id []byte) bool {
	named := jsonrpc.Get(msg.Meta, mcp.MetaSubscriptionID)
	return named == nil || bytes.Equal(named, id)
}

// headerCache remembers which parameters of which tool stand in headers.
type headerCache struct {
	mu    sync.Mutex
	tools map[string]*mcp.HeaderParams // tool name -> its parameters; tools without any are not in it
	gen   uint64                       // counts refreshes

	turn chan struct{} // holds a token while somebody refreshes; a mutex could not be left when ctx ends
}

// maxHeaderTools bounds the tools remembered for one server; the lists of a server
// are bounded only page by page.
const maxHeaderTools = 10_000

func (h *headerCache) generation() uint64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.gen
}

func (h *headerCache) get(tool string) *mcp.HeaderParams {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.tools[tool]
}

// learn reads a page of tools/list and returns it without the tools whose
// annotations are invalid.
func (h *headerCache) learn(body []byte, onInvalid func(string, error)) []byte {
	tools := jsonrpc.Get(body, "tools")
	kept, dropped := []byte{'['}, false
	for tool := range jsonrpc.Elements(tools) {
		name, _ := jsonrpc.Unquote(jsonrpc.Get(tool, "name"))
		params, err := mcp.CompileHeaderParams(jsonrpc.Get(tool, "inputSchema"))
		if err != nil {
			dropped = true
			if onInvalid != nil {
				onInvalid(name, err)
			}
			continue
		}
		h.put(name, params)
		if len(kept) > 1 {
			kept = append(kept, ',')
		}
		kept = append(kept, tool...)
	}
	if !dropped {
		return body
	}
	return jsonrpc.Splice(nil, body, jsonrpc.Member{Key: "tools", Value: append(kept, ']')})
}

func (h *headerCache) put(tool string, params *mcp.HeaderParams) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if params == nil {
		delete(h.tools, tool)
		return
	}
	if h.tools == nil {
		h.tools = make(map[string]*mcp.HeaderParams)
	}
	if _, known := h.tools[tool]; known || len(h.tools) < maxHeaderTools {
		h.tools[tool] = params
	}
}

// maxRefreshPages bounds the list that is read again after a header mismatch.
const maxRefreshPages = 100

// refresh reads the server's tools again, in the name of the call that needs them,
// unless somebody has since generation.
func (c *Client) refresh(ctx context.Context, call *mcp.Request, generation uint64) error {
	select {
	case c.headers.turn <- struct{}{}:
		defer func() { <-c.headers.turn }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	if c.headers.generation() != generation {
		return nil
	}
	meta := call.Meta
	meta.Raw, meta.ProgressToken = nil, nil
	req := &mcp.Request{Method: mcp.MethodListTools, Meta: meta}
	for range maxRefreshPages {
		res, _, err := c.roundTrip(ctx, req, mcp.Discard)
		if err != nil {
			return err
		}
		c.headers.learn(res.Body, c.opts.OnInvalidTool)
		cursor := jsonrpc.Get(res.Body, "nextCursor")
		if len(cursor) == 0 || cursor[0] != '"' {
			break
		}
		req.Params = jsonrpc.Splice(nil, nil, jsonrpc.Member{Key: "cursor", Value: cursor})
	}
	c.headers.mu.Lock()
	c.headers.gen++
	c.headers.mu.Unlock()
	return nil
}
