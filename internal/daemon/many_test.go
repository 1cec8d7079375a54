package daemon_test

import (
	"context"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fairlead-mcp/fairlead/internal/config"
	"github.com/fairlead-mcp/fairlead/internal/daemon"
	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/mcp/streamhttp"
)

// Many as one over real HTTP on both sides: prefixed URIs, results that are kept, and
// tool search, for clients of both eras, with an upstream of each.
func TestManyAsOne(t *testing.T) {
	for _, up := range []streamhttp.Era{streamhttp.EraModern, streamhttp.EraLegacy} {
		for _, era := range []streamhttp.Era{streamhttp.EraModern, streamhttp.EraLegacy} {
			t.Run("upstream "+string(up)+", client "+string(era), func(t *testing.T) {
				var reads atomic.Int32
				s := mcp.NewServer("remote", "1", &mcp.ServerOptions{Instructions: "Remote it is."})
				if err := s.AddResource(mcp.Resource{URI: "x://a", Name: "a"}, func(_ context.Context, _ *mcp.Call, uri string) ([]mcp.ResourceContents, error) {
					reads.Add(1)
					return []mcp.ResourceContents{{URI: uri, Text: "content"}}, nil
				}); err != nil {
					t.Fatal(err)
				}
				kept := mcp.HandlerFunc(func(ctx context.Context, req *mcp.Request, sink mcp.Sink) (mcp.Result, error) {
					res, err := s.Handle(ctx, req, sink)
					if req.Method == mcp.MethodReadResource {
						res.Cache = mcp.Cache{TTL: time.Hour, Scope: mcp.CachePublic}
					}
					return res, err
				})
				h := streamhttp.NewHandler(kept, nil)
				remote := httptest.NewServer(h)
				defer remote.Close()
				defer func() { _ = h.Close(context.Background()) }()

				cfg := settings(t)
				cfg.ToolSearch = true
				cfg.Upstreams = append(cfg.Upstreams, config.Upstream{Name: "remote", URL: remote.URL, Era: config.Era(up), Timeout: time.Minute, URIs: "prefixed"})
				n := startWith(t, cfg, &daemon.Options{})
				n.pid(t, 0)
				eventually(t, "the remote upstream", func() bool {
					st, err := n.admin.Status(t.Context())
					return err == nil && st.Upstreams[1].State == "ready"
				})
				c := n.client(t, "", era)
				resources, err := c.ListResources(t.Context())
				if err != nil || len(resources) != 1 || resources[0].URI != "remote+x://a" {
					t.Errorf("resources = %+v, %v", resources, err)
				}
				for range 3 {
					res, err := c.ReadResource(t.Context(), "remote+x://a", nil)
					if err != nil || res.Contents[0].URI != "remote+x://a" || res.Contents[0].Text != "content" {
						t.Fatalf("read = %+v, %v", res, err)
					}
				}
				// An upstream of an old revision has no hints, so nothing of it is kept.
				if want := map[streamhttp.Era]int32{streamhttp.EraModern: 1, streamhttp.EraLegacy: 3}[up]; reads.Load() != want {
					t.Errorf("the upstream was read %d times, want %d", reads.Load(), want)
				}
				tools, err := c.ListTools(t.Context())
				if err != nil || len(tools) != 2 {
					t.Errorf("tools = %+v, %v", tools, err)
				}
				if res, err := c.CallTool(t.Context(), "find_tools", map[string]any{"query": "echo"}, nil); err != nil || !strings.Contains(res.Text(), "one__echo") {
					t.Errorf("find_tools = %v, %v", res, err)
				}
				if res, err := c.CallTool(t.Context(), "call_tool", map[string]any{"name": "one__echo", "arguments": text{"hello"}}, nil); err != nil || res.Text() != "hello" {
					t.Errorf("call_tool = %v, %v", res, err)
				}
				if d, err := c.Discover(t.Context()); err != nil || !strings.Contains(d.Instructions, "## remote\n") {
					t.Errorf("instructions = %q, %v", d.Instructions, err)
				}
			})
		}
	}
}
