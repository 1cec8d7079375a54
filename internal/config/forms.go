package config

import (
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// The forms. check returns the value as it is kept, or what is wrong with it.
// A check never repeats the value in its message where the value may be a secret.
var (
	formText          = &form{name: "text", write: "a text", check: checkText}
	formAddress       = &form{name: "host:port", write: "host:port, as in 127.0.0.1:8080", check: checkAddress}
	formPath          = &form{name: "path", write: "a path", check: checkPath}
	formFile          = &form{name: "path", write: "the path of a file", check: checkFile}
	formWord          = &form{name: "word", write: "", check: nil}
	formDuration      = &form{name: "duration", write: "a number with its unit, as in 500ms, 30s, 5m or 1h30m", check: nil}
	formSize          = &form{name: "size", write: "a number with its unit, as in 512KiB or 4MiB", check: nil}
	formCount         = &form{name: "number", write: "a whole number from 1", check: nil}
	formCPU           = &form{name: "number", write: "a number above 0, as in 0.5 or 2", check: nil}
	formBool          = &form{name: "true or false", write: "true or false", check: nil}
	formHash          = &form{name: "hash", write: "\"sha256:\" and the 64 hex digits that this prints: printf %s \"$TOKEN\" | sha256sum", check: nil}
	formCommand       = &form{name: "command", write: "the name or path of a program", check: checkCommand}
	formURL           = &form{name: "URL", write: "a URL, as in https://mcp.example.com/mcp", check: checkURL}
	formTexts         = &form{name: "list of texts", write: "a list, as in [\"-v\", \"/srv\"]", check: checkText}
	formNames         = &form{name: "list of names", write: "a list of names, as in [HTTPS_PROXY]", check: checkEnvName}
	formGlobs         = &form{name: "list of patterns", write: "a list of patterns, as in [\"read_*\"]", check: checkGlob}
	formOrigins       = &form{name: "list of origins", write: "a list of origins, as in [\"https://app.example.com\"]", check: checkOrigin}
	formEnv           = &form{name: "names and values", write: "NAME: value", check: checkEnvName}
	formHeaders       = &form{name: "names and values", write: "Name: value", check: checkHeaderName}
	formTokens        = &form{name: "list of tokens", write: "a list of {name: ..., hash: ...}", check: nil}
	formLabels        = &form{name: "list of words", write: "a list of words of lower-case letters, digits, - and _, as in [code]", check: checkLabel}
	formFrom          = &form{name: "upstream, or list of them", write: "names of upstreams, patterns, or label:NAME", check: checkFrom, single: true}
	formNamePatterns  = &form{name: "pattern, or list of them", write: "names or patterns, as in [\"read_*\"]", check: checkThing, single: true}
	formInstances     = &form{name: "word or number", write: "auto, shared, principal, session, or a number from 1 to 64", check: checkInstances}
	formTimeouts      = &form{name: "durations by method or tool", write: "NAME: duration, as in {resources/read: 10s}"}
	formValues        = &form{name: "arguments and values", write: "ARGUMENT: value"}
	formSizes         = &form{name: "patterns and sizes", write: "PATTERN: size, as in \"search_*\": 32KiB", check: checkGlob}
	formInputs        = &form{name: "names and values", write: "NAME: value", check: checkThing}
	formPicks         = &form{name: "list of choices", write: "a list of {from: UPSTREAM, names: [...]}"}
	formResourcePicks = &form{name: "list of choices", write: "a list of {from: UPSTREAM, names: [...]}"}
	formVirtual       = &form{name: "servers by name", write: "NAME: {tools: [{from: UPSTREAM}]}"}
	formUpstreams     = &form{name: "upstreams by name", write: "NAME: {command: ...} or NAME: {url: ...}", check: nil}
)

func checkText(_ *decoder, s string) (string, string) {
	if strings.ContainsRune(s, 0) {
		return "", "it has a NUL character"
	}
	if !utf8.ValidString(s) { // from the environment; a file is UTF-8 as a whole
		return "", "it is not UTF-8"
	}
	return s, ""
}

func checkAddress(_ *decoder, s string) (string, string) {
	host, port, ok := splitAddress(s)
	if !ok || strings.ContainsAny(host, " /@") {
		return "", "not host:port"
	}
	if !validPort(port) {
		return "", "the port is not a number from 0 to 65535"
	}
	return s, ""
}

func checkPath(d *decoder, s string) (string, string) {
	s, what := checkText(d, s)
	if what != "" || s == "" {
		return "", orElse(what, "the path is empty")
	}
	s, what = d.tilde(s)
	if what != "" {
		return "", what
	}
	if !filepath.IsAbs(s) {
		s = filepath.Join(d.expand.dir, s)
	}
	return s, ""
}

func checkFile(d *decoder, s string) (string, string) {
	s, what := checkPath(d, s)
	if what != "" {
		return "", what
	}
	if info, err := os.Stat(s); err != nil {
		return "", err.Error()
	} else if !info.Mode().IsRegular() {
		return "", s + " is not a regular file"
	}
	return s, ""
}

// checkCommand leaves relative paths alone: they start at cwd, which is known
// only when the whole upstream is read.
func checkCommand(d *decoder, s string) (string, string) {
	s, what := checkText(d, s)
	if what != "" || s == "" {
		return "", orElse(what, "the command is empty")
	}
	return d.tilde(s)
}

// tilde replaces ~ at the start by the home directory.
func (d *decoder) tilde(s string) (string, string) {
	rest, ok := strings.CutPrefix(s, "~")
	if !ok || rest != "" && rest[0] != '/' {
		return s, ""
	}
	home, _ := d.expand.lookup("HOME")
	if !filepath.IsAbs(home) {
		return "", "~ is used, but HOME is not set"
	}
	return filepath.Join(home, rest), ""
}

func checkURL(_ *decoder, s string) (string, string) {
	u, err := url.Parse(s)
	switch {
	case err != nil: // the error repeats the URL, which may hold a secret
		return "", "not a URL"
	case u.Scheme != "http" && u.Scheme != "https":
		return "", "the URL does not start with http:// or https://"
	case u.Hostname() == "" || !validPort(u.Port()):
		return "", "the URL names no host, or no valid port"
	case u.User != nil:
		return "", "the URL has a user name in it, which belongs in headers.Authorization"
	case u.Fragment != "":
		return "", "the URL has a # part"
	}
	return s, ""
}

var (
	envName    = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
	headerName = regexp.MustCompile("^[A-Za-z0-9!#$%&'*+.^_`|~-]+$")
	origin     = regexp.MustCompile(`^[a-z][a-z0-9+.-]*://[^/?#@\s*]+$`)
	// ours are written by the transport; another value would break the exchange.
	ours = regexp.MustCompile(`(?i)^(mcp-.*|host|accept|connection|content-.*|transfer-encoding|te|trailer|upgrade|keep-alive|last-event-id|proxy-.*)$`)
)

func checkEnvName(_ *decoder, s string) (string, string) {
	if !envName.MatchString(s) {
		return "", "not the name of an environment variable: letters, digits and _"
	}
	return s, ""
}

func checkHeaderName(_ *decoder, s string) (string, string) {
	if !headerName.MatchString(s) {
		return "", "not the name of a header"
	}
	if ours.MatchString(s) {
		return "", "this header is set by Fairlead itself"
	}
	return s, ""
}

func checkGlob(_ *decoder, s string) (string, string) {
	if s == "" || strings.ContainsAny(s, "[]{}\\ ") {
		return "", "not a pattern: a name in which * stands for any text and ? for one character"
	}
	return s, ""
}

// MaxInstances bounds the children of one upstream that share its calls.
const MaxInstances = 64

func checkInstances(_ *decoder, s string) (string, string) {
	if n, err := strconv.Atoi(s); err == nil && n >= 1 && n <= MaxInstances {
		return strconv.Itoa(n), ""
	}
	if !slices.Contains([]string{"auto", "shared", "principal", "session"}, s) {
		return "", "neither a word that is known here nor such a number"
	}
	return s, ""
}

func checkLabel(_ *decoder, s string) (string, string) {
	if !upstreamName.MatchString(s) {
		return "", "not a label: up to 32 lower-case letters, digits, - and _"
	}
	return s, ""
}

func checkFrom(d *decoder, s string) (string, string) {
	if label, ok := strings.CutPrefix(s, labelPrefix); ok {
		if _, what := checkLabel(d, label); what != "" {
			return "", what
		}
		return s, ""
	}
	if _, what := checkGlob(d, s); what != "" {
		return "", "not the name of an upstream, a pattern, or label:NAME"
	}
	return s, ""
}

// checkThing takes any name, since an upstream may give any: only * and ? are special.
func checkThing(d *decoder, s string) (string, string) {
	if s == "" {
		return "", "the name is empty"
	}
	return checkText(d, s)
}

func checkOrigin(_ *decoder, s string) (string, string) {
	if !origin.MatchString(s) {
		return "", "not an origin: scheme://host or scheme://host:port, in lower case, without a path or *"
	}
	return s, ""
}

func orElse(a, b string) string {
	if a != "" {
		return a
	}
	return b
}
