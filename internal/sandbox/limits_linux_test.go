package sandbox_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/fairlead-mcp/fairlead/internal/sandbox"
)

// hits collects what a child is told to have reached.
type hits struct {
	mu   sync.Mutex
	list []sandbox.Hit
}

func (h *hits) add(hit *sandbox.Hit) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.list = append(h.list, *hit)
}

func (h *hits) take() []sandbox.Hit {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.list)
}

// heldBy says who sees to a limit.
func heldBy(c *sandbox.Child, limit string) string {
	for _, b := range c.Bounds() {
		if b.Limit == limit {
			return b.By
		}
	}
	return ""
}

func TestMemoryLimit(t *testing.T) {
	bothWays(t, func(t *testing.T, alone bool) {
		s := openWith(t, t.TempDir(), &sandbox.Options{NoGroups: alone})
		var got hits
		c := s.Child("eater", sandbox.Limits{Memory: 64 << 20}, got.add)
		cmd := as("eater")
		if err := c.Start(cmd); err != nil {
			t.Fatal(err)
		}
		by := heldBy(c, sandbox.LimitMemory)
		if !alone && !strings.HasPrefix(by, "cgroup") {
			t.Skipf("memory is held by %q here", by)
		}
		if alone && !strings.HasPrefix(by, "watched") {
			t.Errorf("held by %q", by)
		}
		err := cmd.Wait()
		if fmt.Sprint(err) != "signal: killed" {
			t.Fatalf("it ended by %v", err)
		}
		told := fmt.Sprint(c.Explain(err))
		c.Release()
		list := got.take()
		if len(list) != 1 || list[0].Limit != sandbox.LimitMemory || !list[0].Ended {
			t.Fatalf("told of %+v", list)
		}
		if want := "signal: killed: it reached limits.memory, 64MiB: "; !strings.HasPrefix(told, want) {
			t.Errorf("explained as %q, want %q", told, want)
		}
	})
}

// TestWithinItsLimits is the broken twin: no limit is told that was not reached.
func TestWithinItsLimits(t *testing.T) {
	bothWays(t, func(t *testing.T, alone bool) {
		s := openWith(t, t.TempDir(), &sandbox.Options{NoGroups: alone})
		var got hits
		c := s.Child("quiet", sandbox.Limits{Memory: 1 << 30, Processes: 500, CPU: 1}, got.add)
		cmd := exec.Command("/bin/sh", "-c", "exit 7")
		cmd.Env = []string{}
		if err := c.Start(cmd); err != nil {
			t.Fatal(err)
		}
		err := c.Explain(cmd.Wait())
		c.Release()
		if fmt.Sprint(err) != "exit status 7" || got.take() != nil {
			t.Errorf("ended by %v, told of %+v", err, got.take())
		}
	})
}

func TestProcessLimit(t *testing.T) {
	bothWays(t, func(t *testing.T, alone bool) {
		s := openWith(t, t.TempDir(), &sandbox.Options{NoGroups: alone})
		var got hits
		c := s.Child("forks", sandbox.Limits{Processes: 5}, got.add)
		cmd := exec.Command("/bin/sh", "-c", `for i in 1 2 3 4 5 6 7 8; do sleep 86400 & done; wait`)
		cmd.Env = []string{"PATH=" + os.Getenv("PATH")}
		if err := c.Start(cmd); err != nil {
			t.Fatal(err)
		}
		if by := heldBy(c, sandbox.LimitProcesses); !alone && !strings.HasPrefix(by, "cgroup") {
			t.Skipf("processes are held by %q here", by)
		}
		err := cmd.Wait() // the shell gives up, or is ended
		if err == nil {
			t.Error("it did not fail")
		}
		c.Release()
		list := got.take()
		if len(list) != 1 || list[0].Limit != sandbox.LimitProcesses || list[0].Ended != alone {
			t.Errorf("told of %+v", list)
		}
	})
}

func TestCPULimit(t *testing.T) {
	s := open(t, t.TempDir())
	w, r := output(t)
	c := s.Child("sleeper", sandbox.Limits{CPU: 0.5}, nil)
	cmd := as("sleeper")
	cmd.Stdout = w
	if err := c.Start(cmd); err != nil {
		t.Fatal(err)
	}
	pids(t, r, 1)
	by := heldBy(c, sandbox.LimitCPU)
	if !strings.HasPrefix(by, "cgroup") {
		t.Logf("CPU is held by %q here", by)
	} else {
		quotas, _ := filepath.Glob(fmt.Sprintf("/sys/fs/cgroup/cpu*/fairlead-*.%d.*/*-sleeper/cpu.cfs_quota_us", os.Getpid()))
		if by == "cgroup v1" && len(quotas) > 0 {
			if text, err := os.ReadFile(quotas[0]); err != nil || strings.TrimSpace(string(text)) != "50000" {
				t.Errorf("the quota is %q, %v", text, err)
			}
		}
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait() // killed
	c.Release()
	alone := openWith(t, t.TempDir(), &sandbox.Options{NoGroups: true}).Child("true", sandbox.Limits{CPU: 1}, nil)
	plain := exec.Command("/bin/true")
	plain.Env = []string{}
	if err := alone.Start(plain); err != nil {
		t.Fatal(err)
	}
	_ = plain.Wait() // of no interest
	alone.Release()
	if by := heldBy(alone, sandbox.LimitCPU); by != "nothing: not wanted" {
		t.Errorf("without control groups it is held by %q", by)
	}
}

// TestNoGroupsAreLeft: the control groups end with their node, however it ends.
func TestNoGroupsAreLeft(t *testing.T) {
	groups := func(node int) []string {
		var all []string
		for _, pattern := range []string{"/sys/fs/cgroup/%s", "/sys/fs/cgroup/*/%s", "/sys/fs/cgroup/*/*/%s", "/sys/fs/cgroup/*/*/*/%s"} {
			list, _ := filepath.Glob(fmt.Sprintf(pattern, fmt.Sprintf("fairlead-*.%d.*", node)))
			all = append(all, list...)
		}
		return all
	}
	node, _ := startNode(t, t.TempDir(), false)
	pid := node.Process.Pid
	if groups(pid) == nil {
		t.Skip("no control groups can be made here")
	}
	_ = node.Process.Kill()
	_ = node.Wait() // killed
	eventually(t, "the groups to be removed", func() bool { return groups(pid) == nil })
}
