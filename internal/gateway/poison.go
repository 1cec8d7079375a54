package gateway

import (
	"unicode"
	"unicode/utf8"

	"github.com/fairlead-mcp/fairlead/internal/upstream"
)

// longestName bounds the names that an upstream gives: longer ones are no names.
const longestName = 1024

// poisoned says why something is not shown for its name: a person or a model would
// take it for something else, or could not see all of it. It is empty for a good name.
func poisoned(kind upstream.Kind, name string) string {
	word := kind == upstream.Tools || kind == upstream.Prompts
	switch {
	case !utf8.ValidString(name):
		return "its name is not UTF-8"
	case word && len(name) > longestName:
		return "its name is too long"
	}
	var latin, like bool // in the word so far
	for _, r := range name {
		switch {
		case unicode.IsControl(r):
			return "its name has control characters"
		case unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp, unicode.Co), r == '\u115f', r == '\u1160', r == '\u3164', r == '\uffa0', unicode.Is(unicode.Variation_Selector, r):
			return "its name has characters that nobody sees"
		case unicode.Is(unicode.Latin, r):
			latin = true
		case unicode.In(r, unicode.Cyrillic, unicode.Greek, unicode.Cherokee, unicode.Armenian), r >= 0x1d400 && r <= 0x1d7ff:
			like = true
		case !unicode.IsLetter(r):
			latin, like = false, false // another word
		}
		if word && latin && like { // URIs have words of two scripts
			return "its name mixes letters that look alike"
		}
	}
	return ""
}
