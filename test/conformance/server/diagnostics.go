package main

import (
	"context"
	"errors"

	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/mcp/jsonrpc"
)

// addDiagnostics adds the tools by which the suite sees what cannot be seen otherwise.
func addDiagnostics(s *mcp.Server) error {
	text := func(t string) *mcp.ToolResult { return &mcp.ToolResult{Content: []mcp.Content{mcp.Text(t)}} }
	return errors.Join(
		mcp.AddTool(s, mcp.Tool{Name: "test_x_mcp_header", Description: "Mirrors one of its parameters into a header"},
			func(_ context.Context, _ *mcp.Call, in struct {
				Region string `json:"region" x-mcp-header:"Region"`
				Count  int    `json:"count,omitempty"`
			},
			) (string, error) {
				return "region " + in.Region, nil
			}),
		mcp.AddTool(s, mcp.Tool{Name: "test_missing_capability", Description: "Needs the client capability sampling"},
			func(_ context.Context, call *mcp.Call, _ none) (*mcp.ToolResult, error) {
				if jsonrpc.Get(call.ClientCapabilities(), "sampling") == nil {
					return nil, &mcp.Error{Code: mcp.CodeMissingCapability, Message: "Missing required client capability: sampling", Data: []byte(`{"requiredCapabilities":{"sampling":{}}}`)}
				}
				return text("The client has the capability."), nil
			}),
		mcp.AddTool(s, mcp.Tool{Name: "test_logging_tool", Description: "Tries to log"},
			func(_ context.Context, call *mcp.Call, _ none) (*mcp.ToolResult, error) {
				return text("Tried to log."), call.Log(mcp.LogInfo, "conformance", "a message")
			}),
		mcp.AddTool(s, mcp.Tool{Name: "test_trigger_tool_change", Description: "Adds a tool and removes it"},
			func(context.Context, *mcp.Call, none) (*mcp.ToolResult, error) {
				err := mcp.AddTool(s, mcp.Tool{Name: "test_transient", Description: "Comes and goes"}, content(mcp.Text("here")))
				s.RemoveTools("test_transient")
				return text("Changed the tools."), err
			}),
		mcp.AddTool(s, mcp.Tool{Name: "test_trigger_prompt_change", Description: "Adds a prompt and removes it"},
			func(context.Context, *mcp.Call, none) (*mcp.ToolResult, error) {
				err := s.AddPrompt(mcp.Prompt{Name: "test_transient", Description: "Comes and goes"}, messages(mcp.Text("here")))
				s.RemovePrompts("test_transient")
				return text("Changed the prompts."), err
			}),
	)
}
