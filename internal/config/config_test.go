package config_test

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fairlead-mcp/fairlead/internal/config"
	"github.com/fairlead-mcp/fairlead/internal/secret"
)

func environment(vars map[string]string) func(string) (string, bool) {
	return func(name string) (string, bool) { v, ok := vars[name]; return v, ok }
}

// write makes a file below a fresh directory and returns its path.
func write(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestDefault(t *testing.T) {
	want := &config.Config{
		Listen: "127.0.0.1:8080", Admin: "127.0.0.1:9090",
		Data: "/home/u/.local/state/fairlead", AdminSocket: "/home/u/.local/state/fairlead/admin.sock",
		Log:           config.Log{Level: slog.LevelInfo, Format: "text"},
		Limits:        config.Limits{Body: 4 << 20, Sessions: 10000, SessionIdle: 30 * time.Minute, CallTimeout: time.Minute, MaxCalls: 1024, Cache: 16 << 20},
		ShutdownGrace: 30 * time.Second, UpgradeGrace: 5 * time.Minute, Watch: true,
	}
	got := config.Default(environment(map[string]string{"HOME": "/home/u"}))
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Default (-want +got):\n%s", diff)
	}
	if err := got.Check(); err != nil {
		t.Errorf("Check(Default): %v", err)
	}
	for _, text := range []string{"", "# nothing\n", "---\n", "\ufeff# bom\n", "upstreams:\nlog:\nlisten:\n"} {
		parsed, err := config.Parse("f", []byte(text), environment(map[string]string{"HOME": "/home/u"}))
		if err != nil {
			t.Errorf("Parse(%q): %v", text, err)
		} else if diff := cmp.Diff(want, parsed); diff != "" {
			t.Errorf("Parse(%q) (-want +got):\n%s", text, diff)
		}
	}
	if got := config.Default(environment(map[string]string{"XDG_STATE_HOME": "/s", "HOME": "/h"})).Data; got != "/s/fairlead" {
		t.Errorf("Data with XDG_STATE_HOME: %q", got)
	}
	if got := config.Default(environment(map[string]string{"XDG_STATE_HOME": "relative"})).Data; got != "." {
		t.Errorf("Data without a home: %q", got)
	}
}

// bounded are the limits of a child that the config says nothing of.
var bounded = config.ChildLimits{Memory: 4 << 30, Processes: 2048}

func TestLoad(t *testing.T) {
	hash := config.HashToken("t0ken")
	path := write(t, "fairlead.yaml", `
listen: 0.0.0.0:${PORT:-8443}
admin: "[::1]:9091"
admin_socket: run/admin.sock
data: ~/state
log: {level: debug, format: json}
auth:
  tokens:
    - {name: laptop, hash: "`+hash.String()+`"}
allowed_origins: ["https://app.example.com", "http://localhost:3000"]
limits:
  body: 512KiB
  sessions: 5
  session_idle: 1h
  call_timeout: 1m30s
  max_calls: 7
shutdown_grace: 5s
upstreams:
  zeta:
    command: ./server
    args: [-p, 8080, true, "${A}", 1.10, "$HOME", "$${A}"]
    env:
      KEY: ${env:A}
      FILE: "${file:secret.txt}"
      NUMBER: 0x10
      EMPTY: ""
    env_pass: [HTTPS_PROXY]
    limits: {memory: 512MiB, processes: 64, cpu: 1.5, open_files: 100, file_size: 1GB, core: 1MiB}
    setuid: true
    cwd: app
    era: legacy
    tools: {allow: ["read_*"], deny: ["*rm*"]}
    timeout: 2m
    start_timeout: 1m
  alpha:
    url: https://mcp.example.com/${A}
    headers:
      Authorization: Bearer ${A}
`)
	dir := filepath.Dir(path)
	if err := os.WriteFile(filepath.Join(dir, "secret.txt"), []byte("from file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := config.Load(path, environment(map[string]string{"A": "${B}", "HOME": "/home/u"}))
	if err != nil {
		t.Fatal(err)
	}
	want := &config.Config{
		Listen: "0.0.0.0:8443", Admin: "[::1]:9091", AdminSocket: dir + "/run/admin.sock", Data: "/home/u/state",
		Log:            config.Log{Level: slog.LevelDebug, Format: "json"},
		Auth:           config.Auth{Tokens: []config.Token{{Name: "laptop", Hash: hash}}},
		AllowedOrigins: []string{"https://app.example.com", "http://localhost:3000"},
		Limits:         config.Limits{Body: 512 << 10, Sessions: 5, SessionIdle: time.Hour, CallTimeout: 90 * time.Second, MaxCalls: 7, Cache: 16 << 20},
		ShutdownGrace:  5 * time.Second, UpgradeGrace: 5 * time.Minute, Watch: true,
		Upstreams: []config.Upstream{
			{
				Name: "zeta", Command: dir + "/app/server", Args: []string{"-p", "8080", "true", "${B}", "1.10", "$HOME", "${A}"},
				Env: map[string]secret.Text{
					"KEY": secret.New("${B}"), "FILE": secret.New("from file"), "NUMBER": secret.New("0x10"), "EMPTY": secret.New(""),
				},
				EnvPass: []string{"HTTPS_PROXY"}, Dir: dir + "/app", Era: config.EraLegacy,
				Tools:   config.Tools{Allow: []string{"read_*"}, Deny: []string{"*rm*"}},
				Timeout: 2 * time.Minute, StartTimeout: time.Minute,
				Limits: config.ChildLimits{Memory: 512 << 20, Processes: 64, CPU: 1.5, OpenFiles: 100, FileSize: 1e9, Core: 1 << 20}, Setuid: true,
			},
			{
				Name: "alpha", URL: "https://mcp.example.com/${B}", Headers: map[string]secret.Text{"Authorization": secret.New("Bearer ${B}")},
				Era: config.EraAuto, Timeout: 90 * time.Second, StartTimeout: 30 * time.Second, Limits: bounded,
			},
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Load (-want +got):\n%s", diff)
	}
}

func TestCheckAfterFlags(t *testing.T) {
	cfg := config.Default(environment(nil))
	cfg.Listen = ":8080"
	err := cfg.Check()
	if err == nil || !strings.HasPrefix(err.Error(), "listen: other machines can reach :8080") {
		t.Errorf("Check with an open address: got %v", err)
	}
}

func TestByteSize(t *testing.T) {
	tests := []struct {
		in   string
		want config.ByteSize
		out  string
	}{
		{"0", 0, "0B"},
		{"17", 17, "17B"},
		{"17B", 17, "17B"},
		{"1KiB", 1024, "1KiB"},
		{"1 MiB", 1 << 20, "1MiB"},
		{"2GiB", 2 << 30, "2GiB"},
		{"1KB", 1000, "1000B"},
		{"3MB", 3e6, "3000000B"},
		{"1GB", 1e9, "1000000000B"},
	}
	for _, tt := range tests {
		got, err := config.ParseByteSize(tt.in)
		if err != nil || got != tt.want || got.String() != tt.out {
			t.Errorf("ParseByteSize(%q): got %v, %v, want %v", tt.in, got, err, tt.out)
		}
	}
	for _, in := range []string{"", "B", "-1", "1.5MiB", "4mib", "9223372036854775807GiB", "99999999999999999999", "4 M"} {
		if got, err := config.ParseByteSize(in); err == nil {
			t.Errorf("ParseByteSize(%q): got %v, want an error", in, got)
		}
	}
}
