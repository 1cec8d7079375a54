package long

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/fairlead-mcp/fairlead/internal/adminapi"
	"github.com/fairlead-mcp/fairlead/mcp/streamhttp"
	"github.com/fairlead-mcp/fairlead/test/internal/peers"
)

// litter is a shell over a server, as npx is, that also starts two programs which
// care neither for the end of their input nor for signals to others: one in its
// own process group, one in a session of its own.
const litter = `trap '' TERM HUP; sleep 86401 & setsid sleep 86402 & "$0"; :`

// TestKilledNodes is a short form of TestThousandKilledNodes.
func TestKilledNodes(t *testing.T) { killNodes(t, 3) }

// TestThousandKilledNodes kills a node, and a child of a node, a thousand times.
// Nothing of them is left, though the node is not started again.
func TestThousandKilledNodes(t *testing.T) {
	length(t)
	killNodes(t, cycles)
}

func killNodes(t *testing.T, cycles int) {
	for _, tool := range []string{"setsid", "sh", "sleep"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("needs %s: %v", tool, err)
		}
	}
	bin, echo := peers.Build(t, "cmd/fairlead"), peers.Build(t, "examples/echo")
	dir, err := os.MkdirTemp("", "fl") // t.TempDir is too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	marker := "LITTER_OF=" + filepath.Base(dir)
	t.Cleanup(func() { // of a test that fails
		for _, pid := range with(marker) {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	})
	addr := peers.FreeAddr(t)
	admin := peers.FreeAddr(t)
	config := filepath.Join(dir, "fairlead.yaml")
	args, err := json.Marshal([]string{"-c", litter, echo})
	if err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprintf("listen: %s\nadmin: %s\ndata: %s\nupstreams:\n  chain: {command: sh, args: %s, env: {LITTER_OF: %s}}\n", addr, admin, dir, args, filepath.Base(dir))
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	api := adminapi.NewClient(filepath.Join(dir, "admin.sock"))
	ready := func(not int) int {
		for range 6000 {
			if st, err := api.Status(t.Context()); err == nil && len(st.Upstreams) == 1 && st.Upstreams[0].State == "ready" && st.Upstreams[0].PID != not {
				return st.Upstreams[0].PID
			}
			time.Sleep(5 * time.Millisecond) // another process has no event to wait for
		}
		t.Fatal("the upstream is not ready")
		return 0
	}
	var child, node []time.Duration
	for range cycles {
		cmd := exec.Command(bin, "serve", "--config", config)
		cmd.Env = append(os.Environ(), "HOME="+dir)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		pid := ready(0)
		old := with(marker)
		if len(old) != 4 { // the shell, the server and the two others
			t.Fatalf("%d processes, want 4", len(old))
		}
		start := time.Now()
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		gone(t, marker, old)
		child = append(child, time.Since(start))

		ready(pid)
		if h := streamhttp.NewClient("http://"+addr+"/mcp/chain", nil); true {
			call(t.Context(), t, h)
			_ = h.Close(context.Background())
		}
		start = time.Now()
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait() // killed
		gone(t, marker, with(marker))
		node = append(node, time.Since(start))
	}
	report(t, "child killed, until nothing of it is left", child)
	report(t, "node killed, until nothing of it is left", node)
}

// gone waits until none of the processes is there.
func gone(t *testing.T, marker string, list []int) {
	t.Helper()
	var left []int
	for range 6000 {
		now := with(marker)
		left = slices.DeleteFunc(slices.Clone(list), func(pid int) bool { return !slices.Contains(now, pid) })
		if len(left) == 0 {
			return
		}
		time.Sleep(time.Millisecond) // nothing tells that a stranger has ended
	}
	t.Fatalf("left behind: %v", left)
}

// with lists the processes that have a variable in their environment.
func with(variable string) (list []int) {
	files, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, file := range files {
		env, err := os.ReadFile(file)
		if err != nil || !slices.ContainsFunc(bytes.Split(env, []byte{0}), func(v []byte) bool { return string(v) == variable }) {
			continue
		}
		if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file))); err == nil {
			list = append(list, pid)
		}
	}
	return list
}
