// Package peers holds our library and the node against go-sdk, in both directions
// and both eras. It is a module of its own, so that go-sdk reaches no user of ours.
package peers

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/mcp/stdio"
	"github.com/fairlead-mcp/fairlead/mcp/streamhttp"
)

func build(t *testing.T, dir, pkg string) string {
	t.Helper()
	bin := filepath.Join(t.TempDir(), "program")
	cmd := exec.Command("go", "build", "-o", bin, pkg)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build %s: %v\n%s", pkg, err, out)
	}
	return bin
}

func start(t *testing.T, name string, args ...string) {
	t.Helper()
	cmd := exec.Command(name, args...)
	var out strings.Builder
	cmd.Stderr = &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
		if t.Failed() {
			t.Log(out.String())
		}
	})
}

func freeAddr(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().String()
}

// wait polls until ok: another process has no event to wait for.
func wait(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(30 * time.Second); !ok(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("waited 30 s for %s", what)
		}
	}
}

func listening(addr string) func() bool {
	return func() bool {
		c, err := net.Dial("tcp", addr)
		if err == nil {
			c.Close()
		}
		return err == nil
	}
}

// TestOurClient calls a server on go-sdk with our client.
func TestOurClient(t *testing.T) {
	bin := build(t, ".", "./cmd/server")
	addr := freeAddr(t)
	start(t, bin, "-kind", "gosdk", "-addr", addr)
	wait(t, "the server", listening(addr))
	check := func(t *testing.T, h mcp.Handler) {
		c := mcp.NewClient("ours", "1", h, nil)
		tools, err := c.ListTools(t.Context())
		if err != nil || len(tools) != 2 {
			t.Fatalf("ListTools: %v, %v, want two tools", tools, err)
		}
		sum, err := mcp.CallToolAs[struct {
			Sum float64 `json:"sum"`
		}](t.Context(), c, "add", map[string]any{"a": 2, "b": 3}, nil)
		if err != nil || sum.Sum != 5 {
			t.Errorf("add: %v, %v, want 5", sum, err)
		}
		res, err := c.CallTool(t.Context(), "add", map[string]any{"a": "two"}, nil)
		if err == nil && !res.IsError {
			t.Errorf("add of a string: %+v, want an error", res)
		}
		read, err := c.ReadResource(t.Context(), "test://note", nil)
		if err != nil || len(read.Contents) != 1 || read.Contents[0].Text != "a note" {
			t.Errorf("ReadResource: %+v, %v", read, err)
		}
	}
	for _, era := range []streamhttp.Era{streamhttp.EraAuto, streamhttp.EraModern, streamhttp.EraLegacy} {
		t.Run("http "+fmt.Sprint(era), func(t *testing.T) {
			h := streamhttp.NewClient("http://"+addr+"/mcp", &streamhttp.ClientOptions{Era: era})
			defer h.Close(context.Background())
			check(t, h)
		})
	}
	for _, era := range []stdio.Era{stdio.EraAuto, stdio.EraModern, stdio.EraLegacy} {
		t.Run("stdio "+fmt.Sprint(era), func(t *testing.T) {
			h, err := stdio.Start(t.Context(), exec.Command(bin, "-kind", "gosdk"), &stdio.ClientOptions{Era: era})
			if err != nil {
				t.Fatal(err)
			}
			defer h.Close(context.Background())
			check(t, h)
		})
	}
}

func sdkConnect(t *testing.T, tr sdk.Transport, version string) *sdk.ClientSession {
	t.Helper()
	c := sdk.NewClient(&sdk.Implementation{Name: "go-sdk", Version: "1"}, nil)
	s, err := c.Connect(t.Context(), tr, &sdk.ClientSessionOptions{ProtocolVersion: version})
	if err != nil {
		t.Fatalf("go-sdk connect in %s: %v", version, err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// sdkCheck lists and calls with go-sdk's client in a revision.
func sdkCheck(t *testing.T, s *sdk.ClientSession, version string) {
	t.Helper()
	tools, err := s.ListTools(t.Context(), nil)
	if err != nil || len(tools.Tools) != 2 {
		t.Fatalf("ListTools: %+v, %v, want two tools", tools, err)
	}
	res, err := s.CallTool(t.Context(), &sdk.CallToolParams{Name: "echo", Arguments: map[string]any{"text": "hello"}})
	if err != nil {
		t.Fatalf("CallTool: %v", err)
	}
	var text string
	if len(res.Content) == 1 {
		if c, ok := res.Content[0].(*sdk.TextContent); ok {
			text = c.Text
		}
	}
	structured := "map[text:hello]"
	if version == "2025-03-26" { // had none
		structured = "<nil>"
	}
	if got := fmt.Sprint(res.StructuredContent); text != `{"text":"hello"}` || got != structured || res.IsError {
		t.Errorf("echo: text %s, structured %s, isError %v", text, got, res.IsError)
	}
	res, err = s.CallTool(t.Context(), &sdk.CallToolParams{Name: "add", Arguments: map[string]any{"a": 1}})
	if err != nil || !res.IsError {
		t.Errorf("add without b: %+v, %v, want a tool error", res, err)
	}
	if _, err = s.CallTool(t.Context(), &sdk.CallToolParams{Name: "nothing"}); err == nil {
		t.Error("an unknown tool is no error")
	}
}

// TestTheirClient calls our server with go-sdk's client.
func TestTheirClient(t *testing.T) {
	bin := build(t, ".", "./cmd/server")
	addr := freeAddr(t)
	start(t, bin, "-kind", "fairlead", "-addr", addr)
	wait(t, "the server", listening(addr))
	for _, version := range []string{"2025-03-26", "2025-06-18", "2025-11-25", "2026-07-28"} {
		t.Run("http "+version, func(t *testing.T) {
			sdkCheck(t, sdkConnect(t, &sdk.StreamableClientTransport{Endpoint: "http://" + addr + "/mcp"}, version), version)
		})
		t.Run("stdio "+version, func(t *testing.T) {
			sdkCheck(t, sdkConnect(t, &sdk.CommandTransport{Command: exec.Command(bin, "-kind", "fairlead")}, version), version)
		})
	}
}

// TestThroughNode puts a node between go-sdk's client and a server on go-sdk,
// once as a child and once over HTTP, in both eras of the client.
func TestThroughNode(t *testing.T) {
	bin, fairlead := build(t, ".", "./cmd/server"), build(t, "../..", "./cmd/fairlead")
	remote := freeAddr(t)
	start(t, bin, "-kind", "gosdk", "-addr", remote)
	wait(t, "the remote server", listening(remote))
	file := filepath.Join(t.TempDir(), "mcp.json")
	config := fmt.Sprintf(`{"mcpServers": {"child": {"command": %q, "args": ["-kind", "gosdk"]}, "remote": {"type": "http", "url": "http://%s/mcp"}}}`, bin, remote)
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	addr, admin := freeAddr(t), freeAddr(t)
	start(t, fairlead, "serve", "--mcp-servers", file, "--yes", "--listen", addr, "--admin", admin, "--data", t.TempDir())
	wait(t, "the node", func() bool {
		res, err := http.Get("http://" + admin + "/readyz")
		if err != nil {
			return false
		}
		res.Body.Close()
		return res.StatusCode == http.StatusOK
	})
	for _, version := range []string{"2025-11-25", "2026-07-28"} {
		for _, upstream := range []string{"child", "remote"} {
			t.Run(upstream+" "+version, func(t *testing.T) {
				sdkCheck(t, sdkConnect(t, &sdk.StreamableClientTransport{Endpoint: "http://" + addr + "/mcp/" + upstream}, version), version)
				all := sdkConnect(t, &sdk.StreamableClientTransport{Endpoint: "http://" + addr + "/mcp"}, version)
				res, err := all.CallTool(t.Context(), &sdk.CallToolParams{Name: upstream + "__echo", Arguments: map[string]any{"text": "hello"}})
				if err != nil || fmt.Sprint(res.StructuredContent) != "map[text:hello]" {
					t.Errorf("echo through /mcp: %+v, %v", res, err)
				}
			})
		}
	}
}

// needE2E skips what runs other programs for long.
func needE2E(t *testing.T) {
	t.Helper()
	if os.Getenv("FAIRLEAD_E2E") == "" {
		t.Skip("end-to-end tests run with FAIRLEAD_E2E=1 (make e2e)")
	}
}
