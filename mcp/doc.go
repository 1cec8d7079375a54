// Package mcp is the Model Context Protocol: servers, clients and what stands
// between them, in every revision from 2024-11-05 to 2026-07-28.
//
// Everything is a [Handler], which answers one request. A typed [Server], a
// child process, a remote server and a gateway in front of many of them are all
// Handlers, and a [Client] speaks to any Handler. Inside, every request is a
// stateless request as in revision 2026-07-28; the transports translate older
// revisions at the edge.
//
// # Servers
//
//	s := mcp.NewServer("hello", "1.0.0", nil)
//	err := mcp.AddTool(s, mcp.Tool{Name: "greet", Description: "Say hello"},
//		func(ctx context.Context, call *mcp.Call, in struct {
//			Name string `json:"name" jsonschema:"who to greet"`
//		}) (string, error) {
//			return "Hello, " + in.Name, nil
//		})
//
// Serve it with stdio.Serve, or over HTTP with streamhttp.NewHandler.
//
// # Clients
//
//	child, err := stdio.Start(ctx, exec.Command("my-server"), nil)
//	c := mcp.NewClient("my-client", "1.0.0", child, nil)
//	res, err := c.CallTool(ctx, "greet", map[string]any{"name": "Ada"}, nil)
package mcp
