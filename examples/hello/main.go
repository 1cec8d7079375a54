// Hello is an MCP server with one tool, over stdin and stdout.
package main

import (
	"context"
	"log"

	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/mcp/stdio"
)

type greeting struct {
	Name string `json:"name" jsonschema:"who to greet"`
}

func main() {
	s := mcp.NewServer("hello", "1.0.0", nil)
	err := mcp.AddTool(s, mcp.Tool{Name: "greet", Description: "Say hello"},
		func(_ context.Context, _ *mcp.Call, in greeting) (string, error) {
			return "Hello, " + in.Name, nil
		})
	if err == nil {
		err = stdio.Serve(context.Background(), s, nil)
	}
	if err != nil {
		log.Fatal(err)
	}
}
