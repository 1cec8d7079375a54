package oauth_test

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fairlead-mcp/fairlead/mcp/oauth"
)

// scopesAsked is the scope parameter of each login; "-" where there was none.
func (w *world) scopesAsked() (out []string) {
	for _, q := range w.logins() {
		if !q.Has("scope") {
			out = append(out, "-")
			continue
		}
		out = append(out, q.Get("scope"))
	}
	return out
}

// TestScopeSelection: the challenge's scope, else scopes_supported of the resource,
// else none; offline_access only where the authorization server knows it.
func TestScopeSelection(t *testing.T) {
	type m = map[string]any
	for name, row := range map[string]struct {
		challenge   []string
		resource    m
		server      m
		options     []string
		want        string
		wantConsent bool
	}{
		"of the challenge":           {[]string{"a", "b"}, m{"scopes_supported": []string{"c"}}, nil, []string{"d"}, "a b", false},
		"of the resource":            {nil, m{"scopes_supported": []string{"c", "d"}}, nil, nil, "c d", false},
		"none":                       {nil, nil, nil, nil, "-", false},
		"none of the server's own":   {nil, nil, m{"scopes_supported": []string{"x"}}, nil, "-", false},
		"of the options":             {nil, m{"scopes_supported": []string{"c"}}, nil, []string{"d"}, "d", false},
		"none by the options":        {nil, m{"scopes_supported": []string{"c"}}, nil, []string{}, "-", false},
		"with offline_access":        {[]string{"a"}, nil, m{"scopes_supported": []string{"a", "offline_access"}}, nil, "a offline_access", true},
		"offline_access alone":       {nil, nil, m{"scopes_supported": []string{"offline_access"}}, nil, "offline_access", true},
		"offline_access not offered": {[]string{"a"}, nil, m{"scopes_supported": []string{"a"}}, nil, "a", false},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.mcp.scopes, w.mcp.metadata, w.as.metadata = row.challenge, row.resource, row.server
			w.mustCall(t, w.transport(func(o *oauth.Options) { o.Scopes = row.options }), "x")
			if got := w.scopesAsked(); !slices.Equal(got, []string{row.want}) {
				t.Errorf("asked for %q, want %q", got, row.want)
			}
			if got := w.logins()[0].Get("prompt") == "consent"; got != row.wantConsent {
				t.Errorf("prompt=consent: %v", got)
			}
		})
	}
}

// needsScope wants the scope that a call names.
func needsScope(body string) string {
	scope, _ := strings.CutPrefix(body, "needs ")
	return strings.TrimSuffix(scope, body)
}

// TestStepUp: each call that needs more leads to one login for the union of all.
func TestStepUp(t *testing.T) {
	w := newWorld(t)
	w.mcp.scopes, w.mcp.need = []string{"read"}, needsScope
	store := &oauth.MemoryStore{}
	rt := w.transport(func(o *oauth.Options) { o.Store = store })
	w.mustCall(t, rt, "x")
	w.mustCall(t, rt, "needs write")
	w.mustCall(t, rt, "needs write")
	w.mustCall(t, rt, "x")
	want := []string{"read", "read write"}
	if diff := cmp.Diff(want, w.scopesAsked()); diff != "" {
		t.Errorf("logins (-want +got)\n%s", diff)
	}
	// Another process, which has only the store.
	again := w.transport(func(o *oauth.Options) { o.Store = store })
	w.mustCall(t, again, "needs delete")
	if diff := cmp.Diff(append(want, "read write delete"), w.scopesAsked()); diff != "" {
		t.Errorf("logins (-want +got)\n%s", diff)
	}
	if got := len(w.as.registrations); got != 1 {
		t.Errorf("%d registrations, want 1", got)
	}
}

// TestStepUpInVain: a server that is never content gets one login for a scope, not
// one for each call.
func TestStepUpInVain(t *testing.T) {
	for name, row := range map[string]struct {
		grants func([]string) []string
		need   func(string) string
		want   []string
	}{
		"the scope is not granted": {
			func([]string) []string { return []string{"read"} }, func(string) string { return "write" },
			[]string{"read", "read write"},
		},
		"the token has the scope": {nil, nil, []string{"read"}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.mcp.scopes, w.mcp.need, w.as.grants = []string{"read"}, row.need, row.grants
			if row.need == nil {
				w.mcp.before = func(rw http.ResponseWriter, r *http.Request) bool {
					if r.Header.Get("Authorization") == "" {
						return false
					}
					rw.Header().Set("WWW-Authenticate", `Bearer error="insufficient_scope", scope="read", error_description="more, please"`)
					rw.WriteHeader(http.StatusForbidden)
					return true
				}
			}
			rt := w.transport(nil)
			for range 3 {
				_, err := w.call(t, rt, "x")
				var missing *oauth.ScopeError
				if !errors.As(err, &missing) || missing.Description != "more, please" || len(missing.Scopes) != 1 {
					t.Fatalf("got %v, want a ScopeError", err)
				}
			}
			if diff := cmp.Diff(row.want, w.scopesAsked()); diff != "" {
				t.Errorf("logins (-want +got)\n%s", diff)
			}
		})
	}
}

// TestStepUpDeclined: who declines more keeps what there was, and is not asked again
// at once. A server that is down for a moment is no decision of anybody.
func TestStepUpDeclined(t *testing.T) {
	w := newWorld(t)
	w.mcp.scopes, w.mcp.need = []string{"read"}, needsScope
	store := &oauth.MemoryStore{}
	w.mustCall(t, w.transport(func(o *oauth.Options) { o.Store = store }), "x")

	rt := w.transport(func(o *oauth.Options) { o.Store, o.RedirectURI = store, "http://127.0.0.1:4000/callback" })
	w.as.before = status("/.well-known/oauth-authorization-server", http.StatusBadGateway)
	if _, err := w.call(t, rt, "needs write"); err == nil || !strings.Contains(err.Error(), "502") {
		t.Errorf("got %v", err)
	}
	w.as.before = nil
	w.as.answer = func(q url.Values) { q.Set("error", "access_denied") }
	var declined *oauth.AuthorizationError
	if _, err := w.call(t, rt, "needs write"); !errors.As(err, &declined) {
		t.Errorf("got %v, want an AuthorizationError", err)
	}
	var missing *oauth.ScopeError
	if _, err := w.call(t, rt, "needs write"); !errors.As(err, &missing) {
		t.Errorf("got %v, want a ScopeError", err)
	}
	w.mustCall(t, rt, "x")
	w.mustCall(t, w.transport(func(o *oauth.Options) { o.Store = store }), "x")
	if diff := cmp.Diff([]string{"read", "read write"}, w.scopesAsked()); diff != "" {
		t.Errorf("logins (-want +got)\n%s", diff)
	}
}

// TestStepUpForEver: a server that makes up a new scope each time is left after
// three tokens.
func TestStepUpForEver(t *testing.T) {
	w := newWorld(t)
	n := 0
	w.mcp.need = func(string) string { n++; return "scope" + strings.Repeat("x", n) }
	_, err := w.call(t, w.transport(nil), "x")
	var missing *oauth.ScopeError
	if !errors.As(err, &missing) {
		t.Errorf("got %v, want a ScopeError", err)
	}
	if got := len(w.logins()); got != 3 {
		t.Errorf("%d logins, want 3", got)
	}
}

// TestStepUpWithoutScope: a challenge that does not name the scope leads to those of
// the metadata, once.
func TestStepUpWithoutScope(t *testing.T) {
	w := newWorld(t)
	w.mcp.scopes = []string{"a"}
	w.mcp.metadata = map[string]any{"scopes_supported": []string{"a", "b"}}
	w.mcp.before = func(rw http.ResponseWriter, r *http.Request) bool {
		_, value, _ := strings.Cut(r.Header.Get("Authorization"), " ")
		if g := w.as.granted(value); g == nil || slices.Contains(g.scopes, "b") {
			return false
		}
		rw.Header().Set("WWW-Authenticate", `Bearer error="insufficient_scope"`)
		rw.WriteHeader(http.StatusForbidden)
		return true
	}
	rt := w.transport(nil)
	w.mustCall(t, rt, "x")
	w.as.grants = func([]string) []string { return []string{"a"} }
	rt = w.transport(nil)
	var missing *oauth.ScopeError
	if _, err := w.call(t, rt, "x"); !errors.As(err, &missing) {
		t.Errorf("got %v, want a ScopeError", err)
	}
	if diff := cmp.Diff([]string{"a", "a b", "a", "a b"}, w.scopesAsked()); diff != "" {
		t.Errorf("logins (-want +got)\n%s", diff)
	}
}

// TestStepUpToNothing: when neither the challenge nor the metadata names a scope that
// the token lacks, the user is not asked.
func TestStepUpToNothing(t *testing.T) {
	w := newWorld(t)
	w.mcp.metadata = map[string]any{"scopes_supported": []string{"a"}}
	w.mcp.before = func(rw http.ResponseWriter, r *http.Request) bool {
		if r.Header.Get("Authorization") == "" {
			return false
		}
		rw.Header().Set("WWW-Authenticate", `Bearer error="insufficient_scope"`)
		rw.WriteHeader(http.StatusForbidden)
		return true
	}
	var missing *oauth.ScopeError
	if _, err := w.call(t, w.transport(nil), "x"); !errors.As(err, &missing) || len(w.logins()) != 1 {
		t.Errorf("got %v after %d logins, want a ScopeError after 1", err, len(w.logins()))
	}
}

// TestStepUpsAtOnce: two calls that need different scopes lead to one login each, the
// second for all.
func TestStepUpsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorldWithoutNetwork()
		w.mcp.scopes, w.mcp.need = []string{"read"}, needsScope
		proceed := make(chan struct{})
		rt := w.transport(func(o *oauth.Options) {
			o.Authorize = func(ctx context.Context, link string) (string, error) {
				<-proceed
				return w.authorize(ctx, link)
			}
		})
		go func() { proceed <- struct{}{} }()
		w.mustCall(t, rt, "x")
		w.mcp.seen("")
		for _, call := range []string{"needs write", "needs delete"} {
			go func() {
				if status, err := w.call(t, rt, call); err != nil || status != http.StatusOK {
					t.Errorf("%s: status %d, %v", call, status, err)
				}
			}()
		}
		synctest.Wait() // one logs in, the other waits
		close(proceed)
		synctest.Wait()
		if got := w.mcp.seen("POST"); len(got) != 4 {
			t.Errorf("%d requests, want each call twice", len(got))
		}
		if got := w.scopesAsked(); len(got) != 3 || len(strings.Fields(got[2])) != 3 {
			t.Errorf("logins for %q", got)
		}
	})
}

// TestOfflineAccessIsNotRemembered: it is asked for only while the server offers it.
func TestOfflineAccessIsNotRemembered(t *testing.T) {
	w := newWorld(t)
	w.mcp.scopes, w.mcp.need = []string{"read"}, needsScope
	w.as.metadata = map[string]any{"scopes_supported": []string{"offline_access"}}
	rt := w.transport(nil)
	w.mustCall(t, rt, "x")
	w.as.metadata = nil
	w.mustCall(t, rt, "needs write")
	if diff := cmp.Diff([]string{"read offline_access", "read write"}, w.scopesAsked()); diff != "" {
		t.Errorf("logins (-want +got)\n%s", diff)
	}
}

// TestForbidden: status 403 for another reason is the answer.
func TestForbidden(t *testing.T) {
	w := newWorld(t)
	w.mcp.before = status("/mcp", http.StatusForbidden)
	if status, err := w.call(t, w.transport(nil), "x"); err != nil || status != http.StatusForbidden {
		t.Errorf("status %d, %v", status, err)
	}
	if got := w.mcp.seen(""); len(got) != 1 {
		t.Errorf("requests %q", got)
	}
}

// TestRefusedForEver: a server that refuses the token which was issued for it gets
// no second login.
func TestRefusedForEver(t *testing.T) {
	w := newWorld(t)
	w.mcp.before = func(rw http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path == "/mcp" {
			rw.Header().Set("WWW-Authenticate", `Bearer error="invalid_token", error_description="go away"`)
			rw.WriteHeader(http.StatusUnauthorized)
		}
		return r.URL.Path == "/mcp"
	}
	_, err := w.call(t, w.transport(nil), "x")
	if !errors.Is(err, oauth.ErrUnauthorized) || !strings.Contains(err.Error(), "go away") {
		t.Errorf("got %v, want ErrUnauthorized", err)
	}
	if got := len(w.logins()); got != 1 {
		t.Errorf("%d logins, want 1", got)
	}
}

// TestOneLogin: many calls at once lead to one login, and share its failure.
func TestOneLogin(t *testing.T) {
	for name, failure := range map[string]error{"success": nil, "failure": errors.New("the user closed the window")} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorldWithoutNetwork()
				proceed := make(chan struct{})
				rt := w.transport(func(o *oauth.Options) {
					o.Authorize = func(ctx context.Context, link string) (string, error) {
						<-proceed
						to, err := w.authorize(ctx, link)
						return to, errors.Join(err, failure)
					}
				})
				for range 20 {
					go func() {
						if status, err := w.call(t, rt, "x"); failure == nil && (err != nil || status != http.StatusOK) || failure != nil && !errors.Is(err, failure) {
							t.Errorf("status %d, %v", status, err)
						}
					}()
				}
				synctest.Wait() // until all others wait for the login of one
				close(proceed)
				synctest.Wait()
				if got := len(w.logins()); got != 1 {
					t.Errorf("%d logins, want 1", got)
				}
				if got := w.mcp.seen("POST"); failure == nil && len(got) != 40 {
					t.Errorf("%d requests, want each twice", len(got))
				}
			})
		})
	}
}

// TestScopesRest: a scope that did not help is asked for again only after a while.
func TestScopesRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorldWithoutNetwork()
		w.mcp.scopes, w.mcp.need = []string{"read"}, needsScope
		w.as.lifetime = 1 << 20
		w.as.grants = func([]string) []string { return []string{"read"} }
		rt := w.transport(nil)
		step := func(want int) {
			t.Helper()
			var missing *oauth.ScopeError
			if _, err := w.call(t, rt, "needs write"); !errors.As(err, &missing) {
				t.Errorf("got %v, want a ScopeError", err)
			}
			if got := len(w.logins()); got != want {
				t.Errorf("%d logins, want %d", got, want)
			}
		}
		step(2) // the first, and one for write
		time.Sleep(5*time.Minute - time.Second)
		step(2)
		time.Sleep(2 * time.Second)
		step(3)
		w.as.grants = nil
		time.Sleep(6 * time.Minute)
		w.mustCall(t, rt, "needs write")
	})
}

// TestCallerLeaves: who waits for a login of another ends with its own context, and
// the login goes on.
func TestCallerLeaves(t *testing.T) {
	w := newWorld(t)
	started, finish := make(chan struct{}), make(chan struct{})
	rt := w.transport(func(o *oauth.Options) {
		o.Authorize = func(ctx context.Context, link string) (string, error) {
			close(started)
			<-finish
			return w.authorize(ctx, link)
		}
	})
	var wg sync.WaitGroup
	wg.Go(func() { w.mustCall(t, rt, "first") })
	<-started
	left := errors.New("the caller left")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(left)
	if _, _, err := post(ctx, rt, w.mcp.url+"/mcp", "second"); !errors.Is(err, left) && !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	close(finish)
	wg.Wait()
}
