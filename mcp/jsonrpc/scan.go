package jsonrpc

import (
	"bytes"
	"fmt"
	"math"
	"strconv"
)

// ScanError says why bytes were refused. Nothing in it quotes the input, so it may be sent to the peer.
type ScanError struct {
	// Code is CodeParseError for bytes that are not JSON, CodeInvalidRequest for JSON that is
	// ambiguous (duplicate members), over a limit, or not a message.
	Code   int
	Offset int    // of the first byte that was refused
	Reason string // what is wrong, in words for a stranger
	ID     []byte // a copy of the raw id if it could be read, else nil
}

// Error says what is wrong and where.
func (e *ScanError) Error() string {
	return fmt.Sprintf("jsonrpc: %s at byte %d", e.Reason, e.Offset)
}

// Scan reads one message in one strict pass. A nil lim means the defaults.
//
// It refuses what is not RFC 8259 JSON in UTF-8, lone surrogates, trailing bytes, duplicate
// members at any depth, depth and size over the limits, batches, ids that are not strings or
// integers, and members that differ only in case or by NUL characters from one that it reads
// (jsonrpc, id, method, params, result, error; in params also name, uri, arguments and _meta):
// a laxer parser behind this one would read them. Other unknown members are ignored.
//
// The error is a *ScanError and the Message is then zero. Scan does not allocate for a
// well-formed message with a known method.
func Scan(data []byte, lim *Limits) (Message, error) {
	s := scanner{data: data}
	if !s.limit(lim) {
		return Message{}, s.failure()
	}
	start := skipSpace(data, 0)
	s.pos = start
	var ok bool
	if start < len(data) && data[start] == '{' {
		ok = s.object(1, inEnvelope)
	} else {
		ok = s.value(1)
		if ok && data[start] == '[' {
			s.refuse(start, "batches are not supported")
		} else if ok {
			s.refuse(start, "a message is an object")
		}
	}
	end := s.pos
	if !ok || !s.end() {
		return Message{}, s.failure()
	}
	if s.reason == "" {
		s.classify(start)
	}
	if s.reason != "" {
		return Message{}, s.failure()
	}
	s.msg.Data = data[start:end]
	return s.msg, nil
}

// Valid checks one JSON value of any type as strictly as [Scan] does. The error is a *ScanError.
func Valid(data []byte, lim *Limits) error {
	s := scanner{data: data}
	if !s.limit(lim) {
		return s.failure()
	}
	s.pos = skipSpace(data, 0)
	if !s.value(1) || !s.end() || s.reason != "" {
		return s.failure()
	}
	return nil
}

// A place is where an object stands in a message; it decides which members are looked at.
type place uint8

const (
	elsewhere place = iota
	inEnvelope
	inParams
	inResult
	inError
)

// Bits of scanner.seen.
const (
	sawVersion uint8 = 1 << iota
	sawID
	sawMethod
	sawParams
	sawResult
	sawError
	sawCode
	sawMessage
)

// A scanner walks over data once. Its methods return false at an error that ends the walk;
// refuse notes one that does not, so that an id further on is still found.
type scanner struct {
	data     []byte
	pos      int
	maxDepth int

	seen uint8
	msg  Message
	meta []byte // _meta of params or of result

	fatal  bool // reason is a fatal one
	code   int
	offset int
	reason string

	keys keySet
}

func (s *scanner) limit(lim *Limits) bool {
	maxBytes := DefaultMaxBytes
	s.maxDepth = DefaultMaxDepth
	if lim != nil && lim.MaxBytes > 0 {
		maxBytes = min(lim.MaxBytes, math.MaxInt32) // key spans are 32 bits wide
	}
	if lim != nil && lim.MaxDepth > 0 {
		s.maxDepth = lim.MaxDepth
	}
	if len(s.data) > maxBytes {
		s.pos = maxBytes
		s.offset, s.code, s.fatal = maxBytes, CodeInvalidRequest, true
		s.reason = "message is larger than " + strconv.Itoa(maxBytes) + " bytes"
		return false
	}
	return true
}

// end checks that nothing but white space follows.
func (s *scanner) end() bool {
	s.space()
	if s.pos < len(s.data) {
		return s.fail("unexpected byte after the value")
	}
	return true
}

// fail ends the walk: the bytes are not JSON.
func (s *scanner) fail(reason string) bool {
	s.fatal, s.code, s.offset, s.reason = true, CodeParseError, s.pos, reason
	return false
}

// refuse notes the first reason why a well-formed text is not a message.
func (s *scanner) refuse(offset int, reason string) {
	if s.reason == "" {
		s.code, s.offset, s.reason = CodeInvalidRequest, offset, reason
	}
}

func (s *scanner) failure() *ScanError {
	return &ScanError{Code: s.code, Offset: s.offset, Reason: s.reason, ID: bytes.Clone(s.msg.ID)}
}

// classify finds the kind of a message from the members it has.
func (s *scanner) classify(start int) {
	m := &s.msg
	const answer = sawResult | sawError
	switch {
	case s.seen&sawVersion == 0:
		s.refuse(start, `jsonrpc must be "2.0"`)
	case s.seen&sawMethod != 0 && s.seen&answer != 0:
		s.refuse(start, "a message has a method or an answer, not both")
	case s.seen&answer == answer:
		s.refuse(start, "an answer has a result or an error, not both")
	case s.seen&sawMethod != 0:
		m.Kind = Notification
		if s.seen&sawID != 0 {
			m.Kind = Request
		}
		if m.Kind == Request && m.ID == nil {
			s.refuse(start, "the id of a request must not be null")
		}
	case s.seen&answer == 0:
		s.refuse(start, "a message has a method, a result or an error")
	case s.seen&sawParams != 0:
		s.refuse(start, "an answer has no params")
	case s.seen&sawError != 0:
		m.Kind = ErrorReply
		if s.seen&(sawCode|sawMessage) != sawCode|sawMessage {
			s.refuse(start, "an error has a code and a message")
		}
	default:
		m.Kind = Response
		if m.ID == nil {
			s.refuse(start, "a result needs an id")
		}
	}
	m.Meta = s.meta
}

// member looks at one member of a place that matters. raw is its value, which starts at offset.
func (s *scanner) member(in place, key, raw []byte, offset int) {
	switch in {
	case inEnvelope:
		s.envelopeMember(key, raw, offset)
	case inParams:
		switch string(key) {
		case "name":
			if raw[0] == '"' {
				s.msg.Name = raw
			}
		case "uri":
			if raw[0] == '"' {
				s.msg.URI = raw
			}
		case "arguments":
			s.msg.Arguments = raw
		case "_meta":
			s.setMeta(raw, offset)
		default:
			if resembles(key, in) {
				s.refuse(offset, "a member of params is misspelled: names are case-sensitive")
			}
		}
	case inResult:
		if string(key) == "_meta" {
			s.setMeta(raw, offset)
		}
	case inError:
		switch string(key) {
		case "code":
			if _, err := strconv.ParseInt(string(raw[:min(len(raw), 24)]), 10, 64); err != nil {
				s.refuse(offset, "the code of an error must be an integer")
			}
			s.seen |= sawCode
		case "message":
			if raw[0] != '"' {
				s.refuse(offset, "the message of an error must be a string")
			}
			s.seen |= sawMessage
		}
	}
}

func (s *scanner) envelopeMember(key, raw []byte, offset int) {
	switch string(key) {
	case "jsonrpc":
		if string(raw) != `"2.0"` {
			s.refuse(offset, `jsonrpc must be "2.0"`)
		}
		s.seen |= sawVersion
	case "id":
		switch {
		case s.seen&sawID != 0:
			s.msg.ID = nil // ambiguous: the caller must not answer to either
		case raw[0] == '"', isInteger(raw):
			s.msg.ID = raw
		case string(raw) != "null":
			s.refuse(offset, "an id must be a string or an integer")
		}
		s.seen |= sawID
	case "method":
		if raw[0] != '"' {
			s.refuse(offset, "method must be a string")
		} else {
			s.msg.Method = methodName(raw)
		}
		s.seen |= sawMethod
	case "params":
		s.msg.Params = s.wantObject(raw, offset, "params must be an object")
		s.seen |= sawParams
	case "result":
		s.msg.Result = s.wantObject(raw, offset, "result must be an object")
		s.seen |= sawResult
	case "error":
		s.msg.Error = s.wantObject(raw, offset, "error must be an object")
		s.seen |= sawError
	default:
		if resembles(key, inEnvelope) {
			s.refuse(offset, "a member of the message is misspelled: names are case-sensitive")
		}
	}
}

func (s *scanner) setMeta(raw []byte, offset int) {
	s.meta = s.wantObject(raw, offset, "_meta must be an object")
}

func (s *scanner) wantObject(raw []byte, offset int, reason string) []byte {
	if raw[0] != '{' {
		s.refuse(offset, reason)
		return nil
	}
	return raw
}

// inner says which place the object under an envelope key is.
func inner(key []byte) place {
	switch string(key) {
	case "params":
		return inParams
	case "result":
		return inResult
	case "error":
		return inError
	}
	return elsewhere
}

// resembles reports whether key would be taken for a known one by a parser that folds case
// (encoding/json also folds U+017F to s and U+212A to k) or stops at NUL. The key is not
// itself a known one.
func resembles(key []byte, in place) bool {
	var folded [9]byte // "arguments" is the longest
	n := 0
	for i := 0; i < len(key); i++ {
		c := key[i]
		switch {
		case c == 0:
			continue
		case 'A' <= c && c <= 'Z':
			c += 'a' - 'A'
		case c == 0xC5 && i+1 < len(key) && key[i+1] == 0xBF: // U+017F
			c = 's'
			i++
		case c == 0xE2 && i+2 < len(key) && key[i+1] == 0x84 && key[i+2] == 0xAA: // U+212A
			c = 'k'
			i += 2
		case c >= 0x80:
			return false
		}
		if n == len(folded) {
			return false
		}
		folded[n] = c
		n++
	}
	if in == inParams {
		switch string(folded[:n]) {
		case "name", "uri", "arguments", "_meta":
			return true
		}
		return false
	}
	switch string(folded[:n]) {
	case "jsonrpc", "id", "method", "params", "result", "error":
		return true
	}
	return false
}

// isInteger reports whether a checked value is a number without fraction and exponent.
func isInteger(raw []byte) bool {
	if raw[0] != '-' && (raw[0] < '0' || raw[0] > '9') {
		return false
	}
	return bytes.IndexByte(raw, '.') < 0 && bytes.IndexByte(raw, 'e') < 0 && bytes.IndexByte(raw, 'E') < 0
}
