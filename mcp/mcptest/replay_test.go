package mcptest_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/mcp/mcptest"
)

// failures is a testing.TB that keeps what fails.
type failures struct {
	testing.TB
	list []string
}

func (f *failures) Errorf(format string, args ...any) {
	f.list = append(f.list, fmt.Sprintf(format, args...))
}

func TestReplay(t *testing.T) {
	calls := 0
	s := mcp.NewServer("s", "1", nil)
	add := func(name string, fn func(ctx context.Context, call *mcp.Call) error) {
		if err := mcp.AddTool(s, mcp.Tool{Name: name}, func(ctx context.Context, call *mcp.Call, _ struct{}) (string, error) {
			return "done", fn(ctx, call)
		}); err != nil {
			t.Fatal(err)
		}
	}
	ask := func(ctx context.Context, call *mcp.Call, message string) error {
		_, err := call.Elicit(ctx, "k", mcp.Form{Message: message})
		return err
	}
	add("same", func(ctx context.Context, call *mcp.Call) error { return ask(ctx, call, "Sure?") })
	add("different", func(ctx context.Context, call *mcp.Call) error {
		calls++
		return ask(ctx, call, fmt.Sprintf("Sure for the %dth time?", calls))
	})
	add("once", func(ctx context.Context, call *mcp.Call) error {
		if calls++; calls%2 == 0 {
			return nil
		}
		return ask(ctx, call, "Sure?")
	})
	for name, want := range map[string]string{"same": "", "different": "called again", "once": "called again does not"} {
		calls = 0
		f := &failures{TB: t}
		req := &mcp.Request{
			Method: mcp.MethodCallTool, Name: name, Params: []byte(`{"name":"` + name + `"}`),
			Meta: mcp.Meta{Version: mcp.LatestVersion, Capabilities: []byte(`{"elicitation":{}}`)},
		}
		res, err := mcptest.Replay(f, s).Handle(t.Context(), req, mcp.Discard)
		if err != nil || res.Type != mcp.ResultInputRequired {
			t.Errorf("%s: got %+v, %v", name, res, err)
		}
		if got := strings.Join(f.list, "\n"); want == "" && got != "" || !strings.Contains(got, want) {
			t.Errorf("%s: the test failed with %q, want %q", name, got, want)
		}
	}
}
