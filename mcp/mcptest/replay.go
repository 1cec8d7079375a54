package mcptest

import (
	"context"
	"testing"

	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/mcp/jsonrpc"
)

// Replay wraps h so that each request whose answer asks for input is handled a
// second time, and the test fails if the questions differ: a handler that asks is
// called again from the top in production, and must come to the same questions.
// What it does before it asks and outside of mcp.Once so happens once more often
// than there are rounds. [Pair] does it to every handler.
func Replay(t testing.TB, h mcp.Handler) mcp.Handler {
	return mcp.HandlerFunc(func(ctx context.Context, req *mcp.Request, sink mcp.Sink) (mcp.Result, error) {
		res, err := h.Handle(ctx, req, sink)
		if err != nil || res.Type != mcp.ResultInputRequired {
			return res, err
		}
		again, err := h.Handle(ctx, req, mcp.Discard)
		switch {
		case err != nil:
			t.Errorf("mcptest: %s %q asks, and called again fails: %v", req.Method, req.Name, err)
		case again.Type != res.Type:
			t.Errorf("mcptest: %s %q asks, and called again does not", req.Method, req.Name)
		case !sameQuestions(res.Body, again.Body):
			t.Errorf("mcptest: %s %q asks\n%s\nand called again\n%s", req.Method, req.Name, questions(res.Body), questions(again.Body))
		}
		return res, nil
	})
}

func questions(body []byte) []byte { return jsonrpc.Get(body, "inputRequests") }

// sameQuestions compares questions by key: their order says nothing.
func sameQuestions(a, b []byte) bool {
	asked := map[string]string{}
	for key, value := range jsonrpc.Members(questions(a)) {
		asked[key] = string(value)
	}
	for key, value := range jsonrpc.Members(questions(b)) {
		if asked[key] != string(value) {
			return false
		}
		delete(asked, key)
	}
	return len(asked) == 0
}
