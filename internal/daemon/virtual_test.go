package daemon_test

import (
	"strings"
	"testing"

	"github.com/fairlead-mcp/fairlead/internal/config"
	"github.com/fairlead-mcp/fairlead/internal/secret"
	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/mcp/streamhttp"
)

// A virtual server of the config is at /mcp/NAME, for clients of both eras.
func TestVirtualServer(t *testing.T) {
	cfg := settings(t)
	cfg.Upstreams[0].Labels = []string{"kids"}
	cfg.Virtual = []config.Virtual{{Name: "small", Tools: []config.Pick{
		{From: []string{"label:kids"}, Names: []string{"echo"}, As: "say", Fixed: map[string]secret.Text{"text": secret.New(`"fixed"`)}},
		{From: []string{"*"}, Names: []string{"misspelt"}},
	}}}
	n := start(t, cfg)
	n.pid(t, 0)
	for _, era := range []streamhttp.Era{streamhttp.EraModern, streamhttp.EraLegacy} {
		c := n.client(t, "/small", era)
		tools, err := c.ListTools(t.Context())
		if err != nil || len(tools) != 1 || tools[0].Name != "say" || strings.Contains(string(tools[0].InputSchema), `"text"`) {
			t.Errorf("%s: tools = %+v, %v", era, tools, err)
		}
		if res, err := c.CallTool(t.Context(), "say", map[string]any{"text": "mine"}, nil); err != nil || res.Text() != "fixed" {
			t.Errorf("%s: say = %v, %v", era, res, err)
		}
		if _, err := c.CallTool(t.Context(), "echo", text{"x"}, nil); !mcp.IsWireError(err) {
			t.Errorf("%s: a tool that was not chosen: %v", era, err)
		}
	}
	st, err := n.admin.Status(t.Context())
	if err != nil || len(st.Hidden) != 1 || st.Hidden[0] != `/mcp/small: tools "misspelt" of one: there is no such thing there` {
		t.Errorf("hidden = %q, %v", st.Hidden, err)
	}
}
