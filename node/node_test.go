package node_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/fairlead-mcp/fairlead/internal/adminapi"
	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/mcp/jsonrpc"
	"github.com/fairlead-mcp/fairlead/mcp/stdio"
	"github.com/fairlead-mcp/fairlead/mcp/streamhttp"
	"github.com/fairlead-mcp/fairlead/node"
)

// The test binary is also the configured upstream.
const childEnv = "FAIRLEAD_NODE_TEST_CHILD"

func TestMain(m *testing.M) {
	if os.Getenv(childEnv) != "" {
		s := mcp.NewServer("child", "1", nil)
		if err := errors.Join(addEcho(s), stdio.Serve(context.Background(), s, nil)); err != nil {
			os.Exit(1)
		}
		return
	}
	goleak.VerifyTestMain(m)
}

type text struct {
	Text string `json:"text"`
}

func addEcho(s *mcp.Server) error {
	return mcp.AddTool(s, mcp.Tool{Name: "echo"}, func(_ context.Context, _ *mcp.Call, in text) (string, error) { return in.Text, nil })
}

func echoServer(t *testing.T) *mcp.Server {
	t.Helper()
	s := mcp.NewServer("mine", "1", nil)
	if err := addEcho(s); err != nil {
		t.Fatal(err)
	}
	return s
}

// running is a node that runs until the test ends.
type running struct {
	node.Addresses
	admin *adminapi.Client
}

func start(t *testing.T, n func(*node.Options) *node.Node, opts node.Options) running {
	t.Helper()
	data, err := os.MkdirTemp("", "fl") // t.TempDir is too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(data) })
	ready := make(chan node.Addresses, 1)
	opts.Listen, opts.Admin, opts.Data = "127.0.0.1:0", "127.0.0.1:0", data
	opts.OnReady = func(at node.Addresses) { ready <- at }
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- n(&opts).Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	select {
	case at := <-ready:
		return running{at, adminapi.NewClient(at.Socket)}
	case err := <-ended:
		ended <- err
		t.Fatalf("Run: %v", err)
	}
	return running{}
}

func (r running) client(t *testing.T, path string, era streamhttp.Era, opts *mcp.ClientOptions) *mcp.Client {
	t.Helper()
	h := streamhttp.NewClient(r.Endpoint+path, &streamhttp.ClientOptions{Era: era})
	t.Cleanup(func() { _ = h.Close(context.Background()) })
	return mcp.NewClient("test", "1", h, opts)
}

func eras() []streamhttp.Era { return []streamhttp.Era{streamhttp.EraModern, streamhttp.EraLegacy} }

// one is a node of a single server.
func one(name string, server mcp.Handler) func(*node.Options) *node.Node {
	return func(opts *node.Options) *node.Node {
		n := node.New(opts)
		n.Add(name, server, nil)
		return n
	}
}

func TestCalls(t *testing.T) {
	config := filepath.Join(t.TempDir(), "fairlead.yaml")
	yaml := "upstreams:\n  child: {command: " + os.Args[0] + ", env: {" + childEnv + ": \"1\", GORACE: atexit_sleep_ms=0}}\n"
	if err := os.WriteFile(config, []byte(yaml), 0o600); err != nil {
		t.Fatal(err)
	}
	r := start(t, func(opts *node.Options) *node.Node {
		n := node.New(opts)
		n.Add("one", echoServer(t), nil)
		n.Add("two", echoServer(t), &node.ServerOptions{Critical: true, CallTimeout: time.Minute, MaxConcurrent: 8})
		return n
	}, node.Options{Config: config, Version: "7"})
	for _, era := range eras() {
		for _, c := range []struct{ path, tool string }{
			{"", "one__echo"}, {"", "two__echo"}, {"", "child__echo"}, {"/one", "echo"}, {"/two", "echo"}, {"/child", "echo"},
		} {
			t.Run(string(era)+c.path+" "+c.tool, func(t *testing.T) {
				res, err := r.client(t, c.path, era, nil).CallTool(t.Context(), c.tool, text{"hello"}, nil)
				if err != nil || res.Text() != "hello" {
					t.Errorf("got %v, %v", res, err)
				}
			})
		}
	}
	st, err := r.admin.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if !st.Ready || st.Version != "7" || len(st.Upstreams) != 3 {
		t.Fatalf("status: %+v", st)
	}
	for i, name := range []string{"one", "two", "child"} {
		if u := st.Upstreams[i]; u.Name != name || u.State != "ready" || u.Tools != 1 {
			t.Errorf("upstream %d: %+v, want %s, ready, with one tool", i, u, name)
		}
	}
	critical := map[string]bool{}
	for _, c := range st.Components {
		critical[c.Name] = c.Critical
	}
	if !critical["upstream two"] || critical["upstream one"] {
		t.Errorf("critical: %v, want upstream two and not upstream one", critical)
	}
	calls, err := r.admin.Calls(t.Context())
	if err != nil || len(calls) != 12 {
		t.Fatalf("explain has %d calls, %v; want 12", len(calls), err)
	}
	for _, c := range calls {
		if len(c.Decisions) == 0 || c.Error != "" {
			t.Errorf("explain: %+v", c)
		}
	}
}

// TestAsks: a compiled-in server asks callers of both eras in the middle of a call.
func TestAsks(t *testing.T) {
	s := echoServer(t)
	type answer struct {
		Name string `json:"name"`
	}
	err := mcp.AddTool(s, mcp.Tool{Name: "ask"}, func(ctx context.Context, call *mcp.Call, _ struct{}) (string, error) {
		a, _, err := mcp.ElicitAs[answer](ctx, call, "name", "Who are you?")
		return "Hello, " + a.Name, err
	})
	if err != nil {
		t.Fatal(err)
	}
	r := start(t, one("one", s), node.Options{})
	for _, era := range eras() {
		c := r.client(t, "", era, &mcp.ClientOptions{OnElicit: func(_ context.Context, p *mcp.ElicitParams) (*mcp.ElicitResult, error) {
			return &mcp.ElicitResult{Action: mcp.ElicitAccept, Content: mcp.Raw(`{"name":"Ada"}`)}, nil
		}})
		if res, err := c.CallTool(t.Context(), "one__ask", struct{}{}, nil); err != nil || res.Text() != "Hello, Ada" {
			t.Errorf("%s: %v, %v", era, res, err)
		}
	}
}

// TestListsChange: what the program adds while the node runs reaches those who watch.
func TestListsChange(t *testing.T) {
	s := echoServer(t)
	r := start(t, one("one", s), node.Options{})
	changed := make(chan struct{}, 1)
	sub, err := r.client(t, "/one", streamhttp.EraModern, nil).Listen(t.Context(), mcp.NotificationFilter{ToolsListChanged: true}, func(mcp.Event) {
		select {
		case changed <- struct{}{}:
		default:
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	defer sub.Close()
	err = mcp.AddTool(s, mcp.Tool{Name: "more"}, func(_ context.Context, _ *mcp.Call, in text) (string, error) { return in.Text, nil })
	if err != nil {
		t.Fatal(err)
	}
	<-changed
	if res, err := r.client(t, "", streamhttp.EraModern, nil).CallTool(t.Context(), "one__more", text{"new"}, nil); err != nil || res.Text() != "new" {
		t.Errorf("the new tool: %v, %v", res, err)
	}
}

// TestPanic: a server panics, as no mcp.Server does; its caller gets one error, the
// log the stack, and the node goes on.
func TestPanic(t *testing.T) {
	good := echoServer(t)
	bad := mcp.HandlerFunc(func(ctx context.Context, req *mcp.Request, sink mcp.Sink) (mcp.Result, error) {
		if req.Method == mcp.MethodCallTool && bytes.Contains(req.Params, []byte("boom")) {
			panic("boom")
		}
		return good.Handle(ctx, req, sink)
	})
	var log safeBuffer
	r := start(t, one("one", bad), node.Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	for _, era := range eras() {
		c := r.client(t, "", era, nil)
		_, err := c.CallTool(t.Context(), "one__echo", text{"boom"}, nil)
		if e := mcp.ErrorOf(err); err == nil || e.Code != jsonrpc.CodeInternalError || strings.Contains(e.Message, "boom") {
			t.Errorf("%s: %v, want an internal error that tells nothing", era, err)
		}
		if res, err := c.CallTool(t.Context(), "one__echo", text{"fine"}, nil); err != nil || res.Text() != "fine" {
			t.Errorf("%s: the next call: %v, %v", era, res, err)
		}
	}
	if out := log.String(); !strings.Contains(out, "panic contained") || !strings.Contains(out, "node_test.go") {
		t.Errorf("the log has no stack: %s", out)
	}
}

// TestHandlerThatDoesNotEnd: the caller of a handler that ignores its context gets
// the timeout, and what the handler says later goes nowhere.
func TestHandlerThatDoesNotEnd(t *testing.T) {
	s := echoServer(t)
	release, returned := make(chan struct{}), make(chan struct{})
	err := mcp.AddTool(s, mcp.Tool{Name: "hang"}, func(_ context.Context, call *mcp.Call, in text) (string, error) {
		defer close(returned)
		<-release
		return in.Text, call.Progress(1, 0, in.Text)
	})
	if err != nil {
		t.Fatal(err)
	}
	r := start(t, func(opts *node.Options) *node.Node {
		n := node.New(opts)
		n.Add("one", s, &node.ServerOptions{CallTimeout: 50 * time.Millisecond})
		return n
	}, node.Options{})
	c := r.client(t, "", streamhttp.EraModern, nil)
	_, err = c.CallTool(t.Context(), "one__hang", text{"late"}, &mcp.CallOptions{Progress: func(mcp.Progress) { t.Error("progress after the end") }})
	e := mcp.ErrorOf(err)
	if err == nil || e.Data == nil {
		t.Fatalf("got %v, want a timeout", err)
	}
	if class, _ := jsonrpc.Unquote(jsonrpc.Get(e.Data, "class")); class != "timeout" {
		t.Errorf("got class %q, want timeout", class)
	}
	close(release)
	<-returned
	if res, err := c.CallTool(t.Context(), "one__echo", text{"fine"}, nil); err != nil || res.Text() != "fine" {
		t.Errorf("the next call: %v, %v", res, err)
	}
}

func TestRefuses(t *testing.T) {
	opts := func() *node.Options {
		return &node.Options{Listen: "127.0.0.1:0", Admin: "127.0.0.1:0", Data: t.TempDir()}
	}
	config := filepath.Join(t.TempDir(), "fairlead.yaml")
	if err := os.WriteFile(config, []byte("upstreams: {one: {url: \"http://127.0.0.1:1/mcp\"}}\nvirtual: {some: {tools: [{from: one}]}}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name  string
		names []string
		with  func(*node.Options)
		want  string
	}{
		{"bad name", []string{"My Server"}, func(*node.Options) {}, `"my-server"`},
		{"two of a name", []string{"one", "one"}, func(*node.Options) {}, `two upstreams have the name "one"`},
		{"the name of an upstream", []string{"one"}, func(o *node.Options) { o.Config = config }, `two upstreams have the name "one"`},
		{"the name of a virtual server", []string{"some"}, func(o *node.Options) { o.Config = config }, `a virtual server has the name "some"`},
		{"no such config", []string{"one"}, func(o *node.Options) { o.Config = config + "x" }, "fairlead.yamlx"},
		{"open to everybody", []string{"one"}, func(o *node.Options) { o.Listen = "0.0.0.0:0" }, "auth.tokens"},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := opts()
			c.with(o)
			n := node.New(o)
			for _, name := range c.names {
				n.Add(name, echoServer(t), nil)
			}
			if err := n.Run(t.Context()); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("Run: %v, want an error with %s", err, c.want)
			}
		})
	}
}

type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}
