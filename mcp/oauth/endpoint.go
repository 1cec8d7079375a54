package oauth

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

const (
	// maxTokenResponse bounds what a token endpoint may answer: a few tokens of a
	// few kilobytes.
	maxTokenResponse = 256 << 10
	// tokenTimeout bounds one request to a token endpoint, retry included.
	tokenTimeout = 30 * time.Second
	// maxLifetime is the longest expires_in that is believed: what is longer would
	// overflow clocks, and means no expiry.
	maxLifetime = 100 * 365 * 24 * time.Hour
)

// The ways in which a client proves itself at a token endpoint (RFC 8414,
// token_endpoint_auth_methods_supported).
const (
	AuthNone          = "none"
	AuthBasic         = "client_secret_basic"
	AuthPost          = "client_secret_post"
	AuthPrivateKeyJWT = "private_key_jwt"
)

// TokenError is a refusal of an authorization server (RFC 6749, section 5.2). Its
// texts come from that server: printable ASCII, at most some hundred characters.
type TokenError struct {
	Code        string // such as invalid_grant
	Description string
	URI         string
	Status      int // HTTP status of the response
}

func (e *TokenError) Error() string {
	msg := fmt.Sprintf("oauth: the authorization server refuses: %s", e.Code)
	if e.Description != "" {
		msg += ": " + e.Description
	}
	if e.URI != "" {
		msg += " (see " + e.URI + ")"
	}
	return msg
}

// clientAuth is a client at one authorization server.
type clientAuth struct {
	method string // one of the Auth constants; "" means the best that the rest allows
	id     string
	secret string
	signer *Signer // for private_key_jwt
}

// apply puts who the client is into a token request.
func (a clientAuth) apply(form url.Values, h http.Header, audience string) error {
	method := a.method
	switch {
	case method != "":
	case a.signer != nil:
		method = AuthPrivateKeyJWT
	case a.secret != "":
		method = AuthBasic
	default:
		method = AuthNone
	}
	switch method {
	case AuthNone:
		if a.id != "" { // the token exchange of some identity providers has no client
			form.Set("client_id", a.id)
		}
		return nil
	case AuthBasic, AuthPost:
		if a.secret == "" {
			return fmt.Errorf("oauth: %s needs a client secret, and client %q has none", method, a.id)
		}
		if method == AuthPost {
			form.Set("client_id", a.id)
			form.Set("client_secret", a.secret)
			return nil
		}
		// RFC 6749, section 2.3.1: both are form-encoded first.
		r := http.Request{Header: h}
		r.SetBasicAuth(url.QueryEscape(a.id), url.QueryEscape(a.secret))
		return nil
	case AuthPrivateKeyJWT:
		if a.signer == nil {
			return fmt.Errorf("oauth: private_key_jwt needs a signing key, and client %q has none", a.id)
		}
		jwt, err := a.signer.assertion(a.id, audience)
		if err != nil {
			return err
		}
		form.Set("client_id", a.id)
		form.Set("client_assertion_type", assertionType)
		form.Set("client_assertion", jwt)
		return nil
	}
	return fmt.Errorf("oauth: client authentication %q is not supported; use %s, %s, %s or %s", method, AuthNone, AuthBasic, AuthPost, AuthPrivateKeyJWT)
}

// tokenEndpoint asks one authorization server for tokens. It follows no redirect:
// a redirect would carry the client's secret and the grant elsewhere.
type tokenEndpoint struct {
	url    string
	issuer string // audience of assertions; "" means the url
	http   *http.Client
	auth   clientAuth
	dpop   *DPoPKey // nil asks for bearer tokens
}

// tokenResponse is a successful answer (RFC 6749, section 5.1; RFC 8693, section
// 2.2.1).
type tokenResponse struct {
	AccessToken     string         `json:"access_token"`
	TokenType       string         `json:"token_type"`
	IssuedTokenType string         `json:"issued_token_type"`
	RefreshToken    string         `json:"refresh_token"`
	ExpiresIn       jsontext.Value `json:"expires_in"` // a number; some servers send it in quotes
	Scope           *string        `json:"scope"`

	refusal // some servers refuse with status 200
}

// refusal is an unsuccessful answer (RFC 6749, section 5.2).
type refusal struct {
	Code        string `json:"error"`
	Description string `json:"error_description"`
	URI         string `json:"error_uri"`
}

func (r *refusal) err(status int) error {
	return &TokenError{Code: plain(r.Code), Description: plain(r.Description), URI: plain(r.URI), Status: status}
}

// request asks for a token. Refusals of the server are a *[TokenError].
func (e *tokenEndpoint) request(ctx context.Context, form url.Values) (*Token, error) {
	asked := time.Now()
	res, err := e.post(ctx, form)
	if err != nil {
		return nil, err
	}
	t := &Token{AccessToken: res.AccessToken, RefreshToken: res.RefreshToken}
	switch {
	case strings.EqualFold(res.TokenType, "DPoP") && e.dpop != nil:
		t.TokenType, t.Key = "DPoP", e.dpop.Thumbprint()
	case strings.EqualFold(res.TokenType, "Bearer") && e.dpop == nil:
		t.TokenType = "Bearer"
	case e.dpop != nil:
		return nil, fmt.Errorf("oauth: %s answered a DPoP request with a token of type %q: it would not be bound to the key", e.url, plain(res.TokenType))
	default:
		return nil, fmt.Errorf("oauth: %s answered with a token of type %q, want Bearer", e.url, plain(res.TokenType))
	}
	switch {
	case res.Scope != nil:
		t.Scopes = strings.Fields(*res.Scope)
	case form.Has("scope"): // granted as asked (RFC 6749, section 5.1)
		t.Scopes = strings.Fields(form.Get("scope"))
	}
	if d := res.lifetime(); d > 0 {
		t.Expiry = asked.Add(d).Round(0)
	}
	return t, nil
}

// refresh spends the refresh token of t (RFC 6749, section 6). Where the server
// does not rotate it, the new token keeps the old one. No scopes means those that
// t has.
func (e *tokenEndpoint) refresh(ctx context.Context, t *Token, resource string, scopes []string) (*Token, error) {
	if t.RefreshToken == "" {
		return nil, errors.New("oauth: there is no refresh token; log in again")
	}
	if t.Key != "" && (e.dpop == nil || e.dpop.Thumbprint() != t.Key) {
		return nil, errors.New("oauth: the token is bound to another DPoP key; log in again")
	}
	form := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {t.RefreshToken}}
	if resource != "" {
		form.Set("resource", resource)
	}
	if len(scopes) > 0 {
		form.Set("scope", strings.Join(scopes, " "))
	}
	fresh, err := e.request(ctx, form)
	if err != nil {
		return nil, err
	}
	if fresh.RefreshToken == "" {
		fresh.RefreshToken = t.RefreshToken
	}
	if fresh.Scopes == nil {
		fresh.Scopes = t.Scopes
	}
	return fresh, nil
}

// post sends a token request, and once more where the server wants a nonce in the
// DPoP proof (RFC 9449, section 8).
func (e *tokenEndpoint) post(ctx context.Context, form url.Values) (*tokenResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, tokenTimeout)
	defer cancel()
	nonce := ""
	if e.dpop != nil {
		nonce = e.dpop.nonceFor(e.url)
	}
	res, err := e.once(ctx, form, nonce)
	var refused *TokenError
	if errors.As(err, &refused) && refused.Code == "use_dpop_nonce" && e.dpop != nil {
		if fresh := e.dpop.nonceFor(e.url); fresh != nonce {
			return e.once(ctx, form, fresh)
		}
	}
	return res, err
}

func (e *tokenEndpoint) once(ctx context.Context, form url.Values, nonce string) (*tokenResponse, error) {
	body := url.Values{}
	maps.Copy(body, form)
	header := http.Header{"Accept": {"application/json"}, "Content-Type": {"application/x-www-form-urlencoded"}}
	audience := e.issuer
	if audience == "" {
		audience = e.url
	}
	if err := e.auth.apply(body, header, audience); err != nil {
		return nil, err
	}
	if e.dpop != nil {
		proof, err := e.dpop.proof(http.MethodPost, e.url, nonce, "")
		if err != nil {
			return nil, err
		}
		header.Set("DPoP", proof)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, e.url, strings.NewReader(body.Encode()))
	if err != nil {
		return nil, errors.New("oauth: the token endpoint is not a URL")
	}
	req.Header = header
	client := *e.http
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	res, err := client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("oauth: token request: %w", err)
	}
	defer func() { _ = res.Body.Close() }() // only read from
	if e.dpop != nil {
		e.dpop.remember(e.url, res.Header)
	}
	data, err := io.ReadAll(io.LimitReader(res.Body, maxTokenResponse+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("oauth: token response of %s: %w", e.url, err)
	case len(data) > maxTokenResponse:
		return nil, fmt.Errorf("oauth: the token response of %s is larger than %d bytes", e.url, maxTokenResponse)
	}
	return readTokenResponse(e.url, res.StatusCode, res.Header.Get("Content-Type"), data)
}

// readTokenResponse tells tokens from refusals. No error holds the body: it may
// hold a token.
func readTokenResponse(from string, status int, contentType string, data []byte) (*tokenResponse, error) {
	mediaType, _, _ := mime.ParseMediaType(contentType)
	isJSON := mediaType == "application/json"
	if status != http.StatusOK {
		var r refusal
		if status >= 400 && isJSON && json.Unmarshal(data, &r) == nil && r.Code != "" {
			return nil, r.err(status)
		}
		if status >= 300 && status < 400 {
			return nil, fmt.Errorf("oauth: %s redirects token requests (status %d), which are not followed", from, status)
		}
		return nil, fmt.Errorf("oauth: %s answered a token request with status %d and no OAuth error", from, status)
	}
	if !isJSON {
		return nil, fmt.Errorf("oauth: %s answered a token request with content type %q, want application/json", from, plain(contentType))
	}
	var res tokenResponse
	if err := json.Unmarshal(data, &res); err != nil {
		return nil, fmt.Errorf("oauth: %s answered a token request with JSON that is no token response", from)
	}
	switch {
	case res.Code != "":
		return nil, res.err(status)
	case res.AccessToken == "":
		return nil, fmt.Errorf("oauth: %s answered a token request without an access token", from)
	case !isToken68(res.AccessToken):
		return nil, fmt.Errorf("oauth: %s answered with an access token that cannot stand in a header", from)
	case res.TokenType == "":
		return nil, fmt.Errorf("oauth: %s answered a token request without a token type", from)
	}
	return &res, nil
}

// lifetime is expires_in; zero when it is missing or makes no sense.
func (r *tokenResponse) lifetime() time.Duration {
	seconds, err := strconv.ParseFloat(strings.Trim(string(r.ExpiresIn), `"`), 64)
	if err != nil || !(seconds >= 0 && seconds < maxLifetime.Seconds()) { // NaN too
		return 0
	}
	return max(time.Duration(seconds*float64(time.Second)), 1) // 0 has ended already, and is not "no end"
}

// isToken68 reports whether s is printable ASCII without spaces, what an
// Authorization header can carry (RFC 6750, section 2.1, read generously).
func isToken68(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool { return r <= 0x20 || r > 0x7e })
}

// plain makes a text of a server safe to show: printable ASCII (RFC 6749 allows no
// more), and short.
func plain(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < 0x20 || r > 0x7e {
			return '?'
		}
		return r
	}, s)
	if len(s) > 300 {
		s = s[:300] + "..."
	}
	return s
}
