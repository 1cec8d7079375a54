package config_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fairlead-mcp/fairlead/internal/config"
	"github.com/fairlead-mcp/fairlead/internal/secret"
)

// fromServerJSON is the only upstream of a config that names server.json, which has the text.
func fromServerJSON(t *testing.T, text, keys string) (config.Upstream, error) {
	t.Helper()
	path := write(t, "fairlead.yaml", "upstreams:\n  up:\n    server_json: server.json\n"+keys)
	if err := os.WriteFile(filepath.Join(filepath.Dir(path), "server.json"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Load(path, environment(map[string]string{"KEY": "s3cr3t", "HOME": "/home/u"}))
	if err != nil {
		return config.Upstream{}, err
	}
	return cfg.Upstreams[0], nil
}

func TestServerJSON(t *testing.T) {
	const npm = `{"name": "io.example/x", "version": "1.0.0", "packages": [
		{"registryType": "mcpb", "identifier": "https://example.com/x.mcpb"},
		{"registryType": "npm", "identifier": "@example/x", "version": "1.2.3", "transport": {"type": "stdio"},
		 "packageArguments": [
			{"type": "positional", "valueHint": "dir", "isRequired": true},
			{"type": "named", "name": "--mode", "default": "fast", "choices": ["fast", "slow"]},
			{"type": "named", "name": "--verbose"},
			{"type": "named", "name": "--skip", "valueHint": "what"},
			{"type": "positional", "value": "{host}:${HOME}", "variables": {"host": {"default": "h"}}}],
		 "environmentVariables": [{"name": "KEY", "isRequired": true, "isSecret": true}, {"name": "LEVEL", "default": "info"}, {"name": "OPTIONAL"}]}],
		"remotes": [{"type": "streamable-http", "url": "https://{tenant}.example.com/mcp", "variables": {"tenant": {"isRequired": true}},
			"headers": [{"name": "Authorization", "value": "Bearer {token}", "variables": {"token": {"isSecret": true, "isRequired": true}}}, {"name": "X-Other", "isRequired": true}]}]}`
	for _, tt := range []struct {
		name, text, keys string
		argv             string
		env, headers     map[string]string
		url              string
	}{
		{
			"npm", npm, "    env: {KEY: \"${KEY}\"}\n    inputs: {dir: /srv, mode: slow}\n    args: [--last]\n",
			"npx -y @example/x@1.2.3 /srv --mode slow --verbose h:${HOME} --last",
			map[string]string{"KEY": "s3cr3t", "LEVEL": "info"},
			nil, "",
		},
		{
			"remote", npm, "    server_from: remote\n    inputs: {tenant: acme, token: \"${KEY}\"}\n    headers: {x-other: mine}\n",
			"", nil,
			map[string]string{"Authorization": "Bearer s3cr3t", "x-other": "mine"},
			"https://acme.example.com/mcp",
		},
		{
			"pypi, as a registry's API has it, with the older keys",
			`{"server": {"packages": [{"registry_type": "pypi", "identifier": "x", "version": "2", "runtime_hint": "uvx", "runtime_arguments": [{"type": "named", "name": "--python", "value": "3.12"}], "environment_variables": [{"name": "A", "default": "1"}]}]}, "_meta": {}}`,
			"", "uvx --python 3.12 x==2",
			map[string]string{"A": "1"},
			nil, "",
		},
		{
			"oci", `{"packages": [{"registryType": "oci", "identifier": "docker.io/example/x:1.0", "runtimeArguments": [{"type": "named", "name": "--network", "value": "none"}], "environmentVariables": [{"name": "KEY"}, {"name": "OTHER"}]}]}`,
			"    env: {KEY: \"${KEY}\"}\n", "docker run -i --rm -e KEY --network none docker.io/example/x:1.0",
			map[string]string{"KEY": "s3cr3t"},
			nil, "",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			u, err := fromServerJSON(t, tt.text, tt.keys)
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.TrimSpace(u.Command + " " + strings.Join(u.Args, " ")); got != tt.argv || u.URL != tt.url {
				t.Errorf("runs %q at %q, want %q at %q", got, u.URL, tt.argv, tt.url)
			}
			if (u.Foreign != "") != (u.Command != "") {
				t.Errorf("the command of another file: %q", u.Foreign)
			}
			reveal := func(m map[string]secret.Text) map[string]string {
				if m == nil {
					return nil
				}
				out := map[string]string{}
				for k, v := range m {
					out[k] = v.Reveal()
				}
				return out
			}
			if diff := cmp.Diff(tt.env, reveal(u.Env)); diff != "" {
				t.Errorf("env (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tt.headers, reveal(u.Headers)); diff != "" {
				t.Errorf("headers (-want +got):\n%s", diff)
			}
		})
	}
}

func TestServerJSONErrors(t *testing.T) {
	pack := func(more string) string {
		return `{"packages": [{"registryType": "npm", "identifier": "x"` + more + `}]}`
	}
	for _, tt := range []struct{ name, text, keys, want string }{
		{
			"required", pack(`, "environmentVariables": [{"name": "KEY", "isRequired": true, "isSecret": true, "description": "the \u001bkey"}]`), "",
			`packages[0].environmentVariables[0]: the server needs a secret for KEY (the  key); write env: {KEY: "${KEY}"} at upstreams.up`,
		},
		{"required argument", pack(`, "packageArguments": [{"type": "positional", "valueHint": "dir", "isRequired": true}]`), "", "the server needs a value for dir; write inputs: {dir: ...}"},
		{"secret argument", pack(`, "packageArguments": [{"type": "named", "name": "--key", "isSecret": true}]`), "", "every user of the machine can see arguments"},
		{"choice", pack(`, "packageArguments": [{"type": "named", "name": "--mode", "choices": ["a", "b"]}]`), "    inputs: {mode: c}\n", "none of its choices; write one of a, b"},
		{"misspelt input", pack(`, "packageArguments": [{"type": "named", "name": "--mode", "default": "a"}]`), "    inputs: {mdoe: c}\n", `inputs.mdoe: server.json asks for no such input; did you mean "mode"?`},
		{"an option for an identifier", `{"packages": [{"registryType": "npm", "identifier": "--eval=x"}]}`, "", "read as an option"},
		{"a runtime of its own", pack(`, "runtimeHint": "/bin/sh"`), "", `packages[0] wants the runtime "/bin/sh", which is not one for npm`},
		{
			"nothing that can be used", `{"packages": [{"registryType": "cargo", "identifier": "x"}, {"registryType": "npm", "identifier": "x", "transport": {"type": "sse"}}], "remotes": [{"type": "sse", "url": "https://x"}]}`, "",
			`packages[0] is of the type "cargo", which has no runtime here; packages[1] speaks "sse", not stdio; remotes[0] speaks "sse"`,
		},
		{"not JSON", `{"packages": `, "", "server.json:1:"},
		{"beside a command", pack(""), "    command: x\n", "server_json beside command or url"},
		{"no such part", pack(""), "    server_from: oci\n", "there is no oci in it"},
		{"a URL that is none", `{"remotes": [{"type": "streamable-http", "url": "file:///etc/passwd"}]}`, "", "does not start with http"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := fromServerJSON(t, tt.text, tt.keys)
			if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "\x1b") {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}
