package config_test

import (
	"strings"
	"testing"
	"time"

	"github.com/fairlead-mcp/fairlead/internal/config"
	"github.com/google/go-cmp/cmp"
)

func TestTimeouts(t *testing.T) {
	cfg, err := config.Parse("f.yaml", []byte(`
upstreams:
  a:
    command: x
    timeout: 10s
    timeout_max: 1h
    timeouts: {"build_*": 20m, resources/read: "${SLOW}", x: 1s}
    queue: {length: 7, wait: 3s}
`), environment(map[string]string{"SLOW": "5s"}))
	if err != nil {
		t.Fatal(err)
	}
	u := cfg.Upstreams[0]
	want := []config.Timeout{{For: "build_*", Limit: 20 * time.Minute}, {For: "resources/read", Limit: 5 * time.Second}, {For: "x", Limit: time.Second}}
	if diff := cmp.Diff(want, u.Timeouts); diff != "" || u.TimeoutMax != time.Hour || u.QueueLength != 7 || u.QueueWait != 3*time.Second {
		t.Errorf("got %+v (-want +got):\n%s", u, diff)
	}
	for _, tt := range []struct{ lines, want string }{
		{`timeouts: {resource/read: 10s}`, `did you mean "resources/read"?`},
		{`timeouts: {"a b": 10s}`, "f.yaml:4:16: upstreams.a.timeouts.\"a b\": not a pattern"},
		{`timeouts: {a: soon}`, "not a duration"},
		{`timeouts: {a: -1s}`, "not a duration"},
		{`timeouts: [10s]`, "this is a list"},
		{`timeouts: {a: 2h}` + "\n    timeout_max: 1h", "2h0m0s is more than timeout_max, 1h0m0s"},
		{`timeout_max: 1s`, "1s is less than timeout, 1m0s"},
		{`queue: {length: 0}`, "not a whole number from 1"},
	} {
		_, err := config.Parse("f.yaml", []byte("upstreams:\n  a:\n    command: x\n    "+tt.lines+"\n"), nil)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v; want %q", tt.lines, err, tt.want)
		}
	}
}

func TestLifeOfUpstreams(t *testing.T) {
	for _, tt := range []struct{ lines, want string }{
		{"command: x\n    instances: 4\n    start: lazy\n    idle_stop: 10m", ""},
		{"command: x\n    instances: session", ""},
		{"url: http://localhost:1\n    instances: 1", ""},
		{"url: http://localhost:1\n    instances: 2", "a number is for a command"},
		{"command: x\n    instances: 0", "auto, shared, principal, session, or a number from 1 to 64"},
		{"command: x\n    instances: 65", "auto, shared, principal, session, or a number from 1 to 64"},
		{"command: x\n    instances: sessions", "auto, shared, principal, session, or a number from 1 to 64"},
		{"command: x\n    start: later", "write eager or lazy"},
		{"command: x\n    idle_stop: never", "not a duration"},
	} {
		cfg, err := config.Parse("f.yaml", []byte("upstreams:\n  a:\n    "+tt.lines+"\n"), nil)
		switch {
		case tt.want == "" && err != nil:
			t.Errorf("%s: %v", tt.lines, err)
		case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
			t.Errorf("%s: %v; want %q", tt.lines, err, tt.want)
		case tt.want == "" && cfg.Upstreams[0].Instances == "":
			t.Errorf("%s: %+v", tt.lines, cfg.Upstreams[0])
		}
	}
}
