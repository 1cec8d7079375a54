package oauth

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// The extensions that a client declares in its capabilities when it uses the flow
// (MCP 2026-07-28, extensions).
const (
	ExtensionClientCredentials = "io.modelcontextprotocol/oauth-client-credentials"
	ExtensionEnterpriseManaged = "io.modelcontextprotocol/enterprise-managed-authorization"
)

const (
	grantJWTBearer     = "urn:ietf:params:oauth:grant-type:jwt-bearer"
	grantTokenExchange = "urn:ietf:params:oauth:grant-type:token-exchange"
	tokenTypeIDToken   = "urn:ietf:params:oauth:token-type:id_token"
	tokenTypeIDJAG     = "urn:ietf:params:oauth:token-type:id-jag"
)

// maxAssertion bounds an assertion in bytes.
const maxAssertion = 64 << 10

// ClientCredentials is a [Flow] for a client that acts for itself: a job, a service
// (RFC 6749, section 4.4; extension [ExtensionClientCredentials]). It proves itself
// with the secret of its registration or, better, with Options.Signer.
type ClientCredentials struct{}

// Token implements [Flow].
func (ClientCredentials) Token(ctx context.Context, s *Server) (*Token, error) {
	if s.Registration.ClientID == "" {
		return nil, fmt.Errorf("oauth: client credentials need a client that is registered at %s; set Options.Registrations", s.Metadata.Issuer)
	}
	if s.Registration.AuthMethod == AuthNone {
		return nil, fmt.Errorf("oauth: client %q at %s has neither a secret nor a key that the server takes, and client credentials need one", s.Registration.ClientID, s.Metadata.Issuer)
	}
	return s.grant(ctx, "client_credentials", nil)
}

// WorkloadIdentity is a [Flow] for a program whose platform vouches for it with a
// JWT, such as a service account token of Kubernetes (RFC 7523, section 2.1; MCP
// SEP-1933, a draft). A refusal is final: it is not tried again, nor otherwise.
type WorkloadIdentity struct {
	// Assertion returns a JWT whose audience is the authorization server, given its
	// issuer identifier. It is asked for each token anew; see [FromFile].
	Assertion func(ctx context.Context, issuer string) (string, error)
}

// Token implements [Flow].
func (w WorkloadIdentity) Token(ctx context.Context, s *Server) (*Token, error) {
	assertion, err := w.Assertion(ctx, s.Metadata.Issuer)
	if err != nil {
		return nil, fmt.Errorf("oauth: workload identity: %w", err)
	}
	return s.grant(ctx, grantJWTBearer, url.Values{"assertion": {assertion}})
}

// EnterpriseManaged is a [Flow] in which the identity provider of an organisation
// decides who may use the MCP server (extension [ExtensionEnterpriseManaged]). The
// provider turns the user's ID token into a grant for the authorization server of the
// MCP server, an ID-JAG (RFC 8693), and that server turns it into an access token
// (RFC 7523). The client is known to both: Registration to the provider,
// Options.Registrations to the authorization server.
type EnterpriseManaged struct {
	// IDToken returns the ID token that the user got from the provider at login, given
	// the client id there, its audience. It is asked for each token anew; see
	// [FromFile].
	IDToken func(ctx context.Context, clientID string) (string, error)
	// TokenEndpoint is where the provider exchanges tokens: https, or http on
	// loopback. It comes from the organisation's settings, not from the MCP server.
	TokenEndpoint string
	// Registration is the client at the provider. Issuer is the provider's, the
	// audience of assertions; empty means TokenEndpoint.
	Registration Registration
	// Signer proves the client to the provider by private_key_jwt. Nil means the
	// secret of Registration, or none.
	Signer *Signer
	// HTTPClient makes the requests to the provider. Redirects are not followed,
	// whatever it says. Nil means the client that the transport uses.
	HTTPClient *http.Client
}

// Token implements [Flow].
func (e EnterpriseManaged) Token(ctx context.Context, s *Server) (*Token, error) {
	if _, err := parseSecure(e.TokenEndpoint); err != nil {
		return nil, fmt.Errorf("oauth: token endpoint of the identity provider: %w", err)
	}
	idToken, err := e.IDToken(ctx, e.Registration.ClientID)
	if err != nil {
		return nil, fmt.Errorf("oauth: ID token: %w", err)
	}
	provider := &tokenEndpoint{
		url: e.TokenEndpoint, issuer: e.Registration.Issuer, http: e.HTTPClient,
		auth: clientAuth{method: e.Registration.AuthMethod, id: e.Registration.ClientID, secret: e.Registration.ClientSecret, signer: e.Signer},
	}
	if provider.http == nil {
		provider.http = s.http
	}
	form := url.Values{
		"grant_type":           {grantTokenExchange},
		"requested_token_type": {tokenTypeIDJAG},
		"audience":             {s.Metadata.Issuer},
		"resource":             {s.Resource},
		"subject_token":        {idToken},
		"subject_token_type":   {tokenTypeIDToken},
	}
	if len(s.Scopes) > 0 {
		form.Set("scope", strings.Join(s.Scopes, " "))
	}
	res, err := provider.post(ctx, form)
	if err != nil {
		return nil, fmt.Errorf("identity provider: %w", err)
	}
	if res.IssuedTokenType != tokenTypeIDJAG {
		return nil, fmt.Errorf("oauth: the identity provider %s issued a token of type %q, want an ID-JAG", e.TokenEndpoint, plain(res.IssuedTokenType))
	}
	if err := checkIDJAG(res.AccessToken, s); err != nil {
		return nil, fmt.Errorf("oauth: the identity provider %s issued an ID-JAG that is of no use: %w", e.TokenEndpoint, err)
	}
	return s.grant(ctx, grantJWTBearer, url.Values{"assertion": {res.AccessToken}})
}

// FromFile is an assertion or an ID token in a file, without the space around it. It
// is read anew each time: platforms and logins renew tokens in place.
func FromFile(path string) func(context.Context, string) (string, error) {
	return func(context.Context, string) (string, error) {
		info, err := os.Stat(path)
		if err != nil {
			return "", err
		}
		if !info.Mode().IsRegular() || info.Size() > maxAssertion {
			return "", fmt.Errorf("%s is no file with a token", path)
		}
		data, err := os.ReadFile(path)
		token := strings.TrimSpace(string(data))
		if err == nil && token == "" {
			err = fmt.Errorf("%s is empty", path)
		}
		return token, err
	}
}

// grant asks for a token without a user.
func (s *Server) grant(ctx context.Context, grantType string, form url.Values) (*Token, error) {
	if listed := s.Metadata.GrantTypesSupported; listed != nil && !slices.Contains(listed, grantType) {
		return nil, fmt.Errorf("oauth: %s does not support the grant type %s", s.Metadata.Issuer, grantType)
	}
	if form == nil {
		form = url.Values{}
	}
	form.Set("grant_type", grantType)
	form.Set("resource", s.Resource)
	if len(s.Scopes) > 0 {
		form.Set("scope", strings.Join(s.Scopes, " "))
	}
	if a := form.Get("assertion"); len(a) > maxAssertion {
		return nil, fmt.Errorf("oauth: an assertion of %d bytes, more than %d", len(a), maxAssertion)
	}
	return s.Request(ctx, form)
}

// checkIDJAG says why an ID-JAG is not for this client, server and resource. Its
// signature is for the authorization server to check; what is checked here keeps a
// grant from going where it could be used for something else.
func checkIDJAG(jwt string, s *Server) error {
	var head struct {
		Type string `json:"typ"`
	}
	var claims struct {
		Audience jsontext.Value `json:"aud"`
		ClientID string         `json:"client_id"`
		Resource jsontext.Value `json:"resource"`
		Expires  float64        `json:"exp"`
	}
	if err := decodeJWT(jwt, &head, &claims); err != nil {
		return err
	}
	switch {
	case head.Type != "oauth-id-jag+jwt":
		return fmt.Errorf("its typ is %q", plain(head.Type))
	case !slices.Equal(oneOrMore(claims.Audience), []string{s.Metadata.Issuer}):
		return fmt.Errorf("its audience is %s, want %q", plain(string(claims.Audience)), s.Metadata.Issuer)
	case claims.ClientID != s.Registration.ClientID:
		return fmt.Errorf("its client_id is %q, want %q", plain(claims.ClientID), s.Registration.ClientID)
	case claims.Resource != nil && !slices.Contains(oneOrMore(claims.Resource), s.Resource):
		return fmt.Errorf("its resource is %s, want %q", plain(string(claims.Resource)), s.Resource)
	case time.Now().After(time.Unix(int64(claims.Expires), 0)):
		return errors.New("it has expired")
	}
	return nil
}

// oneOrMore is the strings of a claim that is a string or an array of strings (RFC
// 7519, section 4.1.3).
func oneOrMore(v jsontext.Value) []string {
	var one string
	if json.Unmarshal(v, &one) == nil {
		return []string{one}
	}
	var more []string
	_ = json.Unmarshal(v, &more) // what is neither is none
	return more
}

// decodeJWT reads header and claims of a JWT without trusting them.
func decodeJWT(jwt string, head, claims any) error {
	parts := strings.Split(jwt, ".")
	if len(parts) != 3 {
		return errors.New("it is not a JWT")
	}
	for i, into := range []any{head, claims} {
		data, err := base64.RawURLEncoding.DecodeString(parts[i])
		if err != nil || json.Unmarshal(data, into) != nil {
			return errors.New("it is not a JWT")
		}
	}
	return nil
}
