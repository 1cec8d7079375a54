package streamhttp

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/mcp/internal/legacy"
	"github.com/fairlead-mcp/fairlead/mcp/jsonrpc"
)

const (
	// sideTimeout bounds what is sent to a server beside a call: answers to its
	// requests and cancellations.
	sideTimeout = 5 * time.Second
	// streamWait bounds how long a subscription waits for the GET stream to open;
	// some servers send no header before the first event.
	streamWait = 2 * time.Second
	// Delays before a stream is opened again, where the server does not say.
	firstDelay, lastDelay = time.Second, 30 * time.Second
	// maxResumes bounds how often in a row a response stream is resumed without
	// an event coming, maxPolls where the server has said when to come back.
	maxResumes, maxPolls = 3, 100
	// firstPoll is the least delay before the first of them, doubled with each.
	firstPoll = 10 * time.Millisecond
)

// errSessionGone reports that the server does not know the session any more, and
// so has not done what it was asked in it.
var errSessionGone = errors.New("the server has forgotten the session")

// clientSession is a session with a server of an old revision (MCP 2025-11-25,
// basic/transports, Session Management). It is the wire of a legacy.Client.
type clientSession struct {
	c       *Client
	legacy  *legacy.Client
	id      string      // empty if the server gave none
	version mcp.Version // empty until initialize is answered

	ctx    context.Context // ends with the session
	cancel context.CancelFunc

	listen sync.Once
	opened chan struct{} // closed when the GET stream is open, or will not be

	strays strays
}

// initializeError is the refusal of initialize by a server that may be one of HTTP+SSE.
type initializeError struct{ err error }

func (e *initializeError) Error() string { return e.err.Error() }
func (e *initializeError) Unwrap() error { return e.err }

func (c *Client) openSession(ctx context.Context, first *mcp.Request) (*clientSession, error) {
	s := &clientSession{c: c, opened: make(chan struct{})}
	s.ctx, s.cancel = context.WithCancel(c.ctx)
	client, err := legacy.Connect(ctx, s, c.info(first, nil))
	if err != nil {
		s.cancel()
		return nil, fmt.Errorf("%s: %w", c.origin, err)
	}
	s.legacy = client
	if c.opts.OneCaller {
		s.hear() // the server may ask there
	}
	return s, nil
}

func (s *clientSession) client() *legacy.Client { return s.legacy }

// handleLegacy sends a request in a session, and in a new one if the server has
// forgotten that: what a forgotten session asked for has not happened.
func (c *Client) handleLegacy(ctx context.Context, s oldSession, req *mcp.Request, sink mcp.Sink) (mcp.Result, error) {
	if req.Method != mcp.MethodListen { // which lives as long as ctx
		var cancel context.CancelCauseFunc
		ctx, cancel = c.bound(ctx)
		defer cancel(nil)
	}
	for attempt := 0; ; attempt++ {
		if req.Method == mcp.MethodListen {
			s.listenTo(ctx)
		}
		res, err := s.client().Handle(ctx, req, sink)
		if !errors.Is(err, errSessionGone) {
			return res, err
		}
		c.drop(s)
		if attempt > 0 {
			return res, fmt.Errorf("%s: %w", c.origin, err)
		}
		connectCtx, cancel := c.bound(ctx)
		var era Era
		era, s, err = c.connect(connectCtx, req)
		cancel(nil)
		if err != nil {
			return mcp.Result{}, err
		}
		if era == EraModern {
			return c.handleModern(ctx, req, sink)
		}
	}
}

// drop forgets a session that the server has forgotten.
func (c *Client) drop(s oldSession) {
	c.mu.Lock()
	if c.session == s {
		c.session = nil
	}
	c.mu.Unlock()
	s.end(mcp.ErrClosed)
}

// end ends the session's streams. It is called by what Close waits for, or by Close.
func (s *clientSession) end(cause error) {
	s.cancel()
	s.legacy.Closed(cause)
	s.c.running.Go(s.legacy.Wait)
}

// delete tells the server that the session is over. What it answers does not matter.
func (s *clientSession) delete(ctx context.Context) {
	if s.id == "" {
		return
	}
	if x, err := s.c.send(ctx, http.MethodDelete, s.header(http.Header{}), nil); err == nil {
		x.close(nil)
	}
}

// header adds what every request of the session carries.
func (s *clientSession) header(h http.Header) http.Header {
	if s.id != "" {
		h.Set("Mcp-Session-Id", s.id)
	}
	if s.version.Has(mcp.FeatureVersionHeader) {
		h.Set("MCP-Protocol-Version", string(s.version))
	}
	return h
}

// RoundTrip implements legacy.Wire.
func (s *clientSession) RoundTrip(ctx context.Context, method string, params []byte, x legacy.Exchange) ([]byte, error) {
	ctx, cancel := s.c.boundTrip(ctx, method)
	defer cancel(nil)
	id := s.c.nextID()
	params, caller := hopToken(params, id)
	defer s.strays.expect(id, caller, x)()
	if s.c.opts.OneCaller && mayAsk(method) {
		defer s.strays.join(x)()
	}
	result, err := s.exchange(ctx, id, method, params, func(msg *jsonrpc.Message) error {
		return s.other(ctx, msg, id, caller, x)
	})
	left := err != nil && (ctx.Err() != nil || errors.Is(err, mcp.ErrSinkClosed))
	if left && method != "initialize" && !mcp.IsWireError(err) {
		s.cancelled(id)
	}
	return result, err
}

// boundTrip is bound for what nobody else bounds. Calls that may be asked outlive
// the request that sends them: their requests and the time they are parked are bounded.
func (c *Client) boundTrip(ctx context.Context, method string) (context.Context, context.CancelCauseFunc) {
	if mayAsk(method) {
		return c.attach(ctx)
	}
	return c.bound(ctx)
}

// mayAsk reports whether a server may ask in the middle of a method.
func mayAsk(method string) bool {
	return method == mcp.MethodCallTool || method == mcp.MethodGetPrompt || method == mcp.MethodReadResource || method == "tasks/result"
}

// hopToken puts the token of this hop into params, if the caller has one, which it returns.
func hopToken(params, id []byte) (hop, caller []byte) {
	meta := jsonrpc.Get(params, "_meta")
	if caller = jsonrpc.Get(meta, mcp.MetaProgressToken); caller == nil {
		return params, nil
	}
	meta = jsonrpc.Splice(nil, meta, jsonrpc.Member{Key: mcp.MetaProgressToken, Value: id})
	return jsonrpc.Splice(nil, params, jsonrpc.Member{Key: "_meta", Value: meta}), caller
}

// exchange sends a request and waits for its result, on further streams if the
// server lets the first one be resumed.
func (s *clientSession) exchange(ctx context.Context, id []byte, method string, params []byte, other func(*jsonrpc.Message) error) ([]byte, error) {
	x, err := s.c.sendCall(ctx, method, s.header(postHeader()), jsonrpc.AppendRequest(nil, id, method, params))
	if err != nil {
		return nil, err
	}
	silent := 0 // streams in a row on which no event came
	for from := ""; ; from = x.events.lastID {
		msg, err := x.reply(id, other)
		if err != nil {
			x.close(err)
			if silent++; x.events != nil && x.events.lastID != from {
				silent = 0
			}
			if again := s.resume(ctx, x, err, silent); again != nil {
				x = again
				continue
			}
			if ctx.Err() != nil {
				return nil, context.Cause(ctx) // it may have ended while we waited to resume
			}
			return nil, s.refused(method, x.status, err)
		}
		defer x.finish() // msg lives until then
		if msg.Kind == jsonrpc.ErrorReply {
			_, err := mcp.DecodeResponse(&msg)
			return nil, s.refused(method, x.status, err)
		}
		result := bytes.Clone(msg.Result)
		if method == "initialize" {
			version, _ := jsonrpc.Unquote(jsonrpc.Get(result, "protocolVersion"))
			s.version = mcp.Version(version)
			s.id = x.header("mcp-session-id")
		}
		return result, nil
	}
}

// gone tells a forgotten session from other refusals. By the specification it is
// status 404; servers that keep their sessions in a table of their own often say
// 400 with words instead.
func (s *clientSession) gone(status int, err error) error {
	var wire *mcp.Error
	isWire := mcp.IsWireError(err) && errors.As(err, &wire)
	switch {
	case s.id == "":
	case status == http.StatusNotFound && (!isWire || wire.Code != jsonrpc.CodeMethodNotFound):
		return errSessionGone
	case status == http.StatusBadRequest && isWire && strings.Contains(strings.ToLower(wire.Message), "session"):
		return errSessionGone
	}
	return err
}

// refused explains an error: a server that refuses initialize with these statuses
// may be one of HTTP+SSE.
func (s *clientSession) refused(method string, status int, err error) error {
	if method == "initialize" {
		switch status {
		case http.StatusBadRequest, http.StatusNotFound, http.StatusMethodNotAllowed:
			return &initializeError{err}
		}
	}
	return s.gone(status, err)
}

// resume opens a response stream again that was cut before the response, where the
// server has numbered its events (MCP 2025-11-25, basic/transports, Resumability
// and Redelivery). A server that says when to come back may cut it on purpose. It
// returns nil if that cannot be.
func (s *clientSession) resume(ctx context.Context, cut *exchange, err error, silent int) *exchange {
	if cut.events == nil || cut.events.lastID == "" || !errors.Is(err, mcp.ErrClosed) {
		return nil
	}
	most := maxResumes
	if cut.events.asksBack {
		most = maxPolls
	}
	for ; silent < most && ctx.Err() == nil; silent++ {
		delay := firstDelay
		if cut.events.asksBack {
			delay = max(cut.events.retry, firstPoll<<min(silent, 8))
		}
		if !pause(ctx, delay) {
			return nil
		}
		x, err := s.get(ctx, cut.events.lastID)
		var bare *StatusError
		switch {
		case err == nil:
			x.events.lastID, x.events.retry, x.events.asksBack = cut.events.lastID, cut.events.retry, cut.events.asksBack
			return x
		case errors.As(err, &bare) && bare.Code < 500:
			return nil // it does not resume
		}
	}
	return nil
}

// get opens a stream by GET, after the event lastID if that is not empty.
func (s *clientSession) get(ctx context.Context, lastID string) (*exchange, error) {
	h := s.header(http.Header{"Accept": {"text/event-stream"}})
	if lastID != "" {
		h.Set("Last-Event-ID", lastID)
	}
	x, err := s.c.send(ctx, http.MethodGet, h, nil)
	if err != nil {
		return nil, err
	}
	if x.events == nil {
		err := x.bareStatus()
		x.close(err)
		return nil, err
	}
	return x, nil
}

// pause waits; false if ctx ends first.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// other takes what comes on a call's stream before its response.
func (s *clientSession) other(ctx context.Context, msg *jsonrpc.Message, id, caller []byte, x legacy.Exchange) error {
	params := msg.Params
	switch {
	case msg.Kind == jsonrpc.Request:
		s.answer(ctx, msg, x.Ask)
		return nil
	case msg.Kind != jsonrpc.Notification:
		return nil
	case isChange(msg.Method), msg.Method == mcp.NotificationCancelled:
		if s.legacy != nil {
			s.legacy.Notification(msg.Method, msg.Params)
		}
		return nil
	case msg.Method == mcp.NotificationProgress:
		var ok bool
		if params, ok = callerProgress(params, id, caller); !ok {
			return nil
		}
	}
	return x.Notify(mcp.NewNotification(msg.Method, params))
}

// answer answers a request of the server at once, if it is a ping or refused by ask.
func (s *clientSession) answer(ctx context.Context, msg *jsonrpc.Message, ask func(*jsonrpc.Message) *mcp.Error) {
	body := immediate(msg, ask)
	if body == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, sideTimeout)
	defer cancel()
	_ = s.post(ctx, body) // who asked will notice
}

// immediate is the answer to a ping, or to what ask refuses; nil if the answer comes later.
func immediate(msg *jsonrpc.Message, ask func(*jsonrpc.Message) *mcp.Error) []byte {
	if msg.Method == "ping" {
		return jsonrpc.AppendResult(nil, msg.ID, nil)
	}
	if e := ask(msg); e != nil {
		return jsonrpc.AppendError(nil, msg.ID, e.Code, e.Message, e.Data)
	}
	return nil
}

// cancelled tells the server that nobody waits for a request. The caller does not
// wait for that either.
func (s *clientSession) cancelled(id []byte) {
	params := jsonrpc.Splice(nil, nil,
		jsonrpc.Member{Key: "requestId", Value: id},
		jsonrpc.Member{Key: "reason", Value: []byte(`"the caller has gone"`)},
	)
	s.c.running.Go(func() { // until the answer, the timeout or Close
		ctx, cancel := context.WithTimeout(s.ctx, sideTimeout)
		defer cancel()
		_ = s.Notify(ctx, mcp.NotificationCancelled, params)
	})
}

// Notify implements legacy.Wire.
func (s *clientSession) Notify(ctx context.Context, method string, params []byte) error {
	ctx, cancel := s.c.bound(ctx)
	defer cancel(nil)
	return s.post(ctx, jsonrpc.AppendNotification(nil, method, params))
}

// Answer implements legacy.Wire.
func (s *clientSession) Answer(ctx context.Context, response []byte) error {
	ctx, cancel := s.c.bound(ctx)
	defer cancel(nil)
	err := s.post(ctx, response)
	if errors.Is(err, errSessionGone) {
		s.c.drop(s)
		// The call has begun: unlike what a forgotten session refuses, it is not repeated.
		return fmt.Errorf("%w: the server has forgotten the session in the middle of the call", mcp.ErrClosed)
	}
	return err
}

// post sends a message that has no answer.
func (s *clientSession) post(ctx context.Context, body []byte) error {
	x, err := s.c.send(ctx, http.MethodPost, s.header(postHeader()), body)
	if err != nil {
		return err
	}
	defer x.close(nil)
	if status := x.status; status >= 300 {
		return s.gone(status, x.bareStatus())
	}
	return nil
}

// hear opens the session's GET stream, once.
func (s *clientSession) hear() {
	s.listen.Do(func() {
		s.c.running.Go(s.readStream) // until the session ends, or the server offers no stream
	})
}

// listenTo opens the session's GET stream and waits a little until it is open.
func (s *clientSession) listenTo(ctx context.Context) {
	s.hear()
	timer := time.NewTimer(streamWait)
	defer timer.Stop()
	select {
	case <-s.opened:
	case <-timer.C:
	case <-ctx.Done():
	}
}

// readStream reads the GET stream and opens it again when it is cut (MCP
// 2025-11-25, basic/transports, Listening for Messages from the Server).
func (s *clientSession) readStream() {
	opened := sync.OnceFunc(func() { close(s.opened) })
	defer opened()
	delay, lastID, before := firstDelay, "", false
	for {
		x, err := s.get(s.ctx, lastID)
		var bare *StatusError
		switch {
		case err == nil:
			opened()
			if before && lastID == "" {
				s.missed()
			}
			x.events.lastID = lastID
			heard := s.readEvents(x)
			lastID, before = x.events.lastID, true
			if heard {
				delay = firstDelay
			}
			if x.events.retry > 0 {
				delay = x.events.retry
			}
		case errors.As(err, &bare) && bare.Code == http.StatusNotFound && s.id != "" && before:
			s.c.drop(s) // its streams end, so that who listens does so again
			return
		case errors.As(err, &bare) && bare.Code < 500:
			return // 405: the server has nothing to say unasked
		default:
			opened()
		}
		if !pause(s.ctx, delay) {
			return
		}
		delay = max(delay, min(2*delay, lastDelay))
	}
}

// readEvents reads a stream to its end and reports whether anything came.
func (s *clientSession) readEvents(x *exchange) (heard bool) {
	for {
		msg, err := x.next()
		if err != nil {
			x.close(err)
			return heard
		}
		heard = true
		switch msg.Kind {
		case jsonrpc.Request:
			ask := s.legacy.Requested
			if x := s.strays.newest(); x != nil && !(msg.Method == mcp.MethodListRoots && s.legacy.Answers()) {
				ask = x.Ask
			}
			s.answer(s.ctx, &msg, ask)
		case jsonrpc.Notification:
			switch {
			case isChange(msg.Method), msg.Method == mcp.NotificationCancelled:
				s.legacy.Notification(msg.Method, msg.Params)
			case msg.Method == mcp.NotificationProgress:
				s.strays.deliver(msg.Params)
			case msg.Method == mcp.NotificationMessage:
				s.strays.logged(msg.Params)
			}
		}
	}
}

// missed tells who listens that lists may have changed while no stream was open:
// what the server said meanwhile is lost.
func (s *clientSession) missed() {
	for _, method := range []string{
		mcp.NotificationToolsListChanged, mcp.NotificationPromptsListChanged, mcp.NotificationResourcesListChanged,
	} {
		s.legacy.Notification(method, nil)
	}
}
