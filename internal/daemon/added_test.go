package daemon_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/fairlead-mcp/fairlead/internal/adminapi"
	"github.com/fairlead-mcp/fairlead/internal/approval"
	"github.com/fairlead-mcp/fairlead/internal/config"
)

// TestAddedUpstreams: a command that comes by the API runs only when it is approved;
// what was added stays over changes of the file, and the file wins where both have a name.
func TestAddedUpstreams(t *testing.T) {
	n := startFile(t, quietly, "one")
	keys, err := json.Marshal(map[string]any{"command": os.Args[0], "env": map[string]string{childEnv: "1", "GORACE": "atexit_sleep_ms=0"}})
	if err != nil {
		t.Fatal(err)
	}
	add := adminapi.NewUpstream{Name: "more", Keys: keys}
	_, err = n.admin.Add(t.Context(), add)
	refused, ok := errors.AsType[*adminapi.Refused](err)
	if !ok || !strings.Contains(refused.Findings[0].What, "not approved") {
		t.Fatalf("a command that nobody has approved: %v", err)
	}
	if got := pids(n.settled()); len(got) != 1 {
		t.Errorf("upstreams after that: %v", got)
	}

	u, err := config.ParseUpstream("more", keys, n.data, os.LookupEnv)
	if err != nil {
		t.Fatal(err)
	}
	store, err := approval.Open(n.data, nil)
	if err != nil {
		t.Fatal(err)
	}
	pending, err := store.Pending(&config.Config{Upstreams: []config.Upstream{*u}})
	if err == nil {
		err = store.Approve(pending...)
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := n.admin.Add(t.Context(), add); err != nil {
		t.Fatal(err)
	}
	before := pids(n.settled())
	n.reload(n.text(quietly, "one", "two"))
	if after := pids(n.settled()); after["more"] == 0 || after["more"] != before["more"] || after["one"] != before["one"] || len(after) != 3 {
		t.Errorf("children after a reload: %v, were %v", after, before)
	}
	change := n.reload(n.text(quietly, "one", "more=of the file"))
	if len(change.Notes) != 1 || change.Notes[0].Key != "upstreams.more" {
		t.Errorf("notes about a name that both have: %+v", change.Notes)
	}
	if got := pids(n.settled()); len(got) != 2 || got["more"] == before["more"] {
		t.Errorf("children when the file has the name, too: %v, were %v", got, before)
	}
	n.reload(n.text(quietly, "one"))
	if got := pids(n.settled()); len(got) != 2 || got["more"] == 0 {
		t.Errorf("children when the file has it no more: %v", got)
	}
	gone(t, before["more"])

	// The admin listener has no tokens: every user of the machine could come there.
	for method, path := range map[string]string{http.MethodPost: adminapi.PathUpstreams, http.MethodDelete: adminapi.PathUpstreams + "/more"} {
		req, err := http.NewRequestWithContext(t.Context(), method, n.Admin+path, strings.NewReader(`{"name":"x","keys":{"url":"http://127.0.0.1:1/mcp"}}`))
		if err != nil {
			t.Fatal(err)
		}
		res, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		if res.StatusCode != http.StatusForbidden {
			t.Errorf("%s %s on a listener without tokens: %d, want 403", method, path, res.StatusCode)
		}
	}
	if err := n.admin.Remove(t.Context(), "more"); err != nil {
		t.Fatal(err)
	}
	if got := pids(n.settled()); len(got) != 1 {
		t.Errorf("upstreams after the removal: %v", got)
	}
	if err := n.admin.Remove(t.Context(), "one"); err == nil || !strings.Contains(err.Error(), "was not added") {
		t.Errorf("removal of an upstream of the file: %v", err)
	}
	if err := n.admin.Remove(t.Context(), "nobody"); !errors.Is(err, adminapi.ErrNotFound) {
		t.Errorf("removal of nothing: %v", err)
	}
}
