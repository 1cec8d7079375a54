package streamhttp

import (
	"testing"

	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/mcp/jsonrpc"
)

// told is an Exchange that keeps what it is told.
type told struct{ list []string }

func (x *told) Notify(n *mcp.Notification) error {
	x.list = append(x.list, string(n.Params))
	return nil
}
func (*told) End(mcp.Result, error)           {}
func (*told) Ask(*jsonrpc.Message) *mcp.Error { return nil }

func TestStrayProgress(t *testing.T) {
	var s strays
	x := &told{}
	end := s.expect([]byte("7"), []byte(`"mine"`), x)
	for _, params := range []string{
		`{"progressToken":7,"progress":1}`,
		`{"progressToken":8,"progress":2}`,   // of nobody
		`{"progressToken":"7","progress":3}`, // another token
		`{"progress":4}`,
	} {
		s.deliver([]byte(params))
	}
	end()
	s.deliver([]byte(`{"progressToken":7,"progress":5}`)) // too late
	if len(x.list) != 1 || x.list[0] != `{"progressToken":"mine","progress":1}` {
		t.Errorf("told %q", x.list)
	}
	s.expect([]byte("9"), nil, x)() // a caller that wants none
	if len(s.calls) != 0 {
		t.Errorf("%d calls are left", len(s.calls))
	}
}
