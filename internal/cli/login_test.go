package cli_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/go-json-experiment/json"

	"github.com/fairlead-mcp/fairlead/internal/cli"
	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/mcp/streamhttp"
)

// site is an MCP server that wants tokens, and the authorization server that issues
// them, with a certificate that only --ca makes good.
type site struct {
	mcp, as *httptest.Server
	ca      string // file
	data    string // directory

	mu        sync.Mutex
	closed    bool // takes no registrations
	refuses   bool // the user says no
	logins    int
	refreshes int
	codes     map[string]url.Values // code -> authorization request
	token     string                // that is good now
	refresh   string                // likewise
}

func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{codes: map[string]url.Values{}, data: filepath.Join(t.TempDir(), "data")}
	server := mcp.NewServer("site", "1", nil)
	err := mcp.AddTool(server, mcp.Tool{Name: "greet"}, func(_ context.Context, _ *mcp.Call, in struct {
		Name string `json:"name"`
	},
	) (string, error) {
		return "Hello, " + in.Name, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	h := streamhttp.NewHandler(server, nil)
	s.mcp = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/.well-known/oauth-protected-resource/mcp":
			reply(w, 200, map[string]any{"resource": s.mcp.URL + "/mcp", "authorization_servers": []string{s.as.URL}})
		case r.URL.Path == "/mcp" && s.good(r.Header.Get("Authorization")):
			h.ServeHTTP(w, r)
		default:
			w.Header().Set("WWW-Authenticate", "Bearer")
			w.WriteHeader(http.StatusUnauthorized)
		}
	}))
	t.Cleanup(s.mcp.Close)
	s.as = httptest.NewTLSServer(http.HandlerFunc(s.authorizationServer))
	t.Cleanup(s.as.Close)
	s.ca = filepath.Join(t.TempDir(), "ca.pem")
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.mcp.Certificate().Raw})
	if err := os.WriteFile(s.ca, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *site) good(authorization string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.token != "" && authorization == "Bearer "+s.token
}

func reply(w http.ResponseWriter, status int, v map[string]any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.MarshalWrite(w, v)
}

func (s *site) authorizationServer(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch r.URL.Path {
	case "/.well-known/oauth-authorization-server":
		doc := map[string]any{
			"issuer": s.as.URL, "authorization_endpoint": s.as.URL + "/authorize", "token_endpoint": s.as.URL + "/token",
			"code_challenge_methods_supported": []string{"S256"}, "response_types_supported": []string{"code"},
			"token_endpoint_auth_methods_supported": []string{"none", "client_secret_post"},
		}
		if !s.closed {
			doc["registration_endpoint"] = s.as.URL + "/register"
		}
		reply(w, 200, doc)
	case "/register":
		reply(w, 201, map[string]any{"client_id": "registered", "token_endpoint_auth_method": "none"})
	case "/authorize":
		q := r.URL.Query()
		back := url.Values{"state": {q.Get("state")}}
		if s.refuses {
			back.Set("error", "access_denied")
		} else {
			code := rand.Text()
			s.codes[code], s.logins = q, s.logins+1
			back.Set("code", code)
		}
		http.Redirect(w, r, q.Get("redirect_uri")+"?"+back.Encode(), http.StatusFound)
	case "/token":
		s.issue(w, r)
	default:
		http.NotFound(w, r)
	}
}

func (s *site) issue(w http.ResponseWriter, r *http.Request) {
	_ = r.ParseForm()
	if asked := s.codes[r.PostForm.Get("code")]; asked != nil {
		sum := sha256.Sum256([]byte(r.PostForm.Get("code_verifier")))
		closed := s.closed && (asked.Get("client_id") != "by-hand" || r.PostForm.Get("client_secret") != "hush")
		if asked.Get("code_challenge") != base64.RawURLEncoding.EncodeToString(sum[:]) || asked.Get("client_id") != r.PostForm.Get("client_id") || closed {
			reply(w, 400, map[string]any{"error": "invalid_grant"})
			return
		}
		delete(s.codes, r.PostForm.Get("code"))
	} else if s.refresh == "" || r.PostForm.Get("refresh_token") != s.refresh {
		reply(w, 400, map[string]any{"error": "invalid_grant"})
		return
	} else {
		s.refreshes++
	}
	s.token, s.refresh = "S3CRET-access-"+rand.Text(), "S3CRET-refresh-"+rand.Text()
	reply(w, 200, map[string]any{"access_token": s.token, "refresh_token": s.refresh, "token_type": "Bearer", "expires_in": 3600})
}

func (s *site) counts() (logins, refreshes int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.logins, s.refreshes
}

// run is the command line, and a user who opens the address that it prints.
func (s *site) run(t *testing.T, stdin io.Reader, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	args = append(args, "--data", s.data, "--ca", s.ca)
	lines, w := io.Pipe()
	var text bytes.Buffer
	var user sync.WaitGroup
	user.Go(func() { // ends when the command has
		for in := bufio.NewScanner(io.TeeReader(lines, &text)); in.Scan(); {
			if link := strings.TrimSpace(in.Text()); strings.HasPrefix(link, s.as.URL+"/authorize?") {
				s.browse(t, link)
			}
		}
	})
	var out bytes.Buffer
	code = cli.Main(args, stdin, &out, w)
	_ = w.Close()
	user.Wait()
	return code, out.String(), text.String()
}

func (s *site) browse(t *testing.T, link string) {
	res, err := s.as.Client().Get(link) // follows the redirect to this machine
	if err != nil {
		t.Error(err)
		return
	}
	defer func() { _ = res.Body.Close() }()
	if page, _ := io.ReadAll(res.Body); res.StatusCode != 200 || !strings.Contains(string(page), "go back to the program") {
		t.Errorf("the browser shows %d %s", res.StatusCode, page)
	}
}

func TestLogin(t *testing.T) {
	s := newSite(t)
	call := []string{"call", "greet", "--arg", "name=Ada", "--url", s.mcp.URL + "/mcp"}

	// Nobody is there to log in: a clear end.
	for _, flag := range []string{"--timeout=30s", "--no-login"} {
		code, stdout, stderr := s.run(t, nil, append(call, flag)...)
		if code != 1 || stdout != "" || !strings.Contains(stderr, "the server requires a login") || !strings.Contains(stderr, `hint: log in once with "fairlead tools --url URL --login"`) {
			t.Errorf("without a login: exit %d, %q, %q", code, stdout, stderr)
		}
	}

	code, stdout, stderr := s.run(t, nil, append(call, "--login")...)
	if code != 0 || stdout != "Hello, Ada\n" || strings.Count(stderr, "Open this address") != 1 {
		t.Fatalf("with a login: exit %d, %q, %q", code, stdout, stderr)
	}
	// The next commands have the token, and its refresh when it is refused.
	for _, args := range [][]string{call, append(call, "--no-login"), {"tools", "--url", s.mcp.URL + "/mcp"}} {
		if code, stdout, stderr = s.run(t, nil, args...); code != 0 || stderr != "" || stdout == "" {
			t.Errorf("%v after the login: exit %d, %q, %q", args, code, stdout, stderr)
		}
	}
	s.mu.Lock()
	s.token = "revoked"
	s.mu.Unlock()
	if code, _, stderr = s.run(t, nil, call...); code != 0 || stderr != "" {
		t.Errorf("after the token has ended: exit %d, %q", code, stderr)
	}
	if logins, refreshes := s.counts(); logins != 1 || refreshes != 1 {
		t.Errorf("%d logins and %d refreshes, want one of each", logins, refreshes)
	}
	noSecrets(t, s.data)
}

// noSecrets looks at what is on the disk.
func noSecrets(t *testing.T, dir string) {
	t.Helper()
	files := 0
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		files++
		data, err := os.ReadFile(path)
		if bytes.Contains(data, []byte("S3CRET")) {
			t.Errorf("%s holds a token in clear text", path)
		}
		if info, _ := d.Info(); info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
		return err
	})
	if err != nil || files == 0 {
		t.Errorf("%d files, %v", files, err)
	}
}

func TestLoginRefused(t *testing.T) {
	s := newSite(t)
	s.refuses = true
	code, stdout, stderr := s.run(t, nil, "tools", "--login", "--url", s.mcp.URL+"/mcp")
	if code != 1 || stdout != "" || !strings.Contains(stderr, "access_denied") {
		t.Errorf("exit %d, %q, %q", code, stdout, stderr)
	}
}

// TestLoginWithOwnClient: an authorization server that takes no registrations wants
// one that was made by hand.
func TestLoginWithOwnClient(t *testing.T) {
	s := newSite(t)
	s.closed = true
	tools := []string{"tools", "--login", "--url", s.mcp.URL + "/mcp"}
	if code, _, stderr := s.run(t, nil, tools...); code != 1 || !strings.Contains(stderr, "name it with --client-id") {
		t.Errorf("without a client: exit %d, %q", code, stderr)
	}
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("hush\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	code, stdout, stderr := s.run(t, nil, append(tools, "--client-id", "by-hand", "--client-secret-file", secret, "--redirect-uri", "http://localhost/done")...)
	if code != 0 || !strings.Contains(stdout, "greet") || !strings.Contains(stderr, "redirect_uri=http%3A%2F%2Flocalhost%3A") {
		t.Errorf("with a client: exit %d, %q, %q", code, stdout, stderr)
	}
}

// TestLoginAtATokenServer: a server that knows its callers by tokens, such as a node,
// has no login, and the hint says what it has.
func TestLoginAtATokenServer(t *testing.T) {
	s := newSite(t)
	srv := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("WWW-Authenticate", "Bearer")
		w.WriteHeader(http.StatusUnauthorized)
	}))
	t.Cleanup(srv.Close)
	for _, login := range []string{"--login", "--no-login"} {
		code, stdout, stderr := s.run(t, nil, "tools", login, "--url", srv.URL+"/mcp")
		if code != 1 || stdout != "" || !strings.Contains(stderr, "give a token with --token-file") {
			t.Errorf("%s: exit %d, %q, %q", login, code, stdout, stderr)
		}
	}
}

// TestTokenFileNeedsNoLogin: who brings a token is not asked for another.
func TestTokenFileNeedsNoLogin(t *testing.T) {
	s := newSite(t)
	s.token = "brought"
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte("brought\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, stdout, stderr := s.run(t, nil, "tools", "--token-file", file, "--url", s.mcp.URL+"/mcp"); code != 0 || !strings.Contains(stdout, "greet") || stderr != "" {
		t.Errorf("exit %d, %q, %q", code, stdout, stderr)
	}
	if _, err := os.Stat(filepath.Join(s.data, "oauth")); err == nil {
		t.Error("there is a store, and no server has asked for a login")
	}
	s.mu.Lock()
	s.token = "another"
	s.mu.Unlock()
	if code, _, stderr := s.run(t, nil, "tools", "--login", "--token-file", file, "--url", s.mcp.URL+"/mcp"); code == 0 || strings.Contains(stderr, "Open this address") {
		t.Errorf("with a token that is refused: exit %d, %q", code, stderr)
	}
}

func TestCertificates(t *testing.T) {
	s := newSite(t)
	system := []string{"tools", "--no-login", "--data", s.data, "--url", s.mcp.URL + "/mcp"}
	var stderr bytes.Buffer
	if code := cli.Main(system, nil, io.Discard, &stderr); code == 0 || !strings.Contains(stderr.String(), "certificate") {
		t.Errorf("without --ca: exit %d, %q", code, stderr.String())
	}
	empty := filepath.Join(t.TempDir(), "empty.pem")
	if err := os.WriteFile(empty, []byte("nothing"), 0o600); err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]string{empty: "holds no certificate", filepath.Join(t.TempDir(), "none"): "read the certificates"} {
		stderr.Reset()
		if code := cli.Main(append(system, "--ca", file), nil, io.Discard, &stderr); code != 1 || !strings.Contains(stderr.String(), want) {
			t.Errorf("--ca %s: exit %d, %q", file, code, stderr.String())
		}
	}
}

func TestBridgeLogin(t *testing.T) {
	s := newSite(t)
	const meta = `"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientInfo":{"name":"t","version":"1"},"io.modelcontextprotocol/clientCapabilities":{}}`
	request := fmt.Sprintf(`{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"greet","arguments":{"name":"Ada"},%s}}`+"\n", meta)

	code, stdout, stderr := s.run(t, strings.NewReader(request), "bridge", s.mcp.URL+"/mcp")
	if code != 0 || !strings.Contains(stdout, `"id":7`) || !strings.Contains(stdout, "the server requires a login") || !strings.Contains(stderr, "hint: log in once with") {
		t.Errorf("without a login: exit %d, %q, %q", code, stdout, stderr)
	}
	code, stdout, stderr = s.run(t, strings.NewReader(request), "bridge", s.mcp.URL+"/mcp", "--login")
	if code != 0 || !strings.Contains(stdout, "Hello, Ada") {
		t.Errorf("with a login: exit %d, %q, %q", code, stdout, stderr)
	}
	code, stdout, stderr = s.run(t, strings.NewReader(request), "bridge", s.mcp.URL+"/mcp")
	if code != 0 || !strings.Contains(stdout, "Hello, Ada") || stderr != "" {
		t.Errorf("after the login: exit %d, %q, %q", code, stdout, stderr)
	}
}
