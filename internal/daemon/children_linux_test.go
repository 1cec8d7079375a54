package daemon_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/fairlead-mcp/fairlead/internal/adminapi"
	"github.com/fairlead-mcp/fairlead/internal/config"
	"github.com/fairlead-mcp/fairlead/internal/secret"
	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/mcp/stdio"
	"github.com/fairlead-mcp/fairlead/mcp/streamhttp"
)

// faultyChild has tools that misbehave.
func faultyChild() error {
	s := mcp.NewServer("faulty", "1", nil)
	err := errors.Join(
		mcp.AddTool(s, mcp.Tool{Name: "echo"}, func(_ context.Context, _ *mcp.Call, in text) (string, error) { return in.Text, nil }),
		mcp.AddTool(s, mcp.Tool{Name: "eat"}, func(context.Context, *mcp.Call, text) (string, error) {
			var eaten [][]byte
			for len(eaten) < 500 { // 2 GB, if nobody stops it
				chunk := make([]byte, 4<<20)
				for i := range chunk {
					chunk[i] = byte(i)
				}
				eaten = append(eaten, chunk)
				time.Sleep(5 * time.Millisecond)
			}
			return "full", nil
		}),
	)
	if err != nil {
		return err
	}
	return stdio.Serve(context.Background(), s, nil)
}

// faulty is a config of one faulty child.
func faulty(t *testing.T) *config.Config {
	cfg := settings(t)
	cfg.Upstreams[0].Env[childEnv] = secret.New("faulty")
	return cfg
}

// upstreamOf is the only upstream as the admin API has it.
func (n *node) upstreamOf(t *testing.T) adminapi.Upstream {
	t.Helper()
	st, err := n.admin.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return st.Upstreams[0]
}

// TestMemoryLimit: a child that uses too much is ended and started again, with the
// reason, and the limit is shown with who holds it.
func TestMemoryLimit(t *testing.T) {
	cfg := faulty(t)
	cfg.Upstreams[0].Limits = config.ChildLimits{Memory: 256 << 20, Processes: 500}
	n := start(t, cfg)
	c := n.client(t, "/one", streamhttp.EraModern)
	first := n.pid(t, 0)
	u := n.upstreamOf(t)
	if len(u.Limits) != 3 || u.Limits[0].Limit != "memory" || u.Limits[0].Value != "256MiB" ||
		!strings.HasPrefix(u.Limits[0].By, "cgroup") && !strings.HasPrefix(u.Limits[0].By, "watched") {
		t.Errorf("limits %+v", u.Limits)
	}
	_, err := c.CallTool(t.Context(), "eat", text{}, nil)
	if e, ok := errors.AsType[*mcp.Error](err); !ok || !strings.Contains(string(e.Data), "upstream_unavailable") {
		t.Errorf("the call ended with %v", err)
	}
	n.pid(t, first)
	u = n.upstreamOf(t)
	if !strings.Contains(u.LastError, "it reached limits.memory, 256MiB: ") || u.LimitHits["memory"] != 1 {
		t.Errorf("last error %q, reached %v", u.LastError, u.LimitHits)
	}
	if res, err := c.CallTool(t.Context(), "echo", text{"again"}, nil); err != nil || res.Text() != "again" {
		t.Errorf("the next call: %v, %v", res, err)
	}
}
