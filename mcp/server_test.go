package mcp_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/mcp/jsonrpc"
	"github.com/google/go-cmp/cmp"
)

// recorder is a Sink that keeps what it is given.
type recorder struct {
	mu    sync.Mutex
	notes []string
	ended []mcp.Result
	got   chan struct{} // one value per notification or end, if not nil
}

func (r *recorder) Notify(n *mcp.Notification) error {
	r.mu.Lock()
	r.notes = append(r.notes, string(n.AppendTo(nil, nil)))
	r.mu.Unlock()
	if r.got != nil {
		r.got <- struct{}{}
	}
	return nil
}

func (r *recorder) End(res mcp.Result, _ error) {
	r.mu.Lock()
	r.ended = append(r.ended, res)
	r.mu.Unlock()
	if r.got != nil {
		r.got <- struct{}{}
	}
}

func (r *recorder) take() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	notes := r.notes
	r.notes = nil
	return notes
}

// request makes a request through the codec, as a transport would.
func request(t testing.TB, method, params string) *mcp.Request {
	t.Helper()
	meta := `{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{},"progressToken":"p1"}`
	body := jsonrpc.Splice(nil, []byte(params), jsonrpc.Member{Key: "_meta", Value: []byte(meta)})
	msg, err := jsonrpc.Scan([]byte(`{"jsonrpc":"2.0","id":1,"method":"`+method+`","params":`+string(body)+`}`), nil)
	if err != nil {
		t.Fatalf("request %s %s: %v", method, params, err)
	}
	req, werr := mcp.DecodeRequest(&msg)
	if werr != nil {
		t.Fatalf("request %s %s: %v", method, params, werr)
	}
	return req
}

// handle answers a request and returns the result without _meta, or the error as text.
func handle(t testing.TB, h mcp.Handler, method, params string) string {
	t.Helper()
	res, err := h.Handle(t.Context(), request(t, method, params), mcp.Discard)
	if err != nil {
		e := mcp.ErrorOf(err)
		return string(jsonrpc.AppendError(nil, []byte("1"), e.Code, e.Message, e.Data))
	}
	if err := jsonrpc.Valid(res.Body, nil); err != nil {
		t.Fatalf("%s %s: result %s: %v", method, params, res.Body, err)
	}
	if jsonrpc.Get(jsonrpc.Get(res.Body, "_meta"), mcp.MetaServerInfo) == nil {
		t.Errorf("%s %s: result %s has no server info", method, params, res.Body)
	}
	return string(jsonrpc.Splice(nil, res.Body, jsonrpc.Member{Key: "_meta"}))
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func errorText(code, message string) string {
	return `{"jsonrpc":"2.0","id":1,"error":{"code":` + code + `,"message":"` + message + `"}}`
}

func TestEmptyServer(t *testing.T) {
	s := mcp.NewServer("empty", "1", nil)
	for _, method := range []string{
		"tools/list", "tools/call", "resources/list", "resources/templates/list", "resources/read",
		"prompts/list", "prompts/get", "completion/complete", "nonsense",
	} {
		want := errorText("-32601", "Method not found: "+method)
		if got := handle(t, s, method, `{"name":"x","uri":"x:y"}`); got != want {
			t.Errorf("%s: got %s, want %s", method, got, want)
		}
	}
	want := `{"supportedVersions":["2026-07-28","2025-11-25","2025-06-18","2025-03-26","2024-11-05"],"capabilities":{}}`
	if got := handle(t, s, "server/discover", `{}`); got != want {
		t.Errorf("server/discover: got %s, want %s", got, want)
	}
}

func TestDiscover(t *testing.T) {
	s := mcp.NewServer("full", "1", &mcp.ServerOptions{
		Instructions: "Read <this>.",
		Logging:      true,
		Capabilities: &mcp.ServerCapabilities{Extensions: map[string]mcp.Raw{"com.example/x": mcp.Raw(`{"a":1}`)}},
	})
	must(t, mcp.AddTool(s, mcp.Tool{Name: "t"}, func(context.Context, *mcp.Call, struct{}) (string, error) { return "", nil }))
	must(t, s.AddResource(mcp.Resource{URI: "x:y", Name: "y"}, func(context.Context, *mcp.Call, string) ([]mcp.ResourceContents, error) { return nil, nil }))
	must(t, s.AddPrompt(mcp.Prompt{Name: "p", Arguments: []mcp.PromptArgument{{Name: "a"}}}, func(context.Context, *mcp.Call, map[string]string) (*mcp.PromptResult, error) { return nil, nil }))
	must(t, s.CompletePrompt("p", "a", func(context.Context, *mcp.Call, string, map[string]string) ([]string, error) { return nil, nil }))
	s.RemoveTools("t")

	const want = `{"supportedVersions":["2026-07-28","2025-11-25","2025-06-18","2025-03-26","2024-11-05"],` +
		`"capabilities":{"tools":{"listChanged":true},"resources":{"subscribe":true,"listChanged":true},"prompts":{"listChanged":true},` +
		`"completions":{},"logging":{},"extensions":{"com.example/x":{"a":1}}},"instructions":"Read <this>."}`
	if got := handle(t, s, "server/discover", `{}`); got != want {
		t.Errorf("server/discover:\ngot  %s\nwant %s", got, want)
	}
	if got, want := handle(t, s, "tools/list", `{}`), `{"tools":[]}`; got != want {
		t.Errorf("tools/list after the last tool went: got %s, want %s", got, want)
	}
}

func TestPanicIsOneError(t *testing.T) {
	var value any
	var stack []byte
	s := mcp.NewServer("p", "1", &mcp.ServerOptions{OnPanic: func(v any, st []byte) { value, stack = v, st }})
	must(t, mcp.AddTool(s, mcp.Tool{Name: "boom"}, func(context.Context, *mcp.Call, struct{}) (string, error) { panic("secret") }))
	must(t, mcp.AddTool(s, mcp.Tool{Name: "fine"}, func(context.Context, *mcp.Call, struct{}) (string, error) { return "ok", nil }))

	if got, want := handle(t, s, "tools/call", `{"name":"boom"}`), errorText("-32603", "internal error"); got != want {
		t.Errorf("boom: got %s, want %s", got, want)
	}
	if value != "secret" || !strings.Contains(string(stack), "server_test.go") {
		t.Errorf("OnPanic got %v and a stack of %d bytes", value, len(stack))
	}
	if got, want := handle(t, s, "tools/call", `{"name":"fine"}`), `{"content":[{"type":"text","text":"ok"}]}`; got != want {
		t.Errorf("fine: got %s, want %s", got, want)
	}
}

func TestInterceptorsSeeRequestsInOrder(t *testing.T) {
	var order []string
	trace := func(name string) mcp.Interceptor {
		return func(next mcp.Handler) mcp.Handler {
			return mcp.HandlerFunc(func(ctx context.Context, req *mcp.Request, sink mcp.Sink) (mcp.Result, error) {
				order = append(order, name+" "+req.Method)
				return next.Handle(ctx, req, sink)
			})
		}
	}
	s := mcp.NewServer("i", "1", &mcp.ServerOptions{Interceptors: []mcp.Interceptor{trace("a"), trace("b")}})
	handle(t, s, "server/discover", `{}`)
	if diff := cmp.Diff([]string{"a server/discover", "b server/discover"}, order); diff != "" {
		t.Errorf("order (-want +got):\n%s", diff)
	}
}

func TestCall(t *testing.T) {
	s := mcp.NewServer("c", "1", &mcp.ServerOptions{Logging: true})
	var kept *mcp.Call
	must(t, mcp.AddTool(s, mcp.Tool{Name: "t"}, func(_ context.Context, c *mcp.Call, _ struct{}) (string, error) {
		kept = c
		return "", errors.Join(
			c.Progress(1, 4, ""), c.Progress(0.5, 4, "back"), c.Progress(1, 4, "same"), c.Progress(2.5, 0, "on"),
			c.Log(mcp.LogInfo, "db", "dropped"), c.Log(mcp.LogError, "db", map[string]int{"port": 1}), c.Log(mcp.LogAlert, "", "x"),
		)
	}))
	req := request(t, "tools/call", `{"name":"t"}`)
	req.Meta.LogLevel = mcp.LogWarning
	sink := &recorder{}
	if _, err := s.Handle(t.Context(), req, sink); err != nil {
		t.Fatal(err)
	}
	want := []string{
		`{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":"p1","progress":1,"total":4}}`,
		`{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":"p1","progress":2.5,"message":"on"}}`,
		`{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"error","logger":"db","data":{"port":1}}}`,
		`{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"alert","data":"x"}}`,
	}
	if diff := cmp.Diff(want, sink.take()); diff != "" {
		t.Errorf("notifications (-want +got):\n%s", diff)
	}
	if err := kept.Progress(9, 0, ""); !errors.Is(err, mcp.ErrSinkClosed) {
		t.Errorf("Progress after the end: got %v, want ErrSinkClosed", err)
	}
	if err := kept.Log(mcp.LogAlert, "", 1); !errors.Is(err, mcp.ErrSinkClosed) {
		t.Errorf("Log after the end: got %v, want ErrSinkClosed", err)
	}

	req.Meta.ProgressToken, req.Meta.LogLevel = nil, ""
	if _, err := s.Handle(t.Context(), req, sink); err != nil || len(sink.take()) > 0 {
		t.Errorf("a caller that asked for nothing got notifications, or %v", err)
	}
}

func TestPagination(t *testing.T) {
	s := mcp.NewServer("p", "1", &mcp.ServerOptions{PageSize: 2})
	add := func(name string) {
		must(t, mcp.AddTool(s, mcp.Tool{Name: name}, func(context.Context, *mcp.Call, struct{}) (string, error) { return "", nil }))
	}
	names := []string{"e", "a", "d", "b", "c"}
	for _, name := range names {
		add(name)
	}
	add("a") // replaced at its place

	page := func(params string) (got []string, next string) {
		t.Helper()
		body := []byte(handle(t, s, "tools/list", params))
		for tool := range jsonrpc.Elements(jsonrpc.Get(body, "tools")) {
			name, _ := jsonrpc.Unquote(jsonrpc.Get(tool, "name"))
			got = append(got, name)
		}
		return got, string(jsonrpc.Get(body, "nextCursor"))
	}
	var all []string
	got, next := page(`{}`)
	second := next
	for all = got; next != ""; all = append(all, got...) {
		got, next = page(`{"cursor":` + next + `}`)
	}
	if diff := cmp.Diff(names, all); diff != "" {
		t.Errorf("tools of all pages (-want +got):\n%s", diff)
	}

	for _, cursor := range []string{`""`, `"x"`, strings.Replace(second, second[3:4], "_", 1), `"AAAA"`} {
		if got, want := handle(t, s, "tools/list", `{"cursor":`+cursor+`}`), errorText("-32602", "Invalid cursor"); got != want {
			t.Errorf("cursor %s: got %s, want %s", cursor, got, want)
		}
	}
	if got, want := handle(t, s, "tools/list", `{"cursor":1}`), errorText("-32602", "params.cursor is not a string"); got != want {
		t.Errorf("numeric cursor: got %s, want %s", got, want)
	}
	add("f")
	if got, want := handle(t, s, "tools/list", `{"cursor":`+second+`}`), errorText("-32602", "Invalid cursor"); got != want {
		t.Errorf("stale cursor: got %s, want %s", got, want)
	}
}

// TestConcurrentUse changes what a server offers while it is called; the race
// detector is the judge.
func TestConcurrentUse(t *testing.T) {
	s := mcp.NewServer("c", "1", &mcp.ServerOptions{PageSize: 2})
	addOut(t, s, "stays", "ok")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var wg sync.WaitGroup
	for i := range 4 {
		name := string(rune('a' + i))
		calls, lists := request(t, "tools/call", `{"name":"stays"}`), request(t, "tools/list", `{}`)
		listens := request(t, "subscriptions/listen", `{"notifications":{"toolsListChanged":true}}`)
		wg.Go(func() {
			for range 50 {
				if err := addTool(s, name); err != nil {
					t.Error(err)
				}
				for _, req := range []*mcp.Request{calls, lists, listens} {
					if _, err := s.Handle(ctx, req, &recorder{}); err != nil {
						t.Error(err)
					}
				}
				s.RemoveTools(name)
			}
		})
	}
	wg.Wait()
	s.Close()
	if got := handle(t, s, "tools/list", `{}`); !strings.Contains(got, `"stays"`) || strings.Contains(got, "nextCursor") {
		t.Errorf("in the end: %s", got)
	}
}

func addTool(s *mcp.Server, name string) error {
	return mcp.AddTool(s, mcp.Tool{Name: name}, func(context.Context, *mcp.Call, struct{}) (string, error) { return "", nil })
}
