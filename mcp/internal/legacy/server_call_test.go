package legacy_test

import (
	"context"
	"strings"
	"testing"

	"github.com/fairlead-mcp/fairlead/mcp"
)

// TestSessionCallsInFlight has several calls in flight: whichever is cancelled ends
// alone, whatever its place in the table and however its id is spelled; an id is
// free again once its call has ended.
func TestSessionCallsInFlight(t *testing.T) {
	began := make(chan string)
	h := mcp.HandlerFunc(func(ctx context.Context, req *mcp.Request, _ mcp.Sink) (mcp.Result, error) {
		if req.Method == mcp.MethodDiscover {
			return mcp.Result{Body: []byte(`{"capabilities":{}}`)}, nil
		}
		began <- string(req.ID)
		<-ctx.Done()
		return mcp.Result{}, ctx.Err()
	})
	s := newSession(t, h, "2025-11-25")
	call := func(id string) string {
		return `{"jsonrpc":"2.0","id":` + id + `,"method":"tools/call","params":{"name":"x"}}`
	}
	ended := map[string]chan string{}
	start := func(id string) {
		done := make(chan string, 1)
		ended[id] = done
		go func() { done <- ask(t, s, &texts{}, call(id)) }() // ends with the call
		if got := <-began; got != id {
			t.Errorf("call %s has begun in place of %s", got, id)
		}
	}
	ids := []string{`1`, `"1"`, `"\u0061"`}
	for range 2 { // in the second round ids are used again
		for _, id := range ids {
			start(id)
		}
		for _, id := range []string{`1`, `"1"`, `"a"`} {
			if got := ask(t, s, &texts{}, call(id)); !strings.Contains(got, "in use") {
				t.Errorf("a second call %s beside the first: %s", id, got)
			}
		}
		for i, spelled := range []string{`1`, `"\u0031"`, `"a"`} {
			s.Notified(scan(t, `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":`+spelled+`}}`))
			if got := <-ended[ids[i]]; got != "unanswered" {
				t.Errorf("the cancelled call %s is answered: %s", ids[i], got)
			}
			for _, other := range ids[i+1:] {
				select {
				case got := <-ended[other]:
					t.Errorf("the end of call %s has ended call %s: %s", spelled, other, got)
				default:
				}
			}
		}
	}
	start(`7`)
	start(`8`)
	s.Close()
	for _, id := range []string{`7`, `8`} {
		if got := <-ended[id]; !strings.Contains(got, `"error"`) {
			t.Errorf("call %s at the end of the session: %s", id, got)
		}
	}
}
