package oauth_test

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"os"
	"time"

	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/mcp/oauth"
	"github.com/fairlead-mcp/fairlead/mcp/streamhttp"
)

// A program of the command line: the user logs in once, and the token is kept.
func ExampleListenLoopback() {
	ctx := context.Background()
	store, err := oauth.OpenFileStore(ctx, "/home/me/.local/share/my-program", nil)
	if err != nil {
		log.Fatal(err)
	}
	login, err := oauth.ListenLoopback(func(link string) { fmt.Println("Log in at", link) }, nil)
	if err != nil {
		log.Fatal(err)
	}
	const server = "https://mcp.example.com/mcp"
	remote := streamhttp.NewClient(server, &streamhttp.ClientOptions{
		HTTPClient: &http.Client{Transport: oauth.NewTransport(server, &oauth.Options{
			Authorize:   login.Authorize,
			RedirectURI: login.RedirectURI(),
			Store:       store,
		})},
	})
	client := mcp.NewClient("my-program", "1.0.0", remote, &mcp.ClientOptions{
		Timeout: 5 * time.Minute, // a user is not as fast as a server
	})
	tools, err := client.ListTools(ctx)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(len(tools), "tools")
}

// A service that acts for itself, and signs who it is.
func ExampleClientCredentials() {
	text, err := os.ReadFile("/etc/my-service/key.pem")
	if err != nil {
		log.Fatal(err)
	}
	key, err := oauth.ParseSigner(text, "ES256", "key-2026")
	if err != nil {
		log.Fatal(err)
	}
	const server = "https://mcp.example.com/mcp"
	remote := streamhttp.NewClient(server, &streamhttp.ClientOptions{
		HTTPClient: &http.Client{Transport: oauth.NewTransport(server, &oauth.Options{
			Flow:          oauth.ClientCredentials{},
			Registrations: []oauth.Registration{{Issuer: "https://login.example.com", ClientID: "my-service"}},
			Signer:        key,
		})},
	})
	// The extension is declared with each request.
	client := mcp.NewClient("my-service", "1.0.0", remote, &mcp.ClientOptions{
		Capabilities: &mcp.ClientCapabilities{Extensions: map[string]mcp.Raw{oauth.ExtensionClientCredentials: mcp.Raw(`{}`)}},
	})
	if _, err := client.Discover(context.Background()); err != nil {
		log.Fatal(err)
	}
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
		log.Fatal(err)
	}
	client := &http.Client{Transport: oauth.NewTransport("https://mcp.example.com/mcp", &oauth.Options{
		Flow:          oauth.ClientCredentials{},
		Registrations: []oauth.Registration{{ClientID: "my-service", ClientSecret: os.Getenv("CLIENT_SECRET")}},
		DPoP:          key,
	})}
	_ = client // of a streamhttp.Client
}
