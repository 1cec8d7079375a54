package mcp

import (
	"bytes"
	"cmp"
	"fmt"
	"math"
	"net/mail"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/fairlead-mcp/fairlead/mcp/jsonrpc"
)

// Bounds of validation. A validator stops at maxViolations: a model that reads
// ten problems has enough to go on.
const (
	maxViolations  = 10
	maxSchemaBytes = 1 << 20
	maxSchemaDepth = 64
	maxSchemaNodes = 10_000
)

// A violation is one way in which a value does not fit its schema.
type violation struct {
	path    string // JSON pointer; "" is the whole value
	problem string
}

// appendViolations appends what is wrong with something called what, for a model to read.
func appendViolations(dst []byte, what string, vs []violation) []byte {
	dst = append(dst, what...)
	for _, v := range vs {
		dst = append(dst, "\n- "...)
		if v.path != "" {
			dst = append(append(dst, v.path...), ": "...)
		}
		dst = append(dst, v.problem...)
	}
	return dst
}

// An edit replaces data[start:end] of a validated value by text: a default that
// is filled in, or an integer written as 1.0.
type edit struct {
	start, end int
	text       []byte
}

func applyEdits(data []byte, edits []edit) []byte {
	slices.SortStableFunc(edits, func(a, b edit) int { return cmp.Compare(a.start, b.start) })
	out := make([]byte, 0, len(data)+64*len(edits))
	at := 0
	for _, e := range edits {
		out = append(append(out, data[at:e.start]...), e.text...)
		at = e.end
	}
	return append(out, data[at:]...)
}

// kinds is a set of JSON types.
type kinds uint8

const (
	kindNull kinds = 1 << iota
	kindBoolean
	kindInteger
	kindNumber
	kindString
	kindArray
	kindObject
	kindAny = kinds(0xff)
)

func (k kinds) String() string {
	names := []string{"null", "boolean", "integer", "number", "string", "array", "object"}
	var has []string
	for i, name := range names {
		if k&(1<<i) != 0 {
			has = append(has, name)
		}
	}
	return strings.Join(has, " or ")
}

// A node is a compiled schema that validates by walking the bytes of a value that
// has passed the strict scan. It covers the keywords of nearly every tool; a
// schema with any other goes to the general validator as a whole.
type node struct {
	kinds kinds
	enum  [][]byte // canonical scalars; nil means no enum
	// enumText says the choices in a message.
	enumText string

	properties map[string]*property
	required   []string
	additional *node // for members that are not in properties; nil allows anything
	closed     bool  // no other members
	minMembers int
	maxMembers int // -1 means no bound
	defaults   []*property

	items    *node // nil allows anything
	minItems int
	maxItems int // -1 means no bound

	minLength int // in characters
	maxLength int // -1 means no bound
	pattern   *regexp.Regexp
	format    func(string) bool // nil: not checked
	formatIs  string

	minimum, maximum           float64 // infinite means no bound
	exclusiveMin, exclusiveMax float64
}

type property struct {
	name     string
	node     *node  // nil allows anything
	index    int    // among the properties
	fallback []byte // the default, or nil
}

// A memberSet says which members of a schema an object has, without allocating for most schemas.
type memberSet struct {
	few  [4]uint64
	many map[int]bool // from index 256 on
}

func (m *memberSet) add(i int) {
	if i < 64*len(m.few) {
		m.few[i/64] |= 1 << (i % 64)
		return
	}
	if m.many == nil {
		m.many = make(map[int]bool)
	}
	m.many[i] = true
}

func (m *memberSet) has(i int) bool {
	if i < 64*len(m.few) {
		return m.few[i/64]&(1<<(i%64)) != 0
	}
	return m.many[i]
}

// A walk validates one value.
type walk struct {
	data  []byte
	pos   int
	path  []byte
	found []violation
	edits []edit
	fill  bool // defaults are filled in
	bad   bool // data is not JSON

	room [96]byte // for path
}

// check validates data. malformed says that data is not JSON.
func (n *node) check(data []byte, fill bool) (found []violation, edits []edit, malformed bool) {
	w := walk{data: data, fill: fill}
	w.path = w.room[:0]
	w.space()
	w.value(n, 0)
	w.space()
	return w.found, w.edits, w.bad || w.pos != len(data)
}

func (w *walk) fail(format string, args ...any) {
	if len(w.found) < maxViolations {
		w.found = append(w.found, violation{string(w.path), fmt.Sprintf(format, args...)})
	}
}

// peek returns the byte at the position, 0 at the end.
func (w *walk) peek() byte {
	if w.pos < len(w.data) {
		return w.data[w.pos]
	}
	return 0
}

func (w *walk) space() {
	for w.pos < len(w.data) {
		switch w.data[w.pos] {
		case ' ', '\t', '\n', '\r':
			w.pos++
		default:
			return
		}
	}
}

// value validates the value at the position against n and moves behind it. A nil n allows anything.
func (w *walk) value(n *node, depth int) {
	if depth > jsonrpc.DefaultMaxDepth {
		w.bad = true
	}
	if w.bad {
		return
	}
	switch c := w.peek(); {
	case c == '{':
		w.object(n, depth)
	case c == '[':
		w.array(n, depth)
	case c == '"':
		w.text(n, w.token())
	case c == 't' || c == 'f':
		w.scalar(n, kindBoolean, w.token())
	case c == 'n':
		w.scalar(n, kindNull, w.token())
	case c == '-' || c >= '0' && c <= '9':
		w.number(n, w.token())
	default:
		w.bad = true
	}
}

// token moves behind the scalar at the position and returns its text.
func (w *walk) token() []byte {
	start := w.pos
	if w.data[w.pos] == '"' {
		for w.pos++; w.pos < len(w.data); w.pos++ {
			switch w.data[w.pos] {
			case '\\':
				w.pos++
			case '"':
				w.pos++
				return w.data[start:w.pos]
			}
		}
		w.bad = true
		w.pos = len(w.data)
		return []byte(`""`)
	}
	for ; w.pos < len(w.data); w.pos++ {
		switch w.data[w.pos] {
		case ',', ']', '}', ' ', '\t', '\r', '\n':
			return w.data[start:w.pos]
		}
	}
	return w.data[start:]
}

// is checks the type of the value at hand.
func (w *walk) is(n *node, k kinds) bool {
	if n.kinds&k != 0 {
		return true
	}
	w.fail("must be %s, is %s", n.kinds, k)
	return false
}

func (w *walk) scalar(n *node, k kinds, raw []byte) {
	if n != nil && w.is(n, k) {
		w.chosen(n, raw)
	}
}

// chosen checks a canonical scalar against the enum.
func (w *walk) chosen(n *node, canonical []byte) {
	if n.enum == nil {
		return
	}
	for _, choice := range n.enum {
		if bytes.Equal(choice, canonical) {
			return
		}
	}
	w.fail("must be one of %s", n.enumText)
}

func (w *walk) number(n *node, raw []byte) {
	if n == nil {
		return
	}
	kind, plain := kindNumber, true
	for _, c := range raw {
		if c == '.' || c == 'e' || c == 'E' {
			plain = false
			break
		}
	}
	var f float64
	if plain {
		kind = kindInteger
	}
	if !plain || n.ranged() {
		var err error
		if f, err = strconv.ParseFloat(string(raw), 64); err != nil && !math.IsInf(f, 0) {
			w.bad = true
			return
		}
		if !plain && f == math.Trunc(f) && math.Abs(f) < 1<<53 {
			kind = kindInteger
		}
	}
	if n.kinds&kindNumber == 0 && !w.is(n, kind) {
		return
	}
	if kind == kindInteger && !plain && n.kinds&kindNumber == 0 {
		// 1.0 is an integer for JSON Schema, but not for who decodes it into one.
		w.edits = append(w.edits, edit{w.pos - len(raw), w.pos, strconv.AppendInt(nil, int64(f), 10)})
	}
	if n.enum != nil {
		w.chosen(n, canonicalNumber(raw))
	}
	if !n.ranged() {
		return
	}
	switch {
	case f < n.minimum:
		w.fail("must be at least %s", formatFloat(n.minimum))
	case f > n.maximum:
		w.fail("must be at most %s", formatFloat(n.maximum))
	case f <= n.exclusiveMin:
		w.fail("must be greater than %s", formatFloat(n.exclusiveMin))
	case f >= n.exclusiveMax:
		w.fail("must be less than %s", formatFloat(n.exclusiveMax))
	}
}

func formatFloat(f float64) string { return strconv.FormatFloat(f, 'g', -1, 64) }

// ranged reports whether n bounds numbers.
func (n *node) ranged() bool {
	return !math.IsInf(n.minimum, -1) || !math.IsInf(n.maximum, 1) || !math.IsInf(n.exclusiveMin, -1) || !math.IsInf(n.exclusiveMax, 1)
}

// canonicalNumber gives equal numbers one text.
func canonicalNumber(raw []byte) []byte {
	f, _ := strconv.ParseFloat(string(raw), 64)
	return strconv.AppendFloat(nil, f, 'g', -1, 64)
}

func (w *walk) text(n *node, raw []byte) {
	if n == nil || w.bad || !w.is(n, kindString) {
		return
	}
	if n.enum == nil && n.minLength == 0 && n.maxLength < 0 && n.pattern == nil && n.format == nil {
		return
	}
	s := raw[1 : len(raw)-1]
	if bytes.IndexByte(s, '\\') >= 0 {
		decoded, ok := jsonrpc.Unquote(raw)
		if !ok {
			w.bad = true
			return
		}
		s = []byte(decoded)
		raw = []byte(`"` + decoded + `"`)
	}
	w.chosen(n, raw)
	if n.minLength > 0 || n.maxLength >= 0 {
		switch length := utf8.RuneCount(s); {
		case length < n.minLength:
			w.fail("must be at least %d characters long", n.minLength)
		case n.maxLength >= 0 && length > n.maxLength:
			w.fail("must be at most %d characters long", n.maxLength)
		}
	}
	if n.pattern != nil && !n.pattern.Match(s) {
		w.fail("must match the pattern %s", n.pattern)
	}
	if n.format != nil && !n.format(string(s)) {
		w.fail("must be a valid %s", n.formatIs)
	}
}

func (w *walk) array(n *node, depth int) {
	if n != nil && !w.is(n, kindArray) {
		n = nil
	}
	var items *node
	if n != nil {
		items = n.items
	}
	count, base := 0, len(w.path)
	w.pos++
	w.space()
	for w.peek() != ']' && !w.bad {
		if items != nil {
			w.path = strconv.AppendInt(append(w.path, '/'), int64(count), 10)
		}
		w.value(items, depth+1)
		w.path = w.path[:base]
		count++
		w.separator(']')
	}
	w.pos++
	if n == nil {
		return
	}
	if count < n.minItems {
		w.fail("must have at least %d items", n.minItems)
	}
	if n.maxItems >= 0 && count > n.maxItems {
		w.fail("must have at most %d items", n.maxItems)
	}
}

// separator moves over the comma between values, or to the end of the container.
func (w *walk) separator(end byte) {
	w.space()
	switch w.peek() {
	case ',':
		w.pos++
		w.space()
		w.bad = w.bad || w.peek() == end
	case end:
	default:
		w.bad = true
	}
}

func (w *walk) object(n *node, depth int) {
	if n != nil && !w.is(n, kindObject) {
		n = nil
	}
	count, base := 0, len(w.path)
	var seen memberSet
	w.pos++
	open := w.pos
	w.space()
	for w.peek() != '}' && !w.bad {
		if w.peek() != '"' {
			w.bad = true
			return
		}
		key := w.token()
		w.space()
		if w.bad || w.peek() != ':' {
			w.bad = true
			return
		}
		w.pos++
		w.space()
		count++
		if n == nil {
			w.value(nil, depth+1)
			w.separator('}')
			continue
		}
		name := key[1 : len(key)-1]
		if bytes.IndexByte(name, '\\') >= 0 {
			s, _ := jsonrpc.Unquote(key)
			name = []byte(s)
		}
		w.path = appendPointer(append(w.path, '/'), name)
		if p := n.properties[string(name)]; p != nil {
			seen.add(p.index)
			w.value(p.node, depth+1)
		} else if n.closed {
			w.fail("is not a known property")
			w.value(nil, depth+1)
		} else {
			w.value(n.additional, depth+1)
		}
		w.path = w.path[:base]
		w.separator('}')
	}
	w.pos++
	if n == nil || w.bad {
		return
	}
	for _, name := range n.required {
		if !seen.has(n.properties[name].index) {
			w.path = appendPointer(append(w.path, '/'), []byte(name))
			w.fail("is required")
			w.path = w.path[:base]
		}
	}
	if count < n.minMembers {
		w.fail("must have at least %d properties", n.minMembers)
	}
	if n.maxMembers >= 0 && count > n.maxMembers {
		w.fail("must have at most %d properties", n.maxMembers)
	}
	if w.fill {
		w.fillIn(n, open, count, &seen)
	}
}

// fillIn inserts the defaults of absent members behind the brace at open-1.
func (w *walk) fillIn(n *node, open, count int, seen *memberSet) {
	var text []byte
	for _, p := range n.defaults {
		if seen.has(p.index) {
			continue
		}
		if len(text) > 0 {
			text = append(text, ',')
		}
		text = append(append(jsonrpc.AppendString(text, p.name), ':'), p.fallback...)
	}
	if len(text) == 0 {
		return
	}
	if count > 0 {
		text = append(text, ',')
	}
	w.edits = append(w.edits, edit{open, open, text})
}

// appendPointer appends a member's name as a token of a JSON pointer (RFC 6901), at most 64 bytes of it.
func appendPointer(dst, name []byte) []byte {
	for i, c := range name {
		if i == 64 {
			return append(dst, "..."...)
		}
		switch c {
		case '~':
			dst = append(dst, "~0"...)
		case '/':
			dst = append(dst, "~1"...)
		default:
			dst = append(dst, c)
		}
	}
	return dst
}

// formatCheck gives the check of a format that a format tag makes binding. In a schema
// written by hand a format is an annotation, as 2020-12 has it.
func formatCheck(name string) func(string) bool {
	switch name {
	case "date-time":
		return func(s string) bool { _, err := time.Parse(time.RFC3339Nano, s); return err == nil }
	case "date":
		return func(s string) bool { _, err := time.Parse(time.DateOnly, s); return err == nil }
	case "email":
		return func(s string) bool { a, err := mail.ParseAddress(s); return err == nil && a.Address == s }
	case "uri":
		return func(s string) bool { u, err := url.Parse(s); return err == nil && u.IsAbs() }
	case "uuid":
		return func(s string) bool { return uuidShape(s) }
	case "ipv4":
		return func(s string) bool { a, err := netip.ParseAddr(s); return err == nil && a.Is4() }
	case "ipv6":
		return func(s string) bool { a, err := netip.ParseAddr(s); return err == nil && a.Is6() && a.Zone() == "" }
	}
	return nil
}

func uuidShape(s string) bool {
	if len(s) != 36 {
		return false
	}
	for i := range len(s) {
		switch c := s[i]; {
		case i == 8 || i == 13 || i == 18 || i == 23:
			if c != '-' {
				return false
			}
		case (c < '0' || c > '9') && (c < 'a' || c > 'f') && (c < 'A' || c > 'F'):
			return false
		}
	}
	return true
}
