package config_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fairlead-mcp/fairlead/internal/config"
)

// TestMessages holds each file of testdata/bad against the golden beside it.
// The messages are an interface: people act on them.
func TestMessages(t *testing.T) {
	env := environment(map[string]string{"SET": "s3cr3t", "HOME": "/home/u", "EMPTY": ""})
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	yaml, err := filepath.Glob("testdata/bad/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	jsonc, err := filepath.Glob("testdata/bad/*.json")
	if err != nil {
		t.Fatal(err)
	}
	if len(yaml) < 4 || len(jsonc) < 4 {
		t.Fatalf("only %d and %d files", len(yaml), len(jsonc))
	}
	for _, path := range append(yaml, jsonc...) {
		t.Run(filepath.Base(path), func(t *testing.T) {
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			name := filepath.Base(path)
			if strings.HasSuffix(path, ".yaml") {
				_, err = config.Parse(name, data, env)
			} else {
				_, err = config.ParseMCPServers(name, data, env)
			}
			if err == nil {
				t.Fatal("no error")
			}
			var all config.Errors
			if !errors.As(err, &all) {
				t.Fatalf("got a %T", err)
			}
			for _, e := range all {
				if e.Line == 0 || e.File == "" || e.What == "" {
					t.Errorf("no place or message: %+v", e)
				}
			}
			if strings.Contains(err.Error(), "s3cr3t") {
				t.Errorf("a secret is in the message: %s", err)
			}
			text := strings.ReplaceAll(err.Error(), dir, "DIR")
			golden(t, strings.TrimSuffix(path, filepath.Ext(path))+".golden", text+"\n")
		})
	}
}

func TestMessagesOfHostileFiles(t *testing.T) {
	tests := map[string]struct{ in, want string }{
		"not UTF-8":      {"listen: \xff\n", "f:1:9: this byte is not UTF-8; save the file as UTF-8"},
		"NUL":            {"a\n\x00", "f:2:1: control character U+0000; remove it"},
		"escape":         {"# \x1b[2J", "f:1:3: control character U+001B; remove it"},
		"deep flow":      {"upstreams: " + strings.Repeat("[", 5_000), "f:1:76: more than 64 values inside each other"},
		"deep maps":      {strings.Repeat("{a: ", 5_000), "f:1:257: more than 64 values inside each other"},
		"deep list":      {strings.Repeat("- ", 5_000), "f:1:129: more than 64 values inside each other"},
		"too large":      {strings.Repeat("#\n", 256<<10), "f: the file has 524288 bytes, more than the 262144 that are read"},
		"too many":       {strings.Repeat("a:\n", 80_000), "f:15001:1: the file has more than 30000 words and signs"},
		"a list":         {"- a", "f:1:1: this is a list; write keys with values"},
		"a word":         {"hello", "f:1:1: this is a text; write keys with values"},
		"two documents":  {"listen: \"127.0.0.1:1\"\n---\nadmin: x", "f:3:1: a second document; keep one document, without --- between"},
		"bidi in a key":  {"\"a\u202eb\": 1", `f:1:1: "a\u202eb": unknown key; `},
		"newline in key": {"\"a\\nf:9:9: fine\": 1", `f:1:1: "a\nf:9:9: fine": unknown key; `},
		"alias bomb":     {"a: &a [x]\nb: [*a, *a]", "f:1:4: anchors and aliases (& and *) are not read here; write the value out, or quote it if it is a text"},
		"merge":          {"<<: {a: 1}", "f:1:1: merge keys (<<) are not read here; "},
		"tag":            {"a: !!binary x", "f:1:4: tags (!) are not read here; "},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := config.Parse("f", []byte(tt.in), environment(nil))
			if err == nil || !strings.HasPrefix(err.Error(), tt.want) {
				t.Errorf("got %v, want %s", err, tt.want)
			}
		})
	}
}

func TestLoadNoFile(t *testing.T) {
	_, err := config.Load("testdata/none.yaml", environment(nil))
	want := `stat testdata/none.yaml: no such file or directory; write a first file with "fairlead config init"`
	if err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	if _, err := config.Load("testdata", environment(nil)); err == nil || !strings.Contains(err.Error(), "testdata is not a regular file") {
		t.Errorf("a directory: got %v", err)
	}
}

func TestManyErrors(t *testing.T) {
	var b strings.Builder
	for i := range 80 {
		fmt.Fprintf(&b, "zzzz%d: 1\n", i)
	}
	_, err := config.Parse("f", []byte(b.String()), environment(nil))
	var all config.Errors
	if !errors.As(err, &all) || len(all) != 80 {
		t.Fatalf("got %d errors", len(all))
	}
	if lines := strings.Split(err.Error(), "\n"); len(lines) != 51 || lines[50] != "and 30 more" {
		t.Errorf("got %d lines, the last is %q", len(lines), lines[len(lines)-1])
	}
	var first *config.Error
	if !errors.As(err, &first) || first.Line != 1 {
		t.Errorf("errors.As: got %+v", first)
	}
}
