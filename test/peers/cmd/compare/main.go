// Command compare runs the same tool server on several SDKs, one after the other
// and in turns, under the same raw load, and prints a table of ratios.
//
//	go run ./cmd/compare [-out FILE] [-calls N] [-rounds N] [-kinds bare,fairlead,mcpgo,gosdk,typescript] [-streams N] [-only-streams] [-only-node]
//
// The kind typescript needs the npm peers (make peers); it has no count of
// allocations.
//
// The servers are pinned to one core with taskset and the load to another. CPU is
// the server process's own user and system time as the kernel counts it.
package main

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
)

// remarks heads the part of the report that is written by hand.
const remarks = "\n## Read with care"

type options struct {
	calls, rounds int
	kinds         []string
	streams       int // idle streams to open
	onlyStreams   bool
	onlyNode      bool
	bin           string // the servers
	node          string // the daemon
}

func main() {
	out := flag.String("out", "", "write the report here; empty means standard output")
	calls := flag.Int("calls", 20000, "calls in a measurement")
	rounds := flag.Int("rounds", 5, "rounds of each measurement; the median is reported")
	kinds := flag.String("kinds", "bare,fairlead,mcpgo,gosdk,typescript", "servers to compare")
	streams := flag.Int("streams", 15000, "idle streams to open; each takes a file descriptor here and one there")
	only := flag.Bool("only-streams", false, "measure the idle streams only, and print the section")
	onlyNode := flag.Bool("only-node", false, "measure calls through a node only, and print the section")
	flag.Parse()
	o := options{onlyNode: *onlyNode, calls: *calls, rounds: *rounds, kinds: strings.Split(*kinds, ","), streams: *streams, onlyStreams: *only}
	if err := run(*out, o); err != nil {
		fmt.Fprintln(os.Stderr, "compare:", err)
		os.Exit(1)
	}
}

func run(out string, o options) error {
	dir, err := os.MkdirTemp("", "compare")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	o.bin = filepath.Join(dir, "server")
	if b, err := exec.Command("go", "build", "-o", o.bin, "./cmd/server").CombinedOutput(); err != nil {
		return fmt.Errorf("build server: %w\n%s", err, b)
	}
	o.node = filepath.Join(dir, "fairlead")
	build := exec.Command("go", "build", "-o", o.node, "./cmd/fairlead")
	build.Dir = "../.."
	if b, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build the daemon: %w\n%s", err, b)
	}
	// The load shares no core with the servers.
	if b, err := exec.Command("taskset", "-pc", "1", fmt.Sprint(os.Getpid())).CombinedOutput(); err != nil {
		return fmt.Errorf("pin the load to core 1: %w\n%s", err, b)
	}
	runtime.GOMAXPROCS(1)

	if o.onlyStreams || o.onlyNode {
		section, err := "", error(nil)
		if o.onlyNode {
			section, err = throughNode(o)
		} else {
			section, err = idleStreams(o, o.streams)
		}
		if err == nil {
			fmt.Printf("%s\nMeasured on %s (%s).\n", section, time.Now().UTC().Format("2006-01-02"), runtime.Version())
		}
		return err
	}
	var b strings.Builder
	fmt.Fprintf(&b, "# Performance\n\nMade on %s by `make bench` (%s, %d cores; server pinned to one core, load to another).\n", time.Now().UTC().Format("2006-01-02"), runtime.Version(), runtime.NumCPU())
	fmt.Fprintf(&b, "Each figure is the median of %d rounds of %d calls, the servers in turns. Ratios count; absolute figures only show the size of things.\n\n", o.rounds, o.calls)
	b.WriteString("`bare` is the same server written by hand on net/http and encoding/json, for these two tools only.\nAll of them validate the arguments; the tool is `echo {text}` with structured output.\n")
	for _, m := range measurements {
		fmt.Fprintln(os.Stderr, m.title)
		section, err := compare(m, o)
		if err != nil {
			return fmt.Errorf("%s: %w", m.title, err)
		}
		b.WriteString(section)
	}
	idle, err := idleSessions(o)
	if err != nil {
		return fmt.Errorf("idle sessions: %w", err)
	}
	b.WriteString(idle)
	streams, err := idleStreams(o, o.streams)
	if err != nil {
		return fmt.Errorf("idle streams: %w", err)
	}
	b.WriteString(streams)
	node, err := throughNode(o)
	if err != nil {
		return fmt.Errorf("through a node: %w", err)
	}
	b.WriteString(node)
	if out == "" {
		_, err = os.Stdout.WriteString(b.String())
		return err
	}
	// What people wrote about the figures stays.
	old, err := os.ReadFile(out)
	if err != nil && !os.IsNotExist(err) {
		return err
	}
	if i := strings.Index(string(old), remarks); i >= 0 {
		b.Write(old[i:])
	}
	return os.WriteFile(out, []byte(b.String()), 0o644)
}

// measurement is one way to load a server.
type measurement struct {
	title string
	note  string
	load  func(s *server, calls int) (latencies []time.Duration, err error)
	stdio bool
}

var measurements = []measurement{
	{"HTTP, 2026-07-28, 32 connections", "", func(s *server, n int) ([]time.Duration, error) { return loadHTTP(s, 32, n, true) }, false},
	{"HTTP, 2025-11-25 with a session, 32 connections", "", func(s *server, n int) ([]time.Duration, error) { return loadHTTP(s, 32, n, false) }, false},
	{"HTTP, 2026-07-28, 256 connections", "", func(s *server, n int) ([]time.Duration, error) { return loadHTTP(s, 256, n, true) }, false},
	{"stdio, 2026-07-28, 64 calls in flight", "", func(s *server, n int) ([]time.Duration, error) { return loadStdio(s, 64, n) }, true},
	{"stdio, 2026-07-28, one call after the other", "", func(s *server, n int) ([]time.Duration, error) { return loadStdio(s, 1, n/4) }, true},
}

// sample is one round's figures.
type sample struct {
	perSecond, cpuPer1000, allocs, bytes float64
	p50, p99                             time.Duration
}

func compare(m measurement, o options) (string, error) {
	rounds := map[string][]sample{}
	for range o.rounds {
		for _, kind := range o.kinds {
			s, err := measure(m, kind, o)
			if err != nil {
				return "", fmt.Errorf("%s: %w", kind, err)
			}
			rounds[kind] = append(rounds[kind], s)
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "\n## %s\n\n| server | calls/s | CPU s per 1000 calls | x bare | p50 | p99 | allocations a call | bytes a call |\n| --- | --- | --- | --- | --- | --- | --- | --- |\n", m.title)
	base := median(rounds[o.kinds[0]], func(s sample) float64 { return s.cpuPer1000 })
	for _, kind := range o.kinds {
		r := rounds[kind]
		cpu := median(r, func(s sample) float64 { return s.cpuPer1000 })
		fmt.Fprintf(&b, "| %s | %.0f | %.4f | %.2f | %s | %s | %s | %s |\n", kind,
			median(r, func(s sample) float64 { return s.perSecond }), cpu, cpu/base,
			time.Duration(median(r, func(s sample) float64 { return float64(s.p50) })).Round(10*time.Microsecond),
			time.Duration(median(r, func(s sample) float64 { return float64(s.p99) })).Round(10*time.Microsecond),
			counted(median(r, func(s sample) float64 { return s.allocs })), counted(median(r, func(s sample) float64 { return s.bytes })))
	}
	return b.String(), nil
}

// counted formats a count, which not every runtime has.
func counted(n float64) string {
	if n == 0 {
		return "-"
	}
	return fmt.Sprintf("%.0f", n)
}

func measure(m measurement, kind string, o options) (sample, error) {
	s, err := start(o.bin, kind, m.stdio)
	if err != nil {
		return sample{}, err
	}
	defer s.stop()
	if _, err := m.load(s, o.calls/10); err != nil { // warm up
		return sample{}, err
	}
	mem0, err := s.memory()
	if err != nil {
		return sample{}, err
	}
	cpu0, t0 := s.cpu(), time.Now()
	lat, err := m.load(s, o.calls)
	if err != nil {
		return sample{}, err
	}
	wall, cpu := time.Since(t0), s.cpu()-cpu0
	mem1, err := s.memory()
	if err != nil {
		return sample{}, err
	}
	slices.Sort(lat)
	n := float64(len(lat))
	return sample{
		perSecond: n / wall.Seconds(), cpuPer1000: cpu.Seconds() / n * 1000,
		allocs: float64(mem1.mallocs-mem0.mallocs) / n, bytes: float64(mem1.bytes-mem0.bytes) / n,
		p50: lat[len(lat)/2], p99: lat[len(lat)*99/100],
	}, nil
}

func median(rounds []sample, of func(sample) float64) float64 {
	v := make([]float64, len(rounds))
	for i, s := range rounds {
		v[i] = of(s)
	}
	slices.Sort(v)
	return v[len(v)/2]
}

// idleSessions opens many sessions of 2025-11-25 and leaves them alone.
func idleSessions(o options) (string, error) {
	const sessions = 2000
	var b strings.Builder
	fmt.Fprintf(&b, "\n## %d idle sessions, 2025-11-25\n\n| server | heap and stacks per session | goroutines per session |\n| --- | --- | --- |\n", sessions)
	for _, kind := range o.kinds {
		s, err := start(o.bin, kind, false)
		if err != nil {
			return "", err
		}
		// A warm-up, so that what the server allocates once does not count.
		for range 50 {
			if _, err := openSession(s.addr); err != nil {
				s.stop()
				return "", fmt.Errorf("%s: %w", kind, err)
			}
		}
		before, err := s.memory()
		for i := 0; err == nil && i < sessions; i++ {
			_, err = openSession(s.addr)
		}
		var after memory
		if err == nil {
			after, err = s.memory()
		}
		s.stop()
		if err != nil {
			return "", fmt.Errorf("%s: %w", kind, err)
		}
		fmt.Fprintf(&b, "| %s | %.0f B | %.2f |\n", kind, float64(int64(after.inUse)-int64(before.inUse))/sessions, float64(after.goroutines-before.goroutines)/sessions)
	}
	return b.String(), nil
}
