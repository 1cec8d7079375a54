package mcp_test

import (
	"errors"
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/mcp/jsonrpc"
	"github.com/google/go-cmp/cmp"
)

const meta = `"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}`

func scan(t testing.TB, text string) *jsonrpc.Message {
	t.Helper()
	msg, err := jsonrpc.Scan([]byte(text), nil)
	if err != nil {
		t.Fatalf("Scan(%s): %v", text, err)
	}
	return &msg
}

func TestDecodeRequest(t *testing.T) {
	req, err := mcp.DecodeRequest(scan(t, `{"jsonrpc":"2.0","id":"a\u0062","method":"tools/call","params":{"name":"n\u0061me","arguments":{"x":1},`+
		`"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientInfo":{"name":"c"},`+
		`"io.modelcontextprotocol/clientCapabilities":{"roots":{}},"io.modelcontextprotocol/logLevel":"error","progressToken":7,"k":1}}}`))
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{
		"method": req.Method, "name": req.Name, "arguments": string(req.Arguments), "id": string(req.ID),
		"version": string(req.Meta.Version), "info": string(req.Meta.ClientInfo), "capabilities": string(req.Meta.Capabilities),
		"level": string(req.Meta.LogLevel), "token": string(req.Meta.ProgressToken),
	}
	want := map[string]string{
		"method": "tools/call", "name": "name", "arguments": `{"x":1}`, "id": `"a\u0062"`,
		"version": "2026-07-28", "info": `{"name":"c"}`, "capabilities": `{"roots":{}}`,
		"level": "error", "token": "7",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("DecodeRequest (-want +got):\n%s", diff)
	}
}

func TestDecodeRequestRefuses(t *testing.T) {
	const version, capabilities = `"io.modelcontextprotocol/protocolVersion":"2026-07-28"`, `"io.modelcontextprotocol/clientCapabilities":{}`
	tests := []struct {
		name, method, params string
		code                 int
	}{
		{"no params", "tools/list", ``, jsonrpc.CodeInvalidParams},
		{"no meta", "tools/list", `{}`, jsonrpc.CodeInvalidParams},
		{"no version", "tools/list", `{"_meta":{` + capabilities + `}}`, jsonrpc.CodeInvalidParams},
		{"version is a number", "tools/list", `{"_meta":{"io.modelcontextprotocol/protocolVersion":1,` + capabilities + `}}`, jsonrpc.CodeInvalidParams},
		{"no capabilities", "tools/list", `{"_meta":{` + version + `}}`, jsonrpc.CodeInvalidParams},
		{"capabilities are null", "tools/list", `{"_meta":{` + version + `,"io.modelcontextprotocol/clientCapabilities":null}}`, jsonrpc.CodeInvalidParams},
		{"client info is a string", "tools/list", `{"_meta":{` + version + `,` + capabilities + `,"io.modelcontextprotocol/clientInfo":"x"}}`, jsonrpc.CodeInvalidParams},
		{"unknown log level", "tools/list", `{"_meta":{` + version + `,` + capabilities + `,"io.modelcontextprotocol/logLevel":"loud"}}`, jsonrpc.CodeInvalidParams},
		{"fraction as token", "tools/list", `{"_meta":{` + version + `,` + capabilities + `,"progressToken":1.5}}`, jsonrpc.CodeInvalidParams},
		{"null as token", "tools/list", `{"_meta":{` + version + `,` + capabilities + `,"progressToken":null}}`, jsonrpc.CodeInvalidParams},
		{"no name", "tools/call", `{` + meta + `}`, jsonrpc.CodeInvalidParams},
		{"name is a number", "prompts/get", `{"name":1,` + meta + `}`, jsonrpc.CodeInvalidParams},
		{"no uri", "resources/read", `{"name":"x",` + meta + `}`, jsonrpc.CodeInvalidParams},
		{"arguments are an array", "tools/call", `{"name":"x","arguments":[],` + meta + `}`, jsonrpc.CodeInvalidParams},
		{"arguments are null", "tools/call", `{"name":"x","arguments":null,` + meta + `}`, jsonrpc.CodeInvalidParams},
		{"unknown version", "tools/list", `{"_meta":{"io.modelcontextprotocol/protocolVersion":"1900-01-01",` + capabilities + `}}`, mcp.CodeUnsupportedVersion},
		{"future version", "tools/list", `{"_meta":{"io.modelcontextprotocol/protocolVersion":"2030-01-01",` + capabilities + `}}`, mcp.CodeUnsupportedVersion},
		{"version with sessions", "tools/list", `{"_meta":{"io.modelcontextprotocol/protocolVersion":"2025-11-25",` + capabilities + `}}`, mcp.CodeUnsupportedVersion},
	}
	for _, tt := range tests {
		text := `{"jsonrpc":"2.0","id":1,"method":"` + tt.method + `"}`
		if tt.params != "" {
			text = text[:len(text)-1] + `,"params":` + tt.params + `}`
		}
		req, err := mcp.DecodeRequest(scan(t, text))
		if err == nil || err.Code != tt.code || req != nil {
			t.Errorf("%s: got %v, %v, want code %d", tt.name, req, err, tt.code)
		}
	}
	_, err := mcp.DecodeRequest(scan(t, `{"jsonrpc":"2.0","id":1,"method":"x","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"1900-01-01"}}}`))
	if want := `{"supported":["2026-07-28","2025-11-25","2025-06-18","2025-03-26","2024-11-05"],"requested":"1900-01-01"}`; string(err.Data) != want {
		t.Errorf("data of an unknown version: got %s, want %s", err.Data, want)
	}
}

func TestAppendResponse(t *testing.T) {
	hint := mcp.Cache{TTL: 1500*time.Millisecond + 1, Scope: mcp.CachePublic}
	tests := []struct {
		name, method string
		res          mcp.Result
		err          *mcp.Error
		want         string
	}{
		{"nil body", "tools/call", mcp.Result{}, nil, `"result":{"resultType":"complete"}`},
		{"empty body", "tools/call", mcp.Result{Body: []byte("{ }")}, nil, `"result":{"resultType":"complete"}`},
		{"no hint where there is none", "tools/call", mcp.Result{Body: []byte(`{"a":1}`), Cache: hint}, nil, `"result":{"resultType":"complete","a":1}`},
		{"hint", "tools/list", mcp.Result{Body: []byte(`{"a":1}`), Cache: hint}, nil, `"result":{"resultType":"complete","ttlMs":1500,"cacheScope":"public","a":1}`},
		{"default hint", "resources/read", mcp.Result{}, nil, `"result":{"resultType":"complete","ttlMs":0,"cacheScope":"private"}`},
		{"negative hint", "resources/read", mcp.Result{Cache: mcp.Cache{TTL: -1}}, nil, `"result":{"resultType":"complete","ttlMs":0,"cacheScope":"private"}`},
		{"input required", "resources/read", mcp.Result{Type: mcp.ResultInputRequired, Body: []byte(`{"a":1}`), Cache: hint}, nil, `"result":{"resultType":"input_required","a":1}`},
		{"end of a subscription", "subscriptions/listen", mcp.Result{Body: []byte(`{"_meta":{"s":1}}`)}, nil, `"result":{"resultType":"complete","_meta":{"s":1,"io.modelcontextprotocol/subscriptionId":7}}`},
		{"end without body", "subscriptions/listen", mcp.Result{}, nil, `"result":{"resultType":"complete","_meta":{"io.modelcontextprotocol/subscriptionId":7}}`},
		{"error", "tools/list", mcp.Result{}, &mcp.Error{Code: -1, Message: `"x"`, Data: []byte(`[]`)}, `"error":{"code":-1,"message":"\"x\"","data":[]}`},
	}
	for _, tt := range tests {
		got := string(mcp.AppendResponse(nil, []byte("7"), tt.method, tt.res, tt.err))
		if want := `{"jsonrpc":"2.0","id":7,` + tt.want + `}`; got != want {
			t.Errorf("%s:\ngot  %s\nwant %s", tt.name, got, want)
		}
	}
}

func TestAppendRequest(t *testing.T) {
	req := &mcp.Request{
		Method: "tools/call",
		Params: []byte(`{"name":"x","_meta":{"old":1},"arguments":{}}`),
		Meta: mcp.Meta{
			Version:  mcp.Version20250618,
			LogLevel: mcp.LogError,
			Raw:      []byte(`{"progressToken":1,"traceparent":"t"}`),
		},
	}
	const want = `{"jsonrpc":"2.0","id":9,"method":"tools/call","params":{"name":"x","_meta":{"progressToken":"p","traceparent":"t",` +
		`"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{},"io.modelcontextprotocol/logLevel":"error"},"arguments":{}}}`
	if got := string(mcp.AppendRequest(nil, []byte("9"), req, []byte(`"p"`))); got != want {
		t.Errorf("with everything:\ngot  %s\nwant %s", got, want)
	}
	bare := &mcp.Request{Method: "server/discover"}
	msg := scan(t, string(mcp.AppendRequest(nil, []byte("1"), bare, nil)))
	if _, err := mcp.DecodeRequest(msg); err != nil {
		t.Errorf("a bare request does not decode: %v", err)
	}
}

func TestDecodeResponse(t *testing.T) {
	tests := []struct {
		name, result string
		want         mcp.Result
	}{
		{"plain", `{"a":1}`, mcp.Result{Type: mcp.ResultComplete, Body: []byte(`{"a":1}`)}},
		{"hinted", `{"resultType":"complete","a":1,"ttlMs":1500,"cacheScope":"public"}`, mcp.Result{Type: mcp.ResultComplete, Body: []byte(`{"a":1}`), Cache: mcp.Cache{TTL: 1500 * time.Millisecond, Scope: mcp.CachePublic}}},
		{"negative", `{"ttlMs":-5}`, mcp.Result{Type: mcp.ResultComplete, Body: []byte(`{}`), Cache: mcp.Cache{Scope: mcp.CachePrivate}}},
		{"huge", `{"ttlMs":1e300,"cacheScope":"everyone"}`, mcp.Result{Type: mcp.ResultComplete, Body: []byte(`{}`), Cache: mcp.Cache{TTL: math.MaxInt64, Scope: mcp.CachePrivate}}},
		{"task", `{"resultType":"task","taskId":"x","ttlMs":1500}`, mcp.Result{Type: mcp.ResultTask, Body: []byte(`{"taskId":"x","ttlMs":1500}`)}}, // no hint, but a member of the task
		{"state of a task", `{"resultType":"complete","taskId":"x","ttlMs":null}`, mcp.Result{Type: mcp.ResultComplete, Body: []byte(`{"taskId":"x","ttlMs":null}`)}},
		{"input required", `{"resultType":"input_required","requestState":"s"}`, mcp.Result{Type: mcp.ResultInputRequired, Body: []byte(`{"requestState":"s"}`)}},
	}
	for _, tt := range tests {
		text := []byte(`{"jsonrpc":"2.0","id":1,"result":` + tt.result + `}`)
		msg := scan(t, string(text))
		got, err := mcp.DecodeResponse(msg)
		clear(msg.Data) // what is returned shares no bytes
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
	}
	for _, result := range []string{`{"resultType":"tasks"}`, `{"resultType":1}`} {
		if _, err := mcp.DecodeResponse(scan(t, `{"jsonrpc":"2.0","id":1,"result":`+result+`}`)); err == nil || mcp.IsWireError(err) {
			t.Errorf("result %s: got error %v, want one of our own", result, err)
		}
	}
	_, err := mcp.DecodeResponse(scan(t, `{"jsonrpc":"2.0","id":1,"error":{"code":-32601,"message":"no","data":{"a":1}}}`))
	var e *mcp.Error
	if !errors.As(err, &e) || !mcp.IsWireError(err) || e.Code != -32601 || e.Message != "no" || string(e.Data) != `{"a":1}` {
		t.Errorf("error response: got %#v", err)
	}
}

// TestOldCodesAreNotSent: no error of whatever origin reaches a caller of the
// latest revision with a code that only older ones have.
func TestOldCodesAreNotSent(t *testing.T) {
	for _, c := range []struct {
		method     string
		code, want int
	}{
		{mcp.MethodReadResource, -32002, jsonrpc.CodeInvalidParams},
		{mcp.MethodCallTool, -32002, jsonrpc.CodeInternalError},
		{mcp.MethodCallTool, -32042, jsonrpc.CodeInternalError},
		{mcp.MethodCallTool, -32001, -32001}, // without a meaning of the protocol's
		{mcp.MethodCallTool, mcp.CodeHeaderMismatch, mcp.CodeHeaderMismatch},
	} {
		got := string(mcp.AppendResponse(nil, []byte("1"), c.method, mcp.Result{}, mcp.Errorf(c.code, "m")))
		want := fmt.Sprintf(`{"jsonrpc":"2.0","id":1,"error":{"code":%d,"message":"m"}}`, c.want)
		if got != want {
			t.Errorf("%s, code %d: got %s, want %s", c.method, c.code, got, want)
		}
	}
}
