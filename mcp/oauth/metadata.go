package oauth

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
)

// maxMetadata bounds a metadata document in bytes: they have some kilobytes.
const maxMetadata = 256 << 10

// ResourceMetadata is what an MCP server says of itself (RFC 9728, section 2): the
// members that a client needs.
type ResourceMetadata struct {
	Resource             string   `json:"resource"`
	AuthorizationServers []string `json:"authorization_servers"`
	ScopesSupported      []string `json:"scopes_supported"`
	Name                 string   `json:"resource_name"`
}

// ServerMetadata is what an authorization server says of itself (RFC 8414, section
// 2; OpenID Connect Discovery 1.0, section 3): the members that a client needs.
type ServerMetadata struct {
	Issuer                string `json:"issuer"`
	AuthorizationEndpoint string `json:"authorization_endpoint"`
	TokenEndpoint         string `json:"token_endpoint"`
	RegistrationEndpoint  string `json:"registration_endpoint"`

	ScopesSupported               []string `json:"scopes_supported"`
	ResponseTypesSupported        []string `json:"response_types_supported"`
	GrantTypesSupported           []string `json:"grant_types_supported"`
	TokenEndpointAuthMethods      []string `json:"token_endpoint_auth_methods_supported"`
	TokenEndpointAuthAlgorithms   []string `json:"token_endpoint_auth_signing_alg_values_supported"`
	CodeChallengeMethodsSupported []string `json:"code_challenge_methods_supported"`
	DPoPAlgorithms                []string `json:"dpop_signing_alg_values_supported"`

	// IssParameter is whether authorization responses name their issuer (RFC 9207).
	IssParameter bool `json:"authorization_response_iss_parameter_supported"`
	// ClientMetadataDocuments is whether the client id may be the URL of a document.
	ClientMetadataDocuments bool `json:"client_id_metadata_document_supported"`

	// Assumed is set where there is no document and the endpoints are the default
	// ones of revision 2025-03-26. Nothing is known of what such a server supports.
	Assumed bool `json:"-"`
}

// assumed is a server of revision 2025-03-26 without metadata (2025-03-26,
// basic/authorization, Fallbacks for Servers without Metadata Discovery).
func assumed(origin string) *ServerMetadata {
	return &ServerMetadata{
		Issuer:                origin,
		AuthorizationEndpoint: origin + "/authorize",
		TokenEndpoint:         origin + "/token",
		RegistrationEndpoint:  origin + "/register",
		Assumed:               true,
	}
}

// parseResourceMetadata reads and checks a document. Whether it is of the right
// resource is for the caller to say.
func parseResourceMetadata(data []byte) (*ResourceMetadata, error) {
	m := &ResourceMetadata{}
	if err := json.Unmarshal(data, m); err != nil {
		return nil, fmt.Errorf("not a metadata document: %w", err)
	}
	if err := checkScopes(m.ScopesSupported); err != nil {
		return nil, err
	}
	if m.Resource == "" {
		return nil, errors.New("the document has no resource")
	}
	if len(m.AuthorizationServers) == 0 {
		return nil, errors.New("the document names no authorization_servers")
	}
	for _, issuer := range m.AuthorizationServers {
		if _, err := parseIssuer(issuer); err != nil {
			return nil, fmt.Errorf("authorization_servers: %w", err)
		}
	}
	return m, nil
}

// parseServerMetadata reads and checks the document of one of issuers, which are
// spellings of one identifier (RFC 8414, section 3.3: identical, not equivalent).
func parseServerMetadata(data []byte, issuers ...string) (*ServerMetadata, error) {
	m := &ServerMetadata{}
	if err := json.Unmarshal(data, m); err != nil {
		return nil, fmt.Errorf("not a metadata document: %w", err)
	}
	if !slices.Contains(issuers, m.Issuer) {
		return nil, fmt.Errorf("the document is of issuer %q, not of %q; it must not be used", plain(m.Issuer), issuers[0])
	}
	if err := checkScopes(m.ScopesSupported); err != nil {
		return nil, err
	}
	issuer, err := parseIssuer(m.Issuer)
	if err != nil {
		return nil, err
	}
	if m.TokenEndpoint == "" {
		return nil, errors.New("the document has no token_endpoint")
	}
	for name, endpoint := range map[string]string{
		"authorization_endpoint": m.AuthorizationEndpoint,
		"token_endpoint":         m.TokenEndpoint,
		"registration_endpoint":  m.RegistrationEndpoint,
	} {
		if endpoint == "" {
			continue
		}
		u, err := parseSecure(endpoint)
		switch {
		case err != nil:
			return nil, fmt.Errorf("%s: %w", name, err)
		case issuer.Scheme == "https" && u.Scheme != "https":
			return nil, fmt.Errorf("%s is not https, and its issuer is", name)
		}
	}
	return m, nil
}

func checkScopes(scopes []string) error {
	if len(scopes) > maxScopes {
		return fmt.Errorf("scopes_supported has more than %d scopes", maxScopes)
	}
	if i := slices.IndexFunc(scopes, func(s string) bool { return !isScope(s) }); i >= 0 {
		return fmt.Errorf("scopes_supported: %q is not a scope", plain(scopes[i]))
	}
	return nil
}

// parseIssuer checks an issuer identifier (RFC 8414, section 2).
func parseIssuer(issuer string) (*url.URL, error) {
	u, err := parseSecure(issuer)
	switch {
	case err != nil:
		return nil, fmt.Errorf("issuer: %w", err)
	case u.RawQuery != "" || u.ForceQuery:
		return nil, fmt.Errorf("issuer %q has a query", plain(issuer))
	}
	return u, nil
}

// parseSecure reads a URL that a credential may be sent to, or a user: https, or
// http to this machine; no user, no fragment (OAuth 2.1, section 1.5).
func parseSecure(raw string) (*url.URL, error) {
	u, err := url.Parse(raw)
	switch {
	case err != nil, strings.ContainsFunc(raw, func(r rune) bool { return r > '~' }): // RFC 3986 is ASCII
		return nil, fmt.Errorf("%q is not a URL", plain(raw))
	case u.Host == "" || u.Opaque != "":
		return nil, fmt.Errorf("%q is not a URL with a host", plain(raw))
	case u.User != nil:
		return nil, errors.New("a URL with a user or password in it")
	case u.Fragment != "" || strings.Contains(raw, "#"):
		return nil, fmt.Errorf("%q has a fragment", plain(raw))
	case u.Scheme == "https", u.Scheme == "http" && isLoopback(u.Hostname()):
		return u, nil
	}
	return nil, fmt.Errorf("%q is neither https nor http on this machine", plain(raw))
}

// isLoopback reports whether a host of a URL is this machine.
func isLoopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.Unmap().IsLoopback() || strings.EqualFold(host, "localhost")
}

// originOf is scheme, host and port, in lower case and without the default port.
func originOf(u *url.URL) string {
	scheme, host, port := strings.ToLower(u.Scheme), strings.ToLower(u.Hostname()), u.Port()
	if strings.Contains(host, ":") { // IPv6
		host = "[" + host + "]"
	}
	if port != "" && !(scheme == "https" && port == "443") && !(scheme == "http" && port == "80") {
		host += ":" + port
	}
	return scheme + "://" + host
}

// canonical is a resource identifier as MCP writes it (2026-07-28,
// basic/authorization, Canonical Server URI): scheme and host in lower case, no
// fragment, no slash alone.
func canonical(u *url.URL) string {
	s := originOf(u)
	if path := u.EscapedPath(); path != "/" || u.RawQuery != "" {
		s += path
	}
	if u.RawQuery != "" {
		s += "?" + u.RawQuery
	}
	return s
}
