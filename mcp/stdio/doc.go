// Package stdio carries MCP over pipes, one message a line (MCP 2026-07-28,
// basic/transports, stdio): a server on its own standard streams, and a client
// that starts a child process and speaks whatever revision the child speaks.
//
// A server is one call:
//
//	err := stdio.Serve(ctx, handler, nil)
//
// A client is an mcp.Handler:
//
//	child, err := stdio.Start(ctx, exec.Command("npx", "-y", "some-server"), nil)
//	if err != nil {
//		return err
//	}
//	defer child.Close(ctx)
//	res, err := child.Handle(ctx, &mcp.Request{Method: mcp.MethodListTools}, mcp.Discard)
//
// The package owns framing towards processes, request ids and progress tokens of
// its hop, the era probe, and the child's start and end. Restarting a child is
// the business of whoever supervises it.
package stdio
