package gateway

import (
	"regexp"
	"strings"
)

// template is a URI template (RFC 6570) as a test of URIs.
type template struct {
	text     string
	re       *regexp.Regexp // linear in the length of the URI, whatever the template
	literals int            // bytes outside expressions: more means more specific
}

// maxTemplate bounds a template; longer ones match nothing.
const maxTemplate = 4096

// compileTemplate returns nil for a template that cannot be read.
func compileTemplate(text string) *template {
	if len(text) > maxTemplate {
		return nil
	}
	t := &template{text: text}
	var re strings.Builder
	re.WriteString(`\A(?s:`)
	for rest := text; rest != ""; {
		literal, after, found := strings.Cut(rest, "{")
		re.WriteString(regexp.QuoteMeta(literal))
		t.literals += len(literal)
		if !found {
			break
		}
		expression, next, closed := strings.Cut(after, "}")
		if !closed || expression == "" {
			return nil
		}
		rest = next
		// What an expression can expand to, by its operator; the values of several variables are not told apart.
		switch expression[0] {
		case '+':
			re.WriteString(`.*`)
		case '#':
			re.WriteString(`(?:#.*)?`)
		case '/':
			if strings.HasSuffix(expression, "*") {
				re.WriteString(`(?:/[^?#]*)?`)
			} else {
				re.WriteString(`(?:/[^/?#]*)*`)
			}
		case '.':
			re.WriteString(`(?:\.[^/?#]*)?`)
		case ';':
			re.WriteString(`(?:;[^/?#]*)?`)
		case '?':
			re.WriteString(`(?:\?[^#]*)?`)
		case '&':
			re.WriteString(`(?:&[^#]*)?`)
		default:
			re.WriteString(`[^/?#]*`)
		}
	}
	re.WriteString(`)\z`)
	compiled, err := regexp.Compile(re.String())
	if err != nil {
		return nil
	}
	t.re = compiled
	return t
}

func (t *template) match(uri string) bool { return t.re.MatchString(uri) }
