// Package frontmatter reads the YAML at the top of a Markdown file and renders it
// as a JSON object.
//
// It knows the part of YAML 1.2 that people write there: mappings, sequences, plain,
// quoted and block scalars, flow collections, comments, and the core schema's null,
// booleans and numbers. Anchors, aliases, tags, directives, complex keys and
// duplicate keys are errors: two readers of a file must not see different things,
// nor a small file become a large value.
//
//	object, err := frontmatter.Parse([]byte("---\nname: x\n---\nBody.\n")) // {"name":"x"}
package frontmatter

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// MaxBytes bounds the frontmatter, its delimiters included.
const MaxBytes = 64 << 10

// maxDepth bounds how deep values are nested.
const maxDepth = 32

// Error says what is wrong with a frontmatter, and where.
type Error struct {
	Line    int // of the file, from 1
	Problem string
}

func (e *Error) Error() string { return fmt.Sprintf("frontmatter, line %d: %s", e.Line, e.Problem) }

// ErrNone reports a file that does not begin with frontmatter.
var ErrNone = errors.New("the file does not begin with frontmatter between two lines of ---")

// Parse returns the frontmatter of a file as a JSON object with the members in the
// file's order. The error is [ErrNone] or an *[Error].
func Parse(file []byte) ([]byte, error) {
	text, err := block(file)
	if err != nil {
		return nil, err
	}
	if i := strings.IndexFunc(text, func(r rune) bool { return r < ' ' && r != '\n' && r != '\t' && r != '\r' || r == 0x7f }); i >= 0 {
		return nil, &Error{1 + strings.Count(text[:i], "\n") + 1, "a control character"}
	}
	p := &parser{lines: strings.Split(strings.TrimSuffix(text, "\n"), "\n")}
	for i, line := range p.lines {
		p.lines[i] = strings.TrimSuffix(line, "\r")
	}
	var out []byte
	err = p.run(func() {
		if !p.next() {
			p.fail("no name: value lines")
		}
		out = p.node(nil, -1, 0)
		if p.next() {
			p.fail("unexpected indentation")
		}
		if out[0] != '{' {
			p.at = 0
			p.fail("not a mapping of names to values")
		}
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// block returns the text between the delimiters.
func block(file []byte) (string, error) {
	file = bytes.TrimPrefix(file, []byte("\ufeff"))
	first, rest, ok := bytes.Cut(file, []byte("\n"))
	if !ok || string(bytes.TrimSuffix(first, []byte("\r"))) != "---" {
		return "", ErrNone
	}
	end := 0
	for end <= MaxBytes {
		line, _, more := bytes.Cut(rest[end:], []byte("\n"))
		if len(line) >= 3 && string(bytes.TrimRight(line, " \t\r")) == "---" && line[0] == '-' {
			if !utf8.Valid(rest[:end]) {
				return "", &Error{1, "not UTF-8"}
			}
			return string(rest[:end]), nil
		}
		if !more {
			return "", ErrNone
		}
		end += len(line) + 1
	}
	return "", &Error{1, fmt.Sprintf("longer than %d bytes", MaxBytes)}
}

// parser reads the lines of a block. A method that meets a problem panics with a
// *Error, which run returns.
type parser struct {
	lines []string
	at    int // line
}

func (p *parser) run(parse func()) (err error) {
	defer func() {
		switch r := recover().(type) {
		case nil:
		case *Error:
			err = r
		default:
			panic(r)
		}
	}()
	parse()
	return nil
}

// fail ends the parse with a problem of the current line; line 1 of the file is the delimiter.
func (p *parser) fail(format string, args ...any) {
	panic(&Error{min(p.at, len(p.lines)-1) + 2, fmt.Sprintf(format, args...)})
}

// next moves to the next line that holds something; false at the end.
func (p *parser) next() bool {
	for ; p.at < len(p.lines); p.at++ {
		text := strings.TrimLeft(p.lines[p.at], " ")
		if trimmed := strings.TrimLeft(text, "\t"); trimmed == "" || trimmed[0] == '#' {
			continue
		}
		if text[0] == '\t' {
			p.fail("a tab in the indentation; use spaces")
		}
		if strings.HasPrefix(p.lines[p.at], "...") || p.lines[p.at] == "---" || strings.HasPrefix(p.lines[p.at], "--- ") || p.lines[p.at][0] == '%' {
			p.fail("a document marker or directive in the middle of the frontmatter")
		}
		return true
	}
	return false
}

// indent is the count of spaces in front of the current line.
func (p *parser) indent() int {
	line := p.lines[p.at]
	return len(line) - len(strings.TrimLeft(line, " "))
}

// node appends the value that begins in the current line, which is indented more than parent.
func (p *parser) node(dst []byte, parent, depth int) []byte {
	if depth > maxDepth {
		p.fail("nested more than %d deep", maxDepth)
	}
	n := p.indent()
	text := p.lines[p.at][n:]
	if isItem(text) {
		return p.sequence(dst, n, depth)
	}
	if _, _, ok := p.key(text); ok {
		return p.mapping(dst, n, depth)
	}
	return p.inline(dst, n, parent, depth)
}

func isItem(text string) bool {
	return text == "-" || strings.HasPrefix(text, "- ") || strings.HasPrefix(text, "-\t")
}

// mapping appends the mapping whose keys stand at column n.
func (p *parser) mapping(dst []byte, n, depth int) []byte {
	dst = append(dst, '{')
	seen := make(map[string]bool)
	for p.next() && p.indent() >= n {
		if p.indent() > n {
			p.fail("unexpected indentation")
		}
		text := p.lines[p.at][n:]
		if isItem(text) {
			p.fail("a list item among names")
		}
		name, rest, ok := p.key(text)
		if !ok {
			p.fail("no \": \" after a name")
		}
		if seen[name] {
			p.fail("%q is there twice", name)
		}
		if len(seen) > 0 {
			dst = append(dst, ',')
		}
		seen[name] = true
		dst = append(appendString(dst, name), ':')
		if column := len(p.lines[p.at]) - len(rest); rest != "" && rest[0] != '#' {
			if isItem(rest) {
				p.fail("a list begins on a line of its own")
			}
			dst = p.inline(dst, column, n, depth+1)
			continue
		}
		p.at++
		switch {
		case p.next() && p.indent() > n:
			dst = p.node(dst, n, depth+1)
		case p.at < len(p.lines) && p.indent() == n && isItem(p.lines[p.at][n:]):
			dst = p.sequence(dst, n, depth+1)
		default:
			dst = append(dst, "null"...)
		}
	}
	return append(dst, '}')
}

// sequence appends the sequence whose dashes stand at column n.
func (p *parser) sequence(dst []byte, n, depth int) []byte {
	if depth > maxDepth {
		p.fail("nested more than %d deep", maxDepth)
	}
	dst = append(dst, '[')
	for first := true; p.next() && p.indent() >= n; first = false {
		text := p.lines[p.at][n:]
		if !isItem(text) {
			if p.indent() > n {
				p.fail("unexpected indentation")
			}
			break // a name after a list that is not indented
		}
		if !first {
			dst = append(dst, ',')
		}
		rest := strings.TrimLeft(text[1:], " \t")
		if rest != "" && rest[0] != '#' {
			if strings.Contains(text[:len(text)-len(rest)], "\t") {
				p.fail("a tab in the indentation; use spaces")
			}
			// What follows the dash is a node of its own, as if it stood on a line of its own.
			p.lines[p.at] = strings.Repeat(" ", n+len(text)-len(rest)) + rest
			dst = p.node(dst, n, depth+1)
			continue
		}
		p.at++
		if p.next() && p.indent() > n {
			dst = p.node(dst, n, depth+1)
		} else {
			dst = append(dst, "null"...)
		}
	}
	return append(dst, ']')
}

// key splits "name: value"; false if text is not that. The rest has no leading spaces.
func (p *parser) key(text string) (name, rest string, ok bool) {
	switch text[0] {
	case '"', '\'':
		c := &cursor{p: p, line: p.at, text: text, single: true}
		name, ok = c.quoted()
		if !ok {
			return "", "", false
		}
		rest = strings.TrimLeft(c.text[c.i:], " ")
		if rest == "" || rest[0] != ':' || len(rest) > 1 && rest[1] != ' ' && rest[1] != '\t' {
			return "", "", false
		}
		return name, strings.TrimLeft(rest[1:], " \t"), true
	case '[', '{', '|', '>', '#':
		return "", "", false
	case '?':
		if len(text) == 1 || text[1] == ' ' {
			p.fail("a complex key (?) is not supported")
		}
	}
	for i := range len(text) {
		switch {
		case text[i] == '#' && i > 0 && isBlank(text[i-1]):
			return "", "", false
		case text[i] == ':' && (i+1 == len(text) || isBlank(text[i+1])):
			p.plainStart(text)
			return strings.TrimRight(text[:i], " \t"), strings.TrimLeft(text[i+1:], " \t"), true
		}
	}
	return "", "", false
}

func isBlank(c byte) bool { return c == ' ' || c == '\t' }

// plainStart refuses text that cannot begin a plain scalar.
func (p *parser) plainStart(text string) {
	switch text[0] {
	case '&', '*':
		p.fail("anchors and aliases are not supported; quote a text that begins with %c", text[0])
	case '!':
		p.fail("tags are not supported; quote a text that begins with !")
	case ',', '[', ']', '{', '}', '#', '|', '>', '%', '@', '`', '"', '\'':
		p.fail("a plain text cannot begin with %c; quote it", text[0])
	case '-', '?', ':':
		if len(text) == 1 || isBlank(text[1]) {
			p.fail("a plain text cannot begin with %c; quote it", text[0])
		}
	}
}
