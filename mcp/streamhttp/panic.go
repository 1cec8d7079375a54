package streamhttp

import (
	"context"
	"runtime/debug"

	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/mcp/jsonrpc"
)

// contained is a Handler whose panics are an internal error to one caller. Without
// it net/http would close the connection, and the caller would never learn how the
// call ended; on the goroutines of HTTP+SSE nobody would recover at all.
type contained struct {
	mcp.Handler
	onPanic func(method string, value any, stack []byte)
}

func (h contained) Handle(ctx context.Context, req *mcp.Request, sink mcp.Sink) (res mcp.Result, err error) {
	defer func() {
		if value := recover(); value != nil {
			res, err = mcp.Result{}, h.report(req.Method, value)
		}
	}()
	return h.Handler.Handle(ctx, req, sink)
}

// report tells of a panic and returns what the caller is told.
func (h contained) report(method string, value any) *mcp.Error {
	if h.onPanic != nil {
		h.onPanic(method, value, debug.Stack())
	}
	return mcp.Errorf(jsonrpc.CodeInternalError, "internal error")
}
