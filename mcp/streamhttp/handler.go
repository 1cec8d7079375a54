package streamhttp

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/mcp/jsonrpc"
)

// HandlerOptions adjusts a [Handler]. A nil *HandlerOptions and zero fields mean the defaults.
type HandlerOptions struct {
	// Authenticate says who makes a request, from its header alone: it runs
	// before the body is read. An error answers 401. Nil means that everybody is
	// anonymous. It is called concurrently.
	Authenticate func(*http.Request) (mcp.Principal, error)
	// AllowedOrigins are the origins of web pages that may call, such as
	// "https://app.example". Pages of loopback origins may always call a listener
	// on a loopback address; no other page may.
	AllowedOrigins []string
	// AllowedHosts are the names, without port, that requests may give as Host.
	// Listeners on a loopback address always answer to loopback names and to no
	// other that is not listed; other listeners answer to every name if the list is empty.
	AllowedHosts []string

	// Limits bounds a message. Its MaxBytes bounds the body of a request.
	Limits jsonrpc.Limits
	// BodyTimeout bounds the reading of a request's body. Zero means 30 seconds.
	BodyTimeout time.Duration
	// WriteTimeout bounds each write of a response. Zero means 30 seconds.
	WriteTimeout time.Duration
	// StreamAfter is how long a call may go unanswered before its response
	// becomes a stream with keep-alives, so that nothing in between gives up on
	// a silent connection. Zero means 10 seconds.
	StreamAfter time.Duration
	// KeepAlive is the longest silence on a stream. Zero means 15 seconds.
	KeepAlive time.Duration
	// StreamBudget bounds, in bytes, the notifications that wait for a slow
	// reader of a stream; beyond it the stream is closed. Zero means 64 KiB.
	StreamBudget int
	// MaxStreams bounds the open streams of all callers: those of
	// subscriptions/listen and of sessions. Zero means 100000.
	MaxStreams int

	// CallTimeout bounds a call of a session: there a client that has gone may
	// come back, and has not cancelled. Zero means 10 minutes.
	CallTimeout time.Duration
	// SessionTimeout ends a session that has neither a call nor a stream open
	// for so long. Zero means 30 minutes.
	SessionTimeout time.Duration
	// EventStore keeps what clients of 2025-03-26 to 2025-11-25 get when they come
	// back after their connection broke. Nil means a [MemoryStore].
	EventStore EventStore
	// MaxSessions bounds the sessions of all callers. Zero means 10000.
	MaxSessions int
	// MaxSessionsPerPrincipal bounds the sessions of one caller who is not
	// anonymous. Zero means 1000.
	MaxSessionsPerPrincipal int

	// OnPanic is told of a panic in the mcp.Handler, which the client sees as an
	// internal error, with its stack. It is called concurrently. A *mcp.Server
	// reports panics of its own functions itself, see mcp.ServerOptions.OnPanic.
	OnPanic func(method string, value any, stack []byte)
}

// Handler is the server side of an MCP endpoint (MCP 2026-07-28 and 2025-11-25,
// basic/transports). It is an http.Handler and is safe for concurrent use.
type Handler struct {
	next     contained
	opts     HandlerOptions
	origins  map[string]bool // origin -> may call
	hosts    map[string]bool // lower-case host name -> we answer to it
	sessions sessions
	sse      sseConns
	slots    sync.Pool // of *slot
	lot      lot       // where idle streams are

	mu      sync.Mutex
	closed  bool
	leaving bool // no new subscriptions
	streams map[*stream]struct{}
	drained chan struct{} // closed when the handler is closed and has no streams
}

// NewHandler returns a Handler that asks h.
func NewHandler(h mcp.Handler, opts *HandlerOptions) *Handler {
	if h == nil {
		panic("streamhttp: NewHandler needs an mcp.Handler")
	}
	s := &Handler{
		origins: map[string]bool{},
		hosts:   map[string]bool{},
		streams: map[*stream]struct{}{},
		drained: make(chan struct{}),
	}
	if opts != nil {
		s.opts = *opts
	}
	o := &s.opts
	s.next = contained{h, o.OnPanic}
	orDefault(&o.Limits.MaxBytes, jsonrpc.DefaultMaxBytes)
	orDefault(&o.BodyTimeout, 30*time.Second)
	orDefault(&o.WriteTimeout, 30*time.Second)
	orDefault(&o.StreamAfter, 10*time.Second)
	orDefault(&o.KeepAlive, 15*time.Second)
	orDefault(&o.StreamBudget, 64<<10)
	orDefault(&o.MaxStreams, 100_000)
	orDefault(&o.CallTimeout, 10*time.Minute)
	orDefault(&o.SessionTimeout, 30*time.Minute)
	orDefault(&o.MaxSessions, 10000)
	orDefault(&o.MaxSessionsPerPrincipal, 1000)
	for _, origin := range o.AllowedOrigins {
		s.origins[lower(origin)] = true
	}
	for _, host := range o.AllowedHosts {
		s.hosts[lower(host)] = true
	}
	if o.EventStore == nil {
		o.EventStore = NewMemoryStore(nil)
	}
	s.sessions.init(o)
	s.lot.keepAlive, s.lot.writeTimeout = o.KeepAlive, o.WriteTimeout
	return s
}

func orDefault[T int | time.Duration](v *T, def T) {
	if *v <= 0 {
		*v = def
	}
}

// NewServer returns an http.Server for h on addr with limits on what a
// connection may cost: without them one slow client keeps it for ever. Its idle
// streams are cheap ([ConnContext]).
func NewServer(addr string, h http.Handler) *http.Server {
	return &http.Server{
		Addr:              addr,
		Handler:           h,
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		ConnContext:       ConnContext,
	}
}

// ServeHTTP answers one HTTP request.
func (s *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	who, ok := s.admit(w, r)
	if !ok {
		return
	}
	switch r.Method {
	case http.MethodPost:
		s.post(w, r, who)
	case http.MethodGet:
		s.get(w, r, who)
	case http.MethodDelete:
		s.delete(w, r, who)
	default:
		notAllowed(w)
	}
}

// admit says who makes a request that may be answered. It answers others by itself.
func (s *Handler) admit(w http.ResponseWriter, r *http.Request) (who mcp.Principal, ok bool) {
	if r.ContentLength != 0 {
		// Also for requests that are refused unread: net/http reads some of the
		// body before it lets an answer out. Not every ResponseWriter can.
		_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(s.opts.BodyTimeout))
	}
	if !s.admitOrigin(w, r) {
		return who, false
	}
	if r.Method == http.MethodOptions {
		preflight(w, r)
		return who, false
	}
	if name := repeatedHeader(r.Header); name != "" {
		refuse(w, http.StatusBadRequest, jsonrpc.CodeInvalidRequest, "The header "+name+" occurs more than once")
		return who, false
	}
	if s.opts.Authenticate != nil {
		var err error
		if who, err = s.opts.Authenticate(r); err != nil {
			w.Header().Set("Www-Authenticate", "Bearer")
			refuse(w, http.StatusUnauthorized, jsonrpc.CodeInvalidRequest, "Unauthorized")
			return who, false
		}
	}
	if s.isClosed() {
		unavailable(w, "The server is shutting down")
		return who, false
	}
	return who, true
}

func (s *Handler) isClosed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed
}

// EndSubscriptions ends the streams of subscriptions/listen with the result that
// says so, and refuses new ones: their clients subscribe elsewhere. Everything else
// goes on. It is a step towards Close for those who are not in a hurry.
func (s *Handler) EndSubscriptions() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.leaving = true
	for st := range s.streams {
		if len(st.id) > 0 {
			st.End(mcp.Result{}, nil)
		}
	}
}

// Close ends the endpoint: new requests are refused, open streams end with the
// result that says so, calls of sessions are let finish until ctx ends. It
// returns ctx's error if something was still running then. Calls without a
// session are for http.Server.Shutdown to wait for.
func (s *Handler) Close(ctx context.Context) error {
	s.mu.Lock()
	if !s.closed {
		s.closed = true
		if len(s.streams) == 0 {
			close(s.drained)
		}
	}
	for st := range s.streams {
		if !s.isSSE(st) {
			st.End(mcp.Result{}, nil)
		}
	}
	s.mu.Unlock()
	s.closeSSE()

	idle := s.sessions.close()
	var err error
	for _, done := range []<-chan struct{}{s.drained, idle} {
		select {
		case <-done:
		case <-ctx.Done():
			err = ctx.Err()
		}
	}
	s.sessions.kill()
	s.killSSE()
	s.lot.endAll()
	return err
}

// A slot is the memory that one request borrows.
type slot struct {
	in, out []byte
	timer   *time.Timer // runs tick of the reply at hand

	mu  sync.Mutex
	now *reply
}

// slotKeep is the largest buffer that goes back to the pool: one huge message is
// not to be paid for ever.
const slotKeep = 64 << 10

func (s *Handler) borrow() *slot {
	if sl, ok := s.slots.Get().(*slot); ok {
		return sl
	}
	sl := &slot{in: make([]byte, 0, 4<<10), out: make([]byte, 0, 4<<10)}
	sl.timer = time.AfterFunc(time.Hour, sl.tick)
	sl.timer.Stop()
	return sl
}

func (s *Handler) giveBack(sl *slot) {
	if cap(sl.in) > slotKeep || cap(sl.out) > slotKeep {
		return
	}
	sl.in, sl.out = sl.in[:0], sl.out[:0]
	s.slots.Put(sl)
}

// readBody reads the body of a request into buf. It answers by itself if it cannot, and returns false.
func (s *Handler) readBody(w http.ResponseWriter, r *http.Request, buf []byte) ([]byte, bool) {
	limit := s.opts.Limits.MaxBytes
	if r.ContentLength > int64(limit) {
		tooLarge(w)
		return buf, false
	}
	if need := int(r.ContentLength) + 1; need > cap(buf) { // one more, so that the end is met without growing
		buf = make([]byte, 0, min(need, 1<<20)) // a claim is not yet a body
	}
	var err error
	for err == nil {
		if len(buf) == cap(buf) {
			buf = append(buf, 0)[:len(buf)]
		}
		var n int
		n, err = r.Body.Read(buf[len(buf):cap(buf)])
		if buf = buf[:len(buf)+n]; len(buf) > limit {
			tooLarge(w)
			return buf, false
		}
	}
	if !isEOF(err) {
		refuse(w, http.StatusBadRequest, jsonrpc.CodeInvalidRequest, "The body could not be read")
		return buf, false
	}
	// The server goes on reading, to notice a client that leaves.
	_ = http.NewResponseController(w).SetReadDeadline(time.Time{})
	return buf, true
}

// post answers a POST: one message.
func (s *Handler) post(w http.ResponseWriter, r *http.Request, who mcp.Principal) {
	if !isJSON(r.Header["Content-Type"]) {
		refuse(w, http.StatusUnsupportedMediaType, jsonrpc.CodeInvalidRequest, "Content-Type must be application/json")
		return
	}
	json, sse := accepts(r.Header["Accept"])
	if !json || !sse {
		refuse(w, http.StatusNotAcceptable, jsonrpc.CodeInvalidRequest, "Accept must list application/json and text/event-stream")
		return
	}
	sl := s.borrow()
	defer s.giveBack(sl)
	var ok bool
	if sl.in, ok = s.readBody(w, r, sl.in); !ok {
		return
	}
	msg, err := jsonrpc.Scan(sl.in, &s.opts.Limits)
	if err != nil {
		if header(r.Header, headerSession) != "" && isBatch(sl.in) {
			s.postBatch(w, r, who, sl)
			return
		}
		var bad *jsonrpc.ScanError
		errors.As(err, &bad)
		answerError(w, http.StatusBadRequest, bad.ID, &mcp.Error{Code: bad.Code, Message: bad.Reason})
		return
	}
	if modern(r.Header, &msg) {
		s.postModern(w, r, who, sl, &msg)
	} else {
		s.postLegacy(w, r, who, sl, &msg)
	}
}

// modern tells the era of a message. Whoever names a revision in the body, or
// mirrors the body in headers, speaks the stateless form, whatever the revision is;
// but mirroring headers beside the name of a revision with sessions mean nothing.
func modern(h http.Header, msg *jsonrpc.Message) bool {
	version := mcp.Version(header(h, headerVersion))
	if version.Modern() || header(h, headerMethod) != "" && !version.Has(mcp.FeatureSession) {
		return true
	}
	return msg.Meta != nil && (jsonrpc.Get(msg.Meta, mcp.MetaProtocolVersion) != nil ||
		jsonrpc.Get(msg.Meta, mcp.MetaClientCapabilities) != nil)
}

// open enters a stream into the open ones. It answers by itself if it cannot, and returns false.
func (s *Handler) open(w http.ResponseWriter, st *stream) bool {
	s.mu.Lock()
	closed, full := s.closed || s.leaving && len(st.id) > 0, len(s.streams) >= s.opts.MaxStreams
	if !closed && !full {
		s.streams[st] = struct{}{}
	}
	s.mu.Unlock()
	switch {
	case closed:
		unavailable(w, "The server is shutting down")
	case full:
		unavailable(w, "Too many open streams")
	}
	return !closed && !full
}

func (s *Handler) leave(st *stream) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, there := s.streams[st]; !there {
		return
	}
	if delete(s.streams, st); len(s.streams) > 0 {
		return
	}
	s.streams = map[*stream]struct{}{} // a map never shrinks
	if s.closed {
		close(s.drained)
	}
}

// Streams is the number of streams that are open now.
func (s *Handler) Streams() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.streams)
}
