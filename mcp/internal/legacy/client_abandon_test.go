package legacy_test

import (
	"context"
	"errors"
	"testing"

	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/mcp/internal/legacy"
	"github.com/fairlead-mcp/fairlead/mcp/jsonrpc"
)

// A client that does not answer, whatever the reason, lets no call wait for it.
func TestAbandonedCallIsCancelled(t *testing.T) {
	failed := errors.New("nobody is here")
	for name, elicit := range map[string]func(context.Context, *mcp.ElicitParams) (*mcp.ElicitResult, error){
		"its function fails": func(context.Context, *mcp.ElicitParams) (*mcp.ElicitResult, error) { return nil, failed },
		"its answer does not fit": func(context.Context, *mcp.ElicitParams) (*mcp.ElicitResult, error) {
			return &mcp.ElicitResult{Action: mcp.ElicitAccept, Content: mcp.Raw(`[]`)}, nil
		},
		"it was to answer by hand": nil,
	} {
		t.Run(name, func(t *testing.T) {
			w, h := asking(t, "2025-11-25", legacy.Info{})
			c := mcp.NewClient("c", "1", h, &mcp.ClientOptions{
				OnElicit:     elicit,
				Capabilities: &mcp.ClientCapabilities{Elicitation: &mcp.ElicitationCapability{}},
			})
			failure := make(chan error, 1)
			go func() { // until the call is given up
				_, err := c.CallTool(t.Context(), "t", nil, nil)
				var asked *mcp.InputRequiredError
				if errors.As(err, &asked) {
					c.Abandon(asked)
					c.Abandon(asked) // means nothing any more
				}
				failure <- err
			}()
			trip := <-w.trips
			trip.must(t, "1", mcp.MethodElicit, form)
			if err := <-failure; err == nil {
				t.Error("CallTool: no error")
			}
			if err := <-trip.ended; err == nil || errors.Is(err, mcp.ErrClosed) {
				t.Errorf("the call was ended by %v", err)
			}
			end(h)
		})
	}
}

func TestAbandonOfNothing(t *testing.T) {
	w, c := asking(t, "2025-11-25", legacy.Info{})
	c.Abandon("")
	c.Abandon("unknown")
	results := make(chan mcp.Result, 1)
	req := toolCall(`{"name":"t"}`)
	go func() { // until the question
		res, err := c.Handle(t.Context(), req, mcp.Discard)
		if err != nil {
			t.Error(err)
		}
		results <- res
	}()
	trip := <-w.trips
	trip.must(t, "1", mcp.MethodElicit, form)
	res := <-results
	state, _ := jsonrpc.Unquote(jsonrpc.Get(res.Body, "requestState"))
	c.Abandon(state)
	if _, err := c.Handle(t.Context(), retry(req, res, `{}`), mcp.Discard); !errors.Is(err, mcp.ErrInvalidParams("")) {
		t.Errorf("a retry of what was abandoned: %v", err)
	}
	<-trip.ended
	end(c)
}
