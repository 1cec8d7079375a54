package oauth

// These tests see inside: JWTs are made by unexported methods.

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-json-experiment/json"
)

// claimsOf checks the signature of a JWT with the key alone, by other code than the
// one that signs, and returns what it says.
func claimsOf(t *testing.T, jwt string, key crypto.PublicKey) (head, claims map[string]any) {
	t.Helper()
	parts := strings.Split(jwt, ".")
	if len(parts) != 3 {
		t.Fatalf("a JWT of %d parts", len(parts))
	}
	var raw [3][]byte
	for i, part := range parts {
		data, err := base64.RawURLEncoding.DecodeString(part)
		if err != nil {
			t.Fatal(err)
		}
		raw[i] = data
	}
	if err := errors.Join(json.Unmarshal(raw[0], &head), json.Unmarshal(raw[1], &claims)); err != nil {
		t.Fatal(err)
	}
	text := []byte(parts[0] + "." + parts[1])
	sum := sha256.Sum256(text)
	ok := false
	switch key := key.(type) {
	case *ecdsa.PublicKey:
		ok = head["alg"] == "ES256" && len(raw[2]) == 64 &&
			ecdsa.Verify(key, sum[:], new(big.Int).SetBytes(raw[2][:32]), new(big.Int).SetBytes(raw[2][32:]))
	case *rsa.PublicKey:
		if head["alg"] == "PS256" {
			ok = rsa.VerifyPSS(key, crypto.SHA256, sum[:], raw[2], nil) == nil
		} else {
			ok = head["alg"] == "RS256" && rsa.VerifyPKCS1v15(key, crypto.SHA256, sum[:], raw[2]) == nil
		}
	case ed25519.PublicKey:
		ok = head["alg"] == "EdDSA" && ed25519.Verify(key, text, raw[2])
	}
	if !ok {
		t.Fatalf("the signature does not verify with %T: %s", key, jwt)
	}
	return head, claims
}

func pemOf(t *testing.T, kind string, der []byte, err error) []byte {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

func TestSignerAlgorithmsAndForms(t *testing.T) {
	ec, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	rs, _ := rsa.GenerateKey(rand.Reader, 2048)
	_, ed, _ := ed25519.GenerateKey(rand.Reader)
	pkcs8 := func(key any) []byte {
		der, err := x509.MarshalPKCS8PrivateKey(key)
		return pemOf(t, "PRIVATE KEY", der, err)
	}
	sec1, err := x509.MarshalECPrivateKey(ec)
	parameters := pem.EncodeToMemory(&pem.Block{Type: "EC PARAMETERS", Bytes: []byte{6, 1, 0}})
	tests := []struct {
		name, alg, want string
		text            []byte
		key             crypto.PublicKey
	}{
		{"PKCS 8, EC", "", "ES256", pkcs8(ec), ec.Public()},
		{"PKCS 8, EC, named", "ES256", "ES256", pkcs8(ec), ec.Public()},
		{"SEC 1 with parameters", "", "ES256", append(parameters, pemOf(t, "EC PRIVATE KEY", sec1, err)...), ec.Public()},
		{"PKCS 8, RSA", "", "RS256", pkcs8(rs), rs.Public()},
		{"PKCS 8, RSA, PSS", "PS256", "PS256", pkcs8(rs), rs.Public()},
		{"PKCS 1", "RS256", "RS256", pemOf(t, "RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(rs), nil), rs.Public()},
		{"PKCS 8, Ed25519", "", "EdDSA", pkcs8(ed), ed.Public()},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s, err := ParseSigner(tt.text, tt.alg, "key-1")
			if err != nil {
				t.Fatal(err)
			}
			if s.Algorithm() != tt.want {
				t.Errorf("algorithm: got %s, want %s", s.Algorithm(), tt.want)
			}
			for range 20 { // numbers of a signature that begin with a zero byte come up
				jwt, err := s.assertion("client", "https://as.example")
				if err != nil {
					t.Fatal(err)
				}
				head, claims := claimsOf(t, jwt, tt.key)
				if head["kid"] != "key-1" || head["typ"] != "JWT" || head["jwk"] != nil || claims["iss"] != "client" {
					t.Fatalf("header %v, claims %v", head, claims)
				}
			}
			shown := s.Algorithm() + " key " + s.Thumbprint()
			if got, want := fmt.Sprintf("%v %+v %#v %d %x", s, *s, *s, s, s), strings.TrimSpace(strings.Repeat(shown+" ", 5)); got != want {
				t.Errorf("printed: %s", got)
			}
		})
	}
}

func TestSignerRefusesKeys(t *testing.T) {
	p384, _ := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	p256, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	t.Setenv("GODEBUG", "rsa1024min=0")
	short, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	der := func(key any) []byte {
		der, err := x509.MarshalPKCS8PrivateKey(key)
		return pemOf(t, "PRIVATE KEY", der, err)
	}
	tests := []struct {
		name, alg string
		text      []byte
		wantErr   string
	}{
		{"another curve", "", der(p384), "curve P-384; ES256 needs P-256"},
		{"a short RSA key", "", der(short), "1024 bits; it needs 2048"},
		{"a symmetric algorithm", "HS256", der(p256), `algorithm "HS256" does not fit the key; it signs with [ES256]`},
		{"no algorithm", "none", der(p256), `algorithm "none" does not fit`},
		{"an algorithm of other keys", "RS256", der(p256), "does not fit the key"},
		{"no PEM", "", []byte("secret"), "no private key"},
		{"a certificate", "", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte{1}}), "no private key"},
		{"an encrypted key", "", pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: []byte{1}}), "it is encrypted; decrypt it first"},
		{"a damaged key", "", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte{1}}), "private key: "},
	}
	for _, tt := range tests {
		if s, err := ParseSigner(tt.text, tt.alg, ""); s != nil || err == nil || !strings.Contains(err.Error(), tt.wantErr) {
			t.Errorf("%s: got %v, %v, want error with %q", tt.name, s, err, tt.wantErr)
		}
	}
}

// TestThumbprint uses the key of RFC 7638, section 3.1.
func TestThumbprint(t *testing.T) {
	n, err := base64.RawURLEncoding.DecodeString("0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw")
	if err != nil {
		t.Fatal(err)
	}
	s, err := NewSigner(publicOnly{&rsa.PublicKey{N: new(big.Int).SetBytes(n), E: 65537}}, "", "2011-04-29")
	if err != nil {
		t.Fatal(err)
	}
	if want := "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"; s.Thumbprint() != want {
		t.Errorf("Thumbprint: got %s, want %s", s.Thumbprint(), want)
	}
	var jwk map[string]string
	if err := json.Unmarshal(s.PublicJWK(), &jwk); err != nil || jwk["kid"] != "2011-04-29" || jwk["alg"] != "RS256" || jwk["e"] != "AQAB" {
		t.Errorf("PublicJWK: got %s, %v", s.PublicJWK(), err)
	}
	if _, err := s.assertion("a", "b"); err == nil {
		t.Error("a module that cannot sign: no error")
	}
}

// publicOnly is a hardware module that is unplugged.
type publicOnly struct{ key crypto.PublicKey }

func (p publicOnly) Public() crypto.PublicKey { return p.key }

func (publicOnly) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) {
	return nil, errors.New("unplugged")
}

// TestAssertionClaims: one use, one audience, some minutes.
func TestAssertionClaims(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		key, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		s, err := NewSigner(key, "", "")
		if err != nil {
			t.Fatal(err)
		}
		seen := map[any]bool{}
		for range 3 {
			jwt, err := s.assertion("client", "https://as.example/")
			if err != nil {
				t.Fatal(err)
			}
			head, claims := claimsOf(t, jwt, key.Public())
			now := float64(time.Now().Unix())
			if claims["iss"] != "client" || claims["sub"] != "client" || claims["aud"] != "https://as.example/" || claims["iat"] != now {
				t.Errorf("claims: %v", claims)
			}
			if exp := claims["exp"].(float64); exp <= now || exp > now+300 {
				t.Errorf("it lives for %v seconds, want at most 300", exp-now)
			}
			if _, ok := head["kid"]; ok || seen[claims["jti"]] || len(claims["jti"].(string)) < 20 {
				t.Errorf("header %v, claims %v: an empty kid, or a jti that is short or used", head, claims)
			}
			seen[claims["jti"]] = true
		}
	})
}
