package long

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/fairlead-mcp/fairlead/internal/adminapi"
	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/mcp/jsonrpc"
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

// soak is a node under everything that goes wrong at once.
type soak struct {
	node    *exec.Cmd
	admin   *adminapi.Client
	dir     string
	config  string
	victims map[string]string // what happens to it -> program of the upstream of that name
	url     string
	listen  string
	counts  map[string]*tally // upstream -> its calls
}

// TestSoak runs a node in front of a steady child and of children that are killed,
// stopped for seconds, and that flood their pipes, under clients of both eras, while
// its config changes, sometimes into a wrong one. Each call ends once, with its own
// answer or an error that has a class; none of the steady upstream fails. When the
// load is over the node holds the goroutines, descriptors, children and memory that
// it held before.
func TestSoak(t *testing.T) {
	d := length(t)
	s := startSoak(t)

	// Warm: every upstream has been asked by both eras, so that what is kept is there.
	for name := range s.counts {
		for _, era := range []streamhttp.Era{streamhttp.EraModern, streamhttp.EraLegacy} {
			once, done := context.WithTimeout(t.Context(), time.Second)
			load(once, t, s.url, era, name, &tally{failed: map[string]int{}})
			done()
		}
	}
	before := s.settled(t, nil)

	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	var running sync.WaitGroup
	for name, c := range s.counts {
		for _, era := range []streamhttp.Era{streamhttp.EraModern, streamhttp.EraLegacy, streamhttp.EraModern, streamhttp.EraLegacy} {
			running.Go(func() { load(ctx, t, s.url, era, name, c) })
		}
	}
	happened := map[string]*int{}
	for what, every := range map[string]time.Duration{"killed": 5 * time.Second, "stopped": 7 * time.Second, "reloaded": 3 * time.Second, "left": time.Second} {
		n := new(int)
		happened[what] = n
		running.Go(func() {
			tick := time.NewTicker(every)
			defer tick.Stop()
			for {
				select {
				case <-ctx.Done():
					return
				case <-tick.C:
					*n += s.happen(ctx, t, what, *n)
				}
			}
		})
	}
	var memory []int
	running.Go(func() {
		tick := time.NewTicker(min(d/80, 5*time.Second))
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				memory = append(memory, rss(s.node.Process.Pid))
			}
		}
	})
	running.Wait()

	for name, c := range s.counts {
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
	if failed := s.counts["steady"].failed; len(failed) > 0 {
		t.Errorf("calls of the steady upstream failed: %v", failed)
	}
	for what, n := range happened {
		if *n == 0 {
			t.Errorf("nothing was %s", what)
		}
	}
	s.write(t, "")
	after := s.settled(t, &before)
	t.Logf("%s: soak %v: killed %d, stopped %d, reloaded %d, streams and sessions left %d; before %+v, after %+v",
		time.Now().Format(time.DateOnly), d, *happened["killed"], *happened["stopped"], *happened["reloaded"], *happened["left"], before, after)
	for _, problem := range grown(before, after) {
		t.Error(problem)
	}
	quarter := max(len(memory)/4, 1)
	first, last := median(memory[quarter:2*quarter]), median(memory[len(memory)-quarter:])
	t.Logf("%s: soak %v: RSS of the node %d KiB in the second quarter, %d KiB in the last", time.Now().Format(time.DateOnly), d, first, last)
	if last > first*5/4+8<<10 {
		t.Errorf("the node's memory grew from %d to %d KiB", first, last)
	}
}

// startSoak starts the node and waits for its upstreams.
func startSoak(t *testing.T) *soak {
	echo := peers.Build(t, "examples/echo")
	s := &soak{dir: t.TempDir(), victims: map[string]string{}, counts: map[string]*tally{}}
	for _, name := range []string{"killed", "stopped"} {
		s.victims[name] = filepath.Join(s.dir, name) // a name of its own, to be found by
		if err := os.Link(echo, s.victims[name]); err != nil {
			t.Fatal(err)
		}
	}
	s.victims["steady"], s.victims["floods"] = echo, peers.Build(t, "test/faults/child")
	for name := range s.victims {
		s.counts[name] = &tally{failed: map[string]int{}}
	}
	s.config, s.listen = filepath.Join(s.dir, "fairlead.yaml"), peers.FreeAddr(t)
	s.url = "http://" + s.listen + "/mcp"
	s.write(t, "")
	s.node = peers.Start(t, exec.Command(peers.Build(t, "cmd/fairlead"), "serve", "--config", s.config)).Cmd
	s.admin = adminapi.NewClient(filepath.Join(s.dir, "admin.sock"))
	peers.Wait(t, "the upstreams", func() bool {
		st, err := s.admin.Status(t.Context())
		return err == nil && len(st.Upstreams) == len(s.victims) && !slices.ContainsFunc(st.Upstreams, func(u adminapi.Upstream) bool { return u.State != "ready" })
	})
	return s
}

// write writes the config, with more after it.
func (s *soak) write(t *testing.T, more string) {
	var b strings.Builder
	fmt.Fprintf(&b, "listen: %s\nadmin: 127.0.0.1:0\ndata: %s\nlimits: {session_idle: 5s}\nupstreams:\n", s.listen, s.dir)
	for _, name := range slices.Sorted(maps.Keys(s.victims)) {
		fmt.Fprintf(&b, "  %s: {command: %q, timeout: 1s}\n", name, s.victims[name])
	}
	next := s.config + ".next"
	if err := errors.Join(os.WriteFile(next, []byte(b.String()+more), 0o600), os.Rename(next, s.config)); err != nil {
		t.Error(err)
	}
}

// happen does one of the things that happen, the nth time. It says how many it did.
func (s *soak) happen(ctx context.Context, t *testing.T, what string, n int) int {
	switch what {
	case "killed":
		return s.signal("killed", syscall.SIGKILL)
	case "stopped":
		did := s.signal("stopped", syscall.SIGSTOP)
		select {
		case <-time.After(2 * time.Second):
		case <-ctx.Done():
		}
		s.signal("stopped", syscall.SIGCONT)
		return did
	case "reloaded":
		s.write(t, []string{
			fmt.Sprintf("  more: {command: %q}\n", s.victims["steady"]),
			fmt.Sprintf("  more: {command: %q, timeout: 2s}\n", s.victims["steady"]),
			"  wrong: {command: x, url: y}\n", "",
		}[n%4])
		if n%2 == 0 { // otherwise the node finds out by itself
			_ = s.node.Process.Signal(syscall.SIGHUP)
		}
		return 1
	case "left": // by clients that vanish: nobody ends their streams and sessions
		for _, era := range []streamhttp.Era{streamhttp.EraModern, streamhttp.EraLegacy} {
			var mu sync.Mutex
			var conns []net.Conn
			gone := false // and does not come back, as clients otherwise do
			transport := &http.Transport{DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
				mu.Lock()
				defer mu.Unlock()
				if gone {
					return nil, net.ErrClosed
				}
				c, err := new(net.Dialer).DialContext(ctx, network, addr)
				if err == nil {
					conns = append(conns, c)
				}
				return c, err
			}}
			h := streamhttp.NewClient(s.url, &streamhttp.ClientOptions{Era: era, HTTPClient: &http.Client{Transport: transport}})
			listening, leave := context.WithTimeout(ctx, 200*time.Millisecond)
			if _, err := mcp.NewClient("soak", "1", h, nil).Listen(listening, mcp.NotificationFilter{ToolsListChanged: true}, func(mcp.Event) {}); err == nil {
				<-listening.Done()
			}
			mu.Lock()
			gone = true
			for _, c := range conns {
				_ = c.Close()
			}
			mu.Unlock()
			leave()
		}
		return 1
	}
	return 0
}

// signal sends a signal to the process that runs a victim's program, if there is one.
func (s *soak) signal(victim string, sig syscall.Signal) int {
	exes, _ := filepath.Glob("/proc/[0-9]*/exe")
	for _, exe := range exes {
		if target, err := os.Readlink(exe); err != nil || target != s.victims[victim] {
			continue
		}
		pid, err := strconv.Atoi(strings.Split(exe, "/")[2])
		if err == nil && syscall.Kill(pid, sig) == nil {
			return 1
		}
	}
	return 0
}

// load calls one upstream until ctx ends. The last call ends with the others.
func load(ctx context.Context, t *testing.T, url string, era streamhttp.Era, name string, c *tally) {
	h := streamhttp.NewClient(url, &streamhttp.ClientOptions{Era: era})
	defer h.Close(context.Background())
	client := mcp.NewClient("soak", "1", h, nil)
	for n := 0; ctx.Err() == nil; n++ {
		text := fmt.Sprintf("%s %s %d", name, era, n)
		tool, args := name+"__echo", map[string]any{"text": text}
		if name == "floods" { // which is a server of another make
			tool = name + "__" + []string{"echo", "storm", "stderr"}[n%3]
			args = map[string]any{"nonce": text, "n": 200, "kind": "partial"}
			if n%1000 == 999 { // many of these lines, and the node gives the child up
				tool, args["n"] = name+"__garbage", 1
			}
		}
		c.sent.Add(1)
		res, err := client.CallTool(context.Background(), tool, args, nil)
		var e *mcp.Error
		switch {
		case err == nil && res.Text() == text:
			c.done.Add(1)
		case err == nil:
			t.Errorf("sent %q, got %q", text, res.Text())
			c.fail("wrong answer")
		case errors.As(err, &e) && slices.Contains([]string{"upstream_unavailable", "timeout", "circuit_open"}, classOf(e)):
			c.fail(classOf(e))
			select { // as a client does that is told to come back later
			case <-ctx.Done():
			case <-time.After(50 * time.Millisecond):
			}
		default:
			t.Errorf("%s: an error without a class that fits: %v", name, err)
			c.fail(err.Error())
		}
	}
}

// classOf is the class of an error of the node.
func classOf(e *mcp.Error) string {
	class, _ := jsonrpc.Unquote(jsonrpc.Get(e.Data, "class"))
	return class
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
