package oauth

// These tests see inside: proofs and nonces are for the transport and the token
// endpoint.

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-json-experiment/json"
)

// checkProof does what a server does (RFC 9449, section 4.3) with nothing but the
// proof, and returns its claims and the thumbprint of its key.
func checkProof(t *testing.T, proof string) (claims map[string]any, thumbprint string) {
	t.Helper()
	var head struct {
		Type string            `json:"typ"`
		JWK  map[string]string `json:"jwk"`
	}
	if err := decodeJWT(proof, &head, &claims); err != nil {
		t.Fatal(err)
	}
	if head.Type != "dpop+jwt" || head.JWK["kty"] != "EC" || head.JWK["crv"] != "P-256" || head.JWK["d"] != "" {
		t.Fatalf("header: %+v", head)
	}
	x, _ := base64.RawURLEncoding.DecodeString(head.JWK["x"])
	y, _ := base64.RawURLEncoding.DecodeString(head.JWK["y"])
	key, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), append(append([]byte{4}, x...), y...))
	if err != nil {
		t.Fatal(err)
	}
	_, claims = claimsOf(t, proof, key)
	canonical, _ := json.Marshal(head.JWK, json.Deterministic(true))
	sum := sha256.Sum256(canonical)
	return claims, base64.RawURLEncoding.EncodeToString(sum[:])
}

func TestProofClaims(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k, err := NewDPoPKey(nil)
		if err != nil {
			t.Fatal(err)
		}
		tests := []struct {
			method, url, nonce, token string
			wantURL                   string
		}{
			{"POST", "https://as.example/token", "", "", "https://as.example/token"},
			{"POST", "https://mcp.example/mcp?a=b#c", "n0", "token", "https://mcp.example/mcp"},
			{"GET", "HTTPS://user:pw@MCP.example:8443", "", "token", "https://mcp.example:8443/"},
			{"DELETE", "https://mcp.example/a%2Fb/../c", "", "token", "https://mcp.example/a%2Fb/../c"},
		}
		seen := map[any]bool{}
		for _, tt := range tests {
			proof, err := k.proof(tt.method, tt.url, tt.nonce, tt.token)
			if err != nil {
				t.Fatal(err)
			}
			claims, thumbprint := checkProof(t, proof)
			want := map[string]any{"htm": tt.method, "htu": tt.wantURL, "iat": float64(time.Now().Unix()), "jti": claims["jti"]}
			if tt.nonce != "" {
				want["nonce"] = tt.nonce
			}
			if tt.token != "" {
				sum := sha256.Sum256([]byte(tt.token))
				want["ath"] = base64.RawURLEncoding.EncodeToString(sum[:])
			}
			if fmt.Sprint(claims) != fmt.Sprint(want) {
				t.Errorf("proof(%s, %s): got %v, want %v", tt.method, tt.url, claims, want)
			}
			if thumbprint != k.Thumbprint() {
				t.Errorf("thumbprint: got %s, want %s", k.Thumbprint(), thumbprint)
			}
			if seen[claims["jti"]] {
				t.Errorf("jti %v is used twice", claims["jti"])
			}
			seen[claims["jti"]] = true
		}
		if _, err := k.proof("GET", "/relative", "", ""); err == nil {
			t.Error("proof for a URL without a host: no error")
		}
		if out := fmt.Sprintf("%v %+v %#v %s", k, k, k, k); strings.Count(out, k.Thumbprint()) != 4 || len(out) > 4*60 {
			t.Errorf("printed: %s", out)
		}
	})
}

func TestNoncesAreBoundedAndPerURL(t *testing.T) {
	k, err := NewDPoPKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	give := func(url, nonce string) { k.remember(url, http.Header{"Dpop-Nonce": {nonce}}) }
	give("https://a.example/token", "as")
	give("https://a.example/mcp?session=1", "rs")
	for url, want := range map[string]string{"https://A.example/token": "as", "https://a.example/mcp": "rs", "https://a.example/": "", "": ""} {
		if got := k.nonceFor(url); got != want {
			t.Errorf("nonceFor(%s): got %q, want %q", url, got, want)
		}
	}
	for _, bad := range []string{"", "a b", "a\"b", "a\\b", "ä", "a\r\nb", strings.Repeat("n", maxNonceBytes+1)} {
		if give("https://a.example/mcp", bad); k.nonceFor("https://a.example/mcp") != "rs" {
			t.Errorf("nonce %.20q is taken", bad)
		}
	}
	for i := range 10 * maxNonces {
		give(fmt.Sprintf("https://h%d.example/", i), "n")
		give("https://a.example/token", fmt.Sprint(i)) // in use, so it stays
	}
	if len(k.nonces) != maxNonces {
		t.Errorf("%d nonces are kept, want %d", len(k.nonces), maxNonces)
	}
	if got, want := k.nonceFor("https://a.example/token"), fmt.Sprint(10*maxNonces-1); got != want {
		t.Errorf("the nonce in use: got %q, want %q", got, want)
	}
}
