package mcp

import (
	"context"
	"errors"
)

// Handler answers one request. It is the one interface of this library: a typed
// server, a child process, a remote server, an aggregate and a policy stage are
// all Handlers.
//
// Handle is called concurrently. The bytes of req are valid until Handle
// returns; whoever keeps them clones them ([Request.Clone]). The bytes of the
// Result are immutable from the moment they are returned.
//
// Notifications that belong to the request go to sink, before Handle returns. A
// Handler that returns a Result with Stream set has handed sink to something
// that lives on: the request stays open, holds no goroutine of the Handler, and
// ends when ctx ends or sink.End is called. Only subscriptions/listen streams.
//
// A returned error becomes a JSON-RPC error by [ErrorOf].
type Handler interface {
	Handle(ctx context.Context, req *Request, sink Sink) (Result, error)
}

// HandlerFunc makes a Handler of a function.
type HandlerFunc func(ctx context.Context, req *Request, sink Sink) (Result, error)

// Handle calls f.
func (f HandlerFunc) Handle(ctx context.Context, req *Request, sink Sink) (Result, error) {
	return f(ctx, req, sink)
}

// Interceptor wraps a Handler with something that happens around each request.
type Interceptor func(next Handler) Handler

// Intercept wraps h so that the first interceptor sees a request first.
func Intercept(h Handler, interceptors ...Interceptor) Handler {
	for i := len(interceptors) - 1; i >= 0; i-- {
		h = interceptors[i](h)
	}
	return h
}

// Sink takes the notifications of one request. A transport implements it towards
// the caller. It is safe for concurrent use.
type Sink interface {
	// Notify sends n to the caller. n is shared: it is not modified.
	//
	// While Handle runs, Notify may block until the transport's write deadline.
	// On an open stream it never blocks: beyond the stream's byte budget the
	// stream is closed. After the end it returns ErrSinkClosed. A transport
	// that cannot carry notifications drops them and returns nil.
	Notify(n *Notification) error

	// End completes an open stream with a result or an error. The first call
	// wins; it does nothing for a request that is not an open stream.
	End(res Result, err error)
}

// ErrSinkClosed reports that the request or stream of a Sink has ended.
var ErrSinkClosed = errors.New("mcp: request has ended")

// Discard is a Sink that drops what it is given.
var Discard Sink = discard{}

type discard struct{}

func (discard) Notify(*Notification) error { return nil }
func (discard) End(Result, error)          {}
