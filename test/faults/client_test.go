package faults

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/fairlead-mcp/fairlead/test/faults/history"
	"github.com/fairlead-mcp/fairlead/test/internal/peers"
)

// clientFaults are what clients can do, and what is done to the node itself.
var clientFaults = []fault{
	{"F11", "same ids", "many clients that use the same request ids and progress tokens at the same time", sameIDs},
	{"F15", "slow consumers", "clients that do not read what they asked for", slowConsumers},
	{"F17", "slow senders", "connections that send headers or bodies byte by byte, or stop in the middle", slowSenders},
	{"F18", "connection flood", "more connections than the node may have descriptors", flooded},
	{"F26", "reload of a bad config", "SIGHUP after the config was broken", badReload},
	{"F27", "reload without an upstream", "SIGHUP after an upstream with calls in flight was taken from the config, and when it is back", shrunk},
	{"F28", "SIGTERM", "SIGTERM with calls in flight and open streams, within the grace and beyond", terminated},
	{"H", "every upstream hangs", "SIGSTOP to every child while calls are in flight, and health checks", everythingHangs},
}

func sameIDs(w *world) {
	n := w.rounds(60, 200)
	w.start("", up{name: "modern", args: []string{"-era", "modern"}}, up{name: "legacy", args: []string{"-era", "legacy"}},
		up{name: "remote", url: "http://" + w.remote("remote") + "/mcp"})
	for _, name := range []string{"modern", "legacy", "remote"} {
		w.ready(name)
		callers := w.several(n) // each begins with id 1
		for range w.rounds(2, 20) {
			w.want("with ids of others", w.together(callers, name, "progress", map[string]any{"n": 4, "ms": 5}, nil))
		}
	}
	w.note("%d clients at a time", n)
}

func slowConsumers(w *world) {
	w.anonymous = "unread-"
	w.start("limits: {call_timeout: 5s}", up{name: "up"})
	before, n := w.rss(), w.rounds(8, 50)
	var conns []net.Conn
	for i := range n {
		// A call with much progress, of which nothing is read.
		c := w.dial()
		conns = append(conns, c)
		if tcp, ok := c.(*net.TCPConn); ok {
			_ = tcp.SetReadBuffer(4096)
		}
		body := fmt.Sprintf(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"up__progress","arguments":{"nonce":"unread-%d","n":%d},"_meta":{"progressToken":"t",%s}}}`, i, w.rounds(20_000, 100_000), modernMeta)
		w.send(c, post("tools/call", "up__progress", body))
	}
	callers := w.several(4)
	for range w.rounds(5, 50) {
		w.want("beside clients that do not read", w.together(callers, "up", "echo", nil, nil))
	}
	peers.Wait(w.T, "the calls of clients that do not read to end", func() bool { return w.status().Calls <= 4 })
	w.note("%d clients that do not read raised the node's memory by %d MB", n, max(w.rss()-before, 0)>>20)
	for _, c := range conns {
		_ = c.Close()
	}
	w.want("after clients that did not read", w.together(callers, "up", "echo", nil, nil))
}

const modernMeta = `"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}`

// post is a request of revision 2026-07-28 as it is on the wire.
func post(method, name, body string) string {
	return fmt.Sprintf("POST /mcp HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nAccept: application/json, text/event-stream\r\n"+
		"MCP-Protocol-Version: 2026-07-28\r\nMcp-Method: %s\r\nMcp-Name: %s\r\nContent-Length: %d\r\n\r\n%s", method, name, len(body), body)
}

func (w *world) dial() net.Conn {
	w.Helper()
	c, err := net.Dial("tcp", strings.TrimPrefix(w.url, "http://"))
	if err != nil {
		w.Fatal(err)
	}
	w.Cleanup(func() { _ = c.Close() })
	return c
}

func (w *world) send(c net.Conn, text string) {
	w.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		w.Fatal(err)
	}
}

func slowSenders(w *world) {
	w.start("", up{name: "up"})
	n := w.rounds(100, 2000)
	whole := post("tools/call", "up__echo", `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"up__echo","arguments":{},"_meta":{`+modernMeta+`}}}`)
	headers, _, _ := strings.Cut(whole, "\r\n\r\n")
	var closed sync.WaitGroup
	var conns []net.Conn
	at := time.Now()
	ends := make(chan time.Duration, n)
	for i := range n {
		c := w.dial()
		conns = append(conns, c)
		if i%2 == 0 {
			w.send(c, headers[:40+w.rand.IntN(len(headers)-40)])
		} else {
			w.send(c, whole[:len(headers)+4+w.rand.IntN(20)])
		}
		if i%2 == 1 && !w.full {
			continue // a body has half a minute
		}
		closed.Go(func() { // ends when the node has had enough, or with the test
			_, _ = io.Copy(io.Discard, c)
			ends <- time.Since(at)
		})
	}
	callers := w.several(4)
	for range w.rounds(20, 200) {
		w.want("beside slow senders", w.together(callers, "up", "echo", nil, nil))
	}
	closed.Wait()
	close(ends)
	for _, c := range conns {
		_ = c.Close()
	}
	for d := range ends {
		w.detection = append(w.detection, d)
	}
	w.note("%d connections; detection is until the node has closed one", n)
	if got := w.noted("up", "call"); len(got) < w.rounds(20, 200)*len(callers) {
		w.Errorf("%d calls of good clients arrived", len(got))
	}
}

func flooded(w *world) {
	w.descriptors = 256
	w.start("", up{name: "up"})
	callers := w.several(4)
	w.want("before the flood", w.together(callers, "up", "echo", nil, nil)) // these have connections now
	var conns []net.Conn
	for range 400 {
		conns = append(conns, w.dial())
	}
	for range w.rounds(20, 100) {
		w.want("on connections that were there before the flood", w.together(callers, "up", "echo", nil, nil))
	}
	at := time.Now()
	u := w.ready("up") // the admin listener has descriptors of its own
	w.note("the admin listener answered in %v during the flood", time.Since(at).Round(100*time.Microsecond))
	// So has a child that has to be started.
	w.signal(u.PID, syscall.SIGKILL)
	w.served(callers[0], "up")
	for _, c := range conns {
		_ = c.Close()
	}
	at = time.Now()
	fresh := w.callerOf(history.Modern)
	w.want("a new client after the flood", []history.Outcome{fresh.Call(w.Context(), "up__echo", nil)})
	w.recovery = append(w.recovery, time.Since(at))
}

// reloaded has the node read its config, and waits until it says so in the log.
func (w *world) reloaded(word string) {
	w.Helper()
	already := strings.Count(w.log(), word)
	w.signal(w.node.Process.Pid, syscall.SIGHUP)
	peers.Wait(w.T, "the node to say "+word, func() bool { return strings.Count(w.log(), word) > already })
}

func badReload(w *world) {
	w.start("", up{name: "up"})
	pid, callers := w.ready("up").PID, w.several(4)
	good, err := os.ReadFile(w.config)
	if err != nil {
		w.Fatal(err)
	}
	for range w.rounds(2, 20) {
		if err := os.WriteFile(w.config, append(good, "nonsense: [\n"...), 0o600); err != nil {
			w.Fatal(err)
		}
		w.reloaded("config refused")
		w.want("after a bad config", w.together(callers, "up", "echo", nil, nil))
		if err := os.WriteFile(w.config, good, 0o600); err != nil {
			w.Fatal(err)
		}
	}
	if u := w.of("up"); u.PID != pid {
		w.Errorf("a bad config restarted a child: %+v", u)
	}
}

func shrunk(w *world) {
	w.changed = true
	goes, stays := up{name: "goes", args: []string{"-era", "legacy"}}, up{name: "stays"}
	w.start("", goes, stays)
	w.ready("goes")
	pid, callers := w.ready("stays").PID, w.several(4)
	for range w.rounds(1, 10) {
		w.write(w.head, up{name: "steady"}, stays)
		w.want("in flight at the reload", w.together(callers, "goes", "echo", map[string]any{"ms": 500}, func() {
			w.signal(w.node.Process.Pid, syscall.SIGHUP)
			peers.Wait(w.T, "the upstream to go", func() bool {
				return !slices.ContainsFunc(w.status().Upstreams, func(u upstream) bool { return u.Name == "goes" })
			})
		}))
		if o := callers[0].Call(w.Context(), "goes__echo", nil); o.End != history.Error {
			w.Errorf("a tool of an upstream that has gone: %s %q", o.End, o.Text)
		}
		w.write(w.head, up{name: "steady"}, goes, stays)
		at := time.Now()
		w.signal(w.node.Process.Pid, syscall.SIGHUP)
		w.recovery = append(w.recovery, w.served(callers[0], "goes").Sub(at))
	}
	if u := w.of("stays"); u.PID != pid {
		w.Errorf("a reload restarted a child that it was not about: %+v", u)
	}
}

func terminated(w *world) {
	w.changed = true
	w.start("shutdown_grace: 10s", up{name: "modern", args: []string{"-era", "modern"}}, up{name: "legacy", args: []string{"-era", "legacy"}})
	w.ready("modern")
	w.ready("legacy")
	listener, modern, legacy := w.callerOf(history.Modern), w.several(4), w.several(4)
	opened, ended := make(chan bool, 1), make(chan history.Outcome, 1)
	go func() { ended <- listener.Listen(w.Context(), func() { opened <- true }) }() // ends with the node
	<-opened
	w.want("before", append(w.together(modern, "modern", "echo", nil, nil), w.together(legacy, "legacy", "echo", nil, nil)...))
	w.stop() // steady's callers would go on to call a node that is gone
	w.allDone.Wait()
	outs := make(chan []history.Outcome, 2)
	go func() { outs <- w.together(modern, "modern", "echo", map[string]any{"ms": 800}, nil) }()
	go func() { outs <- w.together(legacy, "legacy", "echo", map[string]any{"ms": 800}, nil) }()
	peers.Wait(w.T, "the calls to begin", func() bool { return len(w.noted("modern", "call"))+len(w.noted("legacy", "call")) == 16 })
	at := time.Now()
	w.signal(w.node.Process.Pid, syscall.SIGTERM)
	w.want("in flight at SIGTERM", append(<-outs, <-outs...))
	if o := <-ended; o.End != history.Reply {
		w.Errorf("the subscription ended with %s %q, not with its result", o.End, o.Class)
	}
	if err := w.node.Wait(); err != nil {
		w.Errorf("the node ended with %v", err)
	}
	w.note("with calls of 0.8 s in flight the node was gone after %v", time.Since(at).Round(time.Millisecond))
	w.beyondGrace()
}

// beyondGrace is the same with calls that take longer than the grace, on a node of its own.
func (w *world) beyondGrace() {
	x := w.another()
	x.start("shutdown_grace: 500ms", up{name: "up"})
	callers := x.several(4)
	x.stop()
	x.allDone.Wait()
	at := time.Now()
	outs := x.together(callers, "up", "echo", map[string]any{"ms": 60_000}, func() {
		at = time.Now()
		x.signal(x.node.Process.Pid, syscall.SIGTERM)
	})
	for _, o := range outs {
		if o.End != history.Error {
			w.Errorf("a call that outlasts the grace ended with %s %q", o.End, o.Class)
		}
		w.detection = append(w.detection, o.At.Sub(at)-500*time.Millisecond)
	}
	if err := x.node.Wait(); err != nil {
		w.Errorf("the node ended with %v", err)
	}
	w.note("with calls of 60 s and a grace of 0.5 s it was gone after %v; detection is from the end of the grace to the calls' errors", time.Since(at).Round(time.Millisecond))
	x.end()
}

func everythingHangs(w *world) {
	w.changed = true
	w.start("", up{name: "modern", args: []string{"-era", "modern"}}, up{name: "legacy", args: []string{"-era", "legacy"}}, up{name: "remote", url: "http://" + w.remote("remote", "-face", "silent") + "/mcp", options: "start_timeout: 60s"})
	w.stop() // of steady: it hangs too
	w.allDone.Wait()
	callers := w.several(6)
	ctx, leave := context.WithCancel(w.Context())
	defer leave()
	var inFlight sync.WaitGroup
	var pids []int
	for i, name := range []string{"steady", "modern", "legacy"} {
		pid := w.ready(name).PID
		pids = append(pids, pid)
		w.freeze(pid)
		for _, c := range callers[2*i : 2*i+2] {
			inFlight.Go(func() { c.Call(ctx, name+"__echo", nil) })
		}
	}
	peers.Wait(w.T, "the calls to be in flight", func() bool { return w.status().Calls >= 6 })
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for _, path := range []string{"/livez", "/readyz", "/startupz", "/healthz", "/admin/v1/status"} {
		for range w.rounds(5, 200) {
			at := time.Now()
			res, err := client.Get(w.admin + path)
			if err != nil {
				w.Fatal(err)
			}
			line, err := bufio.NewReader(res.Body).ReadString('\n')
			_ = res.Body.Close()
			took := time.Since(at)
			w.detection = append(w.detection, took)
			if err != nil || !strings.HasPrefix(line, "{") {
				w.Errorf("%s: %v %q", path, err, line)
			}
		}
	}
	w.note("detection is the time of a health check; the longest was %v", round(quantile(w.detection, 1)))
	for _, pid := range pids {
		w.signal(pid, syscall.SIGCONT)
	}
	inFlight.Wait()
	leave()
}
