package mcp_test

import (
	"context"
	"fmt"

	"github.com/fairlead-mcp/fairlead/mcp"
)

func ExampleAddTool() {
	type in struct {
		City string `json:"city" jsonschema:"where" minLength:"1"`
		Unit string `json:"unit" enum:"C,F" default:"C"`
	}
	type out struct {
		Degrees float64 `json:"degrees"`
		Unit    string  `json:"unit"`
	}
	s := mcp.NewServer("weather", "1.0.0", nil)
	err := mcp.AddTool(s, mcp.Tool{Name: "temperature", Description: "Temperature of a city"},
		func(ctx context.Context, call *mcp.Call, in in) (out, error) {
			return out{Degrees: 21.5, Unit: in.Unit}, nil
		})
	if err != nil {
		panic(err)
	}

	for _, args := range []string{`{"city":"Bonn"}`, `{"unit":"K"}`} {
		req := &mcp.Request{Method: mcp.MethodCallTool, Name: "temperature", Arguments: []byte(args)}
		res, err := s.Handle(context.Background(), req, mcp.Discard)
		if err != nil {
			panic(err)
		}
		var r mcp.ToolResult
		if err := r.UnmarshalJSON(res.Body); err != nil {
			panic(err)
		}
		fmt.Println(r.Text())
	}
	// Output:
	// {"degrees":21.5,"unit":"C"}
	// Invalid arguments for tool temperature:
	// - /unit: must be one of "C", "F"
	// - /city: is required
}

func ExampleServer_AddResourceTemplate() {
	s := mcp.NewServer("notes", "1.0.0", nil)
	err := s.AddResourceTemplate(mcp.ResourceTemplate{URITemplate: "note://{user}/{+path}{?rev}", Name: "notes", MIMEType: "text/plain"},
		func(ctx context.Context, call *mcp.Call, uri string, vars map[string]string) ([]mcp.ResourceContents, error) {
			if vars["user"] != "ada" {
				return nil, mcp.ErrResourceNotFound
			}
			return []mcp.ResourceContents{{Text: vars["path"] + " at " + vars["rev"]}}, nil
		})
	if err != nil {
		panic(err)
	}
	for _, uri := range []string{"note://ada/a/b?rev=3", "note://bob/a"} {
		_, err := s.Handle(context.Background(), &mcp.Request{Method: mcp.MethodReadResource, Name: uri}, mcp.Discard)
		fmt.Println(uri, err)
	}
	// Output:
	// note://ada/a/b?rev=3 <nil>
	// note://bob/a Resource not found (code -32602)
}
