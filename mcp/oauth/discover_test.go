package oauth_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fairlead-mcp/fairlead/mcp/oauth"
)

// TestResourceDiscovery: where the client looks for resource metadata, in order.
func TestResourceDiscovery(t *testing.T) {
	const root = "/.well-known/oauth-protected-resource"
	for name, row := range map[string]struct {
		place  string // where the document is
		silent bool   // the challenge does not say so
		whole  bool   // it is of the whole host
		want   []string
	}{
		"named by the challenge":              {"/custom/place.json", false, false, []string{"/custom/place.json"}},
		"named, of the whole host, at root":   {root, false, true, []string{root}},
		"not named, at the place of the path": {root + "/mcp", true, false, []string{root + "/mcp"}},
		"not named, at the root":              {root, true, true, []string{root + "/mcp", root}},
		"not named, at the root, of the path": {root, true, false, []string{root + "/mcp", root}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.mcp.place, w.mcp.silent = row.place, row.silent
			want := w.mcp.url + "/mcp"
			if row.whole {
				w.mcp.metadata = map[string]any{"resource": w.mcp.url}
				want = w.mcp.url
			}
			w.mustCall(t, w.transport(nil), "x")
			var got []string
			for _, line := range w.mcp.seen("GET ") {
				got = append(got, strings.TrimPrefix(line, "GET "))
			}
			if diff := cmp.Diff(row.want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
			if asked := w.logins()[0].Get("resource"); asked != want {
				t.Errorf("resource %q, want %q as the document has it", asked, want)
			}
		})
	}
}

// TestDocumentOfAnother: a challenge that names the true metadata of somebody else,
// at its true place, would get a token that is good there.
func TestDocumentOfAnother(t *testing.T) {
	w, honest := newWorld(t), newWorld(t)
	honest.mcp.place = "/.well-known/oauth-protected-resource"
	honest.mcp.metadata = map[string]any{"resource": honest.mcp.url}
	for _, place := range []string{
		honest.mcp.url + honest.mcp.place,
		w.mcp.url + "/.well-known/oauth-protected-resource/tenant2", // on the same host
		w.mcp.url + "/.well-known/oauth-protected-resource/mc",      // of a folder that ours is not in
	} {
		w.mcp.before = func(rw http.ResponseWriter, r *http.Request) bool {
			if tenant, ok := strings.CutPrefix(r.URL.Path, "/.well-known/oauth-protected-resource/"); ok {
				writeDocument(rw, map[string]any{"resource": w.mcp.url + "/" + tenant, "authorization_servers": []string{w.as.url}}, nil)
				return true
			}
			rw.Header().Set("WWW-Authenticate", `Bearer resource_metadata="`+place+`"`)
			rw.WriteHeader(http.StatusUnauthorized)
			return true
		}
		if _, err := w.call(t, w.transport(nil), "x"); err == nil || !strings.Contains(err.Error(), "somebody else") {
			t.Errorf("%s: %v", place, err)
		}
	}
	if len(w.logins()) > 0 {
		t.Error("the user was asked")
	}
}

// TestServerDiscovery: where the client looks for the metadata of an issuer, in
// order.
func TestServerDiscovery(t *testing.T) {
	const oauth, openid = "/.well-known/oauth-authorization-server", "/.well-known/openid-configuration"
	for name, row := range map[string]struct {
		path string // of the issuer
		want []string
	}{
		"no path, OAuth":           {"", []string{oauth}},
		"no path, OpenID":          {"", []string{oauth, openid}},
		"path, OAuth":              {"/tenant1", []string{oauth + "/tenant1"}},
		"path, OpenID in between":  {"/tenant1", []string{oauth + "/tenant1", openid + "/tenant1"}},
		"path, OpenID at the end":  {"/tenant1", []string{oauth + "/tenant1", openid + "/tenant1", "/tenant1" + openid}},
		"slash, OpenID at the end": {"/a/b/", []string{oauth + "/a/b", openid + "/a/b", "/a/b" + openid}},
		"slash alone":              {"/", []string{oauth, openid}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.as.path, w.as.places = row.path, row.want[len(row.want)-1:]
			w.mustCall(t, w.transport(nil), "x")
			var got []string
			for _, line := range w.as.paths() {
				if path, ok := strings.CutPrefix(line, "GET "); ok && strings.Contains(path, "well-known") {
					got = append(got, path)
				}
			}
			if diff := cmp.Diff(row.want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

// TestNoServerMetadata: without metadata at any place there is no login, and the
// error says where it was looked for.
func TestNoServerMetadata(t *testing.T) {
	w := newWorld(t)
	w.as.path, w.as.places = "/tenant1", []string{"/nowhere"}
	_, err := w.call(t, w.transport(nil), "x")
	for _, place := range []string{"/.well-known/oauth-authorization-server/tenant1", "/.well-known/openid-configuration/tenant1", "/tenant1/.well-known/openid-configuration"} {
		if err == nil || !strings.Contains(err.Error(), place) {
			t.Errorf("%v does not name %s", err, place)
		}
	}
	if len(w.logins()) > 0 {
		t.Error("the user was asked all the same")
	}
}

// TestPageForEverything: a site that answers every path with a page has no metadata
// there.
func TestPageForEverything(t *testing.T) {
	w := newWorld(t)
	w.as.places = []string{"/.well-known/openid-configuration"}
	w.as.before = func(rw http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path != "/.well-known/oauth-authorization-server" {
			return false
		}
		_, err := rw.Write([]byte("<!doctype html><title>Home</title>"))
		return err == nil
	}
	w.mustCall(t, w.transport(nil), "x")
}

// TestOwnServer is revision 2025-03-26: an MCP server without resource metadata is
// its own authorization server.
func TestOwnServer(t *testing.T) {
	for name, row := range map[string]struct {
		metadata bool
		issuer   string // appended to the origin
	}{
		"with metadata":              {true, ""},
		"with metadata, and a slash": {true, "/"},
		"with the default endpoints": {false, ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			versions := map[string]string{}
			w.as.url, w.as.path = w.mcp.url, row.issuer
			w.as.places = []string{"/nowhere"}
			if row.metadata {
				w.as.places = []string{"/.well-known/oauth-authorization-server"}
			} else { // the default endpoints take no query
				w.as.before = func(_ http.ResponseWriter, r *http.Request) bool {
					q := r.URL.Query()
					q.Set("keep", "1")
					r.URL.RawQuery = q.Encode()
					return false
				}
			}
			w.mcp.silent = true
			w.mcp.before = func(rw http.ResponseWriter, r *http.Request) bool {
				if v := r.Header.Get("MCP-Protocol-Version"); v != "" {
					versions[r.URL.Path] = v
				}
				if r.URL.Path == "/mcp" {
					return false
				}
				w.as.ServeHTTP(rw, r)
				return true
			}
			store := &oauth.MemoryStore{}
			w.as.lifetime = 1 // the second process refreshes
			for range 2 {
				w.mustCall(t, w.transport(func(o *oauth.Options) { o.Store = store }), "x")
			}
			if logins, refreshes := len(w.logins()), len(w.as.tokenRequests("refresh_token")); logins != 1 || refreshes != 1 {
				t.Errorf("%d logins and %d refreshes, want 1 and 1", logins, refreshes)
			}
			if got := versions["/.well-known/oauth-authorization-server"]; got != "2025-03-26" {
				t.Errorf("MCP-Protocol-Version %q", got)
			}
			if q := w.logins()[0]; q.Get("resource") != w.mcp.url+"/mcp" || q.Get("code_challenge_method") != "S256" {
				t.Errorf("authorization request %v", q)
			}
		})
	}
}

// TestOwnServerWithoutPKCE: metadata that does not list S256 is refused in 2025-03-26
// too.
func TestOwnServerWithoutPKCE(t *testing.T) {
	w := newWorld(t)
	w.as.url, w.mcp.silent = w.mcp.url, true
	w.as.metadata = map[string]any{"code_challenge_methods_supported": nil}
	w.mcp.before = func(rw http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path == "/mcp" {
			return false
		}
		w.as.ServeHTTP(rw, r)
		return true
	}
	if _, err := w.call(t, w.transport(nil), "x"); err == nil || !strings.Contains(err.Error(), "PKCE") {
		t.Errorf("got %v", err)
	}
}

// TestExplicitResource: a user may know better than the metadata's place; a document
// of yet another resource is still refused.
func TestExplicitResource(t *testing.T) {
	w := newWorld(t)
	w.mcp.metadata = map[string]any{"resource": w.mcp.url}
	w.mustCall(t, w.transport(func(o *oauth.Options) { o.Resource = w.mcp.url + "/" }), "x")
	if _, err := w.call(t, w.transport(func(o *oauth.Options) { o.Resource = w.mcp.url + "/other" }), "x"); err == nil || !strings.Contains(err.Error(), "somebody else") {
		t.Errorf("got %v", err)
	}
}

// TestGuardedDiscovery: without an HTTP client of its own the transport does not
// fetch what a server names in networks of others.
func TestGuardedDiscovery(t *testing.T) {
	for _, place := range []string{"https://169.254.169.254/latest", "https://[64:ff9b::a00:1]/x", "https://0.0.0.0/x"} {
		w := newWorld(t)
		w.mcp.before = func(rw http.ResponseWriter, _ *http.Request) bool {
			rw.Header().Set("WWW-Authenticate", `Bearer resource_metadata="`+place+`"`)
			rw.WriteHeader(http.StatusUnauthorized)
			return true
		}
		_, err := w.call(t, w.transport(func(o *oauth.Options) { o.HTTPClient = nil }), "x")
		if !errors.Is(err, oauth.ErrUnsafeURL) {
			t.Errorf("%s: %v, want ErrUnsafeURL", place, err)
		}
	}
}

// TestOtherSchemes: a server that wants something else than OAuth is left alone.
func TestOtherSchemes(t *testing.T) {
	w := newWorld(t)
	w.mcp.before = func(rw http.ResponseWriter, _ *http.Request) bool {
		rw.Header().Set("WWW-Authenticate", `Basic realm="x"`)
		rw.WriteHeader(http.StatusUnauthorized)
		return true
	}
	if status, err := w.call(t, w.transport(nil), "x"); err != nil || status != http.StatusUnauthorized {
		t.Errorf("status %d, %v; want the answer as it is", status, err)
	}
	if got := w.mcp.seen(""); len(got) != 1 {
		t.Errorf("requests %q", got)
	}
}

// TestMalformedChallenge: a header that cannot be read is not guessed at. What it
// names is not used, the well-known places are.
func TestMalformedChallenge(t *testing.T) {
	w := newWorld(t)
	w.mcp.before = func(rw http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path != "/mcp" || r.Header.Get("Authorization") != "" {
			return false
		}
		rw.Header().Set("WWW-Authenticate", `Bearer scope="secret", scope="x", resource_metadata="https://evil.example/x"`)
		rw.WriteHeader(http.StatusUnauthorized)
		return true
	}
	w.mustCall(t, w.transport(nil), "x")
	if q := w.logins()[0]; q.Has("scope") {
		t.Errorf("scope %q was taken from a malformed challenge", q.Get("scope"))
	}
	w.mcp.metadata = map[string]any{"resource": "https://honest.example"}
	if _, err := w.call(t, w.transport(nil), "x"); err == nil || !strings.Contains(err.Error(), "malformed") {
		t.Errorf("got %v, want an error that names the malformed challenge", err)
	}
}
