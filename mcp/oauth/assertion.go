package oauth

import (
	"crypto/rand"
	"time"
)

// assertionType is the client_assertion_type of RFC 7523, section 2.2.
const assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

// assertionLifetime is how long an assertion is good for: one request, and clocks
// that differ a little.
const assertionLifetime = 2 * time.Minute

// assertion returns a JWT with which a client proves at a token endpoint who it is
// (RFC 7523, section 3). The audience is the issuer identifier of the authorization
// server and nothing else: an assertion that names a token endpoint could be
// replayed by a server that lies about its endpoint.
func (s *Signer) assertion(clientID, audience string) (string, error) {
	now := time.Now()
	return s.jwt("JWT", false, struct {
		Issuer   string `json:"iss"`
		Subject  string `json:"sub"`
		Audience string `json:"aud"`
		ID       string `json:"jti"`
		Issued   int64  `json:"iat"`
		Expires  int64  `json:"exp"`
	}{clientID, clientID, audience, rand.Text(), now.Unix(), now.Add(assertionLifetime).Unix()})
}
