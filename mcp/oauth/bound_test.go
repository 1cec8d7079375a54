package oauth_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/fairlead-mcp/fairlead/mcp/oauth"
)

// boundWorld is a world whose tokens are bound to a key, and whose MCP server wants
// the nonce that it returns in each proof; "" means none.
func boundWorld(t *testing.T, nonce func() string) (*world, *oauth.Transport) {
	t.Helper()
	key, err := oauth.NewDPoPKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t)
	seen := map[any]bool{}
	w.mcp.before = func(rw http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path != "/mcp" {
			return false
		}
		refuse := func(code string) bool {
			rw.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer, DPoP algs="ES256", error=%q`, code))
			rw.WriteHeader(http.StatusUnauthorized)
			return true
		}
		if r.Header.Get("Authorization") != "DPoP bound" {
			return refuse("invalid_token")
		}
		claims := claimsOfProof(t, r.Header.Get("DPoP"))
		sum := sha256.Sum256([]byte("bound"))
		if claims["htm"] != "POST" || claims["htu"] != w.mcp.url+"/mcp" || seen[claims["jti"]] ||
			claims["ath"] != base64.RawURLEncoding.EncodeToString(sum[:]) {
			t.Errorf("proof with %v", claims)
		}
		seen[claims["jti"]] = true
		if want := nonce(); want != "" {
			rw.Header().Set("DPoP-Nonce", want)
			if claims["nonce"] != want {
				return refuse("use_dpop_nonce")
			}
		}
		rw.WriteHeader(http.StatusNoContent)
		return true
	}
	f := &flow{do: func(*oauth.Server) (*oauth.Token, error) {
		return &oauth.Token{AccessToken: "bound", TokenType: "DPoP", Key: key.Thumbprint()}, nil
	}}
	return w, w.transport(func(o *oauth.Options) { o.Flow, o.DPoP = f, key })
}

// claimsOfProof reads a proof; that its signature is good is shown elsewhere.
func claimsOfProof(t *testing.T, proof string) (claims map[string]any) {
	t.Helper()
	parts := strings.Split(proof, ".")
	if len(parts) != 3 {
		t.Fatalf("proof %q", proof)
	}
	data, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err == nil {
		err = json.Unmarshal(data, &claims)
	}
	if err != nil {
		t.Fatal(err)
	}
	return claims
}

// TestBoundToken: each request has a proof of its own, with the newest nonce of the
// server.
func TestBoundToken(t *testing.T) {
	for name, row := range map[string]struct {
		nonces []string // that the server wants from one call to the next
		want   []int    // requests with the token that each call takes
	}{
		"without nonce": {[]string{"", ""}, []int{1, 1}},
		"with a nonce":  {[]string{"n1", "n1", "n2", "n2"}, []int{2, 1, 2, 1}},
	} {
		t.Run(name, func(t *testing.T) {
			current := ""
			w, rt := boundWorld(t, func() string { return current })
			for i, n := range row.nonces {
				current = n
				if status, err := w.call(t, rt, "x"); err != nil || status != http.StatusNoContent {
					t.Fatalf("status %d, %v", status, err)
				}
				if got := w.mcp.seen("DPoP bound"); len(got) != row.want[i] {
					t.Errorf("call %d took the requests %q, want %d", i, got, row.want[i])
				}
			}
		})
	}
}

// TestBoundLogin: a login with a key says so, and takes no token that is not bound to
// it.
func TestBoundLogin(t *testing.T) {
	key, err := oauth.NewDPoPKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t) // whose tokens are bearer tokens
	_, err = w.call(t, w.transport(func(o *oauth.Options) { o.DPoP = key }), "x")
	if err == nil || !strings.Contains(err.Error(), "would not be bound") {
		t.Errorf("got %v", err)
	}
	if got := w.logins()[0].Get("dpop_jkt"); got != key.Thumbprint() || w.as.registrations[0]["dpop_bound_access_tokens"] != true {
		t.Errorf("dpop_jkt %q, registration %v", got, w.as.registrations[0])
	}
}

// TestNonceForEver: a server that wants another nonce each time is left.
func TestNonceForEver(t *testing.T) {
	n := 0
	w, rt := boundWorld(t, func() string { n++; return fmt.Sprint("n", n) })
	if _, err := w.call(t, rt, "x"); !errors.Is(err, oauth.ErrUnauthorized) {
		t.Errorf("got %v, want ErrUnauthorized", err)
	}
	if got := w.mcp.seen("DPoP bound"); len(got) != 2 {
		t.Errorf("%d requests with the token, want 2", len(got))
	}
}

// TestBoundTokenOfAnother: a stored token that is bound to a key which this process
// does not have is not sent.
func TestBoundTokenOfAnother(t *testing.T) {
	w := newWorld(t)
	store := &oauth.MemoryStore{}
	g := &oauth.Grant{Issuer: w.as.url, Token: oauth.Token{AccessToken: "bound", TokenType: "DPoP", RefreshToken: "r", Key: "another"}}
	if err := store.Save(t.Context(), w.mcp.url+"/mcp ", g); err != nil {
		t.Fatal(err)
	}
	w.mustCall(t, w.transport(func(o *oauth.Options) { o.Store = store }), "x")
	if got := w.mcp.seen("bound"); len(got) > 0 || len(w.as.tokenRequests("refresh_token")) > 0 {
		t.Errorf("the token was used: %q", got)
	}
}

// TestSigner: a key proves the client where the server takes keys and the algorithm;
// where it does not, a client with a metadata document is a public one.
func TestSigner(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := oauth.NewSigner(key, "", "k1")
	if err != nil {
		t.Fatal(err)
	}
	for name, row := range map[string]struct {
		metadata map[string]any
		want     bool
	}{
		"listed":            {map[string]any{"token_endpoint_auth_methods_supported": []string{"private_key_jwt", "none"}}, true},
		"not listed":        {map[string]any{"token_endpoint_auth_methods_supported": []string{"none"}}, false},
		"algorithm listed":  {map[string]any{"token_endpoint_auth_methods_supported": []string{"private_key_jwt"}, "token_endpoint_auth_signing_alg_values_supported": []string{"ES256"}}, true},
		"another algorithm": {map[string]any{"token_endpoint_auth_methods_supported": []string{"private_key_jwt"}, "token_endpoint_auth_signing_alg_values_supported": []string{"RS256"}}, false},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.as.know(documentURL, "")
			w.as.metadata = row.metadata
			w.as.metadata["client_id_metadata_document_supported"] = true
			w.mustCall(t, w.transport(func(o *oauth.Options) { o.Signer, o.ClientMetadataURL = signer, documentURL }), "x")
			form := w.as.tokenRequests("authorization_code")[0]
			if got := form.Has("client_assertion"); got != row.want {
				t.Errorf("proved by a key: %v, want %v", got, row.want)
			}
			if row.want && strings.Count(form.Get("client_assertion"), ".") != 2 {
				t.Errorf("assertion %q", form.Get("client_assertion"))
			}
		})
	}
}
