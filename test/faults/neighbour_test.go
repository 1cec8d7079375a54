package faults

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/fairlead-mcp/fairlead/test/internal/peers"
)

var neighbourFaults = []fault{
	{"N", "neighbours", "one child floods, stalls or crashes again and again, while another is called", neighbours},
}

// cost is what calls to the neighbour took of a node.
type cost struct {
	cpu   time.Duration // of the node, per call
	queue time.Duration // in the node, before the upstream is asked: the median
}

// neighbours measures what a call to steady costs while another child is in trouble,
// each time beside what it costs while none is.
func neighbours(w *world) {
	broken := filepath.Join(w.dir, "broken")
	if err := os.WriteFile(broken, nil, 0o600); err != nil {
		w.Fatal(err)
	}
	w.changed = true
	w.start("", up{name: "floods"}, up{name: "stalls", options: "timeout: 10m"}, up{name: "crashes", args: []string{"-face", "crash", "-while", broken}})
	w.ready("floods")
	w.ready("stalls")
	if w.full {
		ctx, stop := context.WithCancel(w.Context())
		defer stop()
		w.load(ctx, "steady", 8) // a node that does something
	}
	caller := w.caller()
	// held has one call in flight while the trouble lasts.
	held := func(name, tool string, args map[string]any) (end func()) {
		ctx, cancel := context.WithCancel(w.Context())
		done := make(chan bool)
		already := len(w.noted(name, "call"))
		go func() { caller.Call(ctx, name+"__"+tool, args); close(done) }() // ends with ctx
		peers.Wait(w.T, "the trouble to begin", func() bool { return len(w.noted(name, "call")) > already })
		return func() { cancel(); <-done }
	}
	troubles := []struct {
		name  string
		begin func() (end func())
	}{
		{"floods", func() func() { return held("floods", "storm", map[string]any{"n": 1 << 40}) }},
		{"stalls", func() func() {
			pid := w.of("stalls").PID
			end := held("stalls", "echo", map[string]any{"ms": 1 << 30})
			w.freeze(pid)
			return func() { w.signal(pid, syscall.SIGCONT); end() }
		}},
		{"crashes", func() func() { w.act("crashes", "restart"); return func() {} }},
	}
	for _, trouble := range troubles {
		var cpu, queue []time.Duration // hundredths of a percent of what it is otherwise
		for range w.rounds(1, 3) {
			quiet := w.costs()
			end := trouble.begin()
			loud := w.costs()
			end()
			cpu = append(cpu, ratio(loud.cpu, quiet.cpu))
			queue = append(queue, ratio(loud.queue, quiet.queue))
		}
		w.note("while one %s, a call to its neighbour takes %.2f of the CPU and %.2f of the time in the node before the upstream is asked (medians)",
			trouble.name, float64(quantile(cpu, 0.5))/1e4, float64(quantile(queue, 0.5))/1e4)
	}
}

func ratio(a, b time.Duration) time.Duration {
	if b == 0 {
		return 0
	}
	return time.Duration(1e4 * float64(a) / float64(b))
}

// costs has steady called for a while.
func (w *world) costs() (c cost) {
	w.Helper()
	served := func() int { return len(w.noted("steady", "call")) }
	used, calls := w.cpu(), served()
	if w.full {
		time.Sleep(6 * time.Second)
	}
	peers.Wait(w.T, "calls to the neighbour", func() bool { return served() >= calls+50 })
	c.cpu = (w.cpu() - used) / time.Duration(served()-calls)
	var list []struct {
		Name      string `json:"name"`
		Decisions []struct {
			Stage      string `json:"stage"`
			TookMicros int64  `json:"tookMicros"`
		} `json:"decisions"`
	}
	w.get("/admin/v1/calls", &list)
	var before []time.Duration
	for _, call := range list {
		if !strings.HasPrefix(call.Name, "steady__") {
			continue
		}
		var d time.Duration
		for _, s := range call.Decisions {
			if s.Stage != "attempt" {
				d += time.Duration(s.TookMicros) * time.Microsecond
			}
		}
		before = append(before, d)
	}
	if len(before) == 0 {
		w.Fatal("the node remembers no call to the neighbour")
	}
	c.queue = quantile(before, 0.5)
	return c
}
