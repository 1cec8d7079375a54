package config_test

import (
	"archive/zip"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fairlead-mcp/fairlead/internal/config"
)

// packBundle writes a bundle with a manifest and a program, and returns its hash.
func packBundle(t *testing.T, name, manifest string) (hash string) {
	t.Helper()
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	z := zip.NewWriter(f)
	for file, text := range map[string]string{"manifest.json": manifest, "server/run": "#!/bin/sh\n"} {
		h := &zip.FileHeader{Name: file, Method: zip.Deflate}
		h.SetMode(0o755)
		w, err := z.CreateHeader(h)
		if err == nil {
			_, err = w.Write([]byte(text))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return config.HashToken(string(data)).String() // the same SHA-256
}

// bundled is the only upstream of a config with a bundle that has the manifest.
func bundled(t *testing.T, manifest, hash, keys string) (*config.Config, error) {
	t.Helper()
	path := write(t, "fairlead.yaml", "")
	real := packBundle(t, filepath.Join(filepath.Dir(path), "x.mcpb"), manifest)
	if hash == "" {
		hash = "    bundle_hash: \"" + real + "\"\n"
	}
	text := "data: data\nupstreams:\n  up:\n    bundle: x.mcpb\n" + hash + keys
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return config.Load(path, environment(map[string]string{"KEY": "s3cr3t", "HOME": "/home/u"}))
}

func TestBundle(t *testing.T) {
	manifest := fmt.Sprintf(`{"manifest_version": "0.3", "name": "x", "version": "1", "server": {"type": "binary", "entry_point": "server/run", "mcp_config": {
		"command": "elsewhere", "args": ["--dir", "${user_config.dir}", "${user_config.many}", "--opt=${user_config.unset}", "${__dirname}${/}data"],
		"env": {"KEY": "${user_config.key}", "OTHER": "plain", "UNSET": "${user_config.unset}", "HOST": "${HOME}"},
		"platform_overrides": {%q: {"command": "${__dirname}/server/run"}}}},
		"user_config": {"dir": {"type": "directory", "title": "Directory", "required": true}, "many": {"type": "string", "multiple": true},
			"key": {"type": "string", "sensitive": true, "required": true}, "unset": {"type": "string"}}}`, runtime.GOOS)
	cfg, err := bundled(t, manifest, "", "    inputs: {dir: /srv, many: \"a,b\", key: \"${KEY}\"}\n    args: [--last]\n")
	if err != nil {
		t.Fatal(err)
	}
	u := cfg.Upstreams[0]
	dir := filepath.Join(cfg.Data, "bundles", strings.TrimPrefix(u.BundleHash.String(), "sha256:"))
	if diff := cmp.Diff([]string{dir + "/server/run", "--dir", "/srv", "a", "b", dir + "/data", "--last"}, append([]string{u.Command}, u.Args...)); diff != "" {
		t.Errorf("runs (-want +got):\n%s", diff)
	}
	// What is the node's is not filled in: it stays as it is written.
	want := map[string]string{"KEY": "s3cr3t", "OTHER": "plain", "HOST": "${HOME}"}
	got := map[string]string{}
	for k, v := range u.Env {
		got[k] = v.Reveal()
	}
	if diff := cmp.Diff(want, got); diff != "" || u.Foreign == "" {
		t.Errorf("env of %q (-want +got):\n%s", u.Foreign, diff)
	}
	if _, err := os.Stat(dir); err == nil {
		t.Error("reading a config unpacks")
	}
	if err := cfg.Unpack(); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(u.Command); err != nil || info.Mode() != 0o700 {
		t.Errorf("the program: %v, %v", info, err)
	}
	// Another file in its place is not unpacked.
	packBundle(t, u.Bundle, `{}`)
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if err := cfg.Unpack(); err == nil || !strings.Contains(err.Error(), "has changed since") {
		t.Errorf("a bundle that was replaced: %v", err)
	}
}

func TestBundleErrors(t *testing.T) {
	run := func(config, user string) string {
		return `{"server": {"mcp_config": {` + config + `}}, "user_config": {` + user + `}}`
	}
	for _, tt := range []struct{ name, manifest, hash, keys, want string }{
		{"no hash", run(`"command": "node"`, ""), "    era: auto\n", "", `bundle_hash is missing, which says that the bundle is the one that was meant; write bundle_hash: "sha256:`},
		{"another hash", run(`"command": "node"`, ""), "    bundle_hash: \"sha256:" + strings.Repeat("1", 64) + "\"\n", "", "the bundle has another hash"},
		{"no command", run(`"args": []`, ""), "", "", "there is no command in it"},
		{"a program elsewhere", run(`"command": "/bin/sh"`, ""), "", "", "neither a name nor below the bundle's directory"},
		{"a program outside", run(`"command": "${__dirname}/../x"`, ""), "", "", "neither a name nor below the bundle's directory"},
		{"required", run(`"command": "node"`, `"key": {"type": "string", "title": "API key", "sensitive": true, "required": true}`), "", "", "user_config.key: the server needs a secret for key (API key); write inputs: {key: ...} at upstreams.up"},
		{"secret argument", run(`"command": "node", "args": ["--key=${user_config.key}"]`, `"key": {"type": "string", "sensitive": true}`), "", "    inputs: {key: x}\n", "every user of the machine can see arguments"},
		{"misspelt", run(`"command": "node"`, `"dir": {"type": "string"}`), "", "    inputs: {dri: x}\n", `inputs.dri: x.mcpb asks for no such input; did you mean "dir"?`},
		{"something else", run(`"command": "node", "args": ["${DESKTOP}"]`, ""), "", "", "refers to something that is not known here"},
		{"beside a command", run(`"command": "node"`, ""), "", "    command: x\n", "bundle beside command"},
		{"not a manifest", `[]`, "", "", "has no server.mcp_config"},
		{"not JSON", `{`, "", "", "manifest.json:1:"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := bundled(t, tt.manifest, tt.hash, tt.keys)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}
