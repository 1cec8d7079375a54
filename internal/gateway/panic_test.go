package gateway_test

import (
	"context"
	"testing"

	"github.com/fairlead-mcp/fairlead/internal/gateway"
	"github.com/fairlead-mcp/fairlead/mcp"
)

// TestPanicGivesBack: a call that panics holds no place afterwards; the edge in
// front turns the panic into an answer.
func TestPanicGivesBack(t *testing.T) {
	server := server("alpha")
	bad := true
	m := &member{name: "a", h: mcp.HandlerFunc(func(ctx context.Context, req *mcp.Request, sink mcp.Sink) (mcp.Result, error) {
		if req.Method == mcp.MethodCallTool && bad {
			panic("broken")
		}
		return server.Handle(ctx, req, sink)
	})}
	g, _ := newNode(t, &gateway.Options{MaxCalls: 1}, m)
	for range 2 {
		func() {
			defer func() {
				if recover() == nil {
					t.Error("the panic was swallowed, and nobody is told of it")
				}
			}()
			_, _ = g.Root().Handle(t.Context(), call("a__echo", `{"text":"x"}`), mcp.Discard)
		}()
	}
	bad = false
	ask(t, g.Root(), call("a__echo", `{"text":"x"}`))
}
