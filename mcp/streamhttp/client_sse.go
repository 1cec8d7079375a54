package streamhttp

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/mcp/internal/legacy"
	"github.com/fairlead-mcp/fairlead/mcp/jsonrpc"
)

const (
	// endpointWait bounds how long a stream may be without its first event.
	endpointWait = 10 * time.Second
	// maxEndpoint bounds the URL that it names.
	maxEndpoint = 8 << 10
	// sseQueue bounds the notifications that wait for a call's sink. Beyond it the
	// oldest is dropped: the reader of the stream waits for nobody.
	sseQueue = 64
)

// sseSession is a session over HTTP+SSE (MCP 2024-11-05, basic/transports, HTTP with
// SSE): one stream carries all that the server says, its first event names where
// to POST. The end of the stream is the end of the session.
type sseSession struct {
	c        *Client
	endpoint string
	x        *exchange
	legacy   atomic.Pointer[legacy.Client] // nil until initialize is answered

	ctx    context.Context // ends with the session
	cancel context.CancelFunc

	mu    sync.Mutex
	calls map[string]*sseCall // raw request id -> call that waits for its answer
	err   error               // why the session is over
}

// sseCall is one request that waits for its answer.
type sseCall struct {
	legacy.Exchange
	own    bool // of the session, not of a caller
	id     []byte
	caller []byte        // the caller's progress token, raw; nil if it wants none
	ready  chan struct{} // one token when there is something to take

	// The rest is guarded by sseSession.mu.
	queue    []*mcp.Notification
	answered bool
	result   []byte
	err      error
}

// openSSE opens the stream, waits for the endpoint and does the handshake.
func (c *Client) openSSE(ctx context.Context, first *mcp.Request) (*sseSession, error) {
	s := &sseSession{c: c, calls: make(map[string]*sseCall)}
	s.ctx, s.cancel = context.WithCancel(c.ctx)
	// The stream outlives ctx, which bounds the wait for its beginning.
	stop := context.AfterFunc(ctx, s.cancel)
	timer := time.AfterFunc(endpointWait, s.cancel)
	err := s.open()
	if !timer.Stop() && err == nil {
		err = context.DeadlineExceeded
	}
	if err == nil {
		c.running.Go(s.read) // until the stream or the session ends
		_, err = legacy.Connect(ctx, s, c.info(first, s.legacy.Store))
	}
	if !stop() && err == nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		s.over(err)
		return nil, err
	}
	return s, nil
}

// open opens the stream and takes its first event.
func (s *sseSession) open() error {
	x, err := s.c.send(s.ctx, http.MethodGet, http.Header{"Accept": {"text/event-stream"}}, nil)
	if err != nil {
		return err
	}
	if x.events == nil {
		err := x.bareStatus()
		x.close(err)
		return err
	}
	e, err := x.events.next()
	switch {
	case err != nil:
		err = x.bodyError(err)
	case e.name != "endpoint":
		err = fmt.Errorf("%s: the first event of the stream is %.32q, not endpoint", s.c.origin, e.name)
	default:
		s.endpoint, err = s.c.postURL(e.data)
	}
	if err != nil {
		x.close(err)
		return err
	}
	s.x = x
	return nil
}

// postURL checks where the server wants messages: credentials go there, so it must
// be of the same origin.
func (c *Client) postURL(data []byte) (string, error) {
	base, err := url.Parse(c.url)
	if err != nil {
		return "", err
	}
	if len(data) > maxEndpoint {
		return "", fmt.Errorf("%s: the endpoint event has %d bytes, more than %d", c.origin, len(data), maxEndpoint)
	}
	u, err := base.Parse(string(data))
	if err != nil {
		return "", fmt.Errorf("%s: the endpoint event is no URL", c.origin)
	}
	if u.Scheme != base.Scheme || u.Host != base.Host {
		return "", fmt.Errorf("%s: the endpoint event names another origin, %.128q", c.origin, u.Scheme+"://"+u.Host)
	}
	u.User, u.Fragment = base.User, ""
	return u.String(), nil
}

// read takes the server's messages until the stream ends. It waits for no sink and
// for no answer.
func (s *sseSession) read() {
	for {
		msg, err := s.x.next()
		if err != nil {
			s.x.close(err)
			s.c.drop(s)
			s.over(err)
			return
		}
		switch msg.Kind {
		case jsonrpc.Response, jsonrpc.ErrorReply:
			s.settle(&msg)
		case jsonrpc.Notification:
			s.notified(&msg)
		case jsonrpc.Request:
			s.requested(&msg)
		}
	}
}

// over ends the session and all its calls.
func (s *sseSession) over(err error) {
	s.cancel()
	s.mu.Lock()
	if s.err == nil {
		s.err = err
	}
	for id, k := range s.calls {
		delete(s.calls, id)
		k.answered, k.err = true, s.err
		k.signal()
	}
	s.mu.Unlock()
	if session := s.legacy.Load(); session != nil {
		session.Closed(err)
	}
}

func (k *sseCall) signal() {
	select {
	case k.ready <- struct{}{}:
	default:
	}
}

func (s *sseSession) settle(msg *jsonrpc.Message) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k := s.calls[string(msg.ID)]
	if k == nil {
		return // late, or an answer to nothing
	}
	delete(s.calls, string(msg.ID))
	res, err := mcp.DecodeResponse(msg)
	k.answered, k.result, k.err = true, res.Body, err
	k.signal()
}

func (s *sseSession) notified(msg *jsonrpc.Message) {
	switch msg.Method {
	case mcp.NotificationProgress:
		s.mu.Lock()
		defer s.mu.Unlock()
		k := s.calls[string(jsonrpc.Get(msg.Params, mcp.MetaProgressToken))]
		if k == nil {
			return
		}
		if params, ok := callerProgress(msg.Params, k.id, k.caller); ok {
			k.put(mcp.NewNotification(msg.Method, params))
		}
	case mcp.NotificationMessage: // names no request: it might tell one caller of another
		s.mu.Lock()
		defer s.mu.Unlock()
		if k := s.onlyLocked(); k != nil {
			k.put(mcp.NewNotification(msg.Method, msg.Params))
		}
	default:
		if session := s.legacy.Load(); session != nil {
			session.Notification(msg.Method, msg.Params)
		}
	}
}

func (k *sseCall) put(n *mcp.Notification) {
	if len(k.queue) == sseQueue {
		k.queue = append(k.queue[:0], k.queue[1:]...)
	}
	k.queue = append(k.queue, n)
	k.signal()
}

// onlyLocked returns the call of a caller that is alone in flight: nothing else
// tells to which one belongs what the server says.
func (s *sseSession) onlyLocked() *sseCall {
	var only *sseCall
	for _, k := range s.calls {
		switch {
		case k.own:
		case only != nil:
			return nil
		default:
			only = k
		}
	}
	return only
}

func (s *sseSession) requested(msg *jsonrpc.Message) {
	session := s.legacy.Load()
	s.mu.Lock()
	k := s.onlyLocked()
	s.mu.Unlock()
	ask := func(msg *jsonrpc.Message) *mcp.Error { return mcp.ErrMethodNotFound(msg.Method) }
	switch {
	case session == nil:
	case k == nil || msg.Method == mcp.MethodListRoots && session.Answers():
		ask = session.Requested // roots are the client's, whatever call is in flight
	default:
		ask = k.Ask
	}
	if body := immediate(msg, ask); body != nil {
		s.side(body)
	}
}

// side sends a message beside all calls, at most a few at once: a server that asks
// without reading the answers loses them.
func (s *sseSession) side(body []byte) {
	select {
	case s.c.sides <- struct{}{}:
	default:
		return
	}
	s.c.running.Go(func() { // until the answer, the timeout or the session's end
		defer func() { <-s.c.sides }()
		ctx, cancel := context.WithTimeout(s.ctx, sideTimeout)
		defer cancel()
		_ = s.post(ctx, body) // who waits for it will notice
	})
}

// RoundTrip implements legacy.Wire.
func (s *sseSession) RoundTrip(ctx context.Context, method string, params []byte, x legacy.Exchange) ([]byte, error) {
	ctx, cancel := s.c.boundTrip(ctx, method)
	defer cancel(nil)
	k := &sseCall{Exchange: x, id: s.c.nextID(), ready: make(chan struct{}, 1)}
	switch method {
	case "initialize", "ping", "logging/setLevel", "resources/subscribe", "resources/unsubscribe":
		k.own = true
	}
	params, k.caller = hopToken(params, k.id)
	s.mu.Lock()
	if s.err != nil {
		defer s.mu.Unlock()
		return nil, s.err
	}
	s.calls[string(k.id)] = k
	s.mu.Unlock()
	if err := s.post(ctx, jsonrpc.AppendRequest(nil, k.id, method, params)); err != nil && ctx.Err() == nil && !s.forget(k) {
		return nil, err
	}
	return s.await(ctx, k, method) // which also tells the server of a call that ended while it was sent
}

// forget takes a call that has no answer from the table; it reports false after that.
func (s *sseSession) forget(k *sseCall) (answered bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, waiting := s.calls[string(k.id)]
	delete(s.calls, string(k.id))
	return !waiting
}

// await passes the call's notifications on until its answer.
func (s *sseSession) await(ctx context.Context, k *sseCall, method string) ([]byte, error) {
	for {
		select {
		case <-k.ready:
		case <-ctx.Done():
			if !s.forget(k) {
				if method != "initialize" {
					params := jsonrpc.Splice(nil, nil, jsonrpc.Member{Key: "requestId", Value: k.id})
					s.side(jsonrpc.AppendNotification(nil, mcp.NotificationCancelled, params))
				}
				return nil, context.Cause(ctx)
			}
			<-k.ready // the answer has just come
		}
		s.mu.Lock()
		batch := k.queue
		k.queue = nil
		answered, result, err := k.answered, k.result, k.err
		s.mu.Unlock()
		for _, n := range batch {
			_ = k.Notify(n) // a caller that has gone is told by ctx
		}
		if answered {
			return result, err
		}
	}
}

// Notify implements legacy.Wire.
func (s *sseSession) Notify(ctx context.Context, method string, params []byte) error {
	ctx, cancel := s.c.bound(ctx)
	defer cancel(nil)
	return s.post(ctx, jsonrpc.AppendNotification(nil, method, params))
}

// Answer implements legacy.Wire.
func (s *sseSession) Answer(ctx context.Context, response []byte) error {
	ctx, cancel := s.c.bound(ctx)
	defer cancel(nil)
	return s.post(ctx, response)
}

// post sends a message; what answers it comes on the stream.
func (s *sseSession) post(ctx context.Context, body []byte) error {
	if s.ctx.Err() != nil {
		return fmt.Errorf("%s: %w: the stream has ended", s.c.origin, mcp.ErrClosed)
	}
	x, err := s.c.sendTo(ctx, s.endpoint, http.MethodPost, postHeader(), body)
	if err != nil {
		return err
	}
	defer x.close(nil)
	if x.status >= 300 {
		return x.bareStatus()
	}
	return nil
}

func (s *sseSession) client() *legacy.Client   { return s.legacy.Load() }
func (s *sseSession) hear()                    {} // the stream is open
func (s *sseSession) listenTo(context.Context) {}
func (s *sseSession) delete(context.Context)   {} // the stream's end says it

// end ends the session. It is called by what Close waits for, or by Close.
func (s *sseSession) end(cause error) {
	s.over(cause)
	s.c.running.Go(s.legacy.Load().Wait)
}
