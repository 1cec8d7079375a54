package oauth_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/fairlead-mcp/fairlead/mcp/oauth"
)

// elsewhere is a server that must not see a token. It records what it sees.
func elsewhere(t *testing.T) (target string, seen func() string) {
	t.Helper()
	var log bytes.Buffer
	s := httptest.NewTLSServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_ = r.Header.Write(&log)
		_, _ = io.Copy(&log, r.Body)
	}))
	t.Cleanup(s.Close)
	return s.URL, log.String
}

// TestTokenStaysHome: a token goes to the server's own origin, and not along a
// redirect, neither to others nor on the same host.
func TestTokenStaysHome(t *testing.T) {
	w := newWorld(t)
	other, seen := elsewhere(t)
	rt := w.transport(nil)
	w.mustCall(t, rt, "x")

	if _, _, err := post(t.Context(), rt, other+"/mcp", "x"); err != nil {
		t.Error(err)
	}
	to := other + "/mcp"
	w.mcp.before = func(rw http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path == "/mcp" {
			http.Redirect(rw, r, to, http.StatusTemporaryRedirect)
		}
		return r.URL.Path == "/mcp"
	}
	if _, _, err := post(t.Context(), rt, w.mcp.url+"/mcp", "x"); err != nil {
		t.Error(err)
	}
	if got := seen(); strings.Contains(got, "access-") || strings.Contains(got, "Bearer") || !strings.HasSuffix(got, "x") {
		t.Errorf("the other server saw %q", got)
	}

	w.mcp.seen("")
	to = w.mcp.url + "/tenant2/mcp"
	if status, _, err := post(t.Context(), rt, w.mcp.url+"/mcp", "x"); err != nil || status != http.StatusNotFound {
		t.Errorf("status %d, %v", status, err)
	}
	if got := w.mcp.seen("/tenant2"); len(got) != 1 || strings.Contains(got[0], "Bearer") {
		t.Errorf("the other path saw %q", got)
	}
}

// TestRedirectThatWantsAToken is an error that says what to do.
func TestRedirectThatWantsAToken(t *testing.T) {
	w := newWorld(t)
	w.mcp.before = redirect("/mcp/", "/mcp")
	rt := oauth.NewTransport(w.mcp.url+"/mcp/", w.options())
	_, _, err := post(t.Context(), rt, w.mcp.url+"/mcp/", "x")
	if err == nil || !strings.Contains(err.Error(), `use that as the server's URL`) || !strings.Contains(err.Error(), w.mcp.url+"/mcp") {
		t.Errorf("got %v", err)
	}
	if len(w.logins()) > 0 {
		t.Error("a redirect led to a login")
	}
}

// TestOwnAuthorization: a request that brings its own credentials is left alone.
func TestOwnAuthorization(t *testing.T) {
	w := newWorld(t)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, w.mcp.url+"/mcp", strings.NewReader("x"))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer mine")
	res, err := w.transport(nil).RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	if got := w.mcp.seen(""); len(got) != 1 || got[0] != "POST /mcp Bearer mine" || res.StatusCode != http.StatusUnauthorized {
		t.Errorf("requests %q, status %d", got, res.StatusCode)
	}
}

// TestRequestIsNotChanged: a RoundTripper leaves the request as it is.
func TestRequestIsNotChanged(t *testing.T) {
	w := newWorld(t)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, w.mcp.url+"/mcp", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header, req.Body = nil, http.NoBody // as servers have it, without GetBody
	res, err := w.transport(nil).RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	if req.Header != nil || res.StatusCode != http.StatusOK {
		t.Errorf("header %v, status %d", req.Header, res.StatusCode)
	}
}

// body counts how often it is closed.
type body struct {
	io.Reader
	closed int
}

func (b *body) Close() error { b.closed++; return nil }

// TestBodyWithoutCopy: a body that can be read once is not sent twice. The login is
// done all the same, and the next call has its token.
func TestBodyWithoutCopy(t *testing.T) {
	w := newWorld(t)
	rt := w.transport(nil)
	send := func() (*http.Response, *body, error) {
		b := &body{Reader: strings.NewReader("once")}
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, w.mcp.url+"/mcp", b)
		if err != nil {
			t.Fatal(err)
		}
		res, err := rt.RoundTrip(req)
		return res, b, err
	}
	_, b, err := send()
	if err == nil || !strings.Contains(err.Error(), "GetBody") || b.closed == 0 {
		t.Errorf("got %v, body closed %d times", err, b.closed)
	}
	res, _, err := send()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	if text, err := io.ReadAll(res.Body); err != nil || string(text) != "echo once" || len(w.logins()) != 1 {
		t.Errorf("got %q, %v after %d logins", text, err, len(w.logins()))
	}
}

// TestUnusable: what is wrong with the arguments is the error of each request, which
// is not sent.
func TestUnusable(t *testing.T) {
	login := func(o *oauth.Options) *oauth.Options {
		o.Authorize = newWorldWithoutNetwork().authorize
		return o
	}
	for name, row := range map[string]struct {
		endpoint string
		opts     *oauth.Options
		want     string
	}{
		"no URL":                    {"::", nil, "cannot be parsed"},
		"http":                      {"http://mcp.example.com/mcp", nil, "neither https"},
		"a password":                {"https://ada:s3cret@mcp.example.com/mcp", nil, "a user or password"},
		"no redirect URI":           {"https://mcp.example.com/mcp", login(&oauth.Options{}), "Options.RedirectURI"},
		"redirect URI over http":    {"https://mcp.example.com/mcp", login(&oauth.Options{RedirectURI: "http://app.example.com/"}), "Options.RedirectURI"},
		"redirect URI with a state": {"https://mcp.example.com/mcp", login(&oauth.Options{RedirectURI: callback + "?state=1"}), "Options.RedirectURI"},
		"document over http":        {"https://mcp.example.com/mcp", &oauth.Options{ClientMetadataURL: "http://localhost/client.json"}, "ClientMetadataURL"},
		"document without path":     {"https://mcp.example.com/mcp", &oauth.Options{ClientMetadataURL: "https://app.example.com/"}, "ClientMetadataURL"},
		"resource":                  {"https://mcp.example.com/mcp", &oauth.Options{Resource: "mcp.example.com"}, "Options.Resource"},
		"scope":                     {"https://mcp.example.com/mcp", &oauth.Options{Scopes: []string{"a b"}}, "Options.Scopes"},
	} {
		t.Run(name, func(t *testing.T) {
			if row.opts != nil {
				row.opts.Base = direct{} // has no host to reach
			}
			b := &body{Reader: strings.NewReader("x")}
			req := (&http.Request{Method: http.MethodPost, URL: &url.URL{Scheme: "https", Host: "mcp.example.com"}, Body: b}).WithContext(t.Context())
			_, err := oauth.NewTransport(row.endpoint, row.opts).RoundTrip(req)
			if err == nil || !strings.Contains(err.Error(), row.want) || strings.Contains(err.Error(), "s3cret") || b.closed != 1 {
				t.Errorf("got %v with the body closed %d times, want an error with %q and 1", err, b.closed, row.want)
			}
		})
	}
}

// failingStore is a disk that is full.
type failingStore struct {
	oauth.MemoryStore
	load, save error
}

func (s *failingStore) Load(ctx context.Context, key string) (*oauth.Grant, error) {
	if s.load != nil {
		return nil, s.load
	}
	return s.MemoryStore.Load(ctx, key)
}

func (s *failingStore) Save(context.Context, string, *oauth.Grant) error { return s.save }

// TestStoreFails: an error of the store is one of the request. A token that could
// not be stored is not lost for this process.
func TestStoreFails(t *testing.T) {
	w := newWorld(t)
	broken := errors.New("disk")
	if _, err := w.call(t, w.transport(func(o *oauth.Options) { o.Store = &failingStore{load: broken} }), "x"); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
	w.as.know("known", "")
	rt := w.transport(func(o *oauth.Options) {
		o.Store, o.Registrations = &failingStore{save: broken}, []oauth.Registration{{ClientID: "known"}}
	})
	if _, err := w.call(t, rt, "x"); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
	w.mustCall(t, rt, "y")
	if got := len(w.logins()); got != 1 {
		t.Errorf("%d logins, want 1", got)
	}
}
