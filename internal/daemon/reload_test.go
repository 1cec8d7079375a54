package daemon_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fairlead-mcp/fairlead/internal/adminapi"
	"github.com/fairlead-mcp/fairlead/internal/config"
	"github.com/fairlead-mcp/fairlead/internal/daemon"
	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/mcp/streamhttp"
)

// fileNode is a node that runs with a config file, which a test writes anew.
type fileNode struct {
	*node
	t    *testing.T
	data string
	path string
}

// text is a config with these upstreams, each a child, named NAME or NAME=VALUE, where
// another VALUE makes another child of it.
func (n *fileNode) text(more string, upstreams ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "listen: 127.0.0.1:0\nadmin: 127.0.0.1:0\ndata: %s\n%s\nupstreams:\n", n.data, more)
	for _, u := range upstreams {
		name, value, _ := strings.Cut(u, "=")
		fmt.Fprintf(&b, "  %s: {command: %q, env: {%s: \"1\", GORACE: atexit_sleep_ms=0, VALUE: %q}}\n", name, os.Args[0], childEnv, value)
	}
	return b.String()
}

func (n *fileNode) write(text string) {
	n.t.Helper()
	if err := os.WriteFile(n.path, []byte(text), 0o600); err != nil {
		n.t.Fatal(err)
	}
}

// source reads the file as the command line does, but for its flags.
func source(t *testing.T, path string) *daemon.Source {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return &daemon.Source{
		Path: path, Text: text,
		Read: func() ([]byte, error) { return config.Read(path, false) },
		Parse: func(text []byte) (*config.Config, []*config.Error, error) {
			cfg, err := config.Parse(path, text, os.LookupEnv)
			return cfg, nil, err
		},
	}
}

// startFile runs a node of a file with these upstreams.
func startFile(t *testing.T, more string, upstreams ...string) *fileNode {
	t.Helper()
	n := &fileNode{t: t, data: settings(t).Data}
	n.path = filepath.Join(n.data, "fairlead.yaml")
	n.write(n.text(more, upstreams...))
	n.run(&daemon.Options{})
	return n
}

func (n *fileNode) run(opts *daemon.Options) {
	n.t.Helper()
	cfg, err := config.Load(n.path, os.LookupEnv)
	if err != nil {
		n.t.Fatal(err)
	}
	opts.Source = source(n.t, n.path)
	n.node = startWith(n.t, cfg, opts)
	n.settled()
}

// reload writes the file and has it read again.
func (n *fileNode) reload(text string) *adminapi.ConfigChange {
	n.t.Helper()
	n.write(text)
	change, err := n.admin.Reload(n.t.Context())
	if err != nil {
		n.t.Fatal(err)
	}
	return change
}

// settled waits until every upstream is ready and nothing is being replaced.
func (n *fileNode) settled() *adminapi.Status {
	n.t.Helper()
	var st *adminapi.Status
	eventually(n.t, "the upstreams", func() bool {
		var err error
		if st, err = n.admin.Status(n.t.Context()); err != nil {
			n.t.Fatal(err)
		}
		for _, u := range st.Upstreams {
			if u.State != "ready" {
				return false
			}
		}
		return len(st.Config.Changing) == 0
	})
	return st
}

func pids(st *adminapi.Status) map[string]int {
	out := map[string]int{}
	for _, u := range st.Upstreams {
		out[u.Name] = u.PID
	}
	return out
}

func gone(t *testing.T, pid int) {
	t.Helper()
	eventually(t, fmt.Sprintf("the end of child %d", pid), func() bool { return errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) })
}

const quietly = "config_watch: false" // the tests reload by hand

func TestReloadTouchesOnlyWhatChanged(t *testing.T) {
	n := startFile(t, quietly, "one", "two", "three")
	before := pids(n.settled())
	old := n.client(t, "/three", streamhttp.EraLegacy)
	kept := n.client(t, "/one", streamhttp.EraLegacy)
	for _, c := range []*mcp.Client{old, kept} { // they have sessions from now on
		if _, err := c.CallTool(t.Context(), "echo", text{"x"}, nil); err != nil {
			t.Fatal(err)
		}
	}

	change := n.reload(n.text(quietly+"\nvirtual: {v: {tools: [{from: two}]}}", "four", "one", "two=changed"))
	want := &adminapi.ConfigChange{Generation: 2, Added: []string{"four"}, Changed: []string{"two"}, Removed: []string{"three"}, Same: 1, Notes: []adminapi.Finding{}}
	if diff := cmp.Diff(want, change); diff != "" {
		t.Errorf("change (-want +got):\n%s", diff)
	}
	st := n.settled()
	after := pids(st)
	var order []string
	for _, u := range st.Upstreams {
		order = append(order, u.Name)
	}
	if diff := cmp.Diff([]string{"four", "one", "two"}, order); diff != "" {
		t.Errorf("upstreams (-want +got):\n%s", diff)
	}
	if after["one"] != before["one"] {
		t.Errorf("the child of an upstream that has not changed: %d, was %d", after["one"], before["one"])
	}
	if after["two"] == before["two"] || after["two"] == 0 {
		t.Errorf("the child of an upstream that has changed is the same, %d", after["two"])
	}
	gone(t, before["two"])
	gone(t, before["three"])
	c := n.client(t, "", streamhttp.EraModern)
	for _, tool := range []string{"one__echo", "two__echo", "four__echo"} {
		if res, err := c.CallTool(t.Context(), tool, text{"x"}, nil); err != nil || res.Text() != "x" {
			t.Errorf("%s: %v, %v", tool, res, err)
		}
	}
	if res, err := n.client(t, "/v", streamhttp.EraModern).CallTool(t.Context(), "echo", text{"x"}, nil); err != nil || res.Text() != "x" {
		t.Errorf("a virtual server that was added: %v, %v", res, err)
	}
	if _, err := c.CallTool(t.Context(), "three__echo", text{"x"}, nil); err == nil || !strings.Contains(err.Error(), "Unknown tool: three__echo") {
		t.Errorf("a tool of a removed upstream: %v", err)
	}
	if _, err := old.CallTool(t.Context(), "echo", text{"x"}, nil); err == nil {
		t.Error("the session of a removed upstream goes on")
	}
	if got := statusOf(t, n.Endpoint+"/three", nil); got != http.StatusNotFound {
		t.Errorf("the endpoint of a removed upstream: %d", got)
	}
	if res, err := kept.CallTool(t.Context(), "echo", text{"x"}, nil); err != nil || res.Text() != "x" {
		t.Errorf("the session of an upstream that stays: %v, %v", res, err)
	}
	if c := st.Config; c.By != "api reload" || c.Refused != nil || c.Hash == "" {
		t.Errorf("config in the status: %+v", c)
	}

	// The same file again is no change, and one that takes a change back while it is
	// being made leaves the old child.
	if change := n.reload(n.text(quietly, "four", "one", "two=changed")); change.Same != 3 {
		t.Errorf("the same again: %+v", change)
	}
	n.reload(n.text(quietly, "four", "one=x", "two=changed"))
	n.reload(n.text(quietly, "four", "one", "two=changed"))
	if got := pids(n.settled()); got["one"] != after["one"] || got["two"] != after["two"] {
		t.Errorf("children after a change that was taken back: %v, were %v", got, after)
	}
}

// TestReloadWithCallsInFlight is F27: a removed upstream finishes its calls within the
// shutdown grace, and new calls find an unknown tool. A changed one does so, too.
func TestReloadWithCallsInFlight(t *testing.T) {
	for _, c := range []struct {
		name      string
		more      string
		upstreams []string
		release   bool
		unknown   bool
	}{
		{"removed", quietly, []string{"two"}, true, true},
		{"changed", quietly, []string{"one=changed", "two"}, true, false},
		{"removed, and the call goes on for ever", quietly + "\nshutdown_grace: 100ms", []string{"two"}, false, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			n := startFile(t, c.more, "one", "two")
			pid := pids(n.settled())["one"]
			open := filepath.Join(n.data, "open")
			const calls = 6
			running, ended := make(chan struct{}, calls), make(chan error, calls)
			for i := range calls {
				client := n.client(t, "", []streamhttp.Era{streamhttp.EraModern, streamhttp.EraLegacy}[i%2])
				go func() { // ends when the file is there, or the grace is over
					res, err := client.CallTool(t.Context(), "one__wait", text{open}, &mcp.CallOptions{Progress: func(mcp.Progress) { running <- struct{}{} }})
					if err == nil && res.Text() != "done" {
						err = errors.New(res.Text())
					}
					ended <- err
				}()
			}
			for range calls {
				<-running
			}
			n.reload(n.text(c.more, c.upstreams...))
			n.settled()
			_, err := n.client(t, "", streamhttp.EraModern).CallTool(t.Context(), "one__echo", text{"x"}, nil)
			if unknown := err != nil && strings.Contains(err.Error(), "Unknown tool: one__echo"); unknown != c.unknown || !unknown && err != nil {
				t.Errorf("a new call: %v; want unknown tool: %v", err, c.unknown)
			}
			if c.release {
				if err := syscall.Kill(pid, 0); err != nil {
					t.Errorf("the child was stopped while its calls run: %v", err)
				}
				if err := os.WriteFile(open, nil, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			for range calls {
				switch err := <-ended; {
				case c.release && err != nil:
					t.Errorf("a running call: %v, want it to finish", err)
				case !c.release && !mcp.IsWireError(err):
					t.Errorf("a call beyond the grace: %v, want an error that the node has sent", err)
				}
			}
			gone(t, pid)
		})
	}
}

// TestReloadOfBadFile is F26: the node goes on with what it had, says what is wrong,
// and where, and drops nothing.
func TestReloadOfBadFile(t *testing.T) {
	n := startFile(t, quietly, "one")
	l := n.load(t, "one__echo", 4)
	pid := pids(n.settled())["one"]
	good := n.text(quietly, "one")
	for _, c := range []struct{ name, text, key, what, hint string }{
		{"garbage", "\x00\x01{{{", "", "", ""},
		{"a wrong key", good + "upstream: {}\n", "upstream", "unknown key", `did you mean "upstreams"?`},
		{"a wrong value", strings.Replace(good, "config_watch: false", "config_watch: maybe", 1), "config_watch", "neither true nor false", "write true or false"},
		{"another address", strings.Replace(good, "listen: 127.0.0.1:0", "listen: 127.0.0.1:1", 1), "listen", "this cannot change while the node runs", "restart the node"},
		{"another admin address", strings.Replace(good, "admin: 127.0.0.1:0", "admin: 127.0.0.1:2", 1), "admin", "this cannot change while the node runs", "it was 127.0.0.1:0"},
		{"another socket", good + "admin_socket: other.sock\n", "admin_socket", "this cannot change while the node runs", "restart the node"},
		{"another data directory", strings.Replace(good, "data: "+n.data, "data: /tmp", 1), "data", "this cannot change while the node runs", "restart the node"},
		{"TLS", good + "tls: {cert: fairlead.yaml, key: fairlead.yaml}\n", "tls", "this cannot change while the node runs", "restart the node"},
		{"other limits", good + "limits: {sessions: 5}\n", "limits.sessions", "this cannot change while the node runs", "it was 10000"},
		{"no file", "", "", "no such file", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			n.write(c.text)
			if c.name == "no file" {
				if err := os.Remove(n.path); err != nil {
					t.Fatal(err)
				}
			}
			before := l.calls.Load()
			_, err := n.admin.Reload(t.Context())
			refused, ok := errors.AsType[*adminapi.Refused](err)
			if !ok {
				t.Fatalf("Reload: %v, want it refused", err)
			}
			f := refused.Findings[0]
			if f.Key != c.key || !strings.Contains(f.What, c.what) || !strings.Contains(f.Hint, c.hint) {
				t.Errorf("finding %+v", f)
			}
			if c.key != "" && (f.File != n.path || f.Line == 0 || f.Column == 0) {
				t.Errorf("the finding says no place: %+v", f)
			}
			st := n.settled()
			if r := st.Config.Refused; r == nil || r.By != "api reload" || r.Findings[0] != f {
				t.Errorf("the status has %+v", r)
			}
			if got := pids(st)["one"]; got != pid {
				t.Errorf("the child is %d, was %d", got, pid)
			}
			eventually(t, "degraded health", func() bool { return n.component(t, "config").State == "degraded" })
			eventually(t, "more calls", func() bool { return l.calls.Load() > before })
		})
	}
	n.reload(good)
	eventually(t, "health", func() bool { return n.component(t, "config").State == "healthy" })
	if st := n.settled(); st.Config.Refused != nil {
		t.Errorf("the status still has %+v", st.Config.Refused)
	}
	l.none(t)
}

func (n *fileNode) component(t *testing.T, name string) adminapi.Component {
	t.Helper()
	st, err := n.admin.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range st.Components {
		if c.Name == name {
			return c
		}
	}
	t.Fatalf("no component %q", name)
	return adminapi.Component{}
}

// load are clients of both eras that call one tool after the other.
type load struct {
	calls  atomic.Int64
	stop   context.CancelFunc
	ending sync.WaitGroup

	mu   sync.Mutex
	lost []error
}

func (n *fileNode) load(t *testing.T, tool string, clients int) *load {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	l := &load{stop: stop}
	for i := range clients {
		c := n.client(t, "", []streamhttp.Era{streamhttp.EraModern, streamhttp.EraLegacy}[i%2])
		l.ending.Go(func() { // ends with stop
			for k := 0; ctx.Err() == nil; k++ {
				word := fmt.Sprintf("%d-%d", i, k)
				res, err := c.CallTool(ctx, tool, text{word}, nil)
				switch {
				case ctx.Err() != nil:
				case err == nil && res.Text() == word:
					l.calls.Add(1)
				default:
					l.mu.Lock()
					l.lost = append(l.lost, fmt.Errorf("client %d, call %d: %v, %w", i, k, res, err))
					l.mu.Unlock()
				}
			}
		})
	}
	t.Cleanup(l.end)
	eventually(t, "the load", func() bool { return l.calls.Load() > int64(10*clients) })
	return l
}

func (l *load) end() {
	l.stop()
	l.ending.Wait()
}

func (l *load) failures() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.lost)
}

// none ends the load and fails the test for the calls that failed.
func (l *load) none(t *testing.T) {
	t.Helper()
	l.end()
	for i, err := range l.lost {
		if i == 10 {
			t.Errorf("and %d more of %d", len(l.lost)-10, l.calls.Load())
			break
		}
		t.Error(err)
	}
	t.Logf("%d calls, %d failed", l.calls.Load(), len(l.lost))
}

// TestReloadUnderLoad replaces the upstream that is called, and others beside it, and
// fails no call.
func TestReloadUnderLoad(t *testing.T) {
	n := startFile(t, quietly, "one", "two")
	l := n.load(t, "one__echo", 8)
	for i := range 8 {
		before := l.calls.Load()
		list := []string{fmt.Sprintf("one=%d", i)}
		if i%2 == 0 {
			list = append(list, "three", fmt.Sprintf("two=%d", i))
		}
		if i%4 == 3 {
			n.write("broken: [")
			if _, err := n.Reload("test"); err == nil {
				t.Fatal("a broken file was taken")
			}
		}
		n.reload(n.text(quietly, list...))
		n.settled()
		eventually(t, "more calls", func() bool { return l.calls.Load() > before+20 })
	}
	l.none(t)
}

// TestRestartLosesCalls is the broken twin: what restarts the child in place of
// replacing it fails calls, and the load above sees that.
func TestRestartLosesCalls(t *testing.T) {
	n := startFile(t, quietly, "one")
	l := n.load(t, "one__echo", 8)
	eventually(t, "a call that is lost", func() bool {
		if _, err := n.admin.Act(t.Context(), "one", adminapi.ActionRestart); err != nil {
			t.Fatal(err)
		}
		n.settled()
		return l.failures() > 0
	})
}

// TestDrainedUpstream: an operator takes an upstream out of service and back.
func TestDrainedUpstream(t *testing.T) {
	n := startFile(t, quietly, "one")
	c := n.client(t, "", streamhttp.EraModern)
	open := filepath.Join(n.data, "open")
	running, ended := make(chan struct{}, 1), make(chan error, 1)
	go func() { // ends when the file is there
		_, err := c.CallTool(t.Context(), "one__wait", text{open}, &mcp.CallOptions{Progress: func(mcp.Progress) { running <- struct{}{} }})
		ended <- err
	}()
	<-running
	for _, back := range []adminapi.Action{adminapi.ActionUndrain, adminapi.ActionRestart} {
		u, err := n.admin.Act(t.Context(), "one", adminapi.ActionDrain)
		if err != nil || !u.Drained {
			t.Fatalf("drain: %+v, %v", u, err)
		}
		_, err = c.CallTool(t.Context(), "one__echo", text{"x"}, nil)
		var e *mcp.Error
		if !errors.As(err, &e) || !strings.Contains(string(e.Data), "upstream_unavailable") {
			t.Errorf("a call of a drained upstream: %v", err)
		}
		if back == adminapi.ActionUndrain {
			if u.Load.Running != 1 {
				t.Errorf("%d calls run, want the one that was there", u.Load.Running)
			}
			if err := os.WriteFile(open, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			if err := <-ended; err != nil {
				t.Errorf("the running call: %v, want it to finish", err)
			}
		}
		if _, err := n.admin.Act(t.Context(), "one", back); err != nil {
			t.Fatal(err)
		}
		if st := n.settled(); st.Upstreams[0].Drained {
			t.Errorf("still drained after %s", back)
		}
		if res, err := c.CallTool(t.Context(), "one__echo", text{"x"}, nil); err != nil || res.Text() != "x" {
			t.Errorf("after %s: %v, %v", back, res, err)
		}
	}
}
