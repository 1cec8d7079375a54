package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"strings"

	"github.com/go-json-experiment/json"

	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/mcp/oauth"
)

// clientMetadataURL is what the suite takes for our client's metadata document.
const clientMetadataURL = "https://conformance-test.local/client-metadata.json"

// authContext is what the suite tells the client in scenarios of authorization.
type authContext struct {
	ClientID     string `json:"client_id"`
	ClientSecret string `json:"client_secret"`
}

// authorized is the HTTP client for a scenario: one with authorization where the
// name begins with auth/.
func authorized(name, url string, base http.RoundTripper) (*http.Client, error) {
	if !strings.HasPrefix(name, "auth/") {
		return nil, nil
	}
	var known authContext
	if text := os.Getenv("MCP_CONFORMANCE_CONTEXT"); text != "" {
		if err := json.Unmarshal([]byte(text), &known); err != nil {
			return nil, fmt.Errorf("MCP_CONFORMANCE_CONTEXT: %w", err)
		}
	}
	opts := &oauth.Options{
		Authorize:         approve,
		RedirectURI:       "http://localhost:3000/callback",
		ClientMetadataURL: clientMetadataURL,
		ClientName:        "fairlead-conformance",
		Base:              base,
	}
	if known.ClientID != "" {
		opts.Registrations = []oauth.Registration{{ClientID: known.ClientID, ClientSecret: known.ClientSecret}}
	}
	if err := extend(name, opts); err != nil {
		return nil, err
	}
	return &http.Client{Transport: oauth.NewTransport(url, opts)}, nil
}

// approve is the user: the suite's authorization server redirects at once, and
// nobody listens where to.
func approve(ctx context.Context, link string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, link, nil)
	if err != nil {
		return "", err
	}
	browser := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	res, err := browser.Do(req)
	if err != nil {
		return "", err
	}
	defer func() { _ = res.Body.Close() }() // not read
	to, err := res.Location()
	if err != nil {
		return "", fmt.Errorf("authorization endpoint: status %d: %w", res.StatusCode, err)
	}
	return to.String(), nil
}

// callTestTool does what all scenarios of authorization want done.
func callTestTool(ctx context.Context, c *mcp.Client) error {
	_, err := c.ListTools(ctx)
	if err == nil {
		_, err = c.CallTool(ctx, "test-tool", map[string]any{}, nil)
	}
	return err
}
