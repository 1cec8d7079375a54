package daemon_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fairlead-mcp/fairlead/internal/adminapi"
	"github.com/fairlead-mcp/fairlead/internal/approval"
	"github.com/fairlead-mcp/fairlead/internal/config"
	"github.com/fairlead-mcp/fairlead/internal/daemon"
)

// writeCertificate makes a certificate with a serial number by which it is told apart.
func (n *fileNode) writeCertificate(serial int64) {
	n.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		n.t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(serial), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		n.t.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		n.t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{"cert.pem": {Type: "CERTIFICATE", Bytes: cert}, "key.pem": {Type: "PRIVATE KEY", Bytes: raw}} {
		if err := os.WriteFile(filepath.Join(n.data, name), pem.EncodeToMemory(block), 0o600); err != nil {
			n.t.Fatal(err)
		}
	}
}

// serial is that of the certificate that a new connection gets.
func (n *fileNode) serial() int64 {
	n.t.Helper()
	c, err := tls.Dial("tcp", strings.TrimSuffix(strings.TrimPrefix(n.Endpoint, "https://"), "/mcp"), &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		n.t.Fatal(err)
	}
	defer c.Close()
	return c.ConnectionState().PeerCertificates[0].SerialNumber.Int64()
}

func TestReloadOfCertificate(t *testing.T) {
	n := &fileNode{t: t, data: settings(t).Data}
	n.path = filepath.Join(n.data, "fairlead.yaml")
	n.writeCertificate(1)
	good := n.text(quietly+"\ntls: {cert: cert.pem, key: key.pem}", "one")
	n.write(good)
	n.run(&daemon.Options{})
	if got := n.serial(); got != 1 {
		t.Fatalf("the certificate is %d", got)
	}
	n.writeCertificate(2)
	n.reload(good)
	if got := n.serial(); got != 2 {
		t.Errorf("after the reload the certificate is %d, want 2", got)
	}
	// Files that do not belong together change nothing.
	if err := os.WriteFile(filepath.Join(n.data, "key.pem"), []byte("nonsense"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := n.admin.Reload(t.Context()); err == nil || !strings.Contains(err.Error(), "private key") && !strings.Contains(err.Error(), "PEM") {
		t.Errorf("Reload with a broken key: %v", err)
	}
	if got := n.serial(); got != 2 {
		t.Errorf("after the refused reload the certificate is %d, want 2", got)
	}
}

func TestReloadOfTokens(t *testing.T) {
	token := func(name string) string {
		return fmt.Sprintf("{name: %s, hash: %q}", name, config.HashToken(name))
	}
	n := startFile(t, quietly+"\nauth: {tokens: ["+token("first")+"]}", "one")
	status := func(token string) int {
		return statusOf(t, n.Endpoint, http.Header{"Authorization": {"Bearer " + token}})
	}
	denied := http.StatusUnauthorized
	if status("first") == denied || status("second") != denied {
		t.Fatal("the tokens of the start do not hold")
	}
	n.reload(n.text(quietly+"\nauth: {tokens: ["+token("second")+"]}", "one"))
	if status("first") != denied || status("second") == denied {
		t.Error("the tokens of the reload do not hold on the MCP listener")
	}
	admin := func(token string) int {
		return statusOf(t, n.Admin+adminapi.PathStatus, http.Header{"Authorization": {"Bearer " + token}})
	}
	if admin("first") != denied || admin("second") != http.StatusOK {
		t.Error("the tokens of the reload do not hold on the admin listener")
	}
	n.reload(n.text(quietly, "one"))
	if status("nobody") == denied {
		t.Error("a token is asked for although there are none")
	}
}

// TestReloadNeedsApprovals: where commands need an approval, those of a reload do.
func TestReloadNeedsApprovals(t *testing.T) {
	n := &fileNode{t: t, data: settings(t).Data}
	n.path = filepath.Join(n.data, "fairlead.yaml")
	n.write(n.text(quietly, "one"))
	store, err := approval.Open(n.data, nil)
	if err != nil {
		t.Fatal(err)
	}
	approve := func() {
		t.Helper()
		cfg, err := config.Load(n.path, os.LookupEnv)
		if err != nil {
			t.Fatal(err)
		}
		pending, err := store.Pending(cfg)
		if err == nil {
			err = store.Approve(pending...)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	approve()
	n.run(&daemon.Options{Approvals: store})
	next := strings.Replace(n.text(quietly, "one", "two"), `two: {command: `, `two: {args: [x], command: `, 1)
	n.write(next)
	_, err = n.admin.Reload(t.Context())
	refused, ok := errors.AsType[*adminapi.Refused](err)
	if !ok || len(refused.Findings) != 1 || !strings.Contains(refused.Findings[0].What, "is not approved") || !strings.Contains(refused.Findings[0].Hint, "fairlead approve "+n.path) {
		t.Fatalf("Reload with a new command: %v", err)
	}
	if got := pids(n.settled()); len(got) != 1 {
		t.Errorf("upstreams after the refused reload: %v", got)
	}
	approve()
	n.reload(next)
	if got := pids(n.settled()); len(got) != 2 {
		t.Errorf("upstreams after the approval: %v", got)
	}
}

// TestWatchedFile: changes are taken over by themselves, in all the ways in which
// files are changed.
func TestWatchedFile(t *testing.T) {
	n := &fileNode{t: t, data: settings(t).Data}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	// As Kubernetes mounts a ConfigMap: file -> ..data/file, ..data -> a directory of this version.
	mount := filepath.Join(n.data, "mount")
	version := func(name, text string) {
		t.Helper()
		must(os.MkdirAll(filepath.Join(mount, name), 0o700))
		must(os.WriteFile(filepath.Join(mount, name, "fairlead.yaml"), []byte(text), 0o600))
		must(os.Symlink(name, filepath.Join(mount, "..tmp")))
		must(os.Rename(filepath.Join(mount, "..tmp"), filepath.Join(mount, "..data")))
	}
	version("v1", n.text("", "one"))
	n.path = filepath.Join(mount, "fairlead.yaml")
	must(os.Symlink("..data/fairlead.yaml", n.path))
	n.run(&daemon.Options{})

	has := func(want ...string) {
		t.Helper()
		eventually(t, strings.Join(want, " and "), func() bool {
			st := n.settled()
			if len(st.Upstreams) != len(want) {
				return false
			}
			for i, u := range st.Upstreams {
				if u.Name != want[i] {
					return false
				}
			}
			return true
		})
	}
	version("v2", n.text("", "one", "two"))
	has("one", "two")
	// A link of its own, to a file elsewhere, in which an editor writes.
	elsewhere := filepath.Join(n.data, "elsewhere.yaml")
	must(os.WriteFile(elsewhere, []byte(n.text("", "two")), 0o600))
	must(os.Symlink(elsewhere, n.path+".new"))
	must(os.Rename(n.path+".new", n.path))
	has("two")
	must(os.WriteFile(elsewhere, []byte(n.text("", "three")), 0o600))
	has("three")
	// An editor that renames.
	must(os.WriteFile(elsewhere+"~", []byte(n.text("", "one", "three")), 0o600))
	must(os.Rename(elsewhere+"~", elsewhere))
	has("one", "three")
	// A bad file changes nothing and is told; taking it back is told, too.
	must(os.WriteFile(elsewhere, []byte("nonsense: ["), 0o600))
	eventually(t, "a refusal", func() bool { return n.settled().Config.Refused != nil })
	has("one", "three")
	must(os.WriteFile(elsewhere, []byte(n.text("", "one", "three")), 0o600))
	eventually(t, "the end of the refusal", func() bool { return n.settled().Config.Refused == nil })
	// The file itself says that it is not watched any more; a reload then needs a wish.
	must(os.WriteFile(elsewhere, []byte(n.text(quietly, "one")), 0o600))
	has("one")
	if st := n.settled(); st.Config.Watched || st.Config.By != "watch" {
		t.Errorf("config in the status: %+v", st.Config)
	}
	must(os.WriteFile(elsewhere, []byte(n.text("", "two")), 0o600))
	if _, err := n.admin.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	has("two")
}
