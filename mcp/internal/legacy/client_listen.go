package legacy

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/mcp/jsonrpc"
)

const (
	// unsubscribeTimeout bounds resources/unsubscribe after a stream has ended.
	unsubscribeTimeout = 5 * time.Second
	// maxPending bounds what waits for one stream. Equal notifications are one, so
	// only a flood of different resources gets there; the stream then ends, since
	// a lost update would go unnoticed.
	maxPending = 1024
)

// listeners emulates subscriptions/listen (MCP 2026-07-28,
// basic/patterns/subscriptions) on one session, where notifications of changed
// lists come unasked and resources are subscribed to one by one.
type listeners struct {
	wire Wire
	mute Exchange // of our own requests

	// turn holds a token while nobody subscribes or unsubscribes, so that the
	// server sees these in the order of the counts. A mutex could not be left
	// when ctx ends.
	turn chan struct{}
	refs map[string]int // subscribed URI -> streams that want it; owned by who has the token

	mu      sync.Mutex
	idle    sync.Cond // signalled when running falls to 0
	running int       // goroutines: the pump, and ends of streams
	streams map[*stream]struct{}
	pumping bool
	closed  error
}

// stream is one open subscriptions/listen request.
type stream struct {
	sink   mcp.Sink
	filter mcp.NotificationFilter // what was acknowledged

	// The rest is guarded by listeners.mu.
	open    bool // acknowledged
	pending []*mcp.Notification
	keys    map[string]int // method and URI -> index in pending
	failed  error          // ends the stream
}

func (l *listeners) init(w Wire, mute Exchange) {
	l.wire, l.mute = w, mute
	l.idle.L = &l.mu
	l.turn = make(chan struct{}, 1)
	l.turn <- struct{}{}
	l.refs = make(map[string]int)
	l.streams = make(map[*stream]struct{})
}

func (l *listeners) listen(ctx context.Context, capabilities []byte, req *mcp.Request, sink mcp.Sink) (mcp.Result, error) {
	var wanted mcp.NotificationFilter
	raw := jsonrpc.Get(req.Params, "notifications")
	if !isObject(raw) {
		return mcp.Result{}, mcp.ErrInvalidParams("params.notifications is not an object")
	}
	if err := json.Unmarshal(raw, &wanted); err != nil {
		return mcp.Result{}, mcp.ErrInvalidParams("params.notifications is not a subscription filter")
	}
	s := &stream{sink: sink, keys: make(map[string]int)}
	s.filter.ToolsListChanged = wanted.ToolsListChanged && declares(capabilities, "tools", "listChanged")
	s.filter.PromptsListChanged = wanted.PromptsListChanged && declares(capabilities, "prompts", "listChanged")
	s.filter.ResourcesListChanged = wanted.ResourcesListChanged && declares(capabilities, "resources", "listChanged")
	if declares(capabilities, "resources", "subscribe") {
		uris, err := l.subscribe(ctx, wanted.ResourceSubscriptions)
		if err != nil {
			return mcp.Result{}, err
		}
		s.filter.ResourceSubscriptions = uris
	}

	// From here on notifications are kept for the stream; they go out after the
	// acknowledgement, which comes first.
	l.mu.Lock()
	if l.closed != nil {
		l.mu.Unlock()
		return mcp.Result{}, l.closed
	}
	l.streams[s] = struct{}{}
	l.mu.Unlock()

	filter, err := json.Marshal(s.filter)
	if err == nil {
		ack := jsonrpc.Splice(nil, nil, jsonrpc.Member{Key: "notifications", Value: filter})
		err = sink.Notify(mcp.NewNotification(mcp.NotificationAcknowledged, ack))
	}
	if err != nil {
		l.end(ctx, s)
		return mcp.Result{}, err
	}
	l.mu.Lock()
	s.open = true
	l.pumpLocked()
	l.mu.Unlock()
	context.AfterFunc(ctx, func() { l.end(ctx, s) })
	return mcp.Result{Stream: true}, nil
}

// declares reports whether capabilities.of.what is true.
func declares(capabilities []byte, of, what string) bool {
	return string(jsonrpc.Get(jsonrpc.Get(capabilities, of), what)) == "true"
}

// subscribe counts a stream for each URI and subscribes to those that are new. It
// returns the URIs that the server accepted, each once.
func (l *listeners) subscribe(ctx context.Context, uris []string) ([]string, error) {
	if len(uris) == 0 {
		return nil, nil
	}
	select {
	case <-l.turn:
		defer func() { l.turn <- struct{}{} }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	var accepted []string
	seen := make(map[string]bool, len(uris))
	for _, uri := range uris {
		if seen[uri] {
			continue
		}
		seen[uri] = true
		if l.refs[uri] == 0 {
			_, err := l.wire.RoundTrip(ctx, methodSubscribe, uriParams(uri), l.mute)
			if mcp.IsWireError(err) {
				continue // the acknowledgement says what is missing
			}
			if err != nil {
				l.releaseWithTurn(ctx, accepted)
				return nil, err
			}
		}
		l.refs[uri]++
		accepted = append(accepted, uri)
	}
	return accepted, nil
}

func uriParams(uri string) []byte {
	return jsonrpc.Splice(nil, nil, jsonrpc.Member{Key: "uri", Value: jsonrpc.AppendString(nil, uri)})
}

// releaseWithTurn gives up one count of each URI and unsubscribes from those that
// nobody wants any more. The caller has the token.
func (l *listeners) releaseWithTurn(ctx context.Context, uris []string) {
	// The stream's context has usually ended; that is why we are here.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), unsubscribeTimeout)
	defer cancel()
	for _, uri := range uris {
		if l.refs[uri]--; l.refs[uri] > 0 {
			continue
		}
		delete(l.refs, uri)
		// A server that refuses or has gone sends at worst updates that nobody gets.
		_, _ = l.wire.RoundTrip(ctx, methodUnsubscribe, uriParams(uri), l.mute)
	}
}

// end forgets a stream, and in time unsubscribes from what only it wanted.
func (l *listeners) end(ctx context.Context, s *stream) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, known := l.streams[s]; !known {
		return
	}
	delete(l.streams, s)
	if l.closed != nil || len(s.filter.ResourceSubscriptions) == 0 {
		return
	}
	l.goLocked(func() {
		<-l.turn // each holder is bounded by its own context
		l.releaseWithTurn(ctx, s.filter.ResourceSubscriptions)
		l.turn <- struct{}{}
	})
}

// goLocked starts a goroutine that wait waits for.
func (l *listeners) goLocked(f func()) {
	l.running++
	go func() {
		f()
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.running--; l.running == 0 {
			l.idle.Broadcast()
		}
	}()
}

func (l *listeners) wait() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.running > 0 {
		l.idle.Wait()
	}
}

func (l *listeners) notification(method string, params []byte) {
	uri := ""
	if method == mcp.NotificationResourceUpdated {
		var ok bool
		if uri, ok = jsonrpc.Unquote(jsonrpc.Get(params, "uri")); !ok {
			return
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	var n *mcp.Notification // made once for all streams
	for s := range l.streams {
		if !s.wants(method, uri) {
			continue
		}
		if n == nil {
			n = mcp.NewNotification(method, params)
		}
		s.put(method+" "+uri, n)
	}
	if n != nil {
		l.pumpLocked()
	}
}

func (s *stream) wants(method, uri string) bool {
	switch method {
	case mcp.NotificationToolsListChanged:
		return s.filter.ToolsListChanged
	case mcp.NotificationPromptsListChanged:
		return s.filter.PromptsListChanged
	case mcp.NotificationResourcesListChanged:
		return s.filter.ResourcesListChanged
	case mcp.NotificationResourceUpdated:
		for _, subscribed := range s.filter.ResourceSubscriptions {
			if covers(subscribed, uri) {
				return true
			}
		}
	}
	return false
}

// covers reports whether uri is the subscribed resource or one below it, for which
// old revisions let a server send updates too.
func covers(subscribed, uri string) bool {
	rest, ok := strings.CutPrefix(uri, subscribed)
	return ok && (rest == "" || strings.HasSuffix(subscribed, "/") || strings.ContainsRune("/?#", rune(rest[0])))
}

func (s *stream) put(key string, n *mcp.Notification) {
	if i, ok := s.keys[key]; ok {
		s.pending[i] = n
		return
	}
	if len(s.pending) == maxPending {
		s.failed = errors.New("the stream's reader is too slow")
		return
	}
	s.keys[key] = len(s.pending)
	s.pending = append(s.pending, n)
}

// pumpLocked starts the one goroutine that writes to sinks, if there is work. It is
// not the transport's reader, which must never wait for a sink, and it ends when
// nothing is pending.
func (l *listeners) pumpLocked() {
	if l.pumping {
		return
	}
	if s, _ := l.nextLocked(); s == nil {
		return
	}
	l.pumping = true
	l.goLocked(l.pump)
}

// nextLocked finds an open stream with something to do and why it must end, if it must.
func (l *listeners) nextLocked() (*stream, error) {
	for s := range l.streams {
		switch {
		case !s.open:
		case l.closed != nil:
			return s, l.closed
		case s.failed != nil:
			return s, s.failed
		case len(s.pending) > 0:
			return s, nil
		}
	}
	return nil, nil
}

func (l *listeners) pump() {
	for {
		l.mu.Lock()
		s, failure := l.nextLocked()
		if s == nil {
			l.pumping = false
			l.mu.Unlock()
			return
		}
		batch := s.pending
		s.pending = nil
		clear(s.keys)
		l.mu.Unlock()

		for _, n := range batch {
			if err := s.sink.Notify(n); err != nil && failure == nil {
				failure = err
			}
		}
		if failure != nil {
			s.sink.End(mcp.Result{}, failure)
			l.end(context.Background(), s)
		}
	}
}

func (l *listeners) close(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed == nil {
		l.closed = err
		l.pumpLocked()
	}
}
