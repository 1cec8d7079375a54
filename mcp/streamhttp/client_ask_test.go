package streamhttp_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/mcp/jsonrpc"
	"github.com/fairlead-mcp/fairlead/mcp/mcptest"
	"github.com/fairlead-mcp/fairlead/mcp/streamhttp"
)

const elicitation = `{"jsonrpc":"2.0","id":"e1","method":"elicitation/create","params":{"message":"name?","requestedSchema":{"type":"object","properties":{}}}}`

// askedCall is a call by somebody who can be asked.
func askedCall() *mcp.Request {
	req := request("tools/call", "x", `{"name":"x"}`)
	req.Meta.Capabilities = []byte(`{"elicitation":{},"roots":{"listChanged":true}}`)
	return req
}

// retryOf is the call again, with an answer.
func retryOf(req *mcp.Request, res mcp.Result) *mcp.Request {
	again := *req
	again.Params = jsonrpc.Splice(nil, req.Params,
		jsonrpc.Member{Key: "inputResponses", Value: []byte(`{"q1":{"action":"accept","content":{"name":"Ann"}}}`)},
		jsonrpc.Member{Key: "requestState", Value: jsonrpc.Get(res.Body, "requestState")})
	return &again
}

const annSaid = `{"jsonrpc":"2.0","id":"e1","result":{"action":"accept","content":{"name":"Ann"}}}`

// TestClientAsked is asked in the middle of a call, whose stream goes on with the
// result after the answer.
func TestClientAsked(t *testing.T) {
	var s *oldServer
	s = newOldServer(func(x *exchange) {
		x.stream(elicitation)
		if got := <-s.answers; got != annSaid {
			t.Errorf("answer %s, want %s", got, annSaid)
		}
		x.stream(`{"jsonrpc":"2.0","id":ID,"result":{"content":[]}}`)
	}, nil)
	c := dial(t, fake(t, s.handle), nil)
	res, err := c.Handle(t.Context(), askedCall(), mcp.Discard)
	if err != nil || res.Type != mcp.ResultInputRequired {
		t.Fatalf("Handle = %s %s, %v", res.Type, res.Body, err)
	}
	want := `{"q1":{"method":"elicitation/create","params":{"message":"name?","requestedSchema":{"type":"object","properties":{}}}}}`
	if diff := cmp.Diff(want, string(jsonrpc.Get(res.Body, "inputRequests"))); diff != "" {
		t.Error("(-want +got)\n" + diff)
	}
	again := retryOf(askedCall(), res)
	if res, err = c.Handle(t.Context(), again, mcp.Discard); err != nil || string(res.Body) != `{"content":[]}` {
		t.Errorf("retry: %s, %v", res.Body, err)
	}
	if _, err := c.Handle(t.Context(), again, mcp.Discard); !errors.Is(err, &mcp.Error{Code: jsonrpc.CodeInvalidParams}) {
		t.Errorf("the same retry again: %v", err)
	}
}

// TestClientAskedByForgetfulServer loses the session while a call is parked: what
// has begun is not repeated.
func TestClientAskedByForgetfulServer(t *testing.T) {
	ran := 0
	s := newOldServer(func(x *exchange) {
		ran++
		x.stream(elicitation)
		x.gone()
	}, nil)
	c := dial(t, fake(t, s.handle), nil)
	res, err := c.Handle(t.Context(), askedCall(), mcp.Discard)
	if err != nil || res.Type != mcp.ResultInputRequired {
		t.Fatalf("Handle = %s %s, %v", res.Type, res.Body, err)
	}
	s.forget()
	if _, err := c.Handle(t.Context(), retryOf(askedCall(), res), mcp.Discard); !errors.Is(err, mcp.ErrClosed) {
		t.Errorf("retry: %v", err)
	}
	if ran != 1 {
		t.Errorf("the tool ran %d times", ran)
	}
}

// TestClientCloseWithParkedCall closes while a call waits for its retry.
func TestClientCloseWithParkedCall(t *testing.T) {
	s := newOldServer(func(x *exchange) {
		x.stream(elicitation)
		x.gone()
	}, nil)
	c := streamhttp.NewClient(fake(t, s.handle), nil)
	res, err := c.Handle(t.Context(), askedCall(), mcp.Discard)
	if err != nil || res.Type != mcp.ResultInputRequired {
		t.Fatalf("Handle = %s %s, %v", res.Type, res.Body, err)
	}
	if err := c.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := c.Handle(t.Context(), retryOf(askedCall(), res), mcp.Discard); !errors.Is(err, mcp.ErrClosed) {
		t.Errorf("retry: %v", err)
	}
}

// TestClientAskedOnGetStream is asked on the GET stream while a call is in flight, as
// some servers do. Where all calls are of one party that is the call, with its log
// messages; else nobody knows whose question it is.
func TestClientAskedOnGetStream(t *testing.T) {
	for _, one := range []bool{true, false} {
		t.Run(fmt.Sprint("one caller: ", one), func(t *testing.T) {
			calling := make(chan struct{}, 8)
			var s *oldServer
			s = newOldServer(func(x *exchange) {
				if x.msg.Method != mcp.MethodCallTool {
					x.result(`{}`)
					return
				}
				calling <- struct{}{}
				x.stream(strings.Replace(`{"jsonrpc":"2.0","id":ID,"result":{"content":[]}}`, "content\":[]", "got\":"+<-s.answers, 1))
			}, func(x *exchange) {
				x.stream() // it is open
				<-calling
				x.stream(`{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"error","data":"careful"}}`)
				x.stream(elicitation)
				x.gone()
			})
			url := fake(t, s.handle)
			c := dial(t, url, &streamhttp.ClientOptions{OneCaller: one, Capabilities: []byte(`{"elicitation":{}}`)})
			if !one { // then it opens with a subscription only
				req := request("subscriptions/listen", "", `{"notifications":{"toolsListChanged":true}}`)
				if _, err := c.Handle(t.Context(), req, mcp.Discard); err != nil {
					t.Fatal(err)
				}
			}
			req := askedCall()
			req.Meta.LogLevel = mcp.LogInfo
			var told mcptest.Recorder
			res, err := c.Handle(t.Context(), req, &told)
			if !one {
				if err != nil || !strings.Contains(string(res.Body), "belongs to no call") || len(told.Notes()) > 0 {
					t.Errorf("%s, %v; told %v", res.Body, err, told.Notes())
				}
				return
			}
			if err != nil || res.Type != mcp.ResultInputRequired || len(told.Notes()) != 1 {
				t.Fatalf("%s %s, %v; told %v", res.Type, res.Body, err, told.Notes())
			}
			if res, err = c.Handle(t.Context(), retryOf(req, res), mcp.Discard); err != nil || !strings.Contains(string(res.Body), "Ann") {
				t.Errorf("retry: %s, %v", res.Body, err)
			}
		})
	}
}

// TestClientRoots is asked for roots on the GET stream, which opens since somebody answers.
func TestClientRoots(t *testing.T) {
	roots := `{"jsonrpc":"2.0","id":"r","method":"roots/list"}`
	changed := make(chan struct{}, 1)
	s := newOldServer(toolResult, func(x *exchange) {
		x.stream(roots)
		select {
		case <-changed:
			x.stream(strings.Replace(roots, `"r"`, `"again"`, 1))
		case <-x.r.Context().Done():
		}
		x.gone()
	})
	c := dial(t, fake(t, func(x *exchange) {
		if x.msg.Method == "notifications/roots/list_changed" {
			changed <- struct{}{}
		}
		s.handle(x)
	}), nil)
	if err := c.RootsChanged(t.Context()); err != nil {
		t.Errorf("without a session: %v", err)
	}
	c.OnAsk(func(_ context.Context, q mcp.InputRequest) (mcp.Raw, error) {
		return mcp.Raw(`{"roots":[{"uri":"file:///a"}]}`), nil
	})
	if _, err := c.Handle(t.Context(), askedCall(), mcp.Discard); err != nil {
		t.Fatal(err)
	}
	if got, want := <-s.answers, `{"jsonrpc":"2.0","id":"r","result":{"roots":[{"uri":"file:///a"}]}}`; got != want {
		t.Errorf("answer %s, want %s", got, want)
	}
	if err := c.RootsChanged(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := <-s.answers; !strings.Contains(got, `"id":"again"`) {
		t.Errorf("answer %s", got)
	}
}

// TestClientPolls calls a tool of a server that lets the client come back for the
// answer many times (MCP 2025-11-25, basic/transports, Sending Messages to the Server).
func TestClientPolls(t *testing.T) {
	callID, polls := "", 0
	s := newOldServer(func(x *exchange) {
		callID = string(x.msg.ID)
		x.Header().Set("Content-Type", "text/event-stream")
		_, _ = fmt.Fprint(x, "id: 7\nretry: 1\ndata: \n\n")
	}, func(x *exchange) {
		if got := x.r.Header.Get("Last-Event-ID"); got != "7" {
			t.Errorf("Last-Event-ID %q", got)
		}
		if polls++; polls < 6 {
			x.stream()
			return
		}
		x.msg.ID = []byte(callID)
		x.stream(`{"jsonrpc":"2.0","id":ID,"result":{"content":[]}}`)
	})
	res, err := dial(t, fake(t, s.handle), nil).Handle(t.Context(), askedCall(), mcp.Discard)
	if err != nil || string(res.Body) != `{"content":[]}` || polls != 6 {
		t.Errorf("Handle = %s, %v, after %d polls", res.Body, err, polls)
	}
}

// TestClientPollRefused stops at the first refusal, and does not call the tool again.
func TestClientPollRefused(t *testing.T) {
	for _, status := range []int{http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusBadRequest} {
		calls, polls := 0, 0
		s := newOldServer(func(x *exchange) {
			calls++
			x.Header().Set("Content-Type", "text/event-stream")
			_, _ = fmt.Fprint(x, "id: 7\nretry: 1\ndata: \n\n")
		}, func(x *exchange) {
			polls++
			x.WriteHeader(status)
		})
		_, err := dial(t, fake(t, s.handle), nil).Handle(t.Context(), askedCall(), mcp.Discard)
		if !errors.Is(err, mcp.ErrClosed) || calls != 1 || polls != 1 {
			t.Errorf("status %d: %v after %d calls, %d polls", status, err, calls, polls)
		}
	}
}

func TestClientStatusKeepsRetryAfter(t *testing.T) {
	for _, tt := range []struct {
		header      string
		least, most time.Duration
	}{
		{"120", 2 * time.Minute, 2 * time.Minute},
		{"", 0, 0},
		{"-1", 0, 0},
		{"soon", 0, 0},
		{"99999999999999999999", 0, 0},
		{"4000000000", 24 * time.Hour, 24 * time.Hour},
		{time.Now().Add(time.Hour).UTC().Format(http.TimeFormat), 50 * time.Minute, time.Hour},
		{time.Now().Add(-time.Hour).UTC().Format(http.TimeFormat), 0, 0},
	} {
		url := fake(t, modern(func(x *exchange) {
			if tt.header != "" {
				x.Header().Set("Retry-After", tt.header)
			}
			x.WriteHeader(http.StatusTooManyRequests)
		}))
		_, err := dial(t, url, nil).Handle(t.Context(), listTools(), mcp.Discard)
		var bare *streamhttp.StatusError
		if !errors.As(err, &bare) || bare.RetryAfter < tt.least || bare.RetryAfter > tt.most {
			t.Errorf("Retry-After %q: %#v", tt.header, err)
		}
	}
}

func TestClientStatusKeepsChallenge(t *testing.T) {
	url := fake(t, func(x *exchange) {
		x.Header().Set("WWW-Authenticate", `Bearer resource_metadata="https://x.example/"`)
		x.WriteHeader(http.StatusUnauthorized)
	})
	_, err := dial(t, url, nil).Handle(t.Context(), askedCall(), mcp.Discard)
	var status *streamhttp.StatusError
	if !errors.As(err, &status) || status.Code != 401 || len(status.Authenticate) != 1 || !strings.HasPrefix(status.Authenticate[0], "Bearer ") {
		t.Errorf("error %#v", err)
	}
}

// sseServer is a fake server of HTTP+SSE of 2024-11-05.
type sseServer struct {
	endpoint string // data of the first event
	first    string // its name; empty means endpoint
	refuse   int    // status of POST to the stream's URL
	call     func(x *exchange, say func(string))
	messages chan string // what was POSTed besides calls
	streams  int
	say      chan string   // to the stream
	cut      chan struct{} // ends it
}

func newSSE(call func(x *exchange, say func(string))) *sseServer {
	return &sseServer{
		endpoint: "/messages?session=1", first: "endpoint", refuse: 404, call: call,
		messages: make(chan string, 100), say: make(chan string, 100), cut: make(chan struct{}),
	}
}

func (s *sseServer) handle(x *exchange) {
	switch {
	case x.r.Method == http.MethodGet && x.r.URL.Path == "/":
		s.streams++
		x.Header().Set("Content-Type", "text/event-stream")
		_, _ = fmt.Fprintf(x, "event: %s\ndata: %s\n\n", s.first, s.endpoint)
		x.ResponseWriter.(http.Flusher).Flush()
		for {
			select {
			case e := <-s.say:
				x.stream(e)
			case <-s.cut:
				return
			case <-x.r.Context().Done():
				return
			}
		}
	case x.r.URL.Path == "/":
		x.WriteHeader(s.refuse)
	case x.r.Method != http.MethodPost || x.r.URL.RequestURI() != s.endpoint:
		x.WriteHeader(400)
	default:
		defer x.WriteHeader(202)
		reply := func(text string) { s.say <- strings.ReplaceAll(text, "ID", string(x.msg.ID)) }
		switch {
		case x.msg.Method == "initialize":
			reply(`{"jsonrpc":"2.0","id":ID,"result":{"protocolVersion":"2024-11-05","capabilities":{"tools":{"listChanged":true}},"serverInfo":{"name":"s","version":"1"}}}`)
		case x.msg.Kind == jsonrpc.Request:
			s.call(x, reply)
		default:
			s.messages <- string(x.body)
		}
	}
}

func sseResult(_ *exchange, say func(string)) {
	say(`{"jsonrpc":"2.0","id":ID,"result":{"content":[]}}`)
}

func TestClientSSE(t *testing.T) {
	s := newSSE(func(x *exchange, say func(string)) {
		say(`{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":ID,"progress":1}}`)
		say(`{"jsonrpc":"2.0","id":"p","method":"ping"}`)
		say(`{"jsonrpc":"2.0","id":7,"method":"sampling/createMessage","params":{"messages":[],"maxTokens":1}}`)
		sseResult(x, say)
	})
	c := dial(t, fake(t, s.handle), nil)
	req := askedCall()
	req.Params = []byte(`{"name":"x","_meta":{"progressToken":"t"}}`)
	req.Meta.ProgressToken, req.Meta.Raw = []byte(`"t"`), []byte(`{"progressToken":"t"}`)
	var sink mcptest.Recorder
	res, err := c.Handle(t.Context(), req, &sink)
	if err != nil || string(res.Body) != `{"content":[]}` {
		t.Fatalf("Handle = %s, %v", res.Body, err)
	}
	if got := c.Version(); got != mcp.Version20241105 {
		t.Errorf("Version = %q", got)
	}
	want := []mcptest.Note{{Method: "notifications/progress", Params: `{"progressToken":"t","progress":1}`}}
	if diff := cmp.Diff(want, sink.Notes()); diff != "" {
		t.Errorf("notifications (-want +got):\n%s", diff)
	}
	got := map[string]bool{}
	for range 3 {
		got[<-s.messages] = true
	}
	if !got[`{"jsonrpc":"2.0","id":"p","result":{}}`] || !got[`{"jsonrpc":"2.0","method":"notifications/initialized"}`] {
		t.Errorf("messages %v", got)
	}

	// Changes come on the same stream.
	var changes mcptest.Recorder
	if res, err := c.Handle(t.Context(), listenRequest(), &changes); err != nil || !res.Stream {
		t.Fatalf("listen = %+v, %v", res, err)
	}
	s.say <- `{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}`
	if notes := changes.Wait(t.Context(), 2); notes[1].Method != mcp.NotificationToolsListChanged {
		t.Errorf("changes %v", notes)
	}

	// With the stream the session ends, and the next request opens another.
	s.cut <- struct{}{}
	if _, err := changes.WaitEnd(t.Context()); !errors.Is(err, mcp.ErrClosed) {
		t.Errorf("end %v", err)
	}
	if _, err := c.Handle(t.Context(), askedCall(), mcp.Discard); err != nil || s.streams != 2 {
		t.Errorf("%v, after %d streams", err, s.streams)
	}
}

// TestClientSSEAsked is asked by a server of HTTP+SSE that speaks of roots.
func TestClientSSEAsked(t *testing.T) {
	calls := make(chan string, 1)
	s := newSSE(func(x *exchange, say func(string)) {
		calls <- string(x.msg.ID)
		say(`{"jsonrpc":"2.0","id":"r","method":"roots/list"}`)
	})
	c := dial(t, fake(t, s.handle), nil)
	res, err := c.Handle(t.Context(), askedCall(), mcp.Discard)
	if err != nil || res.Type != mcp.ResultInputRequired {
		t.Fatalf("Handle = %s %s, %v", res.Type, res.Body, err)
	}
	again := retryOf(askedCall(), res)
	again.Params = jsonrpc.Splice(nil, again.Params, jsonrpc.Member{Key: "inputResponses", Value: []byte(`{"q1":{"roots":[]}}`)})
	id := <-calls
	go func() { // ends with the answer
		for got := range s.messages {
			if got == `{"jsonrpc":"2.0","id":"r","result":{"roots":[]}}` {
				s.say <- `{"jsonrpc":"2.0","id":` + id + `,"result":{"content":[]}}`
				return
			}
		}
	}()
	if res, err := c.Handle(t.Context(), again, mcp.Discard); err != nil || string(res.Body) != `{"content":[]}` {
		t.Errorf("retry: %s, %v", res.Body, err)
	}
}

// TestClientSSECancel ends a call; the server is told.
func TestClientSSECancel(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	s := newSSE(func(x *exchange, _ func(string)) { cancel() })
	c := dial(t, fake(t, s.handle), nil)
	if _, err := c.Handle(ctx, askedCall(), mcp.Discard); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	for got := range s.messages {
		if strings.Contains(got, mcp.NotificationCancelled) {
			break
		}
	}
}

// TestClientSSERefuses meets servers that break the rules, or are none of HTTP+SSE.
func TestClientSSERefuses(t *testing.T) {
	tests := []struct {
		name   string
		change func(s *sseServer)
		want   string
		posts  bool // whether the stream was opened
	}{
		{"endpoint of another origin", func(s *sseServer) { s.endpoint = "http://evil.example/messages" }, "another origin", true},
		{"endpoint of another port", func(s *sseServer) { s.endpoint = "//127.0.0.1:1/messages" }, "another origin", true},
		{"endpoint of another scheme", func(s *sseServer) { s.endpoint = "file:///etc/passwd" }, "another origin", true},
		{"endpoint that is no URL", func(s *sseServer) { s.endpoint = ":%" }, "no URL", true},
		{"endpoint without end", func(s *sseServer) { s.endpoint = "/" + strings.Repeat("x", 9000) }, "bytes", true},
		{"another first event", func(s *sseServer) { s.first = "message" }, "not endpoint", true},
		{"a server error is no fall-back", func(s *sseServer) { s.refuse = 503 }, "503", false},
		{"nor is a refusal", func(s *sseServer) { s.refuse = 401 }, "401", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newSSE(sseResult)
			tt.change(s)
			_, err := dial(t, fake(t, s.handle), nil).Handle(t.Context(), askedCall(), mcp.Discard)
			if err == nil || !strings.Contains(err.Error(), tt.want) || (s.streams > 0) != tt.posts {
				t.Errorf("error %v, %d streams; want one that tells of %q", err, s.streams, tt.want)
			}
			if len(s.messages) != 0 {
				t.Errorf("the server was told %s", <-s.messages)
			}
		})
	}
	for _, status := range []int{400, 405} {
		s := newSSE(sseResult)
		s.refuse = status
		if _, err := dial(t, fake(t, s.handle), nil).Handle(t.Context(), askedCall(), mcp.Discard); err != nil {
			t.Errorf("after status %d: %v", status, err)
		}
	}
}

// TestClientSSEEndsInCall loses the stream in the middle of a call, which is not repeated.
func TestClientSSEEndsInCall(t *testing.T) {
	calls := 0
	var s *sseServer
	s = newSSE(func(*exchange, func(string)) {
		calls++
		s.cut <- struct{}{}
	})
	_, err := dial(t, fake(t, s.handle), nil).Handle(t.Context(), askedCall(), mcp.Discard)
	if !errors.Is(err, mcp.ErrClosed) || calls != 1 {
		t.Errorf("%v after %d calls", err, calls)
	}
}
