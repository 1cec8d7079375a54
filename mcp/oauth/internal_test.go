package oauth

// What a document says is read by functions that are not exported: users only see
// what a whole login makes of it.

import (
	"net/url"
	"slices"
	"strings"
	"testing"
)

func TestCanonical(t *testing.T) {
	for in, want := range map[string]string{
		"https://mcp.example.com":           "https://mcp.example.com",
		"https://mcp.example.com/":          "https://mcp.example.com",
		"HTTPS://MCP.Example.COM/Mcp":       "https://mcp.example.com/Mcp",
		"https://mcp.example.com:443/mcp":   "https://mcp.example.com/mcp",
		"https://mcp.example.com:8443":      "https://mcp.example.com:8443",
		"http://localhost:80/mcp/":          "http://localhost/mcp/",
		"http://[::1]:80/mcp":               "http://[::1]/mcp",
		"http://[::1]:8080/mcp":             "http://[::1]:8080/mcp",
		"https://mcp.example.com/?tenant=1": "https://mcp.example.com/?tenant=1",
		"https://mcp.example.com/a%2Fb#top": "https://mcp.example.com/a%2Fb",
	} {
		u, err := url.Parse(in)
		if err != nil {
			t.Fatal(err)
		}
		if got := canonical(u); got != want {
			t.Errorf("canonical(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestParseSecure(t *testing.T) {
	for _, good := range []string{
		"https://example.com/a?b=c", "http://localhost:3000/callback", "http://127.0.0.1/x", "http://127.9.9.9", "http://[::1]:80",
	} {
		if _, err := parseSecure(good); err != nil {
			t.Errorf("parseSecure(%q): %v", good, err)
		}
	}
	for _, bad := range []string{
		"", "example.com", "/authorize", "http://example.com", "http://10.0.0.1/", "http://localhost.example.com/", "http://127.0.0.1.example.com",
		"https://user:secret@example.com/", "https://user@example.com/", "https://example.com/#x", "https://example.com/#", "https:example.com",
		"javascript:alert(1)", "file:///etc/passwd", "data:text/html,x", "ftp://localhost/", "https://", "https://%zz/", "-https://example.com",
		"https://ex\u0430mple.com/", "https://example.com/\u202e",
	} {
		if u, err := parseSecure(bad); err == nil {
			t.Errorf("parseSecure(%q) = %v, want an error", bad, u)
		} else if strings.Contains(err.Error(), "secret") {
			t.Errorf("parseSecure(%q) repeats the password: %v", bad, err)
		}
	}
}

func TestParseMetadataRefuses(t *testing.T) {
	const issuer = "https://as.example.com"
	for name, doc := range map[string]string{
		"not JSON":                       `<html>`,
		"not an object":                  `["issuer"]`,
		"trailing bytes":                 `{"issuer":"https://as.example.com","token_endpoint":"https://as.example.com/t"} {}`,
		"issuer twice":                   `{"issuer":"https://evil.example","issuer":"https://as.example.com","token_endpoint":"https://as.example.com/t"}`,
		"issuer in another case":         `{"Issuer":"https://as.example.com","token_endpoint":"https://as.example.com/t"}`,
		"another issuer":                 `{"issuer":"https://evil.example","token_endpoint":"https://as.example.com/t"}`,
		"issuer with a slash":            `{"issuer":"https://as.example.com/","token_endpoint":"https://as.example.com/t"}`,
		"issuer with a port":             `{"issuer":"https://as.example.com:443","token_endpoint":"https://as.example.com/t"}`,
		"no issuer":                      `{"token_endpoint":"https://as.example.com/t"}`,
		"no token endpoint":              `{"issuer":"https://as.example.com"}`,
		"token endpoint over http":       `{"issuer":"https://as.example.com","token_endpoint":"http://as.example.com/t"}`,
		"token endpoint on this machine": `{"issuer":"https://as.example.com","token_endpoint":"http://localhost/t"}`,
		"script as endpoint":             `{"issuer":"https://as.example.com","token_endpoint":"https://as.example.com/t","authorization_endpoint":"javascript:alert(1)"}`,
		"registration over http":         `{"issuer":"https://as.example.com","token_endpoint":"https://as.example.com/t","registration_endpoint":"http://as.example.com/r"}`,
		"wrong type":                     `{"issuer":"https://as.example.com","token_endpoint":["https://as.example.com/t"]}`,
		"scope with a quote":             `{"issuer":"https://as.example.com","token_endpoint":"https://as.example.com/t","scopes_supported":["a\"b"]}`,
		"too many scopes":                `{"issuer":"https://as.example.com","token_endpoint":"https://as.example.com/t","scopes_supported":["a"` + strings.Repeat(`,"a"`, 300) + `]}`,
		"bad UTF-8":                      "{\"issuer\":\"https://as.example.com\",\"token_endpoint\":\"https://as.example.com/t\",\"x\":\"\xff\"}",
	} {
		t.Run(name, func(t *testing.T) {
			if m, err := parseServerMetadata([]byte(doc), issuer); err == nil {
				t.Errorf("got %+v, want an error", m)
			}
		})
	}
	for name, doc := range map[string]string{
		"no resource":             `{"authorization_servers":["https://as.example.com"]}`,
		"no servers":              `{"resource":"https://mcp.example.com"}`,
		"empty servers":           `{"resource":"https://mcp.example.com","authorization_servers":[]}`,
		"server over http":        `{"resource":"https://mcp.example.com","authorization_servers":["http://as.example.com"]}`,
		"server with a query":     `{"resource":"https://mcp.example.com","authorization_servers":["https://as.example.com?a=b"]}`,
		"second server is no URL": `{"resource":"https://mcp.example.com","authorization_servers":["https://as.example.com","x"]}`,
		"resource twice":          `{"resource":"https://a.example","resource":"https://mcp.example.com","authorization_servers":["https://as.example.com"]}`,
	} {
		t.Run(name, func(t *testing.T) {
			if m, err := parseResourceMetadata([]byte(doc)); err == nil {
				t.Errorf("got %+v, want an error", m)
			}
		})
	}
}

// FuzzMetadata: what is taken from a document is what was asked for, and goes
// nowhere that is not secure.
func FuzzMetadata(f *testing.F) {
	for _, seed := range []string{
		`{"resource":"https://mcp.example.com/mcp","authorization_servers":["https://as.example.com/tenant1"],"scopes_supported":["files:read"]}`,
		`{"issuer":"https://as.example.com","authorization_endpoint":"https://as.example.com/authorize","token_endpoint":"https://as.example.com/token","code_challenge_methods_supported":["S256"],"client_id_metadata_document_supported":true,"authorization_response_iss_parameter_supported":true}`,
		`{"issuer":"https://as.example.com","issuer":"https://evil.example","token_endpoint":"//x"}`, `{}`, `[`, `{"scopes_supported":[null]}`,
	} {
		f.Add([]byte(seed))
	}
	const issuer = "https://as.example.com"
	f.Fuzz(func(t *testing.T, data []byte) {
		if m, err := parseServerMetadata(data, issuer); err == nil {
			if m.Issuer != issuer || m.Assumed {
				t.Fatalf("metadata of %q, assumed %v", m.Issuer, m.Assumed)
			}
			for _, endpoint := range []string{m.TokenEndpoint, m.AuthorizationEndpoint, m.RegistrationEndpoint} {
				if endpoint != "" && !strings.HasPrefix(strings.ToLower(endpoint), "https://") {
					t.Fatalf("endpoint %q", endpoint)
				}
			}
			if m.TokenEndpoint == "" || slices.ContainsFunc(m.ScopesSupported, func(s string) bool { return !isScope(s) }) {
				t.Fatalf("%+v", m)
			}
		}
		if m, err := parseResourceMetadata(data); err == nil {
			if m.Resource == "" || len(m.AuthorizationServers) == 0 {
				t.Fatalf("%+v", m)
			}
			for _, s := range m.AuthorizationServers {
				if _, err := parseIssuer(s); err != nil {
					t.Fatal(err)
				}
			}
		}
	})
}
