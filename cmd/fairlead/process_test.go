package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/fairlead-mcp/fairlead/internal/adminapi"
	"github.com/fairlead-mcp/fairlead/internal/cli"
	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/mcp/stdio"
	"github.com/fairlead-mcp/fairlead/mcp/streamhttp"
)

// The test binary is also the program, and the child that its nodes start.
const (
	programEnv = "FAIRLEAD_TEST_PROGRAM"
	childEnv   = "FAIRLEAD_TEST_CHILD"
)

func TestMain(m *testing.M) {
	switch {
	case os.Getenv(childEnv) != "":
		if err := child(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	case os.Getenv(programEnv) != "":
		os.Exit(cli.Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
	default:
		os.Exit(m.Run())
	}
}

type text struct {
	Text string `json:"text"`
}

type name struct {
	Name string `json:"name"`
}

// child is a server with four tools: echo; pid; wait, which reports progress and then
// waits for the file that it is told of; ask, which asks for a name.
func child() error {
	s := mcp.NewServer("child", "1", nil)
	return errors.Join(
		mcp.AddTool(s, mcp.Tool{Name: "echo"}, func(_ context.Context, _ *mcp.Call, in text) (string, error) { return in.Text, nil }),
		mcp.AddTool(s, mcp.Tool{Name: "pid"}, func(context.Context, *mcp.Call, struct{}) (string, error) { return fmt.Sprint(os.Getpid()), nil }),
		mcp.AddTool(s, mcp.Tool{Name: "wait"}, func(ctx context.Context, call *mcp.Call, in text) (string, error) {
			if err := call.Progress(1, 2, "waiting"); err != nil {
				return "", err
			}
			return "done", appears(ctx, in.Text)
		}),
		mcp.AddTool(s, mcp.Tool{Name: "ask"}, func(ctx context.Context, call *mcp.Call, _ struct{}) (string, error) {
			who, _, err := mcp.ElicitAs[name](ctx, call, "name", "Who are you?")
			return fmt.Sprintf("Hello, %s, from %d", who.Name, os.Getpid()), err
		}),
		stdio.Serve(context.Background(), s, nil))
}

// appears waits until there is a file.
func appears(ctx context.Context, path string) error {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		if _, err := os.Stat(path); err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

// process is a node in a process of its own.
type process struct {
	cmd      *exec.Cmd
	dir      string // data directory
	config   string // path of the config
	endpoint string
	health   string // URL of the admin listener
	admin    *adminapi.Client
	log      *buffer
	ended    chan struct{} // closed when the process that was started has ended
}

// start runs a node with the lines given in its config, until the test ends.
func start(t *testing.T, lines ...string) *process {
	t.Helper()
	dir, err := os.MkdirTemp("", "fl") // t.TempDir is too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	p := &process{dir: dir, config: filepath.Join(dir, "fairlead.yaml"), log: &buffer{}, ended: make(chan struct{})}
	p.configure(t, lines...)
	p.cmd = exec.Command(os.Args[0], "serve", "--config", p.config)
	p.cmd.Env = append(os.Environ(), programEnv+"=1", "GORACE=atexit_sleep_ms=0")
	p.cmd.Stderr = p.log
	p.cmd.WaitDelay = 10 * time.Second // a process that took over keeps stderr open
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		<-p.ended
		if t.Failed() {
			t.Logf("log of the node:\n%s", p.log)
		}
	})
	lineReader := bufio.NewScanner(out)
	for range 2 {
		if !lineReader.Scan() {
			break
		}
		switch fields := strings.Fields(lineReader.Text()); {
		case strings.HasPrefix(lineReader.Text(), "MCP endpoint"):
			p.endpoint = fields[2]
		case strings.HasPrefix(lineReader.Text(), "health"):
			p.health = strings.TrimSuffix(fields[1], "/healthz")
		}
	}
	go func() { // ends with the process
		_, _ = io.Copy(io.Discard, out)
		_ = p.cmd.Wait()
		close(p.ended)
	}()
	if p.endpoint == "" || p.health == "" {
		<-p.ended
		t.Fatalf("the node has not said where it listens:\n%s", p.log)
	}
	p.admin = adminapi.NewClient(filepath.Join(dir, "admin.sock"))
	eventually(t, "the upstreams", func() bool {
		st, err := p.admin.Status(t.Context())
		if err != nil {
			return false
		}
		for _, u := range st.Upstreams {
			if u.State != "ready" {
				return false
			}
		}
		return true
	})
	return p
}

// configure writes the config: one child, called one, and what lines add.
func (p *process) configure(t *testing.T, lines ...string) {
	t.Helper()
	config := fmt.Sprintf(`listen: 127.0.0.1:0
admin: 127.0.0.1:0
data: %s
log: {level: debug}
upstreams:
  one: {command: %s, env: {%s: "1", GORACE: atexit_sleep_ms=0}}
%s`, p.dir, os.Args[0], childEnv, strings.Join(lines, "\n")+"\n")
	if err := os.WriteFile(p.config, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
}

func (p *process) signal(t *testing.T, s syscall.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
}

// exit waits for the end of the process and returns its exit code.
func (p *process) exit() int {
	<-p.ended
	return p.cmd.ProcessState.ExitCode()
}

func (p *process) client(t *testing.T, path string, era streamhttp.Era, opts *mcp.ClientOptions) *mcp.Client {
	t.Helper()
	h := streamhttp.NewClient(p.endpoint+path, &streamhttp.ClientOptions{Era: era})
	t.Cleanup(func() { _ = h.Close(context.Background()) })
	return mcp.NewClient("test", "1", h, opts)
}

// status is that of an answer of the admin listener, 0 for none.
func (p *process) status(path string) int {
	transport := &http.Transport{DisableKeepAlives: true}
	req, err := http.NewRequest(http.MethodGet, p.health+path, nil)
	if err != nil {
		return 0
	}
	res, err := transport.RoundTrip(req)
	if err != nil {
		return 0
	}
	_ = res.Body.Close()
	return res.StatusCode
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

func eras() []streamhttp.Era { return []streamhttp.Era{streamhttp.EraModern, streamhttp.EraLegacy} }

type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}
