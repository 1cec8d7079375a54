package faults

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"time"

	"github.com/fairlead-mcp/fairlead/test/faults/history"
	"github.com/fairlead-mcp/fairlead/test/internal/peers"
)

// childFaults are what a child can do.
var childFaults = []fault{
	{"F1", "child killed", "SIGKILL to a child with calls in flight, in each era", killed},
	{"F1b", "launcher killed", "SIGKILL to a child that has children of its own", launcherKilled},
	{"F1c", "node killed", "SIGKILL to the node, whose child has children of its own; detection is until the last of them is gone", nodeKilled},
	{"F2", "child hangs", "SIGSTOP, then SIGCONT", hung},
	{"F3", "child slow", "a child writes an answer byte by byte", slow},
	{"F4", "garbage", "banners, cut lines, invalid UTF-8 and other lines that are no message", garbled},
	{"F5", "huge line", "a line of many megabytes between answers", hugeLine},
	{"F6", "crash loop", "a child that exits at each start, until it is mended", crashLoop},
	{"F7", "herd", "many children killed at once", herd},
	{"F8", "child does not read", "a child that reads no more, and calls that fill the pipe", deaf},
	{"F9", "child closes its output", "a child closes standard output and lives on", closedOutput},
	{"F10", "false answers", "second answers, answers to unknown ids, answers after timeout and cancellation", falseAnswers},
	{"F16", "notification storm", "a child sends notifications as fast as it can, between answers", storm},
	{"F30", "panic in a handler", "a handler of the library panics; another one in a goroutine that it has started", panicking},
	{"F31", "handler without end", "a handler of the library blocks for ever", blocking},
	{"F35", "endless pages and rounds", "lists that always have another page; a tool that always asks again", endless},
}

const unavailable = "upstream_unavailable"

func killed(w *world) {
	w.start("", up{name: "modern", args: []string{"-era", "modern"}}, up{name: "legacy", args: []string{"-era", "legacy"}})
	callers, reader, next := w.several(6), w.caller(), w.caller()
	for _, name := range []string{"modern", "legacy"} {
		for range w.rounds(2, 20) {
			pid := w.ready(name).PID
			read, already := make(chan history.Outcome, 1), len(w.noted(name, "call"))
			go func() { read <- reader.Call(w.Context(), name+"__read", map[string]any{"ms": 600}) }() // ends with its call
			peers.Wait(w.T, "the read to begin", func() bool { return len(w.noted(name, "call")) > already })
			var at time.Time
			outs := w.together(callers, name, "echo", map[string]any{"ms": 60_000}, func() {
				at = time.Now()
				w.signal(pid, syscall.SIGKILL)
			})
			w.want("in flight at the kill", outs, unavailable)
			for _, o := range outs {
				if o.RetrySafe {
					w.Errorf("a call of a tool that may have acted is called safe to retry")
				}
				w.detection = append(w.detection, o.At.Sub(at))
			}
			w.recovery = append(w.recovery, w.served(next, name).Sub(at))
			w.want("a read in flight at the kill", []history.Outcome{<-read})
			if u := w.ready(name); u.PID == pid || u.Restarts == 0 {
				w.Errorf("after the kill: %+v", u)
			}
			w.act(name, "restart") // so that the next kill is the first again
			w.until(name, "to be another", func(u upstream) bool { return u.State == "ready" && u.PID != pid })
		}
	}
}

func launcherKilled(w *world) {
	w.start("", up{name: "family"})
	c := w.caller()
	grandchildren := func() (pids []int) {
		for _, s := range w.noted("family", "spawned") {
			pid, err := strconv.Atoi(s)
			if err != nil {
				w.Fatal(err)
			}
			pids = append(pids, pid)
		}
		return pids
	}
	gone := func(pids ...int) {
		peers.Wait(w.T, "the whole family to be gone", func() bool { return !slices.ContainsFunc(pids, alive) })
	}
	for range w.rounds(2, 20) {
		u := w.ready("family")
		w.want("spawn", []history.Outcome{c.Call(w.Context(), "family__spawn", map[string]any{"n": 3})})
		at := time.Now()
		w.signal(u.PID, syscall.SIGKILL)
		gone(append(grandchildren(), u.PID)...)
		w.detection = append(w.detection, time.Since(at))
		w.recovery = append(w.recovery, w.served(c, "family").Sub(at))
		w.act("family", "restart")
		w.until("family", "to be another", func(v upstream) bool { return v.State == "ready" && v.PID != u.PID })
	}
	w.want("spawn", []history.Outcome{c.Call(w.Context(), "family__spawn", map[string]any{"n": 3})})
	if n := len(grandchildren()); n < 9 {
		w.Errorf("%d grandchildren were started: the fault did not happen", n)
	}
}

func nodeKilled(w *world) {
	w.changed = true
	w.start("", up{name: "up"})
	for range w.rounds(2, 20) {
		x := w.another()
		x.start("", up{name: "family"}, up{name: "other", args: []string{"-era", "legacy"}})
		x.ready("family")
		x.ready("other")
		callers := x.several(2)
		x.want("spawn", []history.Outcome{callers[0].Call(x.Context(), "family__spawn", map[string]any{"n": 3})})
		x.stop()
		x.allDone.Wait()
		family := x.family()
		if len(family) < 6 {
			w.Errorf("the node has %d descendants: the fault does not happen", len(family))
		}
		var at time.Time
		outs := x.together(callers, "other", "echo", map[string]any{"ms": 60_000}, func() {
			at = time.Now()
			x.signal(x.node.Process.Pid, syscall.SIGKILL)
		})
		for _, o := range outs {
			if o.End != history.Closed {
				w.Errorf("a call through a node that was killed ended with %s %q", o.End, o.Class)
			}
		}
		peers.Wait(w.T, "everything of the node to be gone", func() bool { return !slices.ContainsFunc(family, alive) })
		w.detection = append(w.detection, time.Since(at))
		x.end()
	}
}

func hung(w *world) {
	const timeout = 400 * time.Millisecond
	w.start("", up{name: "modern", args: []string{"-era", "modern"}, options: "timeout: 400ms"}, up{name: "legacy", args: []string{"-era", "legacy"}, options: "timeout: 400ms"})
	callers, next := w.several(4), w.caller() // one less than opens a breaker
	for _, name := range []string{"modern", "legacy"} {
		for range w.rounds(1, 10) {
			pid := w.ready(name).PID
			w.served(next, name)
			w.freeze(pid)
			outs := w.together(callers, name, "echo", nil, nil)
			w.signal(pid, syscall.SIGCONT)
			at := time.Now()
			w.want("to a child that hangs", outs, "timeout")
			for _, o := range outs {
				w.detection = append(w.detection, o.Took-timeout)
			}
			w.recovery = append(w.recovery, w.served(next, name).Sub(at))
			if u := w.of(name); u.PID != pid {
				w.Errorf("%s was restarted for a moment's pause", name)
			}
		}
	}
	w.note("detection is how much later than its timeout of %v a call ended", timeout)
}

func slow(w *world) {
	w.start("", up{name: "slow", options: "timeout: 1500ms"})
	c, other := w.caller(), w.caller()
	before := w.steady.answered()
	outs := make(chan history.Outcome, 1)
	go func() { outs <- c.Call(w.Context(), "slow__drip", map[string]any{"ms": 1000}) }() // ends by its timeout
	peers.Wait(w.T, "the slow answer to begin", func() bool { return len(w.noted("slow", "call")) == 1 })
	w.want("behind a slow answer on the same pipe", []history.Outcome{other.Call(w.Context(), "slow__echo", nil)}, "timeout")
	w.want("a slow answer", []history.Outcome{<-outs}, "timeout")
	if n := w.steady.answered() - before; n < 10 {
		w.Errorf("the neighbour answered %d calls meanwhile", n)
	}
}

// garbageKinds are those of child/tools.go.
var garbageKinds = []string{"banner", "empty", "partial", "utf8", "nul", "array", "number", "duplicate", "deep", "headers", "case"}

func garbled(w *world) {
	w.start("", up{name: "babble", args: []string{"-face", "banner"}}, up{name: "flood", args: []string{"-era", "legacy"}})
	callers := w.several(4)
	for _, kind := range garbageKinds {
		w.want("between lines of "+kind, w.together(callers, "babble", "garbage", map[string]any{"kind": kind, "n": w.rounds(1, 2), "ms": 1}, nil))
	}
	if u := w.of("babble"); u.Restarts != 0 {
		w.Errorf("a few bad lines restarted the child: %+v", u)
	}
	// Beyond 100 bad lines a minute it is no server any more.
	pid := w.ready("flood").PID
	at := time.Now()
	w.want("between many lines of garbage", w.together(callers[:1], "flood", "garbage", map[string]any{"kind": "banner", "n": 500, "ms": 60_000}, nil), unavailable)
	w.detection = append(w.detection, time.Since(at))
	w.recovery = append(w.recovery, w.served(callers[1], "flood").Sub(at))
	if u := w.ready("flood"); u.PID == pid || alive(pid) {
		w.Errorf("a child that writes garbage was kept: %+v", u)
	}
}

func hugeLine(w *world) {
	w.start("", up{name: "huge"})
	callers := w.several(2)
	megabytes := w.rounds(64, 200)
	before, highest := w.rss(), 0
	for range w.rounds(1, 3) {
		done := make(chan []history.Outcome, 1)
		go func() { done <- w.together(callers, "huge", "huge", map[string]any{"n": megabytes}, nil) }() // ends with its calls
		var outs []history.Outcome
		for outs == nil {
			select {
			case outs = <-done:
			case <-time.After(5 * time.Millisecond):
				highest = max(highest, w.rss())
			}
		}
		w.want("after a huge line", outs)
	}
	rise := max(highest-before, 0) >> 20
	w.note("lines of %d MB raised the node's memory by %d MB", megabytes, rise)
	if rise > 100 {
		w.Errorf("the node's memory rose by %d MB: it keeps lines of %d MB", rise, megabytes)
	}
	if u := w.of("huge"); u.Restarts != 0 {
		w.Errorf("a huge line restarted the child: %+v", u)
	}
}

func crashLoop(w *world) {
	broken := filepath.Join(w.dir, "broken")
	if err := os.WriteFile(broken, nil, 0o600); err != nil {
		w.Fatal(err)
	}
	w.changed = true // it begins without a child, and ends with one
	w.start("", up{name: "crashing", args: []string{"-face", "crash", "-while", broken}})
	c := w.callerAt(w.url+"/mcp/crashing", history.Modern)
	w.want("to a child that crashes", []history.Outcome{c.Call(w.Context(), "echo", nil)}, unavailable)
	start, used := time.Now(), w.cpu()
	u := w.until("crashing", "to be given up for a while", func(u upstream) bool { return u.State == "failed" })
	w.detection = append(w.detection, time.Since(start))
	if u.Restarts > 6 { // the one to come counts too
		w.Errorf("%d restarts, more than the budget of 5", u.Restarts-1)
	}
	w.want("to a failed upstream", []history.Outcome{c.Call(w.Context(), "echo", nil)}, unavailable)
	if w.full {
		time.Sleep(10 * time.Second) // what it costs to have it
		w.note("the node used %.1f %% of a core, its neighbour's calls included", 100*float64(w.cpu()-used)/float64(time.Since(start)))
	}
	if err := os.Remove(broken); err != nil {
		w.Fatal(err)
	}
	at := time.Now()
	w.act("crashing", "restart")
	w.ready("crashing")
	w.want("after it was mended", []history.Outcome{c.Call(w.Context(), "echo", nil)})
	w.recovery = append(w.recovery, time.Since(at))
}

func herd(w *world) {
	n := w.rounds(12, 60)
	var ups []up
	for i := range n {
		ups = append(ups, up{name: fmt.Sprintf("u%d", i), args: []string{"-era", []string{"modern", "legacy"}[i%2]}})
	}
	w.start("", ups...)
	pids := map[string]int{}
	for _, u := range ups {
		pids[u.name] = w.ready(u.name).PID
	}
	at := time.Now()
	for _, pid := range pids {
		w.signal(pid, syscall.SIGKILL)
	}
	outs := make(chan history.Outcome, n)
	for _, u := range ups {
		c := w.caller()
		go func() { outs <- tries(c, u.name) }() // ends within a minute
	}
	for range n {
		o := <-outs
		w.want("after the kill of all", []history.Outcome{o})
		w.recovery = append(w.recovery, o.At.Sub(at))
	}
	for name, pid := range pids {
		if u := w.ready(name); u.PID == pid || u.Restarts != 1 {
			w.Errorf("after the kill of all: %+v", u)
		}
	}
	w.note("%d children", n)
}

func deaf(w *world) {
	w.start("", up{name: "deaf", options: "timeout: 1s"})
	callers := w.several(4)
	w.want("before", []history.Outcome{callers[0].Call(w.Context(), "deaf__deaf", nil)}, "", unavailable, "timeout")
	// More than a pipe holds, so that writes stand.
	pad := make([]byte, 512<<10)
	for i := range pad {
		pad[i] = 'p'
	}
	goroutines := w.status().Goroutines
	for range w.rounds(2, 10) {
		outs := w.together(callers, "deaf", "echo", map[string]any{"pad": string(pad)}, nil)
		w.want("to a child that does not read", outs, "timeout", unavailable, "circuit_open", "overloaded")
	}
	if n := w.status().Goroutines - goroutines; n > 40 {
		w.Errorf("%d goroutines wait for a child that does not read", n)
	}
	w.act("deaf", "restart")
	at := time.Now()
	w.recovery = append(w.recovery, w.served(callers[0], "deaf").Sub(at))
}

func closedOutput(w *world) {
	w.start("", up{name: "modern", args: []string{"-era", "modern"}}, up{name: "legacy", args: []string{"-era", "legacy"}})
	c := w.caller()
	for _, name := range []string{"modern", "legacy"} {
		for range w.rounds(1, 10) {
			pid := w.ready(name).PID
			at := time.Now()
			o := c.Call(w.Context(), name+"__closeout", nil)
			w.want("to a child that closes its output", []history.Outcome{o}, unavailable)
			w.detection = append(w.detection, o.At.Sub(at))
			w.recovery = append(w.recovery, w.served(c, name).Sub(at))
			peers.Wait(w.T, "the old child to be gone", func() bool { return !alive(pid) })
			u := w.ready(name)
			w.act(name, "restart")
			w.until(name, "to be another", func(v upstream) bool { return v.State == "ready" && v.PID != u.PID })
		}
	}
}

func falseAnswers(w *world) {
	w.start("", up{name: "modern", args: []string{"-era", "modern"}, options: "timeout: 500ms"}, up{name: "legacy", args: []string{"-era", "legacy"}, options: "timeout: 500ms"})
	callers := w.several(8)
	for _, name := range []string{"modern", "legacy"} {
		for range w.rounds(3, 200) {
			w.want("between false answers", w.together(callers, name, "twice", nil, nil))
		}
		// Answers that come after the timeout, and after the cancellation.
		w.want("answered too late", w.together(callers[:2], name, "late", map[string]any{"ms": 600}, nil), "timeout")
		w.cancelled(callers[2:], name)
		peers.Wait(w.T, "the late answers", func() bool { return len(w.noted(name, "late")) == len(callers) })
		w.want("after late answers", w.together(callers, name, "echo", map[string]any{"ms": 20}, nil))
		if u := w.of(name); u.Restarts != 0 {
			w.Errorf("false answers restarted the child: %+v", u)
		}
	}
}

// cancelled has each caller cancel a call whose answer comes all the same.
func (w *world) cancelled(callers []*history.Caller, name string) {
	w.Helper()
	ctx, cancel := context.WithCancel(w.Context())
	defer cancel()
	already := len(w.noted(name, "call"))
	outs := make(chan history.Outcome, len(callers))
	for _, c := range callers {
		go func() { outs <- c.Call(ctx, name+"__late", map[string]any{"ms": 300}) }() // ends soon after ctx
	}
	peers.Wait(w.T, "the calls to begin", func() bool { return len(w.noted(name, "call")) == already+len(callers) })
	cancel()
	for range callers {
		if o := <-outs; o.End != history.Closed {
			w.Errorf("a cancelled call ended with %s %q", o.End, o.Text)
		}
	}
}

func storm(w *world) {
	w.start("", up{name: "modern", args: []string{"-era", "modern"}}, up{name: "legacy", args: []string{"-era", "legacy"}})
	ctx, stop := context.WithCancel(w.Context())
	defer stop()
	listeners := w.several(2)
	opened, ended := make(chan bool, 2), make(chan history.Outcome, 2)
	for _, c := range listeners {
		go func() { ended <- c.Listen(ctx, func() { opened <- true }) }() // ends with ctx
		<-opened
	}
	n := w.rounds(5_000, 100_000)
	callers := w.several(4)
	for _, name := range []string{"modern", "legacy"} {
		used, at := w.cpu(), time.Now()
		outs := w.together(callers, name, "storm", map[string]any{"n": n, "ms": 1}, nil)
		w.want("in the storm", outs)
		w.note("%s: %d notifications in %v, %.2f s of the node's CPU", name, n*len(callers), time.Since(at).Round(time.Millisecond), (w.cpu() - used).Seconds())
		w.want("after the storm", w.together(callers, name, "echo", nil, nil))
		if u := w.of(name); u.Restarts != 0 {
			w.Errorf("notifications restarted the child: %+v", u)
		}
	}
	stop()
	for range listeners {
		<-ended
	}
	changes := 0
	for _, e := range w.rec.Events() {
		if e.Op == history.Notification && e.Method == "notifications/tools/list_changed" {
			changes++
		}
	}
	w.note("%d list-changed reached the %d listeners", changes, len(listeners))
	if changes > 2*100 {
		w.Errorf("%d list-changed were passed on: nothing coalesces them", changes)
	}
}

func panicking(w *world) {
	w.start("", up{name: "library", args: []string{"-library"}})
	callers := w.several(4)
	for range w.rounds(2, 10) {
		others := make(chan []history.Outcome, 1)
		go func() { others <- w.together(callers[1:], "library", "echo", nil, nil) }() // ends with its calls
		o := callers[0].Call(w.Context(), "library__panic", nil)
		if o.End != history.Error {
			w.Errorf("a handler that panics: got %s %q", o.End, o.Text)
		}
		w.want("beside the panic", <-others)
	}
	pid := w.ready("library").PID
	if u := w.of("library"); u.Restarts != 0 {
		w.Errorf("a panic of a handler ended the child: %+v", u)
	}
	at := time.Now()
	o := callers[0].Call(w.Context(), "library__crash", nil)
	w.want("a panic in a goroutine of the handler", []history.Outcome{o}, unavailable)
	w.detection = append(w.detection, o.At.Sub(at))
	w.recovery = append(w.recovery, w.served(callers[1], "library").Sub(at))
	if u := w.ready("library"); u.PID == pid {
		w.Error("the process survived a panic in a goroutine: the fault did not happen")
	}
}

func blocking(w *world) {
	w.start("", up{name: "library", args: []string{"-library"}, options: "timeout: 300ms"})
	callers := w.several(4)
	for range w.rounds(2, 10) {
		blocked := make(chan []history.Outcome, 1)
		go func() { blocked <- w.together(callers[:2], "library", "block", nil, nil) }() // ends by the timeout
		w.want("beside a handler that blocks", w.together(callers[2:], "library", "echo", nil, nil))
		outs := <-blocked
		w.want("of a handler that blocks", outs, "timeout", "circuit_open")
		for _, o := range outs {
			if o.Class == "timeout" {
				w.detection = append(w.detection, o.Took-300*time.Millisecond)
			}
		}
	}
	w.want("after handlers that block", w.together(callers, "library", "echo", nil, nil))
	w.note("detection is how much later than its timeout a call ended")
}

func endless(w *world) {
	w.start("", up{name: "pages", args: []string{"-face", "pages"}}, up{name: "modern", args: []string{"-era", "modern"}, options: "timeout: 2s"},
		up{name: "legacy", args: []string{"-era", "legacy"}, options: "timeout: 2s"})
	c := w.callerAt(w.url+"/mcp", history.Modern)
	at := time.Now()
	u := w.until("pages", "to be refused", func(u upstream) bool { return u.LastError != "" })
	w.detection = append(w.detection, time.Since(at))
	w.note("endless pages: %s", u.LastError)
	w.want("a list with an upstream whose pages do not end", []history.Outcome{c.List(w.Context())})
	// Rounds of the latest revision are the caller's to end; those of a session are the node's.
	for range w.rounds(2, 10) {
		o := c.Call(w.Context(), "modern__rounds", nil)
		if o.End == "" {
			w.Errorf("a tool that asks again: %+v", o)
		}
		o = c.Call(w.Context(), "legacy__rounds", nil)
		if o.End != history.Error {
			w.Errorf("a session that is asked again and again: %s %q", o.End, o.Text)
		}
	}
	w.want("after rounds without end", w.together(w.several(2), "legacy", "echo", nil, nil))
}
