package main

import (
	"context"
	"net/http"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"
)

func mcpGoServer() *server.MCPServer {
	s := server.NewMCPServer("mcpgo", "1", server.WithToolCapabilities(false), server.WithRecovery(), server.WithInputSchemaValidation())
	s.AddTool(mcp.NewTool("echo", mcp.WithInputSchema[echoIn](), mcp.WithOutputSchema[echoOut]()),
		mcp.NewStructuredToolHandler(func(_ context.Context, _ mcp.CallToolRequest, in echoIn) (echoOut, error) {
			return echoOut(in), nil
		}))
	s.AddTool(mcp.NewTool("add", mcp.WithInputSchema[addIn](), mcp.WithOutputSchema[addOut]()),
		mcp.NewStructuredToolHandler(func(_ context.Context, _ mcp.CallToolRequest, in addIn) (addOut, error) {
			return addOut{in.A + in.B}, nil
		}))
	return s
}

func mcpGoHandler() http.Handler { return server.NewStreamableHTTPServer(mcpGoServer()) }

func mcpGoStdio() error { return server.ServeStdio(mcpGoServer()) }
