package daemon_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/fairlead-mcp/fairlead/internal/adminapi"
	"github.com/fairlead-mcp/fairlead/internal/config"
	"github.com/fairlead-mcp/fairlead/internal/daemon"
	"github.com/fairlead-mcp/fairlead/internal/secret"
	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/mcp/stdio"
	"github.com/fairlead-mcp/fairlead/mcp/streamhttp"
)

// faulty is a config of one faulty child.
func faulty(t *testing.T) *config.Config {
	cfg := settings(t)
	cfg.Upstreams[0].Env[childEnv] = secret.New("faulty")
	return cfg
}

// upstreamOf is the only upstream as the admin API has it.
func (n *node) upstreamOf(t *testing.T) adminapi.Upstream {
	t.Helper()
	st, err := n.admin.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return st.Upstreams[0]
}

// TestMemoryLimit: a child that uses too much is ended and started again, with the
// reason, and the limit is shown with who holds it.
func TestMemoryLimit(t *testing.T) {
	cfg := faulty(t)
	cfg.Upstreams[0].Limits = config.ChildLimits{Memory: 256 << 20, Processes: 500}
	n := start(t, cfg)
	c := n.client(t, "/one", streamhttp.EraModern)
	first := n.pid(t, 0)
	u := n.upstreamOf(t)
	if len(u.Limits) != 3 || u.Limits[0].Limit != "memory" || u.Limits[0].Value != "256MiB" ||
		!strings.HasPrefix(u.Limits[0].By, "cgroup") && !strings.HasPrefix(u.Limits[0].By, "watched") {
		t.Errorf("limits %+v", u.Limits)
	}
	_, err := c.CallTool(t.Context(), "eat", text{}, nil)
	if e, ok := errors.AsType[*mcp.Error](err); !ok || !strings.Contains(string(e.Data), "upstream_unavailable") {
		t.Errorf("the call ended with %v", err)
	}
	n.pid(t, first)
	u = n.upstreamOf(t)
	if !strings.Contains(u.LastError, "it reached limits.memory, 256MiB: ") || u.LimitHits["memory"] != 1 {
		t.Errorf("last error %q, reached %v", u.LastError, u.LimitHits)
	}
	if res, err := c.CallTool(t.Context(), "echo", text{"again"}, nil); err != nil || res.Text() != "again" {
		t.Errorf("the next call: %v, %v", res, err)
	}
}

// TestHangingChild: a child that answers nothing is started again after as many
// probes; its callers end at their time.
func TestHangingChild(t *testing.T) {
	cfg := faulty(t)
	cfg.Upstreams[0].Timeout, cfg.Upstreams[0].RestartAfter = 500*time.Millisecond, 2
	n := startWith(t, cfg, &daemon.Options{ProbeEvery: 50 * time.Millisecond, ProbeTimeout: 200 * time.Millisecond})
	c := n.client(t, "/one", streamhttp.EraModern)
	first := n.pid(t, 0)
	if err := syscall.Kill(first, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the child to be stopped", func() bool {
		raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", first))
		return err == nil && strings.Contains(string(raw), ") T ")
	})
	_, err := c.CallTool(t.Context(), "echo", text{"anybody?"}, nil)
	if e, ok := errors.AsType[*mcp.Error](err); !ok || !strings.Contains(string(e.Data), `"timeout"`) {
		t.Errorf("the call ended with %v", err)
	}
	n.pid(t, first)
	if u := n.upstreamOf(t); !strings.Contains(u.LastError, "it hangs: no answer to ") {
		t.Errorf("last error %q", u.LastError)
	}
	if err := syscall.Kill(first, 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("the one that hung: %v", err)
	}
	if res, err := c.CallTool(t.Context(), "echo", text{"again"}, nil); err != nil || res.Text() != "again" {
		t.Errorf("the next call: %v, %v", res, err)
	}
}

// TestBusyChild is the broken twin of TestHangingChild: a child that answers nothing
// while it has a call with time left is not ended.
func TestBusyChild(t *testing.T) {
	cfg := faulty(t)
	cfg.Upstreams[0].RestartAfter = 2
	n := startWith(t, cfg, &daemon.Options{ProbeEvery: 20 * time.Millisecond, ProbeTimeout: 500 * time.Millisecond})
	c := n.client(t, "/one", streamhttp.EraModern)
	first := n.pid(t, 0)
	release := filepath.Join(t.TempDir(), "release")
	ended := make(chan error, 1)
	go func() {
		_, err := c.CallTool(context.Background(), "slow", text{release}, nil)
		ended <- err
	}()
	eventually(t, "the call to run", func() bool { return n.upstreamOf(t).Load.Running == 1 })
	if err := syscall.Kill(first, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the child to be called busy", func() bool {
		st, err := n.admin.Status(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range st.Components {
			_, probes, busy := strings.Cut(c.Reason, "busy with calls: no answer to ")
			silent, _, _ := strings.Cut(probes, " ")
			if n, _ := strconv.Atoi(silent); c.Name == "upstream one" && c.State == "degraded" && busy && n > 2 {
				return true // it would have been ended
			}
		}
		return false
	})
	if err := os.WriteFile(release, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(first, syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil {
		t.Errorf("the call ended with %v", err)
	}
	if u := n.upstreamOf(t); u.PID != first || u.Restarts != 0 {
		t.Errorf("child %d was %d, restarts %d", u.PID, first, u.Restarts)
	}
}

// TestMuteChild: a child that closes its output and lives has ended as far as
// callers go; it is started again and nothing of it is left.
func TestMuteChild(t *testing.T) {
	n := start(t, faulty(t))
	c := n.client(t, "/one", streamhttp.EraModern)
	first := n.pid(t, 0)
	_, err := c.CallTool(t.Context(), "mute", text{}, nil)
	if e, ok := errors.AsType[*mcp.Error](err); !ok || !strings.Contains(string(e.Data), "upstream_unavailable") {
		t.Errorf("the call ended with %v", err)
	}
	n.pid(t, first)
	if err := syscall.Kill(first, 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("the mute one: %v", err)
	}
	if res, err := c.CallTool(t.Context(), "echo", text{"again"}, nil); err != nil || res.Text() != "again" {
		t.Errorf("the next call: %v, %v", res, err)
	}
}

// TestGarbage: lines that are no messages are skipped, counted and named once; a
// child that writes nothing else is started again.
func TestGarbage(t *testing.T) {
	var log lockedBuffer
	n := startWith(t, faulty(t), &daemon.Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	c := n.client(t, "/one", streamhttp.EraModern)
	first := n.pid(t, 0)
	type lines struct {
		Lines int `json:"lines"`
	}
	if res, err := c.CallTool(t.Context(), "garbage", lines{20}, nil); err != nil || res.Text() != "done" {
		t.Errorf("among a little garbage: %v, %v", res, err)
	}
	if u := n.upstreamOf(t); u.Faults[string(stdio.FaultBadLine)] != 20 || u.PID != first {
		t.Errorf("faults %v, child %d was %d", u.Faults, u.PID, first)
	}
	if text := log.String(); strings.Count(text, string(stdio.FaultBadLine)) != 1 || strings.Contains(text, "\x1b") {
		t.Errorf("logged %q", text)
	}
	if _, err := c.CallTool(t.Context(), "garbage", lines{1000}, nil); err == nil {
		t.Error("nothing came of a flood of garbage")
	}
	n.pid(t, first)
	if u := n.upstreamOf(t); !strings.Contains(u.LastError, "too many lines that are no message") {
		t.Errorf("last error %q", u.LastError)
	}
}

// lockedBuffer is a log that is read while it is written.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}
