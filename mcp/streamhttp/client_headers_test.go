package streamhttp_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/mcp/streamhttp"
	"github.com/google/go-cmp/cmp"
)

// annotated is a tool whose parameter p stands in the header Mcp-Param-<header>.
func annotated(name, header string) string {
	return `{"name":"` + name + `","inputSchema":{"type":"object","properties":{"p":{"type":"string","x-mcp-header":"` + header + `"}}}}`
}

func paramHeaders(h http.Header) map[string]string {
	got := map[string]string{}
	for name, values := range h {
		if strings.HasPrefix(name, "Mcp-Param-") {
			got[name] = strings.Join(values, "|")
		}
	}
	return got
}

func TestClientParamHeaders(t *testing.T) {
	var got map[string]string
	url := fake(t, modern(func(x *exchange) {
		switch x.msg.Method {
		case "tools/list":
			x.result(`{"resultType":"complete","tools":[` + annotated("a", "one") + `,{"name":"plain","inputSchema":{"type":"object"}},` +
				annotated("bad", "no good") + `],"nextCursor":"2"}`)
		default:
			got = paramHeaders(x.r.Header)
			x.result(`{"resultType":"complete","content":[]}`)
		}
	}))
	invalid := map[string]bool{}
	c := dial(t, url, &streamhttp.ClientOptions{OnInvalidTool: func(tool string, err error) {
		if err == nil {
			t.Error("no reason")
		}
		invalid[tool] = true
	}})
	res, err := c.Handle(t.Context(), listTools(), mcp.Discard)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"tools":[` + annotated("a", "one") + `,{"name":"plain","inputSchema":{"type":"object"}}],"nextCursor":"2"}`
	if string(res.Body) != want || !invalid["bad"] || len(invalid) != 1 {
		t.Errorf("list %s, left out %v, want %s", res.Body, invalid, want)
	}
	for _, tt := range []struct {
		tool, params string
		want         map[string]string
	}{
		{"a", `{"name":"a","arguments":{"p":"ü"}}`, map[string]string{"Mcp-Param-One": "=?base64?w7w=?="}},
		{"a", `{"name":"a","arguments":{"p":null}}`, map[string]string{}},
		{"a", `{"name":"a"}`, map[string]string{}},
		{"plain", `{"name":"plain","arguments":{"p":"x"}}`, map[string]string{}},
	} {
		if _, err := c.Handle(t.Context(), request("tools/call", tt.tool, tt.params), mcp.Discard); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("headers of %s (-want +got):\n%s", tt.params, diff)
		}
	}
}

// TestClientHeaderMismatch calls tools of which the client knows nothing, or
// something old.
func TestClientHeaderMismatch(t *testing.T) {
	header, lists, calls := "One", 0, 0
	url := fake(t, modern(func(x *exchange) {
		switch x.msg.Method {
		case "tools/list":
			lists++
			if strings.Contains(string(x.msg.Params), "cursor") {
				x.result(`{"resultType":"complete","tools":[` + annotated("a", header) + `]}`)
			} else {
				x.result(`{"resultType":"complete","tools":[],"nextCursor":"2"}`)
			}
		default:
			calls++
			if x.r.Header.Get("Mcp-Param-"+header) != "v" {
				x.fail(400, mcp.CodeHeaderMismatch, `null`)
				return
			}
			x.result(`{"resultType":"complete","content":[]}`)
		}
	}))
	c := dial(t, url, nil)
	call := request("tools/call", "a", `{"name":"a","arguments":{"p":"v"}}`)
	for _, tt := range []struct {
		name, header string
		lists, calls int
	}{
		{"unknown", "One", 2, 2},
		{"remembered", "One", 2, 3},
		{"changed", "Two", 4, 5},
	} {
		header = tt.header
		if _, err := c.Handle(t.Context(), call, mcp.Discard); err != nil {
			t.Errorf("%s: %v", tt.name, err)
		}
		if lists != tt.lists || calls != tt.calls {
			t.Errorf("%s: %d lists, %d calls so far, want %d, %d", tt.name, lists, calls, tt.lists, tt.calls)
		}
	}
	// One that cannot be pleased is asked twice, not for ever.
	other := request("tools/call", "b", `{"name":"b"}`)
	if _, err := c.Handle(t.Context(), other, mcp.Discard); !mcp.IsWireError(err) || calls != 7 {
		t.Errorf("%v after %d calls", err, calls)
	}
}
