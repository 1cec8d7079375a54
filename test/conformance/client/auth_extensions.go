package main

import (
	"context"
	"fmt"
	"os"

	"github.com/go-json-experiment/json"

	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/mcp/oauth"
)

// extensionContext is what the suite tells the client in scenarios of the
// authorization extensions.
type extensionContext struct {
	PrivateKey  string `json:"private_key_pem"`
	Algorithm   string `json:"signing_algorithm"`
	IDPClientID string `json:"idp_client_id"`
	IDPToken    string `json:"idp_id_token"`
	IDPIssuer   string `json:"idp_issuer"`
	IDPTokenURL string `json:"idp_token_endpoint"`
	WorkloadJWT string `json:"valid_jwt"`
}

// extend sets what the scenarios of the extensions want beside the login.
func extend(name string, opts *oauth.Options) error {
	var known extensionContext
	if text := os.Getenv("MCP_CONFORMANCE_CONTEXT"); text != "" {
		if err := json.Unmarshal([]byte(text), &known); err != nil {
			return fmt.Errorf("MCP_CONFORMANCE_CONTEXT: %w", err)
		}
	}
	var err error
	switch name {
	case "auth/client-credentials-basic":
		opts.Flow = oauth.ClientCredentials{}
	case "auth/client-credentials-jwt":
		opts.Flow = oauth.ClientCredentials{}
		opts.Signer, err = oauth.ParseSigner([]byte(known.PrivateKey), known.Algorithm, "")
	case "auth/enterprise-managed-authorization":
		opts.Flow = oauth.EnterpriseManaged{
			IDToken:       given(known.IDPToken),
			TokenEndpoint: known.IDPTokenURL,
			Registration:  oauth.Registration{Issuer: known.IDPIssuer, ClientID: known.IDPClientID},
		}
	case "auth/wif-jwt-bearer":
		opts.Flow = oauth.WorkloadIdentity{Assertion: given(known.WorkloadJWT)}
	case "auth/dpop", "auth/dpop-nonce":
		opts.DPoP, err = oauth.NewDPoPKey(nil)
	}
	return err
}

// declared is the capabilities of a scenario whose extension wants to be declared.
func declared(name string) *mcp.ClientCapabilities {
	var id string
	switch name {
	case "auth/client-credentials-basic", "auth/client-credentials-jwt":
		id = oauth.ExtensionClientCredentials
	case "auth/enterprise-managed-authorization":
		id = oauth.ExtensionEnterpriseManaged
	default:
		return nil
	}
	return &mcp.ClientCapabilities{Extensions: map[string]mcp.Raw{id: mcp.Raw(`{}`)}}
}

// given is a token that the suite has made.
func given(token string) func(context.Context, string) (string, error) {
	return func(context.Context, string) (string, error) { return token, nil }
}
