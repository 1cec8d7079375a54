package daemon_test

import (
	"context"
	"errors"
	"io/fs"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/fairlead-mcp/fairlead/internal/config"
	"github.com/fairlead-mcp/fairlead/internal/daemon"
	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/mcp/jsonrpc"
	"github.com/fairlead-mcp/fairlead/mcp/streamhttp"
)

func TestRunAndStop(t *testing.T) {
	cfg := settings(t)
	n := start(t, cfg).recorded(t)
	for _, c := range []struct {
		name, path, tool string
		era              streamhttp.Era
	}{
		{"all, stateless", "", "one__echo", streamhttp.EraModern},
		{"all, in a session", "", "one__echo", streamhttp.EraLegacy},
		{"one, stateless", "/one", "echo", streamhttp.EraModern},
		{"one, in a session", "/one", "echo", streamhttp.EraLegacy},
	} {
		t.Run(c.name, func(t *testing.T) {
			res, err := n.client(t, c.path, c.era).CallTool(t.Context(), c.tool, text{"hello"}, nil)
			if err != nil {
				t.Fatal(err)
			}
			if res.Text() != "hello" {
				t.Errorf("got %q, want hello", res.Text())
			}
		})
	}
	if info, err := os.Stat(cfg.AdminSocket); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("admin socket: %v, %v; want mode 0600", info.Mode(), err)
	}
	pid := n.pid(t, 0)
	n.Stop()
	<-n.done
	if n.err != nil {
		t.Errorf("Run: %v", n.err)
	}
	if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("the child is still there: kill(0) says %v", err)
	}
	if _, err := os.Stat(cfg.AdminSocket); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the admin socket is still there: %v", err)
	}
}

func TestKilledChild(t *testing.T) {
	n := start(t, settings(t)).recorded(t)
	c := n.client(t, "", streamhttp.EraModern)
	const calls = 20
	running, ended := make(chan struct{}, calls), make(chan error, calls)
	old := n.pid(t, 0)
	for range calls {
		go func() { // ends with the child
			_, err := c.CallTool(t.Context(), "one__wait", text{"/nowhere"}, &mcp.CallOptions{Progress: func(mcp.Progress) { running <- struct{}{} }})
			ended <- err
		}()
	}
	for range calls {
		<-running
	}
	if err := syscall.Kill(old, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	for range calls {
		err := <-ended
		var e *mcp.Error
		if !errors.As(err, &e) {
			t.Fatalf("a running call ends with %v, want an error of the node", err)
		}
		if class, _ := jsonrpc.Unquote(jsonrpc.Get(e.Data, "class")); class != "upstream_unavailable" {
			t.Errorf("a running call ends with %v and data %s, want class upstream_unavailable", e, e.Data)
		}
	}
	if res, err := c.CallTool(t.Context(), "one__echo", text{"again"}, &mcp.CallOptions{Timeout: 10 * time.Second}); err != nil || res.Text() != "again" {
		t.Fatalf("the next call: %v, %v", res, err)
	}
	if pid := n.pid(t, old); pid == old {
		t.Errorf("the child still is %d", pid)
	}
	// A zombie would still answer signal 0.
	if err := syscall.Kill(old, 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("the killed child was not reaped: kill(0) says %v", err)
	}
}

func TestDrain(t *testing.T) {
	cfg := settings(t)
	n := start(t, cfg)
	c := n.client(t, "", streamhttp.EraModern)
	open := filepath.Join(cfg.Data, "open")
	running, ended := make(chan struct{}, 1), make(chan error, 1)
	go func() { // ends when the file is there
		res, err := c.CallTool(t.Context(), "one__wait", text{open}, &mcp.CallOptions{Progress: func(mcp.Progress) { running <- struct{}{} }})
		if err == nil && res.Text() != "done" {
			err = errors.New(res.Text())
		}
		ended <- err
	}()
	<-running
	n.Stop()
	eventually(t, "readyz to say 503", func() bool { return statusOf(t, n.Admin+"/readyz", nil) == http.StatusServiceUnavailable })
	eventually(t, "the listener to close", func() bool {
		conn, err := net.Dial("tcp", strings.TrimSuffix(strings.TrimPrefix(n.Endpoint, "http://"), "/mcp"))
		if err == nil {
			_ = conn.Close()
		}
		return err != nil
	})
	if err := os.WriteFile(open, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil {
		t.Errorf("the running call: %v, want it to finish", err)
	}
	<-n.done
	if n.err != nil {
		t.Errorf("Run: %v", n.err)
	}
}

// TestGraceOver: a call that outlives the grace, or a second signal, gets an error
// and not silence, and the node ends.
func TestGraceOver(t *testing.T) {
	for _, era := range []streamhttp.Era{streamhttp.EraModern, streamhttp.EraLegacy} {
		for _, c := range []struct {
			name  string
			grace time.Duration
			end   func(*node)
		}{
			{"grace over", 50 * time.Millisecond, func(n *node) { n.Stop() }},
			{"killed", time.Hour, func(n *node) { n.Stop(); n.Kill() }},
		} {
			t.Run(c.name+", "+string(era), func(t *testing.T) {
				cfg := settings(t)
				cfg.ShutdownGrace = c.grace
				n := start(t, cfg)
				client := n.client(t, "", era)
				running, ended := make(chan struct{}, 1), make(chan error, 1)
				go func() { // ends with the node
					_, err := client.CallTool(t.Context(), "one__wait", text{"/nowhere"}, &mcp.CallOptions{Progress: func(mcp.Progress) { running <- struct{}{} }})
					ended <- err
				}()
				<-running
				c.end(n)
				if err := <-ended; !mcp.IsWireError(err) {
					t.Errorf("the running call ends with %v, want an error that the node has sent", err)
				}
				<-n.done
				if n.err != nil {
					t.Errorf("Run: %v", n.err)
				}
			})
		}
	}
}

func TestStreamsComplete(t *testing.T) {
	n := start(t, settings(t))
	sub, err := n.client(t, "", streamhttp.EraModern).Listen(t.Context(), mcp.NotificationFilter{ToolsListChanged: true}, func(mcp.Event) {})
	if err != nil {
		t.Fatal(err)
	}
	n.Stop()
	<-sub.Done()
	if err := sub.Err(); err != nil {
		t.Errorf("the stream ends with %v, want its completion", err)
	}
	<-n.done
}

func TestContextEndsRun(t *testing.T) {
	cfg := settings(t)
	ctx, cancel := context.WithCancel(t.Context())
	d, err := daemon.New(cfg, &daemon.Options{OnReady: func(daemon.Addresses) { cancel() }})
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Run(ctx); err != nil {
		t.Errorf("Run: %v", err)
	}
	if err := d.Run(ctx); err == nil {
		t.Error("a node ran twice")
	}
}

func TestRefusesToStart(t *testing.T) {
	t.Run("open to other machines", func(t *testing.T) {
		for _, addr := range []string{"0.0.0.0:0", ":0", "192.0.2.1:0"} {
			cfg := settings(t)
			cfg.Listen = addr
			if _, err := daemon.New(cfg, nil); err == nil || !strings.Contains(err.Error(), "auth.tokens") {
				t.Errorf("listen on %s: %v, want an error that names auth.tokens", addr, err)
			}
		}
	})
	t.Run("port in use", func(t *testing.T) {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		for _, key := range []string{"listen", "admin"} {
			cfg := settings(t)
			*map[string]*string{"listen": &cfg.Listen, "admin": &cfg.Admin}[key] = ln.Addr().String()
			refuses(t, cfg, key)
		}
	})
	t.Run("data directory in use", func(t *testing.T) {
		cfg := settings(t)
		start(t, cfg)
		refuses(t, cfg, "admin_socket")
	})
}

// refuses expects that a node of cfg finds the address under key in use.
func refuses(t *testing.T, cfg *config.Config, key string) {
	t.Helper()
	d, err := daemon.New(cfg, nil)
	if err != nil {
		t.Fatal(err)
	}
	var le *daemon.ListenError
	if err := d.Run(t.Context()); !errors.As(err, &le) || le.Key != key || !le.InUse() {
		t.Errorf("Run: %v, want %s in use", err, key)
	}
}

func TestStaleSocket(t *testing.T) {
	cfg := settings(t)
	ln, err := net.Listen("unix", cfg.AdminSocket)
	if err != nil {
		t.Fatal(err)
	}
	ln.(*net.UnixListener).SetUnlinkOnClose(false)
	_ = ln.Close() // as after kill -9: the file stays, nobody answers
	n := start(t, cfg)
	if _, err := n.admin.Status(t.Context()); err != nil {
		t.Error(err)
	}
}

// statusOf gets url and returns the answer's status.
func statusOf(t *testing.T, url string, header http.Header) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	maps.Copy(req.Header, header)
	if host := header.Get("Host"); host != "" {
		req.Host = host
	}
	transport := &http.Transport{DisableKeepAlives: true}
	res, err := transport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	return res.StatusCode
}
