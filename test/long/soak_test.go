package long

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/mcp/streamhttp"
	"github.com/fairlead-mcp/fairlead/test/internal/peers"
)

// tally counts how calls end.
type tally struct {
	sent, done atomic.Int64
	mu         sync.Mutex
	failed     map[string]int // error class -> calls
}

func (c *tally) fail(class string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.failed[class]++
}

// TestSoak runs a node in front of two children of which one is killed again and
// again, under clients of both eras. Each call ends once, with its own answer or an
// error that has a class; the healthy upstream never fails; memory does not grow.
func TestSoak(t *testing.T) {
	d := length(t)
	echo := peers.Build(t, "examples/echo")
	dir := t.TempDir()
	victim := filepath.Join(dir, "victim") // a name of its own, to be found by
	if err := os.Link(echo, victim); err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(dir, "fairlead.yaml")
	addr, admin := peers.FreeAddr(t), peers.FreeAddr(t)
	text := fmt.Sprintf("listen: %s\nadmin: %s\ndata: %s\nupstreams:\n  steady: {command: %s}\n  victim: {command: %s}\n", addr, admin, dir, echo, victim)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	node := peers.Start(t, exec.Command(peers.Build(t, "cmd/fairlead"), "serve", "--config", config))
	peers.WaitHTTP(t, "http://"+admin+"/readyz", http.StatusOK)

	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	counts := map[string]*tally{"steady": {failed: map[string]int{}}, "victim": {failed: map[string]int{}}}
	var running sync.WaitGroup
	for i := range 8 {
		era := []streamhttp.Era{streamhttp.EraModern, streamhttp.EraLegacy}[i%2]
		name := []string{"steady", "victim"}[i/2%2]
		running.Go(func() { load(ctx, t, "http://"+addr+"/mcp", era, name, counts[name]) })
	}
	kills := 0
	running.Go(func() {
		tick := time.NewTicker(5 * time.Second)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				if kill(victim) {
					kills++
				}
			}
		}
	})
	var memory []int
	running.Go(func() {
		tick := time.NewTicker(max(d/40, 100*time.Millisecond))
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				memory = append(memory, rss(node.Cmd.Process.Pid))
			}
		}
	})
	running.Wait()
	for name, c := range counts {
		failures := 0
		for _, class := range slices.Sorted(maps.Keys(c.failed)) {
			failures += c.failed[class]
		}
		t.Logf("%s: soak %v: %s: %d calls, %d answered, failed %v", time.Now().Format(time.DateOnly), d, name, c.sent.Load(), c.done.Load(), c.failed)
		if c.sent.Load() != c.done.Load()+int64(failures) {
			t.Errorf("%s: %d calls were sent, %d ended", name, c.sent.Load(), c.done.Load()+int64(failures))
		}
		if c.done.Load() == 0 {
			t.Errorf("%s: no call was answered", name)
		}
	}
	if kills == 0 {
		t.Error("no child was killed")
	}
	quarter := max(len(memory)/4, 1)
	first, last := median(memory[:quarter]), median(memory[len(memory)-quarter:])
	t.Logf("%s: soak %v: %d children killed; RSS of the node %d KiB at first, %d KiB at the end", time.Now().Format(time.DateOnly), d, kills, first, last)
	if last > first*3/2+20<<10 {
		t.Errorf("the node's memory grew from %d to %d KiB", first, last)
	}
}

// load calls one upstream until ctx ends. The last call ends with the others.
func load(ctx context.Context, t *testing.T, url string, era streamhttp.Era, name string, c *tally) {
	h := streamhttp.NewClient(url, &streamhttp.ClientOptions{Era: era})
	defer h.Close(context.Background())
	client := mcp.NewClient("soak", "1", h, nil)
	for n := 0; ctx.Err() == nil; n++ {
		text := fmt.Sprintf("%s %s %d", name, era, n)
		c.sent.Add(1)
		res, err := client.CallTool(context.Background(), name+"__echo", map[string]string{"text": text}, nil)
		var e *mcp.Error
		switch {
		case err == nil && res.Text() == text:
			c.done.Add(1)
		case err == nil:
			t.Errorf("sent %q, got %q", text, res.Text())
			c.fail("wrong answer")
		case errors.As(err, &e) && strings.Contains(string(e.Data), `"class":"upstream_unavailable"`):
			c.fail("upstream_unavailable")
		default:
			t.Errorf("%s: an error without a class that fits: %v", name, err)
			c.fail(err.Error())
		}
	}
}

// kill kills the process that runs a program. It reports whether there was one.
func kill(program string) bool {
	exes, err := filepath.Glob("/proc/[0-9]*/exe")
	if err != nil {
		return false
	}
	for _, exe := range exes {
		if target, err := os.Readlink(exe); err != nil || target != program {
			continue
		}
		pid, err := strconv.Atoi(strings.Split(exe, "/")[2])
		if err != nil {
			continue
		}
		if p, err := os.FindProcess(pid); err == nil && p.Kill() == nil {
			return true
		}
	}
	return false
}

// rss is the memory of a process in KiB; 0 if it cannot be read.
func rss(pid int) int {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(raw)) {
		if value, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			n, _ := strconv.Atoi(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(value), "kB")))
			return n
		}
	}
	return 0
}

func median(list []int) int {
	sorted := slices.Sorted(slices.Values(list))
	return sorted[len(sorted)/2]
}
