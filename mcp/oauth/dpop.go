package oauth

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
)

// maxNonces bounds the memory for nonces: one for each URL, the two or three
// endpoints of some servers.
const maxNonces = 64

// maxNonceBytes is far longer than any nonce in use.
const maxNonceBytes = 1024

// DPoPKey binds tokens to a key that only this client has (RFC 9449): a token that
// is stolen is then of no use. Use one key for one grant, and the same for as long
// as its refresh token lives. Safe for concurrent use.
type DPoPKey struct {
	signer *Signer

	mu     sync.Mutex
	nonces []nonce // newest last, at most maxNonces
}

// nonce is what a server wants to see in the next proof for a URL.
type nonce struct{ url, value string }

// NewDPoPKey returns a key that signs with s. Nil makes a new ES256 key.
func NewDPoPKey(s *Signer) (*DPoPKey, error) {
	if s == nil {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return nil, fmt.Errorf("oauth: DPoP key: %w", err)
		}
		if s, err = NewSigner(key, "", ""); err != nil {
			return nil, err
		}
	}
	return &DPoPKey{signer: s}, nil
}

// Thumbprint returns the SHA-256 thumbprint of the public key (RFC 7638), the jkt
// of tokens that are bound to it.
func (k *DPoPKey) Thumbprint() string { return k.signer.thumb }

// Format prints what is not secret, for every verb.
func (k *DPoPKey) Format(f fmt.State, verb rune) { k.signer.Format(f, verb) }

// proof returns a proof of possession for one request (RFC 9449, section 4.2). It
// is fresh each time. The nonce is "" where the server gave none, the access token
// "" in requests to a token endpoint.
func (k *DPoPKey) proof(method, target, nonce, accessToken string) (string, error) {
	htu, err := proofURL(target)
	if err != nil {
		return "", err
	}
	claims := struct {
		ID     string `json:"jti"`
		Method string `json:"htm"`
		URL    string `json:"htu"`
		Issued int64  `json:"iat"`
		Hash   string `json:"ath,omitzero"`
		Nonce  string `json:"nonce,omitzero"`
	}{ID: rand.Text(), Method: method, URL: htu, Issued: time.Now().Unix(), Nonce: nonce}
	if accessToken != "" {
		sum := sha256.Sum256([]byte(accessToken))
		claims.Hash = base64.RawURLEncoding.EncodeToString(sum[:])
	}
	return k.signer.jwt("dpop+jwt", true, claims)
}

// proofURL is a URL as a proof has it: no query, no fragment, no user, and the path
// that is sent.
func proofURL(target string) (string, error) {
	u, err := url.Parse(target)
	if err != nil || u.Host == "" {
		return "", fmt.Errorf("oauth: DPoP proof: the URL has no host or cannot be parsed")
	}
	path := u.EscapedPath()
	if path == "" {
		path = "/"
	}
	return strings.ToLower(u.Scheme) + "://" + strings.ToLower(u.Host) + path, nil
}

// nonceFor returns the newest nonce that the server of a URL gave for it; "" if it
// gave none. Nonces are kept by URL, not by origin: an authorization server and an
// MCP server on one host have each their own (RFC 9449, section 9).
func (k *DPoPKey) nonceFor(target string) string {
	htu, _ := proofURL(target)
	k.mu.Lock()
	defer k.mu.Unlock()
	i := k.indexLocked(htu)
	if i < 0 {
		return ""
	}
	return k.nonces[i].value
}

// remember keeps the DPoP-Nonce header of a response from a URL. When there are too
// many, the one that was renewed longest ago goes.
func (k *DPoPKey) remember(target string, h http.Header) {
	value := h.Get("DPoP-Nonce")
	htu, err := proofURL(target)
	if err != nil || !validNonce(value) {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if i := k.indexLocked(htu); i >= 0 {
		k.nonces = slices.Delete(k.nonces, i, i+1)
	} else if len(k.nonces) == maxNonces {
		k.nonces = slices.Delete(k.nonces, 0, 1)
	}
	k.nonces = append(k.nonces, nonce{htu, value})
}

func (k *DPoPKey) indexLocked(htu string) int {
	return slices.IndexFunc(k.nonces, func(n nonce) bool { return n.url == htu })
}

// validNonce reports whether s is a nonce of RFC 9449, section 8.1 (NQCHAR).
func validNonce(s string) bool {
	return s != "" && len(s) <= maxNonceBytes && !strings.ContainsFunc(s, func(r rune) bool {
		return r < 0x21 || r > 0x7e || r == '"' || r == '\\'
	})
}
