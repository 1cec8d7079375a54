// Package legacy translates the revisions with sessions (2024-11-05 to
// 2025-11-25) to stateless requests and back.
//
// It is the one seam between the eras. A [Session] stands for an old client: it
// takes the client's messages, asks an mcp.Handler, and shapes the answers for
// the session's revision. It knows nothing of HTTP or pipes: the transport gives
// it messages and takes away bytes.
package legacy
