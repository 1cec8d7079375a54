package upstream

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/mcp/jsonrpc"
)

// Class is a kind of failure that the node itself answers with, as opposed to an
// error that an upstream has sent. It stands in data.class of the error.
type Class string

// The classes of failure.
const (
	Unavailable   Class = "upstream_unavailable"
	Timeout       Class = "timeout"
	ProtocolError Class = "upstream_protocol_error"
	Overloaded    Class = "overloaded"
	CircuitOpen   Class = "circuit_open"
	RateLimited   Class = "rate_limited"
)

// ClassInfo describes a class.
type ClassInfo struct {
	Class     Class
	Code      int    // JSON-RPC error code, outside the range that JSON-RPC reserves
	When      string // when a caller gets it
	Retryable string // whether asking again makes sense
	message   string // for a stranger; %s is the upstream
}

// Classes is the table of all classes, in the order of their codes.
func Classes() []ClassInfo {
	return []ClassInfo{
		{
			Unavailable, -31001, "the upstream is not running or not reachable, or went away during the call",
			"after `retryAfterMs`; when `retrySafe` is false the upstream may have acted on the call", "Upstream %s is unavailable",
		},
		{
			Timeout, -31002, "the upstream did not answer within the deadline of the call",
			"if the call may be repeated: `retrySafe` says whether the upstream can have acted on it", "Upstream %s did not answer in time",
		},
		{
			ProtocolError, -31003, "the upstream answered with something that is not valid MCP",
			"no: it is a fault of the upstream", "Upstream %s gave an invalid answer",
		},
		{
			Overloaded, -31004, "as many calls run and wait as the node, or the upstream, takes",
			"after `retryAfterMs`; the call has not begun", "Too many calls are running",
		},
		{
			CircuitOpen, -31005, "the upstream, or the tool, has failed so often that calls are refused for a while",
			"after `retryAfterMs`; the call has not begun", "Upstream %s has failed too often and is not asked for a while",
		},
		{
			RateLimited, -31006, "the upstream has said that it gets too many calls, or wants to be left alone for a while",
			"after `retryAfterMs`; the call has not begun", "Upstream %s takes no more calls for a while",
		},
	}
}

// Info returns the table's line for the class; it is zero for an unknown class.
func (c Class) Info() ClassInfo {
	for _, info := range Classes() {
		if info.Class == c {
			return info
		}
	}
	return ClassInfo{}
}

// Failure is a failure of one class. It goes to the caller as an [mcp.Error] with
// data.class, data.upstream, data.reason, data.retrySafe, data.retryAfterMs and data.requestId;
// the rest stays here.
type Failure struct {
	Class      Class
	Upstream   string        // empty when no upstream is concerned
	RetryAfter time.Duration // zero when unknown
	RetrySafe  bool          // the upstream cannot have acted on the call, or the method changes nothing
	Sent       bool          // the upstream may have got the call
	Refused    bool          // the upstream has answered, by a refusal that asking again does not change
	RequestID  string        // by which the node remembers the call; empty if it does not
	Reason     string        // why, for the caller; empty where the class says it
	Err        error         // what went wrong, for the log only
}

func (f *Failure) Error() string {
	s := string(f.Class)
	if f.Upstream != "" {
		s = fmt.Sprintf("upstream %q: %s", f.Upstream, s)
	}
	if f.Reason != "" {
		s += ": " + f.Reason
	}
	if f.Err != nil {
		s += ": " + f.Err.Error()
	}
	return s
}

// Unwrap returns the error for the caller before the cause, so that [mcp.ErrorOf] finds it first.
func (f *Failure) Unwrap() []error {
	if f.Err == nil {
		return []error{f.Wire()}
	}
	return []error{f.Wire(), f.Err}
}

// Wire returns what the caller is told.
func (f *Failure) Wire() *mcp.Error {
	info := f.Class.Info()
	data := append([]byte(`{"class":`), jsonrpc.AppendString(nil, string(f.Class))...)
	if f.Upstream != "" {
		data = jsonrpc.AppendString(append(data, `,"upstream":`...), f.Upstream)
	}
	if f.Reason != "" {
		data = jsonrpc.AppendString(append(data, `,"reason":`...), f.Reason)
	}
	data = strconv.AppendBool(append(data, `,"retrySafe":`...), f.RetrySafe)
	if f.RetryAfter > 0 {
		// Rounded up: asking a moment too early would be in vain.
		data = strconv.AppendInt(append(data, `,"retryAfterMs":`...), int64((f.RetryAfter+time.Millisecond-1)/time.Millisecond), 10)
	}
	if f.RequestID != "" {
		data = jsonrpc.AppendString(append(data, `,"requestId":`...), f.RequestID)
	}
	message := info.message
	if strings.Contains(message, "%s") {
		message = fmt.Sprintf(message, f.Upstream)
	}
	return &mcp.Error{Code: info.Code, Message: message, Data: append(data, '}')}
}
