package frontmatter

import (
	"math"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/fairlead-mcp/fairlead/mcp/jsonrpc"
)

func appendString(dst []byte, s string) []byte { return jsonrpc.AppendString(dst, s) }

// inline appends the scalar or flow collection at a column of the current line.
// Further lines of it are indented more than parent.
func (p *parser) inline(dst []byte, column, parent, depth int) []byte {
	text := p.lines[p.at][column:]
	switch text[0] {
	case '|', '>':
		return appendString(dst, p.blockScalar(text, max(parent, 0)))
	case '"', '\'', '[', '{':
		c := &cursor{p: p, line: p.at, text: p.lines[p.at], i: column, parent: parent}
		if text[0] == '[' || text[0] == '{' {
			dst = c.flow(dst, depth)
		} else {
			s, ok := c.quoted()
			if !ok {
				p.fail("a quoted text does not end")
			}
			dst = appendString(dst, s)
		}
		rest := c.text[c.i:]
		if after := strings.TrimLeft(rest, " \t"); after != "" && (after[0] != '#' || after == rest) {
			p.at = c.line
			p.fail("unexpected text after a value")
		}
		p.at = c.line + 1
		return dst
	}
	return p.plain(dst, text, parent)
}

// plain appends a plain scalar, whose lines are folded into one.
func (p *parser) plain(dst []byte, text string, parent int) []byte {
	p.plainStart(text)
	start := p.at
	line, commented := p.plainLine(text)
	var b strings.Builder
	b.WriteString(line)
	p.at++
	breaks := 0
	for ; p.at < len(p.lines) && !commented; p.at++ {
		text := strings.Trim(p.lines[p.at], " \t")
		if text == "" {
			breaks++
			continue
		}
		if p.indent() <= parent || text[0] == '#' {
			break
		}
		if p.lines[p.at][p.indent()] == '\t' {
			p.fail("a tab in the indentation; use spaces")
		}
		if breaks == 0 {
			b.WriteByte(' ')
		}
		b.WriteString(strings.Repeat("\n", breaks))
		breaks = 0
		line, commented = p.plainLine(text)
		b.WriteString(line)
	}
	return p.resolve(dst, b.String(), start)
}

// plainLine returns a line of a plain scalar, and whether a comment ended it.
func (p *parser) plainLine(text string) (string, bool) {
	for i := range len(text) {
		switch {
		case text[i] == '#' && i > 0 && isBlank(text[i-1]):
			return strings.TrimRight(text[:i], " \t"), true
		case text[i] == ':' && (i+1 == len(text) || isBlank(text[i+1])):
			p.fail("\": \" within a plain text; quote the text")
		}
	}
	return strings.TrimRight(text, " \t"), false
}

var (
	integer = regexp.MustCompile(`^[-+]?[0-9]+$`)
	octal   = regexp.MustCompile(`^0o[0-7]+$`)
	hexadec = regexp.MustCompile(`^0x[0-9a-fA-F]+$`)
	float   = regexp.MustCompile(`^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$`)
	special = regexp.MustCompile(`^([-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN))$`)
)

// resolve appends the plain scalar of a line as what it means (YAML 1.2.2, section 10.3, Core Schema).
func (p *parser) resolve(dst []byte, s string, line int) []byte {
	fail := func(format string) {
		p.at = line
		p.fail(format, s)
	}
	switch s {
	case "", "~", "null", "Null", "NULL":
		return append(dst, "null"...)
	case "true", "True", "TRUE":
		return append(dst, "true"...)
	case "false", "False", "FALSE":
		return append(dst, "false"...)
	}
	switch {
	case special.MatchString(s):
		fail("%s has no form in JSON; quote it")
	case integer.MatchString(s):
		digits := strings.TrimLeft(strings.TrimLeft(s, "+-"), "0")
		switch {
		case digits == "":
			return append(dst, '0')
		case s[0] == '-':
			dst = append(dst, '-')
		}
		return append(dst, digits...)
	case octal.MatchString(s), hexadec.MatchString(s):
		n, err := strconv.ParseUint(strings.Replace(s, "0o", "0", 1), 0, 64)
		if err != nil {
			fail("%.32s is too large a number; quote it")
		}
		return strconv.AppendUint(dst, n, 10)
	case float.MatchString(s):
		f, err := strconv.ParseFloat(s, 64)
		if err != nil || math.IsInf(f, 0) {
			fail("%.32s is too large a number; quote it")
		}
		if f == 0 {
			return append(dst, '0')
		}
		return strconv.AppendFloat(dst, f, 'g', -1, 64)
	}
	return appendString(dst, s)
}

// blockScalar returns a literal or folded scalar and moves behind it.
func (p *parser) blockScalar(header string, parent int) string {
	folded := header[0] == '>'
	chomp, size := byte(0), 0
	for i := 1; i < len(header) && !isBlank(header[i]); i++ {
		switch c := header[i]; {
		case (c == '+' || c == '-') && chomp == 0:
			chomp = c
		case c >= '1' && c <= '9' && size == 0:
			size = int(c - '0')
		default:
			p.fail("%.16q is not the head of a block of text", header)
		}
	}
	if _, comment, ok := strings.Cut(header, " "); ok {
		if comment = strings.TrimLeft(comment, " \t"); comment != "" && comment[0] != '#' {
			p.fail("the text of a block begins in the next line")
		}
	}
	p.at++
	indent := parent + size
	if size == 0 {
		indent = 0
		for _, line := range p.lines[p.at:] {
			if text := strings.TrimLeft(line, " "); text != "" {
				indent = len(line) - len(text)
				break
			}
		}
		indent = max(indent, parent+1)
	}
	var body []string
	for ; p.at < len(p.lines); p.at++ {
		line := p.lines[p.at]
		switch {
		case len(line) >= indent && strings.TrimLeft(line[:indent], " ") == "":
			body = append(body, line[indent:])
			continue
		case strings.TrimLeft(line, " ") == "":
			body = append(body, "")
			continue
		}
		break
	}
	return chomped(body, folded, chomp)
}

// chomped joins the lines of a block of text (YAML 1.2.2, section 8.1).
func chomped(body []string, folded bool, chomp byte) string {
	end := len(body)
	for end > 0 && body[end-1] == "" {
		end--
	}
	var b strings.Builder
	breaks, before := 0, false // line breaks since the last text, and whether that was indented more
	for i, line := range body[:end] {
		if line == "" {
			breaks++
			continue
		}
		more := isBlank(line[0])
		first := strings.TrimLeft(b.String(), "\n") == "" && i == breaks
		switch {
		case first:
			b.WriteString(strings.Repeat("\n", breaks))
		case folded && !before && !more && breaks == 0:
			b.WriteByte(' ')
		case folded && !before && !more:
			b.WriteString(strings.Repeat("\n", breaks))
		default:
			b.WriteString(strings.Repeat("\n", breaks+1))
		}
		b.WriteString(line)
		breaks, before = 0, more
	}
	switch {
	case chomp == '+' && end > 0:
		b.WriteString(strings.Repeat("\n", len(body)-end+1))
	case chomp == '+':
		b.WriteString(strings.Repeat("\n", len(body)))
	case chomp == 0 && end > 0:
		b.WriteByte('\n')
	}
	return b.String()
}

// cursor reads a quoted text or a flow collection, which may go over several lines.
type cursor struct {
	p      *parser
	line   int
	text   string // of the line
	i      int
	parent int  // further lines are indented more
	single bool // there are no further lines
}

func (c *cursor) fail(format string, args ...any) {
	c.p.at = c.line
	c.p.fail(format, args...)
}

// advance moves to the next line; false if there is none that belongs to the value.
func (c *cursor) advance() bool {
	if c.single || c.line+1 >= len(c.p.lines) {
		return false
	}
	c.line++
	c.text, c.i = c.p.lines[c.line], 0
	trimmed := strings.TrimLeft(c.text, " ")
	return strings.TrimLeft(trimmed, "\t") == "" || len(c.text)-len(trimmed) > c.parent
}

// quoted returns the quoted text at the cursor; false if it does not end.
func (c *cursor) quoted() (string, bool) {
	quote := c.text[c.i]
	c.i++
	var b []byte
	keep := 0 // bytes of b that folding does not trim
	for {
		if c.i >= len(c.text) {
			for len(b) > keep && isBlank(b[len(b)-1]) {
				b = b[:len(b)-1]
			}
			breaks := 0
			for {
				if !c.advance() {
					return "", false
				}
				if c.text = strings.TrimLeft(c.text, " \t"); c.text != "" {
					break
				}
				breaks++
			}
			if breaks == 0 {
				b = append(b, ' ')
			}
			for range breaks {
				b = append(b, '\n')
			}
			keep = len(b)
			continue
		}
		ch := c.text[c.i]
		c.i++
		switch {
		case ch == quote && quote == '\'' && c.i < len(c.text) && c.text[c.i] == '\'':
			c.i++
			b = append(b, '\'')
		case ch == quote:
			return string(b), true
		case ch == '\\' && quote == '"':
			if c.i < len(c.text) {
				b = c.escape(b)
				keep = len(b)
				continue
			}
			// An escaped line break joins the lines without a space.
			for {
				if !c.advance() {
					return "", false
				}
				if c.text = strings.TrimLeft(c.text, " \t"); c.text != "" {
					break
				}
				b = append(b, '\n')
			}
			keep = len(b)
		default:
			b = append(b, ch)
		}
	}
}

var escapes = map[byte]string{
	'0': "\x00", 'a': "\a", 'b': "\b", 't': "\t", '\t': "\t", 'n': "\n", 'v': "\v", 'f': "\f", 'r': "\r", 'e': "\x1b",
	' ': " ", '"': "\"", '/': "/", '\\': "\\", 'N': "\u0085", '_': "\u00a0", 'L': "\u2028", 'P': "\u2029",
}

// escape appends what the escape after a backslash means.
func (c *cursor) escape(b []byte) []byte {
	ch := c.text[c.i]
	c.i++
	if s, ok := escapes[ch]; ok {
		return append(b, s...)
	}
	size := map[byte]int{'x': 2, 'u': 4, 'U': 8}[ch]
	if size == 0 || len(c.text)-c.i < size {
		c.fail("\\%c is not an escape", ch)
	}
	n, err := strconv.ParseUint(c.text[c.i:c.i+size], 16, 32)
	if err != nil || !utf8.ValidRune(rune(n)) {
		c.fail("\\%c%s is not a character", ch, c.text[c.i:c.i+size])
	}
	c.i += size
	return utf8.AppendRune(b, rune(n))
}

// skip moves to the next character of a flow collection, over lines and comments.
func (c *cursor) skip() byte {
	for {
		for c.i < len(c.text) && isBlank(c.text[c.i]) {
			c.i++
		}
		if c.i < len(c.text) && (c.text[c.i] != '#' || c.i > 0 && !isBlank(c.text[c.i-1])) {
			return c.text[c.i]
		}
		if !c.advance() {
			c.fail("a list in [ ] or a mapping in { } does not end")
		}
	}
}

// flow appends the flow collection or scalar at the cursor.
func (c *cursor) flow(dst []byte, depth int) []byte {
	if depth > maxDepth {
		c.fail("nested more than %d deep", maxDepth)
	}
	switch c.text[c.i] {
	case '[':
		c.i++
		dst = append(dst, '[')
		for n := 0; c.skip() != ']'; n++ {
			if n > 0 {
				dst = append(dst, ',')
			}
			dst = c.flow(dst, depth+1)
			if c.skip() == ':' {
				c.fail("a pair within [ ]; write it in { }")
			}
			c.comma(']')
		}
		c.i++
		return append(dst, ']')
	case '{':
		c.i++
		dst = append(dst, '{')
		seen := make(map[string]bool)
		for c.skip() != '}' {
			name := c.flowName()
			if seen[name] {
				c.fail("%q is there twice", name)
			}
			if len(seen) > 0 {
				dst = append(dst, ',')
			}
			seen[name] = true
			dst = append(appendString(dst, name), ':')
			if c.skip() != ':' {
				dst = append(dst, "null"...)
			} else {
				c.i++
				if ch := c.skip(); ch == ',' || ch == '}' {
					dst = append(dst, "null"...)
				} else {
					dst = c.flow(dst, depth+1)
				}
			}
			c.comma('}')
		}
		c.i++
		return append(dst, '}')
	case '"', '\'':
		s, ok := c.quoted()
		if !ok {
			c.fail("a quoted text does not end")
		}
		return appendString(dst, s)
	}
	return c.p.resolve(dst, c.flowPlain(), c.line)
}

// comma moves over the comma between entries; before the end there need be none.
func (c *cursor) comma(end byte) {
	switch c.skip() {
	case ',':
		c.i++
	case end:
	default:
		c.fail("no comma between the entries of a list in [ ] or a mapping in { }")
	}
}

func (c *cursor) flowName() string {
	if ch := c.text[c.i]; ch == '"' || ch == '\'' {
		s, ok := c.quoted()
		if !ok {
			c.fail("a quoted text does not end")
		}
		return s
	}
	return c.flowPlain()
}

// flowPlain returns a plain scalar within a flow collection, which is of one line.
func (c *cursor) flowPlain() string {
	text := c.text[c.i:]
	c.p.at = c.line
	c.p.plainStart(text)
	if len(text) > 1 && strings.IndexByte("-?:", text[0]) >= 0 && strings.IndexByte(",[]{}", text[1]) >= 0 {
		c.fail("a plain text cannot begin with %c; quote it", text[0])
	}
	end := len(text)
	for i := range len(text) {
		stop := strings.IndexByte(",[]{}", text[i]) >= 0 ||
			text[i] == ':' && (i+1 == len(text) || isBlank(text[i+1]) || strings.IndexByte(",[]{}", text[i+1]) >= 0) ||
			text[i] == '#' && i > 0 && isBlank(text[i-1])
		if stop {
			end = i
			break
		}
	}
	if end == 0 {
		c.fail("a value is missing")
	}
	c.i += end
	return strings.TrimRight(text[:end], " \t")
}
