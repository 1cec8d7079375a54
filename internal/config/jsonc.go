package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// stripComments turns JSON with comments and trailing commas, as editors write
// it, into JSON of the same length: what goes becomes spaces, so that every
// offset still names the same place. It returns the offset of a block comment
// that does not end, or -1.
func stripComments(data []byte) (plain []byte, open int) {
	plain = bytes.Clone(data)
	blank := func(from, to int) {
		for i := from; i < to; i++ {
			if plain[i] != '\n' && plain[i] != '\r' {
				plain[i] = ' '
			}
		}
	}
	comma := -1     // offset of a comma that may turn out to be a trailing one
	last := byte(0) // last byte that means something
	inText := false // between quotes
	for i := 0; i < len(plain); i++ {
		c := plain[i]
		switch {
		case inText:
			if c == '\\' {
				i++
			} else if c == '"' {
				inText = false
			}
			continue
		case c == '/' && i+1 < len(plain) && plain[i+1] == '/':
			end := i + 2
			for end < len(plain) && plain[end] != '\n' && plain[end] != '\r' {
				end++
			}
			blank(i, end)
			i = end - 1
			continue
		case c == '/' && i+1 < len(plain) && plain[i+1] == '*':
			length := bytes.Index(plain[i+2:], []byte("*/"))
			if length < 0 {
				return plain, i
			}
			blank(i, i+2+length+2)
			i += 2 + length + 1
			continue
		case c == ' ' || c == '\t' || c == '\n' || c == '\r':
			continue
		case c == '"':
			inText, comma = true, -1
		case c == ',':
			comma = -1
			// "[,]" has no value before its comma and stays the error it is.
			if last != 0 && last != '[' && last != '{' && last != ',' && last != ':' {
				comma = i
			}
		case c == ']' || c == '}':
			if comma >= 0 {
				plain[comma] = ' '
			}
			comma = -1
		default:
			comma = -1
		}
		last = c
	}
	return plain, -1
}

// parseJSON reads JSON with comments. It returns nil when problems were added.
func (p *problems) parseJSON(data []byte) *node {
	if !p.legible(data, maxJSON) {
		return nil
	}
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	plain, open := stripComments(data)
	if open >= 0 {
		p.add(placeOf(data, open), "", "close it with */", "this comment does not end")
		return nil
	}
	r := &jsonReader{data: plain, dec: json.NewDecoder(bytes.NewReader(plain)), counted: place{1, 1}}
	r.dec.UseNumber()
	root, err := r.value(0)
	if err == nil {
		at := r.here()
		if _, err := r.dec.Token(); !errors.Is(err, io.EOF) {
			p.add(at, "", "remove it", "something stands after the end of the value")
			return nil
		}
		return root
	}
	// After an error the decoder stands at the token that it could not read.
	at, hint := placeOf(plain, int(r.dec.InputOffset())), ""
	switch rest := plain[min(int(r.dec.InputOffset()), len(plain)):]; {
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		at, err = placeOf(plain, len(plain)), errors.New("the file ends in the middle")
	case bytes.HasPrefix(rest, []byte("'")):
		hint = "write texts and keys in double quotes"
	case bytes.HasPrefix(rest, []byte(`"`)):
		hint = "a comma or colon may be missing before it"
	}
	p.add(at, "", hint, "this is not JSON: %v", err)
	return nil
}

type jsonReader struct {
	data    []byte
	dec     *json.Decoder
	offset  int   // counted is the place of this offset
	counted place // kept, so that a large file is counted once
}

// here returns the place of the next token.
func (r *jsonReader) here() place {
	to := int(r.dec.InputOffset())
	for to < len(r.data) && bytes.IndexByte([]byte(" \t\r\n,:"), r.data[to]) >= 0 {
		to++
	}
	at := placeOf(r.data[r.offset:], to-r.offset)
	if at.line == 1 {
		at.column += r.counted.column - 1
	}
	at.line += r.counted.line - 1
	r.offset, r.counted = to, at
	return at
}

func (r *jsonReader) value(depth int) (*node, error) {
	n := &node{place: r.here()}
	if depth > maxDepth {
		return nil, fmt.Errorf("more than %d values inside each other", maxDepth)
	}
	tok, err := r.dec.Token()
	if err != nil {
		return nil, err
	}
	switch tok := tok.(type) {
	case nil:
	case string:
		n.kind, n.text = text, tok
	case json.Number:
		n.kind, n.text = number, tok.String()
	case bool:
		n.kind, n.text = boolean, fmt.Sprint(tok)
	case json.Delim:
		n.kind = list
		if tok == '{' {
			n.kind = object
		}
		if err := r.inside(n, depth); err != nil {
			return nil, err
		}
		_, err = r.dec.Token() // the closing delimiter
	}
	return n, err
}

func (r *jsonReader) inside(n *node, depth int) error {
	for r.dec.More() {
		f := field{place: r.here()}
		if n.kind == object {
			key, err := r.dec.Token()
			if err != nil {
				return err
			}
			f.key = key.(string) // the decoder gives nothing else here
		}
		v, err := r.value(depth + 1)
		if err != nil {
			return err
		}
		if f.value = v; n.kind == object {
			n.fields = append(n.fields, f)
		} else {
			n.items = append(n.items, v)
		}
	}
	return nil
}
