package main

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/mcp/oauth"
	"github.com/fairlead-mcp/fairlead/mcp/streamhttp"
)

// serve is an MCP server that wants a token, and its authorization server, which
// knows one job and one redirect URI.
func serve(t *testing.T) string {
	t.Helper()
	s := mcp.NewServer("notes", "1.0.0", nil)
	err := mcp.AddTool(s, mcp.Tool{Name: "read"}, func(context.Context, *mcp.Call, struct{}) (string, error) { return "", nil })
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	srv := httptest.NewServer(mux)
	t.Cleanup(srv.Close)
	answer := func(path, format string) {
		mux.HandleFunc(path, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			_, _ = fmt.Fprint(w, strings.ReplaceAll(format, "ORIGIN", srv.URL))
		})
	}
	answer("/.well-known/oauth-protected-resource/mcp", `{"resource":"ORIGIN/mcp","authorization_servers":["ORIGIN"]}`)
	answer("/.well-known/oauth-authorization-server", `{"issuer":"ORIGIN","authorization_endpoint":"ORIGIN/authorize","token_endpoint":"ORIGIN/token",
		"registration_endpoint":"ORIGIN/register","code_challenge_methods_supported":["S256"],"token_endpoint_auth_methods_supported":["none","client_secret_basic"]}`)
	answer("/register", `{"client_id":"person"}`)
	mux.HandleFunc("/token", func(w http.ResponseWriter, r *http.Request) {
		id, secret, _ := r.BasicAuth()
		w.Header().Set("Content-Type", "application/json")
		switch {
		case r.FormValue("grant_type") == "client_credentials" && id == "job" && secret == "s3cret",
			r.FormValue("grant_type") == "authorization_code" && r.FormValue("client_id") == "person" && r.FormValue("code") == "c":
			_, _ = fmt.Fprint(w, `{"access_token":"good","token_type":"Bearer"}`)
		default:
			w.WriteHeader(http.StatusUnauthorized)
			_, _ = fmt.Fprint(w, `{"error":"invalid_client"}`)
		}
	})
	handler := streamhttp.NewHandler(s, nil)
	mux.HandleFunc("/mcp", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer good" {
			w.Header().Set("WWW-Authenticate", "Bearer")
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		handler.ServeHTTP(w, r)
	})
	return srv.URL
}

func TestJob(t *testing.T) {
	origin := serve(t)
	var out strings.Builder
	if err := list(t.Context(), &out, origin+"/mcp", job(origin, "job", "s3cret")); err != nil || out.String() != "read\n" {
		t.Errorf("got %q, %v", out.String(), err)
	}
	if err := list(t.Context(), &out, origin+"/mcp", job(origin, "job", "wrong")); err == nil || !strings.Contains(err.Error(), "invalid_client") {
		t.Errorf("got %v", err)
	}
}

// TestPerson logs in as a person does, without the browser.
func TestPerson(t *testing.T) {
	origin := serve(t)
	t.Setenv("HOME", t.TempDir())
	t.Setenv("XDG_CONFIG_HOME", t.TempDir())
	t.Setenv("PATH", "") // there is no browser
	opts, err := person(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	loopback := opts.Authorize
	opts.Authorize = func(ctx context.Context, link string) (string, error) {
		u, err := url.Parse(link)
		if err != nil {
			return "", err
		}
		browser := make(chan error, 1)
		go func() { // ends with the answer of the loopback
			res, err := http.Get(opts.RedirectURI + "?code=c&state=" + u.Query().Get("state"))
			if err == nil {
				err = res.Body.Close()
			}
			browser <- err
		}()
		redirected, err := loopback(ctx, link)
		if err := <-browser; err != nil {
			t.Error(err)
		}
		return redirected, err
	}
	var out strings.Builder
	for range 2 {
		if err := list(t.Context(), &out, origin+"/mcp", opts); err != nil {
			t.Fatal(err)
		}
		// The second run has the token.
		opts = &oauth.Options{Store: opts.Store}
	}
	if out.String() != "read\nread\n" {
		t.Errorf("got %q", out.String())
	}
}
