package config

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Timeout is an entry of timeouts: how long some calls may take.
type Timeout struct {
	For   string // a method, or a pattern over the upstream's own names of tools
	Limit time.Duration
}

// callMethods are the methods that timeouts may name.
var callMethods = []string{"tools/call", "prompts/get", "resources/read", "completion/complete"}

// timeouts reads an object of patterns and durations, in the order of the file.
func (d *decoder) timeouts(k *key, path string, n *node) (out []Timeout) {
	if n.kind != object {
		d.wrong(k, path, n, fmt.Sprintf("this is %s", n.kind))
		return nil
	}
	for _, f := range n.fields {
		at := join(path, f.key)
		d.places[at] = f.place
		if what, hint := badTimeoutFor(f.key); what != "" {
			d.add(f.place, at, hint, "%s", what)
			continue
		}
		var limit time.Duration
		d.set(&key{form: formDuration, field: func(*target) any { return &limit }}, at, f.value, nil)
		out = append(out, Timeout{For: f.key, Limit: limit})
	}
	return out
}

// badTimeoutFor says what is wrong with a key of timeouts. A misspelt method would
// pass as the name of a tool that does not exist.
func badTimeoutFor(s string) (what, hint string) {
	if slices.Contains(callMethods, s) {
		return "", ""
	}
	if near := nearest(s, callMethods); near != "" && strings.Contains(s, "/") {
		return "no calls are made by this method", fmt.Sprintf("did you mean %q?", near)
	}
	if _, what := checkGlob(nil, s); what != "" {
		return what, `write a method, as in resources/read, or a tool, as in "build_*"`
	}
	return "", ""
}
