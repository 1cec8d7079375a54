package upstream_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fairlead-mcp/fairlead/internal/upstream"
	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/mcp/jsonrpc"
	"github.com/fairlead-mcp/fairlead/mcp/stdio"
	"github.com/fairlead-mcp/fairlead/mcp/streamhttp"
	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
)

// TestMain makes the test binary its own child: with CHILD set it is an MCP server on stdio.
func TestMain(m *testing.M) {
	if os.Getenv("CHILD") == "" {
		goleak.VerifyTestMain(m)
		return
	}
	if err := stdio.Serve(context.Background(), newServer(), nil); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// newServer has a tool that echoes, one that hangs and one resource.
func newServer() *mcp.Server {
	s := mcp.NewServer("test", "1", nil)
	must(mcp.AddTool(s, mcp.Tool{Name: "echo", Description: "says it back"},
		func(_ context.Context, _ *mcp.Call, in struct {
			Text string `json:"text"`
		},
		) (string, error) {
			return in.Text, nil
		}))
	must(mcp.AddTool(s, mcp.Tool{Name: "hang", Description: "says that it hangs, and does"},
		func(ctx context.Context, call *mcp.Call, _ struct{}) (string, error) {
			if err := call.Progress(1, 2, ""); err != nil {
				return "", err
			}
			<-ctx.Done()
			return "", ctx.Err()
		}))
	must(s.AddResource(mcp.Resource{URI: "test://r", Name: "r"}, func(_ context.Context, _ *mcp.Call, uri string) ([]mcp.ResourceContents, error) {
		return nil, nil
	}))
	return s
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func callRequest(tool, args string) *mcp.Request {
	params := fmt.Sprintf(`{"name":%q,"arguments":%s}`, tool, args)
	return &mcp.Request{
		Method: mcp.MethodCallTool, Name: tool, Params: []byte(params), Arguments: []byte(args),
		Meta: mcp.Meta{Version: mcp.LatestVersion, Capabilities: []byte(`{}`), ProgressToken: []byte(`"t"`)},
	}
}

// sinkFunc is a Sink of a function.
type sinkFunc func(*mcp.Notification)

func (f sinkFunc) Notify(n *mcp.Notification) error { f(n); return nil }
func (sinkFunc) End(mcp.Result, error)              {}

// run runs u until the returned function is called, which waits for its end.
func run(t *testing.T, u *upstream.Upstream) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- u.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run = %v", err)
		}
	})
	t.Cleanup(stop)
	return stop
}

func class(err error) string {
	e := mcp.ErrorOf(err)
	if e == nil {
		return ""
	}
	s, _ := jsonrpc.Unquote(jsonrpc.Get(e.Data, "class"))
	return s
}

// fake is a connection that can be broken.
type fake struct {
	done chan struct{}
	cut  func()
}

func newFake() *fake {
	f := &fake{done: make(chan struct{})}
	f.cut = sync.OnceFunc(func() { close(f.done) })
	return f
}

func TestChildKilled(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	ready := make(chan int, 8)
	u := upstream.New("child", upstream.Spec{Command: exe, Env: append(os.Environ(), "CHILD=1")}, &upstream.Options{
		OnEvent: func(s upstream.Status) {
			if s.State == upstream.Ready && s.PID != 0 {
				select {
				case ready <- s.PID:
				default:
				}
			}
		},
	})
	stop := run(t, u)
	pid := <-ready
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()

	// Kill it once ten calls are known to run.
	var running atomic.Int32
	sink := sinkFunc(func(n *mcp.Notification) {
		if n.Method == mcp.NotificationProgress && running.Add(1) == 10 {
			must(syscall.Kill(pid, syscall.SIGKILL))
		}
	})
	var wg sync.WaitGroup
	for range 10 {
		wg.Go(func() {
			_, err := u.Handle(ctx, callRequest("hang", `{}`), sink)
			if class(err) != "upstream_unavailable" || string(jsonrpc.Get(mcp.ErrorOf(err).Data, "retrySafe")) != "false" {
				t.Errorf("call in flight: %v", err)
			}
		})
	}
	wg.Wait()

	res, err := u.Handle(ctx, callRequest("echo", `{"text":"again"}`), mcp.Discard)
	if err != nil || !strings.Contains(string(res.Body), "again") {
		t.Fatalf("next call: %s, %v", res.Body, err)
	}
	status := u.Status()
	if status.PID == pid || status.Restarts != 1 || status.Tools != 2 || status.Era != upstream.EraModern {
		t.Errorf("status = %+v", status)
	}
	stop()
	if err := syscall.Kill(status.PID, 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("child %d after stop: %v", status.PID, err)
	}
	if s := u.Status(); s.State != upstream.Stopped || s.PID != 0 {
		t.Errorf("status after stop = %+v", s)
	}
}

// TestHungChild: a child that is stopped in its tracks costs its callers their time
// limit and not more, even when its pipe is full.
func TestHungChild(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	u := upstream.New("child", upstream.Spec{Command: exe, Env: append(os.Environ(), "CHILD=1"), StopTimeout: 100 * time.Millisecond}, nil)
	stop := run(t, u)
	if err := u.WaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	pid := u.Status().PID
	must(syscall.Kill(pid, syscall.SIGSTOP))
	for { // until the last of its threads has stopped
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			t.Skip("needs /proc to see that a process has stopped")
		}
		if _, rest, _ := strings.Cut(string(stat), ") "); strings.HasPrefix(rest, "T") {
			break
		}
		time.Sleep(time.Millisecond)
	}
	big := fmt.Sprintf(`{"text":%q}`, strings.Repeat("x", 100_000)) // more than a pipe holds
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			args := `{"text":"x"}`
			if i%2 == 0 {
				args = big
			}
			ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
			defer cancel()
			// Without a limit of its own the call would never end, and neither would the test.
			if _, err := u.Handle(ctx, callRequest("echo", args), mcp.Discard); class(err) != "timeout" {
				t.Errorf("call of a hung child: %v", err)
			}
		})
	}
	wg.Wait()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := u.Probe(ctx); err == nil {
		t.Error("a hung child is said to be well")
	}
	stop()
	if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("hung child %d after stop: %v", pid, err)
	}
}

func TestMissingCommand(t *testing.T) {
	u := upstream.New("none", upstream.Spec{Command: "no-such-program-anywhere"}, nil)
	run(t, u)
	_, err := u.Handle(t.Context(), callRequest("echo", `{}`), mcp.Discard)
	if class(err) != "upstream_unavailable" || string(jsonrpc.Get(mcp.ErrorOf(err).Data, "retrySafe")) != "true" {
		t.Errorf("call = %v", err)
	}
	if s := u.Status(); s.State != upstream.Failed || s.LastError == "" {
		t.Errorf("status = %+v", s)
	}
}

func TestRemoteRefusesCredential(t *testing.T) {
	var asked atomic.Int32
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		w.WriteHeader(http.StatusUnauthorized)
	}))
	defer srv.Close()
	u := upstream.New("remote", upstream.Spec{URL: srv.URL}, nil)
	defer run(t, u)()
	for range 20 {
		if _, err := u.Handle(t.Context(), callRequest("echo", `{}`), mcp.Discard); class(err) != "upstream_unavailable" {
			t.Fatalf("call = %v", err)
		}
	}
	if s := u.Status(); s.State != upstream.Failed || asked.Load() > 2 {
		t.Errorf("state %s after %d requests; want failed without a loop", s.State, asked.Load())
	}
}

func TestRemote(t *testing.T) {
	for _, era := range []upstream.Era{upstream.EraAuto, upstream.EraLegacy, upstream.EraModern} {
		t.Run(string(era), func(t *testing.T) {
			server := newServer()
			var h atomic.Pointer[http.Handler]
			on := func() {
				var handler http.Handler = streamhttp.NewHandler(server, nil)
				h.Store(&handler)
			}
			on()
			// What is gone drops connections, as a dead server's machine does.
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if handler := h.Load(); handler != nil {
					(*handler).ServeHTTP(w, r)
					return
				}
				panic(http.ErrAbortHandler)
			}))
			defer srv.Close()
			ready := make(chan upstream.State, 64)
			u := upstream.New("remote", upstream.Spec{URL: srv.URL, Era: era}, &upstream.Options{
				OnEvent: func(s upstream.Status) { ready <- s.State },
			})
			stop := run(t, u)
			defer stop()
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			res, err := u.Handle(ctx, callRequest("echo", `{"text":"far"}`), mcp.Discard)
			if err != nil || !strings.Contains(string(res.Body), "far") {
				t.Fatalf("call: %s, %v", res.Body, err)
			}
			if s := u.Status(); s.Era == upstream.EraLegacy != (era == upstream.EraLegacy) || s.Tools != 2 {
				t.Errorf("status = %+v", s)
			}
			h.Store(nil)
			if _, err := u.Handle(ctx, callRequest("echo", `{"text":"far"}`), mcp.Discard); class(err) != "upstream_unavailable" {
				t.Errorf("call of what is gone: %v", err)
			}
			for s := range ready {
				if s == upstream.Restarting {
					break
				}
			}
			on()
			for s := range ready { // calls may fail until an attempt gets through
				if s == upstream.Ready {
					break
				}
			}
			if _, err := u.Handle(ctx, callRequest("echo", `{"text":"back"}`), mcp.Discard); err != nil {
				t.Errorf("call of what is back: %v", err)
			}
		})
	}
}

func TestCallsWhileAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var dials int
		fail := func(n int) bool { return n == 2 || n == 3 }
		conns := make(chan *fake, 10)
		u := upstream.New("u", upstream.Spec{StartTimeout: 5 * time.Second}, &upstream.Options{
			Dial: func(ctx context.Context, _ upstream.Whose) (*upstream.Conn, error) {
				if dials++; fail(dials) {
					return nil, errors.New("refused")
				}
				f := newFake()
				conns <- f
				return &upstream.Conn{Handler: newServer(), Done: f.done}, nil
			},
		})
		// Before Run a call waits, and Run serves it.
		first := make(chan error)
		go func() {
			_, err := u.Handle(t.Context(), callRequest("echo", `{"text":"x"}`), mcp.Discard)
			first <- err
		}()
		synctest.Wait()
		stop := run(t, u)
		if err := <-first; err != nil {
			t.Fatal(err)
		}
		before := u.Catalogue()
		(<-conns).cut()
		synctest.Wait()
		if s := u.Status(); s.State != upstream.Restarting {
			t.Errorf("state = %v", s.State)
		}
		if u.Catalogue() != before {
			t.Error("the last catalogue is not kept")
		}
		// The attempt that the call waits for fails: so does the call, and says when to come back.
		_, err := u.Handle(t.Context(), callRequest("echo", `{"text":"x"}`), mcp.Discard)
		if class(err) != "upstream_unavailable" || jsonrpc.Get(mcp.ErrorOf(err).Data, "retryAfterMs") == nil {
			t.Errorf("call while away = %v", err)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if _, err := u.Handle(t.Context(), callRequest("echo", `{"text":"x"}`), mcp.Discard); err != nil {
			t.Errorf("call after recovery = %v", err)
		}
		stop()
		if _, err := u.Handle(t.Context(), callRequest("echo", `{"text":"x"}`), mcp.Discard); class(err) != "upstream_unavailable" {
			t.Errorf("call after stop = %v", err)
		}
	})
}

func TestDeadlineAndCancellation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := newServer()
		h := mcp.HandlerFunc(func(ctx context.Context, req *mcp.Request, sink mcp.Sink) (mcp.Result, error) {
			if req.Method != mcp.MethodCallTool {
				return server.Handle(ctx, req, sink)
			}
			<-ctx.Done()
			return mcp.Result{}, ctx.Err()
		})
		u := upstream.New("u", upstream.Spec{}, &upstream.Options{Dial: func(context.Context, upstream.Whose) (*upstream.Conn, error) {
			return &upstream.Conn{Handler: h}, nil
		}})
		defer run(t, u)()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := u.Handle(ctx, callRequest("echo", `{}`), mcp.Discard); class(err) != "timeout" {
			t.Errorf("after the deadline: %v", err)
		}
		ctx, cancel = context.WithCancel(t.Context())
		done := make(chan error)
		go func() {
			_, err := u.Handle(ctx, callRequest("echo", `{}`), mcp.Discard)
			done <- err
		}()
		synctest.Wait()
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("after cancellation: %v", err)
		}
	})
}

func TestChangesAndGaps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := newServer()
		conns := make(chan *fake, 10)
		u := upstream.New("u", upstream.Spec{}, &upstream.Options{Dial: func(context.Context, upstream.Whose) (*upstream.Conn, error) {
			f := newFake()
			conns <- f
			return &upstream.Conn{Handler: server, Done: f.done}, nil
		}})
		var mu sync.Mutex
		var changes []upstream.Change
		take := func() []upstream.Change {
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			c := changes
			changes = nil
			return c
		}
		defer u.Watch(func(c upstream.Change) {
			mu.Lock()
			defer mu.Unlock()
			changes = append(changes, c)
		})()
		stopURI, ok := u.Subscribe("test://r")
		if !ok {
			t.Fatal("not subscribed")
		}
		defer run(t, u)()
		<-u.Listed()
		if diff := cmp.Diff([]upstream.Change{{Lists: []upstream.Kind{upstream.Tools, upstream.Resources}}}, take()); diff != "" {
			t.Errorf("first listing (-want +got):\n%s", diff)
		}
		server.ResourceUpdated("test://r")
		if diff := cmp.Diff([]upstream.Change{{URI: "test://r"}}, take()); diff != "" {
			t.Errorf("update (-want +got):\n%s", diff)
		}
		server.RemoveTools("hang")
		time.Sleep(time.Second) // servers may collect changes
		if diff := cmp.Diff([]upstream.Change{{Lists: []upstream.Kind{upstream.Tools}}}, take()); diff != "" {
			t.Errorf("tool removed (-want +got):\n%s", diff)
		}
		if n := len(u.Catalogue().Tools); n != 1 {
			t.Errorf("%d tools after the removal", n)
		}
		if err := mcp.AddTool(server, mcp.Tool{Name: "wolf"}, func(context.Context, *mcp.Call, struct{}) (string, error) { return "", nil }); err != nil {
			t.Fatal(err)
		}
		server.RemoveTools("wolf")
		time.Sleep(time.Second)
		if diff := cmp.Diff([]upstream.Change(nil), take()); diff != "" {
			t.Errorf("the same list again (-want +got):\n%s", diff)
		}
		(<-conns).cut()
		time.Sleep(time.Second)
		if diff := cmp.Diff([]upstream.Change{{Gap: true}}, take()); diff != "" {
			t.Errorf("after a reconnection (-want +got):\n%s", diff)
		}
		server.ResourceUpdated("test://r")
		if diff := cmp.Diff([]upstream.Change{{URI: "test://r"}}, take()); diff != "" {
			t.Errorf("update after a reconnection (-want +got):\n%s", diff)
		}
		stopURI()
		synctest.Wait()
		server.ResourceUpdated("test://r")
		if diff := cmp.Diff([]upstream.Change(nil), take()); diff != "" {
			t.Errorf("after the last unsubscription (-want +got):\n%s", diff)
		}
	})
}

func TestHostileLists(t *testing.T) {
	// Each upstream answers tools/list in a way that must end in an error.
	for _, tt := range []struct{ name, page string }{
		{"pages without end", `{"tools":[],"nextCursor":"again"}`},
		{"no name", `{"tools":[{"title":"x"}]}`},
		{"too many", `{"tools":[{"name":"a"},{"name":"b"},{"name":"c"},{"name":"d"}]}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := mcp.HandlerFunc(func(_ context.Context, req *mcp.Request, _ mcp.Sink) (mcp.Result, error) {
					if req.Method == mcp.MethodDiscover {
						return mcp.Result{Body: []byte(`{"supportedVersions":["2026-07-28"],"capabilities":{"tools":{}}}`)}, nil
					}
					return mcp.Result{Body: []byte(tt.page)}, nil
				})
				u := upstream.New("u", upstream.Spec{}, &upstream.Options{MaxItems: 3, Dial: func(context.Context, upstream.Whose) (*upstream.Conn, error) {
					return &upstream.Conn{Handler: h}, nil
				}})
				defer run(t, u)()
				if err := u.WaitReady(t.Context()); class(err) != "upstream_unavailable" {
					t.Errorf("WaitReady = %v", err)
				}
			})
		})
	}
}

func TestAllows(t *testing.T) {
	for i, tt := range []struct {
		allow, deny []string
		tool        string
		want        bool
	}{
		{nil, nil, "any", true},
		{[]string{"read_*"}, nil, "read_file", true},
		{[]string{"read_*"}, nil, "write_file", false},
		{[]string{"*"}, []string{"*delete*"}, "files/delete_all", false},
		{[]string{"a?c"}, nil, "abc", true},
		{[]string{"a?c"}, nil, "ac", false},
		{[]string{"*a*b"}, nil, "xaxbxb", true},
		{[]string{"[a]"}, nil, "a", false},
		{[]string{"é?"}, nil, "éü", true},
	} {
		u := upstream.New("u", upstream.Spec{Allow: tt.allow, Deny: tt.deny}, nil)
		if rule, ok := u.Allows(tt.tool); ok != tt.want || rule == "" {
			t.Errorf("row %s: Allows(%q) = %q, %v", strconv.Itoa(i), tt.tool, rule, ok)
		}
	}
}
