package interop

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/mcp/mcptest/wirecheck"
	"github.com/fairlead-mcp/fairlead/mcp/streamhttp"
	"github.com/fairlead-mcp/fairlead/test/internal/peers"
)

// asked is a client behind a node that answers with its own name.
func asked(t *testing.T, url, token, name string, era streamhttp.Era) *mcp.Client {
	t.Helper()
	opts := &mcp.ClientOptions{
		OnElicit: func(_ context.Context, p *mcp.ElicitParams) (*mcp.ElicitResult, error) {
			// The form's default of number is a fraction, which the schema of 2025-11-25
			// does not know in answers, though its forms have numbers.
			return &mcp.ElicitResult{Action: mcp.ElicitAccept, Content: mcp.Raw(fmt.Sprintf(`{"name":%q,"number":3}`, name))}, nil
		},
		OnSample: func(_ context.Context, p *mcp.SampleParams) (*mcp.SampleResult, error) {
			return &mcp.SampleResult{SamplingMessage: mcp.SamplingMessage{Role: mcp.RoleAssistant, Content: []mcp.Content{mcp.Text("model of " + name)}}, Model: "m"}, nil
		},
		Roots: []mcp.Root{{URI: "file:///home/" + name, Name: name}},
	}
	h := streamhttp.NewClient(url, &streamhttp.ClientOptions{Era: era, Header: http.Header{"Authorization": {"Bearer " + token}}})
	t.Cleanup(func() { _ = h.Close(context.Background()) })
	return mcp.NewClient("interop", "1", h, opts)
}

// TestOldServerAsksThroughANode puts the official server of an old revision behind
// a node and lets it ask two principals at the same time, in both eras: each gets
// the questions of its own calls and answers for itself.
func TestOldServerAsksThroughANode(t *testing.T) {
	peers.Need(t)
	dir := t.TempDir()
	addr, admin := peers.FreeAddr(t), peers.FreeAddr(t)
	config := filepath.Join(dir, "fairlead.yaml")
	var text strings.Builder
	text.WriteString(fmt.Sprintf("listen: %s\nadmin: %s\ndata: %s\nauth:\n  tokens:\n", addr, admin, dir))
	for _, name := range []string{"alice", "bob"} {
		text.WriteString(fmt.Sprintf("    - {name: %s, hash: \"sha256:%x\"}\n", name, sha256.Sum256([]byte("token-of-"+name))))
	}
	command, args, env := peers.WrapChild(t, peers.Node(), peers.Script("@modelcontextprotocol/server-everything", "dist/index.js"))
	upstream, err := json.Marshal(map[string]any{"command": command, "args": args, "env": env, "instances": "principal"})
	if err != nil {
		t.Fatal(err)
	}
	text.WriteString(fmt.Sprintf("upstreams:\n  everything: %s\n", upstream))
	front := peers.Front(t, addr, wirecheck.Server)
	if err := os.WriteFile(config, []byte(text.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	peers.Start(t, exec.Command(peers.Build(t, "cmd/fairlead"), "serve", "--config", config))
	peers.WaitHTTP(t, "http://"+admin+"/startupz", http.StatusOK)

	var wg sync.WaitGroup
	for _, name := range []string{"alice", "bob"} {
		for _, era := range []streamhttp.Era{streamhttp.EraModern, streamhttp.EraLegacy} {
			c := asked(t, "http://"+front+"/mcp", "token-of-"+name, name, era)
			wg.Go(func() {
				for range 3 {
					for tool, args := range map[string]string{
						"trigger-elicitation-request": `{}`,
						"trigger-sampling-request":    `{"prompt":"who?"}`,
					} {
						res, err := c.CallTool(t.Context(), "everything__"+tool, mcp.Raw(args), nil)
						if err != nil || res.IsError || !strings.Contains(res.Text(), name) {
							t.Errorf("%s, %s, %s: %v, %v", name, era, tool, res, err)
						}
					}
				}
			})
		}
	}
	wg.Wait()
}
