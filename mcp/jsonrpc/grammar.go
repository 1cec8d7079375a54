package jsonrpc

import (
	"encoding/binary"
	"math/bits"
	"unicode/utf8"
)

// value walks over any value. depth is the nesting of an object or array that starts here.
func (s *scanner) value(depth int) bool {
	if s.pos >= len(s.data) {
		return s.fail("unexpected end")
	}
	switch c := s.data[s.pos]; c {
	case '{':
		return s.object(depth, elsewhere)
	case '[':
		return s.array(depth)
	case '"':
		_, ok := s.str()
		return ok
	case 't':
		return s.literal("true")
	case 'f':
		return s.literal("false")
	case 'n':
		return s.literal("null")
	default:
		if c == '-' || '0' <= c && c <= '9' {
			return s.number()
		}
		return s.fail("unexpected byte where a value starts")
	}
}

func (s *scanner) object(depth int, in place) bool {
	if depth > s.maxDepth {
		return s.tooDeep()
	}
	s.pos++
	s.space()
	if s.peek() == '}' {
		s.pos++
		return true
	}
	keys := s.keys.open()
	for {
		keyAt := s.pos
		if s.peek() != '"' {
			return s.fail("expected a member name")
		}
		escaped, ok := s.str()
		if !ok {
			return false
		}
		key := s.data[keyAt+1 : s.pos-1]
		if escaped {
			key = s.keys.unescape(key)
		}
		if !s.keys.add(&keys, s.data, keyAt+1, key, escaped) {
			s.refuse(keyAt, "duplicate member")
		}
		s.space()
		if s.peek() != ':' {
			return s.fail("expected a colon")
		}
		s.pos++
		s.space()
		at := s.pos
		under := elsewhere
		if in == inEnvelope && s.peek() == '{' {
			under = inner(key)
		}
		if under != elsewhere {
			ok = s.object(depth+1, under)
		} else {
			ok = s.value(depth + 1)
		}
		if !ok {
			return false
		}
		end := s.pos
		s.space()
		c := s.peek()
		if in != elsewhere && (c == ',' || c == '}') { // else 01 would be read as 0
			s.member(in, key, s.data[at:end:end], at)
		}
		switch c {
		case ',':
			s.pos++
			s.space()
		case '}':
			s.pos++
			if !s.keys.close(&keys, s.data) {
				s.refuse(s.pos-1, "duplicate member")
			}
			return true
		default:
			return s.fail("expected a comma or the end of an object")
		}
	}
}

func (s *scanner) array(depth int) bool {
	if depth > s.maxDepth {
		return s.tooDeep()
	}
	s.pos++
	s.space()
	if s.peek() == ']' {
		s.pos++
		return true
	}
	for {
		if !s.value(depth + 1) {
			return false
		}
		s.space()
		switch s.peek() {
		case ',':
			s.pos++
			s.space()
		case ']':
			s.pos++
			return true
		default:
			return s.fail("expected a comma or the end of an array")
		}
	}
}

// tooDeep ends the walk without a verdict on the rest of the text.
func (s *scanner) tooDeep() bool {
	s.fail("objects and arrays are nested too deeply")
	s.code = CodeInvalidRequest
	return false
}

func (s *scanner) literal(want string) bool {
	for i := range len(want) {
		if s.peek() != want[i] {
			return s.fail("unexpected byte in a literal")
		}
		s.pos++
	}
	return true
}

func (s *scanner) number() bool {
	if s.peek() == '-' {
		s.pos++
	}
	if s.peek() == '0' {
		s.pos++
	} else if !s.digits() {
		return false
	}
	if s.peek() == '.' {
		s.pos++
		if !s.digits() {
			return false
		}
	}
	if c := s.peek(); c == 'e' || c == 'E' {
		s.pos++
		if c := s.peek(); c == '+' || c == '-' {
			s.pos++
		}
		return s.digits()
	}
	return true
}

func (s *scanner) digits() bool {
	start := s.pos
	for s.pos < len(s.data) && '0' <= s.data[s.pos] && s.data[s.pos] <= '9' {
		s.pos++
	}
	if s.pos == start {
		return s.fail("expected a digit")
	}
	return true
}

// str walks over a string, from quote to quote, and reports whether it has escapes.
func (s *scanner) str() (escaped, ok bool) {
	s.pos++
	for {
		s.pos = plainEnd(s.data, s.pos)
		if s.pos >= len(s.data) {
			return escaped, s.fail("unexpected end in a string")
		}
		switch c := s.data[s.pos]; {
		case c == '"':
			s.pos++
			return escaped, true
		case c == '\\':
			escaped = true
			_, size := unescapeRune(s.data[s.pos:])
			if size == 0 {
				return escaped, s.fail("invalid escape or lone surrogate in a string")
			}
			s.pos += size
		case c < 0x20:
			return escaped, s.fail("control character in a string")
		default:
			r, size := utf8.DecodeRune(s.data[s.pos:])
			if r == utf8.RuneError && size == 1 {
				return escaped, s.fail("invalid UTF-8 in a string")
			}
			s.pos += size
		}
	}
}

// peek returns the byte at the position, and NUL, which no value has, at the end.
func (s *scanner) peek() byte {
	if s.pos < len(s.data) {
		return s.data[s.pos]
	}
	return 0
}

func (s *scanner) space() {
	if s.pos < len(s.data) && s.data[s.pos] <= ' ' {
		s.pos = skipSpace(s.data, s.pos)
	}
}

// skipSpace returns the index of the first byte from i on that is not JSON white space.
func skipSpace(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\n' || b[i] == '\r' || b[i] == '\t') {
		i++
	}
	return i
}

// plainEnd returns the index of the first byte from i on that a string cannot pass over
// unseen: a quote, a backslash, a control character or the start of a non-ASCII character.
func plainEnd(b []byte, i int) int {
	const ones = 0x0101010101010101
	for ; i+8 <= len(b); i += 8 {
		w := binary.LittleEndian.Uint64(b[i:])
		quote, slash := w^('"'*ones), w^('\\'*ones)
		// A byte below its subtrahend borrows into its top bit. Later bytes may then be
		// wrong, the first one is not.
		if hit := (w | (w - ' '*ones) | (quote - ones) | (slash - ones)) & (0x80 * ones); hit != 0 {
			return i + bits.TrailingZeros64(hit)/8
		}
	}
	for i < len(b) && b[i] >= ' ' && b[i] < 0x80 && b[i] != '"' && b[i] != '\\' {
		i++
	}
	return i
}

// unescapeRune decodes the escape that b starts with, a surrogate pair being one.
// The size is 0 if it is invalid or a lone surrogate.
func unescapeRune(b []byte) (r rune, size int) {
	if len(b) < 2 {
		return 0, 0
	}
	switch b[1] {
	case '"', '\\', '/':
		return rune(b[1]), 2
	case 'b':
		return '\b', 2
	case 'f':
		return '\f', 2
	case 'n':
		return '\n', 2
	case 'r':
		return '\r', 2
	case 't':
		return '\t', 2
	case 'u':
	default:
		return 0, 0
	}
	r, ok := hex4(b)
	if !ok {
		return 0, 0
	}
	if r < 0xD800 || r > 0xDFFF {
		return r, 6
	}
	if r >= 0xDC00 || len(b) < 12 || b[6] != '\\' || b[7] != 'u' {
		return 0, 0
	}
	low, ok := hex4(b[6:])
	if !ok || low < 0xDC00 || low > 0xDFFF {
		return 0, 0
	}
	return (r-0xD800)<<10 | (low - 0xDC00) + 0x10000, 12
}

// hex4 decodes the digits of an escape \uXXXX.
func hex4(b []byte) (r rune, ok bool) {
	if len(b) < 6 {
		return 0, false
	}
	for _, c := range b[2:6] {
		switch {
		case '0' <= c && c <= '9':
			c -= '0'
		case 'a' <= c && c <= 'f':
			c -= 'a' - 10
		case 'A' <= c && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	return r, true
}
