package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/fairlead-mcp/fairlead/mcp"
)

// resourceFunc reads a resource.
type resourceFunc = func(context.Context, *mcp.Call, string) ([]mcp.ResourceContents, error)

func addResources(s *mcp.Server) error {
	fixed := func(mimeType, text string, blob []byte) resourceFunc {
		return func(_ context.Context, _ *mcp.Call, uri string) ([]mcp.ResourceContents, error) {
			return []mcp.ResourceContents{{URI: uri, MIMEType: mimeType, Text: text, Blob: blob}}, nil
		}
	}
	return errors.Join(
		s.AddResource(mcp.Resource{URI: "test://static-text", Name: "static-text", Description: "Text", MIMEType: "text/plain"},
			fixed("text/plain", "This is the content of the static text resource.", nil)),
		s.AddResource(mcp.Resource{URI: "test://static-binary", Name: "static-binary", Description: "An image", MIMEType: "image/png"},
			fixed("image/png", "", png)),
		s.AddResource(mcp.Resource{URI: "test://watched-resource", Name: "watched-resource", Description: "To subscribe to", MIMEType: "text/plain"},
			fixed("text/plain", "Watched.", nil)),
		s.AddResourceTemplate(mcp.ResourceTemplate{URITemplate: "test://template/{id}/data", Name: "template", Description: "Data by id", MIMEType: "application/json"},
			func(_ context.Context, _ *mcp.Call, uri string, vars map[string]string) ([]mcp.ResourceContents, error) {
				text := fmt.Sprintf(`{"id":%q,"templateTest":true,"data":"Data for ID: %s"}`, vars["id"], vars["id"])
				return []mcp.ResourceContents{{URI: uri, MIMEType: "application/json", Text: text}}, nil
			}),
	)
}
