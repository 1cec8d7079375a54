package config

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"unicode/utf8"
)

// expander replaces ${...} in the texts of a file. There is no $VAR: a dollar
// without a brace is a dollar.
type expander struct {
	lookup func(name string) (string, bool) // the environment
	dir    string                           // relative ${file:PATH} start here
	// more knows further names, as editors have; nil for none.
	more func(body string) (value string, ok bool, err error)
}

// expandError says what is wrong with a ${...} and what to write.
type expandError struct{ what, hint string }

func (e *expandError) Error() string { return e.what }

const forms = "write ${VAR}, ${VAR:-default}, ${env:VAR} or ${file:PATH}, or $${ for a plain ${"

var variable = regexp.MustCompile(`^(?:env:)?([A-Za-z_][A-Za-z0-9_]*)(?::-(.*))?$`)

// expand returns s with every ${...} replaced. A replacement is not looked at
// again, so a value from the environment can hold no further expansion.
func (x *expander) expand(s string) (string, error) {
	var out strings.Builder
	for {
		start := strings.Index(s, "${")
		if start < 0 {
			out.WriteString(s)
			return out.String(), nil
		}
		if start > 0 && s[start-1] == '$' {
			out.WriteString(s[:start-1] + "${")
			s = s[start+2:]
			continue
		}
		out.WriteString(s[:start])
		body, rest, closed := strings.Cut(s[start+2:], "}")
		if !closed {
			return "", &expandError{"${ has no }", forms}
		}
		value, err := x.value(body)
		if err != nil {
			return "", err
		}
		out.WriteString(value)
		s = rest
	}
}

func (x *expander) value(body string) (string, error) {
	if x.more != nil {
		if value, ok, err := x.more(body); ok || err != nil {
			return value, err
		}
	}
	if path, ok := strings.CutPrefix(body, "file:"); ok {
		return x.file(path)
	}
	m := variable.FindStringSubmatch(body)
	if m == nil {
		return "", &expandError{fmt.Sprintf("%q is not something that can be filled in", "${"+body+"}"), forms}
	}
	value, set := x.lookup(m[1])
	hasDefault := strings.Contains(body, ":-")
	switch {
	case hasDefault && value == "": // unset and empty are the same here, as in a shell
		return m[2], nil
	case set:
		return value, nil
	}
	return "", &expandError{
		fmt.Sprintf("environment variable %s is not set", m[1]),
		fmt.Sprintf("set it, or write ${%s:-default}", m[1]),
	}
}

// maxFile bounds a value read by ${file:...}: keys and certificates are far smaller.
const maxFile = 64 << 10

func (x *expander) file(path string) (string, error) {
	if path == "" {
		return "", &expandError{"${file:} has no path", "write ${file:/path/to/file}"}
	}
	if !filepath.IsAbs(path) {
		path = filepath.Join(x.dir, path)
	}
	value, err := readRegular(path, maxFile)
	if err != nil {
		return "", &expandError{err.Error(), "check the path and its permissions"}
	}
	if !utf8.ValidString(value) {
		return "", &expandError{fmt.Sprintf("%s is not UTF-8 text", path), ""}
	}
	// The newline that editors and "echo" leave at the end belongs to no secret.
	value = strings.TrimSuffix(value, "\n")
	return strings.TrimSuffix(value, "\r"), nil
}

// readRegular reads a file of at most limit bytes. A pipe or a device is
// refused before it is opened, since opening one may wait for ever.
func readRegular(path string, limit int64) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	if !info.Mode().IsRegular() {
		return "", fmt.Errorf("%s is not a regular file", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer func() { _ = f.Close() }() // only read from
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return "", fmt.Errorf("read %s: %w", path, err)
	}
	if int64(len(data)) > limit {
		return "", fmt.Errorf("%s has more than %d bytes", path, limit)
	}
	return string(data), nil
}
