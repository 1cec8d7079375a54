package config

import (
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Servers is what a file of an MCP client says.
type Servers struct {
	Upstreams []Upstream // in the order of the file
	// Warnings are about things that were left out or changed.
	Warnings []*Error
	// Skipped are servers that Fairlead cannot speak to; the others are in Upstreams.
	Skipped []*Error
}

// LoadMCPServers reads the file of an MCP client: JSON with comments and
// trailing commas, with mcpServers (Claude, Cursor and most others) or servers
// (VS Code) at its top. lookup is the environment. The error is an Errors.
//
// ${VAR}, ${VAR:-default}, ${env:VAR}, ${file:PATH}, and as in VS Code
// ${workspaceFolder}, ${workspaceFolderBasename}, ${userHome} and
// ${pathSeparator} are filled in. Relative paths start at the workspace: the
// directory of the file, or above it when that is .vscode or .cursor.
// A timeout is in milliseconds from 1000 on and in seconds below, since clients differ.
func LoadMCPServers(path string, lookup func(name string) (string, bool)) (*Servers, error) {
	data, err := readRegular(path, maxJSON)
	if err != nil {
		return nil, Errors{{What: err.Error(), Hint: "give the path of an mcpServers file"}}
	}
	return ParseMCPServers(path, []byte(data), lookup)
}

// ParseMCPServers is LoadMCPServers for a file that is already read.
func ParseMCPServers(path string, data []byte, lookup func(name string) (string, bool)) (*Servers, error) {
	r := &serversReader{decoder: newDecoder(path, lookup)}
	r.warnings.file, r.skipped.file = path, path
	r.callTimeout = r.config(&node{}).Limits.CallTimeout
	r.setWorkspace()
	if root := r.parseJSON(data); root != nil {
		r.file(root)
	}
	if len(r.errs) > 0 {
		return nil, r.errs.sorted()
	}
	return &Servers{r.upstreams, r.warnings.errs, r.skipped.errs}, nil
}

type serversReader struct {
	*decoder
	warnings, skipped problems
	upstreams         []Upstream
	callTimeout       time.Duration
}

func (r *serversReader) setWorkspace() {
	if base := filepath.Base(r.expand.dir); base == ".vscode" || base == ".cursor" {
		r.expand.dir = filepath.Dir(r.expand.dir)
	}
	r.expand.more = func(body string) (string, bool, error) {
		switch {
		case strings.HasPrefix(body, "input:"):
			return "", true, &expandError{
				fmt.Sprintf("%q asks a person, which a node cannot", "${"+body+"}"),
				"write ${env:NAME} or ${file:PATH}",
			}
		case body == "workspaceFolder":
			return r.expand.dir, true, nil
		case body == "workspaceFolderBasename":
			return filepath.Base(r.expand.dir), true, nil
		case body == "pathSeparator" || body == "/":
			return string(filepath.Separator), true, nil
		case body == "userHome":
			home, _ := r.expand.lookup("HOME")
			if home == "" {
				return "", true, &expandError{"${userHome} is used, but HOME is not set", "set HOME"}
			}
			return home, true, nil
		}
		return "", false, nil
	}
}

func (r *serversReader) file(root *node) {
	if root.kind != object {
		r.add(root.place, "", `write {"mcpServers": {...}}`, "this is %s", root.kind)
		return
	}
	claude, code := root.get("mcpServers"), root.get("servers")
	top, servers := "mcpServers", claude
	switch {
	case claude != nil && code != nil:
		r.add(code.place, "servers", "keep one of them", "both mcpServers and servers")
		return
	case code != nil:
		top, servers = "servers", code
	case claude == nil:
		r.add(root.place, "", `write {"mcpServers": {"NAME": {"command": "..."}}}`, "neither mcpServers nor servers at the top of the file")
		return
	}
	if servers.kind != object {
		r.add(servers.place, top, `write {"NAME": {"command": "..."}}`, "this is %s", servers.kind)
		return
	}
	// Only this part is ours; other keys of a client's settings are its own business.
	r.duplicates(&node{kind: object, fields: onlyKeys(root.fields, "mcpServers", "servers")}, "")
	names := uniqueNames(servers.fields)
	for i, f := range servers.fields {
		r.server(top, f, names[i])
	}
}

func onlyKeys(fields []field, keys ...string) []field {
	return slices.DeleteFunc(slices.Clone(fields), func(f field) bool { return !slices.Contains(keys, f.key) })
}

// ignored are keys that clients write for themselves.
var ignored = []string{"description", "alwaysAllow", "autoApprove", "disabledTools", "gallery", "dev", "version", "icon", "trust"}

func (r *serversReader) server(top string, f field, name string) {
	path, n := join(top, f.key), f.value
	r.places[path] = f.place
	if n.kind != object {
		r.add(n.place, path, `write {"command": "..."} or {"url": "..."}`, "this is %s", n.kind)
		return
	}
	if off := n.get("disabled"); off != nil {
		if off.kind != boolean {
			r.add(off.place, join(path, "disabled"), "write true or false", "this is %s", off.kind)
		}
		if off.text == "true" {
			r.warnings.add(f.place, path, "", "disabled, so it is left out")
			return
		}
	}
	if what, at := unsupported(n); what != "" {
		r.skipped.add(at, path, "use the server's Streamable HTTP address, with \"type\": \"http\"", "%s", what)
		return
	}
	if name != f.key {
		r.warnings.add(f.place, path, "", "this cannot be the name of an upstream; it is called %q", name)
	}
	before := len(r.errs)
	u := Upstream{Name: name}
	t := &target{upstream: &u}
	r.defaults(upstreamKeys, t)
	u.Timeout = r.callTimeout
	for _, v := range n.fields {
		r.key(path, v, t)
	}
	r.transport(path, n, &u)
	r.envFile(path, n, &u)
	u.Command = absoluteCommand(u.Command, u.Dir, r.expand.dir)
	if len(r.errs) == before { // else "neither command nor url" may only follow from an error
		var broken []problem
		for _, p := range u.problems() {
			p.path = strings.TrimSuffix(path+"."+p.path, ".")
			broken = append(broken, p)
		}
		r.rules(broken)
	}
	r.upstreams = append(r.upstreams, u)
}

// unsupported says why a server cannot be spoken to.
func unsupported(n *node) (what string, at place) {
	if t := n.get("type"); t != nil && t.kind == text && t.text == "sse" {
		return "servers that speak HTTP+SSE (2024-11-05) are not supported yet; this one is left out", t.place
	}
	return "", place{}
}

// key reads one key of a server.
func (r *serversReader) key(path string, f field, t *target) {
	at, n := join(path, f.key), f.value
	r.places[at] = f.place
	switch f.key {
	case "type", "disabled", "envFile": // read elsewhere
	case "command", "args", "cwd", "url", "headers", "env":
		if n.kind == null {
			return
		}
		if f.key == "env" && n.kind == object {
			n = r.withoutNulls(at, n)
		}
		i := slices.IndexFunc(upstreamKeys, func(k key) bool { return k.path == f.key })
		r.set(&upstreamKeys[i], at, n, t)
	case "timeout":
		t.upstream.Timeout = r.timeout(at, n)
	default:
		hint := ""
		if near := nearest(f.key, []string{"command", "args", "env", "envFile", "cwd", "url", "headers", "timeout", "type", "disabled"}); near != "" && !slices.Contains(ignored, f.key) {
			hint = fmt.Sprintf("did you mean %q?", near)
		}
		r.warnings.add(f.place, at, hint, "this key means nothing to Fairlead and is left out")
	}
}

// withoutNulls drops variables that VS Code would remove from the environment:
// a child of Fairlead does not inherit them in the first place.
func (r *serversReader) withoutNulls(path string, n *node) *node {
	out := *n
	out.fields = slices.DeleteFunc(slices.Clone(n.fields), func(f field) bool {
		if f.value.kind == null {
			r.warnings.add(f.place, join(path, f.key), "", "there is no value, so the variable is left out")
		}
		return f.value.kind == null
	})
	return &out
}

func (r *serversReader) timeout(path string, n *node) time.Duration {
	if v, err := strconv.ParseInt(n.text, 10, 32); n.kind == number && err == nil && v > 0 {
		if v < 1000 {
			return time.Duration(v) * time.Second
		}
		return time.Duration(v) * time.Millisecond
	}
	if v, err := time.ParseDuration(n.text); n.kind == text && err == nil && v > 0 {
		return v
	}
	r.add(n.place, path, "write milliseconds, as in 30000, or \"30s\"", "not a duration")
	return 0
}

// transport holds type against command and url.
func (r *serversReader) transport(path string, n *node, u *Upstream) {
	at, t := join(path, "type"), n.get("type")
	if t == nil || t.kind == null {
		if u.URL != "" && strings.HasSuffix(strings.TrimSuffix(u.URL, "/"), "/sse") {
			r.warnings.add(n.place, path, "write \"type\": \"sse\" if so", "the URL looks like HTTP+SSE, which is not supported yet; it is taken for Streamable HTTP")
		}
		return
	}
	switch {
	case t.kind != text || !slices.Contains([]string{"stdio", "http", "streamable-http", "streamableHttp"}, t.text):
		r.add(t.place, at, `write "stdio" or "http"`, "%s is not a type of server", orElse(strconv.Quote(shorten(t.text)), t.kind.String()))
	case t.text == "stdio" && n.get("command") == nil:
		r.add(t.place, at, `add "command"`, "the type is stdio, and there is no command")
	case t.text != "stdio" && n.get("url") == nil:
		r.add(t.place, at, `add "url"`, "the type is %s, and there is no url", t.text)
	}
}

// uniqueNames gives each server a valid name. Names that are valid already
// stay; the others are cleaned, and numbered when they meet.
func uniqueNames(fields []field) []string {
	taken := map[string]bool{}
	for _, f := range fields {
		taken[f.key] = taken[f.key] || validName(f.key)
	}
	out := make([]string, len(fields))
	for i, f := range fields {
		if out[i] = f.key; validName(f.key) {
			continue
		}
		clean := cleanName(f.key)
		name := clean
		for n := 2; taken[name]; n++ {
			suffix := "-" + strconv.Itoa(n)
			name = strings.TrimRight(clean[:min(len(clean), 32-len(suffix))], "-_") + suffix
		}
		taken[name], out[i] = true, name
	}
	return out
}

// cleanName makes a valid name that resembles s.
func cleanName(s string) string {
	var b strings.Builder
	for _, c := range strings.ToLower(s) {
		switch {
		case 'a' <= c && c <= 'z' || '0' <= c && c <= '9':
			b.WriteRune(c)
		case b.Len() == 0: // a name starts with a letter or digit
		case c == '_' && !strings.HasSuffix(b.String(), "_"):
			b.WriteByte('_')
		case c != '_' && !strings.HasSuffix(b.String(), "-"):
			b.WriteByte('-')
		}
	}
	name := b.String()
	name = strings.Trim(name[:min(len(name), 32)], "-_")
	return orElse(name, "server")
}
