package mcp

import (
	"context"
	"errors"
	"fmt"

	"github.com/fairlead-mcp/fairlead/mcp/jsonrpc"
)

// Error codes that MCP defines beyond JSON-RPC's own (MCP 2026-07-28, basic/index, error codes).
const (
	CodeHeaderMismatch       = -32020
	CodeMissingCapability    = -32021
	CodeUnsupportedVersion   = -32022
	codeLegacyNotFound       = -32002 // resources/read of an unknown URI until 2025-11-25
	codeLegacyURLElicitation = -32042 // 2025-11-25 only; never sent in 2026-07-28
)

// Error is a JSON-RPC error: what a peer sent, or what will be sent to one.
// Message is written for a stranger: no paths, addresses or secrets.
type Error struct {
	Code    int
	Message string
	// Data is raw JSON, or nil.
	Data []byte

	fromPeer bool
}

func (e *Error) Error() string { return fmt.Sprintf("%s (code %d)", e.Message, e.Code) }

// Is reports whether target is an *Error with the same code, so that
// errors.Is(err, &Error{Code: CodeHeaderMismatch}) works.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Code == e.Code
}

// Errorf makes an Error with a formatted message and no data.
func Errorf(code int, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// IsWireError reports whether a peer said err, as opposed to us being unable to ask.
func IsWireError(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.fromPeer
}

// ErrorOf says how err goes to a peer:
//
//   - an *Error in err's chain goes as it is;
//   - context.DeadlineExceeded becomes an internal error "request timed out";
//   - context.Canceled becomes an internal error "request cancelled";
//   - anything else becomes an internal error with the message "internal error":
//     what went wrong inside is not a stranger's business.
//
// ErrorOf(nil) is nil.
func ErrorOf(err error) *Error {
	if err == nil {
		return nil
	}
	var e *Error // below the common case, which it would cost an allocation
	switch {
	case errors.As(err, &e):
		return e
	case errors.Is(err, context.DeadlineExceeded):
		return &Error{Code: jsonrpc.CodeInternalError, Message: "request timed out"}
	case errors.Is(err, context.Canceled):
		return &Error{Code: jsonrpc.CodeInternalError, Message: "request cancelled"}
	default:
		return &Error{Code: jsonrpc.CodeInternalError, Message: "internal error"}
	}
}

// ErrMethodNotFound answers a method that the server does not have.
func ErrMethodNotFound(method string) *Error {
	return Errorf(jsonrpc.CodeMethodNotFound, "Method not found: %s", method)
}

// ErrInvalidParams answers params that do not fit the method.
func ErrInvalidParams(format string, args ...any) *Error {
	return Errorf(jsonrpc.CodeInvalidParams, format, args...)
}
