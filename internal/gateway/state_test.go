package gateway_test

import (
	"context"
	"encoding/base64"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fairlead-mcp/fairlead/internal/gateway"
	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/mcp/jsonrpc"
)

// asker is an upstream whose tools ask for input once, and then tell the state that came back.
func asker() mcp.Handler {
	return mcp.HandlerFunc(func(_ context.Context, req *mcp.Request, _ mcp.Sink) (mcp.Result, error) {
		switch req.Method {
		case mcp.MethodDiscover:
			return mcp.Result{Body: []byte(`{"supportedVersions":["2026-07-28"],"capabilities":{"tools":{}}}`)}, nil
		case mcp.MethodListTools:
			return mcp.Result{Body: []byte(`{"tools":[{"name":"ask","inputSchema":{"type":"object"}},{"name":"other","inputSchema":{"type":"object"}}]}`)}, nil
		}
		if state, ok := jsonrpc.Unquote(jsonrpc.Get(req.Params, "requestState")); ok {
			return mcp.Result{Body: jsonrpc.Splice(nil, []byte(`{"content":[]}`),
				jsonrpc.Member{Key: "structuredContent", Value: jsonrpc.AppendString(nil, state)})}, nil
		}
		return mcp.Result{Type: mcp.ResultInputRequired, Body: []byte(`{"inputRequests":{},"requestState":"the \"inner\" state"}`)}, nil
	})
}

func TestRequestState(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		keys := []mcp.SealKey{{ID: 2, Secret: [32]byte{2}}, {ID: 1, Secret: [32]byte{1}}}
		g, stop := newNode(t, &gateway.Options{Keys: keys}, &member{name: "a", h: asker()}, &member{name: "b", h: asker()})
		defer stop()
		alice := mcp.Principal{Issuer: "token", Subject: "alice"}
		first := call("a__ask", `{"x":1}`)
		first.Principal = alice
		res, err := g.Root().Handle(t.Context(), first, mcp.Discard)
		if err != nil || res.Type != mcp.ResultInputRequired {
			t.Fatalf("first call: %+v, %v", res, err)
		}
		sealed, _ := jsonrpc.Unquote(jsonrpc.Get(res.Body, "requestState"))
		if sealed == "" || strings.Contains(string(res.Body), "inner") {
			t.Fatalf("the state is not sealed: %s", res.Body)
		}
		retry := func(name, args, state string, p mcp.Principal) *mcp.Request {
			req := request(mcp.MethodCallTool, `{"arguments":`+args+`,"name":"`+name+`","inputResponses":{},"requestState":"`+state+`"}`)
			req.Principal = p
			return req
		}
		body := ask(t, g.Root(), retry("a__ask", `{"x":1}`, sealed, alice))
		if got, _ := jsonrpc.Unquote(jsonrpc.Get([]byte(body), "structuredContent")); got != `the "inner" state` {
			t.Errorf("the upstream got the state %q", got)
		}

		raw, _ := base64.RawURLEncoding.DecodeString(sealed)
		for i := range raw {
			raw[i] ^= 1
			if e := refusal(t, g.Root(), retry("a__ask", `{"x":1}`, base64.RawURLEncoding.EncodeToString(raw), alice)); e.Code != jsonrpc.CodeInvalidParams {
				t.Errorf("byte %d changed: %v", i, e)
			}
			raw[i] ^= 1
		}
		other, _ := newNode(t, nil, &member{name: "a", h: asker()})
		defer other.Close()
		for _, tt := range []struct {
			name string
			h    mcp.Handler
			req  *mcp.Request
		}{
			{"another principal", g.Root(), retry("a__ask", `{"x":1}`, sealed, mcp.Principal{Issuer: "token", Subject: "mallory"})},
			{"anonymous", g.Root(), retry("a__ask", `{"x":1}`, sealed, mcp.Principal{})},
			{"another tool", g.Root(), retry("a__other", `{"x":1}`, sealed, alice)},
			{"another upstream", g.Root(), retry("b__ask", `{"x":1}`, sealed, alice)},
			{"other arguments", g.Root(), retry("a__ask", `{"x":2}`, sealed, alice)},
			{"no envelope", g.Root(), retry("a__ask", `{"x":1}`, "the inner state", alice)},
			{"empty", g.Root(), retry("a__ask", `{"x":1}`, "", alice)},
		} {
			if e := refusal(t, tt.h, tt.req); e.Code != jsonrpc.CodeInvalidParams {
				t.Errorf("%s: %v", tt.name, e)
			}
		}
		time.Sleep(10*time.Minute + time.Second)
		if e := refusal(t, g.Root(), retry("a__ask", `{"x":1}`, sealed, alice)); e.Code != jsonrpc.CodeInvalidParams {
			t.Errorf("expired: %v", e)
		}
	})
}

func TestStateOfAnotherUpstreamUnderTheSameName(t *testing.T) {
	// The params are the same on /mcp/a and /mcp/b: only the envelope tells them apart.
	g, _ := newNode(t, nil, &member{name: "a", h: asker()}, &member{name: "b", h: asker()})
	res, err := one(t, g, "a").Handle(t.Context(), call("ask", `{}`), mcp.Discard)
	if err != nil {
		t.Fatal(err)
	}
	req := request(mcp.MethodCallTool, `{"name":"ask","arguments":{},"requestState":`+string(jsonrpc.Get(res.Body, "requestState"))+`}`)
	if e := refusal(t, one(t, g, "b"), req); e.Code != jsonrpc.CodeInvalidParams {
		t.Errorf("state of a at b: %v", e)
	}
	ask(t, one(t, g, "a"), req)
}

func TestKeysRotate(t *testing.T) {
	old, fresh := mcp.SealKey{ID: 1, Secret: [32]byte{1}}, mcp.SealKey{ID: 2, Secret: [32]byte{2}}
	seal := func(keys ...mcp.SealKey) mcp.Handler {
		g, _ := newNode(t, &gateway.Options{Keys: keys}, &member{name: "a", h: asker()})
		return g.Root()
	}
	res, err := seal(old).Handle(t.Context(), call("a__ask", `{}`), mcp.Discard)
	if err != nil {
		t.Fatal(err)
	}
	req := request(mcp.MethodCallTool, `{"name":"a__ask","arguments":{},"requestState":`+string(jsonrpc.Get(res.Body, "requestState"))+`}`)
	ask(t, seal(fresh, old), req)
	if e := refusal(t, seal(fresh), req); e.Code != jsonrpc.CodeInvalidParams {
		t.Errorf("with a key that is gone: %v", e)
	}
}

func TestInputForACallerWithSession(t *testing.T) {
	// The session at the edge asks on its behalf and sends the retry.
	g, _ := newNode(t, nil, &member{name: "a", h: asker()})
	req := call("a__ask", `{}`)
	req.Meta.Version = mcp.LatestLegacyVersion
	res, err := g.Root().Handle(t.Context(), req, mcp.Discard)
	if err != nil || res.Type != mcp.ResultInputRequired {
		t.Fatalf("got %+v, %v", res, err)
	}
	req = request(mcp.MethodCallTool, `{"name":"a__ask","arguments":{},"requestState":`+string(jsonrpc.Get(res.Body, "requestState"))+`}`)
	req.Meta.Version = mcp.LatestLegacyVersion
	ask(t, g.Root(), req)
}
