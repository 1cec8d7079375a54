package gateway_test

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/fairlead-mcp/fairlead/internal/gateway"
	"github.com/fairlead-mcp/fairlead/internal/upstream"
	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/mcp/jsonrpc"
)

// member is one upstream of a test's gateway: a Handler in this process.
type member struct {
	name string
	h    mcp.Handler
	spec upstream.Spec
	down bool // never reached
	hang bool // neither reached nor known to fail

	mu   sync.Mutex
	done chan struct{}
	seen []*mcp.Request // calls, as the upstream got them
}

func (m *member) dial(ctx context.Context, _ upstream.Whose) (*upstream.Conn, error) {
	m.mu.Lock()
	hang := m.hang
	m.mu.Unlock()
	if hang {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	if m.down {
		return nil, mcp.ErrClosed
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.done = make(chan struct{})
	return &upstream.Conn{Done: m.done, Handler: mcp.HandlerFunc(func(ctx context.Context, req *mcp.Request, sink mcp.Sink) (mcp.Result, error) {
		switch req.Method {
		case mcp.MethodCallTool, mcp.MethodReadResource, mcp.MethodGetPrompt, mcp.MethodComplete:
			m.mu.Lock()
			m.seen = append(m.seen[max(0, len(m.seen)-9):], req.Clone()) // the last ten are enough
			m.mu.Unlock()
		}
		return m.h.Handle(ctx, req, sink)
	})}, nil
}

// cut ends the connection, as the death of a child does.
func (m *member) cut() {
	m.mu.Lock()
	defer m.mu.Unlock()
	close(m.done)
}

func (m *member) last(t *testing.T) *mcp.Request {
	t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.seen) == 0 {
		t.Fatalf("upstream %s was not asked", m.name)
	}
	return m.seen[len(m.seen)-1]
}

// newNode runs the members behind a gateway until the test ends, or stop is called.
func newNode(t testing.TB, opts *gateway.Options, members ...*member) (g *gateway.Gateway, stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	var upstreams []*upstream.Upstream
	for _, m := range members {
		upstreams = append(upstreams, upstream.New(m.name, m.spec, &upstream.Options{Dial: m.dial}))
	}
	g = gateway.New(upstreams, opts)
	for i, u := range upstreams {
		wg.Go(func() { _ = u.Run(ctx) })
		if !members[i].down && !members[i].hang {
			<-u.Listed()
		}
	}
	stop = sync.OnceFunc(func() {
		g.Close()
		cancel()
		wg.Wait()
	})
	t.Cleanup(stop)
	return g, stop
}

// server is an upstream with one echo tool, a prompt, a resource and a template.
func server(name string) *mcp.Server {
	s := mcp.NewServer(name, "1", &mcp.ServerOptions{Instructions: "Use " + name + " well."})
	must(mcp.AddTool(s, mcp.Tool{Name: "echo", Description: "says it back"},
		func(_ context.Context, call *mcp.Call, in struct {
			Text string `json:"text,omitempty"`
		},
		) (string, error) {
			if err := call.Progress(1, 1, in.Text); err != nil {
				return "", err
			}
			return name + " " + in.Text, nil
		}))
	must(s.AddPrompt(mcp.Prompt{Name: "ask"}, func(context.Context, *mcp.Call, map[string]string) (*mcp.PromptResult, error) {
		return &mcp.PromptResult{Description: name}, nil
	}))
	read := func(uri string) []mcp.ResourceContents {
		return []mcp.ResourceContents{{URI: uri, Text: name}}
	}
	must(s.AddResource(mcp.Resource{URI: "test://" + name, Name: name}, func(_ context.Context, _ *mcp.Call, uri string) ([]mcp.ResourceContents, error) {
		return read(uri), nil
	}))
	must(s.AddResourceTemplate(mcp.ResourceTemplate{URITemplate: "items://" + name + "/{id}", Name: "items"},
		func(_ context.Context, _ *mcp.Call, uri string, _ map[string]string) ([]mcp.ResourceContents, error) {
			return read(uri), nil
		}))
	return s
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func request(method, params string) *mcp.Request {
	req := &mcp.Request{Method: method, Params: []byte(params), Meta: mcp.Meta{Version: mcp.LatestVersion, Capabilities: []byte(`{}`)}}
	req.Arguments = bytes.Clone(jsonrpc.Get(req.Params, "arguments"))
	switch method {
	case mcp.MethodCallTool, mcp.MethodGetPrompt:
		req.Name, _ = jsonrpc.Unquote(jsonrpc.Get(req.Params, "name"))
	case mcp.MethodReadResource:
		req.Name, _ = jsonrpc.Unquote(jsonrpc.Get(req.Params, "uri"))
	}
	return req
}

func call(tool, args string) *mcp.Request {
	return request(mcp.MethodCallTool, fmt.Sprintf(`{"name":%q,"arguments":%s}`, tool, args))
}

// ask sends a request and returns the body of its result.
func ask(t *testing.T, h mcp.Handler, req *mcp.Request) string {
	t.Helper()
	res, err := h.Handle(t.Context(), req, mcp.Discard)
	if err != nil {
		t.Fatalf("%s %s: %v", req.Method, req.Params, err)
	}
	return string(res.Body)
}

// refusal sends a request that must fail and returns the error that a caller gets.
func refusal(t *testing.T, h mcp.Handler, req *mcp.Request) *mcp.Error {
	t.Helper()
	res, err := h.Handle(t.Context(), req, mcp.Discard)
	if err == nil {
		t.Fatalf("%s %s: %s; want an error", req.Method, req.Params, res.Body)
	}
	return mcp.ErrorOf(err)
}

func one(t *testing.T, g *gateway.Gateway, name string) mcp.Handler {
	t.Helper()
	h, ok := g.One(name)
	if !ok {
		t.Fatalf("no upstream %q", name)
	}
	return h
}

// names returns the names in a list's body.
func names(body, list, key string) []string {
	var out []string
	for item := range jsonrpc.Elements(jsonrpc.Get([]byte(body), list)) {
		s, _ := jsonrpc.Unquote(jsonrpc.Get(item, key))
		out = append(out, s)
	}
	return out
}

// recorder is a Sink that keeps what it gets.
type recorder struct {
	mu    sync.Mutex
	got   []string // method and params
	ended bool
}

func (r *recorder) Notify(n *mcp.Notification) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.got = append(r.got, n.Method+" "+string(n.Params))
	return nil
}

func (r *recorder) End(mcp.Result, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ended = true
}

func (r *recorder) take() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	got := r.got
	r.got = nil
	return got
}
