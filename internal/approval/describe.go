package approval

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Describe returns what a person has to know before approving c: every argument
// on a line of its own and in full, so that nothing hides behind the edge of a
// terminal, and what is dangerous about it.
func Describe(c *Command) string {
	var b strings.Builder
	fmt.Fprintf(&b, "upstream %s runs this command:\n\n", quote(c.Upstream))
	for i, arg := range c.Argv {
		indent := "    "
		if i == 0 {
			indent = "  "
		}
		b.WriteString(indent + quote(arg) + "\n")
	}
	b.WriteString("\n  program      " + quote(c.Path) + "\n")
	b.WriteString("  sha256       " + c.Digest + "\n")
	dir := "the one the node was started in"
	if c.Dir != "" {
		dir = quote(c.Dir)
	}
	b.WriteString("  directory    " + dir + "\n")
	names := "nothing besides the basics"
	if len(c.Env) > 0 {
		quoted := make([]string, len(c.Env))
		for i, name := range c.Env {
			quoted[i] = quote(name)
		}
		names = strings.Join(quoted, ", ")
	}
	b.WriteString("  environment  " + names + "\n")
	for _, m := range Marks(c) {
		b.WriteString("  WARNING      " + m + "\n")
	}
	return b.String()
}

// Prompt returns what a terminal shows before it asks for all commands at once.
func Prompt(commands []*Command) string {
	var b strings.Builder
	for _, c := range commands {
		b.WriteString(Describe(c) + "\n")
	}
	what := "this command"
	if len(commands) > 1 {
		what = fmt.Sprintf("these %d commands", len(commands))
	}
	fmt.Fprintf(&b, "A command runs with all rights of the user that runs the node.\nType yes to approve %s; anything else stops here: ", what)
	return b.String()
}

// Accepted reports whether the answer to Prompt is yes. A single letter is not
// enough: it is typed too easily.
func Accepted(answer string) bool {
	return strings.EqualFold(strings.TrimSpace(answer), "yes")
}

// quote writes s as a shell would read it back, with everything a terminal
// could hide or turn around written as an escape. The result is plain printable text.
func quote(s string) string {
	switch {
	case s != "" && strings.Trim(s, plainLetters) == "":
		return s
	case !strings.ContainsFunc(s, invisible) && utf8.ValidString(s):
		return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
	}
	var b strings.Builder
	b.WriteString("$'")
	for i := 0; i < len(s); {
		r, size := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\t':
			b.WriteString(`\t`)
		case r == '\'' || r == '\\':
			b.WriteString(`\` + string(r))
		case r < 0x80 && invisible(r):
			fmt.Fprintf(&b, `\x%02x`, r)
		case invisible(r) && r > 0xffff:
			fmt.Fprintf(&b, `\U%08x`, r)
		case invisible(r):
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteRune(r)
		}
		i += size
	}
	b.WriteString("'")
	return b.String()
}

const plainLetters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-./:=@%+,"

// invisible reports whether r shows nothing, or changes how its neighbours are
// shown: controls, bidirectional and zero-width characters, marks that combine,
// spaces other than the usual one, and letters that are blank.
func invisible(r rune) bool {
	switch r {
	case 0x115f, 0x1160, 0x2800, 0x3164, 0xffa0:
		return true
	}
	return !unicode.IsPrint(r) || unicode.Is(unicode.M, r)
}
