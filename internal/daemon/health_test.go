package daemon_test

import (
	"errors"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/fairlead-mcp/fairlead/internal/adminapi"
	"github.com/fairlead-mcp/fairlead/internal/config"
	"github.com/fairlead-mcp/fairlead/internal/daemon"
)

// probed starts a node that probes its upstreams all the time.
func probed(t *testing.T, cfg *config.Config) *node {
	t.Helper()
	return startWith(t, cfg, &daemon.Options{ProbeEvery: 10 * time.Millisecond})
}

// component waits until a component has a state, and returns it.
func (n *node) component(t *testing.T, name, state string) adminapi.Component {
	t.Helper()
	var found adminapi.Component
	eventually(t, name+" to be "+state, func() bool {
		st, err := n.admin.Status(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range st.Components {
			if c.Name == name && c.State == state {
				found = c
				return true
			}
		}
		return false
	})
	return found
}

func TestHealth(t *testing.T) {
	cfg := settings(t)
	cfg.Upstreams = append(cfg.Upstreams, config.Upstream{Name: "gone", Command: "/nowhere/at-all", Era: config.EraAuto, Timeout: time.Minute})
	n := probed(t, cfg)
	n.component(t, "upstream one", "healthy")
	if c := n.component(t, "upstream gone", "unhealthy"); !strings.Contains(c.Reason, "/nowhere/at-all") {
		t.Errorf("the reason is %q", c.Reason)
	}
	n.component(t, "disk", "healthy")
	// One that is down, of two: its callers are told, the node stays in its balancer.
	for path, want := range map[string]int{"/livez": 200, "/readyz": 200, "/startupz": 200, "/healthz": 200} {
		if got := statusOf(t, n.Admin+path, nil); got != want {
			t.Errorf("%s: %d, want %d", path, got, want)
		}
	}
	eventually(t, "startupz", func() bool { return statusOf(t, n.Admin+"/startupz", nil) == http.StatusOK })
}

func TestCriticalUpstream(t *testing.T) {
	cfg := settings(t)
	cfg.Upstreams = append(cfg.Upstreams, config.Upstream{Name: "gone", Command: "/nowhere/at-all", Critical: true, Era: config.EraAuto, Timeout: time.Minute})
	n := probed(t, cfg)
	n.component(t, "upstream gone", "unhealthy")
	if got := statusOf(t, n.Admin+"/readyz", nil); got != http.StatusServiceUnavailable {
		t.Errorf("readyz without a critical upstream: %d", got)
	}
	if got := statusOf(t, n.Admin+"/livez", nil); got != http.StatusOK {
		t.Errorf("livez depends on an upstream: %d", got)
	}
}

// TestProbesOfAHungChild: the child is stopped in the middle of its life. The
// health endpoints answer from what is known, and it is well again when it goes on.
func TestProbesOfAHungChild(t *testing.T) {
	for _, era := range []config.Era{config.EraModern, config.EraLegacy} {
		cfg := settings(t)
		cfg.Upstreams[0].Era, cfg.Upstreams[0].RestartAfter = era, 1e6 // TestHangingChild is about the restart
		n := startWith(t, cfg, &daemon.Options{ProbeEvery: 10 * time.Millisecond, ProbeTimeout: 100 * time.Millisecond})
		n.component(t, "upstream one", "healthy")
		child, err := os.FindProcess(n.pid(t, 0))
		if err != nil {
			t.Fatal(err)
		}
		if err := child.Signal(syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		if c := n.component(t, "upstream one", "unhealthy"); !strings.Contains(c.Reason, "no answer") && !strings.Contains(c.Reason, "hangs") {
			t.Errorf("%s: the reason is %q", era, c.Reason)
		}
		for _, path := range []string{"/livez", "/readyz", "/healthz", "/admin/v1/status"} {
			if got := statusOf(t, n.Admin+path, nil); got != http.StatusOK {
				t.Errorf("%s: %s while the upstream hangs: %d", era, path, got)
			}
		}
		if err := child.Signal(syscall.SIGCONT); err != nil {
			t.Fatal(err)
		}
		n.component(t, "upstream one", "healthy")
	}
}

func TestOperatorActs(t *testing.T) {
	n := start(t, settings(t))
	old := n.pid(t, 0)
	if _, err := n.admin.Act(t.Context(), "one", adminapi.ActionRestart); err != nil {
		t.Fatal(err)
	}
	n.pid(t, old)
	for action, want := range map[adminapi.Action]string{adminapi.ActionOpen: "open", adminapi.ActionClose: "closed"} {
		u, err := n.admin.Act(t.Context(), "one", action)
		if err != nil || u.Breaker.State != want || !u.Breaker.Forced {
			t.Errorf("%s: %+v, %v", action, u, err)
		}
	}
	if u, err := n.admin.Act(t.Context(), "one", adminapi.ActionAuto); err != nil || u.Breaker.Forced {
		t.Errorf("auto: %+v, %v", u, err)
	}
	for name, action := range map[string]adminapi.Action{"nobody": adminapi.ActionOpen, "one": "explode"} {
		if _, err := n.admin.Act(t.Context(), name, action); !errors.Is(err, adminapi.ErrNotFound) {
			t.Errorf("%s %s: %v", action, name, err)
		}
	}
}
