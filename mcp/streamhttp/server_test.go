package streamhttp_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/mcp/mcptest"
	"github.com/fairlead-mcp/fairlead/mcp/mcptest/wirecheck"
	"github.com/fairlead-mcp/fairlead/mcp/streamhttp"
)

// fixture is a Handler whose tools do what the tests of the server side need.
type fixture struct {
	started chan string   // gets the name of a tool that blocks
	ended   chan error    // gets the cause of the end of a call to "block"
	left    chan struct{} // gets the ends of streams

	mu    sync.Mutex
	seen  []*mcp.Request
	sinks []mcp.Sink // open streams
}

func newFixture() *fixture {
	return &fixture{started: make(chan string, 2000), ended: make(chan error, 64), left: make(chan struct{}, 2000)}
}

func (f *fixture) Handle(ctx context.Context, req *mcp.Request, sink mcp.Sink) (mcp.Result, error) {
	f.mu.Lock()
	f.seen = append(f.seen, req.Clone())
	f.mu.Unlock()
	switch req.Method {
	case mcp.MethodDiscover:
		return mcp.Result{Body: []byte(`{"supportedVersions":["2026-07-28"],"capabilities":{"tools":{},"extensions":{"x":{}}},` +
			`"instructions":"be kind","_meta":{"io.modelcontextprotocol/serverInfo":{"name":"fixture","version":"1"}}}`)}, nil
	case mcp.MethodListTools:
		return mcp.Result{Body: []byte(`{"tools":[{"name":"a","inputSchema":{"type":"object"},"outputSchema":{"type":"array"}},{"name":"b","inputSchema":{"type":"object"},"outputSchema":{"type":"object"}}]}`)}, nil
	case mcp.MethodReadResource:
		return mcp.Result{}, &mcp.Error{Code: -32602, Message: "Resource not found", Data: []byte(`{"uri":"x:y"}`)}
	case mcp.MethodGetPrompt:
		return mcp.Result{Type: mcp.ResultInputRequired, Body: []byte(`{"inputRequests":{"q":{"method":"no/such"}}}`)}, nil
	case mcp.MethodListen:
		if strings.Contains(string(req.Params), "refuse") {
			return mcp.Result{}, mcp.ErrInvalidParams("no")
		}
		_ = sink.Notify(mcp.NewNotification(mcp.NotificationAcknowledged, []byte(`{"notifications":{}}`)))
		f.mu.Lock()
		f.sinks = append(f.sinks, sink)
		f.mu.Unlock()
		context.AfterFunc(ctx, func() { f.left <- struct{}{} })
		f.started <- "listen"
		return mcp.Result{Stream: true}, nil
	case mcp.MethodCallTool:
		return f.call(ctx, req, sink)
	}
	return mcp.Result{}, mcp.ErrMethodNotFound(req.Method)
}

func (f *fixture) call(ctx context.Context, req *mcp.Request, sink mcp.Sink) (mcp.Result, error) {
	switch req.Name {
	case "who":
		return mcp.Result{Body: []byte(`{"content":[],"who":"` + req.Principal.Subject + `"}`)}, nil
	case "structured":
		return mcp.Result{Body: []byte(`{"content":[],"structuredContent":[1]}`)}, nil
	case "big":
		return mcp.Result{Body: []byte(`{"content":[{"type":"text","text":"` + strings.Repeat("x", 100_000) + `"}]}`)}, nil
	case "progress":
		for _, i := range []string{"1", "2"} {
			if err := sink.Notify(mcp.NewNotification(mcp.NotificationProgress,
				[]byte(`{"progressToken":`+string(req.Meta.ProgressToken)+`,"progress":`+i+`,`+"\n"+`"message":"m"}`))); err != nil {
				return mcp.Result{}, err
			}
		}
		return mcp.Result{Body: []byte("{\"content\":\n[]}")}, nil
	case "capability":
		return mcp.Result{}, mcp.ErrMissingCapability(`{"sampling":{}}`)
	case "params":
		return mcp.Result{}, mcp.ErrInvalidParams("bad")
	case "broken":
		return mcp.Result{}, errors.New("secret path /etc/passwd")
	case "block":
		f.started <- req.Name
		<-ctx.Done()
		f.ended <- context.Cause(ctx)
		return mcp.Result{}, ctx.Err()
	}
	return mcp.Result{Body: []byte(`{"content":[{"type":"text","text":"ok"}]}`)}, nil
}

func (f *fixture) last() *mcp.Request {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.seen[len(f.seen)-1]
}

// toAll notifies all open streams.
func (f *fixture) toAll(n *mcp.Notification) (err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, s := range f.sinks {
		err = errors.Join(err, s.Notify(n))
	}
	return err
}

// endpoint is a server under test and a client that keeps nothing to itself.
type endpoint struct {
	*fixture
	handler *streamhttp.Handler
	url     string
	client  *http.Client
	tap     *wirecheck.Tap // holds what the server sends against the schemas
}

// record has what passes on the client's connections recorded and checked.
func (e *endpoint) record(t testing.TB) {
	t.Helper()
	e.tap = mcptest.Tap(t, wirecheck.Server)
	e.client.Transport.(*http.Transport).DialContext = e.tap.Dial
}

func serve(t testing.TB, opts *streamhttp.HandlerOptions) *endpoint {
	t.Helper()
	return serveWith(t, opts)
}

// serveWith is serve with something around the fixture.
func serveWith(t testing.TB, opts *streamhttp.HandlerOptions, around ...mcp.Interceptor) *endpoint {
	t.Helper()
	e := &endpoint{fixture: newFixture()}
	e.handler = streamhttp.NewHandler(mcp.Intercept(e.fixture, around...), opts)
	srv := httptest.NewUnstartedServer(e.handler)
	srv.Config.ConnContext = streamhttp.ConnContext
	srv.Listener = smallBuffers{srv.Listener}
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

// smallBuffers makes the kernel take little, so that a reader that stalls is noticed soon.
type smallBuffers struct{ net.Listener }

func (l smallBuffers) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if tcp, ok := c.(*net.TCPConn); ok {
		err = tcp.SetWriteBuffer(4 << 10)
	}
	return c, err
}

// serveInMemory is serve for a synctest bubble: connections are pipes, time is the bubble's.
func serveInMemory(t *testing.T, opts *streamhttp.HandlerOptions) *endpoint {
	t.Helper()
	e := &endpoint{fixture: newFixture(), url: "http://in.memory"}
	tap := mcptest.Tap(t, wirecheck.Server)
	e.handler = streamhttp.NewHandler(e.fixture, opts)
	l := &pipeListener{conns: make(chan net.Conn), closed: make(chan struct{})}
	srv := streamhttp.NewServer("", e.handler)
	done := make(chan struct{})
	go func() { defer close(done); _ = srv.Serve(l) }() // ends with srv.Close
	tr := &http.Transport{DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := l.dial(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return tap.Conn(c, wirecheck.Client), nil
	}}
	e.client = &http.Client{Transport: tr}
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_ = e.handler.Close(ctx)
		tr.CloseIdleConnections()
		_ = srv.Close()
		<-done
	})
	return e
}

type pipeListener struct {
	conns  chan net.Conn
	once   sync.Once
	closed chan struct{}
}

func (l *pipeListener) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	here, there := net.Pipe()
	select {
	case l.conns <- there:
		return here, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error   { l.once.Do(func() { close(l.closed) }); return nil }
func (l *pipeListener) Addr() net.Addr { return &net.UnixAddr{Name: "in.memory", Net: "unix"} }

// request makes an HTTP request. headers are "Name: value"; an empty value
// removes the default, a name given twice is sent twice.
func (e *endpoint) request(t testing.TB, ctx context.Context, method, body string, headers ...string) *http.Request {
	t.Helper()
	req, err := http.NewRequestWithContext(ctx, method, e.url+"/mcp", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept", "application/json, text/event-stream")
	if method == http.MethodPost {
		req.Header.Set("Content-Type", "application/json")
	}
	given := map[string]bool{}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		name = http.CanonicalHeaderKey(strings.TrimSuffix(name, ":"))
		if !given[name] {
			req.Header.Del(name)
		}
		given[name] = true
		switch {
		case name == "Host":
			req.Host = value
		case value != "":
			req.Header[name] = append(req.Header[name], value)
		}
	}
	return req
}

type answer struct {
	status int
	header http.Header
	body   string
}

func (e *endpoint) do(t testing.TB, method, body string, headers ...string) answer {
	t.Helper()
	return e.send(t, e.request(t, t.Context(), method, body, headers...))
}

func (e *endpoint) send(t testing.TB, req *http.Request) answer {
	t.Helper()
	resp, err := e.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{resp.StatusCode, resp.Header, string(b)}
}

// stream sends a request whose response stays open. next returns one event's
// data, or "" for a comment, or "EOF".
func (e *endpoint) stream(t testing.TB, ctx context.Context, method, body string, headers ...string) (resp *http.Response, next func() string) {
	t.Helper()
	resp, err := e.client.Do(e.request(t, ctx, method, body, headers...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = resp.Body.Close() })
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, 1<<20)
	return resp, func() string {
		data := ""
		for lines.Scan() {
			switch line := lines.Text(); {
			case line == "":
				return data
			case strings.HasPrefix(line, "data: "):
				data = line[len("data: "):]
			}
		}
		return "EOF"
	}
}

// meta is the _meta that every stateless request needs.
const meta = `"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}`

func callOf(tool string) (body string, headers []string) {
	return `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"` + tool + `","arguments":{},` + meta + `}}`,
		[]string{"MCP-Protocol-Version: 2026-07-28", "Mcp-Method: tools/call", "Mcp-Name: " + tool}
}

func (e *endpoint) callModern(t testing.TB, tool string, headers ...string) answer {
	t.Helper()
	body, h := callOf(tool)
	return e.do(t, http.MethodPost, body, append(h, headers...)...)
}
