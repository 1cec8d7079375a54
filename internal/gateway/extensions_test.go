package gateway_test

import (
	"context"
	"testing"

	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/mcp/mcptest"
)

// A caller's trace context reaches upstreams of every revision, and what is not valid stops here.
func TestTraceReachesUpstreams(t *testing.T) {
	want := mcp.Trace{Parent: "00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01", State: "a=1", Baggage: "b=2"}
	for _, version := range mcp.Versions() {
		t.Run(string(version), func(t *testing.T) {
			var got mcp.Trace
			s := mcp.NewServer("s", "1", nil)
			must(mcp.AddTool(s, mcp.Tool{Name: "look"}, func(_ context.Context, call *mcp.Call, _ struct{}) (string, error) {
				got = call.Trace()
				return "", nil
			}))
			g, _ := newNode(t, nil, &member{name: "up", h: mcptest.Pair(t, s, version)})
			for name, h := range map[string]mcp.Handler{"up__look": g.Root(), "look": one(t, g, "up")} {
				c := mcp.NewClient("c", "1", mcptest.Pair(t, h, mcp.LatestVersion), nil)
				if _, err := c.CallTool(mcp.ContextWithTrace(t.Context(), want), name, nil, nil); err != nil || got != want {
					t.Errorf("%s: trace = %+v, %v", name, got, err)
				}
				if _, err := c.CallTool(t.Context(), name, nil, &mcp.CallOptions{Meta: mcp.Raw(`{"traceparent":"00-1","baggage":"b=2"}`)}); err != nil || got != (mcp.Trace{Baggage: "b=2"}) {
					t.Errorf("%s: trace beside one that is not valid = %+v, %v", name, got, err)
				}
			}
		})
	}
}
