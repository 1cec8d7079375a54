package mcp

import "time"

// Detach ends the connection on which the call's response was to be sent, while
// the call goes on: the client is told to come back after retry, and gets then
// what the call has sent meanwhile, and the response (MCP 2025-11-25,
// basic/transports, Sending Messages to the Server). A call that takes long need
// not hold a connection. It may be called again when the client has come back.
//
// It reports whether the connection has ended. Only clients of 2025-11-25 over
// Streamable HTTP on HTTP/1.1 can come back; for others it does nothing. Clients of
// 2026-07-28 are given a task instead.
func (c *Call) Detach(retry time.Duration) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended {
		return false
	}
	for sink := c.sink; sink != nil; {
		if d, ok := sink.(interface {
			Detach(retry time.Duration) bool
		}); ok {
			return d.Detach(max(retry, 0))
		}
		outer, ok := sink.(interface{ Unwrap() Sink })
		if !ok {
			return false
		}
		sink = outer.Unwrap()
	}
	return false
}
