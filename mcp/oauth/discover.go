package oauth

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// metadataTimeout bounds the request for one document.
const metadataTimeout = 15 * time.Second

// The well-known names of RFC 9728, RFC 8414 and OpenID Connect Discovery.
const (
	wellKnownResource = "/.well-known/oauth-protected-resource"
	wellKnownServer   = "/.well-known/oauth-authorization-server"
	wellKnownOpenID   = "/.well-known/openid-configuration"
)

// discovery finds out who issues tokens for one MCP server (MCP 2026-07-28,
// basic/authorization/authorization-server-discovery).
type discovery struct {
	http     *http.Client
	endpoint *url.URL // of the MCP server
	resource string   // the identifier that its metadata must have, in canonical form
	explicit bool     // resource was given by the user, and the endpoint does not stand for it
}

// resourceMetadata asks the MCP server who it is: where its challenge says, or else
// at the well-known places, the more specific first. Nil and no error means that
// there is no document, as in revision 2025-03-26.
func (d *discovery) resourceMetadata(ctx context.Context, c Challenge) (*ResourceMetadata, error) {
	if named, ok := c.Params["resource_metadata"]; ok {
		if _, err := parseSecure(named); err != nil {
			return nil, fmt.Errorf("resource_metadata of the challenge: %w", err)
		}
		data, err := d.fetch(ctx, named, "")
		if err != nil {
			return nil, err
		}
		return d.checkResource(data, named)
	}
	origin := originOf(d.endpoint)
	places := []string{origin + wellKnownResource}
	if specific := resourcePlace(d.endpoint); specific != places[0] {
		places = []string{specific, places[0]}
	}
	for _, place := range places {
		data, err := d.fetch(ctx, place, "")
		if errors.Is(err, errAbsent) {
			continue
		}
		if err != nil {
			return nil, err
		}
		return d.checkResource(data, place)
	}
	return nil, nil
}

// resourcePlace is where the metadata of a resource is by RFC 9728, section 3.1:
// the well-known name goes between host and path.
func resourcePlace(resource *url.URL) string {
	place := originOf(resource) + wellKnownResource
	if path := resource.EscapedPath(); path != "/" {
		place += path
	}
	if resource.RawQuery != "" {
		place += "?" + resource.RawQuery
	}
	return place
}

// checkResource reads a document and holds it against the MCP server (RFC 9728,
// section 3.3): a document of another resource would get a token that another
// server accepts, and send it here. A document of the whole host or of a folder
// counts if it is at the place that only who owns that host or folder can write to.
func (d *discovery) checkResource(data []byte, from string) (*ResourceMetadata, error) {
	m, err := parseResourceMetadata(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", from, err)
	}
	u, err := parseSecure(m.Resource)
	if err != nil {
		return nil, fmt.Errorf("%s: resource: %w", from, err)
	}
	if canonical(u) == d.resource {
		return m, nil
	}
	folder := strings.TrimSuffix(u.EscapedPath(), "/") + "/"
	if !d.explicit && u.RawQuery == "" && originOf(u) == originOf(d.endpoint) &&
		strings.HasPrefix(d.endpoint.EscapedPath(), folder) && resourcePlace(u) == from {
		return m, nil
	}
	return nil, fmt.Errorf("%s describes the resource %q, and the server is %s: its tokens are for somebody else", from, plain(m.Resource), d.resource)
}

// serverMetadata asks an authorization server who it is, in the order of the
// specification.
func (d *discovery) serverMetadata(ctx context.Context, issuer string) (*ServerMetadata, error) {
	u, err := parseIssuer(issuer)
	if err != nil {
		return nil, err
	}
	origin, path := u.Scheme+"://"+u.Host, strings.TrimRight(u.EscapedPath(), "/")
	places := []string{origin + wellKnownServer + path, origin + wellKnownOpenID + path}
	if path != "" {
		places = append(places, origin+path+wellKnownOpenID)
	}
	var tried []error
	for _, place := range places {
		data, err := d.fetch(ctx, place, "")
		if errors.Is(err, errAbsent) {
			tried = append(tried, err)
			continue
		}
		if err != nil {
			return nil, err
		}
		m, err := parseServerMetadata(data, issuer)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", place, err)
		}
		return m, nil
	}
	return nil, fmt.Errorf("authorization server %s has no metadata: %w", issuer, errors.Join(tried...))
}

// ownMetadata takes an MCP server without resource metadata for its own
// authorization server, as revision 2025-03-26 has it: metadata at the root of its
// host, or the default endpoints there.
func (d *discovery) ownMetadata(ctx context.Context) (*ServerMetadata, error) {
	origin := originOf(d.endpoint)
	if _, err := parseIssuer(origin); err != nil {
		return nil, err
	}
	place := origin + wellKnownServer
	data, err := d.fetch(ctx, place, "2025-03-26")
	if errors.Is(err, errAbsent) {
		return assumed(origin), nil
	}
	if err != nil {
		return nil, err
	}
	m, err := parseServerMetadata(data, origin, origin+"/") // one place, two identifiers
	if err != nil {
		return nil, fmt.Errorf("%s: %w", place, err)
	}
	return m, nil
}

// errAbsent says that there is no document at a place, and that the next is to be
// tried.
var errAbsent = errors.New("no metadata document")

// fetch gets one document. A redirect is not followed: a document stands for the
// place where it is. Nor does it count as absent whatever a broken server says: only
// a clear answer leads to the next place.
func (d *discovery) fetch(ctx context.Context, place, version string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, metadataTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, place, nil)
	if err != nil {
		return nil, fmt.Errorf("metadata: %q is not a URL", plain(place))
	}
	req.Header.Set("Accept", "application/json")
	if version != "" { // 2025-03-26, Server Metadata Discovery Headers
		req.Header.Set("MCP-Protocol-Version", version)
	}
	res, err := direct(d.http).Do(req)
	if err != nil {
		return nil, fmt.Errorf("metadata: %w", err)
	}
	defer func() { _ = res.Body.Close() }() // only read from
	kind, _, _ := mime.ParseMediaType(res.Header.Get("Content-Type"))
	switch {
	case res.StatusCode >= 500, res.StatusCode == http.StatusTooManyRequests:
		return nil, fmt.Errorf("metadata: %s answers with status %d; try again later", place, res.StatusCode)
	case res.StatusCode >= 300 && res.StatusCode < 400:
		return nil, fmt.Errorf("%w: %s redirects, which is not followed", errAbsent, place)
	case res.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("%w: %s answers with status %d", errAbsent, place, res.StatusCode)
	case kind != "application/json": // a site that has a page for everything
		return nil, fmt.Errorf("%w: %s answers with content type %q", errAbsent, place, plain(kind))
	}
	data, err := io.ReadAll(io.LimitReader(res.Body, maxMetadata+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("metadata: %s: %w", place, err)
	case len(data) > maxMetadata:
		return nil, fmt.Errorf("metadata: the document at %s is larger than %d bytes", place, maxMetadata)
	}
	return data, nil
}

// direct is a client that follows no redirect.
func direct(c *http.Client) *http.Client {
	own := *c
	own.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &own
}
