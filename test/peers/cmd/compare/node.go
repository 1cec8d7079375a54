package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Through a node: the real daemon with its whole pipeline as it is now, beside a
// tuned httputil.ReverseProxy, both in front of the same server. What is between
// has core 0; the server and the load share core 1.

const (
	throughCalls = 20000
	openFor      = 8 * time.Second // of the open loop
	openConns    = 64
)

// pinned starts a program on a core, with GOMAXPROCS 1, and waits for the line of
// its output that begins with ready, of which it returns the rest.
func pinned(core, ready string, env []string, args ...string) (*server, string, error) {
	s := &server{cmd: exec.Command("taskset", append([]string{"-c", core}, args...)...), lines: make(chan string, 16)}
	s.cmd.Env = append(append(os.Environ(), "GOMAXPROCS=1"), env...)
	out, in, err := os.Pipe()
	if err != nil {
		return nil, "", err
	}
	s.cmd.Stdout, s.cmd.Stderr = in, in
	if s.stdin, err = s.cmd.StdinPipe(); err == nil {
		err = s.cmd.Start()
	}
	_ = in.Close()
	if err != nil {
		_ = out.Close()
		return nil, "", err
	}
	go func() { // ends with the process
		defer close(s.lines)
		for sc := bufio.NewScanner(out); sc.Scan(); {
			select {
			case s.lines <- sc.Text():
			default: // nobody reads any more
			}
		}
	}()
	rest, err := s.wait(ready)
	if err != nil {
		s.stop()
		return nil, "", err
	}
	return s, strings.TrimSpace(rest), nil
}

// startNode runs the daemon with one upstream, which is written as in the config.
func startNode(o options, core, upstream string) (*server, error) {
	dir, err := os.MkdirTemp("", "node")
	if err != nil {
		return nil, err
	}
	file := filepath.Join(dir, "fairlead.yaml")
	config := fmt.Sprintf("listen: 127.0.0.1:0\nadmin: 127.0.0.1:0\ndata: %s\nlog: {level: error}\nlimits: {sessions: 20000}\nupstreams: {up: %s}\n", dir, upstream)
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		return nil, err
	}
	s, url, err := pinned(core, "MCP endpoint", nil, o.node, "serve", "--config", file)
	if err != nil {
		return nil, err
	}
	s.dir = dir
	s.addr, _, _ = strings.Cut(strings.TrimPrefix(url, "http://"), "/")
	return s, nil
}

// middle is what stands between the load and the server, and the request it gets.
type middle struct {
	name    string
	server  *server
	request []byte
}

func callOf(tool string) []byte {
	return post(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"`+tool+`","arguments":{"text":"hello, fairlead"},`+modernMeta+`}}`,
		"MCP-Protocol-Version: 2026-07-28", "Mcp-Method: tools/call", "Mcp-Name: "+tool)
}

// startMiddles starts the server, and what stands before it.
func startMiddles(o options) (all []*middle, stop func(), err error) {
	stop = func() {
		for _, m := range all {
			m.server.stop()
		}
	}
	upstream, addr, err := pinned("1", "listening", nil, o.bin, "-kind", "fairlead", "-addr", "127.0.0.1:0")
	if err != nil {
		return nil, stop, err
	}
	upstream.addr = addr
	all = append(all, &middle{"nothing between", upstream, callOf("echo")})
	proxy, addr, err := pinned("0", "listening", []string{"UPSTREAM=http://" + addr}, o.bin, "-kind", "proxy", "-addr", "127.0.0.1:0")
	if err != nil {
		return all, stop, err
	}
	proxy.addr = addr
	all = append(all, &middle{"httputil.ReverseProxy", proxy, callOf("echo")})
	node, err := startNode(o, "0", "{url: \"http://"+upstream.addr+"/mcp\", max_concurrent: 4096}")
	if err != nil {
		return all, stop, err
	}
	all = append(all, &middle{"fairlead", node, callOf("up__echo")})
	return all, stop, nil
}

// closed makes calls over conns connections, each as soon as the one before is answered.
func closed(m *middle, conns, calls int) ([]time.Duration, error) {
	var (
		left atomic.Int64
		mu   sync.Mutex
		all  []time.Duration
		errs []error
		wg   sync.WaitGroup
	)
	left.Store(int64(calls))
	for range conns {
		wg.Go(func() {
			lat, err := loadConn(m.server.addr, m.request, &left)
			mu.Lock()
			defer mu.Unlock()
			all, errs = append(all, lat...), append(errs, err)
		})
	}
	wg.Wait()
	return all, errors.Join(errs...)
}

// open makes calls at a constant rate. A latency is counted from when the call was
// to be sent, so a call that has to wait for others pays for that.
func open(m *middle, rate float64, d time.Duration) ([]time.Duration, error) {
	var (
		next atomic.Int64
		mu   sync.Mutex
		all  []time.Duration
		errs []error
		wg   sync.WaitGroup
	)
	calls, every := int64(rate*d.Seconds()), time.Duration(float64(time.Second)/rate)
	begin := time.Now().Add(50 * time.Millisecond)
	for range openConns {
		wg.Go(func() {
			var lat []time.Duration
			err := func() error {
				c, r, err := dialLoad(m.server.addr)
				if err != nil {
					return err
				}
				defer c.Close()
				for i := next.Add(1) - 1; i < calls; i = next.Add(1) - 1 {
					due := begin.Add(time.Duration(i) * every)
					time.Sleep(time.Until(due))
					if _, err := c.Write(m.request); err != nil {
						return err
					}
					status, _, body, err := readResponse(r)
					if err != nil || status != 200 {
						return fmt.Errorf("status %d, %w: %s", status, err, body)
					}
					lat = append(lat, time.Since(due))
				}
				return nil
			}()
			mu.Lock()
			defer mu.Unlock()
			all, errs = append(all, lat...), append(errs, err)
		})
	}
	wg.Wait()
	slices.Sort(all)
	return all, errors.Join(errs...)
}

// throughNode is the section.
func throughNode(o options) (string, error) {
	all, stop, err := startMiddles(o)
	defer stop()
	if err != nil {
		return "", err
	}
	var b strings.Builder
	b.WriteString("\n## Through a node\n\nThe daemon with its whole pipeline (limits per caller, policies, metrics and audit come later and are not in it), 2026-07-28 on both sides, beside a tuned `httputil.ReverseProxy` that knows nothing of MCP, in turns, before the same server. What is between has one core, the server and the load share another.\n")
	saturation := 0.0
	for _, conns := range []int{1, 32, 128} {
		calls := min(o.calls, throughCalls)
		if conns == 1 {
			calls /= 4
		}
		rounds := map[string][]sample{}
		for round := range o.rounds + 1 { // the first warms up
			for _, m := range all {
				cpu0, t0 := m.server.cpu(), time.Now()
				lat, err := closed(m, conns, calls)
				if err != nil {
					return "", fmt.Errorf("%s: %w", m.name, err)
				}
				wall, cpu := time.Since(t0), m.server.cpu()-cpu0
				slices.Sort(lat)
				n := float64(len(lat))
				if round > 0 {
					rounds[m.name] = append(rounds[m.name], sample{
						perSecond: n / wall.Seconds(), cpuPer1000: cpu.Seconds() / n * 1000, p50: lat[len(lat)/2], p99: lat[len(lat)*99/100],
					})
				}
			}
		}
		fmt.Fprintf(&b, "\n%d connections, one call after the other on each:\n\n| between | calls/s | CPU s per 1000 calls | x ReverseProxy | p50 | p99 |\n| --- | --- | --- | --- | --- | --- |\n", conns)
		base := median(rounds[all[1].name], func(s sample) float64 { return s.cpuPer1000 })
		if conns == 32 {
			saturation = median(rounds[all[1].name], func(s sample) float64 { return s.perSecond })
		}
		for i, m := range all {
			r := rounds[m.name]
			cpu, ratio := "-", "-" // of the server itself, which is not compared
			if i > 0 {
				per := median(r, func(s sample) float64 { return s.cpuPer1000 })
				cpu, ratio = fmt.Sprintf("%.4f", per), fmt.Sprintf("%.2f", per/base)
			}
			fmt.Fprintf(&b, "| %s | %.0f | %s | %s | %s | %s |\n", m.name, median(r, func(s sample) float64 { return s.perSecond }), cpu, ratio,
				rounded(median(r, func(s sample) float64 { return float64(s.p50) })), rounded(median(r, func(s sample) float64 { return float64(s.p99) })))
		}
	}
	rate := saturation / 2
	rounds := map[string][]sample{}
	for range o.rounds {
		for _, m := range all {
			lat, err := open(m, rate, openFor/4)
			if err != nil {
				return "", fmt.Errorf("%s: %w", m.name, err)
			}
			rounds[m.name] = append(rounds[m.name], sample{p50: lat[len(lat)/2], p99: lat[len(lat)*99/100]})
		}
	}
	fmt.Fprintf(&b, "\nAn open loop of %.0f calls/s, half of what the ReverseProxy can do; latency from when a call was to be sent:\n\n| between | p50 | p99 |\n| --- | --- | --- |\n", rate)
	for _, m := range all {
		fmt.Fprintf(&b, "| %s | %s | %s |\n", m.name, rounded(median(rounds[m.name], func(s sample) float64 { return float64(s.p50) })), rounded(median(rounds[m.name], func(s sample) float64 { return float64(s.p99) })))
	}
	stop()
	all = nil
	for _, more := range []func(options) (string, error){throughStdio, nodeMemory} {
		text, err := more(o)
		if err != nil {
			return "", err
		}
		b.WriteString(text)
	}
	return b.String(), nil
}

func rounded(d float64) string { return time.Duration(d).Round(10 * time.Microsecond).String() }

// everything is the official server of npm, from this directory.
const everything = "../npm/node_modules/@modelcontextprotocol/server-everything/dist/index.js"

// throughStdio drives one child of npm directly and through a node.
func throughStdio(o options) (string, error) {
	const inFlight = 32
	node, err := filepath.Abs("../npm/node_modules/node/bin/node")
	if err != nil {
		return "", err
	}
	script, err := filepath.Abs(everything)
	if err != nil {
		return "", err
	}
	calls := min(o.calls, 5000)
	var direct, through []sample
	for range o.rounds {
		rate, err := driveChild(node, script, inFlight, calls)
		if err != nil {
			return "", fmt.Errorf("server-everything: %w", err)
		}
		direct = append(direct, sample{perSecond: rate})
		// The child has the core that it has alone; taskset is part of its command.
		n, err := startNode(o, "1", fmt.Sprintf("{command: taskset, args: [\"-c\", \"0\", %q, %q, stdio]}", node, script))
		if err != nil {
			return "", err
		}
		m := &middle{"fairlead", n, post(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"up__echo","arguments":{"message":"hello, fairlead"},`+modernMeta+`}}`,
			"MCP-Protocol-Version: 2026-07-28", "Mcp-Method: tools/call", "Mcp-Name: up__echo")}
		_, err = closed(m, inFlight, calls/5)
		t0 := time.Now()
		if err == nil {
			_, err = closed(m, inFlight, calls)
		}
		through = append(through, sample{perSecond: float64(calls) / time.Since(t0).Seconds()})
		n.stop()
		if err != nil {
			return "", fmt.Errorf("server-everything through a node: %w", err)
		}
	}
	d, t := median(direct, func(s sample) float64 { return s.perSecond }), median(through, func(s sample) float64 { return s.perSecond })
	return fmt.Sprintf("\nOne child of npm's server-everything over stdio, %d calls in flight; the child has one core, the node and the load share another:\n\n| driven | calls/s | x directly |\n| --- | --- | --- |\n| directly | %.0f | 1.00 |\n| through a node, by all callers | %.0f | %.2f |\n", inFlight, d, t, t/d), nil
}

// driveChild is how many calls a second a child answers.
func driveChild(node, script string, inFlight, calls int) (float64, error) {
	cmd := exec.Command("taskset", "-c", "0", node, script, "stdio")
	in, err := cmd.StdinPipe()
	if err != nil {
		return 0, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return 0, err
	}
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	r := bufio.NewReaderSize(out, 64<<10)
	_, err = io.WriteString(in, `{"jsonrpc":"2.0","id":"i","method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"load","version":"1"}}}`+"\n"+
		`{"jsonrpc":"2.0","method":"notifications/initialized"}`+"\n")
	if err != nil {
		return 0, err
	}
	send := func(i int) error {
		_, err := fmt.Fprintf(in, `{"jsonrpc":"2.0","id":%d,"method":"tools/call","params":{"name":"echo","arguments":{"message":"hello, fairlead"}}}`+"\n", i)
		return err
	}
	began, answered, warm := time.Time{}, 0, calls/5
	for sent := 0; answered < warm+calls; {
		line, err := r.ReadString('\n')
		switch {
		case err != nil:
			return 0, err
		case strings.Contains(line, `"id":"i"`):
			for ; sent < inFlight; sent++ {
				if err := send(sent); err != nil {
					return 0, err
				}
			}
		case strings.Contains(line, "hello, fairlead"):
			if answered++; answered == warm {
				began = time.Now()
			}
			if err := send(sent); err != nil {
				return 0, err
			}
			sent++
		}
	}
	return float64(calls) / time.Since(began).Seconds(), nil
}

// nodeMemory is the resident memory of a node with sessions.
func nodeMemory(o options) (string, error) {
	upstream, addr, err := pinned("1", "listening", nil, o.bin, "-kind", "fairlead", "-addr", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer upstream.stop()
	var b strings.Builder
	b.WriteString("\n| a node with | resident memory |\n| --- | --- |\n")
	for _, row := range []struct {
		sessions int
		busy     bool
	}{{0, false}, {128, true}, {10000, false}} {
		n, err := startNode(o, "0", "{url: \"http://"+addr+"/mcp\"}")
		if err != nil {
			return "", err
		}
		before := 0
		if _, err = openSession(n.addr); err == nil {
			before, err = n.rss()
		}
		what := "nothing to do"
		for i := 0; err == nil && i < row.sessions; i++ {
			_, err = openSession(n.addr)
		}
		if err == nil && row.busy {
			_, err = closed(&middle{"", n, callOf("up__echo")}, row.sessions, 20*row.sessions*10)
		}
		after := 0
		if err == nil {
			after, err = n.rss()
		}
		n.stop()
		if err != nil {
			return "", fmt.Errorf("%d sessions: %w", row.sessions, err)
		}
		switch {
		case row.busy:
			what = fmt.Sprintf("%d sessions of 2025-11-25 and as many connections that call", row.sessions)
		case row.sessions > 0:
			what = fmt.Sprintf("%d idle sessions of 2025-11-25 (%.1f MB more than without)", row.sessions, float64(after-before)/(1<<20))
		}
		fmt.Fprintf(&b, "| %s | %.1f MB |\n", what, float64(after)/(1<<20))
	}
	return b.String(), nil
}
