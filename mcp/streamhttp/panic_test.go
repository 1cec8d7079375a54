package streamhttp_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/mcp/streamhttp"
)

// TestPanics: a panic of the handler is an internal error to its caller in every
// form of a call, is reported with its stack, and leaves nothing held.
func TestPanics(t *testing.T) {
	h := mcp.HandlerFunc(func(_ context.Context, req *mcp.Request, _ mcp.Sink) (mcp.Result, error) {
		if req.Method == mcp.MethodCallTool || req.Method == mcp.MethodListen && strings.Contains(string(req.Params), "x:panic") {
			panic("of " + req.Method)
		}
		return mcp.Result{Body: []byte(`{"supportedVersions":["2026-07-28"],"capabilities":{},"resultType":"complete"}`)}, nil
	})
	var mu sync.Mutex
	var told []string
	e := &endpoint{handler: streamhttp.NewHandler(h, &streamhttp.HandlerOptions{OnPanic: func(method string, value any, stack []byte) {
		mu.Lock()
		defer mu.Unlock()
		if !strings.Contains(string(stack), "TestPanics") {
			t.Errorf("the stack does not show the handler:\n%s", stack)
		}
		told = append(told, method+": "+value.(string))
	}})}
	mux := http.NewServeMux()
	mux.Handle("/mcp", e.handler)
	mux.Handle("/sse/mcp", e.handler.SSE())
	srv := httptest.NewServer(mux)
	defer srv.Close()
	e.url, e.client = srv.URL, srv.Client()
	e.record(t)
	const internal = `{"jsonrpc":"2.0","id":1,"error":{"code":-32603,"message":"internal error"}}`
	want := []string{}
	check := func(name, got, method string) {
		t.Helper()
		if !strings.Contains(got, internal) {
			t.Errorf("%s: got %s", name, got)
		}
		want = append(want, method+": of "+method)
	}

	modern := func(method, params, name string) answer {
		return e.do(t, http.MethodPost, legacyCall("1", method, params+meta),
			"MCP-Protocol-Version: 2026-07-28", "Mcp-Method: "+method, "Mcp-Name: "+name)
	}
	check("a stateless call", modern("tools/call", `"name":"x",`, "x").body, "tools/call")
	check("a stateless stream", modern("subscriptions/listen", `"notifications":{"resourceSubscriptions":["x:panic"]},`, "").body, "subscriptions/listen")

	s := e.session(t, "2025-11-25")
	for range 2 { // the second time the id is free again
		check("a session's call", e.do(t, http.MethodPost, legacyCall("1", "tools/call", `"name":"x"`), s).body, "tools/call")
	}
	old := e.session(t, "2025-03-26")
	check("a batch", e.do(t, http.MethodPost, "["+legacyCall("1", "tools/call", `"name":"x"`)+"]", old).body, "tools/call")
	for _, session := range []string{s, old} {
		if got := e.do(t, http.MethodPost, legacyCall("1", "ping", ""), session); got.status != 200 || strings.Contains(got.body, "error") {
			t.Errorf("ping after it: got %d %s", got.status, got.body)
		}
	}

	e.url += "/sse"
	to, next, _ := e.openOld(t)
	e.say(t, to, initializeOf("2024-11-05"))
	next()
	e.say(t, to, legacyCall("1", "tools/call", `"name":"x"`))
	check("HTTP+SSE", next(), "tools/call")

	mu.Lock()
	defer mu.Unlock()
	if !slices.Equal(told, want) {
		t.Errorf("OnPanic was told of %q, want %q", told, want)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel() // the stream of HTTP+SSE stays open until it is made to end
	_ = e.handler.Close(ended)
}
