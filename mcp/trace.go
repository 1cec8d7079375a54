package mcp

import (
	"context"
	"slices"
	"strings"

	"github.com/fairlead-mcp/fairlead/mcp/jsonrpc"
)

// The _meta keys of a trace context (MCP 2026-07-28, basic/index, OpenTelemetry trace context).
const (
	MetaTraceParent = "traceparent"
	MetaTraceState  = "tracestate"
	MetaBaggage     = "baggage"
)

// Trace is the trace context of a request: the values of W3C Trace Context and W3C
// Baggage, as they stand in HTTP headers and in _meta (MCP 2026-07-28, basic/index,
// OpenTelemetry trace context; SEP-414). The zero Trace is none.
//
// A Trace that this package returns is valid and bounded. A value that is not valid
// is dropped wherever it comes in, and costs nothing else.
type Trace struct {
	Parent  string // traceparent, 55 bytes in version 00
	State   string // tracestate, at most 4 KiB; only beside a Parent
	Baggage string // at most 8 KiB
}

const (
	maxTraceParent = 256
	// 32 members of some size; W3C Trace Context asks for 512 bytes at least.
	maxTraceState        = 4 << 10
	maxTraceStateMembers = 32
	// The least that W3C Baggage asks every platform to carry.
	maxBaggage        = 8 << 10
	maxBaggageMembers = 64
)

// TraceOf returns the trace context in a _meta object, such as [Meta].Raw.
func TraceOf(meta []byte) Trace {
	var t Trace
	for key, value := range jsonrpc.Members(meta) {
		switch key {
		case MetaTraceParent:
			t.Parent = unquoteBounded(value, maxTraceParent)
		case MetaTraceState:
			t.State = unquoteBounded(value, maxTraceState)
		case MetaBaggage:
			t.Baggage = unquoteBounded(value, maxBaggage)
		}
	}
	return t.valid()
}

// unquoteBounded decodes a string of at most limit bytes of ASCII; empty for anything else.
func unquoteBounded(raw []byte, limit int) string {
	if len(raw) > 6*limit+2 { // each byte may be spelled \u00XX
		return ""
	}
	s, _ := jsonrpc.Unquote(raw)
	return s
}

// Trace returns the trace context that came with the request; zero if there is none.
func (c *Call) Trace() Trace { return TraceOf(c.req.Meta.Raw) }

type traceKey struct{}

// ContextWithTrace returns a context in which each request of a [Client] carries t,
// unless the call brings a trace context of its own. A server that calls others on
// behalf of a caller hands the caller's trace on with it; a tracer does the same in an
// [Interceptor] with the span of the request:
//
//	ctx = mcp.ContextWithTrace(ctx, call.Trace())
func ContextWithTrace(ctx context.Context, t Trace) context.Context {
	return context.WithValue(ctx, traceKey{}, t.valid())
}

// TraceFromContext returns what [ContextWithTrace] put into ctx, or zero.
func TraceFromContext(ctx context.Context) Trace {
	t, _ := ctx.Value(traceKey{}).(Trace)
	return t
}

// traceCalls adds the trace context of a call to its metadata.
func traceCalls(next Handler) Handler {
	return HandlerFunc(func(ctx context.Context, req *Request, sink Sink) (Result, error) {
		t := TraceFromContext(ctx)
		if t == (Trace{}) || TraceOf(req.Meta.Raw) != (Trace{}) {
			return next.Handle(ctx, req, sink)
		}
		member := func(key, value string) jsonrpc.Member {
			if value == "" {
				return jsonrpc.Member{Key: key} // drops one that is there and not valid
			}
			return jsonrpc.Member{Key: key, Value: jsonrpc.AppendString(nil, value)}
		}
		traced := *req
		traced.Meta.Raw = jsonrpc.Splice(nil, req.Meta.Raw,
			member(MetaTraceParent, t.Parent), member(MetaTraceState, t.State), member(MetaBaggage, t.Baggage))
		return next.Handle(ctx, &traced, sink)
	})
}

// withoutBadTrace returns a _meta object without trace context that is not valid.
func withoutBadTrace(meta []byte) []byte {
	t := TraceOf(meta)
	var drop []jsonrpc.Member
	for key := range jsonrpc.Members(meta) {
		if key == MetaTraceParent && t.Parent == "" || key == MetaTraceState && t.State == "" || key == MetaBaggage && t.Baggage == "" {
			drop = append(drop, jsonrpc.Member{Key: key})
		}
	}
	if drop == nil {
		return meta
	}
	return jsonrpc.Splice(nil, meta, drop...)
}

// valid returns t without what W3C Trace Context and W3C Baggage do not allow.
func (t Trace) valid() Trace {
	if !validTraceParent(t.Parent) {
		t.Parent = ""
	}
	if t.Parent == "" || !validTraceState(t.State) {
		t.State = ""
	}
	if !validBaggage(t.Baggage) {
		t.Baggage = ""
	}
	return t
}

// validTraceParent follows W3C Trace Context, section 3.2.2. Later versions may append fields.
func validTraceParent(s string) bool {
	const size = 2 + 1 + 32 + 1 + 16 + 1 + 2
	if len(s) < size || len(s) > maxTraceParent || s[2] != '-' || s[35] != '-' || s[52] != '-' {
		return false
	}
	version, id, parent, flags := s[:2], s[3:35], s[36:52], s[53:size]
	if !isLowerHex(version) || !isLowerHex(id) || !isLowerHex(parent) || !isLowerHex(flags) ||
		version == "ff" || strings.Trim(id, "0") == "" || strings.Trim(parent, "0") == "" {
		return false
	}
	if len(s) == size {
		return true
	}
	return version != "00" && s[size] == '-' && only(s[size:], func(c byte) bool { return c > ' ' && c < 0x7f })
}

// validTraceState follows W3C Trace Context, section 3.3.1.
func validTraceState(s string) bool {
	if len(s) > maxTraceState {
		return false
	}
	var seen []string
	for member := range strings.SplitSeq(s, ",") {
		member = strings.Trim(member, " \t")
		if member == "" {
			continue
		}
		key, value, ok := strings.Cut(member, "=")
		if !ok || !validStateKey(key) || value == "" || len(value) > 256 || slices.Contains(seen, key) || len(seen) == maxTraceStateMembers {
			return false
		}
		if !only(value, func(c byte) bool { return c >= ' ' && c < 0x7f && c != ',' && c != '=' }) {
			return false
		}
		seen = append(seen, key)
	}
	return len(seen) > 0
}

func validStateKey(s string) bool {
	if s == "" || len(s) > 256 || !isLowerAlnum(s[0]) {
		return false
	}
	return only(s, func(c byte) bool { return isLowerAlnum(c) || strings.IndexByte("_-*/@", c) >= 0 })
}

// validBaggage follows W3C Baggage, section 3.3.
func validBaggage(s string) bool {
	if s == "" || len(s) > maxBaggage || strings.Count(s, ",") >= maxBaggageMembers {
		return false
	}
	for member := range strings.SplitSeq(s, ",") {
		for i, part := range strings.Split(member, ";") {
			key, value, pair := strings.Cut(part, "=")
			if i == 0 && !pair || !isToken7230(strings.Trim(key, " \t")) || !only(strings.Trim(value, " \t"), isBaggageOctet) {
				return false
			}
		}
	}
	return true
}

func isBaggageOctet(c byte) bool {
	return c > ' ' && c < 0x7f && c != '"' && c != ',' && c != ';' && c != '\\'
}

// isToken7230 reports whether s is a token of HTTP.
func isToken7230(s string) bool {
	return s != "" && only(s, func(c byte) bool {
		return isLowerAlnum(c) || c >= 'A' && c <= 'Z' || strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0
	})
}

func isLowerAlnum(c byte) bool { return c >= 'a' && c <= 'z' || c >= '0' && c <= '9' }

func isLowerHex(s string) bool {
	return only(s, func(c byte) bool { return c >= 'a' && c <= 'f' || c >= '0' && c <= '9' })
}

func only(s string, ok func(byte) bool) bool {
	for i := range len(s) {
		if !ok(s[i]) {
			return false
		}
	}
	return true
}
