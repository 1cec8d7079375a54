// Package streamhttp carries MCP over HTTP in every revision that has Streamable
// HTTP: the stateless requests of 2026-07-28 and the sessions of 2025-03-26 to
// 2025-11-25, on one endpoint at once.
//
// A server is a [Handler] around any mcp.Handler:
//
//	h := streamhttp.NewHandler(server, nil)
//	srv := streamhttp.NewServer("127.0.0.1:8080", h)
//	err := srv.ListenAndServe()
//
// It tells the era of each request by itself, checks headers against bodies,
// Origin and Host, and bounds sizes, times and sessions without being asked to.
// It does no routing, TLS or credential checks of its own: mount it where it
// belongs, and give it an Authenticate function.
//
// The client side is an mcp.Handler too: it speaks to a remote server of any of
// these revisions.
package streamhttp
