package oauth_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/fairlead-mcp/fairlead/mcp/oauth"
)

const callback = "http://127.0.0.1:3000/callback"

// world is an MCP server and its authorization server, each with TLS on a port of
// its own, and a user. What it does is right until a test breaks it.
type world struct {
	mcp *resource
	as  *issuer

	client *http.Client // trusts both; follows redirects
	asked  []*url.URL   // authorization URLs that the user was sent to
	mu     sync.Mutex
}

func newWorld(t *testing.T) *world {
	w := &world{mcp: &resource{}, as: newIssuer()}
	asServer := httptest.NewTLSServer(w.as)
	t.Cleanup(asServer.Close)
	w.as.url = asServer.URL
	mcpServer := httptest.NewTLSServer(w.mcp)
	t.Cleanup(mcpServer.Close)
	w.mcp.url, w.mcp.as = mcpServer.URL, w.as
	w.client = asServer.Client() // all test servers have one certificate
	return w
}

// newWorldWithoutNetwork is newWorld for a synctest bubble: the same servers, their
// handlers called at once.
func newWorldWithoutNetwork() *world {
	w := &world{mcp: &resource{url: "https://mcp.example.com"}, as: newIssuer()}
	w.as.url, w.mcp.as = "https://as.example.com", w.as
	w.client = &http.Client{Transport: direct{"mcp.example.com": w.mcp, "as.example.com": w.as}}
	return w
}

// direct calls the handler of a host.
type direct map[string]http.Handler

func (d direct) RoundTrip(req *http.Request) (*http.Response, error) {
	if err := req.Context().Err(); err != nil {
		return nil, err
	}
	in := req.Clone(req.Context())
	if in.RequestURI = in.URL.RequestURI(); in.Body == nil {
		in.Body = http.NoBody
	}
	rec := httptest.NewRecorder()
	d[req.URL.Host].ServeHTTP(rec, in)
	_ = in.Body.Close()
	return rec.Result(), nil
}

// options are those of a user with a browser.
func (w *world) options() *oauth.Options {
	return &oauth.Options{Authorize: w.authorize, RedirectURI: callback, HTTPClient: w.client, Base: w.client.Transport}
}

func (w *world) transport(change func(*oauth.Options)) *oauth.Transport {
	opts := w.options()
	if change != nil {
		change(opts)
	}
	return oauth.NewTransport(w.mcp.url+"/mcp", opts)
}

// authorize is the user, who allows everything at once.
func (w *world) authorize(ctx context.Context, link string) (string, error) {
	u, err := url.Parse(link)
	if err != nil {
		return "", err
	}
	w.mu.Lock()
	w.asked = append(w.asked, u)
	w.mu.Unlock()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, link, nil)
	if err != nil {
		return "", err
	}
	browser := &http.Client{Transport: w.client.Transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	res, err := browser.Do(req)
	if err != nil {
		return "", err
	}
	defer func() { _ = res.Body.Close() }()
	to, err := res.Location()
	if err != nil {
		text, _ := io.ReadAll(res.Body)
		return "", fmt.Errorf("the browser shows %d %s", res.StatusCode, text)
	}
	return to.String(), nil
}

// logins is what the user was asked.
func (w *world) logins() []url.Values {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []url.Values
	for _, u := range w.asked {
		out = append(out, u.Query())
	}
	return out
}

// post sends a call through the transport as a client of MCP does.
func post(ctx context.Context, rt http.RoundTripper, target, body string) (int, string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, target, strings.NewReader(body))
	if err != nil {
		return 0, "", err
	}
	res, err := (&http.Client{Transport: rt}).Do(req)
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	return res.StatusCode, string(text), err
}

// call sends one call to the MCP server, and returns its status.
func (w *world) call(t *testing.T, rt http.RoundTripper, body string) (int, error) {
	t.Helper()
	status, text, err := post(t.Context(), rt, w.mcp.url+"/mcp", body)
	if err == nil && status == http.StatusOK && text != "echo "+body {
		t.Errorf("the call %q is answered with %q: its body did not arrive", body, text)
	}
	return status, err
}

func (w *world) mustCall(t *testing.T, rt http.RoundTripper, body string) {
	t.Helper()
	if status, err := w.call(t, rt, body); err != nil || status != http.StatusOK {
		t.Fatalf("call %q: status %d, %v", body, status, err)
	}
}

// resource is an MCP server as far as authorization goes: it echoes calls that have a
// token for it.
type resource struct {
	url string
	as  *issuer

	// What a test changes before it calls.
	scopes   []string                 // of every call, named in the challenge of 401
	need     func(body string) string // scope that a call needs beyond that
	metadata map[string]any           // changes the document; a nil value removes
	place    string                   // path of the document; empty means the one with the path of the server
	silent   bool                     // the challenge does not name the document
	inner    http.Handler             // answers in place of the echo
	before   func(w http.ResponseWriter, r *http.Request) (done bool)

	mu       sync.Mutex
	requests []string // method, path and Authorization
}

func (m *resource) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	m.mu.Lock()
	m.requests = append(m.requests, strings.TrimSpace(r.Method+" "+r.URL.RequestURI()+" "+r.Header.Get("Authorization")))
	m.mu.Unlock()
	if m.before != nil && m.before(w, r) {
		return
	}
	place := m.place
	if place == "" {
		place = "/.well-known/oauth-protected-resource/mcp"
	}
	switch r.URL.Path {
	case place:
		doc := map[string]any{"resource": m.url + "/mcp", "authorization_servers": []string{m.as.issuer()}}
		writeDocument(w, doc, m.metadata)
	case "/mcp":
		m.serve(w, r, m.url+place)
	default:
		http.NotFound(w, r)
	}
}

func (m *resource) serve(w http.ResponseWriter, r *http.Request, document string) {
	body, _ := io.ReadAll(r.Body)
	named := `resource_metadata="` + document + `"`
	if m.silent {
		named = `realm="x"`
	}
	scheme, value, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	held := m.as.granted(value)
	if scheme != "Bearer" || held == nil || !held.live || held.resource != m.url+"/mcp" && held.resource != m.url {
		if len(m.scopes) > 0 {
			named += `, scope="` + strings.Join(m.scopes, " ") + `"`
		}
		w.Header().Set("WWW-Authenticate", "Bearer "+named)
		http.Error(w, "who are you?", http.StatusUnauthorized)
		return
	}
	if m.need != nil {
		if scope := m.need(string(body)); scope != "" && !slices.Contains(held.scopes, scope) {
			w.Header().Set("WWW-Authenticate", `Bearer error="insufficient_scope", error_description="more, please", scope="`+scope+`", `+named)
			http.Error(w, "not you", http.StatusForbidden)
			return
		}
	}
	if m.inner != nil {
		r.Body = io.NopCloser(bytes.NewReader(body))
		m.inner.ServeHTTP(w, r)
		return
	}
	_, _ = fmt.Fprintf(w, "echo %s", body)
}

// seen returns the requests whose line has the text, and forgets all.
func (m *resource) seen(text string) (out []string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, line := range m.requests {
		if strings.Contains(line, text) {
			out = append(out, line)
		}
	}
	m.requests = nil
	return out
}

// issuer is an authorization server. It checks what the specification says that one
// checks: clients, redirect URIs, PKCE, resource, single use of codes and refresh
// tokens.
type issuer struct {
	url  string
	path string // of the issuer identifier

	// What a test changes before it calls.
	metadata map[string]any // changes the document; a nil value removes
	places   []string       // paths of the document; nil means the first of the specification
	grants   func(asked []string) []string
	answer   func(q url.Values) // changes an authorization response
	lifetime int                // of access tokens in seconds; 0 means an hour
	noRotate bool
	before   func(w http.ResponseWriter, r *http.Request) (done bool)

	mu            sync.Mutex
	requests      []string     // method and path
	bodies        []url.Values // of token requests
	headers       []http.Header
	registrations []map[string]any // of registration requests
	clients       map[string]client
	codes         map[string]*grantedToken
	tokens        map[string]*grantedToken // access token -> what it is good for
	refreshes     map[string]*grantedToken // refresh token -> what it is good for; nil once it is spent
}

type client struct{ secret, redirect string }

type grantedToken struct {
	client, redirect, challenge, resource string
	scopes                                []string
	live                                  bool
}

func newIssuer() *issuer {
	return &issuer{clients: map[string]client{}, codes: map[string]*grantedToken{}, tokens: map[string]*grantedToken{}, refreshes: map[string]*grantedToken{}}
}

func (s *issuer) issuer() string { return s.url + s.path }

func (s *issuer) granted(token string) *grantedToken {
	s.mu.Lock()
	defer s.mu.Unlock()
	if g := s.tokens[token]; g != nil {
		held := *g
		return &held
	}
	return nil
}

// revoke ends all access tokens.
func (s *issuer) revoke() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, g := range s.tokens {
		g.live = false
	}
}

// tokenRequests returns the bodies of token requests with a grant type.
func (s *issuer) tokenRequests(grant string) (out []url.Values) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, b := range s.bodies {
		if b.Get("grant_type") == grant {
			out = append(out, b)
		}
	}
	return out
}

// paths returns what was asked for, and forgets it.
func (s *issuer) paths() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := s.requests
	s.requests = nil
	return out
}

func (s *issuer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.requests = append(s.requests, r.Method+" "+r.URL.Path)
	s.mu.Unlock()
	if s.before != nil && s.before(w, r) {
		return
	}
	places := s.places
	if places == nil {
		places = []string{"/.well-known/oauth-authorization-server" + s.path}
	}
	switch {
	case slices.Contains(places, r.URL.Path):
		writeDocument(w, map[string]any{
			"issuer":                                         s.issuer(),
			"authorization_endpoint":                         s.url + "/authorize?keep=1",
			"token_endpoint":                                 s.url + "/token",
			"registration_endpoint":                          s.url + "/register",
			"response_types_supported":                       []string{"code"},
			"grant_types_supported":                          []string{"authorization_code", "refresh_token"},
			"code_challenge_methods_supported":               []string{"plain", "S256"},
			"token_endpoint_auth_methods_supported":          []string{"none", "client_secret_basic"},
			"authorization_response_iss_parameter_supported": true,
		}, s.metadata)
	case r.URL.Path == "/register":
		s.register(w, r)
	case r.URL.Path == "/authorize":
		s.authorize(w, r)
	case r.URL.Path == "/token":
		s.token(w, r)
	default:
		http.NotFound(w, r)
	}
}

func writeDocument(w http.ResponseWriter, doc, changes map[string]any) {
	maps.Copy(doc, changes)
	maps.DeleteFunc(doc, func(_ string, v any) bool { return v == nil })
	writeJSON(w, http.StatusOK, doc)
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}

func refuse(w http.ResponseWriter, code string) {
	writeJSON(w, http.StatusBadRequest, map[string]any{"error": code, "error_description": "said the server"})
}

func (s *issuer) register(w http.ResponseWriter, r *http.Request) {
	var ask map[string]any
	if err := json.NewDecoder(r.Body).Decode(&ask); err != nil {
		refuse(w, "invalid_client_metadata")
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.registrations = append(s.registrations, ask)
	id, c := "client-"+rand.Text(), client{}
	if uris, ok := ask["redirect_uris"].([]any); ok && len(uris) == 1 {
		c.redirect, _ = uris[0].(string)
	}
	made := map[string]any{"client_id": id, "token_endpoint_auth_method": ask["token_endpoint_auth_method"]}
	if ask["token_endpoint_auth_method"] != "none" {
		c.secret = rand.Text()
		made["client_secret"] = c.secret
	}
	s.clients[id] = c
	writeJSON(w, http.StatusCreated, made)
}

func (s *issuer) authorize(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	s.mu.Lock()
	defer s.mu.Unlock()
	c, known := s.clients[q.Get("client_id")]
	switch {
	case !known:
		http.Error(w, "unknown client", http.StatusBadRequest)
		return
	case q.Get("redirect_uri") != c.redirect:
		http.Error(w, "redirect_uri is not registered", http.StatusBadRequest)
		return
	case q.Get("response_type") != "code" || q.Get("code_challenge_method") != "S256" || len(q.Get("code_challenge")) != 43 || q.Get("resource") == "" || q.Get("keep") != "1":
		http.Error(w, "incomplete request", http.StatusBadRequest)
		return
	}
	g := &grantedToken{
		client: q.Get("client_id"), redirect: c.redirect, challenge: q.Get("code_challenge"),
		resource: q.Get("resource"), scopes: strings.Fields(q.Get("scope")), live: true,
	}
	if s.grants != nil {
		g.scopes = s.grants(g.scopes)
	}
	code := "code-" + rand.Text()
	s.codes[code] = g
	back := url.Values{"code": {code}, "state": {q.Get("state")}, "iss": {s.issuer()}}
	if s.answer != nil {
		s.answer(back)
	}
	http.Redirect(w, r, c.redirect+"?"+back.Encode(), http.StatusFound)
}

func (s *issuer) token(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil {
		refuse(w, "invalid_request")
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.bodies, s.headers = append(s.bodies, r.PostForm), append(s.headers, r.Header.Clone())
	id, secret, basic := r.BasicAuth()
	if !basic {
		id, secret = r.PostForm.Get("client_id"), r.PostForm.Get("client_secret")
	}
	if c, known := s.clients[id]; !known || c.secret != secret {
		refuse(w, "invalid_client")
		return
	}
	var g *grantedToken
	switch r.PostForm.Get("grant_type") {
	case "authorization_code":
		g = s.codes[r.PostForm.Get("code")]
		delete(s.codes, r.PostForm.Get("code"))
		sum := sha256.Sum256([]byte(r.PostForm.Get("code_verifier")))
		if g == nil || g.redirect != r.PostForm.Get("redirect_uri") || g.challenge != base64.RawURLEncoding.EncodeToString(sum[:]) {
			refuse(w, "invalid_grant")
			return
		}
	case "refresh_token":
		spent := r.PostForm.Get("refresh_token")
		if g = s.refreshes[spent]; g == nil {
			refuse(w, "invalid_grant")
			return
		}
		if !s.noRotate {
			s.refreshes[spent] = nil
		}
	case "client_credentials":
		g = &grantedToken{client: id, resource: r.PostForm.Get("resource"), scopes: strings.Fields(r.PostForm.Get("scope"))}
	default:
		refuse(w, "unsupported_grant_type")
		return
	}
	if g.client != id || g.resource != r.PostForm.Get("resource") {
		refuse(w, "invalid_target")
		return
	}
	fresh := *g
	fresh.live = true
	access, again := "access-"+rand.Text(), "refresh-"+rand.Text()
	s.tokens[access] = &fresh
	made := map[string]any{"access_token": access, "token_type": "Bearer", "expires_in": 3600}
	if s.lifetime != 0 {
		made["expires_in"] = s.lifetime
	}
	if len(fresh.scopes) > 0 {
		made["scope"] = strings.Join(fresh.scopes, " ")
	}
	if r.PostForm.Get("grant_type") != "client_credentials" && (r.PostForm.Get("grant_type") == "authorization_code" || !s.noRotate) {
		s.refreshes[again] = &fresh
		made["refresh_token"] = again
	}
	writeJSON(w, http.StatusOK, made)
}
