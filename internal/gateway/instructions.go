package gateway

import (
	"strings"
	"unicode/utf8"
)

// Instructions end up in the context of every model, so they are bounded: those of
// one upstream, and all together.
const (
	maxInstructions    = 4 << 10
	maxAllInstructions = 16 << 10
)

const cutNote = "\n[The rest is left out.]"

// instructions joins those of the upstreams, each under its name. What does not fit
// is cut, and upstreams for which there is no more room are named.
func (s *scope) instructions() string {
	if s.virtual != nil && s.virtual.Instructions != "" {
		if s.search {
			return s.virtual.Instructions + "\n\n" + searchInstructions
		}
		return s.virtual.Instructions
	}
	var b strings.Builder
	if s.search {
		b.WriteString(searchInstructions)
	}
	var left []string
	for _, u := range s.upstreams {
		c := u.Catalogue()
		if c == nil || strings.TrimSpace(c.Instructions) == "" {
			continue
		}
		section := "## " + u.Name() + "\n\n"
		if s.prefixed {
			section += "Names of this upstream begin with " + u.Name() + separator + ".\n\n"
		}
		section += below(cutLines(strings.TrimSpace(c.Instructions), maxInstructions))
		if b.Len()+len(section) > maxAllInstructions {
			left = append(left, u.Name())
			continue
		}
		if b.Len() > 0 {
			b.WriteString("\n\n")
		}
		b.WriteString(section)
	}
	if len(left) > 0 {
		b.WriteString("\n\n[Left out, since there is too much: the instructions of " + clip(strings.Join(left, ", ")) + ".]")
	}
	return b.String()
}

// cutLines cuts a text that is too long, at the end of a line where there is one.
func cutLines(text string, most int) string {
	if len(text) <= most {
		return text
	}
	most -= len(cutNote)
	if line := strings.LastIndexByte(text[:most], '\n'); line > most/2 {
		return text[:line] + cutNote
	}
	for most > 0 && !utf8.RuneStart(text[most]) {
		most--
	}
	return text[:most] + cutNote
}

// below moves the headings of a text below the one that it stands under, so that no
// upstream speaks under the name of another.
func below(text string) string {
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		if trimmed := strings.TrimLeft(line, " "); strings.HasPrefix(trimmed, "#") {
			lines[i] = "##" + trimmed
		}
	}
	return strings.Join(lines, "\n")
}
