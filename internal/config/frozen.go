package config

import (
	"bytes"
	"fmt"
	"path/filepath"
	"reflect"
	"strings"
)

// Frozen reports the keys that are different in next and that a running node cannot
// change. path and text are the file that next was made of; they give the places. The
// error is an Errors.
func (c *Config) Frozen(next *Config, path string, text []byte) error {
	var errs Errors
	add := func(key, was string) {
		e := &Error{File: path, Path: key, What: "this cannot change while the node runs", Hint: "restart the node, or take the change back" + was}
		e.Line, e.Column = locate(path, text, key)
		errs = append(errs, e)
	}
	follows := func(c *Config) bool { return c.AdminSocket == filepath.Join(c.Data, "admin.sock") }
	for i := range keys {
		k := &keys[i]
		if k.path == "admin_socket" && follows(c) && follows(next) {
			continue // said at data
		}
		was, is := reflect.ValueOf(k.field(&target{config: c})).Elem().Interface(), reflect.ValueOf(k.field(&target{config: next})).Elem().Interface()
		if k.restart && !reflect.DeepEqual(was, is) {
			add(k.path, fmt.Sprintf(" (it was %v)", was))
		}
	}
	if (c.TLS.Cert == "") != (next.TLS.Cert == "") {
		add("tls", " (files can change, but not whether there is TLS)")
	}
	return errs.sorted()
}

// locate finds the line and column of a key; zero where the file does not have it.
func locate(path string, text []byte, key string) (line, column int) {
	d := newDecoder(path, nil)
	n := d.parseYAML(text)
	for part := range strings.SplitSeq(key, ".") {
		if n == nil || n.kind != object {
			return 0, 0
		}
		var found *node
		for _, f := range n.fields {
			if f.key == part {
				found, line, column = f.value, f.line, f.column
			}
		}
		if found == nil {
			return 0, 0
		}
		n = found
	}
	return line, column
}

// Read reads the file of a node as it stands, for Parse and ParseMCPServers. The error
// is an Errors.
func Read(path string, mcpServers bool) ([]byte, error) {
	limit, hint := int64(maxYAML), `write a first file with "fairlead config init"`
	if mcpServers {
		limit, hint = maxJSON, "give the path of an mcpServers file"
	}
	data, err := readRegular(path, limit)
	if err != nil {
		return nil, Errors{{What: err.Error(), Hint: hint}}
	}
	return []byte(data), nil
}

// ParseUpstream reads one upstream that stands in no file, from the JSON of its keys.
// Relative paths start at dir. The error is an Errors.
func ParseUpstream(name string, keys []byte, dir string, lookup func(name string) (string, bool)) (*Upstream, error) {
	d := newDecoder(dir+"/x", lookup)
	d.file = ""
	root := d.parseJSON(bytes.TrimSpace(keys))
	if len(d.errs) > 0 {
		return nil, d.errs.sorted()
	}
	if root == nil {
		root = &node{}
	}
	u := Upstream{Name: name}
	t := &target{upstream: &u}
	d.defaults(upstreamKeys, t)
	d.section(root, join("upstreams", name), "", upstreamKeys, t)
	u.Command = absoluteCommand(u.Command, u.Dir, d.expand.dir)
	if len(d.errs) == 0 {
		var broken []problem
		for _, p := range u.problems() {
			p.path = strings.TrimSuffix(join("upstreams", name)+"."+p.path, ".")
			broken = append(broken, p)
		}
		d.rules(broken)
	}
	if len(d.errs) > 0 {
		return nil, d.errs.sorted()
	}
	return &u, nil
}
