package mcp

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/textproto"
	"strconv"
	"strings"

	"github.com/fairlead-mcp/fairlead/mcp/jsonrpc"
)

// The sentinel around a header value in Base64 (MCP 2026-07-28,
// basic/transports/streamable-http, value encoding).
const (
	sentinelOpen  = "=?base64?"
	sentinelClose = "?="
)

// maxSafeInteger is the largest integer that every reader of a header agrees about.
const maxSafeInteger = 1<<53 - 1

// EncodeHeaderValue writes s as the value of an Mcp-Name or Mcp-Param header
// (MCP 2026-07-28, basic/transports/streamable-http, value encoding): as it is if
// it is plain ASCII, in Base64 between sentinels if it is not, if white space at
// its ends could get lost, or if it looks like something encoded itself.
func EncodeHeaderValue(s string) string {
	if plainHeaderValue(s) && !sentinel(s) {
		return s
	}
	return sentinelOpen + base64.StdEncoding.EncodeToString([]byte(s)) + sentinelClose
}

// DecodeHeaderValue reverses [EncodeHeaderValue]. It reports false for a value with
// characters that no header value has and for a sentinel around something other than Base64.
func DecodeHeaderValue(s string) (string, bool) {
	if !sentinel(s) {
		if !plainHeaderValue(s) {
			return "", false
		}
		return s, true
	}
	if len(s) < len(sentinelOpen)+len(sentinelClose) {
		return "", false
	}
	b, err := base64.StdEncoding.Strict().DecodeString(s[len(sentinelOpen) : len(s)-len(sentinelClose)])
	if err != nil || strings.ContainsAny(s, "\r\n") { // the decoder skips line breaks
		return "", false
	}
	return string(b), true
}

func sentinel(s string) bool {
	return strings.HasPrefix(s, sentinelOpen) && strings.HasSuffix(s, sentinelClose)
}

func plainHeaderValue(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < ' ' || c > '~') && c != '\t' {
			return false
		}
	}
	return strings.Trim(s, " \t") == s
}

// HeaderParams is the set of a tool's parameters that HTTP requests repeat in
// Mcp-Param headers, as x-mcp-header in its input schema says (MCP 2026-07-28,
// server/tools, x-mcp-header). It is immutable. A nil *HeaderParams has none.
type HeaderParams struct {
	params []headerParam
}

type headerParam struct {
	name string   // canonical name of the header
	path []string // of the property, from the root of the arguments
}

// CompileHeaderParams reads the annotations of an input schema; the result is nil
// if there are none. It refuses a schema that the specification calls invalid: an
// annotation that is no token, occurs twice, stands at a parameter that is not an
// integer, string or boolean, or anywhere but at a property that a chain of
// properties leads to from the root. Clients leave such a tool out.
func CompileHeaderParams(inputSchema []byte) (*HeaderParams, error) {
	if len(inputSchema) == 0 {
		return nil, nil
	}
	if err := jsonrpc.Valid(inputSchema, nil); err != nil {
		return nil, fmt.Errorf("input schema: %w", err)
	}
	c := headerCompiler{taken: make(map[string]bool)}
	if err := c.schema(inputSchema, nil, true); err != nil {
		return nil, fmt.Errorf("input schema: %w", err)
	}
	if len(c.params) == 0 {
		return nil, nil
	}
	return &HeaderParams{params: c.params}, nil
}

type headerCompiler struct {
	params []headerParam
	taken  map[string]bool // header name, canonical -> in use
}

// schema walks one schema. path leads to it from the root if it is reachable.
func (c *headerCompiler) schema(schema []byte, path []string, reachable bool) error {
	if schema = trimSpace(schema); !isObject(schema) {
		return nil
	}
	for key, value := range jsonrpc.Members(schema) {
		var err error
		switch key {
		case "x-mcp-header":
			err = c.annotation(schema, value, path, reachable)
		case "properties":
			for name, property := range jsonrpc.Members(value) {
				if err = c.schema(property, append(path[:len(path):len(path)], name), reachable); err != nil {
					break
				}
			}
		case "const", "default", "enum", "example", "examples":
			// Data: what looks like an annotation there is somebody's value.
		case "$defs", "definitions", "dependentSchemas", "patternProperties":
			// Here members have names of the author's choice, and one may be x-mcp-header.
			for _, sub := range jsonrpc.Members(value) {
				if err = c.schema(sub, path, false); err != nil {
					break
				}
			}
		default:
			err = c.elsewhere(value, path)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// elsewhere walks the value of any other keyword, where no annotation may be.
func (c *headerCompiler) elsewhere(value []byte, path []string) error {
	if value = trimSpace(value); len(value) == 0 || value[0] != '[' {
		return c.schema(value, path, false)
	}
	for sub := range jsonrpc.Elements(value) {
		if err := c.elsewhere(sub, path); err != nil {
			return err
		}
	}
	return nil
}

func (c *headerCompiler) annotation(schema, value []byte, path []string, reachable bool) error {
	if !reachable || len(path) == 0 {
		return errors.New("x-mcp-header at a place that properties alone do not lead to")
	}
	at := strings.Join(path, ".")
	name, ok := jsonrpc.Unquote(value)
	if !ok || !isHeaderToken(name) {
		return fmt.Errorf("x-mcp-header of %.128q is not a header name", at)
	}
	switch t := jsonrpc.Get(schema, "type"); string(t) {
	case `"string"`, `"integer"`, `"boolean"`:
	default:
		return fmt.Errorf("x-mcp-header of %.128q: the parameter is not a string, integer or boolean", at)
	}
	name = textproto.CanonicalMIMEHeaderKey("Mcp-Param-" + name)
	if c.taken[name] {
		return fmt.Errorf("x-mcp-header of %.128q is in use already", at)
	}
	c.taken[name] = true
	c.params = append(c.params, headerParam{name: name, path: path})
	return nil
}

// isHeaderToken reports whether s is a token of RFC 9110 section 5.6.2.
func isHeaderToken(s string) bool {
	for i := range len(s) {
		c := s[i]
		alnum := '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
		if !alnum && !strings.ContainsRune("!#$%&'*+-.^_`|~", rune(c)) {
			return false
		}
	}
	return s != ""
}

// Each yields the headers that mirror args, the raw arguments of a call or nil:
// canonical name and encoded value. Absent and null arguments have none.
func (p *HeaderParams) Each(args []byte, yield func(name, value string)) {
	if p == nil {
		return
	}
	for _, param := range p.params {
		if text, ok := headerText(param.value(args)); ok {
			yield(param.name, EncodeHeaderValue(text))
		}
	}
}

// Check reports a header that does not say what args, the raw arguments of a call
// or nil, say; it is nil if all agree. header has canonical names. Integers are
// compared by value.
func (p *HeaderParams) Check(header map[string][]string, args []byte) *Error {
	if p == nil {
		return nil
	}
	for _, param := range p.params {
		if problem := param.check(header[param.name], args); problem != "" {
			return Errorf(CodeHeaderMismatch, "Header mismatch: %s %s", param.name, problem)
		}
	}
	return nil
}

func (param *headerParam) check(values []string, args []byte) (problem string) {
	raw := param.value(args)
	want, given := headerText(raw)
	switch {
	case !given && len(values) == 0:
		return ""
	case !given:
		return "header has no value in the arguments"
	case len(values) == 0:
		return "header is missing"
	case len(values) > 1:
		return "header occurs more than once"
	}
	got, ok := DecodeHeaderValue(values[0])
	if !ok {
		return "header has invalid characters"
	}
	if isNumber(raw) {
		if !safeInteger(want) {
			return "stands for an integer outside the safe range"
		}
		if isNumber([]byte(got)) && jsonrpc.Valid([]byte(got), nil) == nil {
			got = integerText(got)
		}
	}
	if got != want {
		return "header value does not match the arguments"
	}
	return ""
}

// value is the raw argument at the parameter's path, nil if there is none.
func (param *headerParam) value(args []byte) []byte {
	for _, name := range param.path {
		if args = jsonrpc.Get(args, name); args == nil {
			return nil
		}
	}
	return args
}

// headerText is the text of a raw argument in a header. Null has none, nor have
// objects and arrays, which the tool's schema will refuse.
func headerText(raw []byte) (string, bool) {
	switch raw = trimSpace(raw); {
	case len(raw) == 0:
		return "", false
	case raw[0] == '"':
		return jsonrpc.Unquote(raw)
	case raw[0] == 't' || raw[0] == 'f':
		return string(raw), true
	case isNumber(raw):
		return integerText(string(raw)), true
	}
	return "", false
}

func isNumber(raw []byte) bool {
	return len(raw) > 0 && (raw[0] == '-' || '0' <= raw[0] && raw[0] <= '9')
}

// integerText is the decimal form of a JSON number that is an integer, however it
// is written: 42 for 42.0 and 4.2e1. Other numbers stay as they are.
func integerText(number string) string {
	if number == "-0" {
		return "0"
	}
	if !strings.ContainsAny(number, ".eE") {
		return number // also where a float could not hold it
	}
	f, err := strconv.ParseFloat(number, 64)
	if err != nil || f < -maxSafeInteger || f > maxSafeInteger || f != float64(int64(f)) {
		return number
	}
	return strconv.FormatInt(int64(f), 10)
}

// safeInteger reports whether number, if it is an integer at all, is in the safe range.
func safeInteger(number string) bool {
	f, err := strconv.ParseFloat(number, 64)
	return err == nil && f >= -maxSafeInteger && f <= maxSafeInteger
}

func trimSpace(raw []byte) []byte {
	for len(raw) > 0 && strings.IndexByte(" \t\r\n", raw[0]) >= 0 {
		raw = raw[1:]
	}
	return raw
}
