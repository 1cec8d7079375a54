package faults

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/fairlead-mcp/fairlead/test/faults/history"
	"github.com/fairlead-mcp/fairlead/test/internal/peers"
)

// world is a node with its upstreams and callers, for one fault. One upstream,
// steady, is called all the time and by nobody hurt: what a fault does to it is
// what the fault does to neighbours.
type world struct {
	*testing.T
	programs
	full bool // measure, rather than show
	rand *rand.Rand
	dir  string
	rec  *history.Recorder

	node        *exec.Cmd
	url         string // of the MCP listener, without a path
	admin       string
	config      string // path of the file
	journals    []string
	anonymous   string   // how the nonces of calls without a history begin
	remotes     []string // upstreams with a pool of connections
	callers     []*history.Caller
	descriptors int                // what the node may open; 0 is as it comes
	stop        context.CancelFunc // ends the calls to steady
	steady      *tally
	allDone     sync.WaitGroup
	before      held
	head        string        // of the config: all but the upstreams
	log         func() string // what the node has printed
	changed     bool          // the node is not the one it was at first: what it holds is not compared

	figures
}

// programs are built once.
type programs struct{ fairlead, child string }

// figures are what a fault measured.
type figures struct {
	detection, recovery []time.Duration
	notes               []string
	report              *history.Report
}

func (f *figures) note(format string, args ...any) {
	f.notes = append(f.notes, fmt.Sprintf(format, args...))
}

// rounds is how often something is done: a few times to show it, often to measure it.
func (w *world) rounds(show, measure int) int {
	if w.full {
		return measure
	}
	return show
}

// up is an upstream of a world: the child, with these arguments.
type up struct {
	name    string
	args    []string
	url     string // instead of a child
	options string // more of its config, in YAML's flow style
}

// start writes the config and starts the node, and with it the calls to steady.
func (w *world) start(top string, ups ...up) {
	w.Helper()
	addr, admin := peers.FreeAddr(w.T), peers.FreeAddr(w.T)
	w.url, w.admin = "http://"+addr, "http://"+admin
	w.config = filepath.Join(w.dir, "fairlead.yaml")
	w.head = fmt.Sprintf("listen: %s\nadmin: %s\ndata: %s\n%s", addr, admin, w.dir, top)
	w.write(w.head, append([]up{{name: "steady"}}, ups...)...)
	cmd := exec.Command(w.fairlead, "serve", "--config", w.config)
	if w.descriptors > 0 {
		cmd = exec.Command("/bin/sh", "-c", fmt.Sprintf(`ulimit -n %d && exec "$0" "$@"`, w.descriptors), w.fairlead, "serve", "--config", w.config)
	}
	process := peers.Start(w.T, cmd)
	w.node, w.log = process.Cmd, process.Output
	peers.WaitHTTP(w.T, w.admin+"/readyz", http.StatusOK)
	w.ready("steady")
	ctx, stop := context.WithCancel(w.Context())
	w.stop = stop
	if !w.changed {
		peers.WaitHTTP(w.T, w.admin+"/startupz", http.StatusOK) // each upstream has begun or failed
		w.before = w.holds()
	}
	w.steady = w.load(ctx, "steady", 2)
	peers.Wait(w.T, "a call to the neighbour", func() bool { return w.steady.answered()+len(w.steady.failures()) > 0 })
}

// another is a world beside w, with a node of its own that may come to harm.
func (w *world) another() *world {
	return &world{T: w.T, changed: true, programs: w.programs, full: w.full, rand: w.rand, dir: w.TempDir(), rec: history.New()}
}

// write writes the config. head is everything but the upstreams.
func (w *world) write(head string, ups ...up) {
	w.Helper()
	var b strings.Builder
	b.WriteString(head + "\nupstreams:\n")
	for _, u := range ups {
		options := u.options
		if options != "" {
			options = ", " + options
		}
		if u.url != "" {
			w.remotes = append(w.remotes, u.name)
			fmt.Fprintf(&b, "  %s: {url: %q%s}\n", u.name, u.url, options)
			continue
		}
		args := append([]string{"-journal", w.journal(u.name)}, u.args...)
		quoted, err := json.Marshal(args)
		if err != nil {
			w.Fatal(err)
		}
		fmt.Fprintf(&b, "  %s: {command: %q, args: %s%s}\n", u.name, w.child, quoted, options)
	}
	if err := os.WriteFile(w.config, []byte(b.String()), 0o600); err != nil {
		w.Fatal(err)
	}
}

// journal is where an upstream notes what it was asked.
func (w *world) journal(name string) string {
	path := filepath.Join(w.dir, name+".journal")
	if !slices.Contains(w.journals, path) {
		w.journals = append(w.journals, path)
	}
	return path
}

// noted counts the lines of an upstream's journal that begin so.
func (w *world) noted(name, prefix string) (rest []string) {
	raw, err := os.ReadFile(w.journal(name))
	if err != nil && !os.IsNotExist(err) {
		w.Fatal(err)
	}
	for line := range strings.Lines(string(raw)) {
		if after, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), prefix+" "); ok {
			rest = append(rest, after)
		}
	}
	return rest
}

// remote starts the child as an HTTP server and returns where it listens.
func (w *world) remote(name string, args ...string) (addr string) {
	w.Helper()
	addr = peers.FreeAddr(w.T)
	peers.Start(w.T, exec.Command(w.child, append([]string{"-http", addr, "-journal", w.journal(name)}, args...)...))
	peers.WaitListen(w.T, addr)
	return addr
}

// caller returns a new caller of /mcp; the eras take turns.
func (w *world) caller() *history.Caller {
	return w.callerOf([]history.Era{history.Modern, history.Legacy}[len(w.callers)%2])
}

func (w *world) callerOf(era history.Era) *history.Caller {
	return w.callerAt(w.url+"/mcp", era)
}

func (w *world) callerAt(url string, era history.Era) *history.Caller {
	c := history.NewCaller(w.rec, fmt.Sprintf("c%d", len(w.callers)), url, era)
	w.callers = append(w.callers, c)
	return c
}

// tally is how the calls of a load have ended so far.
type tally struct {
	mu      sync.Mutex
	replies int
	failed  map[string]int // class -> calls
	took    []time.Duration
}

func (t *tally) add(o history.Outcome) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if o.End == history.Reply {
		t.replies++
		t.took = append(t.took, o.Took)
		return
	}
	t.failed[o.Class]++
}

func (t *tally) answered() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.replies
}

// failures is the number of calls that failed otherwise than in one of these ways.
func (t *tally) failures(but ...string) map[string]int {
	t.mu.Lock()
	defer t.mu.Unlock()
	left := maps.Clone(t.failed)
	for _, class := range but {
		delete(left, class)
	}
	return left
}

// pause is what a caller waits between calls, so that load is load and no benchmark.
const pause = 4 * time.Millisecond

// load has n callers call an upstream until ctx ends; the last calls are waited for
// when the world ends.
func (w *world) load(ctx context.Context, name string, n int) *tally {
	t := &tally{failed: map[string]int{}}
	for range n {
		c := w.caller()
		seed := w.rand.Uint64()
		w.allDone.Go(func() {
			r := rand.New(rand.NewPCG(seed, 2))
			for ctx.Err() == nil {
				t.add(someCall(c, r, name))
				select {
				case <-ctx.Done():
				case <-time.After(pause):
				}
			}
		})
	}
	return t
}

// someCall makes one call of an ordinary kind.
func someCall(c *history.Caller, r *rand.Rand, name string) history.Outcome {
	ctx := context.Background() // a call that has begun is ended by the node
	switch r.IntN(8) {
	case 0:
		return c.Call(ctx, name+"__progress", map[string]any{"n": 3})
	case 1:
		return c.Call(ctx, name+"__read", map[string]any{"ms": r.IntN(4)})
	case 2:
		return c.List(ctx)
	}
	return c.Call(ctx, name+"__echo", map[string]any{"ms": r.IntN(4)})
}

// together makes one call with each of n callers at the same time; begun, if not
// nil, is run when the upstream has begun all of them.
func (w *world) together(callers []*history.Caller, name, tool string, args map[string]any, begun func()) []history.Outcome {
	already := len(w.noted(name, "call"))
	outs := make([]history.Outcome, len(callers))
	var wg sync.WaitGroup
	for i, c := range callers {
		wg.Go(func() { outs[i] = c.Call(w.Context(), name+"__"+tool, args) })
	}
	if begun != nil {
		peers.Wait(w.T, name+" to begin all calls", func() bool { return len(w.noted(name, "call")) >= already+len(callers) })
		begun()
	}
	wg.Wait()
	return outs
}

// several returns n callers.
func (w *world) several(n int) []*history.Caller {
	list := make([]*history.Caller, n)
	for i := range list {
		list[i] = w.caller()
	}
	return list
}

// want fails the test unless each outcome is an answer or a failure of one of the classes.
func (w *world) want(what string, outs []history.Outcome, classes ...string) {
	w.Helper()
	for _, o := range outs {
		if len(classes) == 0 && o.End != history.Reply || len(classes) > 0 && !slices.Contains(classes, o.Class) {
			w.Errorf("%s: got %s %q %q, want %v", what, o.End, o.Class, o.Text, classes)
		}
	}
}

// served calls echo until it is answered, and returns when.
func (w *world) served(c *history.Caller, name string) time.Time {
	w.Helper()
	o := tries(c, name)
	if o.End != history.Reply {
		w.Fatalf("%s does not serve again: %s %q", name, o.End, o.Class)
	}
	return o.At
}

// tries calls echo until it is answered, for a minute at most.
func tries(c *history.Caller, name string) history.Outcome {
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
		if o := c.Call(context.Background(), name+"__echo", nil); o.End == history.Reply || time.Now().After(deadline) {
			return o
		}
	}
}

// upstream is what the node says of an upstream.
type upstream struct {
	Name      string `json:"name"`
	State     string `json:"state"`
	LastError string `json:"lastError"`
	Restarts  int    `json:"restarts"`
	PID       int    `json:"pid"`
	Breaker   struct {
		State  string `json:"state"`
		Opened int    `json:"opened"`
	} `json:"breaker"`
}

type status struct {
	Goroutines int        `json:"goroutines"`
	Calls      int        `json:"calls"`
	Upstreams  []upstream `json:"upstreams"`
	Components []struct {
		Name, State, Reason string
	} `json:"components"`
}

func (w *world) status() (st status) {
	w.Helper()
	w.get("/admin/v1/status", &st)
	return st
}

func (w *world) get(path string, into any) {
	w.Helper()
	res, err := http.Get(w.admin + path)
	if err != nil {
		w.Fatal(err)
	}
	defer res.Body.Close()
	if err := json.NewDecoder(res.Body).Decode(into); err != nil {
		w.Fatalf("%s: %v", path, err)
	}
}

func (w *world) of(name string) upstream {
	w.Helper()
	for _, u := range w.status().Upstreams {
		if u.Name == name {
			return u
		}
	}
	w.Fatalf("the node does not know %q", name)
	return upstream{}
}

// until waits for an upstream to be in a state.
func (w *world) until(name, what string, ok func(upstream) bool) upstream {
	w.Helper()
	var u upstream
	peers.Wait(w.T, name+" "+what, func() bool { u = w.of(name); return ok(u) })
	return u
}

func (w *world) ready(name string) upstream {
	w.Helper()
	return w.until(name, "to be ready", func(u upstream) bool { return u.State == "ready" })
}

// act does what an operator does to an upstream.
func (w *world) act(name, action string) {
	w.Helper()
	res, err := http.Post(w.admin+"/admin/v1/upstreams/"+name+"/"+action, "", nil)
	if err != nil {
		w.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != http.StatusOK {
		w.Fatalf("%s %s: %s", action, name, res.Status)
	}
}

func (w *world) signal(pid int, s syscall.Signal) {
	w.Helper()
	if err := syscall.Kill(pid, s); err != nil {
		w.Fatalf("kill %d: %v", pid, err)
	}
}

// freeze stops a process, and waits until it has stopped: its threads do so one by one.
func (w *world) freeze(pid int) {
	w.Helper()
	w.signal(pid, syscall.SIGSTOP)
	peers.Wait(w.T, "the process to stop", func() bool {
		threads, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
		return !slices.ContainsFunc(threads, func(path string) bool {
			raw, err := os.ReadFile(path)
			return err == nil && strings.Fields(string(raw[bytes.LastIndexByte(raw, ')')+1:]))[0] != "T"
		})
	})
}

// held is what a node holds that a leak would add to.
type held struct{ goroutines, descriptors, children int }

func (w *world) holds() held {
	w.Helper()
	pid, st := w.node.Process.Pid, w.status() // first, since asking takes a connection
	files, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		w.Skipf("descriptors cannot be counted here: %v", err)
	}
	return held{st.Goroutines, len(files), len(peers.Children(pid))}
}

// family is the node's children, and theirs.
func (w *world) family() []int {
	list := peers.Children(w.node.Process.Pid)
	for i := 0; i < len(list); i++ {
		list = append(list, peers.Children(list[i])...)
	}
	return list
}

// alive reports whether a process is there and is no zombie.
func alive(pid int) bool {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	fields := strings.Fields(string(raw[bytes.LastIndexByte(raw, ')')+1:]))
	return fields[0] != "Z"
}

// rss is the resident memory of the node in bytes.
func (w *world) rss() int {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", w.node.Process.Pid))
	if err != nil {
		return 0
	}
	pages, _ := strconv.Atoi(strings.Fields(string(raw))[1])
	return pages * os.Getpagesize()
}

// cpu is the processor time the node has used.
func (w *world) cpu() time.Duration {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", w.node.Process.Pid))
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(raw[bytes.LastIndexByte(raw, ')')+1:]))
	user, _ := strconv.Atoi(fields[11])
	system, _ := strconv.Atoi(fields[12])
	return time.Duration(user+system) * (time.Second / 100)
}
