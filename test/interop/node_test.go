// Package interop runs a real node in front of the official servers from npm, and
// calls it with our client and with the official inspector.
package interop

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/mcp/mcptest/wirecheck"
	"github.com/fairlead-mcp/fairlead/mcp/streamhttp"
	"github.com/fairlead-mcp/fairlead/test/internal/peers"
)

// node is a running `fairlead serve` in front of the three official servers.
type node struct {
	url   string // without a path
	admin string
	files string // what server-filesystem may read
	bin   string
}

func startNode(t *testing.T) *node {
	t.Helper()
	n := &node{files: t.TempDir(), bin: peers.Build(t, "cmd/fairlead")}
	if err := os.WriteFile(filepath.Join(n.files, "note.txt"), []byte("a note for the test"), 0o600); err != nil {
		t.Fatal(err)
	}
	type server struct {
		Command string            `json:"command"`
		Args    []string          `json:"args"`
		Env     map[string]string `json:"env,omitempty"`
	}
	official := func(pkg string, args ...string) (s server) {
		args = append([]string{peers.Script("@modelcontextprotocol/"+pkg, "dist/index.js")}, args...)
		s.Command, s.Args, s.Env = peers.WrapChild(t, peers.Node(), args...)
		return s
	}
	memory := official("server-memory")
	memory.Env["MEMORY_FILE_PATH"] = filepath.Join(t.TempDir(), "memory.jsonl")
	config, err := json.Marshal(map[string]any{"mcpServers": map[string]server{
		"everything": official("server-everything"),
		"filesystem": official("server-filesystem", n.files),
		"memory":     memory,
	}})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "mcp.json")
	if err := os.WriteFile(path, config, 0o600); err != nil {
		t.Fatal(err)
	}
	addr, admin := peers.FreeAddr(t), peers.FreeAddr(t)
	n.url, n.admin = "http://"+peers.Front(t, addr, wirecheck.Server), "http://"+admin
	peers.Start(t, exec.Command(n.bin, "serve", "--mcp-servers", path, "--yes", "--listen", addr, "--admin", admin, "--data", t.TempDir()))
	peers.WaitHTTP(t, n.admin+"/readyz", http.StatusOK)
	return n
}

func (n *node) client(t *testing.T, path string, era streamhttp.Era) *mcp.Client {
	t.Helper()
	h := streamhttp.NewClient(n.url+path, &streamhttp.ClientOptions{Era: era})
	t.Cleanup(func() { _ = h.Close(context.Background()) })
	return mcp.NewClient("interop", "1", h, nil)
}

func toolNames(t *testing.T, c *mcp.Client) []string {
	t.Helper()
	tools, err := c.ListTools(t.Context())
	if err != nil {
		t.Fatalf("ListTools: %v", err)
	}
	var names []string
	for _, tool := range tools {
		names = append(names, tool.Name)
	}
	return names
}

// text is the text of a result's first content.
func text(t *testing.T, res *mcp.ToolResult, err error) string {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	if len(res.Content) == 0 {
		t.Fatal("result has no content")
	}
	c, ok := res.Content[0].(*mcp.TextContent)
	if !ok {
		t.Fatalf("first content is %T, want text", res.Content[0])
	}
	return c.Text
}

func TestOfficialServers(t *testing.T) {
	peers.Need(t)
	n := startNode(t)
	for _, era := range []streamhttp.Era{streamhttp.EraModern, streamhttp.EraLegacy} {
		t.Run(fmt.Sprint(era), func(t *testing.T) {
			c := n.client(t, "/mcp", era)
			peers.Wait(t, "the tools of all three servers", func() bool {
				names := toolNames(t, c)
				return slices.Contains(names, "everything__echo") && slices.Contains(names, "filesystem__read_text_file") && slices.Contains(names, "memory__create_entities")
			})

			res, err := c.CallTool(t.Context(), "everything__echo", map[string]any{"message": "through the node"}, nil)
			if got := text(t, res, err); got != "Echo: through the node" {
				t.Errorf("echo says %q", got)
			}
			res, err = c.CallTool(t.Context(), "filesystem__read_text_file", map[string]any{"path": filepath.Join(n.files, "note.txt")}, nil)
			if got := text(t, res, err); got != "a note for the test" {
				t.Errorf("the file says %q", got)
			}
			entity := map[string]any{"name": "Fairlead " + fmt.Sprint(era), "entityType": "program", "observations": []string{"guides lines"}}
			if _, err := c.CallTool(t.Context(), "memory__create_entities", map[string]any{"entities": []any{entity}}, nil); err != nil {
				t.Fatal(err)
			}
			res, err = c.CallTool(t.Context(), "memory__search_nodes", map[string]any{"query": "Fairlead"}, nil)
			if got := text(t, res, err); !strings.Contains(got, "guides lines") {
				t.Errorf("memory says %q", got)
			}

			var progress []float64
			_, err = c.CallTool(t.Context(), "everything__trigger-long-running-operation", map[string]any{"duration": 1, "steps": 4},
				&mcp.CallOptions{Progress: func(p mcp.Progress) { progress = append(progress, p.Progress) }})
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(progress, []float64{1, 2, 3, 4}) {
				t.Errorf("progress arrives as %v, want 1 to 4", progress)
			}
		})
	}
}

func TestResourceUpdates(t *testing.T) {
	peers.Need(t)
	n := startNode(t)
	c := n.client(t, "/mcp/everything", streamhttp.EraModern)
	const uri = "demo://resource/dynamic/text/1"
	updated := make(chan string, 16)
	sub, err := c.Listen(t.Context(), mcp.NotificationFilter{ResourceSubscriptions: []string{uri}}, func(e mcp.Event) {
		select {
		case updated <- e.URI:
		default:
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	defer sub.Close()
	if _, err := c.CallTool(t.Context(), "toggle-subscriber-updates", nil, nil); err != nil {
		t.Fatal(err)
	}
	select {
	case got := <-updated:
		if got != uri {
			t.Errorf("update of %q, want %q", got, uri)
		}
	case <-time.After(30 * time.Second):
		t.Fatal("no update arrived in 30 s")
	}
}

// inspect runs the official inspector's command line. It knows no path but /mcp.
func inspect(t *testing.T, base string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	all := append([]string{peers.Script("@modelcontextprotocol/inspector-cli", "build/index.js"), base + "/mcp", "--transport", "http"}, args...)
	out, err := peers.NodeCommand(ctx, all...).CombinedOutput()
	if err != nil {
		t.Fatalf("inspector %v: %v\n%s", args, err, out)
	}
	return string(out)
}

// TestInspectorServer drives the inspector against our server itself.
func TestInspectorServer(t *testing.T) {
	peers.Need(t)
	addr := peers.FreeAddr(t)
	peers.Start(t, exec.Command(peers.Build(t, "examples/echo"), "-addr", addr))
	peers.WaitListen(t, addr)
	if out := inspect(t, "http://"+addr, "--method", "tools/list"); !strings.Contains(out, `"add"`) {
		t.Errorf("tools/list lacks add:\n%s", out)
	}
	if out := inspect(t, "http://"+addr, "--method", "tools/call", "--tool-name", "add", "--tool-arg", "a=2", "--tool-arg", "b=3"); !strings.Contains(out, `"sum": 5`) {
		t.Errorf("add says:\n%s", out)
	}
}

// TestInspector drives the inspector against a node in front of the official servers.
func TestInspector(t *testing.T) {
	peers.Need(t)
	n := startNode(t)
	c := n.client(t, "/mcp", streamhttp.EraModern)
	peers.Wait(t, "the tools", func() bool { return slices.Contains(toolNames(t, c), "everything__echo") })
	if out := inspect(t, n.url, "--method", "tools/list"); !strings.Contains(out, `"everything__get-sum"`) {
		t.Errorf("tools/list lacks everything__get-sum:\n%s", out)
	}
	if out := inspect(t, n.url, "--method", "tools/call", "--tool-name", "everything__echo", "--tool-arg", "message=inspected"); !strings.Contains(out, "Echo: inspected") {
		t.Errorf("echo says:\n%s", out)
	}
	if out := inspect(t, n.url, "--method", "resources/list"); !strings.Contains(out, "demo://resource") {
		t.Errorf("resources/list says:\n%s", out)
	}
}
