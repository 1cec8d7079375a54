package gateway_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/mcp/jsonrpc"
)

// TestFlappingUpstream has one upstream die every few seconds under calls and
// subscriptions: each call ends with an answer or one class of error, calls to
// the other upstream never fail, and in the end all is as it was.
func TestFlappingUpstream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		flaps := server("alpha")
		a, b := &member{name: "a", h: flaps}, &member{name: "b", h: server("beta")}
		g, stop := newNode(t, nil, a, b)
		defer stop()
		ctx, cancel := context.WithCancel(t.Context())
		updates := listen(t, ctx, g.Root(), `{"toolsListChanged":true,"resourceSubscriptions":["test://alpha"]}`)
		var wg sync.WaitGroup
		var mu sync.Mutex
		answered, refused := 0, 0
		for i := range 20 {
			wg.Go(func() {
				for n := 0; ctx.Err() == nil; n++ {
					time.Sleep(time.Duration(50+5*i) * time.Millisecond)
					text := fmt.Sprintf("%d-%d.", i, n)
					res, err := g.Root().Handle(t.Context(), call("a__echo", fmt.Sprintf(`{"text":%q}`, text)), mcp.Discard)
					class := ""
					if err != nil {
						class, _ = jsonrpc.Unquote(jsonrpc.Get(mcp.ErrorOf(err).Data, "class"))
					}
					mu.Lock()
					switch {
					case err == nil && strings.Contains(string(res.Body), "alpha "+text):
						answered++
					case class == "upstream_unavailable":
						refused++
					default:
						t.Errorf("call %s: %s, %v", text, res.Body, err)
					}
					mu.Unlock()
					if _, err := g.Root().Handle(t.Context(), call("b__echo", `{}`), mcp.Discard); err != nil {
						t.Errorf("call of the other upstream: %v", err)
					}
				}
			})
		}
		for range 5 {
			time.Sleep(7 * time.Second)
			a.cut()
		}
		time.Sleep(time.Second)
		cancel()
		wg.Wait()
		if answered < 1000 || refused > answered/20 {
			t.Errorf("%d calls answered, %d refused", answered, refused)
		}
		if got := updates.take(); len(got) < 6 { // the acknowledgement, and an update after each gap
			t.Errorf("notifications = %q", got)
		}
		ask(t, g.Root(), call("a__echo", `{}`))
	})
}
