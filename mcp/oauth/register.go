package oauth

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/go-json-experiment/json"
)

// Where a [Registration] comes from.
const (
	SourcePreregistered = "preregistered" // by hand, beforehand
	SourceDocument      = "cimd"          // a client ID metadata document
	SourceDynamic       = "dcr"           // dynamic client registration
)

const (
	maxRegistration     = 256 << 10 // bytes of a registration response
	registrationTimeout = 30 * time.Second
)

// ErrNoRegistration says that the authorization server knows no client that this
// one could be, and offers no way to make one known.
var ErrNoRegistration = errors.New("oauth: no client is registered at the authorization server")

// RegistrationError is a refusal of dynamic registration (RFC 7591, section 3.2.2).
// Its texts come from the server: printable ASCII, at most some hundred characters.
type RegistrationError struct {
	Issuer      string
	Code        string // such as invalid_redirect_uri; empty if the server did not say
	Description string
	Status      int // HTTP status of the response
}

func (e *RegistrationError) Error() string {
	msg := fmt.Sprintf("oauth: %s refuses to register the client (status %d)", e.Issuer, e.Status)
	if e.Code != "" {
		msg += ": " + e.Code
	}
	if e.Description != "" {
		msg += ": " + e.Description
	}
	switch {
	case e.Code == "invalid_redirect_uri":
		msg += "; set Options.RedirectURI to one that it takes, or register a client there by hand"
	case e.Status == http.StatusUnauthorized || e.Status == http.StatusForbidden:
		msg += "; register a client there by hand"
	}
	return msg
}

// register finds out who the client is at an authorization server, in the order of
// the specification (MCP 2026-07-28, basic/authorization/client-registration): known
// beforehand, by a metadata document, dynamically, by asking. kept is what the store
// has, of whatever server; credentials of another server are never used.
func (o *Options) register(ctx context.Context, c *http.Client, m *ServerMetadata, kept Registration) (Registration, error) {
	if len(o.Registrations) > 0 {
		return o.preregistered(m, kept)
	}
	if o.ClientMetadataURL != "" && m.ClientMetadataDocuments {
		r := Registration{Issuer: m.Issuer, ClientID: o.ClientMetadataURL, Source: SourceDocument, AuthMethod: AuthNone}
		if o.Signer != nil && o.signerFits(m) {
			r.AuthMethod = AuthPrivateKeyJWT
		}
		return r, nil
	}
	switch {
	case kept.Issuer != m.Issuer || kept.expired():
	case kept.Source == SourcePreregistered: // the user was asked
		return kept, nil
	case kept.Source == SourceDynamic && kept.RedirectURI == o.RedirectURI:
		return kept, nil
	}
	if o.Flow != nil { // a dynamic client is made for users who log in
		return Registration{Issuer: m.Issuer}, nil
	}
	if m.RegistrationEndpoint != "" {
		return o.dynamic(ctx, c, m)
	}
	if o.AskRegistration != nil {
		r, err := o.AskRegistration(ctx, m.Issuer)
		if err != nil {
			return Registration{}, err
		}
		return o.complete(r, m)
	}
	return Registration{}, fmt.Errorf("%w: %s takes no registrations; register a client there by hand and set Options.Registrations", ErrNoRegistration, m.Issuer)
}

// preregistered picks the client that was registered at the server by hand.
func (o *Options) preregistered(m *ServerMetadata, kept Registration) (Registration, error) {
	if i := slices.IndexFunc(o.Registrations, func(r Registration) bool { return r.Issuer == m.Issuer }); i >= 0 {
		return o.complete(o.Registrations[i], m)
	}
	i := slices.IndexFunc(o.Registrations, func(r Registration) bool { return r.Issuer == "" })
	if i < 0 {
		return Registration{}, fmt.Errorf("oauth: the MCP server's authorization server is %s, and Options.Registrations has a client for %s: if the change is right, register a client there",
			m.Issuer, o.Registrations[0].Issuer)
	}
	r := o.Registrations[i]
	if kept.Source == SourcePreregistered && kept.ClientID == r.ClientID && kept.Issuer != m.Issuer {
		return Registration{}, fmt.Errorf("oauth: the MCP server's authorization server is now %s; client %q belongs to %s and is not used elsewhere: if the change is right, register a client there",
			m.Issuer, r.ClientID, kept.Issuer)
	}
	return o.complete(r, m)
}

// complete binds a client that was registered by hand to its server.
func (o *Options) complete(r Registration, m *ServerMetadata) (Registration, error) {
	if r.Issuer != "" && r.Issuer != m.Issuer {
		return Registration{}, fmt.Errorf("oauth: client %q belongs to %s, and the authorization server is %s", r.ClientID, r.Issuer, m.Issuer)
	}
	if r.expired() {
		return Registration{}, fmt.Errorf("oauth: the secret of client %q at %s ended on %s; get a new one", r.ClientID, m.Issuer, r.SecretExpiry.Format(time.DateOnly))
	}
	r.Issuer, r.Source = m.Issuer, SourcePreregistered
	if r.AuthMethod == "" {
		r.AuthMethod = o.authMethod(r, m)
	}
	return r, nil
}

// authMethod is the best way to prove the client that both sides have. A server that
// does not list its ways has client_secret_basic (RFC 8414, section 2).
func (o *Options) authMethod(r Registration, m *ServerMetadata) string {
	has := func(method string) bool { return slices.Contains(m.TokenEndpointAuthMethods, method) }
	switch {
	case o.Signer != nil && o.signerFits(m):
		return AuthPrivateKeyJWT
	case r.ClientSecret != "" && (has(AuthBasic) || m.TokenEndpointAuthMethods == nil):
		return AuthBasic
	case r.ClientSecret != "" && has(AuthPost):
		return AuthPost
	case r.ClientSecret != "" && !has(AuthNone):
		return AuthBasic // whatever else the server lists, this client cannot
	}
	return AuthNone
}

func (o *Options) signerFits(m *ServerMetadata) bool {
	return slices.Contains(m.TokenEndpointAuthMethods, AuthPrivateKeyJWT) &&
		(m.TokenEndpointAuthAlgorithms == nil || slices.Contains(m.TokenEndpointAuthAlgorithms, o.Signer.Algorithm()))
}

// expired reports whether the secret has ended.
func (r *Registration) expired() bool {
	return !r.SecretExpiry.IsZero() && !time.Now().Before(r.SecretExpiry)
}

// clientMetadata is a registration request (RFC 7591, section 2; OpenID Connect
// Dynamic Client Registration 1.0).
type clientMetadata struct {
	RedirectURIs    []string `json:"redirect_uris"`
	ClientName      string   `json:"client_name"`
	ClientURI       string   `json:"client_uri,omitzero"`
	ApplicationType string   `json:"application_type"`
	GrantTypes      []string `json:"grant_types"`
	ResponseTypes   []string `json:"response_types"`
	AuthMethod      string   `json:"token_endpoint_auth_method"`
	BoundTokens     bool     `json:"dpop_bound_access_tokens,omitzero"`
}

// dynamic registers a client (deprecated in MCP 2026-07-28, and what most servers
// have).
func (o *Options) dynamic(ctx context.Context, c *http.Client, m *ServerMetadata) (Registration, error) {
	ask := clientMetadata{
		RedirectURIs: []string{o.RedirectURI}, ClientName: o.ClientName, ClientURI: o.ClientURI,
		ApplicationType: applicationType(o.RedirectURI),
		GrantTypes:      []string{"authorization_code"}, ResponseTypes: []string{"code"},
		AuthMethod: dynamicMethod(m), BoundTokens: o.DPoP != nil,
	}
	if ask.ClientName == "" {
		ask.ClientName = "MCP client"
	}
	if m.GrantTypesSupported == nil || slices.Contains(m.GrantTypesSupported, "refresh_token") {
		ask.GrantTypes = append(ask.GrantTypes, "refresh_token")
	}
	var got struct {
		ClientID     string `json:"client_id"`
		ClientSecret string `json:"client_secret"`
		SecretExpiry int64  `json:"client_secret_expires_at"`
		AuthMethod   string `json:"token_endpoint_auth_method"`
	}
	if err := postRegistration(ctx, c, m, &ask, &got); err != nil {
		return Registration{}, err
	}
	if got.ClientID == "" {
		return Registration{}, fmt.Errorf("oauth: %s registered a client without a client_id", m.Issuer)
	}
	r := Registration{
		Issuer: m.Issuer, ClientID: got.ClientID, ClientSecret: got.ClientSecret,
		AuthMethod: got.AuthMethod, Source: SourceDynamic, RedirectURI: o.RedirectURI,
	}
	if got.SecretExpiry > 0 && got.ClientSecret != "" {
		r.SecretExpiry = time.Unix(got.SecretExpiry, 0)
	}
	if r.AuthMethod == "" { // the server did not say what it made of the request
		if r.AuthMethod = ask.AuthMethod; r.ClientSecret != "" && r.AuthMethod == AuthNone {
			bare := Options{}
			r.AuthMethod = bare.authMethod(r, m)
		}
	}
	return r, nil
}

// dynamicMethod is what to register for: no secret where the server lets us, since
// this program keeps nothing that its user could not read.
func dynamicMethod(m *ServerMetadata) string {
	for _, method := range []string{AuthNone, AuthBasic, AuthPost} {
		if slices.Contains(m.TokenEndpointAuthMethods, method) {
			return method
		}
	}
	if m.TokenEndpointAuthMethods == nil && !m.Assumed {
		return AuthBasic // the default of RFC 8414
	}
	return AuthNone
}

// applicationType says what kind of client a redirect URI makes (MCP 2026-07-28,
// basic/authorization/client-registration, Application Type).
func applicationType(redirect string) string {
	u, err := url.Parse(redirect)
	if err == nil && u.Scheme == "https" && !isLoopback(u.Hostname()) {
		return "web"
	}
	return "native"
}

func postRegistration(ctx context.Context, c *http.Client, m *ServerMetadata, ask *clientMetadata, got any) error {
	ctx, cancel := context.WithTimeout(ctx, registrationTimeout)
	defer cancel()
	body, err := json.Marshal(ask)
	if err != nil {
		return fmt.Errorf("oauth: register at %s: %w", m.Issuer, err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, m.RegistrationEndpoint, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("oauth: register at %s: its registration endpoint is not a URL", m.Issuer)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json")
	res, err := direct(c).Do(req)
	if err != nil {
		return fmt.Errorf("oauth: register at %s: %w", m.Issuer, err)
	}
	defer func() { _ = res.Body.Close() }() // only read from
	data, err := io.ReadAll(io.LimitReader(res.Body, maxRegistration+1))
	switch {
	case err != nil:
		return fmt.Errorf("oauth: register at %s: %w", m.Issuer, err)
	case len(data) > maxRegistration:
		return fmt.Errorf("oauth: register at %s: the answer is larger than %d bytes", m.Issuer, maxRegistration)
	case res.StatusCode == http.StatusCreated || res.StatusCode == http.StatusOK:
		if err := json.Unmarshal(data, got); err != nil { // the error would repeat the secret
			return fmt.Errorf("oauth: register at %s: the answer is not a client's metadata", m.Issuer)
		}
		return nil
	}
	var refused struct {
		Code        string `json:"error"`
		Description string `json:"error_description"`
	}
	_ = json.Unmarshal(data, &refused) // what is no OAuth error is only a status
	return &RegistrationError{Issuer: m.Issuer, Code: plain(refused.Code), Description: plain(refused.Description), Status: res.StatusCode}
}
