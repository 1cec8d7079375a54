package oauth

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// offlineAccess is the scope that asks for a refresh token (OpenID Connect Core
// 1.0, section 11).
const offlineAccess = "offline_access"

// AuthorizationError is an authorization response with an error (RFC 6749, section
// 4.1.2.1), such as access_denied. Its texts come from the authorization server:
// printable ASCII, at most some hundred characters.
type AuthorizationError struct {
	Code        string
	Description string
	URI         string
}

func (e *AuthorizationError) Error() string {
	msg := "oauth: authorization failed: " + e.Code
	if e.Description != "" {
		msg += ": " + e.Description
	}
	if e.URI != "" {
		msg += " (see " + e.URI + ")"
	}
	return msg
}

// codeFlow is the authorization code grant with PKCE (OAuth 2.1, section 4.1), the
// flow of a user with a browser.
type codeFlow struct {
	authorize   func(ctx context.Context, authorizationURL string) (string, error)
	redirectURI string
}

// attempt is one authorization request, with what its response is held against.
type attempt struct {
	server   *Server
	redirect *url.URL
	state    string
	verifier string
	scopes   []string
}

// Token implements [Flow].
func (f *codeFlow) Token(ctx context.Context, s *Server) (*Token, error) {
	if err := supportsCode(s.Metadata); err != nil {
		return nil, err
	}
	redirect, err := url.Parse(f.redirectURI)
	if err != nil {
		return nil, fmt.Errorf("oauth: the redirect URI is not a URL")
	}
	a := &attempt{server: s, redirect: redirect, state: rand.Text(), verifier: verifier(), scopes: s.Scopes}
	if slices.Contains(s.Metadata.ScopesSupported, offlineAccess) {
		a.scopes = union(a.scopes, offlineAccess)
	}
	link, err := a.link(f.redirectURI)
	if err != nil {
		return nil, err
	}
	redirected, err := f.authorize(ctx, link)
	if err != nil {
		return nil, fmt.Errorf("oauth: authorization at %s: %w", s.Metadata.Issuer, err)
	}
	code, err := a.response(redirected)
	if err != nil {
		return nil, err
	}
	t, err := s.Request(ctx, url.Values{
		"grant_type":    {"authorization_code"},
		"code":          {code},
		"redirect_uri":  {f.redirectURI},
		"code_verifier": {a.verifier},
		"resource":      {s.Resource},
	})
	if err != nil {
		return nil, err
	}
	if t.Scopes == nil { // as asked for (RFC 6749, section 5.1)
		t.Scopes = a.scopes
	}
	return t, nil
}

// supportsCode refuses servers that do not say that they check PKCE with S256 (MCP
// 2026-07-28, basic/authorization/security-considerations). One of 2025-03-26 has no
// metadata to say it in.
func supportsCode(m *ServerMetadata) error {
	switch {
	case m.Assumed:
		return nil
	case !slices.Contains(m.CodeChallengeMethodsSupported, "S256"):
		return fmt.Errorf("oauth: %s does not say that it supports PKCE with S256 (code_challenge_methods_supported): an authorization code could be stolen, and the login is not started", m.Issuer)
	case m.AuthorizationEndpoint == "":
		return fmt.Errorf("oauth: %s has no authorization_endpoint: users cannot log in there", m.Issuer)
	case m.ResponseTypesSupported != nil && !slices.Contains(m.ResponseTypesSupported, "code"):
		return fmt.Errorf("oauth: %s does not support the response type code", m.Issuer)
	case m.GrantTypesSupported != nil && !slices.Contains(m.GrantTypesSupported, "authorization_code"):
		return fmt.Errorf("oauth: %s does not support the grant authorization_code", m.Issuer)
	}
	return nil
}

// verifier is a code verifier of 256 random bits (RFC 7636, section 4.1).
func verifier() string {
	var b [32]byte
	_, _ = rand.Read(b[:]) // never fails
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// link is the authorization request. What the endpoint's own query has stays.
func (a *attempt) link(redirectURI string) (string, error) {
	u, err := parseSecure(a.server.Metadata.AuthorizationEndpoint)
	if err != nil {
		return "", fmt.Errorf("oauth: authorization_endpoint: %w", err)
	}
	sum := sha256.Sum256([]byte(a.verifier))
	q := u.Query()
	for name, value := range map[string]string{
		"response_type":         "code",
		"client_id":             a.server.Registration.ClientID,
		"redirect_uri":          redirectURI,
		"state":                 a.state,
		"code_challenge":        base64.RawURLEncoding.EncodeToString(sum[:]),
		"code_challenge_method": "S256",
		"resource":              a.server.Resource,
	} {
		q.Set(name, value)
	}
	if len(a.scopes) > 0 {
		q.Set("scope", strings.Join(a.scopes, " "))
	}
	if slices.Contains(a.scopes, offlineAccess) {
		q.Set("prompt", "consent") // without it the scope is ignored (OpenID Connect Core 1.0, section 11)
	}
	if a.server.dpop != nil {
		q.Set("dpop_jkt", a.server.dpop.Thumbprint()) // RFC 9449, section 10
	}
	u.RawQuery = q.Encode()
	return u.String(), nil
}

// response reads the authorization response and returns its code. Until state and
// issuer are right nothing of it is repeated: it may come from anybody (MCP
// 2026-07-28, basic/authorization, Authorization Response Validation).
func (a *attempt) response(redirected string) (code string, err error) {
	u, err := url.Parse(redirected)
	if err != nil || originOf(u) != originOf(a.redirect) || u.EscapedPath() != a.redirect.EscapedPath() {
		return "", errors.New("oauth: the authorization response did not come to the redirect URI")
	}
	q, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return "", errors.New("oauth: the authorization response cannot be parsed")
	}
	for name, values := range q {
		if len(values) > 1 && !a.redirect.Query().Has(name) {
			return "", errors.New("oauth: the authorization response has a parameter twice")
		}
	}
	if subtle.ConstantTimeCompare([]byte(q.Get("state")), []byte(a.state)) != 1 {
		return "", errors.New("oauth: the authorization response has another state than the request: it is not an answer to it")
	}
	if err := checkIssuer(a.server.Metadata, q); err != nil {
		return "", err
	}
	if refused := q.Get("error"); refused != "" {
		return "", &AuthorizationError{Code: plain(refused), Description: plain(q.Get("error_description")), URI: plain(q.Get("error_uri"))}
	}
	if code = q.Get("code"); code == "" {
		return "", errors.New("oauth: the authorization response has neither a code nor an error")
	}
	return code, nil
}

// checkIssuer compares the issuer of a response with the one that was asked (RFC
// 9207, section 2.4): byte for byte, no normalisation.
func checkIssuer(m *ServerMetadata, q url.Values) error {
	switch iss, present := q["iss"]; {
	case present && (len(iss) != 1 || iss[0] != m.Issuer):
		return fmt.Errorf("oauth: the authorization response comes from another issuer than %s: its code is not used", m.Issuer)
	case !present && m.IssParameter:
		return fmt.Errorf("oauth: the authorization response does not name its issuer, and %s always does: its code is not used", m.Issuer)
	}
	return nil
}
