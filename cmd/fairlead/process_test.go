package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
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
	ended    chan struct{} // closed when the process that was started has ended
}

// start runs a node with the lines given in its config, until the test ends.
func start(t *testing.T, lines ...string) *process {
	t.Helper()
	return startBy(t, func(cmd *exec.Cmd) {}, lines...)
}

// startBy is start with what prepare makes of the command.
func startBy(t *testing.T, prepare func(*exec.Cmd), lines ...string) *process {
	t.Helper()
	dir, err := os.MkdirTemp("", "fl") // t.TempDir is too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	p := &process{dir: dir, config: filepath.Join(dir, "fairlead.yaml"), ended: make(chan struct{})}
	p.configure(t, lines...)
	// A file, since a process that takes over goes on writing to it.
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	p.cmd = exec.Command(os.Args[0], "serve", "--config", p.config)
	p.cmd.Env = append(os.Environ(), programEnv+"=1", "GORACE=atexit_sleep_ms=0")
	p.cmd.Stdout, p.cmd.Stderr = log, log
	prepare(p.cmd)
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { // ends with the process
		defer close(p.ended)
		_ = p.cmd.Wait()
	}()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		<-p.ended
		if t.Failed() {
			t.Logf("log of the node:\n%s", p.log())
		}
	})
	p.admin = adminapi.NewClient(filepath.Join(dir, "admin.sock"))
	eventually(t, "the upstreams", func() bool {
		select {
		case <-p.ended:
			t.Fatalf("the node has ended:\n%s", p.log())
		default:
		}
		st, err := p.admin.Status(t.Context())
		if err != nil || !st.Ready {
			return false
		}
		p.endpoint, p.health = st.Endpoint, st.Admin
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
func (p *process) exit(t *testing.T) int {
	t.Helper()
	select {
	case <-p.ended:
		return p.cmd.ProcessState.ExitCode()
	case <-time.After(30 * time.Second):
		t.Fatal("the process has not ended in 30 s")
		return -1
	}
}

func (p *process) log() string {
	b, _ := os.ReadFile(filepath.Join(p.dir, "log"))
	return string(b)
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
