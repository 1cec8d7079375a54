package streamhttp_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/mcp/jsonrpc"
	"github.com/fairlead-mcp/fairlead/mcp/mcptest"
	"github.com/fairlead-mcp/fairlead/mcp/streamhttp"
	"github.com/google/go-cmp/cmp"
)

// oldServer is a fake server with sessions. call answers what belongs to a session,
// get the GET request; nil stands for 405.
type oldServer struct {
	call, get func(x *exchange)

	mu       sync.Mutex
	sessions int             // opened so far
	live     map[string]bool // session id -> known
	log      []string        // what came, by session
	answers  chan string     // responses of the client to requests of the server
}

func newOldServer(call, get func(x *exchange)) *oldServer {
	return &oldServer{call: call, get: get, live: map[string]bool{}, answers: make(chan string, 10)}
}

func (s *oldServer) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.live)
}

func (s *oldServer) logged() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.log...)
}

func (s *oldServer) handle(x *exchange) {
	id := x.r.Header.Get("Mcp-Session-Id")
	what := x.msg.Method
	if what == "" {
		what = x.r.Method
	}
	s.mu.Lock()
	known := s.live[id]
	s.log = append(s.log, strings.TrimSpace(id+" "+what))
	if what == "initialize" {
		s.sessions++
		id = fmt.Sprint("s", s.sessions)
		s.live[id] = true
	}
	s.mu.Unlock()
	if known && x.r.Header.Get("MCP-Protocol-Version") != "2025-06-18" {
		x.WriteHeader(400)
		return
	}
	switch {
	case x.r.Header.Get("Mcp-Method") != "":
		x.WriteHeader(400)
	case what == "initialize":
		x.Header().Set("Mcp-Session-Id", id)
		x.stream(`{"jsonrpc":"2.0","id":ID,"result":{"protocolVersion":"2025-06-18","serverInfo":{"name":"old","version":"1"},` +
			`"capabilities":{"tools":{"listChanged":true},"resources":{"subscribe":true},"logging":{}}}}`)
	case !known:
		x.WriteHeader(404)
	case x.r.Method == http.MethodGet && s.get != nil:
		s.get(x)
	case x.r.Method == http.MethodGet:
		x.WriteHeader(405)
	case x.r.Method == http.MethodDelete:
		x.WriteHeader(200)
	case x.msg.Kind == jsonrpc.Response || x.msg.Kind == jsonrpc.ErrorReply:
		s.answers <- string(x.body)
		x.WriteHeader(202)
	case x.msg.Kind == jsonrpc.Notification:
		x.WriteHeader(202)
	default:
		s.call(x)
	}
}

func toolResult(x *exchange) { x.result(`{"content":[]}`) }

func TestClientSession(t *testing.T) {
	s := newOldServer(toolResult, nil)
	c := streamhttp.NewClient(fake(t, s.handle), nil)
	for range 2 {
		res, err := c.Handle(t.Context(), request("tools/call", "x", `{"name":"x"}`), mcp.Discard)
		if err != nil || string(res.Body) != `{"content":[]}` {
			t.Fatalf("Handle = %s, %v", res.Body, err)
		}
	}
	if got := c.Version(); got != mcp.Version20250618 {
		t.Errorf("Version = %q", got)
	}
	res, err := c.Handle(t.Context(), request("server/discover", "", ""), mcp.Discard)
	if err != nil || string(jsonrpc.Get(res.Body, "supportedVersions")) != `["2025-06-18"]` {
		t.Errorf("discover = %s, %v", res.Body, err)
	}
	if err := c.Close(t.Context()); err != nil {
		t.Error(err)
	}
	want := []string{"server/discover", "initialize", "s1 notifications/initialized", "s1 tools/call", "s1 tools/call", "s1 DELETE"}
	if diff := cmp.Diff(want, s.logged()); diff != "" {
		t.Errorf("requests (-want +got):\n%s", diff)
	}
}

func TestClientSessionInitialize(t *testing.T) {
	var params string
	s := newOldServer(toolResult, nil)
	url := fake(t, func(x *exchange) {
		if x.msg.Method == "initialize" {
			params = string(x.msg.Params)
		}
		s.handle(x)
	})
	c := dial(t, url, &streamhttp.ClientOptions{
		Era: streamhttp.EraLegacy, ClientInfo: []byte(`{"name":"me","version":"2"}`), Capabilities: []byte(`{"sampling":{},"tasks":{}}`),
	})
	if _, err := c.Handle(t.Context(), request("tools/call", "x", `{"name":"x"}`), mcp.Discard); err != nil {
		t.Fatal(err)
	}
	if want := `{"protocolVersion":"2025-11-25","capabilities":{"sampling":{}},"clientInfo":{"name":"me","version":"2"}}`; params != want {
		t.Errorf("initialize %s, want %s", params, want)
	}
}

// TestClientSessionForgotten calls a tool of a server that has forgotten the session, in
// the words of the specification and in those of servers that say it otherwise.
func TestClientSessionForgotten(t *testing.T) {
	for name, refuse := range map[string]func(x *exchange){
		"404": func(x *exchange) { x.WriteHeader(404) },
		"404 with words": func(x *exchange) {
			x.json(404, `{"jsonrpc":"2.0","id":null,"error":{"code":-32001,"message":"Session not found"}}`)
		},
		"400 with words": func(x *exchange) {
			x.json(400, `{"jsonrpc":"2.0","id":null,"error":{"code":-32000,"message":"Bad Request: No valid session ID provided"}}`)
		},
	} {
		t.Run(name, func(t *testing.T) {
			var s *oldServer
			ran := 0
			forgotten := false
			s = newOldServer(func(x *exchange) {
				if forgotten && x.r.Header.Get("Mcp-Session-Id") == "s1" {
					refuse(x)
					return
				}
				ran++
				toolResult(x)
			}, nil)
			c := dial(t, fake(t, s.handle), nil)
			call := request("tools/call", "x", `{"name":"x"}`)
			if _, err := c.Handle(t.Context(), call, mcp.Discard); err != nil {
				t.Fatal(err)
			}
			forgotten = true
			if _, err := c.Handle(t.Context(), call, mcp.Discard); err != nil {
				t.Fatal(err)
			}
			if ran != 2 || s.sessions != 2 {
				t.Errorf("the tool ran %d times in %d sessions", ran, s.sessions)
			}
		})
	}
	t.Run("again and again", func(t *testing.T) {
		s := newOldServer(func(x *exchange) { x.WriteHeader(404) }, nil)
		_, err := dial(t, fake(t, s.handle), nil).Handle(t.Context(), request("tools/call", "x", `{"name":"x"}`), mcp.Discard)
		if err == nil || mcp.IsWireError(err) || s.sessions != 2 {
			t.Errorf("%v after %d sessions", err, s.sessions)
		}
	})
	t.Run("an unknown method is not a forgotten session", func(t *testing.T) {
		s := newOldServer(func(x *exchange) { x.fail(404, -32601, `null`) }, nil)
		_, err := dial(t, fake(t, s.handle), nil).Handle(t.Context(), request("tools/call", "x", `{"name":"x"}`), mcp.Discard)
		if !errors.Is(err, mcp.ErrMethodNotFound("")) || s.sessions != 1 {
			t.Errorf("%v after %d sessions", err, s.sessions)
		}
	})
}

// TestClientServerRequests is asked things on the stream of a call.
// TestClientSessionForgottenUnderACall: the call may have run, so it is not sent again,
// and the next one gets a new session.
func TestClientSessionForgottenUnderACall(t *testing.T) {
	var s *oldServer
	ran := 0
	s = newOldServer(func(x *exchange) {
		if ran++; ran > 1 {
			toolResult(x)
			return
		}
		x.Header().Set("Content-Type", "text/event-stream")
		_, _ = fmt.Fprint(x, "id: 1\nretry: 1\ndata: \n\n") // and then the server restarts
		s.forget()
	}, nil)
	c := dial(t, fake(t, s.handle), nil)
	call := request("tools/call", "x", `{"name":"x"}`)
	if _, err := c.Handle(t.Context(), call, mcp.Discard); !errors.Is(err, mcp.ErrClosed) || ran != 1 {
		t.Errorf("%v; the tool ran %d times", err, ran)
	}
	if _, err := c.Handle(t.Context(), call, mcp.Discard); err != nil || ran != 2 || s.sessions != 2 {
		t.Errorf("the next call: %v; the tool ran %d times in %d sessions", err, ran, s.sessions)
	}
}

func TestClientServerRequests(t *testing.T) {
	s := newOldServer(func(x *exchange) {
		x.stream(
			`{"jsonrpc":"2.0","id":"p","method":"ping"}`,
			`{"jsonrpc":"2.0","id":7,"method":"sampling/createMessage","params":{}}`,
			`{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":TOKEN,"progress":1}}`,
			`{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":"t","progress":2}}`,
			`{"jsonrpc":"2.0","id":ID,"result":{"content":[]}}`,
		)
	}, nil)
	req := request("tools/call", "x", `{"name":"x","_meta":{"progressToken":"t"}}`)
	req.Meta.ProgressToken = []byte(`"t"`)
	req.Meta.Raw = []byte(`{"progressToken":"t"}`)
	var sink mcptest.Recorder
	if _, err := dial(t, fake(t, s.handle), nil).Handle(t.Context(), req, &sink); err != nil {
		t.Fatal(err)
	}
	if got, want := <-s.answers, `{"jsonrpc":"2.0","id":"p","result":{}}`; got != want {
		t.Errorf("answer to ping %s", got)
	}
	if got := <-s.answers; !strings.Contains(got, `"id":7`) || !strings.Contains(got, "-32601") {
		t.Errorf("answer to sampling %s", got)
	}
	want := []mcptest.Note{{Method: "notifications/progress", Params: `{"progressToken":"t","progress":1}`}}
	if diff := cmp.Diff(want, sink.Notes()); diff != "" {
		t.Errorf("notifications (-want +got):\n%s", diff)
	}
}

func TestClientSessionCancel(t *testing.T) {
	arrived, cancelled := make(chan string, 1), make(chan string, 1)
	s := newOldServer(func(x *exchange) { arrived <- string(x.msg.ID); x.gone() }, nil)
	url := fake(t, func(x *exchange) {
		if x.msg.Method == "notifications/cancelled" {
			cancelled <- string(jsonrpc.Get(x.msg.Params, "requestId"))
		}
		s.handle(x)
	})
	ctx, cancel := context.WithCancel(t.Context())
	id := ""
	go func() { id = <-arrived; cancel() }() // ends with the call
	if _, err := dial(t, url, nil).Handle(ctx, request("tools/call", "x", `{"name":"x"}`), mcp.Discard); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	if got := <-cancelled; got != id {
		t.Errorf("cancelled request %s, want %s", got, id)
	}
}

// TestClientResume loses the response stream of a call twice.
func TestClientResume(t *testing.T) {
	numbered := func(x *exchange, id int, data string) {
		_, _ = fmt.Fprintf(x, "id: %d\nretry: 1\ndata: %s\n\n", id, data)
	}
	callID := ""
	s := newOldServer(func(x *exchange) {
		callID = string(x.msg.ID)
		x.Header().Set("Content-Type", "text/event-stream")
		numbered(x, 0, "") // MCP 2025-11-25, basic/transports: an event to resume from
		numbered(x, 1, `{"jsonrpc":"2.0","method":"notifications/other","params":{"n":1}}`)
	}, func(x *exchange) {
		x.Header().Set("Content-Type", "text/event-stream")
		switch x.r.Header.Get("Last-Event-ID") {
		case "1":
			numbered(x, 2, `{"jsonrpc":"2.0","method":"notifications/other","params":{"n":2}}`)
		case "2":
			numbered(x, 3, `{"jsonrpc":"2.0","id":`+callID+`,"result":{"content":[]}}`)
		default:
			t.Errorf("resumed after %q", x.r.Header.Get("Last-Event-ID"))
		}
	})
	var sink mcptest.Recorder
	res, err := dial(t, fake(t, s.handle), nil).Handle(t.Context(), request("tools/call", "x", `{"name":"x"}`), &sink)
	if err != nil || string(res.Body) != `{"content":[]}` || len(sink.Notes()) != 2 {
		t.Errorf("Handle = %s, %v, with %v", res.Body, err, sink.Notes())
	}
}

func TestClientSessionListen(t *testing.T) {
	events, next := make(chan string), make(chan bool)
	s := newOldServer(func(x *exchange) { x.result(`{}`) }, func(x *exchange) {
		x.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(x, "retry: 1\n\n")
		x.stream()
		x.ResponseWriter.(http.Flusher).Flush()
		for {
			select {
			case e := <-events:
				x.stream(e)
			case <-next: // the connection is cut
				return
			case <-x.r.Context().Done():
				return
			}
		}
	})
	c := dial(t, fake(t, s.handle), nil)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var sink mcptest.Recorder
	req := request("subscriptions/listen", "", `{"notifications":{"toolsListChanged":true,"promptsListChanged":true,"resourceSubscriptions":["x://1"]}}`)
	res, err := c.Handle(ctx, req, &sink)
	if err != nil || !res.Stream {
		t.Fatalf("Handle = %+v, %v", res, err)
	}
	events <- `{"jsonrpc":"2.0","method":"notifications/resources/updated","params":{"uri":"x://1"}}`
	events <- `{"jsonrpc":"2.0","method":"notifications/resources/updated","params":{"uri":"x://2"}}`
	c.OnAsk(func(_ context.Context, q mcp.InputRequest) (mcp.Raw, error) { return mcp.Raw(`{"roots":[]}`), nil })
	events <- `{"jsonrpc":"2.0","id":"q","method":"roots/list"}`
	if got := <-s.answers; got != `{"jsonrpc":"2.0","id":"q","result":{"roots":[]}}` {
		t.Errorf("answer to a request on the GET stream: %s", got)
	}
	events <- `{"jsonrpc":"2.0","id":"q2","method":"sampling/createMessage","params":{"messages":[],"maxTokens":1}}`
	if got := <-s.answers; !strings.Contains(got, "-32601") {
		t.Errorf("answer to what was not offered: %s", got)
	}
	want := []mcptest.Note{
		{Method: "notifications/subscriptions/acknowledged", Params: `{"notifications":{"toolsListChanged":true,"resourceSubscriptions":["x://1"]}}`},
		{Method: "notifications/resources/updated", Params: `{"uri":"x://1"}`},
		// What happened while no stream was open is lost, so lists may have changed.
		{Method: "notifications/tools/list_changed"},
	}
	if diff := cmp.Diff(want[:2], sink.Wait(t.Context(), 2)); diff != "" {
		t.Errorf("notifications (-want +got):\n%s", diff)
	}
	next <- true
	if diff := cmp.Diff(want, sink.Wait(t.Context(), 3)); diff != "" {
		t.Errorf("notifications after a gap (-want +got):\n%s", diff)
	}
	if err := c.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := sink.WaitEnd(t.Context()); !errors.Is(err, mcp.ErrClosed) {
		t.Errorf("end %v", err)
	}
}

func TestClientSessionListenWithoutStream(t *testing.T) {
	s := newOldServer(func(x *exchange) { x.result(`{}`) }, nil) // GET is 405
	c := dial(t, fake(t, s.handle), nil)
	var sink mcptest.Recorder
	if res, err := c.Handle(t.Context(), listenRequest(), &sink); err != nil || !res.Stream {
		t.Fatalf("Handle = %+v, %v", res, err)
	}
	s.forget()
	// The next call finds a new session; the subscription ends with the old one.
	if _, err := c.Handle(t.Context(), request("resources/read", "x://1", `{"uri":"x://1"}`), mcp.Discard); err != nil {
		t.Fatal(err)
	}
	if _, err := sink.WaitEnd(t.Context()); !errors.Is(err, mcp.ErrClosed) {
		t.Errorf("end %v", err)
	}
}
