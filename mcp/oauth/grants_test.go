package oauth

// These tests see inside: a Server is made by the transport, from what it has
// discovered.

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
)

// flowServer is an authorization server for https://mcp.example/mcp, as a flow sees it.
func flowServer(t *testing.T, reply func(http.ResponseWriter, tokenRequest)) (*Server, func() []tokenRequest) {
	t.Helper()
	srv, seen := tokenServer(t, reply)
	return &Server{
		Metadata:     &ServerMetadata{Issuer: "https://as.example", TokenEndpoint: srv.URL + "/token"},
		Registration: Registration{Issuer: "https://as.example", ClientID: "client", ClientSecret: "secret", AuthMethod: AuthBasic},
		Resource:     "https://mcp.example/mcp",
		Scopes:       []string{"a", "b"},
		http:         srv.Client(),
	}, seen
}

func TestClientCredentials(t *testing.T) {
	s, seen := flowServer(t, answerJSON(200, goodToken))
	tok, err := ClientCredentials{}.Token(t.Context(), s)
	if err != nil || tok.AccessToken != "at" {
		t.Fatalf("Token: got %v, %v", tok, err)
	}
	r := seen()[0]
	if got, want := r.form.Encode(), "grant_type=client_credentials&resource=https%3A%2F%2Fmcp.example%2Fmcp&scope=a+b"; got != want {
		t.Errorf("form: got %s, want %s", got, want)
	}
	if user, password, ok := (&http.Request{Header: r.header}).BasicAuth(); !ok || user != "client" || password != "secret" {
		t.Errorf("authentication: %q %q %t", user, password, ok)
	}

	key, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if s.signer, err = NewSigner(key, "", ""); err != nil {
		t.Fatal(err)
	}
	s.Registration.AuthMethod, s.Scopes = AuthPrivateKeyJWT, nil
	if _, err = (ClientCredentials{}).Token(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	r = seen()[0]
	if _, claims := claimsOf(t, r.form.Get("client_assertion"), key.Public()); claims["aud"] != "https://as.example" || r.form.Has("scope") || r.header.Get("Authorization") != "" {
		t.Errorf("form: %v, claims %v", r.form, claims)
	}
}

// TestFlowsRefuseBeforeTheyAsk: what cannot work is not sent.
func TestFlowsRefuseBeforeTheyAsk(t *testing.T) {
	tests := []struct {
		name   string
		change func(*Server)
		flow   Flow
		err    string
	}{
		{"no client", func(s *Server) { s.Registration = Registration{} }, ClientCredentials{}, "need a client that is registered at https://as.example"},
		{"a public client", func(s *Server) { s.Registration.AuthMethod = AuthNone }, ClientCredentials{}, "neither a secret nor a key"},
		{"a server without the grant", func(s *Server) { s.Metadata.GrantTypesSupported = []string{"authorization_code"} }, ClientCredentials{}, "does not support the grant type client_credentials"},
		{"no workload token", func(*Server) {}, WorkloadIdentity{FromFile("/no/such/file")}, "workload identity: stat /no/such/file"},
		{"an endless assertion", func(*Server) {}, WorkloadIdentity{func(context.Context, string) (string, error) { return strings.Repeat("x", maxAssertion+1), nil }}, "more than"},
		{"a provider without TLS", func(*Server) {}, EnterpriseManaged{TokenEndpoint: "http://idp.example/token"}, "token endpoint of the identity provider"},
	}
	for _, tt := range tests {
		s, seen := flowServer(t, answerJSON(200, goodToken))
		tt.change(s)
		if tok, err := tt.flow.Token(t.Context(), s); tok != nil || err == nil || !strings.Contains(err.Error(), tt.err) || len(seen()) != 0 {
			t.Errorf("%s: got %v, %v, want error with %q", tt.name, tok, err, tt.err)
		}
	}
}

func TestWorkloadIdentity(t *testing.T) {
	s, seen := flowServer(t, answerJSON(200, goodToken))
	s.Registration.AuthMethod, s.Registration.ClientSecret = AuthNone, ""
	path := filepath.Join(t.TempDir(), "token")
	for _, jwt := range []string{"first", "renewed"} { // the platform renews the file
		if err := os.WriteFile(path, []byte(jwt+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		var audience string
		flow := WorkloadIdentity{func(ctx context.Context, issuer string) (string, error) {
			audience = issuer
			return FromFile(path)(ctx, issuer)
		}}
		if _, err := flow.Token(t.Context(), s); err != nil {
			t.Fatal(err)
		}
		want := url.Values{"grant_type": {grantJWTBearer}, "assertion": {jwt}, "client_id": {"client"}, "resource": {s.Resource}, "scope": {"a b"}}
		if got := seen()[0].form.Encode(); got != want.Encode() || audience != "https://as.example" {
			t.Errorf("got %s for %s, want %s", got, audience, want.Encode())
		}
	}
	// A refusal is final.
	s, seen = flowServer(t, answerJSON(400, `{"error":"unauthorized_client"}`))
	var refused *TokenError
	if _, err := (WorkloadIdentity{FromFile(path)}).Token(t.Context(), s); !errors.As(err, &refused) || refused.Code != "unauthorized_client" || len(seen()) != 1 {
		t.Errorf("a refusal: got %v", err)
	}
	for name, content := range map[string]string{"empty": " \n", "large": strings.Repeat("x", maxAssertion+1)} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if tok, err := FromFile(path)(t.Context(), ""); err == nil {
			t.Errorf("a file that is %s: got %q", name, tok)
		}
	}
}

// idJAG is a grant of an identity provider with changes; nil removes a claim.
func idJAG(t *testing.T, typ string, changes map[string]any) string {
	t.Helper()
	key, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	signer, err := NewSigner(key, "", "")
	if err != nil {
		t.Fatal(err)
	}
	claims := map[string]any{
		"iss": "https://idp.example", "sub": "u", "aud": "https://as.example", "client_id": "client",
		"resource": "https://mcp.example/mcp", "jti": "1", "exp": time.Now().Add(time.Minute).Unix(),
	}
	maps.Copy(claims, changes)
	maps.DeleteFunc(claims, func(_ string, v any) bool { return v == nil })
	jwt, err := signer.jwt(typ, false, claims)
	if err != nil {
		t.Fatal(err)
	}
	return jwt
}

func exchanged(t *testing.T, jwt, issuedType string) func(http.ResponseWriter, tokenRequest) {
	t.Helper()
	body, err := json.Marshal(map[string]any{"access_token": jwt, "issued_token_type": issuedType, "token_type": "N_A", "expires_in": 60})
	if err != nil {
		t.Fatal(err)
	}
	return answerJSON(200, string(body))
}

func TestEnterpriseManaged(t *testing.T) {
	jag := idJAG(t, "oauth-id-jag+jwt", nil)
	idp, atIDP := tokenServer(t, exchanged(t, jag, tokenTypeIDJAG))
	s, atAS := flowServer(t, answerJSON(200, goodToken))
	flow := EnterpriseManaged{
		IDToken:       func(_ context.Context, clientID string) (string, error) { return "ID token for " + clientID, nil },
		TokenEndpoint: idp.URL + "/token",
		Registration:  Registration{ClientID: "idp-client", ClientSecret: "idp-secret"},
	}
	tok, err := flow.Token(t.Context(), s)
	if err != nil || tok.AccessToken != "at" {
		t.Fatalf("Token: got %v, %v", tok, err)
	}
	want := url.Values{
		"grant_type": {grantTokenExchange}, "requested_token_type": {tokenTypeIDJAG}, "audience": {"https://as.example"},
		"resource": {"https://mcp.example/mcp"}, "scope": {"a b"}, "subject_token": {"ID token for idp-client"}, "subject_token_type": {tokenTypeIDToken},
	}
	r := atIDP()[0]
	if user, password, _ := (&http.Request{Header: r.header}).BasicAuth(); r.form.Encode() != want.Encode() || user != "idp-client" || password != "idp-secret" {
		t.Errorf("the provider got %s from %q, want %s", r.form.Encode(), user, want.Encode())
	}
	want = url.Values{"grant_type": {grantJWTBearer}, "assertion": {jag}, "resource": {"https://mcp.example/mcp"}, "scope": {"a b"}}
	r = atAS()[0]
	if user, password, _ := (&http.Request{Header: r.header}).BasicAuth(); r.form.Encode() != want.Encode() || user != "client" || password != "secret" {
		t.Errorf("the authorization server got %s from %q, want %s", r.form.Encode(), user, want.Encode())
	}
}

// TestEnterpriseManagedChecksTheGrant: a grant that is for somebody else is not sent.
func TestEnterpriseManagedChecksTheGrant(t *testing.T) {
	const typ = "oauth-id-jag+jwt"
	tests := []struct {
		name, jwt, issued, err string // no err: it is good
	}{
		{"an audience in an array", idJAG(t, typ, map[string]any{"aud": []string{"https://as.example"}}), tokenTypeIDJAG, ""},
		{"resources in an array", idJAG(t, typ, map[string]any{"resource": []string{"https://other.example", "https://mcp.example/mcp"}}), tokenTypeIDJAG, ""},
		{"no resource", idJAG(t, typ, map[string]any{"resource": nil}), tokenTypeIDJAG, ""},
		{"an access token", "opaque", "urn:ietf:params:oauth:token-type:access_token", "want an ID-JAG"},
		{"no type", idJAG(t, typ, nil), "", "want an ID-JAG"},
		{"no JWT", "opaque", tokenTypeIDJAG, "not a JWT"},
		{"not JSON", "e30.YQ.YQ", tokenTypeIDJAG, "not a JWT"},
		{"a plain JWT", idJAG(t, "JWT", nil), tokenTypeIDJAG, `its typ is "JWT"`},
		{"another server", idJAG(t, typ, map[string]any{"aud": "https://evil.example"}), tokenTypeIDJAG, "its audience is"},
		{"another server too", idJAG(t, typ, map[string]any{"aud": []string{"https://as.example", "https://evil.example"}}), tokenTypeIDJAG, "its audience is"},
		{"no audience", idJAG(t, typ, map[string]any{"aud": nil}), tokenTypeIDJAG, "its audience is"},
		{"another client", idJAG(t, typ, map[string]any{"client_id": "evil"}), tokenTypeIDJAG, `its client_id is "evil"`},
		{"another resource", idJAG(t, typ, map[string]any{"resource": "https://evil.example"}), tokenTypeIDJAG, "its resource is"},
		{"expired", idJAG(t, typ, map[string]any{"exp": time.Now().Add(-time.Minute).Unix()}), tokenTypeIDJAG, "it has expired"},
		{"no end", idJAG(t, typ, map[string]any{"exp": nil}), tokenTypeIDJAG, "it has expired"},
	}
	for _, tt := range tests {
		idp, _ := tokenServer(t, exchanged(t, tt.jwt, tt.issued))
		s, atAS := flowServer(t, answerJSON(200, goodToken))
		flow := EnterpriseManaged{IDToken: func(context.Context, string) (string, error) { return "id", nil }, TokenEndpoint: idp.URL}
		_, err := flow.Token(t.Context(), s)
		if tt.err == "" {
			if err != nil || len(atAS()) != 1 {
				t.Errorf("%s: got %v", tt.name, err)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), tt.err) || len(atAS()) != 0 {
			t.Errorf("%s: got %v, want error with %q, and nothing sent", tt.name, err, tt.err)
		}
	}
	// The provider's no is told as the provider's.
	idp, _ := tokenServer(t, answerJSON(403, `{"error":"access_denied","error_description":"not in the group"}`))
	s, _ := flowServer(t, answerJSON(200, goodToken))
	flow := EnterpriseManaged{IDToken: func(context.Context, string) (string, error) { return "id", nil }, TokenEndpoint: idp.URL}
	var refused *TokenError
	if _, err := flow.Token(t.Context(), s); !errors.As(err, &refused) || !strings.Contains(err.Error(), "identity provider") || !strings.Contains(err.Error(), "not in the group") {
		t.Errorf("a refusal of the provider: got %v", err)
	}
}
