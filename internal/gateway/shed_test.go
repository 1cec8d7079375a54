package gateway_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/fairlead-mcp/fairlead/internal/gateway"
	"github.com/fairlead-mcp/fairlead/internal/limit"
	"github.com/fairlead-mcp/fairlead/internal/upstream"
	"github.com/fairlead-mcp/fairlead/mcp"
)

// TestShedding: what a node does not do any more as its room is taken, and what it
// always does.
func TestShedding(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pressure := 0.0
		members := []*member{{name: "low", spec: upstream.Spec{Priority: upstream.PriorityLow}}, {name: "normal"}, {name: "high", spec: upstream.Spec{Priority: upstream.PriorityHigh}}}
		for _, m := range members {
			server := server(m.name)
			m.h = mcp.HandlerFunc(func(ctx context.Context, req *mcp.Request, sink mcp.Sink) (mcp.Result, error) {
				if req.Method == mcp.MethodCallTool {
					_ = sink.Notify(mcp.NewNotification(mcp.NotificationMessage, []byte(`{"level":"info","data":"x"}`)))
				}
				return server.Handle(ctx, req, sink)
			})
		}
		g, stop := newNode(t, &gateway.Options{Memory: func() float64 { return pressure }}, members...)
		defer stop()
		root := g.Root()
		goes := func(req *mcp.Request) (ok bool, logs int) {
			t.Helper()
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			var sink recorder
			_, err := root.Handle(ctx, req, &sink)
			if err != nil {
				f, ok := errors.AsType[*upstream.Failure](err)
				if !ok || f.Class != upstream.Overloaded || f.Reason == "" || f.RetryAfter <= 0 || !f.RetrySafe {
					t.Errorf("%s at %v: %v", req.Method, pressure, err)
				}
			}
			for _, n := range sink.take() {
				if strings.HasPrefix(n, mcp.NotificationMessage) {
					logs++
				}
			}
			return err == nil, logs
		}
		for _, tt := range []struct {
			pressure                              float64
			listen, low, normal, high, logs, list bool
		}{
			{0.5, true, true, true, true, true, true},
			{0.80, false, true, true, true, true, true},
			{0.85, false, true, true, true, false, true},
			{0.90, false, false, true, true, false, true},
			{0.97, false, false, false, true, false, true},
			{1.5, false, false, false, true, false, true},
			{0.5, true, true, true, true, true, true}, // and back
		} {
			pressure = tt.pressure
			listen, _ := goes(request(mcp.MethodListen, `{"notifications":{"toolsListChanged":true}}`))
			low, _ := goes(call("low__echo", `{}`))
			normal, _ := goes(call("normal__echo", `{}`))
			high, logs := goes(call("high__echo", `{}`))
			list, _ := goes(request(mcp.MethodListTools, `{}`))
			discover, _ := goes(request(mcp.MethodDiscover, `{}`))
			if listen != tt.listen || low != tt.low || normal != tt.normal || high != tt.high || (logs > 0) != tt.logs || list != tt.list || !discover {
				t.Errorf("at %v: listen %v, calls %v %v %v, %d log messages, list %v, discover %v", tt.pressure, listen, low, normal, high, logs, list, discover)
			}
		}
		for w, n := range g.Shed() {
			if n == 0 && w != limit.ListWaits {
				t.Errorf("%v is not counted", w)
			}
		}
		if last := g.Recent(1)[0]; last.Err != nil {
			t.Errorf("the last call: %v", last.Err)
		}
	})
}
