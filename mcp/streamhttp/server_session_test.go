package streamhttp_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/mcp/streamhttp"
)

func initializeOf(version string) string {
	return `{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"` + version +
		`","capabilities":{"sampling":{},"roots":{},"elicitation":{},"experimental":{"e":{}}},"clientInfo":{"name":"old","version":"1"}}}`
}

// session opens a session and returns its header.
func (e *endpoint) session(t testing.TB, version string, headers ...string) string {
	t.Helper()
	got := e.do(t, http.MethodPost, initializeOf(version), headers...)
	id := got.header.Get("Mcp-Session-Id")
	if got.status != 200 || id == "" {
		t.Fatalf("initialize: got %d %s", got.status, got.body)
	}
	return "Mcp-Session-Id: " + id
}

func legacyCall(id, method, params string) string {
	return `{"jsonrpc":"2.0","id":` + id + `,"method":"` + method + `","params":{` + params + `}}`
}

// bodyFor is a body that method may have.
func bodyFor(method string) string {
	if method == http.MethodPost {
		return legacyCall("1", "ping", "")
	}
	return ""
}

func TestInitialize(t *testing.T) {
	e := serve(t, nil)
	for _, tc := range []struct{ asked, got string }{
		{"2025-11-25", "2025-11-25"},
		{"2025-06-18", "2025-06-18"},
		{"2025-03-26", "2025-03-26"},
		{"2024-11-05", "2024-11-05"},
		{"2026-07-28", "2025-11-25"},
		{"1999-01-01", "2025-11-25"},
	} {
		got := e.do(t, http.MethodPost, initializeOf(tc.asked))
		for _, want := range []string{`"protocolVersion":"` + tc.got + `"`, `"capabilities":{"tools":{},"extensions":{"x":{}}`, `"serverInfo":{"name":"fixture","version":"1"}`, `"instructions":"be kind"`} {
			if !strings.Contains(got.body, want) {
				t.Errorf("%s: got %s, want %s", tc.asked, got.body, want)
			}
		}
		if strings.Contains(got.body, "resultType") {
			t.Errorf("%s: %s has members of another revision", tc.asked, got.body)
		}
	}
	if got := e.do(t, http.MethodPost, legacyCall("1", "initialize", "")); !strings.Contains(got.body, "-32602") || got.header.Get("Mcp-Session-Id") != "" {
		t.Errorf("without version: got %s", got.body)
	}
}

func TestSession(t *testing.T) {
	e := serve(t, nil)
	s := e.session(t, "2025-11-25")
	v := "MCP-Protocol-Version: 2025-11-25"
	for _, tc := range []struct {
		name, body string
		headers    []string
		status     int
		want       string
	}{
		{"initialized", `{"jsonrpc":"2.0","method":"notifications/initialized"}`, []string{s, v}, 202, ""},
		{"ping", legacyCall(`"p"`, "ping", ""), []string{s, v}, 200, `{"jsonrpc":"2.0","id":"p","result":{}}`},
		{"without version header", legacyCall("1", "ping", ""), []string{s}, 200, `"result":{}`},
		{"call", legacyCall("1", "tools/call", `"name":"echo"`), []string{s, v}, 200, `{"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"text","text":"ok"}]}}`},
		{"level", legacyCall("1", "logging/setLevel", `"level":"error"`), []string{s, v}, 200, `"result":{}`},
		{"no level", legacyCall("1", "logging/setLevel", `"level":"loud"`), []string{s, v}, 200, `-32602`},
		{"unknown method", legacyCall("1", "no/such", ""), []string{s, v}, 200, `-32601`},
		{"method of another revision", legacyCall("1", "server/discover", ""), []string{s, v}, 200, `-32601`},
		{"initialize twice", initializeOf("2025-11-25"), []string{s, v}, 200, `-32600`},
		{"unknown resource", legacyCall("1", "resources/read", `"uri":"x:y"`), []string{s, v}, 200, `-32002`},
		{"input required", legacyCall("1", "prompts/get", `"name":"x"`), []string{s, v}, 200, `-32603`},
		{"structured content", legacyCall("1", "tools/call", `"name":"structured"`), []string{s, v}, 200, `"result":{"content":[]}`},
		{"output schemas", legacyCall("1", "tools/list", ``), []string{s, v}, 200, `[{"name":"a","inputSchema":{"type":"object"}},{"name":"b","inputSchema":{"type":"object"},"outputSchema":{"type":"object"}}]`},
		{"no name", legacyCall("1", "tools/call", ``), []string{s, v}, 200, `-32602`},
		{"arguments of a wrong type", legacyCall("1", "tools/call", `"name":"echo","arguments":[]`), []string{s, v}, 200, `-32602`},
		{"response to nothing", `{"jsonrpc":"2.0","id":9,"result":{}}`, []string{s, v}, 202, ``},
		{"batch", `[` + legacyCall("1", "ping", "") + `]`, []string{s, v}, 400, `-32600`},
		{"not JSON", `{`, []string{s, v}, 400, `-32700`},

		{"no session", legacyCall("1", "ping", ""), []string{v}, 400, `"error"`},
		{"unknown session", legacyCall("1", "ping", ""), []string{v, "Mcp-Session-Id: nope"}, 404, `"error"`},
		{"initialize in an unknown session", initializeOf("2025-11-25"), []string{v, "Mcp-Session-Id: nope"}, 404, `"error"`},
		{"two sessions", legacyCall("1", "ping", ""), []string{v, s, s}, 400, `"error"`},
		{"invalid version header", legacyCall("1", "ping", ""), []string{s, "MCP-Protocol-Version: 1.0"}, 400, `"error"`},
		{"unknown version header", legacyCall("1", "ping", ""), []string{s, "MCP-Protocol-Version: 2025-01-01"}, 400, `-32022`},
		{"version header twice", legacyCall("1", "ping", ""), []string{s, v, v}, 400, `"error"`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := e.do(t, http.MethodPost, tc.body, tc.headers...)
			if got.status != tc.status || !strings.Contains(got.body, tc.want) {
				t.Errorf("got %d %s, want %d with %s", got.status, got.body, tc.status, tc.want)
			}
		})
	}
}

func TestSessionRequestReachesHandler(t *testing.T) {
	e := serve(t, nil)
	s := e.session(t, "2025-06-18")
	e.do(t, http.MethodPost, legacyCall("7", "tools/call", `"name":"echo","arguments":{"a":1},"_meta":{"progressToken":5}`), s)
	req := e.last()
	if req.Meta.Version != mcp.Version20250618 || string(req.Meta.ProgressToken) != "5" || string(req.Arguments) != `{"a":1}` ||
		req.Meta.LogLevel != mcp.LogInfo || string(req.Meta.Capabilities) != `{"sampling":{},"roots":{},"elicitation":{},"experimental":{"e":{}}}` ||
		string(req.Meta.ClientInfo) != `{"name":"old","version":"1"}` || req.Header != nil {
		t.Errorf("got %+v", req)
	}
	e.do(t, http.MethodPost, legacyCall("8", "logging/setLevel", `"level":"error"`), s)
	e.do(t, http.MethodPost, legacyCall("9", "tools/call", `"name":"echo"`), s)
	if got := e.last().Meta.LogLevel; got != mcp.LogError {
		t.Errorf("level is %s", got)
	}
}

func TestBatch(t *testing.T) {
	e := serve(t, nil)
	s := e.session(t, "2025-03-26")
	got := e.do(t, http.MethodPost, `[`+legacyCall("1", "ping", "")+`,{"jsonrpc":"2.0","method":"notifications/initialized"},`+legacyCall("2", "tools/call", `"name":"structured"`)+`]`, s)
	if got.status != 200 || got.body != `[{"jsonrpc":"2.0","id":1,"result":{}},{"jsonrpc":"2.0","id":2,"result":{"content":[]}}]` {
		t.Errorf("got %d %s", got.status, got.body)
	}
	for body, want := range map[string]int{
		`[{"jsonrpc":"2.0","method":"notifications/initialized"}]`: 202,
		`[]`:                                   400,
		`[1]`:                                  400,
		`[` + initializeOf("2025-03-26") + `]`: 400,
		`[` + strings.Repeat(legacyCall("1", "ping", "")+",", 50) + legacyCall("1", "ping", "") + `]`: 400,
	} {
		if got := e.do(t, http.MethodPost, body, s); got.status != want {
			t.Errorf("%.60s: got %d %s, want %d", body, got.status, got.body, want)
		}
	}
}

func TestSessionEnds(t *testing.T) {
	e := serve(t, nil)
	s := e.session(t, "2025-11-25")
	_, next := e.stream(t, t.Context(), http.MethodGet, "", s)
	<-e.started
	if got := next(); got != "" {
		t.Errorf("the first event is %s", got)
	}
	if got := e.do(t, http.MethodDelete, "", s); got.status != 204 {
		t.Errorf("DELETE: got %d", got.status)
	}
	if got := next(); got != "EOF" {
		t.Errorf("the stream goes on: %s", got)
	}
	for _, method := range []string{"POST", "GET", "DELETE"} {
		if got := e.do(t, method, bodyFor(method), s); got.status != 404 {
			t.Errorf("%s after DELETE: got %d", method, got.status)
		}
	}
	for _, method := range []string{"GET", "DELETE"} {
		if got := e.do(t, method, "{}", s); got.status != 400 {
			t.Errorf("%s with a body: got %d", method, got.status)
		}
		if got := e.do(t, method, ""); got.status != 400 {
			t.Errorf("%s without session: got %d", method, got.status)
		}
	}
}

func TestSessionStream(t *testing.T) {
	e := serve(t, nil)
	s := e.session(t, "2025-11-25")
	if got := e.do(t, http.MethodPost, legacyCall("1", "resources/subscribe", `"uri":"a:b"`), s); !strings.Contains(got.body, `"result":{}`) {
		t.Fatalf("subscribe: %s", got.body)
	}
	<-e.started
	if got := string(e.last().Params); got != `{"notifications":{"resourceSubscriptions":["a:b"]}}` {
		t.Errorf("asked for %s", got)
	}
	resp, next := e.stream(t, t.Context(), http.MethodGet, "", s, "Accept: text/event-stream", "Last-Event-ID: forged")
	if resp.StatusCode != 200 || resp.Header.Get("X-Accel-Buffering") != "no" {
		t.Fatalf("got %d %v", resp.StatusCode, resp.Header)
	}
	<-e.started
	if got := e.do(t, http.MethodGet, "", s); got.status != http.StatusConflict {
		t.Errorf("second stream: got %d", got.status)
	}
	if got := next(); got != "" {
		t.Errorf("the first event is %s", got)
	}
	e.mu.Lock()
	updates, lists := e.sinks[0], e.sinks[1]
	e.mu.Unlock()
	_ = updates.Notify(mcp.NewNotification(mcp.NotificationResourceUpdated, []byte(`{"uri":"a:b"}`)))
	if got := next(); got != `{"jsonrpc":"2.0","method":"notifications/resources/updated","params":{"uri":"a:b"}}` {
		t.Errorf("got %s", got)
	}
	_ = lists.Notify(mcp.NewNotification(mcp.NotificationToolsListChanged, nil))
	if got := next(); got != `{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}` {
		t.Errorf("got %s", got)
	}
	e.do(t, http.MethodPost, legacyCall("2", "resources/unsubscribe", `"uri":"a:b"`), s)
	if err := updates.Notify(mcp.NewNotification(mcp.NotificationResourceUpdated, nil)); err == nil {
		t.Error("the subscription goes on")
	}
	if got := e.do(t, http.MethodGet, "", s, "Accept: application/json"); got.status != 406 {
		t.Errorf("GET that takes no events: got %d", got.status)
	}
}

func TestSessionCancel(t *testing.T) {
	e := serve(t, nil)
	s := e.session(t, "2025-11-25")
	type result struct{ a answer }
	done := make(chan result, 1)
	req := e.request(t, t.Context(), http.MethodPost, legacyCall(`"a"`, "tools/call", `"name":"block"`), s)
	go func() { done <- result{e.send(t, req)} }()
	<-e.started
	if got := e.do(t, http.MethodPost, legacyCall(`"\u0061"`, "ping", ""), s); !strings.Contains(got.body, "-32600") {
		t.Errorf("an id in flight was taken again: %s", got.body)
	}
	e.do(t, http.MethodPost, `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":"a"}}`, s)
	<-e.ended
	if got := <-done; strings.Contains(got.a.body, "jsonrpc") {
		t.Errorf("a cancelled call got %d %s", got.a.status, got.a.body)
	}
	if got := e.do(t, http.MethodPost, legacyCall(`"a"`, "ping", ""), s); !strings.Contains(got.body, `"result":{}`) {
		t.Errorf("the id is not free again: %s", got.body)
	}
}

func TestSessionBelongsToPrincipal(t *testing.T) {
	e := serve(t, &streamhttp.HandlerOptions{
		Authenticate: func(r *http.Request) (mcp.Principal, error) {
			return mcp.Principal{Subject: r.Header.Get("Authorization")}, nil
		},
		MaxSessionsPerPrincipal: 1,
	})
	s := e.session(t, "2025-11-25", "Authorization: ada")
	for _, method := range []string{"POST", "GET", "DELETE"} {
		if got := e.do(t, method, bodyFor(method), s, "Authorization: eve"); got.status != 404 {
			t.Errorf("%s of somebody else: got %d", method, got.status)
		}
	}
	if got := e.do(t, http.MethodPost, initializeOf("2025-11-25"), "Authorization: ada"); got.status != 503 || got.header.Get("Retry-After") == "" {
		t.Errorf("second session of one: got %d", got.status)
	}
	e.session(t, "2025-11-25", "Authorization: eve")
}

func TestSessionCapAndExpiry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := serveInMemory(t, &streamhttp.HandlerOptions{MaxSessions: 2, SessionTimeout: time.Hour})
		kept, idle := e.session(t, "2025-11-25"), e.session(t, "2025-11-25")
		if got := e.do(t, http.MethodPost, initializeOf("2025-11-25")); got.status != 503 {
			t.Errorf("third of two sessions: got %d", got.status)
		}
		ctx, cancel := context.WithCancel(t.Context())
		_, next := e.stream(t, ctx, http.MethodGet, "", kept)
		reading := make(chan struct{})
		go func() { // a client that reads its keep-alives; ends with the stream
			defer close(reading)
			for next() != "EOF" {
			}
		}()
		time.Sleep(2 * time.Hour) // the bubble's time
		synctest.Wait()
		if got := e.do(t, http.MethodPost, legacyCall("1", "ping", ""), kept); got.status != 200 {
			t.Errorf("a session with a stream has expired: %d", got.status)
		}
		if got := e.do(t, http.MethodPost, legacyCall("1", "ping", ""), idle); got.status != 404 {
			t.Errorf("an idle session lives: %d", got.status)
		}
		cancel()
		<-reading
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		if got := e.do(t, http.MethodPost, legacyCall("1", "ping", ""), kept); got.status != 404 {
			t.Errorf("a session without its stream lives: %d", got.status)
		}
	})
}

func TestSessionCallOutlivesConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := serveInMemory(t, &streamhttp.HandlerOptions{CallTimeout: time.Hour})
		s := e.session(t, "2025-11-25")
		ctx, cancel := context.WithCancel(t.Context())
		before := time.Now()
		req := e.request(t, ctx, http.MethodPost, legacyCall("1", "tools/call", `"name":"block"`), s)
		gone := make(chan struct{})
		go func() {
			defer close(gone)
			if resp, err := e.client.Do(req); err == nil {
				_ = resp.Body.Close()
			}
		}()
		<-e.started
		cancel()
		<-gone
		if err := <-e.ended; err != context.DeadlineExceeded || time.Since(before) != time.Hour {
			t.Errorf("the call ended after %v: %v", time.Since(before), err)
		}
	})
}

func TestCloseWaitsForCallsOfSessions(t *testing.T) {
	e := serve(t, nil)
	s := e.session(t, "2025-11-25")
	done := make(chan answer, 1)
	req := e.request(t, t.Context(), http.MethodPost, legacyCall("1", "tools/call", `"name":"block"`), s)
	go func() { done <- e.send(t, req) }()
	<-e.started
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := e.handler.Close(ctx); err != context.Canceled {
		t.Errorf("Close: %v", err)
	}
	if got := <-done; !strings.Contains(got.body, "request cancelled") {
		t.Errorf("got %s", got.body)
	}
	if err := e.handler.Close(t.Context()); err != nil {
		t.Errorf("second Close: %v", err)
	}
}

// TestIdleSessionIsSmall holds an idle session to its budget: 2 KB and nothing that runs.
func TestIdleSessionIsSmall(t *testing.T) {
	const count = 5000
	e := serve(t, nil)
	open := func() {
		r := e.request(t, t.Context(), http.MethodPost, initializeOf("2025-11-25"))
		r.Host, r.RequestURI = "localhost", "/mcp"
		w := &sink{header: http.Header{}}
		e.handler.ServeHTTP(w, r)
		if w.header.Get("Mcp-Session-Id") == "" {
			t.Fatal("no session")
		}
	}
	measure := func() (uint64, int) {
		e.mu.Lock()
		e.seen = nil
		e.mu.Unlock()
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc, runtime.NumGoroutine()
	}
	open()
	bytes, goroutines := measure()
	for range count {
		open()
	}
	bytesAfter, goroutinesAfter := measure()
	each := int64(bytesAfter-bytes) / count
	t.Logf("%d bytes for each session", each)
	if each > 2048 {
		t.Errorf("an idle session takes %d bytes", each)
	}
	if goroutinesAfter > goroutines+5 {
		t.Errorf("%d goroutines became %d", goroutines, goroutinesAfter)
	}
	runtime.KeepAlive(e)
}

// sink is a ResponseWriter that keeps no body.
type sink struct{ header http.Header }

func (s *sink) Header() http.Header         { return s.header }
func (s *sink) Write(p []byte) (int, error) { return len(p), nil }
func (s *sink) WriteHeader(int)             {}

func TestSessionIDs(t *testing.T) {
	e := serve(t, nil)
	seen := map[string]bool{}
	for range 200 {
		_, id, _ := strings.Cut(e.session(t, "2025-11-25"), ": ")
		if len(id) < 26 || seen[id] {
			t.Fatalf("id %q", id)
		}
		for _, c := range id {
			if c < 0x21 || c > 0x7e {
				t.Fatalf("id %q has %s", id, fmt.Sprintf("%q", c))
			}
		}
		seen[id] = true
	}
}

// TestManyClientsWithTheSameIDs is 100 clients of each era that all use the id 1
// and the progress token "t".
func TestManyClientsWithTheSameIDs(t *testing.T) {
	h := mcp.HandlerFunc(func(ctx context.Context, req *mcp.Request, sink mcp.Sink) (mcp.Result, error) {
		if req.Method == mcp.MethodDiscover {
			return mcp.Result{}, nil
		}
		text := `{"progressToken":` + string(req.Meta.ProgressToken) + `,"progress":1,"of":"` + req.Name + `"}`
		if err := sink.Notify(mcp.NewNotification(mcp.NotificationProgress, []byte(text))); err != nil {
			return mcp.Result{}, err
		}
		return mcp.Result{Body: []byte(`{"content":[],"answer":"` + req.Name + `"}`)}, nil
	})
	e := &endpoint{handler: streamhttp.NewHandler(h, nil)}
	srv := httptest.NewServer(e.handler)
	defer srv.Close()
	e.url, e.client = srv.URL, srv.Client()
	e.record(t)
	var clients sync.WaitGroup
	for i := range 200 {
		clients.Go(func() {
			name := fmt.Sprintf("client-%d", i)
			params := `"name":"` + name + `",`
			var headers []string
			if i%2 == 0 {
				params += strings.TrimSuffix(meta, "}") + `,"progressToken":"t"}`
				headers = []string{"MCP-Protocol-Version: 2026-07-28", "Mcp-Method: tools/call", "Mcp-Name: " + name}
			} else {
				resp, err := e.client.Do(e.request(t, t.Context(), http.MethodPost, initializeOf("2025-11-25")))
				if err != nil {
					t.Error(err)
					return
				}
				_ = resp.Body.Close()
				params += `"_meta":{"progressToken":"t"}`
				headers = []string{"Mcp-Session-Id: " + resp.Header.Get("Mcp-Session-Id")}
			}
			for range 5 {
				resp, err := e.client.Do(e.request(t, t.Context(), http.MethodPost, legacyCall("1", "tools/call", params), headers...))
				if err != nil {
					t.Error(err)
					return
				}
				body, err := io.ReadAll(resp.Body)
				_ = resp.Body.Close()
				if got := string(body); err != nil || strings.Count(got, "data: {") != 2 ||
					!strings.Contains(got, `"progressToken":"t","progress":1,"of":"`+name+`"`) || !strings.Contains(got, `"answer":"`+name+`"`) {
					t.Errorf("%s got %q (%v)", name, got, err)
				}
			}
		})
	}
	clients.Wait()
}

// TestSessionOfRequests: requests of one session say so, and who wants to know is told
// of its end.
func TestSessionOfRequests(t *testing.T) {
	var mu sync.Mutex
	var seen []*mcp.Session
	e := serveWith(t, nil, func(next mcp.Handler) mcp.Handler {
		return mcp.HandlerFunc(func(ctx context.Context, req *mcp.Request, sink mcp.Sink) (mcp.Result, error) {
			mu.Lock()
			seen = append(seen, req.Session)
			mu.Unlock()
			return next.Handle(ctx, req, sink)
		})
	})
	one, two := e.session(t, "2025-11-25"), e.session(t, "2025-06-18")
	for i, s := range []string{one, two, one} {
		if got := e.do(t, http.MethodPost, legacyCall(fmt.Sprint(i+1), "tools/list", ""), s); got.status != 200 {
			t.Fatalf("tools/list: %d %s", got.status, got.body)
		}
	}
	// initialize of each, and the three calls
	if len(seen) != 5 || seen[0] == nil || seen[0] == seen[1] || seen[2] != seen[0] || seen[3] != seen[1] || seen[4] != seen[0] {
		t.Fatalf("sessions of the requests: %v", seen)
	}
	ended := make(chan string, 4)
	if _, ok := seen[0].AfterEnd(func() { ended <- "first" }); !ok {
		t.Error("ended before its end")
	}
	stop, _ := seen[0].AfterEnd(func() { ended <- "stopped" })
	stop()
	_, _ = seen[1].AfterEnd(func() { ended <- "second" })
	if got := e.do(t, http.MethodDelete, "", one); got.status >= 300 {
		t.Fatalf("DELETE: %d", got.status)
	}
	if got := <-ended; got != "first" || len(ended) != 0 {
		t.Errorf("told of the end of %s, and %d more", got, len(ended))
	}
	if _, ok := seen[0].AfterEnd(func() {}); ok {
		t.Error("a session that has ended takes who wants to know")
	}
}
