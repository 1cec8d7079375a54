package legacy

import (
	"context"

	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/mcp/jsonrpc"
)

// maxSubscriptions bounds the resources that one session subscribes to: each
// costs an open stream of the handler, about 1 KB.
const maxSubscriptions = 1000

// A listen is one subscriptions/listen of the handler on behalf of a session. It
// is the stream's Sink.
type listen struct {
	session *Session
	cancel  context.CancelFunc
	ended   bool // guarded by session.mu: the handler closed it, or we did
}

// Attach gives the session somewhere to send what belongs to no request: changes
// of lists, updates of resources. out.Notify must not block. Attach asks the
// handler to listen and takes as long as that takes; ctx bounds the asking only.
// It returns false if something is attached already or the session is closed.
func (s *Session) Attach(ctx context.Context, out mcp.Sink) bool {
	s.mu.Lock()
	if s.closed || s.out != nil {
		s.mu.Unlock()
		return false
	}
	s.out = out
	s.lists = s.newListenLocked()
	lists := s.lists
	again := map[string]*listen{} // subscriptions that the handler ended while nobody took their updates
	for uri, l := range s.uris {
		if l.ended {
			again[uri] = s.newListenLocked()
			s.uris[uri] = again[uri]
		}
	}
	s.mu.Unlock()

	// A handler that has nothing to listen to says so with an error. The client
	// has no use for it.
	_ = lists.open(ctx, []byte(`{"notifications":{"toolsListChanged":true,"promptsListChanged":true,"resourcesListChanged":true}}`))
	for uri, l := range again {
		_ = l.open(ctx, filterOf(uri))
	}
	return true
}

// Detach takes away what Attach gave. Subscriptions to resources stay; their
// updates are dropped until the next Attach.
func (s *Session) Detach() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.out = nil
	s.stopLocked(s.lists)
	s.lists = nil
}

// subscribe implements resources/subscribe (MCP 2025-11-25, server/resources, Subscriptions).
func (s *Session) subscribe(ctx context.Context, msg *jsonrpc.Message) *mcp.Error {
	uri, ok := jsonrpc.Unquote(msg.URI)
	if !ok {
		return mcp.ErrInvalidParams("params.uri is missing or not a string")
	}
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return mcp.Errorf(jsonrpc.CodeInvalidRequest, "The session has ended")
	}
	if l := s.uris[uri]; l != nil && !l.ended {
		s.mu.Unlock()
		return nil
	}
	if len(s.uris) >= maxSubscriptions {
		s.mu.Unlock()
		return mcp.ErrInvalidParams("The session has %d subscriptions and cannot have more", maxSubscriptions)
	}
	if s.uris == nil {
		s.uris = make(map[string]*listen)
	}
	l := s.newListenLocked()
	s.uris[uri] = l
	s.mu.Unlock()

	err := l.open(ctx, filterOf(uri))
	if err == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.uris[uri] == l {
		delete(s.uris, uri)
	}
	return mcp.ErrorOf(err)
}

func (s *Session) unsubscribe(msg *jsonrpc.Message) *mcp.Error {
	uri, ok := jsonrpc.Unquote(msg.URI)
	if !ok {
		return mcp.ErrInvalidParams("params.uri is missing or not a string")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stopLocked(s.uris[uri])
	delete(s.uris, uri)
	return nil
}

func filterOf(uri string) []byte {
	return append(jsonrpc.AppendString([]byte(`{"notifications":{"resourceSubscriptions":[`), uri), `]}}`...)
}

func (s *Session) newListenLocked() *listen {
	return &listen{session: s, cancel: func() {}}
}

func (s *Session) stopLocked(l *listen) {
	if l != nil {
		l.ended = true
		l.cancel()
	}
}

// open asks the handler. The stream outlives the request that asked for it, and
// so its context: it ends with stopLocked, or when the handler ends it.
func (l *listen) open(ctx context.Context, params []byte) error {
	s := l.session
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	s.mu.Lock()
	if l.ended {
		s.mu.Unlock()
		cancel()
		return nil
	}
	l.cancel = cancel
	s.mu.Unlock()

	res, err := s.handler.Handle(ctx, &mcp.Request{
		Method:    mcp.MethodListen,
		Params:    params,
		Meta:      s.meta(""),
		ID:        []byte(`"listen"`),
		Principal: s.principal,
		Session:   &s.life,
	}, l)
	if err != nil || !res.Stream {
		l.End(res, err)
	}
	return err
}

// Notify passes a notification to what is attached to the session.
func (l *listen) Notify(n *mcp.Notification) error {
	s := l.session
	s.mu.Lock()
	out, ended := s.out, l.ended
	s.mu.Unlock()
	switch {
	case ended:
		return mcp.ErrSinkClosed
	case out == nil || n.Method == mcp.NotificationAcknowledged:
		return nil
	}
	// A client that is gone or too slow detaches by itself; the stream is not to end for it.
	_ = out.Notify(n)
	return nil
}

// End notes that the handler has closed the stream.
func (l *listen) End(mcp.Result, error) {
	l.session.mu.Lock()
	defer l.session.mu.Unlock()
	l.session.stopLocked(l)
}
