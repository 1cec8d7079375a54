package mcp_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/fairlead-mcp/fairlead/mcp"
)

// templated reads a URI by a server with one template: the variables in order of
// name, or the error's message.
func templated(t testing.TB, text string) func(uri string) string {
	t.Helper()
	s := mcp.NewServer("s", "1", nil)
	must(t, s.AddResourceTemplate(mcp.ResourceTemplate{URITemplate: text, Name: "t"}, func(_ context.Context, _ *mcp.Call, uri string, vars map[string]string) ([]mcp.ResourceContents, error) {
		var out []string
		for _, name := range slices.Sorted(maps.Keys(vars)) {
			out = append(out, name+"="+vars[name])
		}
		return []mcp.ResourceContents{{Text: strings.Join(out, " ")}}, nil
	}))
	return func(uri string) string {
		res, err := s.Handle(t.Context(), &mcp.Request{Method: "resources/read", Name: uri}, mcp.Discard)
		if err != nil {
			return err.Error()
		}
		var r mcp.ReadResourceResult
		must(t, unmarshal(res.Body, &r))
		return r.Contents[0].Text
	}
}

func TestTemplates(t *testing.T) {
	const none = "Resource not found (code -32602)"
	tests := []struct{ template, uri, want string }{
		{"file:///{path}", "file:///a.txt", "path=a.txt"},
		{"file:///{path}", "file:///a%2Fb%20c", "path=a/b c"},
		{"file:///{path}", "file:///a/b", none},
		{"file:///{path}", "file:///", "path="},
		{"file:///{path}", "xfile:///a", none},
		{"file:///{path}", "file:///a%zz", none},
		{"file:///{path}", "file:///a%ff", none},
		{"file:///{path}", "file:///a\nb", none},
		{"file:///{+path}", "file:///a/b?c#d", "path=a/b?c#d"},
		{"x://{a}/{b}", "x://1/2", "a=1 b=2"},
		{"x://{a}-{b}", "x://1-2-3", "a=1-2 b=3"},
		{"x://{a,b}", "x://1,2", "a=1 b=2"},
		{"x://{a,b}", "x://1", "a=1"},
		{"x://h{/a,b}", "x://h/1/2", "a=1 b=2"},
		{"x://h{/a,b}", "x://h/1", "a=1"},
		{"x://h{/a,b}", "x://h", ""},
		{"x://h{/a*}", "x://h/1/2/3%2F4", "a=1/2/3/4"},
		{"x://h{.ext}", "x://h.txt", "ext=txt"},
		{"x://h{#frag}", "x://h#a/b", "frag=a/b"},
		{"x://h{#frag}", "x://h", ""},
		{"x://h{;a,b}", "x://h;a=1;b", "a=1"},
		{"x://h{?a,b}", "x://h?a=1&b=2", "a=1 b=2"},
		{"x://h{?a,b}", "x://h?b=2&a=%31", "a=1 b=2"},
		{"x://h{?a,b}", "x://h?b=2", "b=2"},
		{"x://h{?a,b}", "x://h", ""},
		{"x://h{?a,b}", "x://h?c=2", none},
		{"x://h{?a,b}", "x://h?a=1&a=2", none},
		{"x://h?v=1{&a}", "x://h?v=1&a=2", "a=2"},
		{"x://h?v=1{&a}", "x://h?v=2&a=2", none},
		{"x://h?id={id}", "x://h?id=7", "id=7"},
		{"x://{a:3}", "x://123", "a=123"},
		{"x://{a:3}", "x://1234", none},
		{"x://é/{a}", "x://é/1", "a=1"},
		{"x://(.*)/{a}", "x://(.*)/1", "a=1"},
		{"x://(.*)/{a}", "x://zz/1", none},
	}
	for _, tt := range tests {
		if got := templated(t, tt.template)(tt.uri); got != tt.want {
			t.Errorf("%s of %s: got %q, want %q", tt.uri, tt.template, got, tt.want)
		}
	}
}

func TestTemplatesThatAreRefused(t *testing.T) {
	s := mcp.NewServer("s", "1", nil)
	var many strings.Builder
	for i := range 33 {
		many.WriteString(fmt.Sprintf("{v%d}", i))
	}
	for _, text := range []string{
		"", "{", "}", "x{}", "{a", "a}", "{a{b}}", "{=a}", "{a b}", "{a}{a}", "{?a*}", "{?a:3}", "{a:0}", "{a:x}", "{a:1001}",
		"{?a}x", "{?a}{b}", "{a,}", many.String(), strings.Repeat("x", 2049), "\xff",
	} {
		if err := s.AddResourceTemplate(mcp.ResourceTemplate{URITemplate: text, Name: "t"}, func(context.Context, *mcp.Call, string, map[string]string) ([]mcp.ResourceContents, error) {
			return nil, nil
		}); err == nil {
			t.Errorf("template %.60q was accepted", text)
		}
	}
}

// A hostile URI costs no more than its length.
func TestMatchingIsLinear(t *testing.T) {
	read := templated(t, "x://{+a}a{+b}a{+c}a{+d}!")
	if got := read("x://" + strings.Repeat("a", 8000)); !strings.Contains(got, "not found") {
		t.Errorf("got %.60s", got)
	}
	if got := templated(t, "x://{a}")("x://" + strings.Repeat("a", 9000)); !strings.Contains(got, "not found") {
		t.Errorf("an over-long URI matched: %.60s", got)
	}
}

func FuzzTemplate(f *testing.F) {
	for _, seed := range [][2]string{{"file:///{+path}", "file:///a/b"}, {"x{/a*}{?b,c}", "x/1/2?b=3"}, {"x{;a,b}{#c}", "x;a=1#z"}, {"{a:3}", "%41"}} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, text, uri string) {
		s := mcp.NewServer("s", "1", nil)
		err := s.AddResourceTemplate(mcp.ResourceTemplate{URITemplate: text, Name: "t"}, func(_ context.Context, _ *mcp.Call, _ string, vars map[string]string) ([]mcp.ResourceContents, error) {
			for name := range vars {
				if !strings.Contains(text, name) {
					t.Errorf("variable %q is not in %q", name, text)
				}
			}
			return nil, nil
		})
		if err != nil {
			return
		}
		_, err = s.Handle(t.Context(), &mcp.Request{Method: "resources/read", Name: uri}, mcp.Discard)
		if err != nil && !errors.Is(err, &mcp.Error{Code: -32602}) {
			t.Errorf("reading %q by %q: %v", uri, text, err)
		}
		if !strings.Contains(text, "{") && uri == text && len(uri) > 0 && err != nil && utf8.ValidString(uri) {
			t.Errorf("a template without variables does not match itself: %q", text)
		}
	})
}

func TestReadResource(t *testing.T) {
	s := mcp.NewServer("s", "1", nil)
	text := func(text string) []mcp.ResourceContents { return []mcp.ResourceContents{{Text: text}} }
	must(t, s.AddResource(mcp.Resource{URI: "x:exact", Name: "e", MIMEType: "text/plain"}, func(_ context.Context, c *mcp.Call, uri string) ([]mcp.ResourceContents, error) {
		c.SetCache(mcp.Cache{TTL: time.Minute, Scope: mcp.CachePublic})
		return text("exact"), nil
	}))
	tmpl := func(uriTemplate string) {
		must(t, s.AddResourceTemplate(mcp.ResourceTemplate{URITemplate: uriTemplate, Name: "t"}, func(_ context.Context, _ *mcp.Call, _ string, vars map[string]string) ([]mcp.ResourceContents, error) {
			switch vars["v"] {
			case "gone":
				return nil, fmt.Errorf("row: %w", mcp.ErrResourceNotFound)
			case "broken":
				return nil, errors.New("/var/secret: no such file")
			case "denied":
				return nil, &mcp.Error{Code: -31005, Message: "denied"}
			case "blob":
				return []mcp.ResourceContents{{URI: "x:other", MIMEType: "image/png", Blob: []byte{}}}, nil
			}
			return text(uriTemplate), nil
		}))
	}
	tmpl("x:{v}")
	tmpl("x:special{v}")
	notFound := func(uri string) string {
		return `{"jsonrpc":"2.0","id":1,"error":{"code":-32602,"message":"Resource not found","data":{"uri":"` + uri + `"}}}`
	}
	tests := []struct{ uri, want string }{
		{"x:exact", `{"contents":[{"uri":"x:exact","mimeType":"text/plain","text":"exact"}]}`},
		{"x:any", `{"contents":[{"uri":"x:any","text":"x:{v}"}]}`},
		{"x:special1", `{"contents":[{"uri":"x:special1","text":"x:special{v}"}]}`},
		{"x:blob", `{"contents":[{"uri":"x:other","mimeType":"image/png","blob":""}]}`},
		{"y:1", notFound("y:1")},
		{"x:gone", notFound("x:gone")},
		{"x:broken", errorText("-32603", "internal error")},
		{"x:denied", errorText("-31005", "denied")},
	}
	for _, tt := range tests {
		if got := handle(t, s, "resources/read", `{"uri":"`+tt.uri+`"}`); got != tt.want {
			t.Errorf("%s:\ngot  %s\nwant %s", tt.uri, got, tt.want)
		}
	}
	res, err := s.Handle(t.Context(), request(t, "resources/read", `{"uri":"x:exact"}`), mcp.Discard)
	if err != nil || res.Cache.TTL != time.Minute || res.Cache.Scope != mcp.CachePublic {
		t.Errorf("hint: got %+v, %v", res.Cache, err)
	}
	want := `{"resourceTemplates":[{"uriTemplate":"x:{v}","name":"t"},{"uriTemplate":"x:special{v}","name":"t"}]}`
	if got := handle(t, s, "resources/templates/list", `{}`); got != want {
		t.Errorf("templates: got %s, want %s", got, want)
	}
	s.RemoveResourceTemplates("x:{v}", "x:special{v}")
	if got := handle(t, s, "resources/read", `{"uri":"x:any"}`); got != notFound("x:any") {
		t.Errorf("after its template went: got %s", got)
	}
	for _, r := range []mcp.Resource{{URI: "relative", Name: "n"}, {URI: "x:y"}, {Name: "n"}} {
		if s.AddResource(r, func(context.Context, *mcp.Call, string) ([]mcp.ResourceContents, error) { return nil, nil }) == nil {
			t.Errorf("resource %+v was accepted", r)
		}
	}
}
