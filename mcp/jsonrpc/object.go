package jsonrpc

import (
	"bytes"
	"iter"
	"unicode/utf8"
)

// Members yields the decoded name and the raw value of each member of an object that has
// passed [Scan] or [Valid]. A nil object has no members. For bytes that were never checked
// what is yielded is unspecified, but lies inside them.
func Members(obj []byte) iter.Seq2[string, []byte] {
	return func(yield func(string, []byte) bool) {
		for w := walkObject(obj); w.next(); {
			if !yield(memberName(w.key), w.value) {
				return
			}
		}
	}
}

// Get returns the raw value of the member key of a checked object, nil if it is absent.
// It does not allocate.
func Get(obj []byte, key string) []byte {
	for w := walkObject(obj); w.next(); {
		if sameName(w.key, key) {
			return w.value
		}
	}
	return nil
}

// Elements yields the raw elements of an array that has passed [Scan] or [Valid].
func Elements(arr []byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		i := skipSpace(arr, 0)
		if i >= len(arr) || arr[i] != '[' {
			return
		}
		for {
			i = skipSpace(arr, i+1)
			end := skipValue(arr, i)
			if end < 0 || !yield(arr[i:end:end]) {
				return
			}
			i = skipSpace(arr, end)
			if i >= len(arr) || arr[i] != ',' {
				return
			}
		}
	}
}

// A Member is an edit for [Splice]: Value, a raw JSON value, replaces the member Key where it
// stands or is appended when there is none. A nil Value removes the member.
type Member struct {
	Key   string
	Value []byte
}

// Splice appends the checked object obj to dst with the edits applied; all other bytes are
// copied as they are. A nil obj counts as {}. Of several edits of one key the last counts.
// dst must not overlap obj.
func Splice(dst, obj []byte, edits ...Member) []byte {
	const atOnce = 64 // bits of done
	if len(edits) > atOnce {
		return Splice(dst, Splice(nil, obj, edits[:atOnce]...), edits[atOnce:]...)
	}
	var done uint64
	if dst == nil {
		size := len(obj) + 2
		for i := range edits {
			size += len(edits[i].Key) + len(edits[i].Value) + len(`"":,`)
		}
		dst = make([]byte, 0, size)
	}
	dst = append(dst, '{')
	first := true
	w := walkObject(obj)
	for w.next() {
		value, edited := w.value, false
		for i := range edits {
			if done&(1<<i) == 0 && sameName(w.key, edits[i].Key) {
				done |= 1 << i
				value, edited = edits[i].Value, true
			}
		}
		if value == nil {
			continue
		}
		if !first {
			dst = append(dst, ',')
		}
		first = false
		if edited {
			dst = append(dst, obj[w.lead:w.valueAt]...)
			dst = append(dst, value...)
			dst = append(dst, obj[w.valueEnd:w.tail]...)
		} else {
			dst = append(dst, obj[w.lead:w.tail]...)
		}
	}
	for i, e := range edits {
		if done&(1<<i) != 0 {
			continue
		}
		for j := i + 1; j < len(edits); j++ {
			if edits[j].Key == e.Key {
				e.Value = edits[j].Value
				done |= 1 << j
			}
		}
		if e.Value == nil {
			continue
		}
		if !first {
			dst = append(dst, ',')
		}
		first = false
		dst = AppendString(dst, e.Key)
		dst = append(dst, ':')
		dst = append(dst, e.Value...)
	}
	return append(dst, '}')
}

// Unquote decodes a raw JSON string, as strictly as [Scan] does. It reports false for what is not one.
func Unquote(raw []byte) (string, bool) {
	s := scanner{data: raw}
	if s.peek() != '"' {
		return "", false
	}
	escaped, ok := s.str()
	switch {
	case !ok || s.pos != len(raw):
		return "", false
	case escaped:
		return string(appendUnescaped(make([]byte, 0, len(raw)), raw[1:len(raw)-1])), true
	}
	return string(raw[1 : len(raw)-1]), true
}

// A walker stands on one member of an object after the other. It trusts the grammar and
// checks only what memory safety needs.
type walker struct {
	obj []byte
	pos int // of the brace or comma before the next member; len(obj) at the end

	key      []byte // raw, without quotes
	value    []byte
	lead     int // after the brace or comma before the member
	valueAt  int
	valueEnd int
	tail     int // of the comma or brace after the member
}

func walkObject(obj []byte) walker {
	w := walker{obj: obj, pos: skipSpace(obj, 0)}
	if w.pos < len(obj) && obj[w.pos] != '{' {
		w.pos = len(obj)
	}
	return w
}

func (w *walker) next() bool {
	if w.pos >= len(w.obj) {
		return false
	}
	lead := w.pos + 1
	w.pos = len(w.obj)
	keyAt := skipSpace(w.obj, lead)
	if keyAt >= len(w.obj) || w.obj[keyAt] != '"' {
		return false
	}
	keyEnd := skipString(w.obj, keyAt)
	if keyEnd < 0 {
		return false
	}
	colon := skipSpace(w.obj, keyEnd)
	if colon >= len(w.obj) || w.obj[colon] != ':' {
		return false
	}
	w.valueAt = skipSpace(w.obj, colon+1)
	w.valueEnd = skipValue(w.obj, w.valueAt)
	if w.valueEnd < 0 {
		return false
	}
	w.tail = skipSpace(w.obj, w.valueEnd)
	if w.tail >= len(w.obj) {
		return false
	}
	w.lead = lead
	w.key = w.obj[keyAt+1 : keyEnd-1]
	w.value = w.obj[w.valueAt:w.valueEnd:w.valueEnd]
	if w.obj[w.tail] == ',' {
		w.pos = w.tail
	}
	return true
}

// skipValue returns the index after the value that starts at i, -1 if it has no end.
func skipValue(b []byte, i int) int {
	start, depth := i, 0
	for i < len(b) {
		switch b[i] {
		case '"':
			if i = skipString(b, i); i < 0 {
				return -1
			}
			if depth == 0 {
				return i
			}
			continue
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth == 0 {
				return i + 1
			}
			if depth < 0 {
				return endOfScalar(start, i)
			}
		case ',', ' ', '\t', '\n', '\r', ':':
			if depth == 0 {
				return endOfScalar(start, i)
			}
		}
		i++
	}
	if depth > 0 {
		return -1
	}
	return endOfScalar(start, i)
}

func endOfScalar(start, end int) int {
	if start == end {
		return -1
	}
	return end
}

// skipString returns the index after the string whose opening quote is at i, -1 if it has no end.
func skipString(b []byte, i int) int {
	first := i + 1
	for i = first; ; i++ {
		n := bytes.IndexByte(b[i:], '"')
		if n < 0 {
			return -1
		}
		i += n
		slash := i
		for slash > first && b[slash-1] == '\\' {
			slash--
		}
		if (i-slash)%2 == 0 {
			return i + 1
		}
	}
}

// sameName reports whether a raw name without quotes is key.
func sameName(raw []byte, key string) bool {
	if len(raw) == len(key) {
		return string(raw) == key && bytes.IndexByte(raw, '\\') < 0
	}
	if len(raw) < len(key) {
		return false
	}
	for len(raw) > 0 {
		if raw[0] != '\\' {
			if key == "" || key[0] != raw[0] {
				return false
			}
			raw, key = raw[1:], key[1:]
			continue
		}
		r, size := unescapeRune(raw)
		if size == 0 {
			return false
		}
		var buf [utf8.UTFMax]byte
		n := utf8.EncodeRune(buf[:], r)
		if len(key) < n || key[:n] != string(buf[:n]) {
			return false
		}
		raw, key = raw[size:], key[n:]
	}
	return key == ""
}
