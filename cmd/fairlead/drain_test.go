package main

import (
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/mcp/streamhttp"
)

// waiting starts a call that waits for a file and returns once it runs. Its end
// comes on the channel.
func waiting(t *testing.T, c *mcp.Client, file string) <-chan error {
	t.Helper()
	running, ended := make(chan struct{}, 1), make(chan error, 1)
	go func() { // ends with the call
		res, err := c.CallTool(t.Context(), "one__wait", text{file}, &mcp.CallOptions{Progress: func(mcp.Progress) {
			select {
			case running <- struct{}{}:
			default:
			}
		}})
		if err == nil && res.Text() != "done" {
			t.Errorf("a call that waited: %v", res)
		}
		ended <- err
	}()
	select {
	case <-running:
	case err := <-ended:
		t.Fatalf("a call that should wait: %v", err)
	}
	return ended
}

// TestDrainUnderLoad: SIGTERM, as fault F28 has it, behind a balancer that stops
// sending when the node says that it is not ready. No call is lost, those that run
// are answered within the grace, streams get their completion, and the exit code is 0.
func TestDrainUnderLoad(t *testing.T) {
	p := start(t, "shutdown_delay: 1s", "shutdown_grace: 60s")
	file := filepath.Join(p.dir, "file")
	var calls []<-chan error
	for _, era := range eras() {
		for range 4 {
			calls = append(calls, waiting(t, p.client(t, "", era, nil), file))
		}
	}
	sub, err := p.client(t, "", streamhttp.EraModern, nil).Listen(t.Context(), mcp.NotificationFilter{ToolsListChanged: true}, func(mcp.Event) {})
	if err != nil {
		t.Fatal(err)
	}
	l := startLoad(t, p.endpoint, 16)
	p.signal(t, syscall.SIGTERM)
	eventually(t, "readyz to say 503", func() bool { return p.status("/readyz") == http.StatusServiceUnavailable })
	l.paused.Store(true)
	l.running.Wait()
	<-sub.Done()
	if err := sub.Err(); err != nil {
		t.Errorf("the stream ends with %v, want its completion", err)
	}
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, ended := range calls {
		if err := <-ended; err != nil {
			t.Errorf("a call that ran: %v", err)
		}
	}
	if code := p.exit(t); code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
	l.none(t)
	if n := l.refused.Load(); n != 0 {
		t.Errorf("%d calls found no listener before the balancer had noticed", n)
	}
}

// TestDrainWithoutBalancer: clients that go on calling find the listener gone at
// some point, and only that: a request that has reached the node is answered.
func TestDrainWithoutBalancer(t *testing.T) {
	p := start(t)
	l := startLoad(t, p.endpoint, 16)
	p.signal(t, syscall.SIGTERM)
	l.running.Wait()
	if code := p.exit(t); code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
	l.none(t)
	if n := l.refused.Load(); n != 16 {
		t.Errorf("%d clients have found the listener gone, want all 16", n)
	}
}

// TestLoadNotices is the broken twin: calls of a node that is killed are lost.
func TestLoadNotices(t *testing.T) {
	p := start(t)
	l := startLoad(t, p.endpoint, 16)
	p.signal(t, syscall.SIGKILL)
	l.running.Wait()
	if len(l.lost) == 0 {
		t.Error("no call is lost with a killed node: the load does not notice")
	}
}

// TestSecondSignal: the second SIGTERM ends at once what the first would wait for.
func TestSecondSignal(t *testing.T) {
	p := start(t, "shutdown_delay: 1h", "shutdown_grace: 1h")
	var calls []<-chan error
	for _, era := range eras() {
		calls = append(calls, waiting(t, p.client(t, "", era, nil), "/nowhere"))
	}
	p.signal(t, syscall.SIGTERM)
	eventually(t, "readyz to say 503", func() bool { return p.status("/readyz") == http.StatusServiceUnavailable })
	p.signal(t, syscall.SIGTERM)
	for _, ended := range calls {
		if err := <-ended; !mcp.IsWireError(err) {
			t.Errorf("a call that ran ends with %v, want an error that the node has sent", err)
		}
	}
	if code := p.exit(t); code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
}

// TestKeptConnections: while calls finish, a client that has kept a connection is
// answered on it, once, and asked to leave.
func TestKeptConnections(t *testing.T) {
	p := start(t)
	file := filepath.Join(p.dir, "file")
	ended := waiting(t, p.client(t, "", streamhttp.EraModern, nil), file)
	var kept []*caller
	for _, era := range eras() {
		c := &caller{host: strings.TrimSuffix(strings.TrimPrefix(p.endpoint, "http://"), "/mcp"), era: era}
		defer c.close()
		if err := c.call("before"); err != nil || c.conn == nil {
			t.Fatalf("%s: %v, connection kept: %v", era, err, c.conn != nil)
		}
		kept = append(kept, c)
	}
	p.signal(t, syscall.SIGTERM)
	eventually(t, "the listener to close", func() bool {
		conn, err := net.Dial("tcp", kept[0].host)
		if err == nil {
			_ = conn.Close()
		}
		return err != nil
	})
	for _, c := range kept {
		if err := c.call("after"); err != nil {
			t.Errorf("%s: a call on a kept connection: %v", c.era, err)
		}
		if c.conn != nil {
			t.Errorf("%s: the client was not asked to leave", c.era)
		}
	}
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil {
		t.Errorf("the call that ran: %v", err)
	}
	if code := p.exit(t); code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
}
