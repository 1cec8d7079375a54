package config_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fairlead-mcp/fairlead/internal/config"
)

// TestShown: what is shown has every key of docs/config.md, the values of the file
// and the defaults, and nothing that may be secret.
func TestShown(t *testing.T) {
	dir := t.TempDir()
	cert := filepath.Join(dir, "cert.pem")
	if err := os.WriteFile(cert, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	text := `
limits: {body: 1MiB, call_timeout: 90s}
auth: {tokens: [{name: laptop, hash: "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"}]}
upstreams:
  a: {command: run, env: {TOKEN: hush}, timeouts: {resources/read: 10s}, instances: 3, queue: {length: 5}}
  b: {url: "http://127.0.0.1:1/mcp", headers: {X-Key: hush}}
virtual:
  v: {tools: [{from: a, names: [x], as: y, fixed: {dir: hush}}]}
`
	cfg, err := config.Parse(filepath.Join(dir, "fairlead.yaml"), []byte(text), nil)
	if err != nil {
		t.Fatal(err)
	}
	out, err := json.Marshal(cfg.Shown())
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(out), "hush") {
		t.Errorf("a secret is shown: %s", out)
	}
	var got map[string]any
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]any{
		"listen": "127.0.0.1:8080", "limits.body": "1MiB", "limits.call_timeout": "1m30s", "log.level": "info", "upgrade_grace": "5m0s",
		"upstreams.a.env.TOKEN": "[redacted]", "upstreams.b.headers.X-Key": "[redacted]", "upstreams.a.timeouts.resources/read": "10s",
		"upstreams.a.instances": "3", "upstreams.a.queue.length": 5.0, "upstreams.b.url": "http://127.0.0.1:1/mcp",
	} {
		if have := lookup(got, path); have != want {
			t.Errorf("%s = %v, want %v", path, have, want)
		}
	}
	// Each row of the tables in the docs is a key.
	docs, err := os.ReadFile("../../docs/config.md")
	if err != nil {
		t.Fatal(err)
	}
	pick := got["virtual"].(map[string]any)["v"].(map[string]any)["tools"].([]any)[0].(map[string]any)
	tables := map[string]map[string]any{
		"## Keys":                     got,
		"## Keys of `auth.tokens[]`":  got["auth"].(map[string]any)["tokens"].([]any)[0].(map[string]any),
		"## Keys of `upstreams.NAME`": got["upstreams"].(map[string]any)["a"].(map[string]any),
		"## Keys of `virtual.NAME`":   got["virtual"].(map[string]any)["v"].(map[string]any),
	}
	rows := 0
	var in map[string]any
	for line := range strings.Lines(string(docs)) {
		if strings.HasPrefix(line, "## ") {
			in = tables[strings.TrimSpace(line)]
			if in == nil && strings.Contains(line, "virtual.NAME.tools[]") {
				in = pick
			}
		}
		if key, ok := strings.CutPrefix(line, "| `"); ok && in != nil {
			rows++
			if key, _, _ = strings.Cut(key, "`"); lookup(in, key) == nil {
				t.Errorf("%s is documented and not shown", key)
			}
		}
	}
	if rows < 70 {
		t.Errorf("looked at %d rows of docs/config.md: the headings of its tables have changed", rows)
	}
}

// lookup finds a value by its path with dots; nil if there is none.
func lookup(m map[string]any, path string) any {
	for {
		if v, ok := m[path]; ok {
			return v
		}
		head, rest, nested := strings.Cut(path, ".")
		next, ok := m[head].(map[string]any)
		if !nested || !ok {
			return nil
		}
		m, path = next, rest
	}
}
