package legacy_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/mcp/internal/legacy"
	"github.com/fairlead-mcp/fairlead/mcp/jsonrpc"
)

// fakeWire answers with what it was given for a method, and notes what it is asked.
type fakeWire struct {
	answers map[string]string // method -> result
	errs    map[string]error
	notify  func(sink mcp.Sink) // what happens during other calls

	mu  sync.Mutex
	log []string
	on  chan string // gets each line of log, if not nil
}

func (w *fakeWire) note(line string) {
	w.mu.Lock()
	w.log = append(w.log, line)
	w.mu.Unlock()
	if w.on != nil {
		w.on <- line
	}
}

func (w *fakeWire) asked() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	log := w.log
	w.log = nil
	return log
}

func (w *fakeWire) RoundTrip(ctx context.Context, method string, params []byte, sink legacy.Exchange) ([]byte, error) {
	w.note(strings.TrimSpace(method + " " + string(params)))
	if err := w.errs[method]; err != nil {
		return nil, err
	}
	if w.notify != nil {
		w.notify(sink)
	}
	if a, ok := w.answers[method]; ok {
		return []byte(a), ctx.Err()
	}
	return []byte(`{}`), ctx.Err()
}

func (w *fakeWire) Notify(_ context.Context, method string, params []byte) error {
	w.note(strings.TrimSpace(method + " " + string(params)))
	return nil
}

func (w *fakeWire) Answer(_ context.Context, response []byte) error {
	w.note(string(response))
	return nil
}

const everything = `{"protocolVersion":"2024-11-05","capabilities":{"tools":{"listChanged":true},"prompts":{"listChanged":true},"resources":{"listChanged":true,"subscribe":true},"logging":{}},"serverInfo":{"name":"s","version":"1"}}`

func connect(t *testing.T, w *fakeWire) *legacy.Client {
	t.Helper()
	w.answers = map[string]string{"initialize": everything}
	c, err := legacy.Connect(t.Context(), w, legacy.Info{ClientInfo: []byte(`{"name":"c","version":"2"}`)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.Closed(mcp.ErrClosed)
		c.Wait()
	})
	return c
}

// peerError is an error that a peer sent.
func peerError(t *testing.T, text string) error {
	t.Helper()
	msg, err := jsonrpc.Scan([]byte(`{"jsonrpc":"2.0","id":1,"error":`+text+`}`), nil)
	if err != nil {
		t.Fatal(err)
	}
	_, err = mcp.DecodeResponse(&msg)
	return err
}

func TestConnect(t *testing.T) {
	w := &fakeWire{}
	c := connect(t, w)
	want := []string{
		`initialize {"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"c","version":"2"}}`,
		`notifications/initialized`,
	}
	if diff := cmp.Diff(want, w.asked()); diff != "" {
		t.Error("(-want +got)\n" + diff)
	}
	if c.Server().Version != mcp.Version20241105 {
		t.Errorf("version %s", c.Server().Version)
	}

	for name, result := range map[string]string{
		"no version":      `{"capabilities":{}}`,
		"unknown version": `{"protocolVersion":"1999-01-01","capabilities":{}}`,
		"modern version":  `{"protocolVersion":"2026-07-28","capabilities":{}}`,
		"no capabilities": `{"protocolVersion":"2025-11-25"}`,
	} {
		w := &fakeWire{answers: map[string]string{"initialize": result}}
		if _, err := legacy.Connect(t.Context(), w, legacy.Info{}); err == nil {
			t.Errorf("%s: no error", name)
		}
		if len(w.asked()) != 1 {
			t.Errorf("%s: initialized all the same", name)
		}
	}
}

func TestClientRequest(t *testing.T) {
	const modern = `"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}`
	tests := []struct{ name, params, meta, token, want string }{
		{"nothing", ``, ``, ``, `tools/list`},
		{"only metadata", `{"_meta":{` + modern + `}}`, `{` + modern + `}`, ``, `tools/list`},
		{"cursor", `{"cursor":"c"}`, ``, ``, `tools/list {"cursor":"c"}`},
		{"other keys stay", `{"_meta":{` + modern + `,"traceparent":"t"},"cursor":"c"}`, `{` + modern + `,"traceparent":"t"}`, ``, `tools/list {"_meta":{"traceparent":"t"},"cursor":"c"}`},
		{"token", `{}`, ``, `7`, `tools/list {"_meta":{"progressToken":7}}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := &fakeWire{}
			c := connect(t, w)
			w.asked()
			req := &mcp.Request{Method: mcp.MethodListTools}
			if tt.params != "" {
				req.Params = []byte(tt.params)
			}
			if tt.meta != "" {
				req.Meta.Raw = []byte(tt.meta)
			}
			if tt.token != "" {
				req.Meta.ProgressToken = []byte(tt.token)
			}
			if _, err := c.Handle(t.Context(), req, mcp.Discard); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([]string{tt.want}, w.asked()); diff != "" {
				t.Error("(-want +got)\n" + diff)
			}
		})
	}
}

// TestClientHintsOfOldServers: members of the latest revision that an old server
// sends are not passed on, or they would stand there twice.
func TestClientHintsOfOldServers(t *testing.T) {
	w := &fakeWire{}
	c := connect(t, w)
	w.answers[mcp.MethodReadResource] = `{"ttlMs":5,"contents":[],"cacheScope":"public","resultType":"input_required"}`
	res, err := c.Handle(t.Context(), &mcp.Request{Method: mcp.MethodReadResource, Name: "a://b", Params: []byte(`{"uri":"a://b"}`)}, mcp.Discard)
	if err != nil || string(res.Body) != `{"contents":[]}` || res.Type != mcp.ResultComplete || res.Cache != (mcp.Cache{Scope: mcp.CachePrivate}) {
		t.Errorf("%s %s %+v, %v", res.Type, res.Body, res.Cache, err)
	}
}

func TestClientErrors(t *testing.T) {
	local := errors.New("cable cut")
	tests := []struct {
		name, method string
		err          error
		code         int
		data         string
	}{
		{"unknown resource", mcp.MethodReadResource, peerError(t, `{"code":-32002,"message":"m"}`), -32602, `{"uri":"a:b"}`},
		{"unknown resource, with data", mcp.MethodReadResource, peerError(t, `{"code":-32002,"message":"m","data":{"uri":"x","why":1}}`), -32602, `{"uri":"a:b","why":1}`},
		{"the same code elsewhere", mcp.MethodCallTool, peerError(t, `{"code":-32002,"message":"m","data":[1]}`), -32602, `[1]`},
		{"what the latest revision means by it", mcp.MethodCallTool, peerError(t, `{"code":-32020,"message":"m","data":[1]}`), -32603, ``},
		{"what it asks the client for", mcp.MethodCallTool, peerError(t, `{"code":-32021,"message":"m","data":{"requiredCapabilities":{"sampling":{}}}}`), -32603, ``},
		{"what it wants spoken", mcp.MethodCallTool, peerError(t, `{"code":-32022,"message":"m","data":{"supported":["2024-11-05"]}}`), -32603, ``},
		{"URL elicitation", mcp.MethodCallTool, peerError(t, `{"code":-32042,"message":"m","data":{}}`), -32603, ``},
		{"others", mcp.MethodCallTool, peerError(t, `{"code":-5,"message":"m","data":[1]}`), -5, `[1]`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := &fakeWire{}
			c := connect(t, w)
			w.errs = map[string]error{tt.method: tt.err}
			_, err := c.Handle(t.Context(), &mcp.Request{Method: tt.method, Name: "a:b"}, mcp.Discard)
			var e *mcp.Error
			if !errors.As(err, &e) || !mcp.IsWireError(err) || e.Code != tt.code || string(e.Data) != tt.data {
				t.Errorf("error = %#v", err)
			}
		})
	}
	w := &fakeWire{}
	c := connect(t, w)
	w.errs = map[string]error{mcp.MethodCallTool: local}
	if _, err := c.Handle(t.Context(), &mcp.Request{Method: mcp.MethodCallTool}, mcp.Discard); err != local {
		t.Errorf("local error = %v", err)
	}
}

// sinkFunc is a Sink made of a function.
type sinkFunc func(method, params string, end error)

func (f sinkFunc) Notify(n *mcp.Notification) error {
	f(n.Method, string(n.Params), nil)
	return nil
}
func (f sinkFunc) End(_ mcp.Result, err error) { f("end", "", err) }

func TestClientLogLevel(t *testing.T) {
	w := &fakeWire{}
	c := connect(t, w)
	w.asked()
	w.notify = func(sink mcp.Sink) {
		for _, level := range []string{"debug", "info", "error"} {
			_ = sink.Notify(mcp.NewNotification(mcp.NotificationMessage, []byte(`{"level":"`+level+`"}`)))
		}
	}
	for _, tt := range []struct {
		level mcp.LogLevel
		asked []string
		got   string
	}{
		{"", []string{"tools/list"}, ""},
		{mcp.LogError, []string{`logging/setLevel {"level":"error"}`, "tools/list"}, "error"},
		{mcp.LogInfo, []string{`logging/setLevel {"level":"info"}`, "tools/list"}, "info error"},
		{mcp.LogError, []string{"tools/list"}, "error"}, // others still want info
	} {
		var got []string
		sink := sinkFunc(func(_, params string, _ error) {
			level, _ := jsonrpc.Unquote(jsonrpc.Get([]byte(params), "level"))
			got = append(got, level)
		})
		if _, err := c.Handle(t.Context(), &mcp.Request{Method: mcp.MethodListTools, Meta: mcp.Meta{LogLevel: tt.level}}, sink); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(tt.asked, w.asked()); diff != "" {
			t.Errorf("level %q (-want +got)\n%s", tt.level, diff)
		}
		if s := strings.Join(got, " "); s != tt.got {
			t.Errorf("level %q: got messages %q, want %q", tt.level, s, tt.got)
		}
	}
}

func TestClientListen(t *testing.T) {
	w := &fakeWire{}
	c := connect(t, w)
	w.asked()
	w.errs = map[string]error{}

	type event struct {
		what string
		err  error
	}
	listen := func(ctx context.Context, filter string) (chan event, error) {
		events := make(chan event, 100)
		sink := sinkFunc(func(method, params string, end error) { events <- event{method + " " + params, end} })
		res, err := c.Handle(ctx, &mcp.Request{Method: mcp.MethodListen, Params: []byte(`{"notifications":` + filter + `}`)}, sink)
		if err == nil && !res.Stream {
			t.Error("the request did not stay open")
		}
		return events, err
	}
	want := func(events chan event, what string) {
		t.Helper()
		if got := <-events; got.what != what {
			t.Errorf("got %q, want %q", got.what, what)
		}
	}

	for _, bad := range []string{`7`, `{"toolsListChanged":"yes"}`, `{"resourceSubscriptions":[1]}`} {
		if _, err := listen(t.Context(), bad); !errors.Is(err, &mcp.Error{Code: jsonrpc.CodeInvalidParams}) {
			t.Errorf("%s: %v", bad, err)
		}
	}

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	tools, err := listen(ctx, `{"toolsListChanged":true}`)
	if err != nil {
		t.Fatal(err)
	}
	want(tools, `notifications/subscriptions/acknowledged {"notifications":{"toolsListChanged":true}}`)
	one, err := listen(ctx, `{"resourceSubscriptions":["file:///a","file:///d/"]}`)
	if err != nil {
		t.Fatal(err)
	}
	want(one, `notifications/subscriptions/acknowledged {"notifications":{"resourceSubscriptions":["file:///a","file:///d/"]}}`)
	two, err := listen(t.Context(), `{"resourcesListChanged":true,"resourceSubscriptions":["file:///a"]}`)
	if err != nil {
		t.Fatal(err)
	}
	want(two, `notifications/subscriptions/acknowledged {"notifications":{"resourcesListChanged":true,"resourceSubscriptions":["file:///a"]}}`)
	if diff := cmp.Diff([]string{`resources/subscribe {"uri":"file:///a"}`, `resources/subscribe {"uri":"file:///d/"}`}, w.asked()); diff != "" {
		t.Error("(-want +got)\n" + diff)
	}

	c.Notification(mcp.NotificationToolsListChanged, nil)
	c.Notification(mcp.NotificationPromptsListChanged, nil) // nobody wants it
	c.Notification(mcp.NotificationResourcesListChanged, nil)
	want(tools, `notifications/tools/list_changed `)
	want(two, `notifications/resources/list_changed `)
	c.Notification(mcp.NotificationResourceUpdated, []byte(`{"uri":"file:///ab"}`)) // not below a
	c.Notification(mcp.NotificationResourceUpdated, []byte(`{"uri":"file:///d/x"}`))
	want(one, `notifications/resources/updated {"uri":"file:///d/x"}`)
	c.Notification(mcp.NotificationResourceUpdated, []byte(`{"uri":"file:///a#part"}`))
	want(one, `notifications/resources/updated {"uri":"file:///a#part"}`)
	want(two, `notifications/resources/updated {"uri":"file:///a#part"}`)

	// When the first of two streams ends, only what the other does not want goes.
	w.on = make(chan string, 10)
	cancel()
	if got := <-w.on; got != `resources/unsubscribe {"uri":"file:///d/"}` {
		t.Error(got)
	}
	gone := errors.New("gone")
	c.Closed(gone)
	if got := <-two; got.what != "end " || got.err != gone {
		t.Errorf("%+v", got)
	}
	if _, err := listen(t.Context(), `{}`); err != gone {
		t.Errorf("listen after the end: %v", err)
	}
	c.Wait()
	// The end of its context and the end of the session race for the stream of the tools.
	select {
	case got := <-tools:
		if got.what != "end " || got.err != gone {
			t.Errorf("%+v", got)
		}
	default:
	}
	if diff := cmp.Diff(0, len(one)+len(two)+len(tools)); diff != "" {
		t.Error("more events than expected (-want +got)\n" + diff)
	}
}
