package config

import (
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/fairlead-mcp/fairlead/internal/secret"
)

// decoder turns nodes into values with the help of the table.
type decoder struct {
	problems
	expand expander
	places map[string]place // path of a key -> where it stands
}

func newDecoder(path string, lookup func(string) (string, bool)) *decoder {
	if lookup == nil {
		lookup = func(string) (string, bool) { return "", false }
	}
	d := &decoder{problems: problems{file: path}, places: map[string]place{}}
	dir, err := filepath.Abs(filepath.Dir(path))
	if err != nil { // the current directory is gone; relative paths stay relative
		dir = filepath.Dir(path)
	}
	d.expand = expander{lookup: lookup, dir: dir}
	return d
}

func (d *decoder) config(root *node) *Config {
	cfg := &Config{}
	t := &target{config: cfg}
	d.defaults(keys, t)
	d.section(root, "", "", keys, t)
	if cfg.Data == "" {
		cfg.Data = dataDir(d.expand.lookup)
	}
	if cfg.AdminSocket == "" {
		cfg.AdminSocket = filepath.Join(cfg.Data, "admin.sock")
	}
	for i := range cfg.Upstreams {
		if u := &cfg.Upstreams[i]; u.Bundle != "" && len(d.errs) == 0 {
			d.bundle(u, cfg.Data)
		}
		if u := &cfg.Upstreams[i]; u.Timeout == 0 {
			u.Timeout = cfg.Limits.CallTimeout
		}
	}
	return cfg
}

func (d *decoder) defaults(table []key, t *target) {
	for i := range table {
		if k := &table[i]; k.def != "" {
			d.set(k, k.path, &node{kind: text, text: k.def}, t)
		}
	}
}

// section reads the keys of an object. base is its path in the file, and within
// its path in the table: both grow when a key of the table has dots.
func (d *decoder) section(n *node, base, within string, table []key, t *target) {
	if n.kind == null {
		return
	}
	if n.kind != object {
		d.add(n.place, base, "write keys with values", "this is %s", n.kind)
		return
	}
	for _, f := range n.fields {
		path, row := join(base, f.key), f.key
		if within != "" {
			row = within + "." + f.key
		}
		d.places[path] = f.place
		i := slices.IndexFunc(table, func(k key) bool { return k.path == row })
		switch {
		case strings.Contains(f.key, "."): // log.level written as one key
			d.add(f.place, path, "write the parts as keys inside each other", "unknown key")
		case i >= 0 && f.value.kind == null: // "args:" with nothing after it
		case i >= 0:
			d.set(&table[i], path, f.value, t)
		case slices.ContainsFunc(table, func(k key) bool { return strings.HasPrefix(k.path, row+".") }):
			d.section(f.value, path, row, table, t)
		default:
			d.add(f.place, path, d.unknown(f.key, within, table), "unknown key")
		}
	}
}

// unknown says what to write instead of a key that the table does not have.
func (d *decoder) unknown(got, within string, table []key) string {
	var here []string
	for _, k := range table {
		rest, ok := strings.CutPrefix(k.path, within+".")
		if within == "" {
			rest, ok = k.path, true
		}
		if name, _, _ := strings.Cut(rest, "."); ok && !slices.Contains(here, name) {
			here = append(here, name)
		}
		// A key that stands one level deeper or higher.
		if strings.HasSuffix(k.path, "."+got) {
			return fmt.Sprintf("did you mean %q?", k.path)
		}
	}
	switch got {
	case "mcpServers", "servers":
		return `write upstreams, or start with "fairlead serve --mcp-servers FILE"`
	case "port", "host", "address":
		return "write listen: HOST:PORT"
	}
	return suggest(got, here)
}

func (d *decoder) set(k *key, path string, n *node, t *target) {
	switch field := k.field(t).(type) {
	case *string:
		*field, _ = d.checked(k, path, n)
	case *slog.Level:
		if s, ok := d.word(k, path, n); ok {
			_ = field.UnmarshalText([]byte(s)) // every word of the table is a level
		}
	case *Era:
		s, _ := d.word(k, path, n)
		*field = Era(s)
	case *int:
		if s, ok := d.scalar(k, path, n); ok {
			v, err := strconv.ParseInt(s, 10, 32)
			if err != nil || v < 1 {
				d.wrong(k, path, n, "not a whole number from 1")
			}
			*field = int(v)
		}
	case *float64:
		if s, ok := d.scalar(k, path, n); ok {
			v, err := strconv.ParseFloat(s, 64)
			if err != nil || !(v >= 0.01 && v <= 1e6) {
				d.wrong(k, path, n, "not a number from 0.01")
			}
			*field = v
		}
	case *bool:
		if s, ok := d.scalar(k, path, n); ok {
			if s != "true" && s != "false" {
				d.wrong(k, path, n, "neither true nor false")
			}
			*field = s == "true"
		}
	case *ByteSize:
		if s, ok := d.scalar(k, path, n); ok {
			v, err := ParseByteSize(s)
			if err != nil || v < 1 {
				d.wrong(k, path, n, "not a size")
			}
			*field = v
		}
	case *time.Duration:
		if s, ok := d.scalar(k, path, n); ok {
			v, err := time.ParseDuration(s)
			if err != nil || v <= 0 {
				d.wrong(k, path, n, "not a duration")
			}
			*field = v
		}
	case *Hash:
		if s, ok := d.scalar(k, path, n); ok {
			v, err := ParseHash(s)
			if err != nil {
				d.wrong(k, path, n, err.Error())
			}
			*field = v
		}
	case *[]string:
		*field = d.texts(k, path, n)
	case *map[string]secret.Text:
		if k.form == formValues {
			*field = map[string]secret.Text{}
			d.values(k, path, n, func(name, value string) { (*field)[name] = secret.New(value) })
			return
		}
		*field = d.secrets(k, path, n)
	case *[]Timeout:
		*field = d.timeouts(k, path, n)
	case *[]Token:
		*field = d.tokens(k, path, n)
	case *map[string]string:
		*field = map[string]string{}
		d.values(k, path, n, func(name, value string) { (*field)[name] = value })
	case *map[string]ByteSize:
		*field = d.sizes(k, path, n)
	case *[]Pick:
		*field = d.picks(k, path, n)
	case *[]Virtual:
		*field = d.virtuals(k, path, n)
	case *[]Upstream:
		*field = d.upstreams(k, path, n)
	default:
		panic(fmt.Sprintf("config: no reader for %T (%s)", field, k.path))
	}
}

func (d *decoder) wrong(k *key, path string, n *node, what string) {
	hint := "write " + k.form.write
	if len(k.words) > 0 {
		hint = "write " + strings.Join(k.words[:len(k.words)-1], ", ") + " or " + k.words[len(k.words)-1]
	}
	d.add(n.place, path, hint, "%s", what)
}

// scalar returns the text of n with its ${...} filled in.
func (d *decoder) scalar(k *key, path string, n *node) (string, bool) {
	if !n.scalar() {
		d.wrong(k, path, n, fmt.Sprintf("this is %s", n.kind))
		return "", false
	}
	if n.kind != text {
		return n.text, true
	}
	s, err := d.expand.expand(n.text)
	if err != nil {
		hint := ""
		if e := (*expandError)(nil); errors.As(err, &e) {
			hint = e.hint
		}
		d.add(n.place, path, hint, "%s", err)
		return "", false
	}
	return s, true
}

// checked is scalar and the check of the form.
func (d *decoder) checked(k *key, path string, n *node) (string, bool) {
	if len(k.words) > 0 {
		return d.word(k, path, n)
	}
	s, ok := d.scalar(k, path, n)
	if !ok {
		return "", false
	}
	fixed, what := k.form.check(d, s)
	if what != "" {
		d.wrong(k, path, n, what)
		return "", false
	}
	return fixed, true
}

func (d *decoder) word(k *key, path string, n *node) (string, bool) {
	s, ok := d.scalar(k, path, n)
	if ok && !slices.Contains(k.words, s) {
		what := "this word is not known here"
		if s == n.text { // else it comes from outside and may be a secret
			what = fmt.Sprintf("%q is not known here", shorten(s))
		}
		d.wrong(k, path, n, what)
		return "", false
	}
	return s, ok
}

func shorten(s string) string {
	if r := []rune(s); len(r) > 40 {
		return string(r[:40]) + "..."
	}
	return s
}

func (d *decoder) texts(k *key, path string, n *node) (out []string) {
	if k.form.single && n.scalar() {
		n = &node{place: n.place, kind: list, items: []*node{n}}
	}
	if n.kind != list {
		d.wrong(k, path, n, fmt.Sprintf("this is %s", n.kind))
		return nil
	}
	for i, item := range n.items {
		at := fmt.Sprintf("%s[%d]", path, i)
		d.places[at] = item.place
		if s, ok := d.checked(k, at, item); ok {
			out = append(out, s)
		}
	}
	return out
}

func (d *decoder) secrets(k *key, path string, n *node) map[string]secret.Text {
	if n.kind != object {
		d.wrong(k, path, n, fmt.Sprintf("this is %s", n.kind))
		return nil
	}
	out := map[string]secret.Text{}
	for _, f := range n.fields {
		at := join(path, f.key)
		d.places[at] = f.place
		if _, what := k.form.check(d, f.key); what != "" {
			d.add(f.place, at, "write "+k.form.write, "%s", what)
			continue
		}
		if f.value.kind == null {
			d.add(f.place, at, `write "" for an empty value`, "there is no value")
			continue
		}
		s, ok := d.scalar(k, at, f.value)
		if !ok {
			continue
		}
		if what := badValue(k.form, s); what != "" {
			d.add(f.value.place, at, "", "%s", what)
			continue
		}
		out[f.key] = secret.New(s)
	}
	return out
}

// sizes reads sizes by pattern.
func (d *decoder) sizes(k *key, path string, n *node) map[string]ByteSize {
	if n.kind != object {
		d.wrong(k, path, n, fmt.Sprintf("this is %s", n.kind))
		return nil
	}
	out := map[string]ByteSize{}
	for _, f := range n.fields {
		at := join(path, f.key)
		d.places[at] = f.place
		if _, what := k.form.check(d, f.key); what != "" {
			d.add(f.place, at, "write "+k.form.write, "%s", what)
			continue
		}
		if s, ok := d.scalar(k, at, f.value); ok {
			v, err := ParseByteSize(s)
			if err != nil {
				d.wrong(k, at, f.value, "not a size")
			}
			out[f.key] = v
		}
	}
	return out
}

// badValue says why s can be no value of the form, without repeating it.
func badValue(f *form, s string) string {
	if f == formHeaders {
		for _, c := range []byte(s) {
			if c < ' ' && c != '\t' || c == 0x7f {
				return "the value has a line break or control character, which no header may have"
			}
		}
		return ""
	}
	_, what := checkText(nil, s)
	return what
}

func (d *decoder) tokens(k *key, path string, n *node) (out []Token) {
	if n.kind != list {
		d.wrong(k, path, n, fmt.Sprintf("this is %s", n.kind))
		return nil
	}
	for i, item := range n.items {
		at := fmt.Sprintf("%s[%d]", path, i)
		d.places[at] = item.place
		if item.kind != object {
			d.wrong(k, at, item, fmt.Sprintf("this is %s", item.kind))
			continue
		}
		var token Token
		d.section(item, at, "", tokenKeys, &target{token: &token})
		for _, need := range []string{"name", "hash"} {
			if v := item.get(need); v == nil || v.kind == null {
				d.add(item.place, at, "add "+need+": ...", "%s is missing", need)
			}
		}
		out = append(out, token)
	}
	return out
}

func (d *decoder) upstreams(k *key, path string, n *node) (out []Upstream) {
	if n.kind != object {
		d.wrong(k, path, n, fmt.Sprintf("this is %s", n.kind))
		return nil
	}
	for _, f := range n.fields {
		at := join(path, f.key)
		d.places[at] = f.place
		u := Upstream{Name: f.key}
		t := &target{upstream: &u}
		d.defaults(upstreamKeys, t)
		d.section(f.value, at, "", upstreamKeys, t)
		before := len(d.errs)
		switch {
		case u.ServerJSON == "" && u.ServerFrom != "", u.ServerJSON == "" && u.Bundle == "" && len(u.Inputs) > 0:
			d.add(f.place, at, "add server_json: FILE, or remove them", "server_from and inputs are for a server_json")
		case u.Bundle == "" && u.BundleHash != Hash{}:
			d.add(f.place, at, "add bundle: FILE, or remove it", "bundle_hash is for a bundle")
		case u.Bundle != "" && (u.Command != "" || u.URL != "" || u.ServerJSON != ""):
			d.add(f.place, at, "write one of them", "bundle beside command, url or server_json")
		case u.ServerJSON != "" && (u.Command != "" || u.URL != ""):
			d.add(f.place, at, "write one of them", "server_json beside command or url")
		case u.ServerJSON != "":
			d.serverJSON(at, &u)
		}
		if len(d.errs) > before {
			continue // that there is neither command nor url follows from it
		}
		u.Command = absoluteCommand(u.Command, u.Dir, d.expand.dir)
		out = append(out, u)
	}
	return out
}

// absoluteCommand makes a relative path with a slash start at cwd, or at the
// directory of the file: what is approved and what runs is then the same.
func absoluteCommand(command, cwd, dir string) string {
	if !strings.Contains(command, "/") || filepath.IsAbs(command) {
		return command
	}
	if cwd == "" {
		cwd = dir
	}
	return filepath.Join(cwd, command)
}
