package config_test

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fairlead-mcp/fairlead/internal/config"
)

var update = flag.Bool("update", false, "write generated files and goldens anew")

// golden compares got with the file, or writes the file with -update.
func golden(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v; run make generate", err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s is not fresh; run make generate (-want +got):\n%s", path, diff)
	}
}

func TestGenerated(t *testing.T) {
	golden(t, "../../docs/config.md", config.Reference())
	golden(t, "../../docs/config.schema.json", config.Schema())
	if !json.Valid([]byte(config.Schema())) {
		t.Error("Schema: not JSON")
	}
}

func TestSampleLoads(t *testing.T) {
	env := environment(map[string]string{"HOME": "/home/u", "GITHUB_TOKEN": "t", "EXAMPLE_TOKEN": "t", "TENANT": "acme"})
	got, err := config.Parse("fairlead.yaml", []byte(config.Sample()), env)
	if err != nil {
		t.Fatalf("Sample: %v", err)
	}
	if diff := cmp.Diff(config.Default(env), got); diff != "" {
		t.Errorf("the sample as written is the default (-want +got):\n%s", diff)
	}
	dir := t.TempDir()
	whole := regexp.MustCompile(`(?m)^( *)#([a-z_]+:)`).ReplaceAllString(config.Sample(), "$1$2")
	for _, name := range []string{"cert.pem", "key.pem"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	server := `{"remotes": [{"type": "streamable-http", "url": "https://{tenant}.example.com/mcp", "variables": {"tenant": {"isRequired": true}}}]}`
	if err := os.WriteFile(filepath.Join(dir, "server.json"), []byte(server), 0o600); err != nil {
		t.Fatal(err)
	}
	mcpb := filepath.Join(dir, "server.mcpb")
	hash := packBundle(t, mcpb, `{"server": {"mcp_config": {"command": "node", "args": ["${__dirname}/x.js"]}}}`)
	whole = strings.ReplaceAll(whole, "/etc/fairlead/", dir+"/")
	whole = strings.Replace(whole, "bundle_hash: sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08", "bundle_hash: "+hash, 1)
	got, err = config.Parse("fairlead.yaml", []byte(whole), env)
	if err != nil {
		t.Fatalf("Sample, uncommented: %v\n%s", err, whole)
	}
	if len(got.Upstreams) != 4 || got.Upstreams[3].Command != "node" || got.Upstreams[2].URL != "https://acme.example.com/mcp" || got.Upstreams[0].Env["GITHUB_TOKEN"].Reveal() != "t" || len(got.Auth.Tokens) != 1 || got.Log.Format == "" {
		t.Errorf("Sample, uncommented: got %+v", got)
	}
}
