package http1

import (
	"bytes"
	"time"
)

// head collects what the status line and the fields say.
type head struct {
	code     int
	old      bool // HTTP/1.0
	final    bool
	keep     bool // Connection: keep-alive
	patience time.Duration
	length   int64
	lengths  int // Content-Length fields
	chunked  bool
	codings  int // Transfer-Encoding fields
	types    int // Content-Type fields
	end      int
	body     body
}

// status reads the status line.
func (h *head) status(line []byte) error {
	rest, ok := bytes.CutPrefix(line, []byte("HTTP/1."))
	if !ok || len(rest) < 5 || rest[0] != '0' && rest[0] != '1' || rest[1] != ' ' || len(rest) > 5 && rest[5] != ' ' {
		return malformed("status line %.64q", line)
	}
	h.old = rest[0] == '0'
	for _, c := range rest[2:5] {
		if c < '0' || c > '9' {
			return malformed("status line %.64q", line)
		}
		h.code = 10*h.code + int(c-'0')
	}
	if h.code < 100 {
		return malformed("status %d", h.code)
	}
	if !isValue(rest[5:]) {
		return malformed("the status line has control characters")
	}
	return nil
}

// field reads one field.
func (h *head) field(line []byte) error {
	name, value, err := split(line)
	if err != nil {
		return err
	}
	switch {
	case is(name, "content-length"):
		n, ok := number(value)
		if h.lengths++; h.lengths > 1 || !ok {
			return malformed("Content-Length is given twice or is no number")
		}
		h.length = n
	case is(name, "transfer-encoding"):
		if h.codings++; h.codings > 1 || !is(value, "chunked") {
			return malformed("Transfer-Encoding %.64q", value)
		}
		h.chunked = true
	case is(name, "content-encoding"):
		if !is(value, "identity") {
			return malformed("Content-Encoding %.64q, which nobody asked for", value)
		}
	case is(name, "content-type"):
		if h.types++; h.types > 1 {
			return malformed("Content-Type is given twice")
		}
	case is(name, "connection"):
		for option := range bytes.SplitSeq(value, []byte(",")) {
			switch option = bytes.Trim(option, " \t"); {
			case is(option, "close"):
				h.final = true
			case is(option, "keep-alive"):
				h.keep = true
			}
		}
	case is(name, "keep-alive"):
		if _, rest, ok := bytes.Cut(value, []byte("timeout=")); ok {
			digits, _, _ := bytes.Cut(rest, []byte(","))
			if s, ok := number(bytes.Trim(digits, " \t")); ok && s < 1<<31 {
				// A little less, so that a request is not on its way when the server closes.
				h.patience = max(time.Duration(s)*time.Second-time.Second, time.Millisecond)
			}
		}
	}
	return nil
}

// finish decides how the body ends (RFC 9112, section 6.3).
func (h *head) finish() error {
	h.final = h.final || h.old && !h.keep
	switch {
	case h.codings > 0 && (h.old || h.lengths > 0):
		return malformed("Transfer-Encoding beside Content-Length, or in HTTP/1.0")
	case h.code == 204 || h.code == 304:
		if h.chunked || h.code == 204 && h.length > 0 {
			return malformed("a response with status %d has no body", h.code)
		}
	case h.chunked:
		h.body.kind = chunked
	case h.lengths > 0:
		h.body.kind, h.body.left = measured, h.length
	default:
		h.body.kind, h.final = untilClose, true
	}
	return nil
}

// split splits a field line. Names are tokens directly before the colon; lines do
// not go on in the next one.
func split(line []byte) (name, value []byte, err error) {
	name, value, ok := bytes.Cut(line, []byte{':'})
	if !ok || len(name) == 0 {
		return nil, nil, malformed("header line %.64q", line)
	}
	for _, c := range name {
		if !isToken[c] {
			return nil, nil, malformed("header name %.64q", name)
		}
	}
	if value = bytes.Trim(value, " \t"); !isValue(value) {
		return nil, nil, malformed("the header %.64s has control characters", name)
	}
	return name, value, nil
}

// is compares without regard to case; lower is in lower case.
func is(b []byte, lower string) bool {
	if len(b) != len(lower) {
		return false
	}
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}

// number reads a decimal number that is not absurd.
func number(b []byte) (n int64, ok bool) {
	if len(b) == 0 || len(b) > 15 {
		return 0, false
	}
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = 10*n + int64(c-'0')
	}
	return n, true
}

// isValue reports whether text has no control characters but tabs.
func isValue[T string | []byte](text T) bool {
	for i := range len(text) {
		if c := text[i]; c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}

// isToken has the characters of names.
var isToken = func() (set [256]bool) {
	for _, c := range "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ" {
		set[c] = true
	}
	return set
}()

// AppendField appends a field of a request. It reports false for what cannot be one,
// or would say something about the connection or the body, which is not the caller's to say.
func AppendField(dst []byte, name, value string) ([]byte, bool) {
	if !FieldOK(name, value) {
		return dst, false
	}
	dst = append(append(dst, name...), ": "...)
	return append(append(dst, value...), "\r\n"...), true
}

// FieldOK reports whether AppendField takes a field.
func FieldOK(name, value string) bool {
	if name == "" || !isValue(value) {
		return false
	}
	for i := range len(name) {
		if !isToken[name[i]] {
			return false
		}
	}
	switch b := []byte(name); {
	case is(b, "content-length"), is(b, "transfer-encoding"), is(b, "connection"), is(b, "host"), is(b, "expect"),
		is(b, "te"), is(b, "trailer"), is(b, "upgrade"), is(b, "keep-alive"), is(b, "accept-encoding"), is(b, "proxy-connection"):
		return false
	}
	return true
}
