package legacy_test

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/mcp/internal/legacy"
	"github.com/fairlead-mcp/fairlead/mcp/jsonrpc"
)

// serverFake is a Handler that keeps the open streams.
type serverFake struct {
	mu      sync.Mutex
	streams []mcp.Sink
	params  []string // of subscriptions/listen
	ctxs    []context.Context
}

func (f *serverFake) Handle(ctx context.Context, req *mcp.Request, sink mcp.Sink) (mcp.Result, error) {
	switch req.Method {
	case mcp.MethodDiscover:
		return mcp.Result{Body: []byte(`{"capabilities":{}}`)}, nil
	case mcp.MethodCallTool:
		err := sink.Notify(mcp.NewNotification(mcp.NotificationProgress, []byte(`{"progressToken":"t","progress":1,"message":"m"}`)))
		return mcp.Result{}, err
	case mcp.MethodListen:
		if strings.Contains(string(req.Params), "refuse:") {
			return mcp.Result{}, mcp.ErrInvalidParams("no such resource")
		}
		f.mu.Lock()
		defer f.mu.Unlock()
		f.streams, f.params, f.ctxs = append(f.streams, sink), append(f.params, string(req.Params)), append(f.ctxs, ctx)
		_ = sink.Notify(mcp.NewNotification(mcp.NotificationAcknowledged, []byte(`{"notifications":{}}`)))
		return mcp.Result{Stream: true}, nil
	}
	return mcp.Result{}, mcp.ErrMethodNotFound(req.Method)
}

// texts is a Sink that keeps what it is given.
type texts struct {
	mu   sync.Mutex
	list []string
}

func (s *texts) Notify(n *mcp.Notification) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.list = append(s.list, string(n.AppendTo(nil, nil)))
	return nil
}

func (s *texts) End(mcp.Result, error) {}

// Send keeps a request of the server among the notifications.
func (s *texts) Send(msg []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.list = append(s.list, string(msg))
	return nil
}

// deaf is a Stream of a client that has gone.
type deaf struct{ mcp.Sink }

func (deaf) Send([]byte) error { return mcp.ErrSinkClosed }

func scan(t *testing.T, text string) *jsonrpc.Message {
	t.Helper()
	msg, err := jsonrpc.Scan([]byte(text), nil)
	if err != nil {
		t.Fatal(err)
	}
	return &msg
}

func newSession(t *testing.T, h mcp.Handler, version string) *legacy.Session {
	t.Helper()
	s, result, err := legacy.New(t.Context(), h, scan(t, `{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"`+version+`"}}`), mcp.Principal{})
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(result), `"serverInfo":{"name":`) {
		t.Errorf("result without server info: %s", result)
	}
	t.Cleanup(s.Close)
	return s
}

func ask(t *testing.T, s *legacy.Session, sink legacy.Stream, text string) string {
	t.Helper()
	out, answered := s.Handle(t.Context(), time.Time{}, scan(t, text), nil, sink)
	if !answered {
		return "unanswered"
	}
	return string(out)
}

func TestSessionInitializeFails(t *testing.T) {
	broken := mcp.HandlerFunc(func(context.Context, *mcp.Request, mcp.Sink) (mcp.Result, error) {
		return mcp.Result{}, mcp.Errorf(-31001, "upstream unavailable")
	})
	for text, code := range map[string]int{
		`{"protocolVersion":"2025-11-25"}`:                   -31001,
		`{"protocolVersion":1}`:                              -32602,
		`{"protocolVersion":"2025-11-25","capabilities":[]}`: -32602,
		`{"protocolVersion":"2025-11-25","clientInfo":"x"}`:  -32602,
		`{}`: -32602,
	} {
		_, _, err := legacy.New(t.Context(), broken, scan(t, `{"jsonrpc":"2.0","id":0,"method":"initialize","params":`+text+`}`), mcp.Principal{})
		if err == nil || err.Code != code {
			t.Errorf("%s: got %v, want code %d", text, err, code)
		}
	}
}

func TestSessionProgressMessage(t *testing.T) {
	for version, want := range map[string]bool{"2024-11-05": false, "2025-03-26": true} {
		var got texts
		ask(t, newSession(t, &serverFake{}, version), &got, `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"x"}}`)
		if len(got.list) != 1 || strings.Contains(got.list[0], "message") != want {
			t.Errorf("%s: got %q", version, got.list)
		}
	}
}

func TestSessionAttach(t *testing.T) {
	f := &serverFake{}
	s := newSession(t, f, "2025-11-25")
	const subscribe = `{"jsonrpc":"2.0","id":1,"method":"resources/subscribe","params":{"uri":"a:b"}}`
	for range 2 { // the second changes nothing
		if got := ask(t, s, deaf{mcp.Discard}, subscribe); !strings.Contains(got, `"result":{}`) {
			t.Fatalf("got %s", got)
		}
	}
	if got := ask(t, s, deaf{mcp.Discard}, strings.Replace(subscribe, "a:b", "refuse:x", 1)); !strings.Contains(got, "no such resource") {
		t.Errorf("got %s", got)
	}
	n := mcp.NewNotification(mcp.NotificationResourceUpdated, []byte(`{"uri":"a:b"}`))
	if err := f.streams[0].Notify(n); err != nil {
		t.Errorf("while nothing is attached: %v", err)
	}
	f.streams[0].End(mcp.Result{}, nil) // the handler gives up; the session asks again when somebody listens

	var got texts
	if !s.Attach(t.Context(), &got) || s.Attach(t.Context(), &got) {
		t.Error("one Attach at a time")
	}
	if len(f.streams) != 3 {
		t.Fatalf("%d streams: %q", len(f.streams), f.params)
	}
	if !strings.Contains(f.params[1], "toolsListChanged") || !strings.Contains(f.params[2], "a:b") {
		t.Errorf("asked for %q", f.params)
	}
	_ = f.streams[2].Notify(n)
	s.Detach()
	if err := f.streams[1].Notify(n); err == nil || f.ctxs[1].Err() == nil {
		t.Error("the changes of lists are listened to after Detach")
	}
	if err := f.streams[2].Notify(n); err != nil {
		t.Errorf("a subscription ended with Detach: %v", err)
	}
	if want := []string{`{"jsonrpc":"2.0","method":"notifications/resources/updated","params":{"uri":"a:b"}}`}; !slices.Equal(got.list, want) {
		t.Errorf("got %q, want %q", got.list, want)
	}
	s.Close()
	if f.ctxs[2].Err() == nil || s.Attach(t.Context(), &got) {
		t.Error("something goes on after Close")
	}
	if got := ask(t, s, deaf{mcp.Discard}, subscribe); !strings.Contains(got, "-32600") {
		t.Errorf("after Close: %s", got)
	}
}

func TestSessionCancelledMeanwhile(t *testing.T) {
	var s *legacy.Session
	h := mcp.HandlerFunc(func(ctx context.Context, req *mcp.Request, _ mcp.Sink) (mcp.Result, error) {
		if req.Method == mcp.MethodDiscover {
			return mcp.Result{}, nil
		}
		s.Notified(scan(t, `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":8}}`)) // somebody else's
		if ctx.Err() != nil {
			t.Error("cancelled by another id")
		}
		s.Notified(scan(t, `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":7}}`))
		return mcp.Result{}, ctx.Err()
	})
	s = newSession(t, h, "2025-11-25")
	if got := ask(t, s, deaf{mcp.Discard}, `{"jsonrpc":"2.0","id":7,"method":"x"}`); got != "unanswered" {
		t.Errorf("got %s", got)
	}
}
