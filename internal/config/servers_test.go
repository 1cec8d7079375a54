package config_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fairlead-mcp/fairlead/internal/config"
	"github.com/fairlead-mcp/fairlead/internal/secret"
)

func lines(es []*config.Error) string {
	var b strings.Builder
	for _, e := range es {
		b.WriteString(e.Error() + "\n")
	}
	return b.String()
}

const claude = `{
  // as people write it
  "globalShortcut": "", "globalShortcut": "",
  "mcpServers": {
    "files": {
      "command": "npx", /* pinned, "quoted" // */
      "args": ["-y", "pkg@1", "${ROOT}", "${NONE:-d}", "$HOME", "http://x//y", 5],
      "env": {"TOKEN": "${env:TOKEN}", "PORT": 80, "GONE": null,},
      "timeout": 30000,
      "alwaysAllow": ["x"], "comand": "y",
    },
    "My Server!": {"url": "https://x.example/mcp", "headers": {"Authorization": "Bearer ${TOKEN}"}, "timeout": 60},
    "my-server": {"command": "./run", "cwd": "sub", "timeout": "5m", "type": "stdio", "disabled": false},
    "__Ünï__": {"type": "streamable-http", "url": "http://localhost:1/sse/"},
    "old": {"type": "sse", "url": "https://x.example/sse", "headers": {"A": "${NONE}"}},
    "off": {"disabled": true, "command": "${NONE}"},
    "guess": {"url": "https://x.example/sse"},
  },
}
`

func TestMCPServers(t *testing.T) {
	path := write(t, "claude.json", claude)
	dir := filepath.Dir(path)
	got, err := config.LoadMCPServers(path, environment(map[string]string{"ROOT": "/r", "TOKEN": "t", "HOME": "/h"}))
	if err != nil {
		t.Fatal(err)
	}
	want := []config.Upstream{
		{Name: "files", Command: "npx", Args: []string{"-y", "pkg@1", "/r", "d", "$HOME", "http://x//y", "5"}, Env: map[string]secret.Text{"TOKEN": secret.New("t"), "PORT": secret.New("80")}, Timeout: 30 * time.Second},
		{Name: "my-server-2", URL: "https://x.example/mcp", Headers: map[string]secret.Text{"Authorization": secret.New("Bearer t")}, Timeout: time.Minute},
		{Name: "my-server", Command: dir + "/sub/run", Dir: dir + "/sub", Timeout: 5 * time.Minute},
		{Name: "n", URL: "http://localhost:1/sse/", Timeout: time.Minute},
		{Name: "guess", URL: "https://x.example/sse", Timeout: time.Minute},
	}
	for i := range want {
		want[i].Era, want[i].StartTimeout, want[i].Limits = config.EraAuto, 30*time.Second, bounded
	}
	if diff := cmp.Diff(want, got.Upstreams); diff != "" {
		t.Errorf("Upstreams (-want +got):\n%s", diff)
	}
	golden(t, "testdata/claude.warnings", strings.ReplaceAll(lines(got.Warnings)+"-- skipped\n"+lines(got.Skipped), dir, "DIR"))
}

func TestMCPServersOfVSCode(t *testing.T) {
	path := write(t, ".vscode/mcp.json", "\ufeff"+`{
  "inputs": [],
  "servers": {
    "a": {
      "type": "stdio", "command": "${workspaceFolder}/bin/x", "cwd": "${workspaceFolder}${/}sub",
      "args": ["${workspaceFolderBasename}", "${userHome}${pathSeparator}y"],
      "env": {"B": "from env"}, "envFile": "${workspaceFolder}/.env"
    }
  }
}`)
	root := filepath.Dir(filepath.Dir(path))
	env := "\ufeff# comment\n\nA=1 # one\r\nexport B=2\nC='a b' # x\nD=\"x\\ny\"\nE=\nF = ${A} \n"
	if err := os.WriteFile(filepath.Join(root, ".env"), []byte(env), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := config.LoadMCPServers(path, environment(map[string]string{"HOME": "/h"}))
	if err != nil {
		t.Fatal(err)
	}
	vars := map[string]secret.Text{}
	for name, value := range map[string]string{"A": "1", "B": "from env", "C": "a b", "D": "x\ny", "E": "", "F": "${A}"} {
		vars[name] = secret.New(value)
	}
	want := []config.Upstream{{
		Name: "a", Command: root + "/bin/x", Args: []string{filepath.Base(root), "/h/y"}, Dir: root + "/sub", Env: vars,
		Era: config.EraAuto, Timeout: time.Minute, StartTimeout: 30 * time.Second, Limits: bounded,
	}}
	if diff := cmp.Diff(want, got.Upstreams); diff != "" {
		t.Errorf("Upstreams (-want +got):\n%s", diff)
	}
	if len(got.Warnings)+len(got.Skipped) > 0 {
		t.Errorf("Warnings: %s%s", lines(got.Warnings), lines(got.Skipped))
	}
}

func TestEnvFileErrors(t *testing.T) {
	path := write(t, "m.json", `{"mcpServers": {"a": {"command": "x", "envFile": ".env"}}}`)
	file := filepath.Join(filepath.Dir(path), ".env")
	for content, want := range map[string]string{
		"A=1\ns3cr3t":       ":2:1: mcpServers.a.envFile: this is not NAME=value; write NAME=value",
		"A B=s3cr3t":        ":1:1: mcpServers.a.envFile: this is not NAME=value; write NAME=value",
		"A='s3cr3t":         ":1:1: mcpServers.a.envFile: the quote does not end, or something stands after it; write NAME=value",
		"A=\"s3cr3t\" next": ":1:1: mcpServers.a.envFile: the quote does not end, or something stands after it; write NAME=value",
		"A=\x00":            ":1:3: control character U+0000; remove it",
	} {
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := config.LoadMCPServers(path, environment(nil))
		if err == nil || err.Error() != file+want {
			t.Errorf("%q: got %v, want %s%s", content, err, file, want)
		}
	}
}

func TestNamesAreStable(t *testing.T) {
	got, err := config.ParseMCPServers("f", []byte(`{"servers": {
		"A": {"command": "x"}, "a!": {"command": "x"}, "a": {"command": "x"}, "a-2": {"command": "x"}, "": {"command": "x"}, "日本": {"command": "x"},
		"io.github.someone/a-server-with-a-long-name": {"command": "x"}, "io.github.someone/a-server-with-a-long-game": {"command": "x"}, "x__y_": {"command": "x"}
	}}`), environment(nil))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, u := range got.Upstreams {
		names = append(names, u.Name)
	}
	want := []string{"a-3", "a-4", "a", "a-2", "server", "server-2", "io-github-someone-a-server-with", "io-github-someone-a-server-wit-2", "x_y"}
	if diff := cmp.Diff(want, names); diff != "" {
		t.Errorf("names (-want +got):\n%s", diff)
	}
}
