package oauth_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fairlead-mcp/fairlead/mcp/oauth"
)

// child is another process of this test binary that runs TestChild.
type child struct {
	cmd   *exec.Cmd
	stdin io.WriteCloser
	lines *bufio.Scanner
}

func startChild(t *testing.T, env ...string) *child {
	t.Helper()
	c := &child{cmd: exec.Command(os.Args[0], "-test.run=^TestChild$", "-test.v=false")}
	c.cmd.Env = append(os.Environ(), env...)
	c.cmd.Stderr = os.Stderr
	var err error
	if c.stdin, err = c.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	c.lines = bufio.NewScanner(out)
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.cmd.Process.Kill()
		_ = c.cmd.Wait()
	})
	return c
}

// said waits for the next line of the child.
func (c *child) said(t *testing.T, want string) {
	t.Helper()
	if !c.lines.Scan() || !strings.HasPrefix(c.lines.Text(), want) {
		t.Fatalf("the other process says %q, want %q", c.lines.Text(), want)
	}
}

// TestChild is what the other processes do.
func TestChild(t *testing.T) {
	dir, do := os.Getenv("OAUTH_TEST_STORE"), os.Getenv("OAUTH_TEST_DO")
	if dir == "" {
		t.Skip("it runs in processes that other tests start")
	}
	file, err := oauth.OpenFileStore(t.Context(), dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	if do == "lock" {
		if _, err := file.Lock(t.Context(), "key"); err != nil {
			t.Fatal(err)
		}
		fmt.Println("locked")
		_, _ = io.Copy(io.Discard, os.Stdin) // until it is killed
		return
	}
	var store oauth.Store = file
	if do == "call without the lock" {
		store = unlocked{file}
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(os.Getenv("OAUTH_TEST_ROOTS")))
	rt := oauth.NewTransport(os.Getenv("OAUTH_TEST_URL"), &oauth.Options{Store: store, RootCAs: roots})
	fmt.Println("ready")
	if _, err := bufio.NewReader(os.Stdin).ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	fmt.Println("calling")
	status, _, err := post(t.Context(), rt, os.Getenv("OAUTH_TEST_URL"), "call")
	fmt.Println("done", status, err)
}

// unlocked is the broken twin of a store: its lock keeps nobody out.
type unlocked struct{ oauth.Store }

func (unlocked) Lock(context.Context, string) (func(), error) { return func() {}, nil }

// ending is a store whose tokens end soon.
type ending struct{ oauth.Store }

func (s ending) Save(ctx context.Context, key string, g *oauth.Grant) error {
	soon := *g
	soon.Token.Expiry = time.Now().Add(5 * time.Second)
	return s.Store.Save(ctx, key, &soon)
}

// certificate is that of a server on this machine, in PEM.
func certificate(t *testing.T, server string) string {
	t.Helper()
	c, err := tls.Dial("tcp", strings.TrimPrefix(server, "https://"), &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.ConnectionState().PeerCertificates[0].Raw}))
}

// TestTwoProcessesRefreshOnce lets two processes find at the same time that their
// token ends. The authorization server rotates refresh tokens, and takes each once.
func TestTwoProcessesRefreshOnce(t *testing.T) {
	for _, tt := range []struct {
		do        string
		refreshes int
	}{
		{"call", 1},
		{"call without the lock", 2}, // one of them with a token that the other has spent
	} {
		t.Run(tt.do, func(t *testing.T) {
			w, dir := newWorld(t), t.TempDir()
			w.mustCall(t, w.transport(func(o *oauth.Options) { o.Store = ending{openFileStore(t, dir)} }), "login")
			w.as.revoke() // only who has refreshed gets through

			// A refresh is under way until both processes want one.
			both := make(chan struct{})
			var refreshes atomic.Int32
			w.as.before = func(_ http.ResponseWriter, r *http.Request) bool {
				if r.URL.Path == "/token" {
					if n := refreshes.Add(1); int(n) == tt.refreshes && tt.refreshes > 1 {
						close(both)
					}
					<-both
				}
				return false
			}
			env := []string{"OAUTH_TEST_STORE=" + dir, "OAUTH_TEST_DO=" + tt.do, "OAUTH_TEST_URL=" + w.mcp.url + "/mcp", "OAUTH_TEST_ROOTS=" + certificate(t, w.mcp.url)}
			children := []*child{startChild(t, env...), startChild(t, env...)}
			for _, c := range children {
				c.said(t, "ready")
			}
			for _, c := range children {
				if _, err := c.stdin.Write([]byte("go\n")); err != nil {
					t.Fatal(err)
				}
			}
			for _, c := range children {
				c.said(t, "calling")
			}
			if tt.refreshes == 1 {
				close(both)
			}
			for _, c := range children {
				want := "done 200 <nil>"
				if tt.refreshes > 1 {
					want = "done" // the one without a token depends on luck
				}
				c.said(t, want)
			}
			if n := len(w.as.tokenRequests("refresh_token")); n != tt.refreshes {
				t.Errorf("%d refreshes, want %d", n, tt.refreshes)
			}
		})
	}
}

// TestLockOfADeadProcessIsFree: nobody has to clean up after a crash.
func TestLockOfADeadProcessIsFree(t *testing.T) {
	dir := t.TempDir()
	s := openFileStore(t, dir)
	c := startChild(t, "OAUTH_TEST_STORE="+dir, "OAUTH_TEST_DO=lock")
	c.said(t, "locked")
	over, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Lock(over, "key"); err == nil || !strings.Contains(err.Error(), "another process holds the lock") {
		t.Fatalf("lock while another process holds it: got %v", err)
	}
	if err := c.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	unlock, err := s.Lock(t.Context(), "key")
	if err != nil {
		t.Fatalf("lock after its holder died: %v", err)
	}
	unlock()
}
