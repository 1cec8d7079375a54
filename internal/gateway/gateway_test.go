package gateway_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fairlead-mcp/fairlead/internal/gateway"
	"github.com/fairlead-mcp/fairlead/internal/upstream"
	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/mcp/jsonrpc"
	"github.com/google/go-cmp/cmp"
)

func TestRootMergesAndOneKeeps(t *testing.T) {
	a, b := &member{name: "a", h: server("alpha")}, &member{name: "b", h: server("beta")}
	g, _ := newNode(t, &gateway.Options{Name: "node", Version: "9"}, a, b)
	for _, tt := range []struct {
		h                 mcp.Handler
		method, list, key string
		want              []string
	}{
		{g.Root(), mcp.MethodListTools, "tools", "name", []string{"a__echo", "b__echo"}},
		{g.Root(), mcp.MethodListPrompts, "prompts", "name", []string{"a__ask", "b__ask"}},
		{g.Root(), mcp.MethodListResources, "resources", "uri", []string{"test://alpha", "test://beta"}},
		{g.Root(), mcp.MethodListTemplates, "resourceTemplates", "uriTemplate", []string{"items://alpha/{id}", "items://beta/{id}"}},
		{one(t, g, "b"), mcp.MethodListTools, "tools", "name", []string{"echo"}},
		{one(t, g, "b"), mcp.MethodListResources, "resources", "uri", []string{"test://beta"}},
	} {
		if diff := cmp.Diff(tt.want, names(ask(t, tt.h, request(tt.method, `{}`)), tt.list, tt.key)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.method, diff)
		}
	}
	for _, tt := range []struct {
		h    mcp.Handler
		req  *mcp.Request
		want string // in the body
		info string
	}{
		{g.Root(), call("b__echo", `{"text":"x"}`), "beta x", "node"},
		{one(t, g, "b"), call("echo", `{"text":"x"}`), "beta x", "beta"},
		{g.Root(), request(mcp.MethodGetPrompt, `{"name":"a__ask"}`), "alpha", "node"},
		{g.Root(), request(mcp.MethodReadResource, `{"uri":"test://beta"}`), `"text":"beta"`, "node"},
		{g.Root(), request(mcp.MethodReadResource, `{"uri":"items://alpha/7"}`), `"text":"alpha"`, "node"},
	} {
		body := ask(t, tt.h, tt.req)
		info, _ := jsonrpc.Unquote(jsonrpc.Get(jsonrpc.Get(jsonrpc.Get([]byte(body), "_meta"), mcp.MetaServerInfo), "name"))
		if !strings.Contains(body, tt.want) || info != tt.info {
			t.Errorf("%s %s = %s; want %q and serverInfo %q", tt.req.Method, tt.req.Params, body, tt.want, tt.info)
		}
	}
	if _, ok := g.One("c"); ok {
		t.Error("there is no upstream c")
	}
}

func TestDiscover(t *testing.T) {
	g, _ := newNode(t, nil, &member{name: "a", h: server("alpha")}, &member{name: "b", h: server("beta")})
	root := ask(t, g.Root(), request(mcp.MethodDiscover, `{}`))
	text, _ := jsonrpc.Unquote(jsonrpc.Get([]byte(root), "instructions"))
	if !strings.Contains(text, "## a\n") || !strings.Contains(text, "Use beta well.") {
		t.Errorf("instructions = %q", text)
	}
	text, _ = jsonrpc.Unquote(jsonrpc.Get([]byte(ask(t, one(t, g, "a"), request(mcp.MethodDiscover, `{}`))), "instructions"))
	if text != "Use alpha well." {
		t.Errorf("instructions of one = %q", text)
	}
}

func TestUnknownAndDeniedAreTheSame(t *testing.T) {
	m := &member{name: "a", h: server("alpha"), spec: upstream.Spec{Deny: []string{"ech*"}}}
	var traces []gateway.Trace
	g, _ := newNode(t, &gateway.Options{OnCall: func(tr gateway.Trace) { traces = append(traces, tr) }}, m)
	for _, tt := range []struct {
		h               mcp.Handler
		denied, unknown string
	}{{g.Root(), "a__echo", "a__ecoh"}, {one(t, g, "a"), "echo", "ecoh"}} {
		denied, unknown := refusal(t, tt.h, call(tt.denied, `{}`)), refusal(t, tt.h, call(tt.unknown, `{}`))
		if want := strings.ReplaceAll(fmt.Sprintf("%d %s %s", unknown.Code, unknown.Message, unknown.Data), tt.unknown, tt.denied); want != fmt.Sprintf("%d %s %s", denied.Code, denied.Message, denied.Data) {
			t.Errorf("denied: %v %s, unknown: %v %s", denied, denied.Data, unknown, unknown.Data)
		}
		if got := names(ask(t, tt.h, request(mcp.MethodListTools, `{}`)), "tools", "name"); got != nil {
			t.Errorf("denied tools are listed: %q", got)
		}
	}
	if d := traces[0].Decisions; len(d) != 2 || d[1].Stage != "authorise" || d[1].OK || d[1].Rule != "deny ech*" {
		t.Errorf("decisions of the denied call = %+v", d)
	}
}

func TestPipelineOrder(t *testing.T) {
	want := []string{"resolve", "authorise", "parameters", "admit", "cache", "deadline", "guard", "attempt"}
	if diff := cmp.Diff(want, gateway.Stages()); diff != "" {
		t.Errorf("stages (-want +got):\n%s", diff)
	}
	var traces []gateway.Trace
	g, _ := newNode(t, &gateway.Options{OnCall: func(tr gateway.Trace) { traces = append(traces, tr) }}, &member{name: "a", h: server("alpha")})
	ask(t, g.Root(), call("a__echo", `{}`))
	var got []string
	for _, d := range traces[0].Decisions {
		got = append(got, d.Stage)
		if !d.OK || d.Rule == "" {
			t.Errorf("decision %+v does not explain itself", d)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" || traces[0].Upstream != "a" {
		t.Errorf("stages of a call to %q (-want +got):\n%s", traces[0].Upstream, diff)
	}
}

func TestNames(t *testing.T) {
	long := strings.Repeat("x", 70)
	s := mcp.NewServer("s", "1", nil)
	for _, name := range []string{long + "1", long + "2"} {
		must(mcp.AddTool(s, mcp.Tool{Name: name}, func(context.Context, *mcp.Call, struct{}) (string, error) { return name, nil }))
	}
	g, _ := newNode(t, nil, &member{name: "up", h: s})
	got := names(ask(t, g.Root(), request(mcp.MethodListTools, `{}`)), "tools", "name")
	if len(got) != 2 || got[0] == got[1] {
		t.Fatalf("names = %q", got)
	}
	for i, name := range got {
		if len(name) != 64 || !strings.HasPrefix(name, "up__xxx") {
			t.Errorf("name %q has %d bytes", name, len(name))
		}
		if body := ask(t, g.Root(), call(name, `{}`)); !strings.Contains(body, long+fmt.Sprint(i+1)) {
			t.Errorf("call of %q = %s", name, body)
		}
	}
}

func TestCollisions(t *testing.T) {
	mk := func(text, uri, tmpl string) *mcp.Server {
		s := mcp.NewServer(text, "1", nil)
		answer := func(uri string) ([]mcp.ResourceContents, error) {
			return []mcp.ResourceContents{{URI: uri, Text: text}}, nil
		}
		must(s.AddResource(mcp.Resource{URI: uri, Name: "r"}, func(_ context.Context, _ *mcp.Call, uri string) ([]mcp.ResourceContents, error) { return answer(uri) }))
		must(s.AddResourceTemplate(mcp.ResourceTemplate{URITemplate: tmpl, Name: "t"}, func(_ context.Context, _ *mcp.Call, uri string, _ map[string]string) ([]mcp.ResourceContents, error) {
			return answer(uri)
		}))
		return s
	}
	g, _ := newNode(t, nil,
		&member{name: "a", h: mk("first", "x://same", "x://{+any}")},
		&member{name: "b", h: mk("second", "x://same", "x://deep/{id}")})
	for uri, want := range map[string]string{
		"x://same":   "first",  // listed by both: config order
		"x://deep/1": "second", // the more specific template
		"x://other":  "first",
	} {
		if body := ask(t, g.Root(), request(mcp.MethodReadResource, fmt.Sprintf(`{"uri":%q}`, uri))); !strings.Contains(body, `"`+want+`"`) {
			t.Errorf("%s = %s; want it from %s", uri, body, want)
		}
	}
	want := []gateway.Hidden{{Kind: upstream.Resources, Upstream: "b", Name: "x://same", Reason: "the same is offered by a"}}
	if diff := cmp.Diff(want, g.Hidden()); diff != "" {
		t.Errorf("hidden (-want +got):\n%s", diff)
	}
	if e := refusal(t, g.Root(), request(mcp.MethodReadResource, `{"uri":"y://nobody"}`)); e.Code != jsonrpc.CodeInvalidParams || string(e.Data) != `{"uri":"y://nobody"}` {
		t.Errorf("unknown resource: %v %s", e, e.Data)
	}
}

func TestPages(t *testing.T) {
	s := server("alpha")
	for i := range 6 {
		must(mcp.AddTool(s, mcp.Tool{Name: fmt.Sprintf("t%d", i)}, func(context.Context, *mcp.Call, struct{}) (string, error) { return "", nil }))
	}
	g, _ := newNode(t, &gateway.Options{PageSize: 3}, &member{name: "a", h: s})
	var all []string
	params, cursor := `{}`, ""
	for range 3 {
		body := ask(t, g.Root(), request(mcp.MethodListTools, params))
		all = append(all, names(body, "tools", "name")...)
		raw := string(jsonrpc.Get([]byte(body), "nextCursor"))
		if raw == "" {
			break
		}
		cursor = raw
		params = `{"cursor":` + cursor + `}`
	}
	slices.Sort(all)
	if len(slices.Compact(all)) != 7 {
		t.Errorf("all pages = %q", all)
	}
	for name, params := range map[string]string{
		"not a cursor":    `{"cursor":"x"}`,
		"not a string":    `{"cursor":7}`,
		"of another list": params,
	} {
		method := mcp.MethodListTools
		if name == "of another list" {
			method = mcp.MethodListPrompts
		}
		if e := refusal(t, g.Root(), request(method, params)); e.Code != jsonrpc.CodeInvalidParams {
			t.Errorf("%s: %v", name, e)
		}
	}
}

func TestStaleCursor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := server("alpha")
		must(mcp.AddTool(s, mcp.Tool{Name: "more"}, func(context.Context, *mcp.Call, struct{}) (string, error) { return "", nil }))
		g, stop := newNode(t, &gateway.Options{PageSize: 1}, &member{name: "a", h: s})
		defer stop()
		synctest.Wait()
		cursor := string(jsonrpc.Get([]byte(ask(t, g.Root(), request(mcp.MethodListTools, `{}`))), "nextCursor"))
		s.RemoveTools("more")
		time.Sleep(time.Second)
		synctest.Wait()
		if e := refusal(t, g.Root(), request(mcp.MethodListTools, `{"cursor":`+cursor+`}`)); e.Code != jsonrpc.CodeInvalidParams {
			t.Errorf("stale cursor: %v", e)
		}
	})
}

func TestDeadUpstreamLeavesOthersAlive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, stop := newNode(t, nil, &member{name: "dead", down: true}, &member{name: "b", h: server("beta")})
		defer stop()
		began := time.Now()
		body := ask(t, g.Root(), request(mcp.MethodListTools, `{}`))
		if took := time.Since(began); took > time.Second {
			t.Errorf("the list took %v", took)
		}
		if diff := cmp.Diff([]string{"b__echo"}, names(body, "tools", "name")); diff != "" {
			t.Errorf("tools (-want +got):\n%s", diff)
		}
		if got := string(jsonrpc.Get(jsonrpc.Get([]byte(body), "_meta"), "io.fairlead/missing")); got != `["dead"]` {
			t.Errorf("missing = %s", got)
		}
		if body := ask(t, g.Root(), call("b__echo", `{"text":"alive"}`)); !strings.Contains(body, "beta alive") {
			t.Errorf("call = %s", body)
		}
		e := refusal(t, g.Root(), call("dead__anything", `{}`))
		if class, _ := jsonrpc.Unquote(jsonrpc.Get(e.Data, "class")); class != "upstream_unavailable" {
			t.Errorf("call of the dead = %v %s", e, e.Data)
		}
		if diff := cmp.Diff([]string{"dead"}, g.Missing()); diff != "" {
			t.Errorf("Missing (-want +got):\n%s", diff)
		}
	})
}

func TestTwoHundredClientsWithTheSameID(t *testing.T) {
	g, _ := newNode(t, nil, &member{name: "a", h: server("alpha")})
	var wg sync.WaitGroup
	for i := range 200 {
		wg.Go(func() {
			text := fmt.Sprintf("client-%d.", i)
			req := call("a__echo", fmt.Sprintf(`{"text":%q}`, text))
			req.ID, req.Meta.ProgressToken = []byte("1"), []byte(`"t"`)
			var sink recorder
			res, err := g.Root().Handle(t.Context(), req, &sink)
			if err != nil || !strings.Contains(string(res.Body), "alpha "+text) {
				t.Errorf("client %d: %s, %v", i, res.Body, err)
			}
			got := sink.take()
			if len(got) != 1 || !strings.Contains(got[0], `"progressToken":"t"`) || !strings.Contains(got[0], text) {
				t.Errorf("client %d: progress %q", i, got)
			}
		})
	}
	wg.Wait()
}

func TestCompletion(t *testing.T) {
	s := server("alpha")
	must(s.AddPrompt(mcp.Prompt{Name: "fill", Arguments: []mcp.PromptArgument{{Name: "arg"}}}, func(context.Context, *mcp.Call, map[string]string) (*mcp.PromptResult, error) {
		return &mcp.PromptResult{}, nil
	}))
	must(s.CompletePrompt("fill", "arg", func(context.Context, *mcp.Call, string, map[string]string) ([]string, error) {
		return []string{"prompted"}, nil
	}))
	m := &member{name: "a", h: s}
	g, _ := newNode(t, nil, m)
	body := ask(t, g.Root(), request(mcp.MethodComplete, `{"ref":{"type":"ref/prompt","name":"a__fill"},"argument":{"name":"arg","value":""}}`))
	if !strings.Contains(body, "prompted") {
		t.Errorf("completion = %s", body)
	}
	if got := string(m.last(t).Params); got != `{"ref":{"type":"ref/prompt","name":"fill"},"argument":{"name":"arg","value":""}}` {
		t.Errorf("upstream got %s", got)
	}
	if e := refusal(t, g.Root(), request(mcp.MethodComplete, `{"ref":{"type":"ref/other"},"argument":{}}`)); e.Code != jsonrpc.CodeInvalidParams {
		t.Errorf("unknown ref: %v", e)
	}
}

func TestAdmission(t *testing.T) {
	entered, release := make(chan struct{}), make(chan struct{})
	s := mcp.NewServer("s", "1", nil)
	must(mcp.AddTool(s, mcp.Tool{Name: "wait"}, func(context.Context, *mcp.Call, struct{}) (string, error) {
		close(entered)
		<-release
		return "", nil
	}))
	g, _ := newNode(t, &gateway.Options{MaxCalls: 1}, &member{name: "a", h: s})
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = g.Root().Handle(t.Context(), call("a__wait", `{}`), mcp.Discard)
	}()
	<-entered
	if e := refusal(t, g.Root(), call("a__wait", `{}`)); e.Code != upstream.Overloaded.Info().Code {
		t.Errorf("second call: %v", e)
	}
	close(release)
	<-done
}

func TestWhatAnUpstreamGets(t *testing.T) {
	m := &member{name: "a", h: server("alpha")}
	g, _ := newNode(t, nil, m)
	req := call("a__echo", `{"text":"x"}`)
	req.Meta.Capabilities = []byte(`{"elicitation":{},"sampling":{},"tasks":{},"extensions":{"io.modelcontextprotocol/tasks":{},"com.example/x":{}}}`)
	req.Header = map[string][]string{"Mcp-Name": {"a__echo"}}
	ask(t, g.Root(), req)
	got := m.last(t)
	if got.Name != "echo" || got.Header != nil || string(got.Params) != `{"name":"echo","arguments":{"text":"x"}}` {
		t.Errorf("upstream got %q %v %s", got.Name, got.Header, got.Params)
	}
	if want := `{"elicitation":{},"sampling":{},"extensions":{"io.modelcontextprotocol/tasks":{},"com.example/x":{}}}`; string(got.Meta.Capabilities) != want {
		t.Errorf("capabilities = %s, want %s", got.Meta.Capabilities, want)
	}
	req.Meta.Version = mcp.Version20250618
	ask(t, g.Root(), req)
	// Its session asks for it; of tasks it has another kind.
	if want := `{"elicitation":{},"sampling":{},"extensions":{"com.example/x":{}}}`; string(m.last(t).Meta.Capabilities) != want {
		t.Errorf("capabilities of a caller with a session = %s, want %s", m.last(t).Meta.Capabilities, want)
	}
}

// TestUnaskedTask: a task that nobody could ask about is no answer.
func TestUnaskedTask(t *testing.T) {
	tasks := mcp.Intercept(asker(), func(next mcp.Handler) mcp.Handler {
		return mcp.HandlerFunc(func(ctx context.Context, req *mcp.Request, sink mcp.Sink) (mcp.Result, error) {
			res, err := next.Handle(ctx, req, sink)
			if req.Method == mcp.MethodCallTool {
				res = mcp.Result{Type: mcp.ResultTask, Body: []byte(`{"taskId":"x"}`)}
			}
			return res, err
		})
	})
	g, _ := newNode(t, nil, &member{name: "a", h: tasks})
	if e := refusal(t, g.Root(), call("a__ask", `{}`)); e.Code != upstream.ProtocolError.Info().Code {
		t.Errorf("got %v", e)
	}
}

func TestMirroredParameters(t *testing.T) {
	s := mcp.NewServer("s", "1", nil)
	must(s.AddRawTool(mcp.Tool{Name: "where", InputSchema: mcp.Raw(`{"type":"object","properties":{"region":{"type":"string","x-mcp-header":"Region"}}}`)},
		func(context.Context, *mcp.Call, []byte) (*mcp.ToolResult, error) { return &mcp.ToolResult{}, nil }))
	g, _ := newNode(t, nil, &member{name: "a", h: s})
	req := call("a__where", `{"region":"eu"}`)
	req.Header = map[string][]string{"Mcp-Param-Region": {"eu"}}
	ask(t, g.Root(), req)
	req.Header = map[string][]string{"Mcp-Param-Region": {"us"}}
	if e := refusal(t, g.Root(), req); e.Code != mcp.CodeHeaderMismatch {
		t.Errorf("wrong header: %v", e)
	}
	req = call("a__other", `{"region":"eu"}`)
	req.Header = map[string][]string{"Mcp-Param-Region": {"us"}}
	if e := refusal(t, g.Root(), req); e.Code != jsonrpc.CodeInvalidParams {
		t.Errorf("wrong header for an unknown tool: %v; it must not say more than that", e)
	}
}
