package mcp

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/fairlead-mcp/fairlead/mcp/jsonrpc"
)

// The _meta keys of a request (MCP 2026-07-28, basic/index, _meta).
const (
	MetaProtocolVersion    = "io.modelcontextprotocol/protocolVersion"
	MetaClientInfo         = "io.modelcontextprotocol/clientInfo"
	MetaClientCapabilities = "io.modelcontextprotocol/clientCapabilities"
	MetaLogLevel           = "io.modelcontextprotocol/logLevel"
	MetaProgressToken      = "progressToken"
	// MetaServerInfo is the key of a result's _meta that names the server.
	MetaServerInfo = "io.modelcontextprotocol/serverInfo"
)

// DecodeRequest makes a Request of a message in the form of revision 2026-07-28
// or later (MCP 2026-07-28, basic/index, _meta). msg is a request that has passed
// jsonrpc.Scan; the Request shares its bytes.
//
// A request without the metadata that every request must carry, with a wrong
// type of a member that routes it, or with a revision that this library does not
// speak is refused with the error that the caller is to get.
func DecodeRequest(msg *jsonrpc.Message) (*Request, *Error) {
	if msg.Meta == nil {
		return nil, ErrInvalidParams("Missing _meta: every request carries %s and %s", MetaProtocolVersion, MetaClientCapabilities)
	}
	meta, problem := scanMeta(msg.Meta)
	switch {
	case problem != "":
		return nil, ErrInvalidParams("%s", problem)
	case meta.Version == "":
		return nil, ErrInvalidParams("Missing _meta member %s", MetaProtocolVersion)
	case !meta.Version.Known() || !meta.Version.Modern():
		return nil, errUnsupportedVersion(meta.Version)
	case meta.Capabilities == nil:
		return nil, ErrInvalidParams("Missing _meta member %s", MetaClientCapabilities)
	}
	req := &Request{Method: msg.Method, Params: msg.Params, Meta: meta, ID: msg.ID}

	if member := namedBy(msg.Method); member != "" {
		raw := msg.Name
		switch member {
		case "uri":
			raw = msg.URI
		case "taskId":
			raw = jsonrpc.Get(msg.Params, member)
		}
		if raw == nil {
			return nil, ErrInvalidParams("Missing params.%s", member)
		}
		name, ok := jsonrpc.Unquote(raw)
		if !ok {
			return nil, ErrInvalidParams("params.%s is not a string", member)
		}
		req.Name = name
	}
	if takesArguments(msg.Method) && msg.Arguments != nil {
		if msg.Arguments[0] != '{' {
			return nil, ErrInvalidParams("params.arguments is not an object")
		}
		req.Arguments = msg.Arguments
	}
	return req, nil
}

func takesArguments(method string) bool {
	return method == MethodCallTool || method == MethodGetPrompt
}

// errUnsupportedVersion answers a revision that is not spoken in this form. A
// revision with sessions is known, but not one that a request can name for
// itself; naming it as supported in the same breath would contradict that.
func errUnsupportedVersion(v Version) *Error {
	data := []byte(`{"supported":[`)
	comma := false
	for _, known := range Versions() {
		if v.Known() && !known.Modern() {
			continue
		}
		if comma {
			data = append(data, ',')
		}
		comma = true
		data = jsonrpc.AppendString(data, known)
	}
	data = append(data, `],"requested":`...)
	data = append(jsonrpc.AppendString(data, clip(string(v))), '}')
	return &Error{Code: CodeUnsupportedVersion, Message: "Unsupported protocol version", Data: data}
}

// clip bounds a caller's text that an error message repeats.
func clip(s string) string {
	const limit = 128
	if len(s) <= limit {
		return s
	}
	return s[:limit] + "..."
}

// PeekMeta reads the _meta object of a request. Members of a wrong type are left
// out; the result shares meta's bytes.
func PeekMeta(meta []byte) Meta {
	m, _ := scanMeta(meta)
	return m
}

// scanMeta is PeekMeta that also says what is wrong first.
func scanMeta(meta []byte) (m Meta, problem string) {
	m.Raw = meta
	traced := false
	wrong := func(text string) {
		if problem == "" {
			problem = text
		}
	}
	for key, value := range jsonrpc.Members(meta) {
		switch key {
		case MetaProtocolVersion:
			v, ok := unquoteVersion(value)
			if !ok {
				wrong("_meta member " + MetaProtocolVersion + " is not a string")
				continue
			}
			m.Version = v
		case MetaClientInfo:
			if !isObject(value) {
				wrong("_meta member " + MetaClientInfo + " is not an object")
				continue
			}
			m.ClientInfo = value
		case MetaClientCapabilities:
			if !isObject(value) {
				wrong("_meta member " + MetaClientCapabilities + " is not an object")
				continue
			}
			m.Capabilities = value
		case MetaLogLevel:
			level, _ := jsonrpc.Unquote(value)
			if !LogLevel(level).Valid() {
				wrong("Invalid log level")
				continue
			}
			m.LogLevel = LogLevel(level)
		case MetaProgressToken:
			if !isToken(value) {
				wrong("progressToken is neither a string nor an integer")
				continue
			}
			m.ProgressToken = value
		case MetaTraceParent, MetaTraceState, MetaBaggage:
			traced = true
		}
	}
	if traced {
		m.Raw = withoutBadTrace(meta)
	}
	return m, problem
}

// unquoteVersion decodes a version; that of nearly every request costs no allocation.
func unquoteVersion(raw []byte) (Version, bool) {
	if string(raw) == `"`+string(LatestVersion)+`"` {
		return LatestVersion, true
	}
	s, ok := jsonrpc.Unquote(raw)
	return Version(s), ok
}

func isObject(raw []byte) bool { return len(raw) > 0 && raw[0] == '{' }

// isToken reports whether raw is a string or an integer: a progress token or a request id.
func isToken(raw []byte) bool {
	if len(raw) == 0 {
		return false
	}
	if raw[0] == '"' {
		return true
	}
	for i, c := range raw {
		if (c < '0' || c > '9') && (c != '-' || i > 0) {
			return false
		}
	}
	return true
}

// AppendResponse appends the response to a request of revision 2026-07-28: an
// error response if err is not nil, else res with its resultType and, where the
// method has them, its caching hints (MCP 2026-07-28, server/utilities/caching).
// The response that ends a subscription gets its subscription id.
func AppendResponse(dst, id []byte, method string, res Result, err *Error) []byte {
	if err != nil {
		return jsonrpc.AppendError(dst, id, modernCode(method, err.Code), err.Message, err.Data)
	}
	dst = append(dst, `{"jsonrpc":"2.0","id":`...)
	dst = append(dst, id...)
	dst = append(dst, `,"result":{"resultType":`...)
	switch res.Type {
	case "", ResultComplete:
		dst = append(dst, `"complete"`...)
		if cacheable(method) {
			dst = appendCache(dst, res.Cache)
		}
	default:
		dst = jsonrpc.AppendString(dst, res.Type)
	}
	body := res.Body
	if method == MethodListen {
		body = withSubscriptionID(body, id)
	}
	if rest, ok := objectRest(body); ok {
		dst = append(dst, ',')
		dst = append(dst, rest...)
	} else {
		dst = append(dst, '}')
	}
	return append(dst, '}')
}

// modernCode replaces the codes of old revisions that must not be sent in this
// one, whoever made the error (MCP 2026-07-28, basic/index, Error Codes).
func modernCode(method string, code int) int {
	switch {
	case code == codeLegacyNotFound && method == MethodReadResource:
		return jsonrpc.CodeInvalidParams
	case code == codeLegacyNotFound, code == codeLegacyURLElicitation:
		return jsonrpc.CodeInternalError
	}
	return code
}

func appendCache(dst []byte, c Cache) []byte {
	dst = append(dst, `,"ttlMs":`...)
	dst = strconv.AppendInt(dst, max(0, c.TTL.Milliseconds()), 10)
	if c.Scope == CachePublic {
		return append(dst, `,"cacheScope":"public"`...)
	}
	return append(dst, `,"cacheScope":"private"`...)
}

// withSubscriptionID puts the id of a listen request into the _meta of the result that ends it.
func withSubscriptionID(body, id []byte) []byte {
	meta := jsonrpc.Splice(nil, jsonrpc.Get(body, "_meta"), jsonrpc.Member{Key: MetaSubscriptionID, Value: id})
	return jsonrpc.Splice(nil, body, jsonrpc.Member{Key: "_meta", Value: meta})
}

// objectRest returns what follows the opening brace of an object, closing brace
// included; false for an object without members and for nil.
func objectRest(obj []byte) ([]byte, bool) {
	if len(obj) < 2 {
		return nil, false
	}
	for i := 1; i < len(obj); i++ {
		switch obj[i] {
		case ' ', '\t', '\r', '\n':
		case '}':
			return nil, false
		default:
			return obj[i:], true
		}
	}
	return nil, false
}

// AppendRequest appends req as a request of the latest revision with the given id
// on this hop. The metadata comes from req.Meta; progressToken is the token of
// this hop, nil for none.
func AppendRequest(dst, id []byte, req *Request, progressToken []byte) []byte {
	capabilities := req.Meta.Capabilities
	if capabilities == nil {
		capabilities = []byte(`{}`)
	}
	var level []byte
	if req.Meta.LogLevel != "" {
		level = jsonrpc.AppendString(nil, req.Meta.LogLevel)
	}
	meta := jsonrpc.Splice(make([]byte, 0, 256+len(req.Meta.Raw)), req.Meta.Raw,
		jsonrpc.Member{Key: MetaProtocolVersion, Value: []byte(`"` + string(LatestVersion) + `"`)},
		jsonrpc.Member{Key: MetaClientInfo, Value: req.Meta.ClientInfo},
		jsonrpc.Member{Key: MetaClientCapabilities, Value: capabilities},
		jsonrpc.Member{Key: MetaLogLevel, Value: level},
		jsonrpc.Member{Key: MetaProgressToken, Value: progressToken},
	)
	dst = append(dst, `{"jsonrpc":"2.0","id":`...)
	dst = append(dst, id...)
	dst = append(dst, `,"method":`...)
	dst = jsonrpc.AppendString(dst, req.Method)
	dst = append(dst, `,"params":`...)
	dst = jsonrpc.Splice(dst, req.Params, jsonrpc.Member{Key: "_meta", Value: meta})
	return append(dst, '}')
}

// DecodeResponse makes a Result or an error of a response in the form of revision
// 2026-07-28. What it returns shares no bytes with msg. An error response becomes
// an *Error for which [IsWireError] holds; any other error means that the response
// is not one that the protocol allows.
func DecodeResponse(msg *jsonrpc.Message) (Result, error) {
	if msg.Kind == jsonrpc.ErrorReply {
		return Result{}, decodeError(msg.Error)
	}
	if msg.Kind != jsonrpc.Response {
		return Result{}, errors.New("not a response")
	}
	res := Result{Type: ResultComplete}
	var hinted, extra, task bool
	for key, value := range jsonrpc.Members(msg.Result) {
		switch key {
		case "resultType":
			s, ok := jsonrpc.Unquote(value)
			if res.Type = ResultType(s); !ok || (res.Type != ResultComplete && res.Type != ResultInputRequired && res.Type != ResultTask) {
				return Result{}, fmt.Errorf("result has the unknown resultType %.64s", value)
			}
			extra = true
		case "ttlMs":
			res.Cache.TTL = decodeTTL(value)
			hinted, extra = true, true
		case "cacheScope":
			if string(value) == `"public"` {
				res.Cache.Scope = CachePublic
			}
			hinted, extra = true, true
		case "taskId":
			task = true
		}
	}
	if task { // its ttlMs is no hint, but a member of the task
		res.Cache = Cache{}
		res.Body = jsonrpc.Splice(make([]byte, 0, len(msg.Result)), msg.Result, jsonrpc.Member{Key: "resultType"})
		return res, nil
	}
	if hinted && res.Cache.Scope == "" {
		res.Cache.Scope = CachePrivate // whatever else it says, to share it would be the mistake
	}
	if !extra {
		res.Body = append([]byte(nil), msg.Result...)
		return res, nil
	}
	res.Body = jsonrpc.Splice(make([]byte, 0, len(msg.Result)), msg.Result,
		jsonrpc.Member{Key: "resultType"}, jsonrpc.Member{Key: "ttlMs"}, jsonrpc.Member{Key: "cacheScope"})
	return res, nil
}

// decodeTTL reads ttlMs: negative and unreadable values count as 0.
func decodeTTL(raw []byte) time.Duration {
	ms, err := strconv.ParseFloat(string(raw), 64)
	switch {
	case err != nil || !(ms > 0):
		return 0
	case ms >= math.MaxInt64/float64(time.Millisecond):
		return math.MaxInt64
	}
	return time.Duration(ms) * time.Millisecond
}

func decodeError(raw []byte) error {
	e := &Error{fromPeer: true}
	coded := false
	for key, value := range jsonrpc.Members(raw) {
		switch key {
		case "code":
			n, err := strconv.Atoi(string(value))
			e.Code, coded = n, err == nil
		case "message":
			e.Message, _ = jsonrpc.Unquote(value)
		case "data":
			e.Data = append([]byte(nil), value...)
		}
	}
	if !coded {
		return errors.New("error response has no integer code")
	}
	return e
}
