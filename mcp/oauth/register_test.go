package oauth_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/fairlead-mcp/fairlead/mcp/oauth"
)

const documentURL = "https://app.example.com/client.json"

// know makes a client known to the authorization server by other means than dynamic
// registration.
func (s *issuer) know(id, secret string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clients[id] = client{secret, callback}
}

// TestRegistrationOrder: known beforehand, a metadata document, dynamic, asking.
func TestRegistrationOrder(t *testing.T) {
	type m = map[string]any
	documents := m{"client_id_metadata_document_supported": true}
	closed := m{"registration_endpoint": nil}
	for name, row := range map[string]struct {
		server m
		change func(w *world, o *oauth.Options)
		want   string // the client id; "" means one of dynamic registration, "-" none at all
	}{
		"everything": {documents, func(w *world, o *oauth.Options) {
			o.Registrations = []oauth.Registration{{Issuer: w.as.url, ClientID: "known"}}
			o.ClientMetadataURL, o.AskRegistration = documentURL, askFor("asked")
		}, "known"},
		"the second of the known": {nil, func(w *world, o *oauth.Options) {
			o.Registrations = []oauth.Registration{{Issuer: "https://other.example", ClientID: "other"}, {Issuer: w.as.url, ClientID: "known"}}
		}, "known"},
		"known without issuer": {nil, func(_ *world, o *oauth.Options) {
			o.Registrations = []oauth.Registration{{ClientID: "known"}}
		}, "known"},
		"known elsewhere": {documents, func(_ *world, o *oauth.Options) {
			o.Registrations = []oauth.Registration{{Issuer: "https://other.example", ClientID: "known"}}
			o.ClientMetadataURL = documentURL
		}, "-"},
		"a document":                {documents, func(_ *world, o *oauth.Options) { o.ClientMetadataURL = documentURL }, documentURL},
		"a document, not supported": {nil, func(_ *world, o *oauth.Options) { o.ClientMetadataURL = documentURL }, ""},
		"dynamic":                   {documents, func(_ *world, o *oauth.Options) { o.AskRegistration = askFor("asked") }, ""},
		"asking":                    {closed, func(_ *world, o *oauth.Options) { o.AskRegistration = askFor("asked") }, "asked"},
		"nothing":                   {closed, func(*world, *oauth.Options) {}, "-"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			for _, id := range []string{"known", "asked", documentURL} {
				w.as.know(id, "")
			}
			w.as.metadata = row.server
			_, err := w.call(t, w.transport(func(o *oauth.Options) { row.change(w, o) }), "x")
			if row.want == "-" {
				if err == nil || len(w.logins()) > 0 || len(w.as.registrations) > 0 || !strings.Contains(err.Error(), "register a client there") {
					t.Errorf("got %v after %d logins and %d registrations, want an error that says what to do", err, len(w.logins()), len(w.as.registrations))
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			got := w.logins()[0].Get("client_id")
			if row.want == "" && !strings.HasPrefix(got, "client-") || row.want != "" && got != row.want {
				t.Errorf("client id %q, want %q", got, row.want)
			}
		})
	}
}

func askFor(id string) func(context.Context, string) (oauth.Registration, error) {
	return func(context.Context, string) (oauth.Registration, error) {
		return oauth.Registration{ClientID: id}, nil
	}
}

// TestMigration: when the MCP server names another authorization server, nothing that
// belongs to the old one is used there: no client, no secret, no refresh token.
func TestMigration(t *testing.T) {
	w, next := newWorld(t), newWorld(t)
	rt := w.transport(nil)
	w.mustCall(t, rt, "x")
	old := w.logins()[0].Get("client_id")

	w.mcp.as = next.as
	w.mustCall(t, rt, "y")
	if len(next.as.registrations) != 1 {
		t.Error("the client did not register at the new server")
	}
	if got := w.logins()[1].Get("client_id"); got == old {
		t.Errorf("client id %q of the old server was used", got)
	}
	if got := next.as.tokenRequests("refresh_token"); len(got) > 0 {
		t.Errorf("the old refresh token went to the new server: %v", got)
	}
	for _, body := range next.as.tokenRequests("authorization_code") {
		if body.Get("client_id") == old {
			t.Error("the old client id went to the new token endpoint")
		}
	}
}

// TestKnownClientStays: a client that was registered by hand belongs to one server,
// said by the options or by the first use.
func TestKnownClientStays(t *testing.T) {
	for name, bind := range map[string]bool{"bound by the options": true, "bound by the first use": false} {
		t.Run(name, func(t *testing.T) {
			w, next := newWorld(t), newWorld(t)
			w.as.know("known", "s3cret")
			next.as.know("known", "s3cret")
			known := oauth.Registration{ClientID: "known", ClientSecret: "s3cret"}
			if bind {
				known.Issuer = w.as.url
			}
			store := &oauth.MemoryStore{}
			change := func(o *oauth.Options) { o.Registrations, o.Store = []oauth.Registration{known}, store }
			w.mustCall(t, w.transport(change), "x")

			w.mcp.as = next.as
			if _, err := w.call(t, w.transport(change), "y"); err == nil || !strings.Contains(err.Error(), w.as.url) {
				t.Errorf("got %v, want an error that names %s", err, w.as.url)
			}
			if len(w.logins()) != 1 || len(next.as.bodies) > 0 {
				t.Errorf("the client was used at the other server: %d logins, %d token requests", len(w.logins()), len(next.as.bodies))
			}
		})
	}
}

// TestSecretsOfOptionsAreNotStored: what is configured is not copied.
func TestSecretsOfOptionsAreNotStored(t *testing.T) {
	w := newWorld(t)
	w.as.know("known", "s3cret")
	store := &oauth.MemoryStore{}
	w.as.lifetime = 1 // each call refreshes
	rt := w.transport(func(o *oauth.Options) {
		o.Registrations, o.Store = []oauth.Registration{{ClientID: "known", ClientSecret: "s3cret"}}, store
	})
	w.mustCall(t, rt, "x")
	w.mustCall(t, rt, "y")
	g, err := store.Load(t.Context(), w.mcp.url+"/mcp ")
	if err != nil || g == nil || g.Registration.ClientID != "known" || g.Registration.ClientSecret != "" || g.Registration.Issuer != w.as.url {
		t.Errorf("stored: %v, %v", g, err)
	}
	if got := w.as.tokenRequests("refresh_token"); len(got) != 1 {
		t.Errorf("%d refreshes, want 1", len(got))
	}
}

// TestRegistrationIsKept: a dynamic client is made once for a server and a redirect
// URI, and kept even if the user does not finish the login.
func TestRegistrationIsKept(t *testing.T) {
	w := newWorld(t)
	store := &oauth.MemoryStore{}
	away := errors.New("the user went away")
	rt := w.transport(func(o *oauth.Options) {
		o.Store = store
		o.Authorize = func(context.Context, string) (string, error) { return "", away }
	})
	if _, err := w.call(t, rt, "x"); !errors.Is(err, away) {
		t.Fatalf("got %v", err)
	}
	w.mustCall(t, w.transport(func(o *oauth.Options) { o.Store = store }), "x")
	if got := len(w.as.registrations); got != 1 {
		t.Errorf("%d registrations, want 1", got)
	}
	w.as.revoke()
	w.as.refreshes = map[string]*grantedToken{}
	const moved = "http://localhost:4000/callback"
	rt = w.transport(func(o *oauth.Options) {
		o.Store, o.RedirectURI = store, moved
		o.Authorize = w.authorize
	})
	w.mustCall(t, rt, "x")
	if got := w.as.registrations; len(got) != 2 || got[1]["redirect_uris"].([]any)[0] != moved {
		t.Errorf("registrations %v, want another for the other redirect URI", got)
	}
}

// TestForgottenClient: a server that has lost a dynamic registration gets a new one.
func TestForgottenClient(t *testing.T) {
	w := newWorld(t)
	rt := w.transport(nil)
	w.mustCall(t, rt, "x")
	w.as.revoke()
	clear(w.as.clients)
	w.mustCall(t, rt, "y")
	if got := len(w.as.registrations); got != 2 {
		t.Errorf("%d registrations, want 2", got)
	}
}

// TestForgottenSecret: the same where only the token endpoint says so. The login fails,
// and the next one registers anew.
func TestForgottenSecret(t *testing.T) {
	w := newWorld(t)
	w.as.know("old", "another secret")
	store := &oauth.MemoryStore{}
	old := &oauth.Grant{Issuer: w.as.url, Registration: oauth.Registration{
		Issuer: w.as.url, ClientID: "old", ClientSecret: "secret", AuthMethod: oauth.AuthPost, Source: oauth.SourceDynamic, RedirectURI: callback,
	}}
	if err := store.Save(t.Context(), w.mcp.url+"/mcp ", old); err != nil {
		t.Fatal(err)
	}
	rt := w.transport(func(o *oauth.Options) { o.Store = store })
	var refused *oauth.TokenError
	if _, err := w.call(t, rt, "x"); !errors.As(err, &refused) || refused.Code != "invalid_client" {
		t.Errorf("got %v, want invalid_client", err)
	}
	w.mustCall(t, rt, "x")
	if got := w.logins()[1].Get("client_id"); got == "old" {
		t.Error("the lost client was used again")
	}
}

// TestSeveralServers: of several authorization servers the one of the grant is used,
// the one that the client is registered at, or the first.
func TestSeveralServers(t *testing.T) {
	first, second := newWorld(t), newWorld(t)
	list := func(w ...*world) {
		var issuers []string
		for _, w := range w {
			issuers = append(issuers, w.as.url)
		}
		first.mcp.metadata = map[string]any{"authorization_servers": issuers}
	}
	second.as.know("known", "")
	second.client, first.mcp.as = first.client, second.as // whose tokens the MCP server takes
	list(first, second)
	registered := first.transport(func(o *oauth.Options) {
		o.Registrations = []oauth.Registration{{Issuer: second.as.url, ClientID: "known"}}
	})
	first.mustCall(t, registered, "x")

	list(second)
	rt := first.transport(nil)
	first.mustCall(t, rt, "x")
	list(first, second)
	second.as.revoke()
	first.mustCall(t, rt, "y")
	if got := first.as.paths(); len(got) > 0 {
		t.Errorf("the first server was asked %q", got)
	}
	first.mcp.as = first.as
	first.mustCall(t, first.transport(nil), "z")
}

// TestExpiredSecret: a dynamic client whose secret has ended is made anew, one that
// was registered by hand is an error.
func TestExpiredSecret(t *testing.T) {
	w := newWorld(t)
	w.as.know("known", "s3cret")
	_, err := w.call(t, w.transport(func(o *oauth.Options) {
		o.Registrations = []oauth.Registration{{ClientID: "known", ClientSecret: "s3cret", SecretExpiry: time.Unix(1, 0)}}
	}), "x")
	if err == nil || !strings.Contains(err.Error(), "ended on 1970-01-01") || strings.Contains(err.Error(), "s3cret") {
		t.Errorf("got %v", err)
	}

	store := &oauth.MemoryStore{}
	old := &oauth.Grant{Issuer: w.as.url, Registration: oauth.Registration{
		Issuer: w.as.url, ClientID: "old", Source: oauth.SourceDynamic, RedirectURI: callback, SecretExpiry: time.Unix(1, 0),
	}}
	if err := store.Save(t.Context(), w.mcp.url+"/mcp ", old); err != nil {
		t.Fatal(err)
	}
	w.mustCall(t, w.transport(func(o *oauth.Options) { o.Store = store }), "x")
	if got := w.logins()[0].Get("client_id"); got == "old" {
		t.Error("the ended client was used")
	}
}

// TestAuthenticationMethod: how the client proves itself, by what the server lists.
func TestAuthenticationMethod(t *testing.T) {
	for name, row := range map[string]struct {
		lists   any
		dynamic string // registered for
		known   string // used with a secret that was given
	}{
		"nothing":       {nil, "client_secret_basic", "client_secret_basic"},
		"none":          {[]string{"none"}, "none", "none"},
		"basic":         {[]string{"client_secret_basic"}, "client_secret_basic", "client_secret_basic"},
		"post":          {[]string{"client_secret_post"}, "client_secret_post", "client_secret_post"},
		"post and none": {[]string{"client_secret_post", "none"}, "none", "client_secret_post"},
		"all":           {[]string{"client_secret_post", "client_secret_basic", "none"}, "none", "client_secret_basic"},
		"others":        {[]string{"tls_client_auth"}, "none", "client_secret_basic"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.as.metadata = map[string]any{"token_endpoint_auth_methods_supported": row.lists}
			w.mustCall(t, w.transport(nil), "x")
			if got := w.as.registrations[0]["token_endpoint_auth_method"]; got != row.dynamic {
				t.Errorf("registered for %v, want %v", got, row.dynamic)
			}
			secret := "s3cret"
			if row.known == "none" {
				secret = ""
			}
			w.as.know("known", secret)
			w.mustCall(t, w.transport(func(o *oauth.Options) {
				o.Registrations = []oauth.Registration{{ClientID: "known", ClientSecret: "s3cret"}}
			}), "x")
			got, body := "none", w.as.bodies[len(w.as.bodies)-1]
			if w.as.headers[len(w.as.headers)-1].Get("Authorization") != "" {
				got = "client_secret_basic"
			} else if body.Has("client_secret") {
				got = "client_secret_post"
			}
			if got != row.known {
				t.Errorf("used %s, want %s", got, row.known)
			}
		})
	}
}

// TestRegistrationRefused: the error says who refuses, why, and what to do.
func TestRegistrationRefused(t *testing.T) {
	for name, row := range map[string]struct {
		answer func(w http.ResponseWriter)
		want   string
		code   string
	}{
		"the redirect URI": {func(w http.ResponseWriter) { refuse(w, "invalid_redirect_uri") }, "set Options.RedirectURI", "invalid_redirect_uri"},
		"strangers":        {func(w http.ResponseWriter) { w.WriteHeader(http.StatusUnauthorized) }, "by hand", ""},
		"with a terminal escape": {func(w http.ResponseWriter) {
			writeJSON(w, http.StatusBadRequest, map[string]any{"error": "x\x1b[31m"})
		}, "x?[31m", "x?[31m"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.as.before = func(rw http.ResponseWriter, r *http.Request) bool {
				if r.URL.Path == "/register" {
					row.answer(rw)
				}
				return r.URL.Path == "/register"
			}
			_, err := w.call(t, w.transport(nil), "x")
			var refused *oauth.RegistrationError
			if !errors.As(err, &refused) || refused.Code != row.code || !strings.Contains(err.Error(), row.want) {
				t.Errorf("got %v, want a RegistrationError with %q", err, row.want)
			}
		})
	}
	for name, body := range map[string]string{
		"no client id": `{}`, "not JSON": `client_id=x&client_secret=s3cret`, "wrong type": `{"client_id":1,"client_secret":"s3cret"}`,
		"too large": `{"client_id":"` + strings.Repeat("x", 300<<10) + `"}`,
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.as.before = func(rw http.ResponseWriter, r *http.Request) bool {
				if r.URL.Path != "/register" {
					return false
				}
				rw.Header().Set("Content-Type", "application/json")
				rw.WriteHeader(http.StatusCreated)
				_, _ = rw.Write([]byte(body))
				return true
			}
			if _, err := w.call(t, w.transport(nil), "x"); err == nil || strings.Contains(err.Error(), "s3cret") || len(w.logins()) > 0 {
				t.Errorf("got %v, want an error without the secret", err)
			}
		})
	}
}

// TestApplicationType: the kind of client follows from where the browser goes.
func TestApplicationType(t *testing.T) {
	for redirect, want := range map[string]string{
		callback: "native", "http://localhost/x": "native", "https://localhost:8443/x": "native", "https://app.example.com/callback": "web",
	} {
		w := newWorld(t)
		w.mustCall(t, w.transport(func(o *oauth.Options) { o.RedirectURI = redirect }), "x")
		if got := w.as.registrations[0]["application_type"]; got != want {
			t.Errorf("%s: %v, want %s", redirect, got, want)
		}
	}
}
