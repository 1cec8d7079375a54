package http1_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fairlead-mcp/fairlead/mcp/internal/http1"
)

func request(body string) *http1.Request {
	return &http1.Request{Head: []byte("POST /x HTTP/1.1\r\nHost: test\r\n"), Body: []byte(body)}
}

func exchange(ctx context.Context, c *http1.Client, req *http1.Request) (string, error) {
	res, err := c.Do(ctx, req)
	if err != nil {
		return "", err
	}
	defer func() { _ = res.Close() }()
	body, err := res.ReadAll(1 << 20)
	return fmt.Sprint(res.Status, " ", string(body)), err
}

// serve runs a server of net/http that counts its connections.
func serve(t *testing.T, h http.HandlerFunc) (srv *httptest.Server, opened *atomic.Int64, closed chan struct{}) {
	t.Helper()
	opened, closed = new(atomic.Int64), make(chan struct{}, 100)
	srv = httptest.NewUnstartedServer(h)
	srv.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		switch s {
		case http.StateNew:
			opened.Add(1)
		case http.StateClosed:
			closed <- struct{}{}
		}
	}
	t.Cleanup(srv.Close)
	return srv, opened, closed
}

func client(t *testing.T, addr string, opts *http1.Options) *http1.Client {
	t.Helper()
	c := http1.New(addr, opts)
	t.Cleanup(func() {
		_ = c.Close()
		if open, idle := c.Conns(); idle != 0 || open > 0 && !t.Failed() {
			t.Logf("after Close %d connections are open, %d idle", open, idle)
		}
	})
	return c
}

func echo(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	_, _ = w.Write(body)
}

func TestConnectionsAreKept(t *testing.T) {
	for _, secure := range []bool{false, true} {
		srv, opened, _ := serve(t, echo)
		var opts http1.Options
		if secure {
			srv.StartTLS()
			roots := x509.NewCertPool()
			roots.AddCert(srv.Certificate())
			opts.TLS = &tls.Config{RootCAs: roots, ServerName: "example.com"}
		} else {
			srv.Start()
		}
		c := client(t, srv.Listener.Addr().String(), &opts)
		for _, size := range []int{0, 1, 2047, 2049, 5000, 70_000, 900_000} {
			for range 3 {
				want := strings.Repeat("x", size)
				if got, err := exchange(t.Context(), c, request(want)); err != nil || got != "200 "+want {
					t.Fatalf("TLS %v, %d bytes: %d bytes, %v", secure, size, len(got), err)
				}
			}
		}
		if n := opened.Load(); n != 1 {
			t.Errorf("TLS %v: %d connections for exchanges one after the other", secure, n)
		}
	}
}

func TestHTTP2IsNotOurs(t *testing.T) {
	srv, _, _ := serve(t, func(http.ResponseWriter, *http.Request) { t.Error("something was sent") })
	srv.EnableHTTP2 = true
	srv.StartTLS()
	roots := x509.NewCertPool()
	roots.AddCert(srv.Certificate())
	c := client(t, srv.Listener.Addr().String(), &http1.Options{TLS: &tls.Config{RootCAs: roots, ServerName: "example.com"}})
	if _, err := c.Do(t.Context(), request("x")); !errors.Is(err, http1.ErrHTTP2) {
		t.Errorf("error = %v, want ErrHTTP2", err)
	}
	c = client(t, srv.Listener.Addr().String(), &http1.Options{TLS: &tls.Config{ServerName: "example.com"}})
	if _, err := c.Do(t.Context(), request("x")); err == nil || errors.Is(err, http1.ErrHTTP2) {
		t.Errorf("a certificate of nobody: %v", err)
	}
}

// raw is a server that does with each connection, and each request on it, what do says.
func raw(t *testing.T, do func(conn, request int, c net.Conn)) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	t.Cleanup(func() { _ = ln.Close(); running.Wait() })
	running.Go(func() { // ends with the listener
		for n := 0; ; n++ {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			running.Go(func() { // ends with the connection, which the client closes
				defer c.Close()
				r := bufio.NewReader(c)
				for i := 0; ; i++ {
					req, err := http.ReadRequest(r)
					if err != nil {
						return
					}
					_, _ = io.Copy(io.Discard, req.Body)
					do(n, i, c)
				}
			})
		}
	})
	return ln.Addr().String()
}

const ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

// TestClosedWhileIdle has a server that closes after its answer without a word: the
// next exchange, whatever it is, must not be sent into the void.
func TestClosedWhileIdle(t *testing.T) {
	closed := make(chan struct{})
	addr := raw(t, func(_, _ int, c net.Conn) {
		_, _ = io.WriteString(c, ok)
		_ = c.Close()
		closed <- struct{}{}
	})
	c := client(t, addr, nil)
	for i := range 5 {
		got := make(chan error, 1)
		go func() { _, err := exchange(t.Context(), c, request("x")); got <- err }() // ends with the exchange
		<-closed
		if err := <-got; err != nil {
			t.Fatalf("exchange %d: %v", i, err)
		}
	}
}

// TestNeverTwice has a server that takes the second request of a connection and
// closes without an answer. Only what may be repeated is sent again, once.
func TestNeverTwice(t *testing.T) {
	for _, tt := range []struct {
		repeatable bool
		answer     string // before the end
		want       int64
		fails      bool
	}{
		{false, "", 2, true},
		{true, "", 3, false},
		{true, "HTTP/1.1 2", 2, true}, // something was said: it had begun
	} {
		var seen atomic.Int64
		addr := raw(t, func(_, i int, c net.Conn) {
			seen.Add(1)
			if i == 0 {
				_, _ = io.WriteString(c, ok)
				return
			}
			_, _ = io.WriteString(c, tt.answer)
			_ = c.Close()
		})
		c := client(t, addr, nil)
		if _, err := exchange(t.Context(), c, request("first")); err != nil {
			t.Fatal(err)
		}
		req := request("second")
		req.Repeatable = tt.repeatable
		_, err := exchange(t.Context(), c, req)
		if (err != nil) != tt.fails || seen.Load() != tt.want {
			t.Errorf("repeatable %v, answer %q: %v after %d requests, want %d", tt.repeatable, tt.answer, err, seen.Load(), tt.want)
		}
	}
}

func TestBrokenResponsesAreNotReused(t *testing.T) {
	for name, answer := range map[string]func(c net.Conn){
		"half": func(c net.Conn) { _, _ = io.WriteString(c, ok[:len(ok)-1]); _ = c.Close() },
		"reset": func(c net.Conn) {
			_, _ = io.WriteString(c, ok[:len(ok)-1])
			_ = c.(*net.TCPConn).SetLinger(0)
			_ = c.Close()
		},
		"garbage":  func(c net.Conn) { _, _ = io.WriteString(c, "hello there\r\n\r\n") },
		"two":      func(c net.Conn) { _, _ = io.WriteString(c, ok+ok) },
		"too long": func(c net.Conn) { _, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nA: "+strings.Repeat("x", 300<<10)) },
	} {
		var conns atomic.Int64
		addr := raw(t, func(conn, _ int, c net.Conn) {
			conns.Store(int64(conn))
			if conn == 0 {
				answer(c)
				return
			}
			_, _ = io.WriteString(c, ok)
		})
		c := client(t, addr, nil)
		if _, err := exchange(t.Context(), c, request("x")); (err == nil) != (name == "two") {
			t.Errorf("%s: %v", name, err)
		}
		if got, err := exchange(t.Context(), c, request("x")); err != nil || got != "200 ok" || conns.Load() == 0 {
			t.Errorf("%s: the next exchange: %q, %v, on connection %d", name, got, err, conns.Load())
		}
	}
}

// TestCancel holds that the end of the context closes the connection, in whatever state.
func TestCancel(t *testing.T) {
	for name, answer := range map[string]string{"silent": "", "in the head": ok[:20], "in the body": ok[:len(ok)-1]} {
		asked := make(chan net.Conn, 1)
		addr := raw(t, func(_, _ int, c net.Conn) {
			_, _ = io.WriteString(c, answer)
			asked <- c // its next read ends when the client closes, which ends the server
		})
		c := client(t, addr, nil)
		ctx, cancel := context.WithCancelCause(t.Context())
		why := errors.New("why")
		got := make(chan error, 1)
		go func() { _, err := exchange(ctx, c, request("x")); got <- err }() // ends with cancel
		<-asked
		cancel(why)
		if err := <-got; err == nil || name != "in the body" && !errors.Is(err, why) {
			t.Errorf("%s: %v", name, err)
		}
		if open, _ := c.Conns(); open != 0 {
			t.Errorf("%s: %d connections are open", name, open)
		}
	}
}

func TestClose(t *testing.T) {
	asked := make(chan struct{})
	addr := raw(t, func(_, i int, c net.Conn) { asked <- struct{}{} })
	c := http1.New(addr, &http1.Options{MaxConns: 1})
	got := make(chan error, 2)
	for range 2 { // one is on its way, one waits for a connection
		go func() { _, err := exchange(t.Context(), c, request("x")); got <- err }() // ends with Close
	}
	<-asked
	_ = c.Close()
	for range 2 {
		if err := <-got; err == nil {
			t.Error("an exchange has survived Close")
		}
	}
	if _, err := exchange(t.Context(), c, request("x")); !errors.Is(err, http1.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
	if open, idle := c.Conns(); open != 0 || idle != 0 {
		t.Errorf("after Close: %d connections, %d idle", open, idle)
	}
}

func TestMaxConns(t *testing.T) {
	var now, most atomic.Int64
	gate := make(chan struct{})
	srv, _, _ := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Beside") != "" {
			return
		}
		most.Store(max(most.Load(), now.Add(1)))
		<-gate
		now.Add(-1)
	})
	srv.Start()
	c := client(t, srv.Listener.Addr().String(), &http1.Options{MaxConns: 3, MaxIdle: 3})
	done := make(chan error, 20)
	for range 20 {
		go func() { _, err := exchange(t.Context(), c, request("x")); done <- err }() // ends when the gate opens
	}
	for range 3 {
		gate <- struct{}{} // three are in
	}
	beside := request("x")
	beside.Head, beside.Beside = append(beside.Head, "Beside: x\r\n"...), true
	if _, err := exchange(t.Context(), c, beside); err != nil {
		t.Errorf("beside the others: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for now.Load() < 3 { // until the places are taken again
		time.Sleep(time.Millisecond)
	}
	if _, err := exchange(ctx, c, request("x")); !errors.Is(err, context.Canceled) {
		t.Errorf("who waits and leaves: %v", err)
	}
	close(gate)
	for range 20 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	if n := most.Load(); n != 3 {
		t.Errorf("%d exchanges at once, want 3", n)
	}
	if open, idle := c.Conns(); idle > 3 || open > 4 {
		t.Errorf("%d connections are open, %d idle", open, idle)
	}
}

func TestIdleTimeout(t *testing.T) {
	srv, _, closed := serve(t, echo)
	srv.Start()
	c := client(t, srv.Listener.Addr().String(), &http1.Options{IdleTimeout: 10 * time.Millisecond})
	if _, err := exchange(t.Context(), c, request("x")); err != nil {
		t.Fatal(err)
	}
	<-closed
	if _, err := exchange(t.Context(), c, request("x")); err != nil {
		t.Fatal(err)
	}
	<-closed
}

// TestEarlyAnswer has a server that refuses a body before it has read it.
func TestEarlyAnswer(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	go func() { // ends with its one connection
		c, err := ln.Accept()
		if err != nil {
			return
		}
		_, _ = io.WriteString(c, "HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno")
		_ = c.(*net.TCPConn).CloseWrite()
		_, _ = io.CopyN(io.Discard, c, 100)
		_ = c.Close() // with much unread: a reset
	}()
	c := client(t, ln.Addr().String(), nil)
	got, err := exchange(t.Context(), c, request(strings.Repeat("x", 16<<20)))
	if got != "413 no" && err == nil {
		t.Errorf("got %.20q, %v; want the answer, or an error if the reset was faster", got, err)
	}
	if _, idle := c.Conns(); idle != 0 {
		t.Error("the connection is kept")
	}
}

// TestStream reads a body while it comes, and interim responses before it.
func TestStream(t *testing.T) {
	streams := make(chan chan string, 1)
	srv, opened, _ := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Link", "</a>; rel=preload")
		w.WriteHeader(http.StatusEarlyHints)
		w.Header().Set("Content-Type", "text/event-stream")
		w.Header().Set("Trailer", "X-End")
		w.WriteHeader(200)
		_ = http.NewResponseController(w).Flush()
		for text := range <-streams {
			_, _ = io.WriteString(w, text)
			_ = http.NewResponseController(w).Flush()
		}
		w.Header().Set("X-End", "yes")
	})
	srv.Start()
	c := client(t, srv.Listener.Addr().String(), nil)
	for range 2 {
		next := make(chan string)
		streams <- next
		res, err := c.Do(t.Context(), request("x"))
		if err != nil {
			t.Fatal(err)
		}
		if string(res.Get("content-type")) != "text/event-stream" {
			t.Errorf("Content-Type = %s", res.Get("content-type"))
		}
		buf := make([]byte, 64)
		for _, text := range []string{"one", "two", "three"} {
			next <- text
			if n, err := res.Read(buf); err != nil || string(buf[:n]) != text {
				t.Fatalf("%q, %v; want %q", buf[:n], err, text)
			}
		}
		// The end is not sent yet: who closes now does not keep the connection.
		if res.AtEnd() {
			t.Error("at the end before it came")
		}
		close(next)
		if n, err := res.Read(buf); n != 0 || err != io.EOF {
			t.Errorf("the end: %q, %v", buf[:n], err)
		}
		_ = res.Close()
	}
	if opened.Load() != 1 {
		t.Errorf("%d connections", opened.Load())
	}
}

func TestAppendField(t *testing.T) {
	for _, bad := range [][2]string{
		{"A", "b\r\nC: d"},
		{"A", "b\x00"},
		{"A\r\n", "b"},
		{"", "b"},
		{"A b", "c"},
		{"A:", "c"},
		{"Content-Length", "1"},
		{"transfer-encoding", "chunked"},
		{"Host", "x"},
		{"Connection", "close"},
		{"Expect", "100-continue"},
	} {
		if dst, ok := http1.AppendField(nil, bad[0], bad[1]); ok || len(dst) > 0 {
			t.Errorf("AppendField(%q, %q) = %q", bad[0], bad[1], dst)
		}
	}
	if dst, ok := http1.AppendField(nil, "Mcp-Name", "é\tx"); !ok || string(dst) != "Mcp-Name: é\tx\r\n" {
		t.Errorf("AppendField = %q, %v", dst, ok)
	}
}
