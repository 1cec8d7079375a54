package legacy_test

import (
	"context"
	"testing"

	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/mcp/internal/legacy"
	"github.com/fairlead-mcp/fairlead/mcp/jsonrpc"
	"github.com/google/go-cmp/cmp"
)

// Extensions are negotiated in initialize, both ways, but for tasks, which have a
// form of their own there.
func TestSessionExtensions(t *testing.T) {
	for _, tt := range []struct{ name, client, server, wantClient, wantServer string }{
		{"none", `{}`, `{}`, ``, ``},
		{
			"apps", `{"extensions":{"io.modelcontextprotocol/ui":{"mimeTypes":["text/html;profile=mcp-app"]}}}`, `{"extensions":{"io.modelcontextprotocol/ui":{}}}`,
			`{"io.modelcontextprotocol/ui":{"mimeTypes":["text/html;profile=mcp-app"]}}`, `{"io.modelcontextprotocol/ui":{}}`,
		},
		{"tasks beside another", `{"extensions":{"io.modelcontextprotocol/tasks":{},"a/b":{}}}`, `{"extensions":{"a/b":{"x":1},"io.modelcontextprotocol/tasks":{}}}`, `{"a/b":{}}`, `{"a/b":{"x":1}}`},
		{"tasks alone", `{"extensions":{"io.modelcontextprotocol/tasks":{}}}`, `{"extensions":{"io.modelcontextprotocol/tasks":{}}}`, ``, ``},
		{"no object", `{"extensions":[1]}`, `{"extensions":null}`, ``, ``},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var seen []byte
			h := mcp.HandlerFunc(func(_ context.Context, req *mcp.Request, _ mcp.Sink) (mcp.Result, error) {
				seen = jsonrpc.Get(req.Meta.Capabilities, "extensions")
				return mcp.Result{Body: []byte(`{"supportedVersions":["2026-07-28"],"capabilities":` + tt.server + `}`)}, nil
			})
			msg, err := jsonrpc.Scan([]byte(`{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":`+tt.client+`,"clientInfo":{"name":"c","version":"1"}}}`), nil)
			if err != nil {
				t.Fatal(err)
			}
			s, result, werr := legacy.New(t.Context(), h, &msg, mcp.Principal{})
			if werr != nil {
				t.Fatal(werr)
			}
			defer s.Close()
			got := jsonrpc.Get(jsonrpc.Get(result, "capabilities"), "extensions")
			if diff := cmp.Diff([]string{tt.wantClient, tt.wantServer}, []string{string(seen), string(got)}); diff != "" {
				t.Errorf("what the handler and the client see (-want +got):\n%s", diff)
			}
		})
	}
}
