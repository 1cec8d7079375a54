package interop

import (
	"context"
	"encoding/json"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/mcp/stdio"
	"github.com/fairlead-mcp/fairlead/mcp/streamhttp"
	"github.com/fairlead-mcp/fairlead/test/internal/peers"
)

// everything starts the official server in one of its transports and connects to it.
func everything(t *testing.T, transport string, offered []byte) mcp.Handler {
	t.Helper()
	script := peers.Script("@modelcontextprotocol/server-everything", "dist/index.js")
	if transport == "stdio" {
		h, err := stdio.Start(t.Context(), exec.Command(peers.Node(), script), &stdio.ClientOptions{Capabilities: offered, OneCaller: true})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = h.Close(context.Background()) })
		return h
	}
	addr := peers.FreeAddr(t)
	cmd := peers.NodeCommand(context.Background(), script, transport)
	cmd.Env = append(cmd.Env, "PORT="+addr[strings.LastIndexByte(addr, ':')+1:])
	peers.Start(t, cmd)
	peers.WaitListen(t, addr)
	path := "/mcp"
	if transport == "sse" {
		path = "/sse"
	}
	h := streamhttp.NewClient("http://"+addr+path, nil)
	t.Cleanup(func() { _ = h.Close(context.Background()) })
	return h
}

// TestOldServerAsks lets the official server of 2025-11-25 ask our client all that
// it can ask, over each of its transports, HTTP+SSE of 2024-11-05 included.
func TestOldServerAsks(t *testing.T) {
	peers.Need(t)
	for _, transport := range []string{"stdio", "streamableHttp", "sse"} {
		t.Run(transport, func(t *testing.T) {
			var pages atomic.Int32
			rooted := make(chan struct{}, 10)
			root := "file:///before"
			opts := &mcp.ClientOptions{
				OnElicit: func(_ context.Context, p *mcp.ElicitParams) (*mcp.ElicitResult, error) {
					return &mcp.ElicitResult{Action: mcp.ElicitAccept, Content: mcp.Raw(`{"name":"Ann"}`)}, nil
				},
				OnPage: func(context.Context, mcp.Page) (mcp.ElicitAction, error) {
					pages.Add(1)
					return mcp.ElicitAccept, nil
				},
				OnSample: func(_ context.Context, p *mcp.SampleParams) (*mcp.SampleResult, error) {
					return &mcp.SampleResult{SamplingMessage: mcp.SamplingMessage{Role: mcp.RoleAssistant, Content: []mcp.Content{mcp.Text("forty-two")}}, Model: "m"}, nil
				},
				OnListRoots: func(context.Context) ([]mcp.Root, error) {
					roots := []mcp.Root{{URI: root}}
					rooted <- struct{}{}
					return roots, nil
				},
			}
			offer := opts.Offer()
			offered, err := json.Marshal(&offer)
			if err != nil {
				t.Fatal(err)
			}
			h := everything(t, transport, offered)
			c := mcp.NewClient("interop", "1", h, opts)
			if _, err := c.ListTools(t.Context()); err != nil {
				t.Fatal(err)
			}
			say := func(tool string, args map[string]any) string {
				t.Helper()
				res, err := c.CallTool(t.Context(), tool, args, nil)
				if err != nil {
					t.Fatalf("%s: %v", tool, err)
				}
				return res.Text()
			}
			if got := say("trigger-elicitation-request", map[string]any{}); !strings.Contains(got, "Ann") {
				t.Errorf("elicitation: %s", got)
			}
			if got := say("trigger-sampling-request", map[string]any{"prompt": "what?"}); !strings.Contains(got, "forty-two") {
				t.Errorf("sampling: %s", got)
			}
			page := map[string]any{"url": "https://example.com/login", "message": "log in", "elicitationId": "e-1"}
			if got := say("trigger-url-elicitation", page); !strings.Contains(got, "User completed") || pages.Load() != 1 {
				t.Errorf("page: %s after %d pages", got, pages.Load())
			}
			// By error -32042, another page first: the call is repeated after it.
			page["errorPath"] = true
			if got := say("trigger-url-elicitation", page); !strings.Contains(got, "User completed") || pages.Load() != 3 {
				t.Errorf("page by error: %s after %d pages", got, pages.Load())
			}

			// Roots are asked outside of any call: after the handshake, and when they have changed.
			<-rooted
			root = "file:///after"
			if err := c.RootsChanged(t.Context()); err != nil {
				t.Fatal(err)
			}
			<-rooted
			peers.Wait(t, "the server to know the new root", func() bool {
				return strings.Contains(say("get-roots-list", map[string]any{}), "file:///after")
			})
		})
	}
}
