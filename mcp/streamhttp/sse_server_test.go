package streamhttp_test

import (
	"bufio"
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/mcp/streamhttp"
)

// sse serves a fixture by HTTP+SSE.
func sse(t *testing.T, h mcp.Handler, opts *streamhttp.HandlerOptions) *endpoint {
	t.Helper()
	e := &endpoint{fixture: newFixture()}
	if h == nil {
		h = e.fixture
	}
	e.handler = streamhttp.NewHandler(h, opts)
	mux := http.NewServeMux()
	mux.Handle("/mcp", e.handler.SSE())
	srv := httptest.NewUnstartedServer(mux)
	srv.Config.ConnContext = streamhttp.ConnContext
	srv.Start()
	e.url, e.client = srv.URL, srv.Client()
	e.record(t)
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		_ = e.handler.Close(ctx)
		srv.CloseClientConnections()
		srv.Close()
	})
	return e
}

// openOld opens a stream and returns where to POST, what comes, and what cuts it.
func (e *endpoint) openOld(t *testing.T, headers ...string) (to string, next func() string, cut func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	resp, err := e.client.Do(e.request(t, ctx, http.MethodGet, "", append(headers, "Accept: text/event-stream")...))
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%v, %v", resp, err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	lines := bufio.NewScanner(resp.Body)
	event := func() (name, data string) {
		for lines.Scan() {
			switch key, value, _ := strings.Cut(lines.Text(), ": "); {
			case lines.Text() == "" && name != "":
				return name, data
			case key == "event":
				name = value
			case key == "data":
				data = value
			}
		}
		return "end", "EOF"
	}
	name, at := event()
	base, _ := url.Parse(e.url + "/mcp")
	ref, err := base.Parse(at)
	if name != "endpoint" || err != nil {
		t.Fatalf("the first event is %s %s", name, at)
	}
	return ref.String(), func() string { _, data := event(); return data }, cancel
}

// say POSTs a message and returns the status.
func (e *endpoint) say(t *testing.T, to, body string, headers ...string) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, to, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		req.Header.Set(name, value)
	}
	return e.send(t, req).status
}

func TestSSEServer(t *testing.T) {
	e := sse(t, nil, nil)
	to, next, cut := e.openOld(t)
	if got := e.say(t, to, legacyCall("0", "ping", "")); got != http.StatusAccepted {
		t.Errorf("POST: %d", got)
	}
	if got := next(); !strings.Contains(got, "send initialize first") {
		t.Errorf("before initialize: %s", got)
	}
	e.say(t, to, initializeOf("2024-11-05"))
	if got := next(); !strings.Contains(got, `"protocolVersion":"2024-11-05"`) {
		t.Fatalf("initialize: %s", got)
	}
	<-e.started // the session listens
	e.say(t, to, `{"jsonrpc":"2.0","method":"notifications/initialized"}`)
	e.say(t, to, legacyCall("1", "tools/call", `"name":"progress","arguments":{},"_meta":{"progressToken":5}`))
	for _, want := range []string{`"progress":1}`, `"progress":2}`, `"id":1,"result":{"content":`} {
		if got := next(); !strings.Contains(got, want) {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	if err := e.toAll(mcp.NewNotification(mcp.NotificationToolsListChanged, nil)); err != nil {
		t.Error(err)
	}
	if got := next(); !strings.Contains(got, "tools/list_changed") {
		t.Errorf("got %s", got)
	}
	// A call is cancelled by message, and by the end of the stream.
	e.say(t, to, legacyCall("2", "tools/call", `"name":"block"`))
	<-e.started
	e.say(t, to, `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":2}}`)
	<-e.ended
	e.say(t, to, legacyCall("3", "tools/call", `"name":"block"`))
	<-e.started
	cut()
	if err := <-e.ended; !errors.Is(err, context.Canceled) {
		t.Errorf("the call ended with %v", err)
	}
	for range 1000 { // the end of a connection is noticed, not told
		if e.say(t, to, legacyCall("4", "ping", "")) == http.StatusNotFound {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Error("the session outlives its stream")
}

func TestSSEServerAsks(t *testing.T) {
	s := mcp.NewServer("s", "1", nil)
	if err := mcp.AddTool(s, mcp.Tool{Name: "ask"}, func(ctx context.Context, call *mcp.Call, _ struct{}) (string, error) {
		r, err := call.Sample(ctx, "q", &mcp.SampleParams{MaxTokens: 1, Messages: []mcp.SamplingMessage{{Role: mcp.RoleUser, Content: []mcp.Content{mcp.Text("?")}}}})
		if err != nil {
			return "", err
		}
		return "it said " + r.Text(), nil
	}); err != nil {
		t.Fatal(err)
	}
	e := sse(t, s, nil)
	to, next, _ := e.openOld(t)
	e.say(t, to, `{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2024-11-05","capabilities":{"sampling":{}},"clientInfo":{"name":"c","version":"1"}}}`)
	next()
	e.say(t, to, legacyCall("1", "tools/call", `"name":"ask"`))
	if got := next(); !strings.Contains(got, `"id":1,"method":"sampling/createMessage"`) {
		t.Fatalf("got %s", got)
	}
	e.say(t, to, `{"jsonrpc":"2.0","id":1,"result":{"role":"assistant","content":{"type":"text","text":"yes"},"model":"m"}}`)
	if got := next(); !strings.Contains(got, "it said yes") {
		t.Errorf("got %s", got)
	}
}

func TestSSEServerRefuses(t *testing.T) {
	e := sse(t, nil, &streamhttp.HandlerOptions{
		MaxSessions: 2,
		Authenticate: func(r *http.Request) (mcp.Principal, error) {
			if name := r.Header.Get("Authorization"); name != "" {
				return mcp.Principal{Subject: name}, nil
			}
			return mcp.Principal{}, errors.New("who?")
		},
	})
	to, _, _ := e.openOld(t, "Authorization: alice")
	for name, tt := range map[string]struct {
		to, body string
		headers  []string
		want     int
	}{
		"nobody":             {to, legacyCall("1", "ping", ""), nil, http.StatusUnauthorized},
		"somebody else":      {to, legacyCall("1", "ping", ""), []string{"Authorization: mallory"}, http.StatusNotFound},
		"no session":         {e.url + "/mcp", legacyCall("1", "ping", ""), []string{"Authorization: alice"}, http.StatusNotFound},
		"no JSON":            {to, `{`, []string{"Authorization: alice"}, http.StatusBadRequest},
		"a batch":            {to, `[` + legacyCall("1", "ping", "") + `]`, []string{"Authorization: alice"}, http.StatusBadRequest},
		"another type":       {to, legacyCall("1", "ping", ""), []string{"Authorization: alice", "Content-Type: text/plain"}, http.StatusUnsupportedMediaType},
		"a foreign page":     {to, legacyCall("1", "ping", ""), []string{"Authorization: alice", "Origin: https://evil.example"}, http.StatusForbidden},
		"a message for ours": {to, legacyCall("1", "ping", ""), []string{"Authorization: alice"}, http.StatusAccepted},
	} {
		if got := e.say(t, tt.to, tt.body, tt.headers...); got != tt.want {
			t.Errorf("%s: %d, want %d", name, got, tt.want)
		}
	}
	if got := e.do(t, http.MethodDelete, "", "Authorization: alice"); got.status != http.StatusMethodNotAllowed {
		t.Errorf("DELETE: %d", got.status)
	}
	if got := e.do(t, http.MethodGet, "", "Authorization: alice", "Accept: text/html"); got.status != http.StatusNotAcceptable {
		t.Errorf("GET of a page: %d", got.status)
	}
	e.openOld(t, "Authorization: bob")
	if got := e.do(t, http.MethodGet, "", "Authorization: carol", "Accept: text/event-stream"); got.status != http.StatusServiceUnavailable {
		t.Errorf("the third session: %d", got.status)
	}
}

func TestSSEServerDrains(t *testing.T) {
	s := serveSlowSSE(t)
	to, next, _ := s.openOld(t)
	s.say(t, to, initializeOf("2024-11-05"))
	next()
	s.say(t, to, legacyCall("7", "tools/call", callSlow))
	if got := next(); got != progress(1) {
		t.Fatalf("got %s", got)
	}
	closed := make(chan error, 1)
	go func() { closed <- s.handler.Close(context.Background()) }()
	for range 3 {
		s.step <- struct{}{}
	}
	next()
	next()
	if got := next(); !strings.Contains(got, `"id":7,"result":`) {
		t.Errorf("the running call got %s", got)
	}
	if got := next(); got != "EOF" {
		t.Errorf("the stream goes on: %s", got)
	}
	if err := <-closed; err != nil {
		t.Error(err)
	}
}

// serveSlowSSE is serveSlow by HTTP+SSE.
func serveSlowSSE(t *testing.T) *slow {
	t.Helper()
	s := serveSlow(t, nil)
	srv := httptest.NewServer(s.handler.SSE())
	t.Cleanup(srv.Close)
	s.url, s.client = srv.URL, srv.Client()
	s.record(t)
	return s
}

// TestSSEServerWithOurClient: the client falls back to HTTP+SSE and works.
func TestSSEServerWithOurClient(t *testing.T) {
	e := sse(t, nil, nil)
	c := streamhttp.NewClient(e.url+"/mcp", nil)
	defer c.Close(context.Background())
	res, err := mcp.NewClient("c", "1", c, nil).CallTool(t.Context(), "structured", nil, nil)
	if err != nil || res == nil {
		t.Fatalf("%v, %v", res, err)
	}
	if v := c.Version(); v != mcp.LatestLegacyVersion && v != mcp.Version20241105 {
		t.Errorf("spoken: %s", v)
	}
}
