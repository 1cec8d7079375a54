package config

// These tests see inside because the comment stripper and the expansion are
// the parts that take hostile text first, and have properties of their own.

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
)

func TestStripComments(t *testing.T) {
	tests := []struct {
		in, want string
		open     int
	}{
		{`{"a": 1} // c`, `{"a": 1}     `, -1},
		{"[1, // a\n2]", "[1,     \n2]", -1},
		{"[1, /* a\n */ 2]", "[1,     \n    2]", -1},
		{`["// no", "/* no */", "\"//"]`, `["// no", "/* no */", "\"//"]`, -1},
		{`[1,2,]`, `[1,2 ]`, -1},
		{`{"a":[1, ] , /*x*/ }`, `{"a":[1  ]         }`, -1},
		{`[,]`, `[,]`, -1},
		{`[1,,]`, `[1,,]`, -1},
		{`{"a":,}`, `{"a":,}`, -1},
		{`[1 /`, `[1 /`, -1},
		{`[1 /* x`, `[1 /* x`, 3},
		{`/**/1`, `    1`, -1},
		{`/*/1`, `/*/1`, 0},
		{`"\`, `"\`, -1},
		{"1 // a\r\n", "1     \r\n", -1},
	}
	for _, tt := range tests {
		got, open := stripComments([]byte(tt.in))
		if string(got) != tt.want || open != tt.open {
			t.Errorf("stripComments(%q): got %q, %d, want %q, %d", tt.in, got, open, tt.want, tt.open)
		}
	}
}

// FuzzStripComments: the length and the line breaks stay, valid JSON stays as
// it is, and stripping twice is stripping once.
func FuzzStripComments(f *testing.F) {
	for _, s := range []string{`{"a": [1, 2,], /* x */ "b": "// \" y"} // z`, "[1,\n// a\n]", `"\`, `/*`, `[,]`, `{"a":1,/**/}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		got, open := stripComments(in)
		if len(got) != len(in) || bytes.Count(got, []byte("\n")) != bytes.Count(in, []byte("\n")) {
			t.Fatalf("%q became %q", in, got)
		}
		if json.Valid(in) && !bytes.Equal(got, in) {
			t.Fatalf("valid JSON %q became %q", in, got)
		}
		if again, _ := stripComments(got); open < 0 && json.Valid(got) && !bytes.Equal(again, got) {
			t.Fatalf("%q, then %q", got, again)
		}
	})
}

// FuzzExpand: nothing but the variables named in the text is looked up, a text
// without ${ stays, and no result holds a value that was not asked for.
func FuzzExpand(f *testing.F) {
	for _, s := range []string{"a", "${A}", "${A:-b}", "${env:A}", "$${A}", "$$${A}", "${", "${}", "$A", "${A:-${B}}", "${A}${A}", "${env:A:-}"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, in string) {
		if strings.Contains(in, "file:") {
			return // reads this machine
		}
		asked := false
		x := expander{dir: "/", lookup: func(name string) (string, bool) {
			if !strings.Contains(in, name) || !envName.MatchString(name) {
				t.Fatalf("looked up %q for %q", name, in)
			}
			asked = asked || name == "A"
			return "\x00value ${A}", name == "A"
		}}
		got, err := x.expand(in)
		switch {
		case err != nil && got != "":
			t.Fatalf("%q: %q beside %v", in, got, err)
		case err == nil && !strings.Contains(in, "${") && got != in:
			t.Fatalf("%q became %q", in, got)
		case !asked && strings.Contains(got, "\x00value") && !strings.Contains(in, "\x00value"):
			t.Fatalf("%q: a value came from nowhere: %q", in, got)
		}
	})
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{Sample(), "a: 1\na: 2", "upstreams: {a: {command: x, args: [\"${A}\"]}}", "? a", "a: &b c", "- - - x", "log: [{a", "a: |\n  b\n", "\"a", "upstreams:\n  a:\n    env: {A: 0x1, B: ~}\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		if bytes.Contains(in, []byte("file:")) {
			return
		}
		cfg, err := Parse("f", in, func(name string) (string, bool) { return "v", name == "A" })
		fuzzed(t, cfg == nil, err)
		if err == nil && cfg.Check() != nil {
			t.Fatalf("Parse accepts what Check refuses: %v", cfg.Check())
		}
	})
}

func FuzzParseMCPServers(f *testing.F) {
	for _, s := range []string{`{"mcpServers": {"a": {"command": "x", "args": ["${A}",], "env": {"A": null}}}}`, `{"servers": {"A b": {"type": "sse", "url": "http://x"}}, } // x`, `[[[[`, `{"servers": {"a": 1}, "servers": {}}`, "{'a'", `{"servers": {"a": {"url": "http://x", "timeout": 5e3}}}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		if bytes.Contains(in, []byte("file:")) || bytes.Contains(in, []byte("envFile")) {
			return
		}
		got, err := ParseMCPServers("f", in, func(name string) (string, bool) { return "v", name == "A" })
		fuzzed(t, got == nil, err)
		if err != nil {
			return
		}
		seen := map[string]bool{}
		for _, u := range got.Upstreams {
			if !validName(u.Name) || seen[u.Name] || (u.Command == "") == (u.URL == "") {
				t.Fatalf("upstream %+v", u)
			}
			seen[u.Name] = true
		}
	})
}

// fuzzed holds what a reader returns against what every reader promises: one
// of value and error, and errors that print on one line each.
func fuzzed(t *testing.T, noValue bool, err error) {
	t.Helper()
	if noValue != (err != nil) {
		t.Fatalf("no value: %v, error: %v", noValue, err)
	}
	if err == nil {
		return
	}
	for _, e := range err.(Errors) {
		if e.File != "f" || e.What == "" || strings.ContainsAny(e.Path+e.Hint+e.What, "\x1b\x00\u202e\n") {
			t.Fatalf("error %q (%+v)", e.Error(), e)
		}
	}
}
