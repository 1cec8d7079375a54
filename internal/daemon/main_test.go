package daemon_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/fairlead-mcp/fairlead/internal/adminapi"
	"github.com/fairlead-mcp/fairlead/internal/config"
	"github.com/fairlead-mcp/fairlead/internal/daemon"
	"github.com/fairlead-mcp/fairlead/internal/secret"
	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/mcp/mcptest"
	"github.com/fairlead-mcp/fairlead/mcp/mcptest/wirecheck"
	"github.com/fairlead-mcp/fairlead/mcp/stdio"
	"github.com/fairlead-mcp/fairlead/mcp/streamhttp"
)

// The test binary is also the child that the nodes under test start.
const childEnv = "FAIRLEAD_DAEMON_TEST_CHILD"

func TestMain(m *testing.M) {
	if kind := os.Getenv(childEnv); kind != "" {
		run := child
		switch kind {
		case "gossip":
			run = gossipChild
		case "hostile":
			run = hostileChild
		}
		if kind == "faulty" {
			run = faultyChild
		}
		if err := run(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	goleak.VerifyTestMain(m)
}

type text struct {
	Text string `json:"text"`
}

// child has three tools: echo; count, which reports its text as progress three
// times; and wait, which reports once and then waits for its cancellation, or for
// the file that it is told of.
func child() error {
	s := mcp.NewServer("child", "1", nil)
	err := errors.Join(
		mcp.AddTool(s, mcp.Tool{Name: "echo"}, func(_ context.Context, _ *mcp.Call, in text) (string, error) { return in.Text, nil }),
		mcp.AddTool(s, mcp.Tool{Name: "count"}, func(_ context.Context, call *mcp.Call, in text) (string, error) {
			for i := range 3 {
				if err := call.Progress(float64(i+1), 3, in.Text); err != nil {
					return "", err
				}
			}
			return in.Text, nil
		}),
		mcp.AddTool(s, mcp.Tool{Name: "wait"}, func(ctx context.Context, call *mcp.Call, in text) (string, error) {
			if err := call.Progress(1, 2, "waiting"); err != nil {
				return "", err
			}
			tick := time.NewTicker(5 * time.Millisecond)
			defer tick.Stop()
			for {
				if _, err := os.Stat(in.Text); err == nil {
					return "done", nil
				}
				select {
				case <-ctx.Done():
					return "", ctx.Err()
				case <-tick.C:
				}
			}
		}),
	)
	if err != nil {
		return err
	}
	return stdio.Serve(context.Background(), s, nil)
}

// node is a running node.
type node struct {
	*daemon.Daemon
	daemon.Addresses
	admin *adminapi.Client
	done  chan struct{} // closed when Run has returned
	err   error         // what Run returned
}

// settings is a config with one child named "one" and free ports.
func settings(t *testing.T) *config.Config {
	t.Helper()
	data, err := os.MkdirTemp("", "fl") // t.TempDir is too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(data) })
	cfg := config.Default(os.LookupEnv)
	cfg.Listen, cfg.Admin = "127.0.0.1:0", "127.0.0.1:0"
	cfg.Data, cfg.AdminSocket = data, filepath.Join(data, "admin.sock")
	cfg.Upstreams = []config.Upstream{{
		Name: "one", Command: os.Args[0], Era: config.EraAuto, Timeout: time.Minute,
		Env: map[string]secret.Text{
			childEnv: secret.New("1"),
			"GORACE": secret.New("atexit_sleep_ms=0"), // the child would end a second later
		},
	}}
	return cfg
}

// start runs a node until the test ends.
func start(t *testing.T, cfg *config.Config) *node {
	t.Helper()
	return startWith(t, cfg, &daemon.Options{})
}

// startWith is start with options.
func startWith(t *testing.T, cfg *config.Config, opts *daemon.Options) *node {
	t.Helper()
	ready := make(chan daemon.Addresses, 1)
	opts.OnReady = func(a daemon.Addresses) { ready <- a }
	d, err := daemon.New(cfg, opts)
	if err != nil {
		t.Fatal(err)
	}
	n := &node{Daemon: d, done: make(chan struct{}), admin: adminapi.NewClient(cfg.AdminSocket)}
	go func() {
		n.err = d.Run(context.Background())
		close(n.done)
	}()
	t.Cleanup(func() { d.Kill(); <-n.done })
	select {
	case n.Addresses = <-ready:
	case <-n.done:
		t.Fatalf("Run: %v", n.err)
	}
	return n
}

// recorded makes Endpoint one whose connections are held against the schemas.
func (n *node) recorded(t *testing.T) *node {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	tap, done := mcptest.Tap(t, wirecheck.Server), make(chan struct{})
	addr := strings.TrimSuffix(strings.TrimPrefix(n.Endpoint, "http://"), "/mcp")
	go func() { defer close(done); tap.Forward(ln, addr) }() // until ln and the node are closed
	t.Cleanup(func() { _ = ln.Close(); n.Kill(); <-done })
	n.Endpoint = "http://" + ln.Addr().String() + "/mcp"
	return n
}

// client speaks to the node at path.
func (n *node) client(t *testing.T, path string, era streamhttp.Era) *mcp.Client {
	t.Helper()
	h := streamhttp.NewClient(n.Endpoint+path, &streamhttp.ClientOptions{Era: era})
	t.Cleanup(func() { _ = h.Close(context.Background()) })
	return mcp.NewClient("test", "1", h, nil)
}

// pid is that of the child, once there is one other than not.
func (n *node) pid(t *testing.T, not int) int {
	t.Helper()
	var pid int
	eventually(t, "the child", func() bool {
		st, err := n.admin.Status(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		pid = st.Upstreams[0].PID
		return st.Upstreams[0].State == "ready" && pid != not
	})
	return pid
}

// eventually polls what has no event to wait for: another process.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(30 * time.Second)
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("waited 30 s for %s", what)
		}
	}
}
