package mcp

import "context"

// Answerer answers what a server asks: the result object of q, or an error that
// the server gets by [ErrorOf]. It is called concurrently; the bytes of q are valid
// until it returns. It ends when ctx ends, which is when nobody waits any more.
type Answerer func(ctx context.Context, q InputRequest) (Raw, error)

// Asked is a [Handler] whose server may ask outside of any request, as those of
// revisions until 2025-11-25 do (MCP 2025-11-25, client/roots). Clients of
// transports implement it, and [NewClient] connects the answers of its options.
//
// Questions in the middle of a request are none of this: they are the request's
// result ([ResultInputRequired]) in every revision.
type Asked interface {
	// OnAsk sets who answers, for connections that are open and those to come. Nil,
	// the state at the start, means that such questions are refused.
	OnAsk(Answerer)
	// RootsChanged tells a server of an old revision that the roots have changed
	// (notifications/roots/list_changed). Without a session, or with a server of a
	// later revision, which asks for roots whenever it needs them, it does nothing.
	RootsChanged(context.Context) error
}

// Abandoner is a [Handler] that keeps something for a call between a result that
// asks and the request that brings the answers, as those do that translate for
// servers until 2025-11-25: there the call is still running.
type Abandoner interface {
	// Abandon says that the request with this requestState will not come, so that the
	// server can be told that the call is cancelled. It does not block, and a state
	// that means nothing here is ignored.
	Abandon(state string)
}

// Abandon drops a call that was to be answered by hand and will not be: a server of
// an old revision still waits for it.
func (c *Client) Abandon(e *InputRequiredError) { c.abandon(e.State) }

func (c *Client) abandon(state *string) {
	if a, ok := c.origin.(Abandoner); ok && state != nil {
		a.Abandon(*state)
	}
}
