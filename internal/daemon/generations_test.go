package daemon_test

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fairlead-mcp/fairlead/internal/adminapi"
	"github.com/fairlead-mcp/fairlead/internal/config"
	"github.com/fairlead-mcp/fairlead/internal/daemon"
)

// TestGenerationsKeepNoSecrets: what ${...} stands for is in no generation, and the
// texts are for the admin socket and for who has a token.
func TestGenerationsKeepNoSecrets(t *testing.T) {
	t.Setenv("FAIRLEAD_TEST_SECRET", "hunter2hunter2")
	n := startFile(t, quietly, "one=${FAIRLEAD_TEST_SECRET}")
	g, err := n.admin.Generation(t.Context(), 0)
	if err != nil || g.Number != 1 || !strings.Contains(g.Text, "${FAIRLEAD_TEST_SECRET}") {
		t.Fatalf("the generation that is served: %+v, %v", g, err)
	}
	raw, err := os.ReadFile(filepath.Join(n.data, "state.db"))
	if err != nil || !bytes.Contains(raw, []byte(g.Hash)) || bytes.Contains(raw, []byte("hunter2")) {
		t.Errorf("the state has the secret, or nothing: %v", err)
	}
	for _, path := range []string{"/generations", "/generations/1", "/file"} {
		if got := statusOf(t, n.Admin+adminapi.PathConfig+path, nil); got != http.StatusForbidden {
			t.Errorf("%s on a listener without tokens: %d, want 403", path, got)
		}
	}
	n.reload(n.text(quietly+fmt.Sprintf("\nauth: {tokens: [{name: me, hash: %q}]}", config.HashToken("mine")), "one"))
	for token, want := range map[string]int{"mine": http.StatusOK, "other": http.StatusUnauthorized} {
		if got := statusOf(t, n.Admin+adminapi.PathConfig+"/generations/1", http.Header{"Authorization": {"Bearer " + token}}); got != want {
			t.Errorf("with token %q: %d, want %d", token, got, want)
		}
	}
}

// TestRollbackOutlivesOtherChanges: another certificate is no reason to end a rollback;
// another file is.
func TestRollbackOutlivesOtherChanges(t *testing.T) {
	n := &fileNode{t: t, data: settings(t).Data}
	n.path = filepath.Join(n.data, "fairlead.yaml")
	n.writeCertificate(1)
	const secure = "tls: {cert: cert.pem, key: key.pem}"
	n.write(n.text(secure, "one"))
	n.run(&daemon.Options{})
	n.reload(n.text(secure, "one", "two"))
	if _, err := n.admin.Rollback(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	n.writeCertificate(2)
	eventually(t, "the new certificate", func() bool { return n.serial() == 2 })
	st := n.settled()
	if c := st.Config; c.RolledBack != 1 || c.By != "watch" || len(st.Upstreams) != 1 {
		t.Errorf("after another certificate: %+v with %d upstreams; want the rollback to hold", c, len(st.Upstreams))
	}
	n.write(n.text(secure, "one", "three"))
	eventually(t, "the new file", func() bool { return pids(n.settled())["three"] != 0 })
	if c := n.settled().Config; c.RolledBack != 0 {
		t.Errorf("after another file: %+v; want no rollback", c)
	}
}
