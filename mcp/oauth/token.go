package oauth

import (
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"time"
)

// Token is an access token and what came with it (RFC 6749, section 5.1). It
// marshals to JSON in full, for a [Store]; printed or logged it shows its type,
// expiry and scopes only, whatever the verb.
type Token struct {
	// AccessToken is what the Authorization header carries.
	AccessToken string `json:"accessToken"`
	// TokenType is the scheme of the Authorization header: Bearer or DPoP.
	TokenType string `json:"tokenType"`
	// RefreshToken gets the next token without the user. Empty means there is none.
	RefreshToken string `json:"refreshToken,omitempty"`
	// Expiry is when the access token ends. Zero means that the server did not say.
	Expiry time.Time `json:"expiry,omitzero"`
	// Scopes is what was granted; what was asked for, where the server did not say.
	Scopes []string `json:"scopes,omitempty"`
	// Key is the thumbprint (RFC 7638) of the DPoP key that the token is bound to.
	// Empty means that it is bound to none.
	Key string `json:"key,omitempty"`
}

// Valid reports whether the access token can be used now and for leeway longer. A
// token without an expiry is valid until a server refuses it.
func (t *Token) Valid(now time.Time, leeway time.Duration) bool {
	return t != nil && t.AccessToken != "" && (t.Expiry.IsZero() || now.Add(leeway).Before(t.Expiry))
}

// Has reports whether all scopes were granted.
func (t *Token) Has(scopes ...string) bool {
	return t != nil && !slices.ContainsFunc(scopes, func(s string) bool { return !slices.Contains(t.Scopes, s) })
}

// Format prints what is not secret, for every verb: %+v, %x and %d would else
// print the fields.
func (t Token) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, t.String()) }

// String says what the token is, without its secrets.
func (t Token) String() string {
	if t.AccessToken == "" {
		return "no token"
	}
	var b strings.Builder
	b.WriteString(t.TokenType + " token")
	if !t.Expiry.IsZero() {
		b.WriteString(" until " + t.Expiry.UTC().Format(time.RFC3339))
	}
	if len(t.Scopes) > 0 {
		b.WriteString(" for " + strings.Join(t.Scopes, " "))
	}
	return b.String()
}

// LogValue is String: no log shows a secret.
func (t Token) LogValue() slog.Value { return slog.StringValue(t.String()) }
