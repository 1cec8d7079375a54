package jsonrpc

import (
	"bytes"
	"slices"
	"unicode/utf8"
)

const (
	// An object with at most this many members is checked for duplicates by comparing each
	// pair; one with more is sorted at its end.
	fewKeys = 16
	// The spans of all open objects that need no allocation.
	stackKeys = 64
)

// A keySet finds duplicate member names in the objects that are open at one time. It works
// like a stack, so memory follows what is open: 12 bytes for a name, and the names that had
// to be unescaped.
type keySet struct {
	near  [stackKeys]keySpan
	used  int
	many  []keySpan
	names []byte // unescaped names
}

// A keySpan is a decoded name: bytes of the data, or of keySet.names.
type keySpan struct {
	off, len  int32
	unescaped bool
}

// An openKeys is one object's part of a keySet.
type openKeys struct {
	near, n     int // near[near:near+n] until spilled
	many, names int
	spilled     bool
}

func (k *keySet) open() openKeys {
	return openKeys{near: k.used, many: len(k.many), names: len(k.names)}
}

// unescape decodes a checked name into names. add must follow at once.
func (k *keySet) unescape(raw []byte) []byte {
	start := len(k.names)
	k.names = appendUnescaped(k.names, raw)
	return k.names[start:len(k.names):len(k.names)]
}

// add takes the next name. It reports false if it is already known to be a duplicate.
func (k *keySet) add(o *openKeys, data []byte, off int, key []byte, unescaped bool) bool {
	span := keySpan{off: int32(off), len: int32(len(key)), unescaped: unescaped}
	if unescaped {
		span.off = int32(len(k.names) - len(key))
	}
	if o.spilled {
		k.many = append(k.many, span)
		return true
	}
	for i := o.near; i < o.near+o.n; i++ {
		if int(k.near[i].len) == len(key) && bytes.Equal(k.bytes(data, k.near[i]), key) {
			return false
		}
	}
	if o.n == fewKeys || k.used == stackKeys {
		k.many = append(k.many, k.near[o.near:o.near+o.n]...)
		k.many = append(k.many, span)
		k.used = o.near
		o.spilled = true
		return true
	}
	k.near[k.used] = span
	k.used++
	o.n++
	return true
}

// close ends an object. It reports false if a duplicate turned up.
func (k *keySet) close(o *openKeys, data []byte) bool {
	unique := true
	if o.spilled {
		spans := k.many[o.many:]
		// Sorting and no hash table: half the memory, and no input makes it slow.
		slices.SortFunc(spans, func(a, b keySpan) int { return bytes.Compare(k.bytes(data, a), k.bytes(data, b)) })
		for i := 1; i < len(spans) && unique; i++ {
			unique = !bytes.Equal(k.bytes(data, spans[i-1]), k.bytes(data, spans[i]))
		}
		k.many = k.many[:o.many]
	}
	k.used = o.near
	k.names = k.names[:o.names]
	return unique
}

func (k *keySet) bytes(data []byte, s keySpan) []byte {
	if s.unescaped {
		data = k.names
	}
	return data[s.off : s.off+s.len]
}

// appendUnescaped decodes the inside of a string. What is malformed becomes U+FFFD.
func appendUnescaped(dst, raw []byte) []byte {
	for {
		i := bytes.IndexByte(raw, '\\')
		if i < 0 {
			return append(dst, raw...)
		}
		dst = append(dst, raw[:i]...)
		r, size := unescapeRune(raw[i:])
		if size == 0 {
			r, size = utf8.RuneError, 1
		}
		dst = utf8.AppendRune(dst, r)
		raw = raw[i+size:]
	}
}

// methodName decodes a checked string. Known methods do not allocate.
func methodName(raw []byte) string {
	raw = raw[1 : len(raw)-1]
	if bytes.IndexByte(raw, '\\') >= 0 {
		return string(appendUnescaped(nil, raw))
	}
	switch string(raw) {
	case "tools/call":
		return "tools/call"
	case "tools/list":
		return "tools/list"
	case "server/discover":
		return "server/discover"
	case "resources/list":
		return "resources/list"
	case "resources/read":
		return "resources/read"
	case "resources/templates/list":
		return "resources/templates/list"
	case "prompts/list":
		return "prompts/list"
	case "prompts/get":
		return "prompts/get"
	case "completion/complete":
		return "completion/complete"
	case "subscriptions/listen":
		return "subscriptions/listen"
	case "initialize":
		return "initialize"
	case "ping":
		return "ping"
	case "logging/setLevel":
		return "logging/setLevel"
	case "resources/subscribe":
		return "resources/subscribe"
	case "resources/unsubscribe":
		return "resources/unsubscribe"
	case "sampling/createMessage":
		return "sampling/createMessage"
	case "elicitation/create":
		return "elicitation/create"
	case "roots/list":
		return "roots/list"
	case "notifications/initialized":
		return "notifications/initialized"
	case "notifications/progress":
		return "notifications/progress"
	case "notifications/message":
		return "notifications/message"
	case "notifications/cancelled":
		return "notifications/cancelled"
	case "notifications/tools/list_changed":
		return "notifications/tools/list_changed"
	case "notifications/prompts/list_changed":
		return "notifications/prompts/list_changed"
	case "notifications/resources/list_changed":
		return "notifications/resources/list_changed"
	case "notifications/resources/updated":
		return "notifications/resources/updated"
	case "notifications/subscriptions/acknowledged":
		return "notifications/subscriptions/acknowledged"
	case "notifications/roots/list_changed":
		return "notifications/roots/list_changed"
	case "notifications/elicitation/complete":
		return "notifications/elicitation/complete"
	}
	return string(raw)
}

// memberName decodes a name without its quotes. Common members of MCP do not allocate.
func memberName(raw []byte) string {
	if bytes.IndexByte(raw, '\\') >= 0 {
		return string(appendUnescaped(nil, raw))
	}
	switch string(raw) {
	case "_meta":
		return "_meta"
	case "name":
		return "name"
	case "uri":
		return "uri"
	case "arguments":
		return "arguments"
	case "cursor":
		return "cursor"
	case "nextCursor":
		return "nextCursor"
	case "type":
		return "type"
	case "text":
		return "text"
	case "content":
		return "content"
	case "contents":
		return "contents"
	case "structuredContent":
		return "structuredContent"
	case "isError":
		return "isError"
	case "resultType":
		return "resultType"
	case "ttlMs":
		return "ttlMs"
	case "cacheScope":
		return "cacheScope"
	case "title":
		return "title"
	case "description":
		return "description"
	case "inputSchema":
		return "inputSchema"
	case "outputSchema":
		return "outputSchema"
	case "annotations":
		return "annotations"
	case "icons":
		return "icons"
	case "mimeType":
		return "mimeType"
	case "tools":
		return "tools"
	case "resources":
		return "resources"
	case "resourceTemplates":
		return "resourceTemplates"
	case "prompts":
		return "prompts"
	case "code":
		return "code"
	case "message":
		return "message"
	case "data":
		return "data"
	case "progressToken":
		return "progressToken"
	case "io.modelcontextprotocol/protocolVersion":
		return "io.modelcontextprotocol/protocolVersion"
	case "io.modelcontextprotocol/clientInfo":
		return "io.modelcontextprotocol/clientInfo"
	case "io.modelcontextprotocol/clientCapabilities":
		return "io.modelcontextprotocol/clientCapabilities"
	case "io.modelcontextprotocol/logLevel":
		return "io.modelcontextprotocol/logLevel"
	}
	return string(raw)
}
