package daemon_test

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fairlead-mcp/fairlead/internal/config"
	"github.com/fairlead-mcp/fairlead/internal/daemon"
	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/mcp/streamhttp"
)

// TestSameIDs: 200 clients that all use request id 1 and progress token "t" get
// their own answers and progress, and nothing else.
func TestSameIDs(t *testing.T) {
	n := start(t, settings(t)).recorded(t)
	n.pid(t, 0)
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 200}}
	defer client.CloseIdleConnections()
	var wg sync.WaitGroup
	for i := range 200 {
		wg.Go(func() {
			own := fmt.Sprintf("client %03d", i)
			if err := sameID(t.Context(), client, n.Endpoint, own); err != nil {
				t.Errorf("%s: %v", own, err)
			}
		})
	}
	wg.Wait()
}

func sameID(ctx context.Context, client *http.Client, url, own string) error {
	body := `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"one__count","arguments":{"text":"` + own + `"},` +
		`"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{},"progressToken":"t"}}}`
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		return err
	}
	for k, v := range map[string]string{
		"Content-Type": "application/json", "Accept": "application/json, text/event-stream",
		"MCP-Protocol-Version": "2026-07-28", "Mcp-Method": "tools/call", "Mcp-Name": "one__count",
	} {
		req.Header.Set(k, v)
	}
	res, err := client.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	var progress, results int
	lines := bufio.NewScanner(res.Body)
	for lines.Scan() {
		line, ok := strings.CutPrefix(lines.Text(), "data:")
		if !ok || strings.TrimSpace(line) == "" {
			continue
		}
		switch {
		case !strings.Contains(line, `"`+own+`"`):
			return fmt.Errorf("got what is not ours: %s", line)
		case strings.Contains(line, `"notifications/progress"`) && strings.Contains(line, `"progressToken":"t"`):
			progress++
		case strings.Contains(line, `"id":1`) && strings.Contains(line, `"result"`):
			results++
		default:
			return fmt.Errorf("got %s", line)
		}
	}
	if progress != 3 || results != 1 || lines.Err() != nil {
		return fmt.Errorf("got status %d, %d progress and %d results (%v), want 3 and 1", res.StatusCode, progress, results, lines.Err())
	}
	return nil
}

func TestTokens(t *testing.T) {
	cfg := settings(t)
	cfg.Auth.Tokens = []config.Token{{Name: "laptop", Hash: config.HashToken("s3cret")}, {Name: "ci", Hash: config.HashToken("other")}}
	n := start(t, cfg)
	n.pid(t, 0)
	call := func(header http.Header) error {
		h := streamhttp.NewClient(n.Endpoint, &streamhttp.ClientOptions{Era: streamhttp.EraModern, Header: header})
		defer h.Close(t.Context())
		_, err := mcp.NewClient("test", "1", h, nil).CallTool(t.Context(), "one__echo", text{"x"}, nil)
		return err
	}
	for _, good := range []string{"Bearer s3cret", "bearer other"} {
		if err := call(http.Header{"Authorization": {good}}); err != nil {
			t.Errorf("%s: %v", good, err)
		}
	}
	for name, bad := range map[string][]string{
		"none": nil, "wrong": {"Bearer nope"}, "prefix": {"Bearer s3cre"}, "longer": {"Bearer s3crets"},
		"empty": {"Bearer "}, "no scheme": {"s3cret"}, "other scheme": {"Basic s3cret"}, "the hash": {"Bearer " + config.HashToken("s3cret").String()},
		"two headers": {"Bearer s3cret", "Bearer nope"},
	} {
		t.Run(name, func(t *testing.T) {
			for _, path := range []string{"", "/one", "/nothing-here"} {
				req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, n.Endpoint+path, strings.NewReader("{}"))
				if err != nil {
					t.Fatal(err)
				}
				if bad != nil {
					req.Header["Authorization"] = bad
				}
				res, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
				if err != nil {
					t.Fatal(err)
				}
				_ = res.Body.Close()
				wantStatus := res.StatusCode == http.StatusUnauthorized && strings.HasPrefix(res.Header.Get("WWW-Authenticate"), "Bearer")
				if name == "two headers" && res.StatusCode == http.StatusBadRequest {
					wantStatus = true // refused even before anybody looks at the tokens
				}
				if !wantStatus {
					t.Errorf("%q: %s, WWW-Authenticate %q; want 401 and Bearer", path, res.Status, res.Header.Get("WWW-Authenticate"))
				}
			}
		})
	}
	good := http.Header{"Authorization": {"Bearer s3cret"}}
	for _, c := range []struct {
		path   string
		header http.Header
		want   int
	}{
		{"/healthz", nil, http.StatusOK},
		{"/admin/v1/status", nil, http.StatusUnauthorized},
		{"/admin/v1/status", good, http.StatusOK},
	} {
		if got := statusOf(t, n.Admin+c.path, c.header); got != c.want {
			t.Errorf("admin %s with %v: %d, want %d", c.path, c.header, got, c.want)
		}
	}
	if got := statusOf(t, strings.TrimSuffix(n.Endpoint, "/mcp")+"/elsewhere", good); got != http.StatusNotFound {
		t.Errorf("a path that is not there: %d, want 404", got)
	}
}

func TestAdminGuards(t *testing.T) {
	n := start(t, settings(t))
	n.pid(t, 0)
	for _, path := range []string{"/livez", "/readyz", "/healthz", "/admin/v1/status"} {
		for _, c := range []struct {
			name, value string
			want        int
		}{
			{"", "", http.StatusOK},
			{"Host", "localhost:9090", http.StatusOK},
			{"Host", "[::1]:9090", http.StatusOK},
			{"Host", "evil.example", http.StatusForbidden},
			{"Host", "127.0.0.1.evil.example:9090", http.StatusForbidden},
			{"Origin", "https://evil.example", http.StatusForbidden},
			{"Origin", "null", http.StatusForbidden},
			{"Sec-Fetch-Site", "cross-site", http.StatusForbidden},
		} {
			header := http.Header{}
			if c.name != "" {
				header.Set(c.name, c.value)
			}
			if got := statusOf(t, n.Admin+path, header); got != c.want {
				t.Errorf("GET %s with %s %q: %d, want %d", path, c.name, c.value, got, c.want)
			}
		}
	}
	if got := statusOf(t, n.Admin+"/mcp", nil); got != http.StatusNotFound {
		t.Errorf("/mcp on the admin listener: %d, want 404", got)
	}
	if got := statusOf(t, strings.TrimSuffix(n.Endpoint, "/mcp")+"/admin/v1/status", nil); got != http.StatusNotFound {
		t.Errorf("the admin API on the MCP listener: %d, want 404", got)
	}
}

// TestDeadUpstream: one upstream that cannot start fails neither the others nor readiness.
func TestDeadUpstream(t *testing.T) {
	cfg := settings(t)
	cfg.Upstreams = append(cfg.Upstreams, config.Upstream{Name: "dead", Command: "/nowhere/at/all", Timeout: time.Minute})
	n := probed(t, cfg)
	n.component(t, "upstream dead", "unhealthy")
	n.component(t, "upstream one", "healthy")
	if res, err := n.client(t, "", streamhttp.EraModern).CallTool(t.Context(), "one__echo", text{"alive"}, nil); err != nil || res.Text() != "alive" {
		t.Errorf("call of the other upstream: %v, %v", res, err)
	}
	for path, want := range map[string]string{"/readyz": `"status":"degraded"`, "/healthz": `"status":"degraded"`} {
		res, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(must(http.NewRequestWithContext(t.Context(), http.MethodGet, n.Admin+path, nil)))
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(res.Body)
		_ = res.Body.Close()
		if err != nil || res.StatusCode != http.StatusOK || !strings.HasPrefix(string(body), "{"+want) || !strings.Contains(string(body), "upstream dead") {
			t.Errorf("%s: %s, %s (%v); want 200, %s and the upstream", path, res.Status, body, err, want)
		}
	}
}

func TestTLS(t *testing.T) {
	cfg := settings(t)
	pool := certificate(t, cfg)
	n := start(t, cfg)
	if !strings.HasPrefix(n.Endpoint, "https://") {
		t.Fatalf("endpoint is %s", n.Endpoint)
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, ForceAttemptHTTP2: true}
	defer transport.CloseIdleConnections()
	h := streamhttp.NewClient(n.Endpoint, &streamhttp.ClientOptions{HTTPClient: &http.Client{Transport: transport}})
	defer h.Close(t.Context())
	if res, err := mcp.NewClient("test", "1", h, nil).CallTool(t.Context(), "one__echo", text{"over TLS"}, nil); err != nil || res.Text() != "over TLS" {
		t.Errorf("call: %v, %v", res, err)
	}
	cfg.TLS.Key = cfg.TLS.Cert
	if _, err := daemon.New(cfg, nil); err == nil || !strings.Contains(err.Error(), "tls") {
		t.Errorf("New with a broken key: %v", err)
	}
}

// certificate writes a certificate for 127.0.0.1 and puts it into cfg.
func certificate(t *testing.T, cfg *config.Config) *x509.CertPool {
	t.Helper()
	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der := must(x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key))
	write := func(name, kind string, der []byte) string {
		path := filepath.Join(cfg.Data, name)
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	cfg.TLS.Cert = write("cert.pem", "CERTIFICATE", der)
	cfg.TLS.Key = write("key.pem", "EC PRIVATE KEY", must(x509.MarshalECPrivateKey(key)))
	pool := x509.NewCertPool()
	pool.AddCert(must(x509.ParseCertificate(der)))
	return pool
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
