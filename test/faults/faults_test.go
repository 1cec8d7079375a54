// Package faults breaks what a node depends on, one fault at a time, while clients
// of both eras call through it: real processes, real sockets. Every call is
// recorded and the record checked: one end per request, the right answer to the
// right caller, nothing after a cancellation, streams by their grammar.
//
// The tests show each fault once: order, counts and end states. With FAIRLEAD_FAULTS
// set ("make faults") each is repeated and measured, and docs/faults.md is written.
package faults

import (
	"flag"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fairlead-mcp/fairlead/test/faults/history"
	"github.com/fairlead-mcp/fairlead/test/internal/peers"
)

var (
	seed = flag.Uint64("seed", 0, "of what is left to chance; 0 takes one from the clock and prints it")
	out  = flag.String("out", "", "write the figures to this `FILE`")
)

// fault is one line of the list.
type fault struct {
	id     string // as the list of faults has it
	name   string // short, for humans
	inject string // how it is brought about
	run    func(w *world)
}

// faults is the list, in its order.
func faults() []fault {
	return slices.Concat(childFaults, httpFaults, clientFaults, neighbourFaults)
}

func TestFaults(t *testing.T) {
	full := os.Getenv("FAIRLEAD_FAULTS") != ""
	s := *seed
	if s == 0 {
		s = uint64(time.Now().UnixNano())
	}
	t.Logf("seed %d (go test ./test/faults -seed %d)", s, s)
	readChild(t)
	bins := programs{peers.Build(t, "cmd/fairlead"), peers.Build(t, "test/faults/child")}
	results := make([]*figures, len(faults()))
	t.Run("all", func(t *testing.T) {
		for i, f := range faults() {
			t.Run(f.id+" "+f.name, func(t *testing.T) {
				if !full {
					t.Parallel() // figures want the machine for themselves; end states do not
				}
				w := &world{T: t, programs: bins, full: full, dir: t.TempDir(), rec: history.New(), rand: rand.New(rand.NewPCG(s, uint64(i)))}
				f.run(w)
				w.end()
				results[i] = &w.figures
			})
		}
	})
	if *out != "" && !t.Failed() {
		if err := writeReport(*out, s, faults(), results); err != nil {
			t.Fatal(err)
		}
	}
}

// end lets the last calls end, and holds the history against the rules.
func (w *world) end() {
	w.Helper()
	w.stop()
	w.allDone.Wait()
	if failed := w.steady.failures(); len(failed) > 0 {
		w.Errorf("calls to the neighbour failed: %v", failed)
	}
	for _, c := range w.callers {
		c.Close()
	}
	if !w.changed {
		w.settles()
	}
	events := w.rec.Events()
	w.report = history.Check(events)
	var done []string
	for _, path := range w.journals {
		name, _, _ := strings.Cut(path[strings.LastIndexByte(path, '/')+1:], ".")
		for _, nonce := range w.noted(name, "call") {
			if w.anonymous == "" || !strings.HasPrefix(nonce, w.anonymous) {
				done = append(done, nonce)
			}
		}
	}
	w.report.Acted(events, done, func(sent history.Event) bool { return strings.HasSuffix(sent.Name, "__read") })
	w.Logf("%v", w.report)
	for _, n := range w.notes {
		w.Logf("%s", n)
	}
	if len(w.report.Violations) > 0 {
		w.Errorf("the history is wrong: %v", w.report.Violations[0])
	}
}

// settles waits until the node holds no more than before: descriptors and
// goroutines of connections go by themselves, but not at once.
func (w *world) settles() {
	w.Helper()
	for _, name := range w.remotes {
		w.act(name, "restart") // or idle connections stay in its pool for a while
	}
	// A new pool has a few connections, of which some may have come only after the start.
	pooled := 4 * len(w.remotes)
	var now held
	less := func() bool {
		now = w.holds()
		return now.goroutines <= w.before.goroutines+3*pooled && now.descriptors <= w.before.descriptors+pooled && now.children <= w.before.children
	}
	for deadline := time.Now().Add(20 * time.Second); !less(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			w.Errorf("the node held %+v before, and %+v when all was over", w.before, now)
			return
		}
	}
}
