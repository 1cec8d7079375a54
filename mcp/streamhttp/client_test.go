package streamhttp_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/mcp/jsonrpc"
	"github.com/fairlead-mcp/fairlead/mcp/mcptest"
	"github.com/fairlead-mcp/fairlead/mcp/mcptest/wirecheck"
	"github.com/fairlead-mcp/fairlead/mcp/streamhttp"
	"github.com/google/go-cmp/cmp"
)

// exchange is one HTTP request at a fake server.
type exchange struct {
	http.ResponseWriter
	r    *http.Request
	body []byte
	msg  jsonrpc.Message
}

// json answers with a status and a body in which ID stands for the request's id.
func (x *exchange) json(status int, body string) {
	x.Header().Set("Content-Type", "application/json")
	x.WriteHeader(status)
	_, _ = io.WriteString(x, strings.ReplaceAll(body, "ID", string(x.msg.ID)))
}

func (x *exchange) result(body string) { x.json(200, `{"jsonrpc":"2.0","id":ID,"result":`+body+`}`) }

func (x *exchange) fail(status, code int, data string) {
	x.json(status, fmt.Sprintf(`{"jsonrpc":"2.0","id":ID,"error":{"code":%d,"message":"no","data":%s}}`, code, data))
}

// stream answers with events; ID and TOKEN stand for the request's.
func (x *exchange) stream(events ...string) {
	x.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
	token := string(jsonrpc.Get(x.msg.Meta, "progressToken"))
	if token == "" {
		token = `"none"`
	}
	for _, e := range events {
		e = strings.ReplaceAll(e, "TOKEN", token)
		_, _ = io.WriteString(x, "data: "+strings.ReplaceAll(e, "ID", string(x.msg.ID))+"\n\n")
		x.ResponseWriter.(http.Flusher).Flush()
	}
}

// gone waits until the client closes the exchange.
func (x *exchange) gone() { <-x.r.Context().Done() }

const discovered = `{"resultType":"complete","supportedVersions":["2026-07-28"],"capabilities":{"tools":{}}}`

// modern makes a fake modern server of what answers requests other than server/discover.
func modern(next func(x *exchange)) func(x *exchange) {
	return func(x *exchange) {
		if x.msg.Method == "server/discover" {
			x.result(discovered)
			return
		}
		next(x)
	}
}

// fake starts a server; handle sees scanned messages.
func fake(t *testing.T, handle func(x *exchange)) string {
	t.Helper()
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		x := &exchange{ResponseWriter: w, r: r}
		x.body, _ = io.ReadAll(r.Body)
		if r.Method == http.MethodPost {
			var err error
			if x.msg, err = jsonrpc.Scan(x.body, nil); err != nil {
				t.Errorf("the client sent %q: %v", x.body, err)
			}
		}
		handle(x)
	}))
	s.Listener = mcptest.Tap(t, wirecheck.Client).Listener(s.Listener)
	s.Start()
	t.Cleanup(s.Close)
	return s.URL
}

func dial(t *testing.T, url string, opts *streamhttp.ClientOptions) *streamhttp.Client {
	t.Helper()
	c := streamhttp.NewClient(url, opts)
	t.Cleanup(func() {
		if err := c.Close(context.Background()); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return c
}

func request(method, name, params string) *mcp.Request {
	req := &mcp.Request{Method: method, Name: name, Meta: mcp.Meta{
		Version: mcp.LatestVersion, ClientInfo: []byte(`{"name":"t","version":"1"}`), Capabilities: []byte(`{"roots":{}}`),
	}}
	if params != "" {
		req.Params = []byte(params)
		req.Arguments = jsonrpc.Get(req.Params, "arguments")
	}
	return req
}

func listTools() *mcp.Request { return request("tools/list", "", "") }

func TestClientRequest(t *testing.T) {
	type sent struct{ method, name, version, accept, contentType, custom, params string }
	var got sent
	url := fake(t, modern(func(x *exchange) {
		h := x.r.Header
		got = sent{h.Get("Mcp-Method"), h.Get("Mcp-Name"), h.Get("MCP-Protocol-Version"), h.Get("Accept"), h.Get("Content-Type"), h.Get("X-Custom"), string(x.msg.Params)}
		if h.Get("Mcp-Session-Id") != "" {
			t.Error("a session id in a modern request")
		}
		x.result(`{"resultType":"complete","ttlMs":5000,"cacheScope":"public","contents":[]}`)
	}))
	c := dial(t, url, &streamhttp.ClientOptions{Header: http.Header{"X-Custom": {"yes"}, "Accept": {"text/html"}}})
	res, err := c.Handle(t.Context(), request("resources/read", "file:///ü", `{"uri":"file:///ü"}`), mcp.Discard)
	if err != nil {
		t.Fatal(err)
	}
	want := mcp.Result{Type: mcp.ResultComplete, Body: []byte(`{"contents":[]}`), Cache: mcp.Cache{TTL: 5 * time.Second, Scope: mcp.CachePublic}}
	if diff := cmp.Diff(want, res); diff != "" {
		t.Errorf("result (-want +got):\n%s", diff)
	}
	meta := `{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientInfo":{"name":"t","version":"1"},"io.modelcontextprotocol/clientCapabilities":{"roots":{}}}`
	wantSent := sent{"resources/read", "=?base64?ZmlsZTovLy/DvA==?=", "2026-07-28", "application/json, text/event-stream", "application/json", "yes", `{"uri":"file:///ü","_meta":` + meta + `}`}
	if got != wantSent {
		t.Errorf("sent %+v\nwant %+v", got, wantSent)
	}
}

// TestClientEra asks servers of many kinds what they are.
func TestClientEra(t *testing.T) {
	initialize := func(x *exchange) { // an old server without sessions
		switch x.msg.Method {
		case "initialize":
			x.result(`{"protocolVersion":"2025-06-18","capabilities":{"tools":{}},"serverInfo":{"name":"old","version":"1"}}`)
		case "notifications/initialized":
			x.WriteHeader(202)
		default:
			x.result(`{"tools":[]}`)
		}
	}
	const unsupported = -32022
	for _, tt := range []struct {
		name  string
		probe func(x *exchange)
		want  string // "modern", "legacy" or part of an error
	}{
		{"modern", func(x *exchange) { x.result(discovered) }, "modern"},
		{"modern stream", func(x *exchange) { x.stream(`{"jsonrpc":"2.0","id":ID,"result":` + discovered + `}`) }, "modern"},
		{"speaks both", func(x *exchange) { x.result(`{"supportedVersions":["2025-11-25","2026-07-28"],"capabilities":{}}`) }, "modern"},
		{"speaks only old ones", func(x *exchange) { x.result(`{"supportedVersions":["2025-11-25"],"capabilities":{}}`) }, "legacy"},
		{"speaks none of ours", func(x *exchange) { x.result(`{"supportedVersions":["2030-01-01"],"capabilities":{}}`) }, "no protocol revision"},
		{"unsupported version, old one named", func(x *exchange) { x.fail(400, unsupported, `{"supported":["2025-06-18"]}`) }, "legacy"},
		{"unsupported version, none of ours", func(x *exchange) { x.fail(400, unsupported, `{"supported":["2030-01-01"]}`) }, "no protocol revision"},
		{"header mismatch", func(x *exchange) { x.fail(400, -32020, `null`) }, "modern"},
		{"missing capability", func(x *exchange) { x.fail(400, -32021, `{"requiredCapabilities":{}}`) }, "modern"},
		{"modern without discover", func(x *exchange) { x.fail(404, -32601, `null`) }, "modern"},
		{"method not found in the old way", func(x *exchange) { x.fail(200, -32601, `null`) }, "legacy"},
		{"no session", func(x *exchange) {
			x.json(400, `{"jsonrpc":"2.0","id":null,"error":{"code":-32000,"message":"Bad Request: no session"}}`)
		}, "legacy"},
		{"no session, own id", func(x *exchange) {
			x.json(400, `{"jsonrpc":"2.0","id":"server-error","error":{"code":-32600,"message":"Missing session ID"}}`)
		}, "legacy"},
		{"empty 400", func(x *exchange) { x.WriteHeader(400) }, "legacy"},
		{"text 400", func(x *exchange) { http.Error(x, "what?", http.StatusBadRequest) }, "legacy"},
		{"broken 400", func(x *exchange) { x.json(400, `{`) }, "legacy"},
		{"404", func(x *exchange) { http.NotFound(x, x.r) }, "legacy"},
		{"405", func(x *exchange) { x.WriteHeader(405) }, "legacy"},
		{"406", func(x *exchange) { x.WriteHeader(406) }, "legacy"},
		{"401", func(x *exchange) { x.WriteHeader(401) }, "status 401"},
		{"403", func(x *exchange) { x.WriteHeader(403) }, "status 403"},
		{"429", func(x *exchange) { x.WriteHeader(429) }, "status 429"},
		{"500", func(x *exchange) { x.WriteHeader(500) }, "status 500"},
		{"202", func(x *exchange) { x.WriteHeader(202) }, "status 202"},
		{"a web page", func(x *exchange) { x.Header().Set("Content-Type", "text/html"); _, _ = io.WriteString(x, "<html>") }, "text/html"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var spoken atomic.Value
			var probes atomic.Int32
			url := fake(t, func(x *exchange) {
				switch {
				case x.msg.Method == "server/discover":
					probes.Add(1)
					tt.probe(x)
				case x.r.Header.Get("Mcp-Method") != "":
					spoken.Store("modern")
					x.result(`{"resultType":"complete","tools":[]}`)
				default:
					spoken.Store("legacy")
					initialize(x)
				}
			})
			c := dial(t, url, nil)
			_, err := c.Handle(t.Context(), listTools(), mcp.Discard)
			if tt.want != "modern" && tt.want != "legacy" {
				if err == nil || !strings.Contains(err.Error(), tt.want) {
					t.Fatalf("error %v, want %q", err, tt.want)
				}
				if mcp.IsWireError(err) {
					t.Errorf("%v counts as the server's answer to the request", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if _, err := c.Handle(t.Context(), listTools(), mcp.Discard); err != nil {
				t.Fatal(err)
			}
			if spoken.Load() != tt.want || probes.Load() != 1 {
				t.Errorf("spoke %v after %d probes, want %s after one", spoken.Load(), probes.Load(), tt.want)
			}
		})
	}
}

func TestClientProbeTwice(t *testing.T) {
	probes := 0
	url := fake(t, func(x *exchange) {
		if probes++; probes == 1 {
			x.fail(400, -32022, `{"supported":["2026-07-28"],"requested":"2026-07-28"}`)
			return
		}
		x.result(discovered)
	})
	if _, err := dial(t, url, nil).Handle(t.Context(), listTools(), mcp.Discard); err != nil || probes != 3 {
		t.Errorf("%d requests, %v", probes, err)
	}
}

func TestClientEraForced(t *testing.T) {
	url := fake(t, func(x *exchange) {
		if x.msg.Method != "tools/list" {
			t.Errorf("request %s", x.msg.Method)
		}
		x.WriteHeader(400)
	})
	var status *streamhttp.StatusError
	if _, err := dial(t, url, &streamhttp.ClientOptions{Era: streamhttp.EraModern}).Handle(t.Context(), listTools(), mcp.Discard); !errors.As(err, &status) || status.Code != 400 {
		t.Errorf("error %v", err)
	}
}

// TestClientFirstBurst lets many callers come at once: one asks the server, and a
// caller whose context ends takes nobody with him.
func TestClientFirstBurst(t *testing.T) {
	var probes atomic.Int32
	entered, leave := make(chan bool, 10), make(chan bool)
	url := fake(t, func(x *exchange) {
		if x.msg.Method == "server/discover" {
			probes.Add(1)
			entered <- true
			select {
			case <-leave:
			case <-x.r.Context().Done():
			}
			x.result(discovered)
			return
		}
		x.result(`{"resultType":"complete","tools":[]}`)
	})
	c := dial(t, url, nil)
	ctx, cancel := context.WithCancel(t.Context())
	first := make(chan error, 1)
	go func() { _, err := c.Handle(ctx, listTools(), mcp.Discard); first <- err }()
	<-entered
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if _, err := c.Handle(t.Context(), listTools(), mcp.Discard); err != nil {
				t.Error(err)
			}
		})
	}
	cancel()
	if err := <-first; !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled caller: %v", err)
	}
	<-entered
	close(leave)
	wg.Wait()
	if n := probes.Load(); n != 2 {
		t.Errorf("%d probes, want the cancelled one and one more", n)
	}
}

func TestClientStream(t *testing.T) {
	url := fake(t, modern(func(x *exchange) {
		x.stream(
			`{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":TOKEN,"progress":1}}`,
			`{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":"t","progress":2}}`,
			`{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":1}}`,
			`{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}`,
			`{"jsonrpc":"2.0","id":ID,"method":"sampling/createMessage","params":{}}`,
			`{"jsonrpc":"2.0","method":"notifications/other","params":{"a":1}}`,
			`{"jsonrpc":"2.0","id":ID,"result":{"resultType":"complete","content":[]}}`,
			`{"jsonrpc":"2.0","method":"notifications/other"}`,
		)
	}))
	c := dial(t, url, nil)
	req := request("tools/call", "x", `{"name":"x"}`)
	req.Meta.ProgressToken = []byte(`"t"`)
	var sink mcptest.Recorder
	res, err := c.Handle(t.Context(), req, &sink)
	if err != nil || string(res.Body) != `{"content":[]}` {
		t.Fatalf("result %s, %v", res.Body, err)
	}
	want := []mcptest.Note{
		{Method: "notifications/progress", Params: `{"progressToken":"t","progress":1}`},
		{Method: "notifications/other", Params: `{"a":1}`},
	}
	if diff := cmp.Diff(want, sink.Notes()); diff != "" {
		t.Errorf("notifications (-want +got):\n%s", diff)
	}

	req.Meta.LogLevel, req.Meta.ProgressToken = mcp.LogInfo, nil
	var logs mcptest.Recorder
	if _, err := c.Handle(t.Context(), req, &logs); err != nil {
		t.Fatal(err)
	}
	want = []mcptest.Note{{Method: "notifications/message", Params: `{"level":"info","data":1}`}, want[1]}
	if diff := cmp.Diff(want, logs.Notes()); diff != "" {
		t.Errorf("notifications with a log level (-want +got):\n%s", diff)
	}
}

// TestClientBadAnswers gets what no server should send.
func TestClientBadAnswers(t *testing.T) {
	for _, tt := range []struct {
		name   string
		answer func(x *exchange)
		want   string
	}{
		{"another id", func(x *exchange) { x.json(200, `{"jsonrpc":"2.0","id":999,"result":{}}`) }, "another request"},
		{"a string of the id", func(x *exchange) { x.json(200, `{"jsonrpc":"2.0","id":"ID","result":{}}`) }, "another request"},
		{"another id on a stream", func(x *exchange) { x.stream(`{"jsonrpc":"2.0","id":999,"result":{}}`) }, "another request"},
		{"error with another id", func(x *exchange) { x.json(200, `{"jsonrpc":"2.0","id":999,"error":{"code":1,"message":"x"}}`) }, "another request"},
		{"request", func(x *exchange) { x.json(200, `{"jsonrpc":"2.0","id":ID,"method":"ping"}`) }, "not a response"},
		{"no JSON", func(x *exchange) { x.json(200, `{`) }, "answer of the server"},
		{"duplicate members", func(x *exchange) { x.json(200, `{"jsonrpc":"2.0","id":ID,"result":{},"result":{}}`) }, "answer of the server"},
		{"batch", func(x *exchange) { x.json(200, `[]`) }, "answer of the server"},
		{"unknown result type", func(x *exchange) { x.result(`{"resultType":"maybe"}`) }, "resultType"},
		{"too long", func(x *exchange) { x.result(`{"a":"` + strings.Repeat("x", 3000) + `"}`) }, "byte"},
		{"too long event", func(x *exchange) { x.stream(`{"a":"` + strings.Repeat("x", 3000) + `"}`) }, "too long"},
		{"bad event", func(x *exchange) { x.stream(`nonsense`) }, "message of the server"},
		{"stream without an answer", func(x *exchange) { x.stream() }, "closed before the answer"},
		{"nothing", func(x *exchange) { x.Header().Set("Content-Type", "application/json") }, "answer of the server"},
		{"error page", func(x *exchange) { http.Error(x, "oops", http.StatusBadGateway) }, "502"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := dial(t, fake(t, modern(tt.answer)), &streamhttp.ClientOptions{Limits: &jsonrpc.Limits{MaxBytes: 2000}})
			_, err := c.Handle(t.Context(), listTools(), mcp.Discard)
			if err == nil || !strings.Contains(err.Error(), tt.want) || mcp.IsWireError(err) {
				t.Errorf("error %v, want one of our own with %q", err, tt.want)
			}
		})
	}
	t.Run("error without id", func(t *testing.T) {
		c := dial(t, fake(t, modern(func(x *exchange) { x.json(403, `{"jsonrpc":"2.0","error":{"code":-32000,"message":"no"}}`) })), nil)
		if _, err := c.Handle(t.Context(), listTools(), mcp.Discard); !mcp.IsWireError(err) || !errors.Is(err, &mcp.Error{Code: -32000}) {
			t.Errorf("error %v", err)
		}
	})
}

func TestClientConnectionLost(t *testing.T) {
	url := fake(t, modern(func(x *exchange) {
		x.Header().Set("Content-Length", "1000")
		x.json(200, `{"jsonrpc"`)
		panic(http.ErrAbortHandler)
	}))
	if _, err := dial(t, url, nil).Handle(t.Context(), listTools(), mcp.Discard); !errors.Is(err, mcp.ErrClosed) {
		t.Errorf("error %v", err)
	}
	closed := httptest.NewServer(nil)
	closed.Close()
	_, err := dial(t, closed.URL+"/secret?key=secret", nil).Handle(t.Context(), listTools(), mcp.Discard)
	if err == nil || errors.Is(err, mcp.ErrClosed) || strings.Contains(err.Error(), "secret") {
		t.Errorf("nobody listens: %v", err)
	}
}

func TestClientBadURL(t *testing.T) {
	for _, url := range []string{"", "ftp://example.com", "http://", "/mcp", "http://a b/", "localhost:80"} {
		if _, err := dial(t, url, nil).Handle(t.Context(), listTools(), mcp.Discard); err == nil || !strings.Contains(err.Error(), "URL") {
			t.Errorf("NewClient(%q): %v", url, err)
		}
	}
}

func TestClientCancel(t *testing.T) {
	for _, how := range []string{"before the response", "on the stream"} {
		t.Run(how, func(t *testing.T) {
			arrived, left := make(chan bool, 1), make(chan bool, 1)
			url := fake(t, modern(func(x *exchange) {
				if how == "on the stream" {
					x.stream(`{"jsonrpc":"2.0","method":"notifications/other"}`)
				}
				arrived <- true
				x.gone()
				left <- true
			}))
			c := dial(t, url, nil)
			ctx, cancel := context.WithCancel(t.Context())
			go func() { <-arrived; cancel() }() // ends with the request
			if _, err := c.Handle(ctx, listTools(), mcp.Discard); !errors.Is(err, context.Canceled) {
				t.Errorf("error %v", err)
			}
			<-left
		})
	}
}

func TestClientTimeout(t *testing.T) {
	c := dial(t, fake(t, modern(func(x *exchange) { x.gone() })), &streamhttp.ClientOptions{Timeout: 50 * time.Millisecond})
	if _, err := c.Handle(t.Context(), listTools(), mcp.Discard); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v", err)
	}
}

func TestClientClose(t *testing.T) {
	arrived := make(chan bool, 1)
	url := fake(t, modern(func(x *exchange) { arrived <- true; x.gone() }))
	c := streamhttp.NewClient(url, nil)
	failed := make(chan error, 1)
	go func() { _, err := c.Handle(t.Context(), listTools(), mcp.Discard); failed <- err }()
	<-arrived
	if err := c.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if err := <-failed; !errors.Is(err, mcp.ErrClosed) {
		t.Errorf("call in flight: %v", err)
	}
	if _, err := c.Handle(t.Context(), listTools(), mcp.Discard); !errors.Is(err, mcp.ErrClosed) {
		t.Errorf("call after Close: %v", err)
	}
}

func TestClientRedirects(t *testing.T) {
	other := fake(t, func(x *exchange) { t.Errorf("the other origin was asked, with %v", x.r.Header) })
	var target string
	var status int
	url := fake(t, func(x *exchange) {
		if x.r.URL.Path == "/new" {
			modern(func(x *exchange) { x.result(`{"resultType":"complete","tools":[]}`) })(x)
			return
		}
		http.Redirect(x, x.r, target, status)
	})
	for _, tt := range []struct {
		name, target string
		status       int
		ok           bool
	}{
		{"same origin", "/new", 307, true},
		{"same origin for ever", "/new", 308, true},
		{"POST becomes GET", "/new", 302, false},
		{"other origin", other, 307, false},
		{"circle", "/", 307, false},
	} {
		target, status = tt.target, tt.status
		_, err := dial(t, url, &streamhttp.ClientOptions{Header: http.Header{"Authorization": {"Bearer x"}}}).Handle(t.Context(), listTools(), mcp.Discard)
		if (err == nil) != tt.ok {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}
