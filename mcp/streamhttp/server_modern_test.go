package streamhttp_test

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/mcp/streamhttp"
)

// TestModernHeaders walks the rules of MCP 2026-07-28, basic/transports/streamable-http.
func TestModernHeaders(t *testing.T) {
	e := serve(t, &streamhttp.HandlerOptions{})
	call := func(params string) string {
		return `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{` + params + `}}`
	}
	ok := call(`"name":"echo",` + meta)
	old := strings.ReplaceAll(ok, "2026-07-28", "2025-11-25")
	future := strings.ReplaceAll(ok, "2026-07-28", "2099-01-01")
	v, m, n := "MCP-Protocol-Version: 2026-07-28", "Mcp-Method: tools/call", "Mcp-Name: echo"
	for _, tc := range []struct {
		name    string
		body    string
		headers []string
		status  int
		want    string // in the body
	}{
		{"all there", ok, []string{v, m, n}, 200, `"resultType":"complete"`},
		{"header names in any case", ok, []string{"mcp-protocol-version: 2026-07-28", "MCP-METHOD: tools/call", "mcp-name: echo"}, 200, `"ok"`},
		{"name in base64", ok, []string{v, m, "Mcp-Name: =?base64?ZWNobw==?="}, 200, `"ok"`},
		{"session and last event id mean nothing", ok, []string{v, m, n, "Mcp-Session-Id: gone", "Last-Event-ID: 7"}, 200, `"ok"`},
		{"charset", ok, []string{v, m, n, "Content-Type: application/json; charset=utf-8"}, 200, `"ok"`},
		{"accept anything", ok, []string{v, m, n, "Accept: */*"}, 200, `"ok"`},
		{"accept with weights", ok, []string{v, m, n, "Accept: text/event-stream;q=0.5, application/json;q=0.9"}, 200, `"ok"`},
		{"accept in two lines", ok, []string{v, m, n, "Accept: text/event-stream", "Accept: application/json"}, 200, `"ok"`},

		{"no version header", ok, []string{m, n}, 400, `-32020`},
		{"version header twice", ok, []string{v, v, m, n}, 400, `-32020`},
		{"version header of another revision", ok, []string{"MCP-Protocol-Version: 2025-11-25", m, n}, 400, `-32020`},
		{"no method header", ok, []string{v, n}, 400, `-32020`},
		{"method header twice", ok, []string{v, m, m, n}, 400, `-32020`},
		{"another method", ok, []string{v, "Mcp-Method: tools/list", n}, 400, `-32020`},
		{"method values are case-sensitive", ok, []string{v, "Mcp-Method: Tools/Call", n}, 400, `-32020`},
		{"no name header", ok, []string{v, m}, 400, `-32020`},
		{"name header twice", ok, []string{v, m, n, n}, 400, `-32020`},
		{"another name", ok, []string{v, m, "Mcp-Name: other"}, 400, `does not match`},
		{"base64 of another name", ok, []string{v, m, "Mcp-Name: =?base64?b3RoZXI=?="}, 400, `-32020`},
		{"not base64", ok, []string{v, m, "Mcp-Name: =?base64?ZWNobw?="}, 400, `-32020`},
		{"marker in another case is a name", ok, []string{v, m, "Mcp-Name: =?BASE64?ZWNobw==?="}, 400, `-32020`},
		{"name with bytes above ASCII", ok, []string{v, m, "Mcp-Name: \u00e9"}, 400, `-32020`},

		{"old revision in header and body", old, []string{"MCP-Protocol-Version: 2025-11-25", m, n}, 400, `-32022`},
		{"future revision", future, []string{"MCP-Protocol-Version: 2099-01-01", m, n}, 400, `"supported":["2026-07-28"`},
		{"future revision in the body only", future, []string{v, m, n}, 400, `-32020`},
		{"no _meta", call(`"name":"echo"`), []string{v, m, n}, 400, `-32602`},
		{"no capabilities", call(`"name":"echo","_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}`), []string{v, m, n}, 400, `-32602`},
		{"no version in _meta", call(`"name":"echo","_meta":{"io.modelcontextprotocol/clientCapabilities":{}}`), []string{v, m, n}, 400, `-32602`},
		{"no name", call(meta), []string{v, m, n}, 400, `-32602`},

		{"not JSON", `{"jsonrpc":`, []string{v, m, n}, 400, `-32700`},
		{"batch", "[" + ok + "]", []string{v, m, n}, 400, `-32600`},
		{"duplicate member", `{"jsonrpc":"2.0","id":1,"id":2,"method":"tools/call"}`, []string{v, m, n}, 400, `-32600`},
		{"a response", `{"jsonrpc":"2.0","id":1,"result":{}}`, []string{v}, 400, `-32600`},
		{"an error response", `{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":""}}`, []string{v}, 400, `-32600`},
		{"a notification", `{"jsonrpc":"2.0","method":"notifications/x"}`, []string{v}, 202, ``},
		{"empty", ``, []string{v, m, n}, 400, `-32700`},

		{"content type text", ok, []string{v, m, n, "Content-Type: text/plain"}, 415, `"error"`},
		{"no content type", ok, []string{v, m, n, "Content-Type:"}, 415, `"error"`},
		{"content type twice", ok, []string{v, m, n, "Content-Type: application/json", "Content-Type: text/plain"}, 400, `"error"`},
		{"charset latin1", ok, []string{v, m, n, "Content-Type: application/json; charset=latin1"}, 415, `"error"`},
		{"accept json only", ok, []string{v, m, n, "Accept: application/json"}, 406, `"error"`},
		{"accept events only", ok, []string{v, m, n, "Accept: text/event-stream"}, 406, `"error"`},
		{"accept events with weight 0", ok, []string{v, m, n, "Accept: application/json, text/event-stream;q=0"}, 406, `"error"`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := e.do(t, http.MethodPost, tc.body, tc.headers...)
			if got.status != tc.status || !strings.Contains(got.body, tc.want) {
				t.Errorf("got %d %s, want %d with %s", got.status, got.body, tc.status, tc.want)
			}
			if got.status == http.StatusAccepted && got.body != "" {
				t.Errorf("202 has the body %q", got.body)
			}
			if got.header.Get("Mcp-Session-Id") != "" {
				t.Error("a stateless request got a session")
			}
		})
	}
}

func TestModernStatusOfErrors(t *testing.T) {
	e := serve(t, nil)
	for _, tc := range []struct {
		tool   string
		status int
		want   string
	}{
		{"capability", 400, `"code":-32021`},
		{"params", 200, `"code":-32602`},
		{"broken", 200, `"code":-32603,"message":"internal error"`},
	} {
		t.Run(tc.tool, func(t *testing.T) {
			got := e.callModern(t, tc.tool)
			if got.status != tc.status || !strings.Contains(got.body, tc.want) {
				t.Errorf("got %d %s, want %d with %s", got.status, got.body, tc.status, tc.want)
			}
		})
	}
	got := e.do(t, http.MethodPost, `{"jsonrpc":"2.0","id":"x","method":"no/such","params":{`+meta+`}}`,
		"MCP-Protocol-Version: 2026-07-28", "Mcp-Method: no/such")
	if got.status != 404 || !strings.Contains(got.body, `"id":"x"`) || !strings.Contains(got.body, "-32601") {
		t.Errorf("unknown method: got %d %s", got.status, got.body)
	}
}

func TestModernMethods(t *testing.T) {
	e := serve(t, nil)
	for _, method := range []string{"GET", "DELETE", "PUT", "PATCH", "HEAD"} {
		got := e.do(t, method, "", "MCP-Protocol-Version: 2026-07-28", "Mcp-Session-Id: x")
		if got.status != 405 || got.header.Get("Allow") == "" {
			t.Errorf("%s: got %d, Allow %q", method, got.status, got.header.Get("Allow"))
		}
	}
}

func TestModernRequestReachesHandler(t *testing.T) {
	e := serve(t, &streamhttp.HandlerOptions{Authenticate: func(r *http.Request) (mcp.Principal, error) {
		return mcp.Principal{Issuer: "token", Subject: r.Header.Get("Authorization")}, nil
	}})
	got := e.callModern(t, "who", "Authorization: ada", "Mcp-Param-Region: eu")
	if !strings.Contains(got.body, `"who":"ada"`) {
		t.Errorf("got %s", got.body)
	}
	req := e.last()
	if req.Meta.Version != mcp.LatestVersion || req.Header["Mcp-Param-Region"][0] != "eu" || string(req.ID) != "1" {
		t.Errorf("got %+v", req)
	}
}

func TestModernStreamsWhenNotified(t *testing.T) {
	e := serve(t, nil)
	body := `{"jsonrpc":"2.0","id":"one","method":"tools/call","params":{"name":"progress",` + strings.TrimSuffix(meta, "}") + `,"progressToken":"t"}}}`
	resp, next := e.stream(t, t.Context(), http.MethodPost, body, "MCP-Protocol-Version: 2026-07-28", "Mcp-Method: tools/call", "Mcp-Name: progress")
	if resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "text/event-stream" ||
		resp.Header.Get("X-Accel-Buffering") != "no" || resp.Header.Get("Cache-Control") != "no-cache" {
		t.Errorf("got %d %v", resp.StatusCode, resp.Header)
	}
	for _, want := range []string{`"progress":1`, `"progress":2`, `"id":"one","result":{"resultType":"complete"`, "EOF"} {
		if got := next(); !strings.Contains(got, want) {
			t.Errorf("got event %q, want %s", got, want)
		}
	}
}

func TestModernDisconnectCancels(t *testing.T) {
	e := serve(t, nil)
	ctx, cancel := context.WithCancel(t.Context())
	body, headers := callOf("block")
	done := make(chan struct{})
	req := e.request(t, ctx, http.MethodPost, body, headers...)
	go func() {
		defer close(done)
		if resp, err := e.client.Do(req); err == nil {
			_ = resp.Body.Close()
		}
	}()
	<-e.started
	cancel()
	<-e.ended // the call's context has ended
	<-done
}

func TestModernBigResponse(t *testing.T) {
	e := serve(t, nil)
	got := e.callModern(t, "big")
	if got.status != 200 || len(got.body) < 100_000 || got.header.Get("Content-Length") == "" {
		t.Errorf("got %d, %d bytes, Content-Length %q", got.status, len(got.body), got.header.Get("Content-Length"))
	}
	// The connection serves the next one.
	if got := e.callModern(t, "echo"); got.status != 200 {
		t.Errorf("after it: %d %s", got.status, got.body)
	}
}
