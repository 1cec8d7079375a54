package main

import (
	"context"
	"time"

	"github.com/fairlead-mcp/fairlead/mcp"
)

// addReconnection adds the tool that ends its connection in the middle of the call.
func addReconnection(s *mcp.Server) error {
	return mcp.AddTool(s, mcp.Tool{Name: "test_reconnection", Description: "Ends the connection, and answers when the client has come back"},
		func(ctx context.Context, call *mcp.Call, _ none) (string, error) {
			call.Detach(10 * time.Millisecond)
			return "Reconnected, and here is the rest.", pause(ctx)
		})
}
