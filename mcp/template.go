package mcp

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Bounds of URI templates and of the URIs that are matched against them.
const (
	maxTemplateBytes     = 2048
	maxTemplateVariables = 32
	maxURIBytes          = 8192
)

// uriTemplate matches URIs against an RFC 6570 template. Matching takes time
// linear in the URI: the expression is a regular one without backtracking.
//
// A value does not cross a slash, question mark or hash unless its expression is
// {+var} or {#var}. The parameters of {?a,b} and {&a} may come in any order and
// be absent; these expressions come last.
type uriTemplate struct {
	expr     *regexp.Regexp
	names    []string // the variables of the expression's groups
	query    []string // the variables of the last group, which is a list of parameters
	hasQuery bool
	literal  int // bytes outside expressions: the more, the more specific
}

// operator says how the variables of an expression are written.
type operator struct {
	first, sep string // in front of the first variable and of the others
	class      string // characters of a value
	named      bool   // as name=value
}

func operatorOf(c byte) (op operator, ok bool) {
	switch c {
	case '+':
		return operator{"", ",", `[^\x00-\x20]`, false}, true
	case '#':
		return operator{"#", ",", `[^\x00-\x20]`, false}, true
	case '.':
		return operator{".", ".", `[^\x00-\x20/?#.]`, false}, true
	case '/':
		return operator{"/", "/", `[^\x00-\x20/?#]`, false}, true
	case ';':
		return operator{";", ";", `[^\x00-\x20/?#;]`, true}, true
	}
	return operator{}, false
}

// parseTemplate compiles an RFC 6570 template.
func parseTemplate(text string) (*uriTemplate, error) {
	if len(text) == 0 || len(text) > maxTemplateBytes {
		return nil, fmt.Errorf("template is not 1 to %d bytes long", maxTemplateBytes)
	}
	if !utf8.ValidString(text) {
		return nil, errors.New("template is not valid UTF-8")
	}
	t := &uriTemplate{}
	var expr strings.Builder
	expr.WriteString(`\A`)
	seen := make(map[string]bool)
	for rest := text; rest != ""; {
		literal, after, found := strings.Cut(rest, "{")
		if strings.Contains(literal, "}") {
			return nil, errors.New("template has a } without {")
		}
		if literal != "" && t.hasQuery {
			return nil, errors.New("template has something behind {?...} or {&...}, which come last")
		}
		t.literal += len(literal)
		expr.WriteString(regexp.QuoteMeta(literal))
		if !found {
			break
		}
		body, tail, closed := strings.Cut(after, "}")
		if !closed {
			return nil, errors.New("template has a { without }")
		}
		if err := t.expression(&expr, body, seen); err != nil {
			return nil, fmt.Errorf("expression {%s}: %w", body, err)
		}
		rest = tail
	}
	if t.hasQuery {
		expr.WriteString(`([?&][^\x00-\x20#]*)?`)
	}
	expr.WriteString(`\z`)
	var err error
	if t.expr, err = regexp.Compile(expr.String()); err != nil {
		return nil, fmt.Errorf("template is too complex: %v", err) // the cause speaks of a regular expression, not of a template
	}
	return t, nil
}

// expression compiles what stands between { and }.
func (t *uriTemplate) expression(expr *strings.Builder, body string, seen map[string]bool) error {
	if body == "" {
		return errors.New("is empty")
	}
	op := operator{"", ",", `[^\x00-\x20/?#]`, false}
	query := body[0] == '?' || body[0] == '&'
	if special, ok := operatorOf(body[0]); ok {
		op, body = special, body[1:]
	} else if query {
		body = body[1:]
	}
	if t.hasQuery && !query {
		return errors.New("stands behind {?...} or {&...}, which come last")
	}
	specs := strings.Split(body, ",")
	if len(specs) > 1 && op.sep == "," && op.first == "" && op.class[len(op.class)-2] == '#' {
		op.class = `[^\x00-\x20/?#,]`
	}
	for i, spec := range specs {
		name, explode := strings.CutSuffix(spec, "*")
		name, prefix, limited := strings.Cut(name, ":")
		if !validVarName(name) {
			return fmt.Errorf("%q is not a variable name", name)
		}
		if seen[name] {
			return fmt.Errorf("variable %q stands twice", name)
		}
		if seen[name] = true; len(seen) > maxTemplateVariables {
			return fmt.Errorf("more than %d variables", maxTemplateVariables)
		}
		repeat := "*"
		if limited {
			n, err := strconv.Atoi(prefix)
			if err != nil || n < 1 || n > 1000 || explode {
				return errors.New("a prefix length is not 1 to 1000")
			}
			repeat = "{0," + strconv.Itoa(n) + "}"
		}
		if query {
			if explode || limited {
				return errors.New("modifiers have no meaning for query parameters that are matched")
			}
			t.hasQuery = true
			t.query = append(t.query, name)
			continue
		}
		t.names = append(t.names, name)
		lead := op.sep
		if i == 0 {
			lead = op.first
		}
		lead = regexp.QuoteMeta(lead)
		switch {
		case explode && op.first == "/":
			// {/path*} is any number of segments; the value keeps the slashes between them.
			expr.WriteString(`(?:/(` + op.class + `*(?:/` + op.class + `*)*))?`)
		case op.named:
			expr.WriteString(`(?:` + lead + regexp.QuoteMeta(name) + `(?:=(` + op.class + repeat + `))?)?`)
		case lead == "":
			expr.WriteString(`(` + op.class + repeat + `)`)
		default:
			expr.WriteString(`(?:` + lead + `(` + op.class + repeat + `))?`)
		}
	}
	return nil
}

func validVarName(name string) bool {
	if name == "" {
		return false
	}
	for i := range len(name) {
		switch c := name[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '_', c == '.', c == '%':
		default:
			return false
		}
	}
	return true
}

// has reports whether name is a variable of t.
func (t *uriTemplate) has(name string) bool {
	for _, list := range [][]string{t.names, t.query} {
		if slices.Contains(list, name) {
			return true
		}
	}
	return false
}

// match returns the decoded variables of a URI; false if it does not match.
// Variables that the URI leaves out are not in the map.
func (t *uriTemplate) match(uri string) (map[string]string, bool) {
	if len(uri) > maxURIBytes || !utf8.ValidString(uri) {
		return nil, false
	}
	groups := t.expr.FindStringSubmatchIndex(uri)
	if groups == nil {
		return nil, false
	}
	vars := make(map[string]string, len(t.names)+len(t.query))
	for i, name := range t.names {
		start, end := groups[2*i+2], groups[2*i+3]
		if start < 0 {
			continue
		}
		value, ok := decodePercent(uri[start:end])
		if !ok {
			return nil, false
		}
		vars[name] = value
	}
	if t.hasQuery {
		if i := 2*len(t.names) + 2; groups[i] >= 0 {
			return vars, t.matchQuery(vars, uri[groups[i]+1:groups[i+1]])
		}
	}
	return vars, true
}

// matchQuery reads parameters, each at most once and none that the template does not name.
func (t *uriTemplate) matchQuery(vars map[string]string, query string) bool {
	if query == "" {
		return true
	}
	for pair := range strings.SplitSeq(query, "&") {
		name, text, _ := strings.Cut(pair, "=")
		value, ok := decodePercent(text)
		if !ok {
			return false
		}
		if _, twice := vars[name]; twice {
			return false
		}
		known := false
		for _, q := range t.query {
			known = known || q == name
		}
		if !known {
			return false
		}
		vars[name] = value
	}
	return true
}

func decodePercent(s string) (string, bool) {
	if strings.IndexByte(s, '%') < 0 {
		return s, true
	}
	decoded, err := url.PathUnescape(s)
	return decoded, err == nil && utf8.ValidString(decoded)
}
