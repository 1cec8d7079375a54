package legacy_test

import (
	"errors"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/mcp/internal/legacy"
	"github.com/fairlead-mcp/fairlead/mcp/jsonrpc"
)

// TestQuestions has servers of all revisions ask, and looks at what callers are asked.
func TestQuestions(t *testing.T) {
	const page = `{"mode":"url","message":"log in","url":"https://x.example/login","elicitationId":"e-1"}`
	tests := []struct {
		name, version, offered, caller string
		method, params                 string
		want                           string // inputRequests, or empty
		code                           int    // of the refusal
	}{
		{"form", "2025-06-18", allOf, allOf, mcp.MethodElicit, form, `{"q1":{"method":"elicitation/create","params":` + form + `}}`, 0},
		{
			"form by mode, with a task and a token", "2025-11-25", allOf, allOf, mcp.MethodElicit,
			`{"mode":"form","message":"m","requestedSchema":{},"task":{"ttl":1},"_meta":{"progressToken":3,"x/y":1,"io.modelcontextprotocol/related-task":{"taskId":"t"}}}`,
			`{"q1":{"method":"elicitation/create","params":{"mode":"form","message":"m","requestedSchema":{},"_meta":{"x/y":1}}}}`, 0,
		},
		{"page", "2025-11-25", allOf, allOf, mcp.MethodElicit, page, `{"e-1":{"method":"elicitation/create","params":{"mode":"url","message":"log in","url":"https://x.example/login"}}}`, 0},
		{"sampling", "2024-11-05", allOf, allOf, mcp.MethodSample, sample, `{"q1":{"method":"sampling/createMessage","params":` + sample + `}}`, 0},
		{"sampling with tools", "2025-11-25", allOf, allOf, mcp.MethodSample, `{"messages":[],"tools":[]}`, `{"q1":{"method":"sampling/createMessage","params":{"messages":[],"tools":[]}}}`, 0},
		{"roots with an empty object", "2025-06-18", allOf, allOf, mcp.MethodListRoots, `{}`, `{"q1":{"method":"roots/list","params":{}}}`, 0},

		{"elicitation before it was", "2025-03-26", allOf, allOf, mcp.MethodElicit, form, "", -32601},
		{"page before it was", "2025-06-18", allOf, allOf, mcp.MethodElicit, page, "", -32602},
		{"not offered", "2025-11-25", `{"roots":{}}`, allOf, mcp.MethodSample, sample, "", -32601},
		{"page not offered", "2025-11-25", `{"elicitation":{}}`, allOf, mcp.MethodElicit, page, "", -32602},
		{"form not offered", "2025-11-25", `{"elicitation":{"url":{}}}`, allOf, mcp.MethodElicit, form, "", -32602},
		{"tools not offered", "2025-11-25", `{"sampling":{}}`, allOf, mcp.MethodSample, `{"messages":[],"tools":[]}`, "", -32602},
		{"tools before they were", "2025-06-18", allOf, allOf, mcp.MethodSample, `{"messages":[],"toolChoice":{}}`, "", -32602},
		{"the caller cannot", "2025-11-25", allOf, `{"roots":{}}`, mcp.MethodElicit, form, "", -32603},
		{"nobody knows it", "2025-11-25", allOf, allOf, "tasks/get", `{}`, "", -32601},
		{"a page that is none", "2025-11-25", allOf, allOf, mcp.MethodElicit, `{"mode":"url","message":"m","url":"javascript:alert(1)"}`, "", -32602},
		{"a mode that is none", "2025-11-25", allOf, allOf, mcp.MethodElicit, `{"mode":"voice","message":"m"}`, "", -32602},
		{"no message", "2025-11-25", allOf, allOf, mcp.MethodElicit, `{"requestedSchema":{}}`, "", -32602},
		{"no form", "2025-11-25", allOf, allOf, mcp.MethodElicit, `{"message":"m"}`, "", -32602},
		{"no messages", "2025-11-25", allOf, allOf, mcp.MethodSample, `{}`, "", -32602},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, c := asking(t, tt.version, legacy.Info{Capabilities: []byte(tt.offered)})
				defer end(c)
				req := toolCall(`{"name":"t"}`)
				req.Meta.Capabilities = []byte(tt.caller)
				done := start(t.Context(), c, req, mcp.Discard)
				tr := <-w.trips
				e := tr.Ask(request(t, "1", tt.method, tt.params))
				if tt.code != 0 {
					if e == nil || e.Code != tt.code {
						t.Errorf("refusal %v, want code %d", e, tt.code)
					}
					tr.answer <- `{}`
				} else if e != nil {
					t.Fatal(e)
				}
				if diff := cmp.Diff(tt.want, inputRequests((<-done).res)); diff != "" {
					t.Error("(-want +got)\n" + diff)
				}
			})
		})
	}
}

// TestOffer looks at the capabilities that a session is opened with.
func TestOffer(t *testing.T) {
	for offered, want := range map[string]string{
		allOf: `{"elicitation":{"form":{},"url":{}},"sampling":{"tools":{}},"roots":{"listChanged":true}}`,
		`{"extensions":{"a/b":{}},"experimental":{"x":{}}}`:            `{"extensions":{"a/b":{}},"experimental":{"x":{}}}`,
		`{"extensions":{"a/b":{},"io.modelcontextprotocol/tasks":{}}}`: `{"extensions":{"a/b":{}}}`,
		`{"extensions":{"io.modelcontextprotocol/tasks":{}}}`:          `{}`,
		`{"extensions":[]}`: `{}`,
		``:                  `{}`,
	} {
		w := &fakeWire{answers: map[string]string{"initialize": everything}}
		c, err := legacy.Connect(t.Context(), w, legacy.Info{Capabilities: []byte(offered)})
		if err != nil {
			t.Fatal(err)
		}
		if offered == allOf {
			if err := c.RootsChanged(t.Context()); err != nil {
				t.Error(err)
			}
		}
		got := w.asked()
		params := []byte(got[0][len("initialize "):])
		if s := string(jsonrpc.Get(params, "capabilities")); s != want {
			t.Errorf("offered %s, want %s", s, want)
		}
		if last := got[len(got)-1]; (last == "notifications/roots/list_changed") != (offered == allOf) {
			t.Errorf("last message %s", last)
		}
		end(c)
	}
}

// TestAnswers gives answers to what servers of all revisions ask.
func TestAnswers(t *testing.T) {
	const page = `{"mode":"url","message":"m","url":"https://x.example/"}`
	tests := []struct {
		name, version, method, params string
		answer, want                  string // want empty: refused
	}{
		{"accept", "2025-06-18", mcp.MethodElicit, form, `{"action":"accept","content":{"a":1}}`, `{"action":"accept","content":{"a":1}}`},
		{"decline has no content", "2025-06-18", mcp.MethodElicit, form, `{"action":"decline","content":{"a":1}}`, `{"action":"decline"}`},
		{"a page has no content", "2025-11-25", mcp.MethodElicit, page, `{"action":"accept","content":{"secret":1}}`, `{"action":"accept"}`},
		{"content is a list", "2025-11-25", mcp.MethodElicit, form, `{"action":"accept","content":[]}`, ``},
		{"no action", "2025-11-25", mcp.MethodElicit, form, `{"content":{}}`, ``},
		{"one block", "2025-06-18", mcp.MethodSample, sample, `{"role":"assistant","model":"m","content":[{"type":"text","text":"a"}]}`, `{"role":"assistant","model":"m","content":{"type":"text","text":"a"}}`},
		{"a block", "2024-11-05", mcp.MethodSample, sample, `{"role":"assistant","model":"m","content":{"type":"text","text":"a"}}`, `{"role":"assistant","model":"m","content":{"type":"text","text":"a"}}`},
		{"two blocks", "2025-06-18", mcp.MethodSample, sample, `{"role":"assistant","model":"m","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]}`, ``},
		{"no block", "2025-06-18", mcp.MethodSample, sample, `{"role":"assistant","model":"m","content":[]}`, ``},
		{"two blocks in a revision that has them", "2025-11-25", mcp.MethodSample, sample, `{"role":"assistant","model":"m","content":[{},{}]}`, `{"role":"assistant","model":"m","content":[{},{}]}`},
		{"no model", "2025-11-25", mcp.MethodSample, sample, `{"role":"assistant","content":{}}`, ``},
		{"no content", "2025-11-25", mcp.MethodSample, sample, `{"role":"assistant","model":"m"}`, ``},
		{"roots", "2025-11-25", mcp.MethodListRoots, ``, `{"roots":[],"resultType":"complete"}`, `{"roots":[]}`},
		{"no roots", "2025-11-25", mcp.MethodListRoots, ``, `{}`, ``},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, c := asking(t, tt.version, legacy.Info{})
				defer end(c)
				req := toolCall(`{"name":"t"}`)
				done := start(t.Context(), c, req, mcp.Discard)
				tr := <-w.trips
				tr.must(t, "1", tt.method, tt.params)
				res := (<-done).res
				done = start(t.Context(), c, retry(req, res, `{"q1":`+tt.answer+`}`), mcp.Discard)
				synctest.Wait()
				sent := w.asked()
				if tt.want == "" {
					wantCode(t, (<-done).err, jsonrpc.CodeInvalidParams)
					if len(sent) != 0 {
						t.Errorf("the server was told %q", sent)
					}
					return
				}
				tr.answer <- `{}`
				if got := <-done; got.err != nil {
					t.Error(got.err)
				}
				if diff := cmp.Diff([]string{`{"jsonrpc":"2.0","id":1,"result":` + tt.want + `}`}, sent); diff != "" {
					t.Error("(-want +got)\n" + diff)
				}
			})
		})
	}
}

// TestPagesFirst calls a tool of 2025-11-25 that wants the user to open a page before.
func TestPagesFirst(t *testing.T) {
	required := func(data string) error {
		return peerError(t, `{"code":-32042,"message":"open it","data":`+data+`}`)
	}
	const one = `{"elicitations":[{"mode":"url","elicitationId":"e","url":"https://x.example/","message":"m"},{"mode":"url","url":"https://y.example/","message":"n"}]}`
	connect := func(version, offered string) (*fakeWire, *legacy.Client) {
		w := &fakeWire{answers: map[string]string{"initialize": `{"protocolVersion":"` + version + `","capabilities":{}}`}}
		c, err := legacy.Connect(t.Context(), w, legacy.Info{Capabilities: []byte(offered)})
		if err != nil {
			t.Fatal(err)
		}
		w.asked()
		w.errs = map[string]error{mcp.MethodCallTool: required(one), mcp.MethodReadResource: required(one)}
		t.Cleanup(func() { end(c) })
		return w, c
	}
	w, c := connect("2025-11-25", allOf)
	req := toolCall(`{"name":"t"}`)
	res := round(t, c, req, mcp.Discard)
	want := `{"inputRequests":{` +
		`"e":{"method":"elicitation/create","params":{"mode":"url","message":"m","url":"https://x.example/"}},` +
		`"q2":{"method":"elicitation/create","params":{"mode":"url","message":"n","url":"https://y.example/"}}}}`
	if diff := cmp.Diff(want, string(res.Body)); diff != "" {
		t.Error("(-want +got)\n" + diff)
	}

	// The retry repeats the call, unless the user has declined.
	w.errs = nil
	w.asked()
	again := *req
	again.Params = []byte(`{"name":"t","inputResponses":{"e":{"action":"accept"},"q2":{"action":"accept"}}}`)
	if res, err := c.Handle(t.Context(), &again, mcp.Discard); err != nil || res.Type != mcp.ResultComplete {
		t.Errorf("%+v, %v", res, err)
	}
	again.Params = []byte(`{"name":"t","inputResponses":{"e":{"action":"accept"},"q2":{"action":"decline"}}}`)
	res, err := c.Handle(t.Context(), &again, mcp.Discard)
	if err != nil || string(jsonrpc.Get(res.Body, "isError")) != "true" {
		t.Errorf("after declining: %s, %v", res.Body, err)
	}
	again.Method = mcp.MethodReadResource
	_, err = c.Handle(t.Context(), &again, mcp.Discard)
	wantCode(t, err, jsonrpc.CodeInternalError)
	if diff := cmp.Diff([]string{`tools/call {"name":"t"}`}, w.asked()); diff != "" {
		t.Error("(-want +got)\n" + diff)
	}

	// Who cannot open pages, or is told of none, gets the error.
	for name, tt := range map[string]struct{ version, offered, caller, data string }{
		"another revision":   {"2025-06-18", allOf, allOf, one},
		"not offered":        {"2025-11-25", `{"elicitation":{}}`, allOf, one},
		"the caller cannot":  {"2025-11-25", allOf, `{"elicitation":{}}`, one},
		"no pages":           {"2025-11-25", allOf, allOf, `{}`},
		"a page that is not": {"2025-11-25", allOf, allOf, `{"elicitations":[{"url":"file:///etc/passwd","message":"m"}]}`},
		"no message":         {"2025-11-25", allOf, allOf, `{"elicitations":[{"url":"https://x.example/"}]}`},
	} {
		w, c := connect(tt.version, tt.offered)
		w.errs[mcp.MethodCallTool] = required(tt.data)
		req := toolCall(`{"name":"t"}`)
		req.Meta.Capabilities = []byte(tt.caller)
		_, err := c.Handle(t.Context(), req, mcp.Discard)
		var e *mcp.Error
		if !errors.As(err, &e) || e.Code != jsonrpc.CodeInternalError || !mcp.IsWireError(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
