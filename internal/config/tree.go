package config

import (
	"fmt"
	"unicode/utf8"
)

// kind is what a node of a file is, whichever language the file is in.
type kind int

const (
	null kind = iota
	text
	number
	boolean
	list
	object
)

func (k kind) String() string {
	return [...]string{"nothing", "a text", "a number", "true or false", "a list", "keys with values"}[k]
}

// place is a line and a column, both from 1.
type place struct{ line, column int }

// node is a value with its place. YAML and JSON are both read into nodes, so
// that everything after has one set of rules and messages.
type node struct {
	place
	kind   kind
	text   string // a scalar as it is written in the file, without quotes
	items  []*node
	fields []field
}

type field struct {
	place
	key   string
	value *node
}

// get returns the value under key, or nil.
func (n *node) get(key string) *node {
	for _, f := range n.fields {
		if f.key == key {
			return f.value
		}
	}
	return nil
}

// scalar reports whether n is written as one word or text.
func (n *node) scalar() bool { return n.kind == text || n.kind == number || n.kind == boolean }

const (
	maxYAML  = 256 << 10 // bytes: a thousand upstreams fit
	maxJSON  = 4 << 20   // bytes: mcpServers can be part of all settings of a client
	maxParts = 30_000    // words and signs of YAML; the parser's time grows with their square, to a second for so many
	maxDepth = 64        // of nesting; the deepest valid file needs 5
)

// problems collects what is wrong with one file.
type problems struct {
	file string
	errs Errors
}

func (p *problems) add(at place, path, hint, format string, args ...any) {
	p.errs = append(p.errs, &Error{File: p.file, Line: at.line, Column: at.column, Path: path, What: fmt.Sprintf(format, args...), Hint: hint})
}

// duplicates reports keys that stand twice in an object: readers disagree on which one counts.
func (p *problems) duplicates(n *node, path string) {
	first := map[string]place{}
	for _, f := range n.fields {
		if at, twice := first[f.key]; twice {
			p.add(f.place, join(path, f.key), "remove one of them", "this key is already set on line %d", at.line)
			continue
		}
		first[f.key] = f.place
		p.duplicates(f.value, join(path, f.key))
	}
	for i, item := range n.items {
		p.duplicates(item, fmt.Sprintf("%s[%d]", path, i))
	}
}

// legible refuses what no text file has, before a parser sees it.
func (p *problems) legible(data []byte, limit int) bool {
	if len(data) > limit {
		p.add(place{}, "", "", "the file has %d bytes, more than the %d that are read", len(data), limit)
		return false
	}
	for i := 0; i < len(data); {
		r, size := utf8.DecodeRune(data[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			p.add(placeOf(data, i), "", "save the file as UTF-8", "this byte is not UTF-8")
			return false
		case r < ' ' && r != '\t' && r != '\n' && r != '\r':
			p.add(placeOf(data, i), "", "remove it", "control character %U", r)
			return false
		}
		i += size
	}
	return true
}

// placeOf counts lines and characters up to offset.
func placeOf(data []byte, offset int) place {
	at := place{1, 1}
	for _, r := range string(data[:min(offset, len(data))]) {
		at.column++
		if r == '\n' {
			at = place{at.line + 1, 1}
		}
	}
	return at
}
