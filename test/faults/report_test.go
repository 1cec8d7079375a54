package faults

import (
	"fmt"
	"maps"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fairlead-mcp/fairlead/test/faults/history"
)

// remarks heads the part of docs/faults.md that is written by hand.
const remarks = "\n## Read with care"

// elsewhere are the faults of the list that this suite does not have, and why.
var elsewhere = []struct{ ids, what, why string }{
	{"F13, F14", "partitions between nodes, loss and delay between them", "more than one node"},
	{"F19", "memory pressure", "limits of a cgroup and the shedding order; the resource watch has its own tests"},
	{"F20, F21", "full and failing disks", "the audit trail, the time series and the state store"},
	{"F22", "the node killed while it writes state", "the state store, which has a crash suite of its own"},
	{"F23", "jumps of the clock", "timers are monotonic; tokens and time series come with their own tests"},
	{"F24, F25", "authorization server down, slow, rotating keys", "the authorization issue"},
	{"F29", "the binary is replaced", "internal/daemon and internal/handover have the tests"},
	{"F36", "an alert's receiver is down", "the alerting issue"},
	{"F37", "metrics of random names", "the metrics issue"},
	{"F38", "log injection and log floods", "the logging issue"},
	{"F39", "a program replaced after its approval", "the approval store has the test"},
	{"F40", "no entropy", "the Go runtime ends the process"},
}

// writeReport writes docs/faults.md, and keeps what people wrote under it.
func writeReport(path string, seed uint64, list []fault, results []*figures) error {
	var b strings.Builder
	by := "by `make faults`"
	if os.Getenv("FAIRLEAD_FAULTS") == "" {
		by = "in the short form, which does each fault a few times only, on a machine that did other things too"
	}
	fmt.Fprintf(&b, "# Faults\n\nMade on %s %s (%s, %d cores, seed %d).\n", time.Now().Format(time.DateOnly), by, runtime.Version(), runtime.NumCPU(), seed)
	b.WriteString(`Each fault is brought about while clients of 2025-11-25 and of 2026-07-28 call through a real node; two of them call a neighbour
of the broken upstream all the time. Every request and everything that came back is recorded, and one checker (test/faults/history) reads the record: exactly
one end per request, each answer and each progress report to the caller it belongs to, nothing after a cancellation, streams by their grammar,
and no call carried out twice unless its tool says that it may be. ` + "`go test ./test/faults`" + ` shows each fault in the short form.

*failed* are calls that ended with an error of the node, which is what the fault has to lead to; of the neighbour none may. *Detection* is from the fault to
the error of the last calls in flight, *recovery* from the fault to the next answer.

`)
	b.WriteString("| fault | requests | answered | failed | closed | lost | duplicated | misdelivered | detection p50, p99 | recovery p50, p99 |\n| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n")
	for i, f := range list {
		r := results[i]
		if r == nil || r.report == nil {
			return fmt.Errorf("%s has no result", f.id)
		}
		fmt.Fprintf(&b, "| %s %s | %d | %d | %s | %d | %s | %s | %s | %s | %s |\n", f.id, f.name, r.report.Requests, r.report.Replies, classes(r.report.Errors), r.report.Closed,
			share(r.report, history.Lost), share(r.report, history.Duplicated), share(r.report, history.Misdelivered), quantiles(r.detection), quantiles(r.recovery))
	}
	b.WriteString("\nLost, duplicated and misdelivered are per million requests.\n\n## What was done\n\n")
	for i, f := range list {
		fmt.Fprintf(&b, "- **%s %s**: %s.", f.id, f.name, f.inject)
		for _, n := range results[i].notes {
			fmt.Fprintf(&b, " %s.", strings.TrimSuffix(strings.ToUpper(n[:1])+n[1:], "."))
		}
		b.WriteString("\n")
	}
	b.WriteString("\n## Faults that are tested elsewhere, or belong to what is not there yet\n\n| fault | what | belongs to |\n| --- | --- | --- |\n")
	for _, e := range elsewhere {
		fmt.Fprintf(&b, "| %s | %s | %s |\n", e.ids, e.what, e.why)
	}
	old, err := os.ReadFile(path)
	if err != nil && !os.IsNotExist(err) {
		return err
	}
	if i := strings.Index(string(old), remarks); i >= 0 {
		b.Write(old[i:])
	}
	return os.WriteFile(path, []byte(b.String()), 0o644)
}

// classes is how failed calls ended, the most frequent first.
func classes(errors map[string]int) string {
	if len(errors) == 0 {
		return "0"
	}
	names := slices.SortedFunc(maps.Keys(errors), func(a, b string) int {
		if d := errors[b] - errors[a]; d != 0 {
			return d
		}
		return strings.Compare(a, b)
	})
	var list []string
	for _, name := range names {
		list = append(list, fmt.Sprintf("%d %s", errors[name], strings.ReplaceAll(name, "|", " ")))
	}
	return strings.Join(list, ", ")
}

func share(r *history.Report, k history.Kind) string {
	return fmt.Sprintf("%.3g", 1e6*float64(r.Count(k))/float64(max(r.Requests, 1)))
}

func quantiles(list []time.Duration) string {
	if len(list) == 0 {
		return "-"
	}
	p50, p99 := quantile(list, 0.5), quantile(list, 0.99)
	return fmt.Sprintf("%v, %v", round(p50), round(p99))
}

func quantile(list []time.Duration, q float64) time.Duration {
	sorted := slices.Sorted(slices.Values(list))
	return sorted[int(q*float64(len(sorted)-1)+0.5)]
}

func round(d time.Duration) time.Duration {
	if d < 10*time.Millisecond {
		return d.Round(10 * time.Microsecond)
	}
	return d.Round(time.Millisecond)
}

// TestReport has the report say what went wrong, and keep what people wrote.
func TestReport(t *testing.T) {
	path := t.TempDir() + "/faults.md"
	if err := os.WriteFile(path, []byte("# Old\n"+remarks+"\n\nby hand\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	list := []fault{{id: "F0", name: "nothing", inject: "nobody does anything"}}
	lost := &history.Report{Requests: 1000, Replies: 998, Errors: map[string]int{"timeout": 1}, Violations: []history.Violation{{Kind: history.Lost}}}
	if err := writeReport(path, 7, list, []*figures{{detection: []time.Duration{time.Millisecond, 20 * time.Millisecond}, report: lost, notes: []string{"remarked."}}}); err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"seed 7", "| F0 nothing | 1000 | 998 | 1 timeout | 0 | 1e+03 | 0 | 0 | 20ms, 20ms | - |",
		"- **F0 nothing**: nobody does anything. Remarked.\n", "| F36 |", "\n## Read with care\n\nby hand\n",
	} {
		if !strings.Contains(string(raw), want) {
			t.Errorf("the report lacks %q:\n%s", want, raw)
		}
	}
	if err := writeReport(path, 7, list, []*figures{nil}); err == nil {
		t.Error("a fault without figures is reported as if it had some")
	}
}

// TestEveryFaultIsSomewhere counts the list of faults: each number is in the suite or
// named as being elsewhere.
func TestEveryFaultIsSomewhere(t *testing.T) {
	known := map[string]bool{}
	for _, f := range faults() {
		if known[f.id+f.name] {
			t.Errorf("%s %s stands twice", f.id, f.name)
		}
		known[f.id], known[f.id+f.name] = true, true
	}
	for _, e := range elsewhere {
		for id := range strings.SplitSeq(e.ids, ", ") {
			if known[id] {
				t.Errorf("%s is in the suite and elsewhere", id)
			}
			known[id] = true
		}
	}
	for i := 1; i <= 40; i++ {
		if id := fmt.Sprintf("F%d", i); !known[id] {
			t.Errorf("%s is nowhere", id)
		}
	}
}
