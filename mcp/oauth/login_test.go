package oauth_test

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fairlead-mcp/fairlead/mcp/oauth"
)

// TestLogin follows one login from the first refusal to the second call.
func TestLogin(t *testing.T) {
	w := newWorld(t)
	w.mcp.scopes = []string{"files:read"}
	rt := w.transport(nil)
	w.mustCall(t, rt, "one")
	w.mustCall(t, rt, "two")

	want := []string{"GET /.well-known/oauth-authorization-server", "POST /register", "GET /authorize", "POST /token"}
	if diff := cmp.Diff(want, w.as.paths()); diff != "" {
		t.Errorf("the authorization server is asked (-want +got)\n%s", diff)
	}
	if got := w.mcp.seen(""); len(got) != 4 || got[0] != "POST /mcp" || got[1] != "GET /.well-known/oauth-protected-resource/mcp" ||
		!strings.HasPrefix(got[2], "POST /mcp Bearer access-") || got[3] != got[2] {
		t.Errorf("the MCP server is asked %q", got)
	}
	q := w.logins()[0]
	verifier := w.as.tokenRequests("authorization_code")[0].Get("code_verifier")
	if q.Get("scope") != "files:read" || q.Get("resource") != w.mcp.url+"/mcp" || q.Get("state") == "" || len(verifier) != 43 {
		t.Errorf("authorization request %v, verifier of %d characters", q, len(verifier))
	}
	r := w.as.registrations[0]
	if r["application_type"] != "native" || r["client_name"] != "MCP client" || !slices.Contains(r["grant_types"].([]any), any("refresh_token")) || r["token_endpoint_auth_method"] != "none" {
		t.Errorf("registration request %v", r)
	}
}

func TestLoginsDiffer(t *testing.T) {
	w := newWorld(t)
	w.mustCall(t, w.transport(nil), "one")
	w.mustCall(t, w.transport(nil), "two")
	first, second := w.logins()[0], w.logins()[1]
	for _, name := range []string{"state", "code_challenge"} {
		if first.Get(name) == second.Get(name) {
			t.Errorf("two logins have the same %s", name)
		}
	}
}

// TestBrokenLogins: each server is wrong in one way, and gets no code, no token, and
// where it is wrong before that not even the user.
func TestBrokenLogins(t *testing.T) {
	for name, row := range map[string]struct {
		breaks func(w *world)
		want   string // in the error
		asked  bool   // the user was sent to the authorization server
	}{
		"no PKCE":                                      {func(w *world) { w.as.metadata = map[string]any{"code_challenge_methods_supported": nil} }, "PKCE", false},
		"PKCE without S256":                            {func(w *world) { w.as.metadata = map[string]any{"code_challenge_methods_supported": []string{"plain"}} }, "S256", false},
		"no authorization endpoint":                    {func(w *world) { w.as.metadata = map[string]any{"authorization_endpoint": nil} }, "no authorization_endpoint", false},
		"no response type code":                        {func(w *world) { w.as.metadata = map[string]any{"response_types_supported": []string{"token"}} }, "response type code", false},
		"no authorization code grant":                  {func(w *world) { w.as.metadata = map[string]any{"grant_types_supported": []string{"implicit"}} }, "grant authorization_code", false},
		"another issuer":                               {func(w *world) { w.as.metadata = map[string]any{"issuer": "https://honest.example"} }, "must not be used", false},
		"issuer with a slash":                          {func(w *world) { w.as.metadata = map[string]any{"issuer": w.as.url + "/"} }, "must not be used", false},
		"endpoint over http":                           {func(w *world) { w.as.metadata = map[string]any{"token_endpoint": "http://as.example.com/token"} }, "neither https", false},
		"endpoint is a script":                         {func(w *world) { w.as.metadata = map[string]any{"authorization_endpoint": "javascript:alert(1)"} }, "authorization_endpoint", false},
		"another resource":                             {func(w *world) { w.mcp.metadata = map[string]any{"resource": "https://honest.example/mcp"} }, "somebody else", false},
		"resource of another path":                     {func(w *world) { w.mcp.metadata = map[string]any{"resource": w.mcp.url + "/other"} }, "somebody else", false},
		"resource of the whole host, said by one path": {func(w *world) { w.mcp.metadata = map[string]any{"resource": w.mcp.url} }, "somebody else", false},
		"no authorization server":                      {func(w *world) { w.mcp.metadata = map[string]any{"authorization_servers": []string{}} }, "names no authorization_servers", false},
		"authorization server over http": {func(w *world) {
			w.mcp.metadata = map[string]any{"authorization_servers": []string{"http://as.example.com"}}
		}, "neither https", false},
		"oversized resource metadata":   {func(w *world) { w.mcp.metadata = map[string]any{"x": strings.Repeat("x", 300<<10)} }, "larger than", false},
		"oversized server metadata":     {func(w *world) { w.as.metadata = map[string]any{"x": strings.Repeat("x", 300<<10)} }, "larger than", false},
		"redirecting resource metadata": {func(w *world) { w.mcp.before = redirect("/.well-known/oauth-protected-resource/mcp", "/moved") }, "redirects", false},
		"redirecting server metadata":   {func(w *world) { w.as.before = redirect("/.well-known/oauth-authorization-server", "/moved") }, "redirects", false},
		"failing server metadata":       {func(w *world) { w.as.before = status("/.well-known/oauth-authorization-server", 503) }, "try again later", false},
		"redirecting registration":      {func(w *world) { w.as.before = redirect("/register", "/moved") }, "refuses to register", false},
		"redirecting token endpoint":    {func(w *world) { w.as.before = redirect("/token", "/moved") }, "redirects token requests", true},
		"no iss though promised":        {func(w *world) { w.as.answer = func(q url.Values) { q.Del("iss") } }, "does not name its issuer", true},
		"another iss":                   {func(w *world) { w.as.answer = func(q url.Values) { q.Set("iss", "https://honest.example") } }, "another issuer", true},
		"another iss, not promised": {func(w *world) {
			w.as.metadata = map[string]any{"authorization_response_iss_parameter_supported": nil}
			w.as.answer = func(q url.Values) { q.Set("iss", "https://honest.example") }
		}, "another issuer", true},
		"iss with a slash":           {func(w *world) { w.as.answer = func(q url.Values) { q.Set("iss", w.as.url+"/") } }, "another issuer", true},
		"iss in upper case":          {func(w *world) { w.as.answer = func(q url.Values) { q.Set("iss", strings.ToUpper(w.as.url)) } }, "another issuer", true},
		"empty iss":                  {func(w *world) { w.as.answer = func(q url.Values) { q.Set("iss", "") } }, "another issuer", true},
		"iss twice":                  {func(w *world) { w.as.answer = func(q url.Values) { q.Add("iss", w.as.url) } }, "twice", true},
		"code twice":                 {func(w *world) { w.as.answer = func(q url.Values) { q.Add("code", "another") } }, "twice", true},
		"another state":              {func(w *world) { w.as.answer = func(q url.Values) { q.Set("state", "guessed") } }, "another state", true},
		"no state":                   {func(w *world) { w.as.answer = func(q url.Values) { q.Del("state") } }, "another state", true},
		"neither code nor error":     {func(w *world) { w.as.answer = func(q url.Values) { q.Del("code") } }, "neither a code nor an error", true},
		"an error":                   {func(w *world) { w.as.answer = func(q url.Values) { q.Set("error", "access_denied") } }, "access_denied", true},
		"a challenge of many scopes": {func(w *world) { w.mcp.scopes = many(300) }, "more than 256 scopes", false},
		"a scope with a quote":       {func(w *world) { w.mcp.scopes = []string{`a\\b`} }, "character that scopes cannot have", false},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			row.breaks(w)
			_, err := w.call(t, w.transport(nil), "x")
			if err == nil || !strings.Contains(err.Error(), row.want) {
				t.Errorf("got %v, want an error with %q", err, row.want)
			}
			if got := len(w.logins()) > 0; got != row.asked {
				t.Errorf("the user was asked: %v, want %v", got, row.asked)
			}
			if got := w.as.tokenRequests("authorization_code"); row.want != "redirects token requests" && len(got) > 0 {
				t.Errorf("the code went to the token endpoint: %v", got)
			}
			if got := w.mcp.seen("Bearer"); len(got) > 0 {
				t.Errorf("a token was sent: %q", got)
			}
			if got := append(w.as.paths(), w.mcp.seen("")...); slices.Contains(got, "GET /moved") || slices.Contains(got, "POST /moved") {
				t.Errorf("a redirect was followed: %q", got)
			}
		})
	}
}

// TestErrorOfAnotherIssuer: what a stranger puts into the redirect is not shown.
func TestErrorOfAnotherIssuer(t *testing.T) {
	w := newWorld(t)
	w.as.answer = func(q url.Values) {
		q.Set("iss", "https://honest.example")
		q.Set("error", "access_denied")
		q.Set("error_description", "call 555-0100")
	}
	_, err := w.call(t, w.transport(nil), "x")
	if refused := (*oauth.AuthorizationError)(nil); err == nil || errors.As(err, &refused) || strings.Contains(err.Error(), "555-0100") || strings.Contains(err.Error(), "access_denied") {
		t.Errorf("got %v, want an error that repeats nothing", err)
	}
	w.as.answer = func(q url.Values) {
		q.Set("error", "access_denied")
		q.Set("error_description", "no\x1b[31m")
	}
	refused := (*oauth.AuthorizationError)(nil)
	if _, err = w.call(t, w.transport(nil), "x"); !errors.As(err, &refused) || refused.Code != "access_denied" || refused.Description != "no?[31m" {
		t.Errorf("got %v, want the error of the issuer, fit to print", err)
	}
}

// TestResponseElsewhere: a redirect that did not come to the redirect URI is none.
func TestResponseElsewhere(t *testing.T) {
	w := newWorld(t)
	for _, elsewhere := range []string{"http://127.0.0.1:3001/callback", "https://127.0.0.1:3000/callback", "http://127.0.0.1:3000/", "http://evil.example/callback", "::"} {
		rt := w.transport(func(o *oauth.Options) {
			o.Authorize = func(ctx context.Context, link string) (string, error) {
				redirected, err := w.authorize(ctx, link)
				return strings.Replace(redirected, callback, elsewhere, 1), err
			}
		})
		if _, err := w.call(t, rt, "x"); err == nil || !strings.Contains(err.Error(), "did not come to the redirect URI") {
			t.Errorf("redirected to %s: %v", elsewhere, err)
		}
	}
	if got := w.as.tokenRequests("authorization_code"); len(got) > 0 {
		t.Errorf("token requests %v", got)
	}
}

func redirect(path, to string) func(http.ResponseWriter, *http.Request) bool {
	return func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path == path {
			http.Redirect(w, r, to, http.StatusTemporaryRedirect)
		}
		return r.URL.Path == path
	}
}

func status(path string, code int) func(http.ResponseWriter, *http.Request) bool {
	return func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path == path {
			w.WriteHeader(code)
		}
		return r.URL.Path == path
	}
}

func many(n int) (out []string) {
	for i := range n {
		out = append(out, "s"+strings.Repeat("x", i%20)+string(rune('a'+i%26))+strings.Repeat("y", i/20))
	}
	return out
}
