package config

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// problem is a broken rule: the key it is shown at, what is wrong, what to do.
type problem struct{ path, what, hint string }

// minResult is the smallest bound of a result.
const minResult = 1 << 10

// maxSocket is the longest path of a Unix socket on every system we build for.
const maxSocket = 103

// problems holds c against every rule that one key alone cannot show.
func (c *Config) problems() (out []problem) {
	for _, l := range []struct{ key, address string }{{"listen", c.Listen}, {"admin", c.Admin}} {
		if len(c.Auth.Tokens) == 0 && !loopback(l.address) {
			out = append(out, problem{
				l.key,
				fmt.Sprintf("other machines can reach %s, and there are no auth.tokens: everybody could call every tool", l.address),
				"add auth.tokens, or write 127.0.0.1 for the host",
			})
		}
	}
	if _, port, _ := splitAddress(c.Listen); c.Listen == c.Admin && port != "0" {
		out = append(out, problem{"admin", "this is the address of listen", "write another port"})
	}
	if (c.TLS.Cert == "") != (c.TLS.Key == "") {
		out = append(out, problem{"tls", "cert and key belong together", "write both, or none"})
	}
	if len(c.AdminSocket) > maxSocket {
		out = append(out, problem{"admin_socket", fmt.Sprintf("the path of the socket, %s, has %d bytes, more than the %d a Unix socket can have", c.AdminSocket, len(c.AdminSocket), maxSocket), "write a shorter admin_socket, as in /tmp/fairlead.sock"})
	}
	names, hashes := map[string]bool{}, map[Hash]bool{}
	for i, t := range c.Auth.Tokens {
		path := fmt.Sprintf("auth.tokens[%d]", i)
		switch {
		case strings.TrimSpace(t.Name) == "":
			out = append(out, problem{path + ".name", "the name is empty", "write who calls with this token"})
		case names[t.Name]:
			out = append(out, problem{path + ".name", "another token has this name", "write another name"})
		case hashes[t.Hash]:
			out = append(out, problem{path + ".hash", "another token has this hash", "give everybody a token of their own"})
		}
		names[t.Name], hashes[t.Hash] = true, true
	}
	for i := range c.Upstreams {
		u := &c.Upstreams[i]
		for _, p := range u.problems() {
			p.path = strings.TrimSuffix(join("upstreams", u.Name)+"."+p.path, ".")
			out = append(out, p)
		}
	}
	return append(out, c.virtualProblems()...)
}

var upstreamName = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,31}$`)

// validName reports whether tools of an upstream of this name can be told
// apart as NAME__tool.
func validName(name string) bool {
	return upstreamName.MatchString(name) && !strings.Contains(name, "__") && !strings.HasSuffix(name, "_")
}

// CheckName says what is wrong with the name of an upstream that stands in no file.
func CheckName(name string) error {
	if validName(name) {
		return nil
	}
	return fmt.Errorf("%q cannot be the name of an upstream: write %q, up to 32 lower-case letters, digits, - and _, no __ and no _ at the end", name, cleanName(name))
}

// problems returns broken rules with paths that start at u.
func (u *Upstream) problems() (out []problem) {
	if !validName(u.Name) {
		out = append(out, problem{"", "this cannot be the name of an upstream", fmt.Sprintf("write %q: up to 32 lower-case letters, digits, - and _, no __ and no _ at the end", cleanName(u.Name))})
	}
	switch {
	case u.Command == "" && u.URL == "":
		return append(out, problem{"", "neither command nor url", "write one of them"})
	case u.Command != "" && u.URL != "":
		return append(out, problem{"url", "both command and url", "write one of them"})
	}
	for _, odd := range []struct {
		key   string
		isSet bool
	}{{"args", len(u.Args) > 0}, {"env", len(u.Env) > 0}, {"env_pass", len(u.EnvPass) > 0}, {"cwd", u.Dir != ""}, {"limits.cpu", u.Limits.CPU > 0}, {"limits.open_files", u.Limits.OpenFiles > 0}, {"limits.file_size", u.Limits.FileSize > 0}, {"limits.core", u.Limits.Core > 0}, {"setuid", u.Setuid}, {"roots", len(u.Roots) > 0}} {
		if odd.isSet && u.URL != "" {
			out = append(out, problem{odd.key, "this is for a command, and the upstream has a url", "remove it"})
		}
	}
	for i, root := range u.Roots {
		if _, ok := RootURI(root); !ok {
			out = append(out, problem{fmt.Sprintf("roots[%d]", i), "neither an absolute path nor a file: URI", "write it as in /srv/files or file:///srv/files"})
		}
	}
	for _, t := range u.Timeouts {
		if u.TimeoutMax != 0 && t.Limit > u.TimeoutMax {
			out = append(out, problem{join("timeouts", t.For), fmt.Sprintf("%s is more than timeout_max, %s", t.Limit, u.TimeoutMax), "write less, or a larger timeout_max"})
		}
	}
	if u.TimeoutMax != 0 && u.Timeout > u.TimeoutMax {
		out = append(out, problem{"timeout_max", fmt.Sprintf("%s is less than timeout, %s", u.TimeoutMax, u.Timeout), "write more, or a smaller timeout"})
	}
	if u.MaxResult != 0 && u.MaxResult < minResult {
		out = append(out, problem{"max_result", "too small for anything but the note that there is more", "write at least " + ByteSize(minResult).String()})
	}
	for pattern, size := range u.Tools.MaxResult {
		if size < minResult {
			out = append(out, problem{join("tools.max_result", pattern), "too small for anything but the note that there is more", "write at least " + ByteSize(minResult).String()})
		}
	}
	if n, err := strconv.Atoi(u.Instances); err == nil && n > 1 && u.URL != "" {
		out = append(out, problem{"instances", "a number is for a command, and the upstream has a url", "write auto: a remote server spreads its calls itself"})
	}
	if len(u.Headers) > 0 && u.Command != "" {
		out = append(out, problem{"headers", "this is for a url, and the upstream has a command", "remove it, or write env"})
	}
	return out
}

// RootURI returns the file: URI of one of the roots of an upstream.
func RootURI(root string) (uri string, ok bool) {
	if filepath.IsAbs(root) {
		return (&url.URL{Scheme: "file", Path: filepath.ToSlash(root)}).String(), true
	}
	u, err := url.Parse(root)
	return root, err == nil && u.Scheme == "file" && u.Host == "" && strings.HasPrefix(u.Path, "/")
}

// rules adds broken rules, each at the place of its key or of what is around it.
func (d *decoder) rules(broken []problem) {
	for _, p := range broken {
		at, path := place{}, p.path
		for at.line == 0 && path != "" {
			at = d.places[path]
			path = path[:max(strings.LastIndexAny(path, ".["), 0)]
		}
		d.add(at, p.path, p.hint, "%s", p.what)
	}
}

// loopback reports whether only this machine can reach the address.
func loopback(address string) bool {
	host, _, ok := splitAddress(address)
	if host == "localhost" {
		return ok
	}
	ip, err := netip.ParseAddr(host)
	return ok && err == nil && ip.Unmap().IsLoopback()
}

func splitAddress(s string) (host, port string, ok bool) {
	host, port, err := net.SplitHostPort(s)
	return host, port, err == nil && port != ""
}

// validPort accepts the empty port of a URL.
func validPort(port string) bool {
	if port == "" {
		return true
	}
	_, err := strconv.ParseUint(port, 10, 16)
	return err == nil
}
