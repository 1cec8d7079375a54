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
