package oauth

// These tests see inside: the token endpoint is used by flows and by the transport.

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
)

// tokenRequest is what a token endpoint saw.
type tokenRequest struct {
	header http.Header
	form   url.Values
}

// tokenServer is an authorization server whose token endpoint answers with what
// reply writes, and the requests that came.
func tokenServer(t *testing.T, reply func(w http.ResponseWriter, r tokenRequest)) (srv *httptest.Server, seen func() []tokenRequest) {
	t.Helper()
	requests := make(chan tokenRequest, 100)
	srv = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := r.ParseForm(); err != nil || r.Method != http.MethodPost || r.Header.Get("Content-Type") != "application/x-www-form-urlencoded" {
			t.Errorf("token request: %s, %v, %v", r.Method, r.Header, err)
		}
		got := tokenRequest{r.Header, r.PostForm}
		requests <- got
		reply(w, got)
	}))
	t.Cleanup(srv.Close)
	return srv, func() (all []tokenRequest) {
		for len(requests) > 0 {
			all = append(all, <-requests)
		}
		return all
	}
}

func answerJSON(status int, body string) func(http.ResponseWriter, tokenRequest) {
	return func(w http.ResponseWriter, _ tokenRequest) {
		w.Header().Set("Content-Type", "application/json;charset=UTF-8")
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}
}

const goodToken = `{"access_token":"at","token_type":"bearer","expires_in":3600,"refresh_token":"rt","scope":"a b","more":[{}]}`

func endpointOf(srv *httptest.Server, auth clientAuth) *tokenEndpoint {
	return &tokenEndpoint{url: srv.URL + "/token", issuer: "https://as.example", http: srv.Client(), auth: auth}
}

func TestClientAuthentication(t *testing.T) {
	key, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	signer, err := NewSigner(key, "", "")
	if err != nil {
		t.Fatal(err)
	}
	const basic = "Basic aWQlMkY6cCUyQncrJTNBJTI1" // id%2F:p%2Bw+%3A%25
	tests := []struct {
		name   string
		auth   clientAuth
		header string
		form   string // what is beside grant_type, without the assertion
		err    string
	}{
		{"none", clientAuth{method: AuthNone, id: "id/"}, "", "client_id=id%2F", ""},
		{"basic, form-encoded first", clientAuth{method: AuthBasic, id: "id/", secret: "p+w :%"}, basic, "", ""},
		{"post", clientAuth{method: AuthPost, id: "id", secret: "s&"}, "", "client_id=id&client_secret=s%26", ""},
		{"private key", clientAuth{method: AuthPrivateKeyJWT, id: "id", signer: signer, secret: "unused"}, "", "client_assertion_type=" + url.QueryEscape(assertionType) + "&client_id=id", ""},
		{"open, with a key", clientAuth{id: "id", signer: signer}, "", "client_assertion_type=" + url.QueryEscape(assertionType) + "&client_id=id", ""},
		{"open, with a secret", clientAuth{id: "id/", secret: "p+w :%"}, basic, "", ""},
		{"open, with nothing", clientAuth{id: "id"}, "", "client_id=id", ""},
		{"no client", clientAuth{}, "", "", ""},
		{"basic without a secret", clientAuth{method: AuthBasic, id: "id"}, "", "", "needs a client secret"},
		{"private key without one", clientAuth{method: AuthPrivateKeyJWT, id: "id", secret: "s"}, "", "", "needs a signing key"},
		{"unknown", clientAuth{method: "tls_client_auth", id: "id"}, "", "", `"tls_client_auth" is not supported`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			srv, seen := tokenServer(t, answerJSON(200, goodToken))
			form := url.Values{"grant_type": {"x"}}
			_, err := endpointOf(srv, tt.auth).request(t.Context(), form)
			got := seen()
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) || len(got) != 0 {
					t.Errorf("got %v and %d requests, want error with %q and none", err, len(got), tt.err)
				}
				return
			}
			if err != nil || len(got) != 1 {
				t.Fatalf("got %v and %d requests", err, len(got))
			}
			if a := got[0].form.Get("client_assertion"); a != "" {
				_, claims := claimsOf(t, a, key.Public())
				if claims["aud"] != "https://as.example" || claims["sub"] != "id" {
					t.Errorf("assertion: %v", claims)
				}
			}
			got[0].form.Del("client_assertion")
			got[0].form.Del("grant_type")
			if h, f := got[0].header.Get("Authorization"), got[0].form.Encode(); h != tt.header || f != tt.form {
				t.Errorf("got Authorization %q and form %q, want %q and %q", h, f, tt.header, tt.form)
			}
			if form.Encode() != "grant_type=x" {
				t.Errorf("the caller's form was changed: %v", form)
			}
		})
	}
}

func TestTokenResponses(t *testing.T) {
	long := strings.Repeat("x", 10<<10)
	tests := []struct {
		name, body string
		want       Token
		lifetime   time.Duration // -1 for no expiry
	}{
		{"all", goodToken, Token{AccessToken: "at", TokenType: "Bearer", RefreshToken: "rt", Scopes: []string{"a", "b"}}, time.Hour},
		{"the least", `{"access_token":"at","token_type":"BEARER"}`, Token{AccessToken: "at", TokenType: "Bearer", Scopes: []string{"asked", "for"}}, -1},
		{"a number in quotes", `{"access_token":"at","token_type":"Bearer","expires_in":"60","scope":""}`, Token{AccessToken: "at", TokenType: "Bearer", Scopes: []string{}}, time.Minute},
		{"a fraction", `{"access_token":"at","token_type":"Bearer","expires_in":1.5,"scope":null}`, Token{AccessToken: "at", TokenType: "Bearer", Scopes: []string{"asked", "for"}}, 1500 * time.Millisecond},
		{"over at once", `{"access_token":"at","token_type":"Bearer","expires_in":0}`, Token{AccessToken: "at", TokenType: "Bearer", Scopes: []string{"asked", "for"}}, 0},
		{"a lifetime without sense", `{"access_token":"at","token_type":"Bearer","expires_in":1e300}`, Token{AccessToken: "at", TokenType: "Bearer", Scopes: []string{"asked", "for"}}, -1},
		{"a negative lifetime", `{"access_token":"at","token_type":"Bearer","expires_in":-5}`, Token{AccessToken: "at", TokenType: "Bearer", Scopes: []string{"asked", "for"}}, -1},
		{"a lifetime that is none", `{"access_token":"at","token_type":"Bearer","expires_in":{}}`, Token{AccessToken: "at", TokenType: "Bearer", Scopes: []string{"asked", "for"}}, -1},
		{"large", `{"access_token":"` + long + `","token_type":"Bearer"}`, Token{AccessToken: long, TokenType: "Bearer", Scopes: []string{"asked", "for"}}, -1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			srv, _ := tokenServer(t, answerJSON(200, tt.body))
			before := time.Now()
			got, err := endpointOf(srv, clientAuth{id: "id"}).request(t.Context(), url.Values{"scope": {"asked for"}})
			if err != nil {
				t.Fatal(err)
			}
			if tt.lifetime < 0 != got.Expiry.IsZero() || tt.lifetime >= 0 && (got.Expiry.Before(before.Round(0).Add(tt.lifetime)) || got.Expiry.After(time.Now().Add(tt.lifetime))) {
				t.Errorf("expiry: got %v, want %v from now", got.Expiry, tt.lifetime)
			}
			if got.AccessToken != tt.want.AccessToken || got.TokenType != tt.want.TokenType || got.RefreshToken != tt.want.RefreshToken || !slices.Equal(got.Scopes, tt.want.Scopes) || got.Key != "" {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}

// TestTokenRefusals: what is wrong is named, and no error shows a token.
func TestTokenRefusals(t *testing.T) {
	text := func(status int, contentType, body string) func(http.ResponseWriter, tokenRequest) {
		return func(w http.ResponseWriter, _ tokenRequest) {
			w.Header().Set("Content-Type", contentType)
			w.WriteHeader(status)
			_, _ = w.Write([]byte(body))
		}
	}
	tests := []struct {
		name  string
		reply func(http.ResponseWriter, tokenRequest)
		code  string // of a TokenError
		err   string
	}{
		{"an OAuth error", answerJSON(400, `{"error":"invalid_grant","error_description":"too\u0007 old","error_uri":"https://as.example/e"}`), "invalid_grant", "invalid_grant: too? old (see https://as.example/e)"},
		{"a client refused", answerJSON(401, `{"error":"invalid_client"}`), "invalid_client", "invalid_client"},
		{"an error with status 200", answerJSON(200, `{"error":"bad_verification_code"}`), "bad_verification_code", ""},
		{"an endless description", answerJSON(400, `{"error":"e","error_description":"`+strings.Repeat("x", 5000)+`"}`), "e", "..."},
		{"a page", text(502, "text/html", "<html>SECRET"), "", "status 502 and no OAuth error"},
		{"a token in a page", text(200, "text/html", goodToken), "", `content type "text/html", want application/json`},
		{"a form", text(200, "application/x-www-form-urlencoded", "access_token=SECRET"), "", "content type"},
		{"no JSON", answerJSON(200, "SECRET"), "", "no token response"},
		{"a member twice", answerJSON(200, `{"access_token":"SECRET","access_token":"SECRET2","token_type":"Bearer"}`), "", "no token response"},
		{"other letters", answerJSON(200, `{"Access_Token":"SECRET","token_type":"Bearer"}`), "", "without an access token"},
		{"two values", answerJSON(200, goodToken+goodToken), "", "no token response"},
		{"bad UTF-8", answerJSON(200, "{\"access_token\":\"SECRET\xff\",\"token_type\":\"Bearer\"}"), "", "no token response"},
		{"no token type", answerJSON(200, `{"access_token":"SECRET"}`), "", "without a token type"},
		{"a header in the token", answerJSON(200, `{"access_token":"SECRET\r\nX: y","token_type":"Bearer"}`), "", "cannot stand in a header"},
		{"another type", answerJSON(200, `{"access_token":"SECRET","token_type":"mac"}`), "", `type "mac", want Bearer`},
		{"a binding that was not asked for", answerJSON(200, `{"access_token":"SECRET","token_type":"DPoP"}`), "", `type "DPoP", want Bearer`},
		{"too large", answerJSON(200, `{"access_token":"`+strings.Repeat("S", maxTokenResponse)+`"}`), "", "larger than"},
		{"a redirect", func(w http.ResponseWriter, _ tokenRequest) {
			w.Header().Set("Location", "/elsewhere")
			w.WriteHeader(http.StatusTemporaryRedirect)
		}, "", "redirects token requests (status 307), which are not followed"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			srv, seen := tokenServer(t, tt.reply)
			got, err := endpointOf(srv, clientAuth{id: "id"}).request(t.Context(), url.Values{})
			if got != nil || err == nil || !strings.Contains(err.Error(), tt.err) || strings.Contains(err.Error(), "SECRET") || len(err.Error()) > 1000 {
				t.Errorf("got %v, %v, want error with %q", got, err, tt.err)
			}
			var refused *TokenError
			if errors.As(err, &refused) != (tt.code != "") || tt.code != "" && refused.Code != tt.code {
				t.Errorf("got %#v, want TokenError %q", err, tt.code)
			}
			if n := len(seen()); n != 1 {
				t.Errorf("%d requests, want 1", n)
			}
		})
	}
}

func TestTokenRequestEndsWithContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	release := make(chan struct{})
	srv, _ := tokenServer(t, func(http.ResponseWriter, tokenRequest) { cancel(); <-release })
	defer close(release)
	if _, err := endpointOf(srv, clientAuth{}).request(ctx, url.Values{}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
}

func TestRefreshKeepsWhatIsNotRenewed(t *testing.T) {
	old := &Token{AccessToken: "old", RefreshToken: "rt0", Scopes: []string{"a"}}
	tests := []struct {
		name, body string
		scopes     []string
		form       string
		want       Token
	}{
		{"rotated", goodToken, nil, "grant_type=refresh_token&refresh_token=rt0&resource=https%3A%2F%2Fmcp.example", Token{AccessToken: "at", RefreshToken: "rt", Scopes: []string{"a", "b"}}},
		{"not rotated", `{"access_token":"at","token_type":"Bearer"}`, nil, "grant_type=refresh_token&refresh_token=rt0&resource=https%3A%2F%2Fmcp.example", Token{AccessToken: "at", RefreshToken: "rt0", Scopes: []string{"a"}}},
		{"with scopes", `{"access_token":"at","token_type":"Bearer"}`, []string{"b", "c"}, "grant_type=refresh_token&refresh_token=rt0&resource=https%3A%2F%2Fmcp.example&scope=b+c", Token{AccessToken: "at", RefreshToken: "rt0", Scopes: []string{"b", "c"}}},
	}
	for _, tt := range tests {
		srv, seen := tokenServer(t, answerJSON(200, tt.body))
		got, err := endpointOf(srv, clientAuth{}).refresh(t.Context(), old, "https://mcp.example", tt.scopes)
		if err != nil {
			t.Fatal(err)
		}
		if got.AccessToken != tt.want.AccessToken || got.RefreshToken != tt.want.RefreshToken || !slices.Equal(got.Scopes, tt.want.Scopes) {
			t.Errorf("%s: got another token than wanted: %v", tt.name, got)
		}
		if form := seen()[0].form.Encode(); form != tt.form {
			t.Errorf("%s: got form %s, want %s", tt.name, form, tt.form)
		}
	}
	srv, seen := tokenServer(t, answerJSON(200, goodToken))
	for _, tok := range []*Token{{AccessToken: "a"}, {AccessToken: "a", RefreshToken: "r", Key: "another"}} {
		if _, err := endpointOf(srv, clientAuth{}).refresh(t.Context(), tok, "", nil); err == nil || !strings.Contains(err.Error(), "log in again") || len(seen()) != 0 {
			t.Errorf("refresh of %v: got %v", tok, err)
		}
	}
}

// nonceServer wants the nonce in the proof of each request, and gives a new one with
// each answer.
func nonceServer(t *testing.T, tokenType string) (*httptest.Server, func() []tokenRequest) {
	n := 0
	return tokenServer(t, func(w http.ResponseWriter, r tokenRequest) {
		claims, _ := checkProof(t, r.header.Get("DPoP"))
		want := fmt.Sprintf("nonce-%d", n)
		n++
		w.Header().Set("DPoP-Nonce", fmt.Sprintf("nonce-%d", n))
		if claims["nonce"] != want {
			answerJSON(400, `{"error":"use_dpop_nonce"}`)(w, r)
			return
		}
		answerJSON(200, `{"access_token":"at","token_type":"`+tokenType+`"}`)(w, r)
	})
}

func TestTokenEndpointDPoPNonce(t *testing.T) {
	srv, seen := nonceServer(t, "DPoP")
	key, err := NewDPoPKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	e := endpointOf(srv, clientAuth{id: "id"})
	e.dpop = key
	for i, wantRequests := range []int{2, 1, 1} { // asked for a nonce once, then always the newest
		tok, err := e.request(t.Context(), url.Values{"grant_type": {"x"}})
		if err != nil {
			t.Fatal(err)
		}
		if tok.TokenType != "DPoP" || tok.Key != key.Thumbprint() {
			t.Errorf("token %d: %v with key %q", i, tok, tok.Key)
		}
		got := seen()
		if len(got) != wantRequests {
			t.Errorf("token %d took %d requests, want %d", i, len(got), wantRequests)
		}
		for _, r := range got {
			claims, thumbprint := checkProof(t, r.header.Get("DPoP"))
			if thumbprint != key.Thumbprint() || claims["htu"] != e.url || claims["htm"] != "POST" || claims["ath"] != nil || r.form.Get("grant_type") != "x" {
				t.Errorf("request %v with proof %v", r.form, claims)
			}
		}
	}
}

// TestTokenEndpointDPoPIsNotDowngraded: a server that ignores the proof gives a token
// that a thief could use.
func TestTokenEndpointDPoPIsNotDowngraded(t *testing.T) {
	key, err := NewDPoPKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	srv, _ := nonceServer(t, "Bearer")
	e := endpointOf(srv, clientAuth{id: "id"})
	e.dpop = key
	if tok, err := e.request(t.Context(), url.Values{}); tok != nil || err == nil || !strings.Contains(err.Error(), "not be bound to the key") {
		t.Errorf("a bearer token for a DPoP request: got %v, %v", tok, err)
	}
	// One that always wants another nonce is asked twice, not for ever.
	n := 0
	srv, seen := tokenServer(t, func(w http.ResponseWriter, r tokenRequest) {
		n++
		w.Header().Set("DPoP-Nonce", fmt.Sprint("new", n))
		answerJSON(400, `{"error":"use_dpop_nonce"}`)(w, r)
	})
	e = endpointOf(srv, clientAuth{id: "id"})
	e.dpop = key
	var refused *TokenError
	if _, err := e.request(t.Context(), url.Values{}); !errors.As(err, &refused) || len(seen()) != 2 {
		t.Errorf("a server that is never content: got %v", err)
	}
	// One that gives no nonce is asked once.
	srv, seen = tokenServer(t, answerJSON(400, `{"error":"use_dpop_nonce"}`))
	e = endpointOf(srv, clientAuth{id: "id"})
	e.dpop = key
	if _, err := e.request(t.Context(), url.Values{}); !errors.As(err, &refused) || len(seen()) != 1 {
		t.Errorf("a server that gives no nonce: got %v", err)
	}
}
