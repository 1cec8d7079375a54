package oauth

import (
	"context"
	"crypto/x509"
	"net/http"
	"net/url"
)

// Options changes the defaults of a [Transport]. Without Authorize and Flow it uses
// only what its store has: a server that wants more is [ErrLoginRequired].
type Options struct {
	// Authorize sends the user to an authorization URL, and waits for the URL to
	// which the authorization server redirected the browser: RedirectURI with a
	// query. It is called by one request at a time, with the context of that
	// request, and must return when the context ends. [Loopback] has one for
	// programs of the command line. The URL comes from the server, is https or
	// loopback http, and must not pass through a shell.
	Authorize func(ctx context.Context, authorizationURL string) (redirected string, err error)
	// RedirectURI is where the authorization server sends the browser: https, or
	// http on a loopback host. Authorize needs it.
	RedirectURI string
	// Flow gets tokens without a user, such as [ClientCredentials]. It goes before
	// Authorize.
	Flow Flow

	// Registrations are clients that were registered beforehand, one for each
	// authorization server at most. When there are any and none is for the server's
	// authorization server, that is an error: no other kind of registration is
	// tried. One without Issuer is bound to the first authorization server that the
	// MCP server names, as long as the store keeps it; name the issuer wherever the
	// secret is good for more than this one MCP server.
	Registrations []Registration
	// ClientMetadataURL is the https URL of the client's ID metadata document. It is
	// the client id wherever the authorization server takes such documents.
	ClientMetadataURL string
	// ClientName is what dynamic registration calls the client. Empty means
	// "MCP client".
	ClientName string
	// ClientURI is a page about the client, for dynamic registration. Empty means
	// none.
	ClientURI string
	// AskRegistration is the last resort: it asks the user for a client that was
	// registered at issuer by hand. Nil means that there is nobody to ask.
	AskRegistration func(ctx context.Context, issuer string) (Registration, error)
	// Signer proves the client by private_key_jwt, where the registration is of that
	// kind or leaves the kind open. Nil means secrets or none.
	Signer *Signer
	// DPoP binds tokens to a key (RFC 9449). Nil means bearer tokens.
	DPoP *DPoPKey

	// Scopes is asked for first when the server's challenge names none. Nil means
	// the scopes_supported of the server's metadata.
	Scopes []string
	// Resource is the identifier of the server (RFC 8707). Empty means the server's
	// URL. Set it only for a server whose metadata names another, and that is known
	// to be the same.
	Resource string

	// Store keeps grants. Nil means one that ends with the transport.
	Store Store
	// Account tells apart the users that share a Store. Empty is a name like any.
	Account string

	// RootCAs is whom Base and HTTPClient trust where they are nil. Nil means the
	// system's.
	RootCAs *x509.CertPool
	// Base sends the requests to the MCP server. Nil means a transport of its own.
	Base http.RoundTripper
	// HTTPClient makes the requests for metadata, registration and tokens. Redirects
	// are not followed, whatever it says. Nil means a client that connects to public
	// addresses only, or to those of the MCP server's own kind if that is not at a
	// public one, and that waits 30 seconds at most.
	HTTPClient *http.Client
}

// Flow is a way to get a token that needs no user. The transport calls it when it
// has no token, when one has expired and cannot be refreshed, and when a request
// needs more scopes. It is called by one request at a time for each MCP server.
type Flow interface {
	Token(ctx context.Context, s *Server) (*Token, error)
}

// Server is an authorization server, as a [Flow] uses it for one MCP server.
type Server struct {
	// Metadata is that of the authorization server, checked against its issuer.
	Metadata *ServerMetadata
	// Registration is the client at this server. It is zero where there is none and
	// the Flow must know.
	Registration Registration
	// Resource identifies the MCP server, for the resource parameter (RFC 8707).
	Resource string
	// Scopes are to be asked for. Empty means that the scope parameter is left out.
	Scopes []string

	http   *http.Client
	signer *Signer
	dpop   *DPoPKey
}

// Request makes a token request with the client's authentication and, where one is
// configured, with a DPoP proof. An error of the server is a [*TokenError].
func (s *Server) Request(ctx context.Context, form url.Values) (*Token, error) {
	return s.endpoint().request(ctx, form)
}

func (s *Server) endpoint() *tokenEndpoint {
	r := s.Registration
	return &tokenEndpoint{
		url: s.Metadata.TokenEndpoint, issuer: s.Metadata.Issuer, http: s.http, dpop: s.dpop,
		auth: clientAuth{method: r.AuthMethod, id: r.ClientID, secret: r.ClientSecret, signer: s.signer},
	}
}
