package oauth_test

import (
	"context"
	"fmt"
	"net/http"
	"os"

	"github.com/fairlead-mcp/fairlead/mcp/oauth"
)

// A program of the command line: the user logs in once, and the token is kept.
func ExampleListenLoopback() {
	ctx := context.Background()
	store, err := oauth.OpenFileStore(ctx, os.ExpandEnv("$HOME/.local/share/my-program"), nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	login, err := oauth.ListenLoopback(func(link string) { fmt.Println("Log in at", link) }, &oauth.LoopbackOptions{Open: oauth.OpenBrowser})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = login.Close() }()
	client := &http.Client{Transport: oauth.NewTransport("https://mcp.example.com/mcp", &oauth.Options{
		Authorize:   login.Authorize,
		RedirectURI: login.RedirectURI(),
		Store:       store,
	})}
	_ = client // of a streamhttp.Client
}

// A service that acts for itself, and signs who it is.
func ExampleClientCredentials() {
	text, err := os.ReadFile("/etc/my-service/key.pem")
	if err != nil {
		fmt.Println(err)
		return
	}
	key, err := oauth.ParseSigner(text, "ES256", "key-2026")
	if err != nil {
		fmt.Println(err)
		return
	}
	client := &http.Client{Transport: oauth.NewTransport("https://mcp.example.com/mcp", &oauth.Options{
		Flow:          oauth.ClientCredentials{},
		Registrations: []oauth.Registration{{Issuer: "https://login.example.com", ClientID: "my-service"}},
		Signer:        key,
	})}
	_ = client // of a streamhttp.Client
}

// A program in Kubernetes, whose platform renews the token in a file.
func ExampleWorkloadIdentity() {
	client := &http.Client{Transport: oauth.NewTransport("https://mcp.example.com/mcp", &oauth.Options{
		Flow:          oauth.WorkloadIdentity{Assertion: oauth.FromFile("/var/run/secrets/tokens/mcp")},
		Registrations: []oauth.Registration{{Issuer: "https://login.example.com", ClientID: "my-workload"}},
	})}
	_ = client // of a streamhttp.Client
}

// An employee, whose organisation decides which MCP servers may be used.
func ExampleEnterpriseManaged() {
	client := &http.Client{Transport: oauth.NewTransport("https://mcp.example.com/mcp", &oauth.Options{
		Flow: oauth.EnterpriseManaged{
			IDToken:       oauth.FromFile("/run/user/1000/id-token"),
			TokenEndpoint: "https://sso.example.org/token",
			Registration:  oauth.Registration{ClientID: "my-program"},
		},
		Registrations: []oauth.Registration{{Issuer: "https://login.example.com", ClientID: "my-program-at-example"}},
	})}
	_ = client // of a streamhttp.Client
}

// Tokens that are of no use to a thief.
func ExampleNewDPoPKey() {
	key, err := oauth.NewDPoPKey(nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	client := &http.Client{Transport: oauth.NewTransport("https://mcp.example.com/mcp", &oauth.Options{
		Flow:          oauth.ClientCredentials{},
		Registrations: []oauth.Registration{{ClientID: "my-service", ClientSecret: os.Getenv("CLIENT_SECRET")}},
		DPoP:          key,
	})}
	_ = client // of a streamhttp.Client
}
