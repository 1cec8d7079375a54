package gateway_test

import (
	"context"
	"strings"
	"testing"

	"github.com/fairlead-mcp/fairlead/internal/upstream"
	"github.com/fairlead-mcp/fairlead/mcp"
)

// listing is an upstream with tools and resources of the names given.
func listing(tools, uris []string) mcp.Handler {
	quote := func(names []string, key string) string {
		var b strings.Builder
		for i, name := range names {
			if i > 0 {
				b.WriteByte(',')
			}
			b.WriteString(`{"name":"n","` + key + `":"` + name + `"}`)
		}
		return strings.ReplaceAll(b.String(), `"name":"n","name"`, `"name"`)
	}
	return mcp.HandlerFunc(func(_ context.Context, req *mcp.Request, _ mcp.Sink) (mcp.Result, error) {
		body := map[string]string{
			mcp.MethodDiscover:      `{"supportedVersions":["2026-07-28"],"capabilities":{"tools":{},"resources":{}}}`,
			mcp.MethodListTools:     `{"tools":[` + quote(tools, "name") + `]}`,
			mcp.MethodListResources: `{"resources":[` + quote(uris, "uri") + `]}`,
			mcp.MethodListTemplates: `{"resourceTemplates":[]}`,
		}[req.Method]
		if body == "" {
			return mcp.Result{}, mcp.ErrMethodNotFound(req.Method)
		}
		return mcp.Result{Body: []byte(body)}, nil
	})
}

func TestPoisonedNames(t *testing.T) {
	for _, tt := range []struct {
		kind   upstream.Kind
		name   string // as it stands in JSON
		reason string // empty: it is shown
	}{
		{upstream.Tools, `read_file`, ""},
		{upstream.Tools, `naïve-Straße.v2/x`, ""},
		{upstream.Tools, `читать_файл`, ""},
		{upstream.Tools, `поиск_docs`, ""}, // two words
		{upstream.Tools, `ファイル読む`, ""},
		{upstream.Tools, `r\u0435ad_file`, "look alike"},
		{upstream.Tools, `\u03bfpen`, "look alike"},
		{upstream.Tools, `re\u0000ad`, "control"},
		{upstream.Tools, `read\u001b[2J`, "control"},
		{upstream.Tools, `read\n`, "control"},
		{upstream.Tools, `read\u202efile`, "nobody sees"},
		{upstream.Tools, `re\u200bad`, "nobody sees"},
		{upstream.Tools, `read\ufe0f`, "nobody sees"},
		{upstream.Tools, `re\udb40\udc61ad`, "nobody sees"}, // a tag character
		{upstream.Tools, strings.Repeat("x", 1025), "too long"},
		{upstream.Resources, `file:///Дом/a\u0430.txt`, ""},
		{upstream.Resources, `file:///a\u202etxt.exe`, "nobody sees"},
		{upstream.Resources, `file:///a\u0007`, "control"},
	} {
		t.Run(string(tt.kind)+" "+tt.name[:min(len(tt.name), 40)], func(t *testing.T) {
			m := &member{name: "a", h: listing([]string{tt.name}, nil)}
			list := func(g mcp.Handler) int {
				return len(names(ask(t, g, request(mcp.MethodListTools, `{}`)), "tools", "name"))
			}
			if tt.kind == upstream.Resources {
				m.h = listing(nil, []string{tt.name})
				list = func(g mcp.Handler) int {
					return len(names(ask(t, g, request(mcp.MethodListResources, `{}`)), "resources", "uri"))
				}
			}
			g, _ := newNode(t, nil, m)
			hidden := g.Hidden()
			if tt.reason == "" {
				if len(hidden) != 0 || list(g.Root()) != 1 {
					t.Errorf("hidden: %+v", hidden)
				}
				return
			}
			if len(hidden) != 1 || !strings.Contains(hidden[0].Reason, tt.reason) || list(g.Root()) != 0 {
				t.Errorf("hidden: %+v, want %q", hidden, tt.reason)
			}
		})
	}
}
