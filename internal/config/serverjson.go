package config

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/fairlead-mcp/fairlead/internal/secret"
)

// A registry's server.json says how a server is run or reached: packages with a
// runtime, arguments and environment variables, and remotes with a URL and headers.
// Since 2025-09 its keys are camelCase; before, they were snake_case. Both are read.
//
// It is written by somebody else, so nothing in it is expanded: ${...} would give
// away what is in the environment of the node. What it asks for comes from env,
// headers and inputs of the config.

// Foreign is c with nothing but the upstreams whose command a file of somebody else names.
func (c *Config) Foreign() *Config {
	out := *c
	out.Upstreams = slices.DeleteFunc(slices.Clone(c.Upstreams), func(u Upstream) bool { return u.Foreign == "" })
	return &out
}

// runtimes are the programs that a server.json may have run, by the type of package.
var runtimes = map[string][]string{
	"npm":  {"npx", "bunx"},
	"pypi": {"uvx"},
	"oci":  {"docker", "podman"},
}

// serverJSON reads u.ServerJSON into u.
func (d *decoder) serverJSON(at string, u *Upstream) {
	file := u.ServerJSON
	data, err := readRegular(file, maxYAML)
	if err != nil {
		d.add(d.places[at], join(at, "server_json"), "check the path and its permissions", "%s", err)
		return
	}
	sub := newDecoder(file, nil)
	s := &serverJSON{decoder: sub, upstream: u, at: at, used: map[string]bool{}, names: map[string]bool{}}
	if root := sub.parseJSON([]byte(data)); root != nil && len(sub.errs) == 0 {
		sub.duplicates(root, "")
		if len(sub.errs) == 0 {
			s.server(root)
		}
	}
	d.errs = append(d.errs, sub.errs...)
	if len(sub.errs) == 0 {
		d.unusedInputs(at, u, s.names, s.used)
	}
}

func mapKeys(m map[string]bool) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

type serverJSON struct {
	*decoder
	upstream *Upstream
	at       string
	names    map[string]bool // inputs that the file asks for
	used     map[string]bool // those that were given
}

// get returns a member by its name, or by its older name with _.
func (s *serverJSON) get(n *node, key string) *node {
	if n == nil || n.kind != object {
		return nil
	}
	if v := n.get(key); v != nil && v.kind != null {
		return v
	}
	snake := regexp.MustCompile(`[A-Z]`).ReplaceAllStringFunc(key, func(c string) string { return "_" + strings.ToLower(c) })
	if v := n.get(snake); v != nil && v.kind != null {
		return v
	}
	return nil
}

func (s *serverJSON) text(n *node, key string) string {
	if v := s.get(n, key); v != nil && v.scalar() {
		return v.text
	}
	return ""
}

func (s *serverJSON) items(n *node, key string) []*node {
	v := s.get(n, key)
	if v == nil {
		return nil
	}
	if v.kind != list {
		s.add(v.place, key, "write a list", "this is %s", v.kind)
		return nil
	}
	return v.items
}

// server takes the first package that can be run, or else the first remote that can be reached.
func (s *serverJSON) server(root *node) {
	if inner := s.get(root, "server"); inner != nil && inner.kind == object {
		root = inner // as a registry's API wraps it
	}
	if root.kind != object {
		s.add(root.place, "", `write {"name": ..., "packages": [...]}`, "this is %s", root.kind)
		return
	}
	want := s.upstream.ServerFrom
	var not []string // why others were not taken
	for i, p := range s.items(root, "packages") {
		kind := orElse(s.text(p, "registryType"), s.text(p, "registryName"))
		why := s.unusable(p, kind)
		switch {
		case want != "" && want != kind:
		case why != "":
			not = append(not, fmt.Sprintf("packages[%d] %s", i, why))
		default:
			s.pack(p, fmt.Sprintf("packages[%d]", i), kind)
			return
		}
	}
	for i, r := range s.items(root, "remotes") {
		kind := orElse(s.text(r, "type"), s.text(r, "transportType"))
		switch {
		case want != "" && want != "remote":
		case kind != "streamable-http" && kind != "streamable":
			not = append(not, fmt.Sprintf("remotes[%d] speaks %q, not streamable-http", i, shorten(kind)))
		default:
			s.remote(r, fmt.Sprintf("remotes[%d]", i))
			return
		}
	}
	what := "there is neither a package nor a remote in it"
	if want != "" {
		what = fmt.Sprintf("there is no %s in it that can be used", want)
	}
	if len(not) > 0 {
		what += ": " + strings.Join(not, "; ")
	}
	s.add(root.place, "", "write command or url in place of server_json", "%s", what)
}

// unusable says why a package cannot be run.
func (s *serverJSON) unusable(p *node, kind string) string {
	if transport := orElse(s.text(s.get(p, "transport"), "type"), "stdio"); transport != "stdio" {
		return fmt.Sprintf("speaks %q, not stdio", shorten(transport))
	}
	if kind == "mcpb" {
		return "is a bundle, which is not fetched: download it and write bundle"
	}
	if runtimes[kind] == nil {
		return fmt.Sprintf("is of the type %q, which has no runtime here", shorten(kind))
	}
	if hint := s.text(p, "runtimeHint"); hint != "" && !slices.Contains(runtimes[kind], hint) {
		return fmt.Sprintf("wants the runtime %q, which is not one for %s", shorten(hint), kind)
	}
	return ""
}

// pack makes the command of a package.
func (s *serverJSON) pack(p *node, path, kind string) {
	u := s.upstream
	name := orElse(s.text(p, "identifier"), s.text(p, "name"))
	version := s.text(p, "version")
	switch {
	case name == "":
		s.add(p.place, path, `add "identifier"`, "the package has no identifier")
		return
	case strings.HasPrefix(name, "-"), strings.ContainsAny(name+version, " \t\n"), strings.HasPrefix(version, "-"):
		s.add(p.place, path, "", "identifier or version is not one: it would be read as an option")
		return
	}
	u.Command = orElse(s.text(p, "runtimeHint"), runtimes[kind][0])
	u.Foreign = u.ServerJSON
	s.environment(p, path)
	before := s.arguments(p, path, "runtimeArguments")
	switch kind {
	case "npm":
		if len(before) == 0 && u.Command == "npx" {
			before = []string{"-y"} // nobody is there to ask whether it may be installed
		}
		name += ifSet("@", version)
	case "pypi":
		name += ifSet("==", version)
	case "oci":
		if len(before) == 0 || before[0] != "run" {
			run := []string{"run", "-i", "--rm"}
			for _, f := range s.items(p, "environmentVariables") {
				if v := s.text(f, "name"); v != "" {
					if _, set := u.Env[v]; set {
						run = append(run, "-e", v)
					}
				}
			}
			before = append(run, before...)
		}
		if !strings.Contains(name[strings.LastIndex(name, "/")+1:], ":") && !strings.Contains(name, "@") {
			name += ifSet(":", version)
		}
	}
	u.Args = slices.Concat(before, []string{name}, s.arguments(p, path, "packageArguments"), u.Args)
}

func ifSet(before, s string) string {
	if s == "" {
		return ""
	}
	return before + s
}

// environment fills in the variables that the package declares; those of the config win.
func (s *serverJSON) environment(p *node, path string) {
	for i, f := range s.items(p, "environmentVariables") {
		at := fmt.Sprintf("%s.environmentVariables[%d]", path, i)
		name := s.text(f, "name")
		if !envName.MatchString(name) {
			s.add(f.place, at, "", "%q is not the name of a variable", shorten(name))
			continue
		}
		if _, given := s.upstream.Env[name]; given {
			continue
		}
		value, set := s.input(f, at, name, fmt.Sprintf("write env: {%s: \"${%s}\"} at %s", name, name, s.at))
		if set {
			if s.upstream.Env == nil {
				s.upstream.Env = map[string]secret.Text{}
			}
			s.upstream.Env[name] = secret.New(value)
		}
	}
}

// arguments makes the words of a list of arguments.
func (s *serverJSON) arguments(p *node, path, key string) (out []string) {
	for i, f := range s.items(p, key) {
		at := fmt.Sprintf("%s.%s[%d]", path, key, i)
		name := s.text(f, "name")
		input := orElse(strings.TrimLeft(name, "-"), s.text(f, "valueHint"))
		if s.text(f, "isSecret") == "true" || s.text(f, "is_secret") == "true" {
			s.add(f.place, at, "write command, args and env in place of server_json", "the argument %s is secret, and every user of the machine can see arguments", orElse(input, "here"))
			continue
		}
		bare := true // a flag that is there or not
		for _, k := range []string{"value", "default", "valueHint", "variables", "choices", "isRequired"} {
			bare = bare && s.get(f, k) == nil
		}
		if name != "" && bare {
			out = append(out, name)
			continue
		}
		value, set := s.input(f, at, input, fmt.Sprintf("write inputs: {%s: ...} at %s", orElse(input, "NAME"), s.at))
		if !set {
			continue
		}
		if name != "" {
			out = append(out, name)
		}
		out = append(out, value)
	}
	return out
}

// remote makes the URL and headers of a remote.
func (s *serverJSON) remote(r *node, path string) {
	u := s.upstream
	address := s.fill(s.text(r, "url"), s.get(r, "variables"), path+".url")
	if len(s.errs) > 0 {
		return
	}
	address, what := checkURL(s.decoder, address)
	if what != "" {
		s.add(r.place, path+".url", "", "%s", what)
		return
	}
	u.URL = address
	for i, f := range s.items(r, "headers") {
		at := fmt.Sprintf("%s.headers[%d]", path, i)
		name := s.text(f, "name")
		if _, what := checkHeaderName(s.decoder, name); what != "" {
			s.add(f.place, at, "", "%q: %s", shorten(name), what)
			continue
		}
		if hasHeader(u.Headers, name) {
			continue
		}
		value, set := s.input(f, at, name, fmt.Sprintf("write headers: {%s: ...} at %s", name, s.at))
		if what := badValue(formHeaders, value); set && what != "" {
			s.add(f.place, at, "", "%s", what)
		} else if set {
			if u.Headers == nil {
				u.Headers = map[string]secret.Text{}
			}
			u.Headers[name] = secret.New(value)
		}
	}
}

func hasHeader(headers map[string]secret.Text, name string) bool {
	for h := range headers {
		if strings.EqualFold(h, name) {
			return true
		}
	}
	return false
}

// input finds the value of what the file asks for: the file's own value, the
// config's input of that name, or the file's default.
func (s *serverJSON) input(f *node, at, name, hint string) (value string, set bool) {
	given := false
	switch own := s.get(f, "value"); {
	case own != nil:
		return s.fill(own.text, s.get(f, "variables"), at), true
	case name != "":
		s.names[name] = true
		var v secret.Text
		if v, given = s.upstream.Inputs[name]; given {
			s.used[name] = true
			value = v.Reveal()
		}
	}
	if def := s.get(f, "default"); !given && def != nil {
		value, given = def.text, true
	}
	if !given {
		if s.text(f, "isRequired") == "true" {
			kind := "a value"
			if s.text(f, "isSecret") == "true" {
				kind = "a secret"
			}
			s.add(f.place, at, hint, "the server needs %s for %s%s", kind, orElse(name, "this argument"), about(s.text(f, "description")))
		}
		return "", false
	}
	if choices := s.items(f, "choices"); len(choices) > 0 && !slices.ContainsFunc(choices, func(c *node) bool { return c.text == value }) {
		var texts []string
		for _, c := range choices {
			texts = append(texts, shorten(c.text))
		}
		s.add(f.place, at, "write one of "+strings.Join(texts, ", "), "the value for %s is none of its choices", orElse(name, "this argument"))
	}
	return value, true
}

func about(description string) string {
	if description == "" {
		return ""
	}
	return " (" + printableText(shorten(description)) + ")"
}

// printableText keeps what somebody else wrote from changing a terminal.
func printableText(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || 0x80 <= r && r < 0xa0 || 0x202a <= r && r <= 0x202e || 0x2066 <= r && r <= 0x2069 {
			return ' '
		}
		return r
	}, s)
}

var variableInFile = regexp.MustCompile(`\{[A-Za-z0-9_-]+\}`)

// fill replaces {name} by what variables say of it. What they do not name stays.
func (s *serverJSON) fill(text string, variables *node, at string) string {
	return variableInFile.ReplaceAllStringFunc(text, func(word string) string {
		name := word[1 : len(word)-1]
		v := (*node)(nil)
		if variables != nil && variables.kind == object {
			v = variables.get(name)
		}
		if v == nil {
			return word
		}
		value, _ := s.input(v, at+".variables."+name, name, fmt.Sprintf("write inputs: {%s: ...} at %s", name, s.at))
		return value
	})
}
