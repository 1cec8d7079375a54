package oauth

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"slices"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Signer signs the JWTs of a client: assertions that prove who it is
// (private_key_jwt) and DPoP proofs. The algorithms are ES256, RS256, PS256 and
// EdDSA (RFC 7518, RFC 8037), asymmetric all of them. Safe for concurrent use if
// its key is. Printed or logged it shows algorithm and key id only.
type Signer struct {
	key   crypto.Signer
	alg   string
	id    string
	jwk   string // the public key, members in the order that a thumbprint wants (RFC 7638, section 3.2)
	thumb string
}

// NewSigner returns a signer with a key: an *ecdsa.PrivateKey on P-256, an
// *rsa.PrivateKey of 2048 bits or more, an ed25519.PrivateKey, or what stands for
// one of these in a hardware module. The algorithm "" means the one of the key,
// RS256 for RSA. The key id is what the authorization server knows the key by, the
// kid of the JWTs; "" leaves it out.
func NewSigner(key crypto.Signer, alg, keyID string) (*Signer, error) {
	s := &Signer{key: key, alg: alg, id: keyID}
	var fits []string // algorithms of the key, the default first
	b64 := base64.RawURLEncoding.EncodeToString
	switch pub := key.Public().(type) {
	case *ecdsa.PublicKey:
		if pub.Curve != elliptic.P256() {
			return nil, fmt.Errorf("oauth: a key on curve %s; ES256 needs P-256", pub.Params().Name)
		}
		point, err := pub.Bytes() // 4, x, y
		if err != nil {
			return nil, fmt.Errorf("oauth: signing key: %w", err)
		}
		fits, s.jwk = []string{"ES256"}, fmt.Sprintf(`{"crv":"P-256","kty":"EC","x":%q,"y":%q}`, b64(point[1:33]), b64(point[33:]))
	case *rsa.PublicKey:
		if bits := pub.N.BitLen(); bits < 2048 {
			return nil, fmt.Errorf("oauth: an RSA key of %d bits; it needs 2048 or more", bits)
		}
		fits, s.jwk = []string{"RS256", "PS256"}, fmt.Sprintf(`{"e":%q,"kty":"RSA","n":%q}`, b64(big.NewInt(int64(pub.E)).Bytes()), b64(pub.N.Bytes()))
	case ed25519.PublicKey:
		fits, s.jwk = []string{"EdDSA"}, fmt.Sprintf(`{"crv":"Ed25519","kty":"OKP","x":%q}`, b64(pub))
	default:
		return nil, fmt.Errorf("oauth: no algorithm signs with a key of type %T; use EC P-256, RSA or Ed25519", pub)
	}
	if s.alg == "" {
		s.alg = fits[0]
	}
	if !slices.Contains(fits, s.alg) {
		return nil, fmt.Errorf("oauth: algorithm %q does not fit the key; it signs with %v", alg, fits)
	}
	sum := sha256.Sum256([]byte(s.jwk))
	s.thumb = b64(sum[:])
	return s, nil
}

// ParseSigner is [NewSigner] with the first private key in PEM text: PKCS #8, SEC 1
// or PKCS #1, not encrypted.
func ParseSigner(text []byte, alg, keyID string) (*Signer, error) {
	for {
		block, rest := pem.Decode(text)
		if block == nil {
			return nil, errors.New("oauth: there is no private key in the PEM text")
		}
		text = rest
		var key any
		var err error
		switch block.Type {
		case "PRIVATE KEY":
			key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
		case "EC PRIVATE KEY":
			key, err = x509.ParseECPrivateKey(block.Bytes)
		case "RSA PRIVATE KEY":
			key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
		case "ENCRYPTED PRIVATE KEY":
			err = errors.New("it is encrypted; decrypt it first, for example with openssl pkcs8")
		default: // certificates, EC parameters
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("oauth: private key: %w", err)
		}
		signer, ok := key.(crypto.Signer)
		if !ok {
			return nil, fmt.Errorf("oauth: a key of type %T cannot sign", key)
		}
		return NewSigner(signer, alg, keyID)
	}
}

// Algorithm returns the name of the algorithm, such as ES256.
func (s *Signer) Algorithm() string { return s.alg }

// Thumbprint returns the SHA-256 thumbprint of the public key (RFC 7638).
func (s *Signer) Thumbprint() string { return s.thumb }

// PublicJWK returns the public key as a JSON Web Key (RFC 7517), for a client
// metadata document or an authorization server's settings.
func (s *Signer) PublicJWK() []byte {
	id, _ := jsontext.AppendQuote(nil, s.id) // a bad UTF-8 byte becomes U+FFFD
	if s.id == "" {
		return []byte(s.jwk)
	}
	return fmt.Appendf(nil, `%s,"alg":%q,"kid":%s,"use":"sig"}`, s.jwk[:len(s.jwk)-1], s.alg, id)
}

// Format prints what is not secret, for every verb.
func (s Signer) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.alg+" key "+s.thumb) }

// jwtHeader is the protected header of a JWT (RFC 7515, section 4.1).
type jwtHeader struct {
	Type string         `json:"typ"`
	Alg  string         `json:"alg"`
	ID   string         `json:"kid,omitzero"`
	JWK  jsontext.Value `json:"jwk,omitzero"`
}

// jwt returns claims as a signed JWT. With embed the public key stands in its header.
func (s *Signer) jwt(typ string, embed bool, claims any) (string, error) {
	h := jwtHeader{Type: typ, Alg: s.alg}
	if embed {
		h.JWK = jsontext.Value(s.jwk)
	} else {
		h.ID = s.id
	}
	head, err := json.Marshal(h)
	if err != nil {
		return "", err
	}
	body, err := json.Marshal(claims)
	if err != nil {
		return "", err
	}
	b64 := base64.RawURLEncoding
	text := b64.AppendEncode(nil, head)
	text = b64.AppendEncode(append(text, '.'), body)
	sig, err := s.sign(text)
	if err != nil {
		return "", fmt.Errorf("oauth: sign: %w", err)
	}
	return string(b64.AppendEncode(append(text, '.'), sig)), nil
}

func (s *Signer) sign(text []byte) ([]byte, error) {
	sum := sha256.Sum256(text)
	switch s.alg {
	case "EdDSA":
		return s.key.Sign(rand.Reader, text, crypto.Hash(0))
	case "PS256":
		return s.key.Sign(rand.Reader, sum[:], &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: crypto.SHA256})
	case "RS256":
		return s.key.Sign(rand.Reader, sum[:], crypto.SHA256)
	}
	der, err := s.key.Sign(rand.Reader, sum[:], crypto.SHA256)
	if err != nil {
		return nil, err
	}
	var point struct{ R, S *big.Int }
	if _, err := asn1.Unmarshal(der, &point); err != nil {
		return nil, err
	}
	if point.R.Sign() < 0 || point.S.Sign() < 0 || point.R.BitLen() > 256 || point.S.BitLen() > 256 {
		return nil, errors.New("the key returned a signature that is not one of P-256")
	}
	sig := make([]byte, 64) // RFC 7518, section 3.4: not DER, but both numbers in full length
	point.R.FillBytes(sig[:32])
	point.S.FillBytes(sig[32:])
	return sig, nil
}
