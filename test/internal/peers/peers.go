// Package peers finds the official programs that the tests run against, and runs
// servers for them. Only tests use it.
package peers

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Dir is test/npm, where the peers are installed.
func Dir() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Join(filepath.Dir(file), "..", "..", "npm")
}

// Need skips the test unless it runs end to end, with the peers installed.
func Need(t *testing.T) {
	t.Helper()
	if os.Getenv("FAIRLEAD_E2E") == "" {
		t.Skip("end-to-end tests run with FAIRLEAD_E2E=1 (make e2e)")
	}
	if _, err := os.Stat(filepath.Join(Dir(), "node_modules", "node", "bin", "node")); err != nil {
		t.Fatalf("the npm peers are not installed; run: make peers (%v)", err)
	}
}

// Node is the path of Node 22, which the official suite needs.
func Node() string { return filepath.Join(Dir(), "node_modules", "node", "bin", "node") }

// Script is the path of a script in an installed package.
func Script(pkg, path string) string { return filepath.Join(Dir(), "node_modules", pkg, path) }

// NodeCommand runs a script with Node 22 first in PATH, since scripts start others.
func NodeCommand(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, Node(), args...)
	cmd.Dir = Dir()
	cmd.Env = append(os.Environ(), "PATH="+filepath.Dir(Node())+string(os.PathListSeparator)+os.Getenv("PATH"))
	cmd.WaitDelay = 5 * time.Second
	return cmd
}

// Build builds a program of the root module and returns its path.
func Build(t *testing.T, pkg string) string {
	t.Helper()
	bin := filepath.Join(t.TempDir(), filepath.Base(pkg))
	out, err := exec.Command("go", "build", "-o", bin, "github.com/fairlead-mcp/fairlead/"+pkg).CombinedOutput()
	if err != nil {
		t.Fatalf("go build %s: %v\n%s", pkg, err, out)
	}
	return bin
}

// FreeAddr is a loopback address that nobody listens on at this moment.
func FreeAddr(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().String()
}

// Process is a running program whose output is shown when the test fails.
type Process struct {
	Cmd *exec.Cmd
	out syncBuffer
}

// Start starts cmd; the test's end stops it with SIGTERM, and SIGKILL after 15 s.
func Start(t *testing.T, cmd *exec.Cmd) *Process {
	t.Helper()
	p := &Process{Cmd: cmd}
	cmd.Stdout, cmd.Stderr = &p.out, &p.out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		kill := time.AfterFunc(15*time.Second, func() { _ = cmd.Process.Kill() })
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
		kill.Stop()
		if t.Failed() {
			t.Logf("%s printed:\n%s", filepath.Base(cmd.Path), p.out.String())
		}
	})
	return p
}

// Output is what the program has printed so far.
func (p *Process) Output() string { return p.out.String() }

// WaitHTTP waits until a GET of url gives the status.
func WaitHTTP(t *testing.T, url string, status int) {
	t.Helper()
	Wait(t, fmt.Sprintf("%s to answer %d", url, status), func() bool {
		res, err := http.Get(url)
		if err != nil {
			return false
		}
		res.Body.Close()
		return res.StatusCode == status
	})
}

// WaitListen waits until something listens on addr.
func WaitListen(t *testing.T, addr string) {
	t.Helper()
	Wait(t, "a listener on "+addr, func() bool {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			return false
		}
		c.Close()
		return true
	})
}

// Wait polls until ok, or fails the test after 60 s: another process has no event to wait for.
func Wait(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(60 * time.Second); !ok(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("waited 60 s for %s", what)
		}
	}
}

// Tail is the end of a long text.
func Tail(text string, lines int) string {
	all := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

type syncBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// Children are the processes whose parent is pid.
func Children(pid int) (list []int) {
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range stats {
		raw, err := os.ReadFile(path)
		if err != nil {
			continue // it has just ended
		}
		// pid (name) state parent ...; a name may have spaces and parentheses
		fields := strings.Fields(string(raw[bytes.LastIndexByte(raw, ')')+1:]))
		if len(fields) > 1 && fields[1] == strconv.Itoa(pid) && fields[0] != "Z" {
			child, _ := strconv.Atoi(strings.Split(path, "/")[2])
			list = append(list, child)
		}
	}
	return list
}
