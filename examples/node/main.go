// Node runs an MCP server of its own as a fully operated node: clients of every
// revision at /mcp/hello, health and status on the admin listener.
package main

import (
	"context"
	"log"
	"os/signal"
	"syscall"

	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/node"
)

type greeting struct {
	Name string `json:"name" jsonschema:"who to greet"`
}

func greet(_ context.Context, _ *mcp.Call, in greeting) (string, error) {
	return "Hello, " + in.Name, nil
}

func main() {
	server := mcp.NewServer("hello", "1.0.0", nil)
	if err := mcp.AddTool(server, mcp.Tool{Name: "greet", Description: "Say hello"}, greet); err != nil {
		log.Fatal(err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // the first signal drains, a second one ends the program
	if err := node.Run(ctx, "hello", server, nil); err != nil {
		log.Fatal(err)
	}
}
