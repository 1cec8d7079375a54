package config

import (
	"fmt"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/fairlead-mcp/fairlead/internal/bundle"
	"github.com/fairlead-mcp/fairlead/internal/secret"
)

// bundle reads the manifest of u.Bundle into u. The bundle will be unpacked to a
// directory that is named after its hash, so what is approved is its content too.
func (d *decoder) bundle(u *Upstream, data string) {
	at := join("upstreams", u.Name)
	b, err := bundle.Open(u.Bundle)
	if err != nil {
		d.add(d.places[at+".bundle"], at+".bundle", "check the path", "%s", err)
		return
	}
	defer func() { _ = b.Close() }() // only read from
	switch {
	case u.BundleHash == Hash{}:
		d.add(d.places[at+".bundle"], at+".bundle", fmt.Sprintf("write bundle_hash: \"sha256:%s\" if this is the one that you have looked at", b.Hash), "bundle_hash is missing, which says that the bundle is the one that was meant")
		return
	case u.BundleHash.String() != "sha256:"+b.Hash:
		d.add(d.places[at+".bundle_hash"], at+".bundle_hash", "look at what has changed", "the bundle has another hash, sha256:%s", b.Hash)
		return
	}
	text, err := b.Manifest()
	if err != nil {
		d.add(d.places[at+".bundle"], at+".bundle", "", "%s", err)
		return
	}
	u.BundleDir = filepath.Join(data, "bundles", b.Hash)
	sub := newDecoder(u.Bundle+"!manifest.json", nil)
	m := &manifest{serverJSON: serverJSON{decoder: sub, upstream: u, at: at, used: map[string]bool{}, names: map[string]bool{}}}
	if root := sub.parseJSON(text); root != nil && len(sub.errs) == 0 {
		sub.duplicates(root, "")
		if len(sub.errs) == 0 {
			m.server(root)
		}
	}
	d.errs = append(d.errs, sub.errs...)
	if len(sub.errs) == 0 {
		d.unusedInputs(at, u, m.names, m.used)
	}
}

// unusedInputs reports inputs that nobody asks for: they are mostly misspelt.
func (d *decoder) unusedInputs(at string, u *Upstream, names, used map[string]bool) {
	for name := range u.Inputs {
		if !used[name] {
			path := join(at+".inputs", name)
			d.add(d.places[path], path, suggest(name, slices.Collect(mapKeys(names))), "%s asks for no such input", filepath.Base(orElse(u.Bundle, u.ServerJSON)))
		}
	}
}

// manifest is the manifest.json of a bundle.
type manifest struct {
	serverJSON
	values map[string][]string // of user_config; several for one that is multiple
	secret map[string]bool
}

func (m *manifest) server(root *node) {
	server := m.get(root, "server")
	run := m.get(server, "mcpConfig")
	if run == nil {
		m.add(root.place, "server", "", "the manifest has no server.mcp_config, which says how the server is run")
		return
	}
	// Node has no darwin and linux, but win32; Go has windows.
	if over := m.get(m.get(run, "platformOverrides"), strings.Replace(runtime.GOOS, "windows", "win32", 1)); over != nil {
		merged := *run
		for _, f := range over.fields {
			merged.fields = append(slices.DeleteFunc(slices.Clone(merged.fields), func(g field) bool { return g.key == f.key }), f)
		}
		run = &merged
	}
	m.userConfig(m.get(root, "userConfig"))
	u := m.upstream
	u.Foreign = u.Bundle
	command := m.fillIn(m.text(run, "command"), "server.mcp_config.command", false)
	if len(command) == 1 {
		u.Command = command[0]
	}
	if u.Command == "" {
		m.add(run.place, "server.mcp_config", "", "there is no command in it")
		return
	}
	if strings.ContainsAny(u.Command, `/\`) && !strings.HasPrefix(u.Command, u.BundleDir+string(filepath.Separator)) || strings.Contains(u.Command, "..") {
		m.add(run.place, "server.mcp_config.command", "", "the command is neither a name nor below the bundle's directory")
		return
	}
	var args []string
	for i, a := range m.items(run, "args") {
		args = append(args, m.fillIn(a.text, fmt.Sprintf("server.mcp_config.args[%d]", i), false)...)
	}
	u.Args = append(args, u.Args...)
	if env := m.get(run, "env"); env != nil && env.kind == object {
		for _, f := range env.fields {
			at := join("server.mcp_config.env", f.key)
			if !envName.MatchString(f.key) {
				m.add(f.place, at, "", "not the name of a variable")
				continue
			}
			if _, given := u.Env[f.key]; given {
				continue
			}
			if value := m.fillIn(f.value.text, at, true); len(value) > 0 {
				if u.Env == nil {
					u.Env = map[string]secret.Text{}
				}
				u.Env[f.key] = secret.New(strings.Join(value, ","))
			}
		}
	}
}

// userConfig finds the values that the manifest asks the user for.
func (m *manifest) userConfig(n *node) {
	m.values, m.secret = map[string][]string{}, map[string]bool{}
	if n == nil || n.kind != object {
		return
	}
	for _, f := range n.fields {
		at := join("user_config", f.key)
		m.secret[f.key] = m.text(f.value, "sensitive") == "true"
		m.names[f.key] = true
		def := m.get(f.value, "default")
		given, ok := m.upstream.Inputs[f.key]
		switch {
		case ok:
			m.used[f.key] = true
			m.values[f.key] = []string{given.Reveal()}
			if m.text(f.value, "multiple") == "true" {
				m.values[f.key] = strings.Split(given.Reveal(), ",")
			}
		case def != nil && def.kind == list:
			for _, item := range def.items {
				m.values[f.key] = append(m.values[f.key], m.place(item.text))
			}
		case def != nil:
			m.values[f.key] = []string{m.place(def.text)}
		case m.text(f.value, "required") == "true":
			kind := "a value"
			if m.secret[f.key] {
				kind = "a secret"
			}
			m.add(f.place, at, fmt.Sprintf("write inputs: {%s: ...} at %s", f.key, m.at), "the server needs %s for %s%s", kind, f.key, about(orElse(m.text(f.value, "title"), m.text(f.value, "description"))))
		}
	}
}

// place fills in what the manifest may say of this machine; nothing else of it is
// there for somebody else's file.
func (m *manifest) place(s string) string {
	return strings.NewReplacer("${__dirname}", m.upstream.BundleDir, "${pathSeparator}", string(filepath.Separator), "${/}", string(filepath.Separator)).Replace(s)
}

const userConfigPrefix = "${user_config."

// fillIn replaces what a text of the manifest refers to. A text that is one value of
// several becomes several; one that refers to what is not set becomes none.
func (m *manifest) fillIn(s, at string, env bool) []string {
	s = m.place(s)
	if name, ok := strings.CutPrefix(s, userConfigPrefix); ok && strings.IndexByte(name, '}') == len(name)-1 {
		name = name[:len(name)-1]
		if m.secret[name] && !env {
			m.add(place{}, at, "ask its author to take it from the environment", "the secret %s is an argument, and every user of the machine can see arguments", name)
			return nil
		}
		return m.values[name]
	}
	var out strings.Builder
	for {
		before, rest, found := strings.Cut(s, userConfigPrefix)
		out.WriteString(before)
		if !found {
			break
		}
		name, after, closed := strings.Cut(rest, "}")
		if !closed {
			m.add(place{}, at, "", "${ has no }")
			return nil
		}
		if m.secret[name] && !env {
			m.add(place{}, at, "ask its author to take it from the environment", "the secret %s is in an argument, and every user of the machine can see arguments", name)
			return nil
		}
		if len(m.values[name]) == 0 {
			return nil
		}
		out.WriteString(strings.Join(m.values[name], ","))
		s = after
	}
	if strings.Contains(out.String(), "${") && !env {
		m.add(place{}, at, "write command and args in place of bundle", "it refers to something that is not known here")
		return nil
	}
	return []string{out.String()}
}

// Unpack unpacks the bundles of c that are not yet.
func (c *Config) Unpack() error {
	for i := range c.Upstreams {
		u := &c.Upstreams[i]
		if u.BundleDir == "" {
			continue
		}
		b, err := bundle.Open(u.Bundle)
		if err == nil && "sha256:"+b.Hash != u.BundleHash.String() {
			err = fmt.Errorf("%s has changed since it was looked at", u.Bundle)
		}
		if err == nil {
			err = b.Unpack(u.BundleDir)
		}
		if b != nil {
			_ = b.Close() // only read from
		}
		if err != nil {
			return Errors{{Path: join("upstreams", u.Name) + ".bundle", What: err.Error(), Hint: "the bundle cannot be used as it is"}}
		}
	}
	return nil
}
