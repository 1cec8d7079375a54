package streamhttp

import (
	"context"
	"crypto/rand"
	"errors"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/mcp/internal/legacy"
	"github.com/fairlead-mcp/fairlead/mcp/jsonrpc"
)

// maxSSECalls bounds the calls of one session that run at the same time: nothing
// else does, as each POST is answered at once.
const maxSSECalls = 64

// SSE returns the handler of another path, usually /sse, for clients of 2024-11-05
// that speak HTTP+SSE (MCP 2024-11-05, basic/transports, HTTP with SSE): a GET opens
// a stream, whose first event says where to POST; everything comes on the stream.
// It has the options and the limits of s, and ends with s.
//
// Deprecated in the protocol since 2025-03-26.
func (s *Handler) SSE() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		who, ok := s.admit(w, r)
		if !ok {
			return
		}
		switch r.Method {
		case http.MethodGet:
			s.openSSE(w, r, who)
		case http.MethodPost:
			s.postSSE(w, r, who)
		default:
			w.Header().Set("Allow", "GET, POST, OPTIONS")
			refuse(w, http.StatusMethodNotAllowed, jsonrpc.CodeInvalidRequest, "HTTP+SSE has GET and POST")
		}
	})
}

// sseConns are the sessions of HTTP+SSE. Each lives as long as its stream.
type sseConns struct {
	mu       sync.Mutex
	byID     map[string]*sseConn
	byStream map[*stream]*sseConn
}

// sseConn is one of them, and the Stream of its calls.
type sseConn struct {
	*stream
	id      string
	who     mcp.Principal
	calls   sync.WaitGroup
	running chan struct{} // holds one token for each call that runs
	ctx     context.Context
	cancel  context.CancelFunc

	once   sync.Mutex // held while the session is opened
	legacy *legacy.Session
}

// Send implements legacy.Stream.
func (x *sseConn) Send(msg []byte) error {
	x.put(appendEvent(nil, msg), true)
	return nil
}

// openSSE opens a stream and a session that belongs to it.
func (s *Handler) openSSE(w http.ResponseWriter, r *http.Request, who mcp.Principal) {
	if _, sse := accepts(r.Header["Accept"]); !sse {
		refuse(w, http.StatusNotAcceptable, jsonrpc.CodeInvalidRequest, "Accept must list text/event-stream")
		return
	}
	x := &sseConn{stream: newStream(s, r, nil), id: rand.Text(), who: who, running: make(chan struct{}, maxSSECalls)}
	x.ctx, x.cancel = context.WithCancel(context.WithoutCancel(r.Context()))
	x.over = func() { s.endSSE(x) }
	if !s.open(w, x.stream) {
		x.cancel()
		return
	}
	s.sse.mu.Lock()
	full := len(s.sse.byID) >= s.opts.MaxSessions
	if !full {
		if s.sse.byID == nil {
			s.sse.byID, s.sse.byStream = map[string]*sseConn{}, map[*stream]*sseConn{}
		}
		s.sse.byID[x.id], s.sse.byStream[x.stream] = x, x
	}
	s.sse.mu.Unlock()
	if full {
		x.finish()
		unavailable(w, "Too many sessions")
		return
	}
	// A reference to the same path: it is right behind a proxy that has moved it.
	x.put([]byte("event: endpoint\ndata: ?sessionId="+x.id+"\n\n"), true)
	x.run(w, r)
}

// endSSE ends a session with its stream.
func (s *Handler) endSSE(x *sseConn) {
	s.sse.mu.Lock()
	delete(s.sse.byID, x.id)
	delete(s.sse.byStream, x.stream)
	s.sse.mu.Unlock()
	x.cancel()
	x.once.Lock()
	defer x.once.Unlock()
	if x.legacy != nil {
		x.legacy.Close()
	}
}

// postSSE takes a message; what comes of it comes on the stream.
func (s *Handler) postSSE(w http.ResponseWriter, r *http.Request, who mcp.Principal) {
	query, _ := url.ParseQuery(r.URL.RawQuery)
	s.sse.mu.Lock()
	x := s.sse.byID[query.Get("sessionId")]
	s.sse.mu.Unlock()
	switch {
	case x == nil || x.who != who: // an id is no credential
		refuse(w, http.StatusNotFound, jsonrpc.CodeInvalidRequest, "Session not found: GET this path first, and POST to what the endpoint event says")
		return
	case !isJSON(r.Header["Content-Type"]):
		refuse(w, http.StatusUnsupportedMediaType, jsonrpc.CodeInvalidRequest, "Content-Type must be application/json")
		return
	}
	body, ok := s.readBody(w, r, nil) // the message outlives the request
	if !ok {
		return
	}
	msg, err := jsonrpc.Scan(body, &s.opts.Limits)
	if err != nil {
		var bad *jsonrpc.ScanError
		errors.As(err, &bad)
		answerError(w, http.StatusBadRequest, bad.ID, &mcp.Error{Code: bad.Code, Message: bad.Reason})
		return
	}
	switch msg.Kind {
	case jsonrpc.Request:
		select {
		case x.running <- struct{}{}:
		default:
			unavailable(w, "Too many calls of the session are running")
			return
		}
		x.calls.Go(func() { // until the call ends, by itself or with the session
			defer func() { <-x.running }()
			s.answerSSE(x, &msg)
		})
	default:
		if session := x.session(); session != nil && msg.Kind == jsonrpc.Notification {
			session.Notified(&msg)
		} else if session != nil {
			session.Answered(&msg)
		}
	}
	accepted(w)
}

func (x *sseConn) session() *legacy.Session {
	x.once.Lock()
	defer x.once.Unlock()
	return x.legacy
}

// answerSSE answers a request on the stream.
func (s *Handler) answerSSE(x *sseConn, msg *jsonrpc.Message) {
	ctx, cancel := context.WithTimeout(x.ctx, s.opts.CallTimeout)
	defer cancel()
	out := s.guardSSE(msg, func() []byte {
		if legacy.IsInitialize(msg) && x.session() == nil {
			return s.initializeSSE(ctx, x, msg)
		}
		session := x.session()
		if session == nil {
			return jsonrpc.AppendError(nil, msg.ID, jsonrpc.CodeInvalidRequest, "The session is not initialized: send initialize first", nil)
		}
		if out, answered := session.Handle(ctx, time.Time{}, msg, nil, x); answered {
			return out
		}
		return nil
	})
	if out != nil {
		x.put(appendEvent(nil, out), true)
	}
}

// guardSSE turns a panic beside the mcp.Handler into an internal error too: no
// server is around this goroutine.
func (s *Handler) guardSSE(msg *jsonrpc.Message, answer func() []byte) (out []byte) {
	defer func() {
		if value := recover(); value != nil {
			problem := s.next.report(msg.Method, value)
			out = jsonrpc.AppendError(nil, msg.ID, problem.Code, problem.Message, problem.Data)
		}
	}()
	return answer()
}

func (s *Handler) initializeSSE(ctx context.Context, x *sseConn, msg *jsonrpc.Message) []byte {
	x.once.Lock()
	defer x.once.Unlock()
	if x.legacy != nil {
		return jsonrpc.AppendError(nil, msg.ID, jsonrpc.CodeInvalidRequest, "The session is initialized already", nil)
	}
	session, result, problem := legacy.New(ctx, s.next, msg, x.who)
	if problem != nil {
		return jsonrpc.AppendError(nil, msg.ID, problem.Code, problem.Message, problem.Data)
	}
	if x.ctx.Err() != nil { // the stream has ended meanwhile
		session.Close()
		return nil
	}
	x.legacy = session
	session.Attach(x.ctx, x.stream)
	return jsonrpc.AppendResult(nil, msg.ID, result)
}

// isSSE reports whether a stream is that of a session here.
func (s *Handler) isSSE(st *stream) bool {
	s.sse.mu.Lock()
	defer s.sse.mu.Unlock()
	return s.sse.byStream[st] != nil
}

// closeSSE lets the calls of the sessions finish, and then ends their streams.
func (s *Handler) closeSSE() {
	s.sse.mu.Lock()
	defer s.sse.mu.Unlock()
	for _, x := range s.sse.byID {
		go func() { // until the session's calls have ended, or are killed
			x.calls.Wait()
			x.End(mcp.Result{}, nil)
		}()
	}
}

// killSSE ends all sessions, with their calls.
func (s *Handler) killSSE() {
	s.sse.mu.Lock()
	var all []*sseConn
	for _, x := range s.sse.byID {
		all = append(all, x)
	}
	s.sse.mu.Unlock()
	for _, x := range all {
		x.cancel()
		x.End(mcp.Result{}, nil)
	}
}
