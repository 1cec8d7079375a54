package gateway_test

import (
	"context"
	"testing"

	"github.com/fairlead-mcp/fairlead/mcp"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// BenchmarkCall is the gateway's share of a call: everything but the transports.
func BenchmarkCall(b *testing.B) {
	s := server("alpha")
	answer := mcp.Result{Body: []byte(`{"content":[{"type":"text","text":"hello"}]}`)}
	echo := mcp.HandlerFunc(func(ctx context.Context, req *mcp.Request, sink mcp.Sink) (mcp.Result, error) {
		if req.Method == mcp.MethodCallTool {
			return answer, nil
		}
		return s.Handle(ctx, req, sink)
	})
	g, stop := newNode(b, nil, &member{name: "a", h: echo})
	defer stop()
	root, req := g.Root(), call("a__echo", `{"text":"hello"}`)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := root.Handle(b.Context(), req, mcp.Discard); err != nil {
			b.Fatal(err)
		}
	}
}
