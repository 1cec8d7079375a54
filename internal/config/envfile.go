package config

import (
	"errors"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/fairlead-mcp/fairlead/internal/secret"
)

// envFile adds the variables of the file that a server of VS Code names. Those
// of env win.
func (r *serversReader) envFile(path string, n *node, u *Upstream) {
	f := n.get("envFile")
	if f == nil || f.kind == null {
		return
	}
	at := join(path, "envFile")
	k := key{form: formFile}
	name, ok := r.checked(&k, at, f)
	if !ok {
		return
	}
	data, err := readRegular(name, maxFile)
	if err != nil {
		r.add(f.place, at, "check the path and its permissions", "%s", err)
		return
	}
	in := problems{file: name}
	if !in.legible([]byte(data), maxFile) {
		r.errs = append(r.errs, in.errs...)
		return
	}
	for i, line := range strings.Split(strings.TrimPrefix(data, "\ufeff"), "\n") {
		name, value, err := envLine(line)
		if err != nil {
			// Only the place: the line may hold a secret.
			in.add(place{i + 1, 1}, at, "write NAME=value", "%s", err)
			continue
		}
		if _, set := u.Env[name]; name == "" || set && n.get("env") != nil && n.get("env").get(name) != nil {
			continue
		}
		if u.Env == nil {
			u.Env = map[string]secret.Text{}
		}
		u.Env[name] = secret.New(value)
	}
	for _, e := range in.errs {
		e.File = filepath.Clean(e.File)
		r.errs = append(r.errs, e)
	}
}

// envLine reads NAME=value, with optional export, quotes and a comment. The
// name is empty for lines without a variable. Nothing in the value is filled in.
func envLine(line string) (name, value string, err error) {
	line = strings.TrimSpace(line)
	if line == "" || line[0] == '#' {
		return "", "", nil
	}
	if rest, ok := strings.CutPrefix(line, "export "); ok {
		line = rest
	}
	name, value, ok := strings.Cut(line, "=")
	name, value = strings.TrimSpace(name), strings.TrimSpace(value)
	if !ok || !envName.MatchString(name) {
		return "", "", errors.New("this is not NAME=value")
	}
	switch {
	case strings.HasPrefix(value, "'"):
		value, rest, closed := strings.Cut(value[1:], "'")
		if !closed || !onlyComment(rest) {
			return "", "", errors.New("the quote does not end, or something stands after it")
		}
		return name, value, nil
	case strings.HasPrefix(value, `"`):
		quoted, err := strconv.QuotedPrefix(value)
		if err != nil || !onlyComment(value[len(quoted):]) {
			return "", "", errors.New("the quote does not end, or something stands after it")
		}
		value, err := strconv.Unquote(quoted)
		return name, value, err
	}
	if i := strings.Index(value, " #"); i >= 0 {
		value = strings.TrimSpace(value[:i])
	}
	return name, value, nil
}

func onlyComment(s string) bool {
	s = strings.TrimSpace(s)
	return s == "" || s[0] == '#'
}
