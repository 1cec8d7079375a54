//go:build linux

package streamhttp_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/mcp/mcptest/wirecheck"
	"github.com/fairlead-mcp/fairlead/mcp/streamhttp"
)

// raw is a connection whose client does what it wants.
type raw struct {
	*net.TCPConn
	in   *bufio.Reader
	head *http.Response
}

const listenBody = `{"jsonrpc":"2.0","id":"sub-1","method":"subscriptions/listen","params":{"notifications":{},` + meta + `}}`

func listenText(proto string) string {
	return fmt.Sprintf("POST /mcp %s\r\nHost: localhost\r\nOrigin: http://localhost\r\nContent-Type: application/json\r\nAccept: application/json, text/event-stream\r\n"+
		"MCP-Protocol-Version: 2026-07-28\r\nMcp-Method: subscriptions/listen\r\nContent-Length: %d\r\n\r\n%s", proto, len(listenBody), listenBody)
}

func (e *endpoint) dial(t testing.TB, send string) *raw {
	t.Helper()
	c, err := net.Dial("tcp", strings.TrimPrefix(e.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	tapped := e.tap.Conn(c, wirecheck.Client)
	r := &raw{TCPConn: c.(*net.TCPConn), in: bufio.NewReader(tapped)}
	if _, err := io.WriteString(tapped, send); err != nil {
		t.Fatal(err)
	}
	return r
}

// parked opens a stream and reads its header, after which it is parked.
func (e *endpoint) parked(t testing.TB) *raw {
	t.Helper()
	r := e.dial(t, listenText("HTTP/1.1"))
	var err error
	if r.head, err = http.ReadResponse(r.in, nil); err != nil {
		t.Fatal(err)
	}
	if r.head.StatusCode != 200 {
		t.Fatalf("got %s", r.head.Status)
	}
	return r
}

// rest reads the body to its end.
func (r *raw) rest() (string, error) {
	b, err := io.ReadAll(r.head.Body)
	return string(b), err
}

// until waits for what nothing tells of.
func until(t testing.TB, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !is(); runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
	}
}

func TestParkedStreamHead(t *testing.T) {
	e := serve(t, nil)
	r := e.parked(t)
	for name, want := range map[string]string{
		"Content-Type": "text/event-stream", "Cache-Control": "no-cache", "X-Accel-Buffering": "no",
		"Access-Control-Allow-Origin": "http://localhost", "Vary": "Origin",
	} {
		if got := r.head.Header.Get(name); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
	if _, err := http.ParseTime(r.head.Header.Get("Date")); err != nil || !r.head.Close || len(r.head.TransferEncoding) != 1 {
		t.Errorf("got %+v", r.head)
	}
}

func TestParkedStreamsHoldNoGoroutine(t *testing.T) {
	e := serve(t, nil)
	before := runtime.NumGoroutine()
	const streams = 200
	for range streams {
		e.parked(t)
	}
	// The accept loop's own, the watcher and what is about to end.
	until(t, "the goroutines of 200 streams end", func() bool { return runtime.NumGoroutine()-before < streams/10 })
	if got := e.handler.Streams(); got != streams {
		t.Errorf("%d streams, want %d", got, streams)
	}
}

func TestParkedStreamCarriesEverything(t *testing.T) {
	e := serve(t, &streamhttp.HandlerOptions{StreamBudget: 16 << 20})
	r := e.parked(t)
	const events = 300
	go func() { // ends with its last event
		for i := range events {
			_ = e.toAll(mcp.NewNotification(mcp.NotificationResourceUpdated,
				fmt.Appendf(nil, `{"uri":"x:%d","pad":%q}`, i, strings.Repeat("p", i*50))))
		}
		for _, s := range e.sinks {
			s.End(mcp.Result{}, nil)
		}
	}()
	all, err := r.rest()
	if err != nil {
		t.Fatal(err)
	}
	got := strings.Split(strings.TrimSuffix(all, "\n\n"), "\n\n")
	if len(got) != events+2 {
		t.Fatalf("%d events, want %d", len(got), events+2)
	}
	for i := range events {
		if want := fmt.Sprintf(`"x:%d"`, i); !strings.Contains(got[i+1], want) || !strings.HasSuffix(got[i+1], "}}") {
			t.Fatalf("event %d is %.120s", i+1, got[i+1])
		}
	}
	if !strings.Contains(got[events+1], `"id":"sub-1","result"`) {
		t.Errorf("the last event is %s", got[events+1])
	}
}

func TestParkedStreamKeepAlive(t *testing.T) {
	e := serve(t, &streamhttp.HandlerOptions{KeepAlive: 20 * time.Millisecond})
	_, next := e.listen(t, t.Context(), "")
	next() // the acknowledgement
	for range 3 {
		if got := next(); got != "" {
			t.Errorf("got %q, want a comment", got)
		}
	}
}

// Each of these clients does what ends a stream.
func TestParkedStreamEnds(t *testing.T) {
	fill := func(t *testing.T, e *endpoint, n int) (err error) {
		t.Helper()
		for i := 0; i < n && err == nil; i++ { // each of something else: the same would be told once
			err = e.toAll(mcp.NewNotification(mcp.NotificationResourceUpdated, fmt.Appendf(nil, `{"uri":"x:%d%s"}`, i, strings.Repeat("u", 32<<10))))
		}
		return err
	}
	for _, tc := range []struct {
		name string
		opts streamhttp.HandlerOptions
		do   func(t *testing.T, e *endpoint, r *raw)
	}{
		{"leaves", streamhttp.HandlerOptions{}, func(_ *testing.T, _ *endpoint, r *raw) { _ = r.Close() }},
		{"resets", streamhttp.HandlerOptions{}, func(_ *testing.T, _ *endpoint, r *raw) { _ = r.SetLinger(0); _ = r.Close() }},
		{"has nothing more to send", streamhttp.HandlerOptions{}, func(_ *testing.T, _ *endpoint, r *raw) { _ = r.CloseWrite() }},
		{"sends another request", streamhttp.HandlerOptions{}, func(_ *testing.T, _ *endpoint, r *raw) {
			_, _ = io.WriteString(r, listenText("HTTP/1.1"))
		}},
		{"stalls within the budget", streamhttp.HandlerOptions{WriteTimeout: 50 * time.Millisecond, StreamBudget: 64 << 20}, func(t *testing.T, e *endpoint, _ *raw) {
			if err := fill(t, e, 300); err != nil && e.handler.Streams() > 0 {
				t.Error(err)
			}
		}},
		{"stalls over the budget", streamhttp.HandlerOptions{}, func(t *testing.T, e *endpoint, r *raw) {
			if err := fill(t, e, 300); err == nil {
				t.Error("the queue has no bound")
			}
			if all, err := r.rest(); err != nil || !strings.Contains(all[strings.LastIndex(all, "data: "):], "reads too slowly") {
				t.Errorf("the stream ends without a reason: %v", err)
			}
		}},
		{"vanishes", streamhttp.HandlerOptions{KeepAlive: 50 * time.Millisecond}, func(t *testing.T, _ *endpoint, r *raw) {
			var err error
			c, _ := r.SyscallConn()
			_ = c.Control(func(fd uintptr) {
				const tcpRepair = 19 // closed in this mode, a socket sends nothing
				err = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, tcpRepair, 1)
			})
			_ = r.Close()
			if err != nil {
				t.Logf("no leave to vanish without a trace: %v", err)
			}
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			e := serve(t, &tc.opts)
			r := e.parked(t)
			tc.do(t, e, r)
			<-e.left
			until(t, "the stream is forgotten", func() bool { return e.handler.Streams() == 0 })
			if err := e.toAll(mcp.NewNotification(mcp.NotificationToolsListChanged, nil)); err == nil {
				t.Error("a stream that has ended took a notification")
			}
			_, _ = r.rest() // the connection is closed
		})
	}
}

func TestListenThenMoreAtOnce(t *testing.T) {
	e := serve(t, nil)
	r := e.dial(t, listenText("HTTP/1.1")+listenText("HTTP/1.1"))
	<-e.left
	if resp, err := http.ReadResponse(r.in, nil); err == nil {
		_, _ = io.Copy(io.Discard, resp.Body) // the connection is closed, after the header or before it
	}
	if len(e.started) != 1 {
		t.Error("a request after the one that keeps the connection was answered")
	}
}

func TestListenInHTTP10(t *testing.T) {
	e := serve(t, nil)
	r := e.dial(t, listenText("HTTP/1.0"))
	resp, err := http.ReadResponse(r.in, nil)
	if err != nil || len(resp.TransferEncoding) != 0 {
		t.Fatalf("got %+v, %v", resp, err)
	}
	if line, _ := bufio.NewReader(resp.Body).ReadString('\n'); line != "event: message\n" {
		t.Errorf("got %q", line)
	}
}

func TestMaxStreams(t *testing.T) {
	e := serve(t, &streamhttp.HandlerOptions{MaxStreams: 1})
	r := e.parked(t)
	if resp, _ := e.listen(t, t.Context(), ""); resp.StatusCode != 503 || resp.Header.Get("Retry-After") == "" {
		t.Errorf("the second stream got %d", resp.StatusCode)
	}
	_ = r.Close()
	<-e.left
	until(t, "the stream is forgotten", func() bool { return e.handler.Streams() == 0 })
	e.parked(t)
}

func TestCloseWithParkedStreams(t *testing.T) {
	e := serve(t, nil)
	const streams = 1000
	open := make([]*raw, streams)
	for i := range open {
		open[i] = e.parked(t)
	}
	if err := e.handler.Close(t.Context()); err != nil {
		t.Error(err)
	}
	for i, r := range open {
		if all, err := r.rest(); err != nil || !strings.Contains(all, `"id":"sub-1","result"`) {
			t.Fatalf("stream %d ended with %v: %s", i, err, all)
		}
	}
}

func TestCloseDoesNotWaitForStalledStreams(t *testing.T) {
	e := serve(t, &streamhttp.HandlerOptions{StreamBudget: 64 << 20})
	r := e.parked(t)
	if err := e.toAll(mcp.NewNotification(mcp.NotificationResourceUpdated, []byte(`{"uri":"x:`+strings.Repeat("u", 16<<20)+`"}`))); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := e.handler.Close(ctx); err == nil {
		t.Error("everything was sent to a client that does not read")
	}
	if _, err := r.rest(); err == nil {
		t.Error("a stream that was cut looks complete")
	}
	if e.handler.Streams() != 0 {
		t.Error("a stream is open after Close")
	}
}

func TestSessionStreamIsParked(t *testing.T) {
	e := serve(t, nil)
	id := e.session(t, "2025-11-25")
	open := func() *raw {
		r := e.dial(t, "GET /mcp HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n"+id+"\r\n\r\n")
		var err error
		if r.head, err = http.ReadResponse(r.in, nil); err != nil || r.head.StatusCode != 200 {
			t.Fatalf("got %+v, %v", r.head, err)
		}
		return r
	}
	before := runtime.NumGoroutine()
	_ = open().Close()
	until(t, "the first stream is forgotten", func() bool { return e.handler.Streams() == 0 })
	r := open()
	until(t, "its goroutine ends", func() bool { return runtime.NumGoroutine() <= before+1 })
	if got := e.do(t, http.MethodDelete, "", id); got.status != 204 {
		t.Errorf("DELETE: got %d", got.status)
	}
	if _, err := r.rest(); err != nil {
		t.Errorf("the stream of a session that ended: %v", err)
	}
}

// The chunks written by hand are what a strict reader takes.
func TestParkedStreamChunks(t *testing.T) {
	e := serve(t, nil)
	r := e.dial(t, listenText("HTTP/1.1"))
	for line := ""; line != "\r\n"; {
		var err error
		if line, err = r.in.ReadString('\n'); err != nil {
			t.Fatal(err)
		}
	}
	if err := e.handler.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(r.in)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasSuffix(string(text), "\r\n0\r\n\r\n") {
		t.Errorf("the end is %q", text[max(0, len(text)-20):])
	}
	if _, err := io.ReadAll(httputil.NewChunkedReader(strings.NewReader(string(text)))); err != nil {
		t.Error(err)
	}
}
