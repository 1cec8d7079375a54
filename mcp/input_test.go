package mcp_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/mcp/jsonrpc"
)

const allCapabilities = `{"elicitation":{"form":{},"url":{}},"sampling":{"tools":{},"context":{}},"roots":{}}`

// caller calls one tool of a server round by round.
type caller struct {
	t         *testing.T
	h         mcp.Handler
	params    string // members of params beside the retry's
	method    string
	caps      string
	principal mcp.Principal
	state     string // requestState of the last answer, raw
}

func newCaller(t *testing.T, h mcp.Handler, tool string) *caller {
	return &caller{t: t, h: h, method: mcp.MethodCallTool, params: `"name":"` + tool + `","arguments":{}`, caps: allCapabilities}
}

// send calls with responses and the last state; an empty text leaves responses out.
func (c *caller) send(responses string) (mcp.Result, error) {
	params := `{` + c.params
	if responses != "" {
		params += `,"inputResponses":` + responses
	}
	if c.state != "" {
		params += `,"requestState":` + c.state
	}
	req := request(c.t, c.method, params+`}`)
	req.Meta.Capabilities = []byte(c.caps)
	req.Principal = c.principal
	res, err := c.h.Handle(c.t.Context(), req, mcp.Discard)
	if res.Type == mcp.ResultInputRequired {
		c.state = string(jsonrpc.Get(res.Body, "requestState"))
	}
	return res, err
}

// asks sends, and returns the keys of the questions that come back.
func (c *caller) asks(responses string) string {
	c.t.Helper()
	res, err := c.send(responses)
	if err != nil || res.Type != mcp.ResultInputRequired {
		c.t.Fatalf("send %s: got %s %s, %v; want questions", responses, res.Type, res.Body, err)
	}
	var keys []string
	for key := range jsonrpc.Members(jsonrpc.Get(res.Body, "inputRequests")) {
		keys = append(keys, key)
	}
	return strings.Join(keys, " ")
}

// done sends, and returns the text of the complete result.
func (c *caller) done(responses string) string {
	c.t.Helper()
	res, err := c.send(responses)
	if err != nil || res.Type != "" {
		c.t.Fatalf("send %s: got %s %s, %v; want a complete result", responses, res.Type, res.Body, err)
	}
	return string(jsonrpc.Splice(nil, res.Body, jsonrpc.Member{Key: "_meta"}))
}

// fails sends, and checks the error.
func (c *caller) fails(responses string, code int, want string) {
	c.t.Helper()
	_, err := c.send(responses)
	if e := mcp.ErrorOf(err); e == nil || e.Code != code || !strings.Contains(err.Error()+string(e.Data), want) {
		c.t.Errorf("send %s: got %v, want code %d with %q", responses, err, code, want)
	}
}

type yes struct {
	OK bool `json:"ok"`
}

// asking makes a server with one tool.
func asking(t *testing.T, opts *mcp.ServerOptions, fn func(ctx context.Context, call *mcp.Call) (string, error)) *mcp.Server {
	t.Helper()
	s := mcp.NewServer("s", "1", opts)
	if err := mcp.AddTool(s, mcp.Tool{Name: "t"}, func(ctx context.Context, call *mcp.Call, _ map[string]any) (string, error) { return fn(ctx, call) }); err != nil {
		t.Fatal(err)
	}
	return s
}

func confirmed(ctx context.Context, call *mcp.Call) (string, error) {
	in, action, err := mcp.ElicitAs[yes](ctx, call, "confirm", "Sure?")
	return fmt.Sprintf("%s %v", action, in.OK), err
}

const accepted = `{"confirm":{"action":"accept","content":{"ok":true}}}`

func TestAsk(t *testing.T) {
	c := newCaller(t, asking(t, nil, confirmed), "t")
	if got := c.asks(""); got != "confirm" {
		t.Fatalf("asked %q", got)
	}
	first := c.state
	if got := c.done(accepted); !strings.Contains(got, "accept true") {
		t.Errorf("got %s", got)
	}
	for responses, want := range map[string]string{
		`{"confirm":{"action":"decline"}}`:                                                  "decline false",
		`{"confirm":{"action":"cancel","content":{"ok":true}}}`:                             "cancel false", // content without accept does not count
		`{"confirm":{"action":"accept","content":{"ok":true}},"other":{"x":1},"more":null}`: "accept true",
	} {
		c.state = first
		if got := c.done(responses); !strings.Contains(got, want) {
			t.Errorf("%s: got %s, want %s", responses, got, want)
		}
	}
	for _, responses := range []string{`{}`, `{"conform":{"action":"accept"}}`} { // missing: asked again
		c.state = first
		if got := c.asks(responses); got != "confirm" {
			t.Errorf("%s: asked %q", responses, got)
		}
	}
	for responses, want := range map[string]string{
		`null`:                            "inputResponses is not an object",
		`[]`:                              "inputResponses is not an object",
		`{"confirm":12345}`:               "confirm",
		`{"confirm":{}}`:                  "action",
		`{"confirm":{"action":"maybe"}}`:  "action",
		`{"confirm":{"action":"accept"}}`: "ok",
		`{"confirm":{"action":"accept","content":{"ok":"yes"}}}`: "ok",
		`{"confirm":{"action":"accept","content":[true]}}`:       "",
	} {
		c.state = first
		c.fails(responses, jsonrpc.CodeInvalidParams, want)
	}
}

func TestAskIsWhatTheSpecificationShows(t *testing.T) {
	res, err := newCaller(t, asking(t, nil, confirmed), "t").send("")
	if err != nil {
		t.Fatal(err)
	}
	want := `{"confirm":{"method":"elicitation/create","params":{"mode":"form","message":"Sure?","requestedSchema":{"type":"object","properties":{"ok":{"type":"boolean"}},"required":["ok"]}}}}`
	if got := string(jsonrpc.Get(res.Body, "inputRequests")); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestAskInRounds(t *testing.T) {
	effects := 0
	c := newCaller(t, asking(t, nil, func(ctx context.Context, call *mcp.Call) (string, error) {
		n, err := mcp.Once(ctx, call, "order", func(context.Context) (int, error) { effects++; return 40 + effects, nil })
		if err != nil {
			return "", err
		}
		a, err := call.Ask(ctx,
			mcp.Question{Key: "a", Form: &mcp.Form{Message: "a?"}},
			mcp.Question{Key: "b", Page: &mcp.Page{Message: "b?", URL: "https://example.com/pay"}},
			mcp.Question{Key: "c", Sample: &mcp.SampleParams{MaxTokens: 5, Messages: []mcp.SamplingMessage{{Role: mcp.RoleUser, Content: []mcp.Content{mcp.Text("c?")}}}}},
			mcp.Question{Key: "d", Roots: true})
		if err != nil {
			return "", err
		}
		last, err := call.Elicit(ctx, "last", mcp.Form{Message: "and " + a.Sample("c").Text()})
		if err != nil {
			return "", err
		}
		return fmt.Sprintf("%d %s %s %s %s %s", n, a.Elicit("a").Action, a.Elicit("b").Action, a.Sample("c").Text(), a.Roots("d")[0].URI, last.Action), nil
	}), "t")
	if got := c.asks(""); got != "a b c d" {
		t.Fatalf("asked %q", got)
	}
	before := c.state
	if got := c.asks(`{"a":{"action":"accept"},"c":{"role":"assistant","content":{"type":"text","text":"blue"},"model":"m"}}`); got != "b d" {
		t.Fatalf("asked %q", got)
	}
	if c.state == before {
		t.Error("the state has not changed")
	}
	if got := c.asks(`{"b":{"action":"accept"},"d":{"roots":[{"uri":"file:///x"}]}}`); got != "last" {
		t.Fatalf("asked %q", got)
	}
	if got := c.done(`{"last":{"action":"decline"}}`); !strings.Contains(got, "41 accept accept blue file:///x decline") {
		t.Errorf("got %s", got)
	}
	if effects != 1 {
		t.Errorf("the effect happened %d times", effects)
	}
}

func TestAskWithoutCapability(t *testing.T) {
	sample := &mcp.SampleParams{MaxTokens: 5, Messages: []mcp.SamplingMessage{{Role: mcp.RoleUser, Content: []mcp.Content{mcp.Text("?")}}}}
	withTools, withContext := *sample, *sample
	withTools.Tools = []mcp.Tool{{Name: "x", InputSchema: mcp.Raw(`{"type":"object"}`)}}
	withContext.IncludeContext = mcp.IncludeThisServer
	for _, tt := range []struct {
		caps string
		q    mcp.Question
		want string // required capability; empty: it can be asked
	}{
		{`{}`, mcp.Question{Form: &mcp.Form{}}, `{"elicitation":{"form":{}}}`},
		{`{"elicitation":{"url":{}}}`, mcp.Question{Form: &mcp.Form{}}, `{"elicitation":{"form":{}}}`},
		{`{"elicitation":{}}`, mcp.Question{Form: &mcp.Form{}}, ``},
		{`{"elicitation":{"form":{}}}`, mcp.Question{Form: &mcp.Form{}}, ``},
		{`{"elicitation":{}}`, mcp.Question{Page: &mcp.Page{URL: "https://example.com"}}, `{"elicitation":{"url":{}}}`},
		{`{"elicitation":{"url":{}}}`, mcp.Question{Page: &mcp.Page{URL: "https://example.com"}}, ``},
		{`{}`, mcp.Question{Sample: sample}, `{"sampling":{}}`},
		{`{"sampling":{}}`, mcp.Question{Sample: sample}, ``},
		{`{"sampling":{}}`, mcp.Question{Sample: &withTools}, `{"sampling":{"tools":{}}}`},
		{`{"sampling":{"tools":{}}}`, mcp.Question{Sample: &withTools}, ``},
		{`{"sampling":{}}`, mcp.Question{Sample: &withContext}, `{"sampling":{"context":{}}}`},
		{`{"sampling":[]}`, mcp.Question{Sample: sample}, `{"sampling":{}}`},
		{`{}`, mcp.Question{Roots: true}, `{"roots":{}}`},
		{`{"roots":{}}`, mcp.Question{Roots: true}, ``},
	} {
		tt.q.Key = "k"
		c := newCaller(t, asking(t, nil, func(ctx context.Context, call *mcp.Call) (string, error) {
			_, err := call.Ask(ctx, tt.q)
			return "", err
		}), "t")
		c.caps = tt.caps
		if tt.want == "" {
			c.asks("")
			continue
		}
		c.fails("", mcp.CodeMissingCapability, `{"requiredCapabilities":`+tt.want+`}`)
	}
}

func TestAskWhatCannotBeAsked(t *testing.T) {
	form := func(schema string) mcp.Question { return mcp.Question{Form: &mcp.Form{Schema: mcp.Raw(schema)}} }
	message := func(role mcp.Role, content ...mcp.Content) mcp.SamplingMessage {
		return mcp.SamplingMessage{Role: role, Content: content}
	}
	sample := func(messages ...mcp.SamplingMessage) mcp.Question {
		return mcp.Question{Sample: &mcp.SampleParams{MaxTokens: 1, Messages: messages}}
	}
	use, result := &mcp.ToolUseContent{ID: "1", Name: "x", Input: mcp.Raw(`{}`)}, &mcp.ToolResultContent{ToolUseID: "1"}
	for name, q := range map[string]mcp.Question{
		"nothing":                   {},
		"a page that is a script":   {Page: &mcp.Page{URL: "javascript:alert(1)"}},
		"a page without a host":     {Page: &mcp.Page{URL: "https://"}},
		"no JSON":                   form(`{`),
		"no object":                 form(`{"type":"string"}`),
		"no properties":             form(`{"type":"object"}`),
		"nested":                    form(`{"type":"object","properties":{"a":{"type":"object"}}}`),
		"a list of anything":        form(`{"type":"object","properties":{"a":{"type":"array","items":{"type":"string"}}}}`),
		"a reference":               form(`{"type":"object","properties":{"a":{"$ref":"https://example.com"}}}`),
		"a condition":               form(`{"type":"object","properties":{},"if":{}}`),
		"a keyword of another type": form(`{"type":"object","properties":{"a":{"type":"boolean","minimum":1}}}`),
		"no messages":               sample(),
		"no tokens":                 {Sample: &mcp.SampleParams{Messages: []mcp.SamplingMessage{message(mcp.RoleUser, mcp.Text("x"))}}},
		"a call without result":     sample(message(mcp.RoleAssistant, use)),
		"a result without call":     sample(message(mcp.RoleUser, result)),
		"results beside text":       sample(message(mcp.RoleAssistant, use), message(mcp.RoleUser, result, mcp.Text("x"))),
		"a call of the user":        sample(message(mcp.RoleUser, use)),
	} {
		q.Key = "k"
		c := newCaller(t, asking(t, nil, func(ctx context.Context, call *mcp.Call) (string, error) {
			_, err := call.Ask(ctx, q)
			return "", err
		}), "t")
		if got := c.done(""); !strings.Contains(got, `"isError":true`) || !strings.Contains(got, `ask \"k\"`) {
			t.Errorf("%s: got %s", name, got)
		}
	}
	c := newCaller(t, asking(t, nil, func(ctx context.Context, call *mcp.Call) (string, error) {
		_, err := call.Ask(ctx, mcp.Question{Key: "k", Roots: true}, mcp.Question{Key: "k", Roots: true})
		return "", err
	}), "t")
	if got := c.done(""); !strings.Contains(got, "used twice") {
		t.Errorf("got %s", got)
	}
}

func TestStateIsSealed(t *testing.T) {
	s := asking(t, nil, confirmed)
	alice, mallory := mcp.Principal{Issuer: "i", Subject: "alice"}, mcp.Principal{Issuer: "i", Subject: "mallory"}
	c := newCaller(t, s, "t")
	c.principal = alice
	c.asks("")
	good := c.state
	text, _ := jsonrpc.Unquote([]byte(good))

	for _, edit := range map[string]func(c *caller){
		"another principal": func(c *caller) { c.principal = mallory },
		"anonymous":         func(c *caller) { c.principal = mcp.Principal{} },
		"other arguments":   func(c *caller) { c.params = `"name":"t","arguments":{"x":1}` },
		"more at the end":   func(c *caller) { c.state = `"` + text + `-TAMPERED"` },
		"cut":               func(c *caller) { c.state = `"` + text[:len(text)-4] + `"` },
		"another server":    func(c *caller) { c.h = asking(t, nil, confirmed) },
		"empty":             func(c *caller) { c.state = `""` },
		"no string":         func(c *caller) { c.state = `{}` },
	} {
		c := &caller{t: t, h: s, method: mcp.MethodCallTool, params: `"name":"t","arguments":{}`, caps: allCapabilities, principal: alice, state: good}
		edit(c)
		c.fails(accepted, jsonrpc.CodeInvalidParams, "requestState")
	}
	for i := 0; i < len(text); i += 3 {
		flipped := []byte(text)
		flipped[i] = 'A' + (flipped[i]+1)%26
		if string(flipped) == text {
			continue
		}
		c := *c
		c.state = `"` + string(flipped) + `"`
		c.fails(accepted, jsonrpc.CodeInvalidParams, "requestState")
	}
	// The members of the retry may stand in another order.
	c.params, c.state = `"arguments":{},"name":"t"`, good
	c.done(accepted)
}

func TestStateExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCaller(t, asking(t, &mcp.ServerOptions{StateLife: time.Minute}, confirmed), "t")
		c.asks("")
		state := c.state
		time.Sleep(59 * time.Second)
		c.done(accepted)
		time.Sleep(3 * time.Second)
		c.state = state
		c.fails(accepted, jsonrpc.CodeInvalidParams, "requestState")
	})
}

func TestStateKeysRotate(t *testing.T) {
	old, fresh := mcp.SealKey{ID: 1, Secret: [32]byte{1}}, mcp.SealKey{ID: 2, Secret: [32]byte{2}}
	server := func(keys ...mcp.SealKey) *mcp.Server {
		return asking(t, &mcp.ServerOptions{Sealer: mcp.NewSealer(keys...)}, confirmed)
	}
	c := newCaller(t, server(old), "t")
	c.asks("")
	c.h = server(fresh, old)
	c.done(accepted)
	c.h = server(fresh)
	c.fails(accepted, jsonrpc.CodeInvalidParams, "requestState")
}

func TestHandlersThatAskWrongly(t *testing.T) {
	broken := errors.New("broken")
	calls := 0
	for name, tt := range map[string]struct {
		fn   func(ctx context.Context, call *mcp.Call) (string, error)
		want string
	}{
		"swallowed": {func(ctx context.Context, call *mcp.Call) (string, error) {
			_, _ = confirmed(ctx, call)
			return "fine", nil
		}, "did not return the error of the question"},
		"replaced": {func(ctx context.Context, call *mcp.Call) (string, error) {
			_, _ = confirmed(ctx, call)
			return "", broken
		}, "did not return the error of the question"},
		"another question under the key": {func(ctx context.Context, call *mcp.Call) (string, error) {
			calls++
			_, err := call.Elicit(ctx, "k", mcp.Form{Message: fmt.Sprint("call ", calls)})
			if err != nil {
				return "", err
			}
			_, err = call.Elicit(ctx, "k2", mcp.Form{Message: "x"})
			return "", err
		}, "does not ask what it asked before"},
		"an effect under the key of a question": {func(ctx context.Context, call *mcp.Call) (string, error) {
			_, err := call.Elicit(ctx, "k", mcp.Form{Message: "x"})
			if err != nil {
				return "", err
			}
			_, err = mcp.Once(ctx, call, "k", func(context.Context) (int, error) { return 1, nil })
			return "", err
		}, "does not ask what it asked before"},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCaller(t, asking(t, nil, tt.fn), "t")
			var err error
			for range 3 {
				var res mcp.Result
				if res, err = c.send(`{"k":{"action":"accept"}}`); res.Type != mcp.ResultInputRequired {
					break
				}
			}
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("got %v, want %q", err, tt.want)
			}
			if e := mcp.ErrorOf(err); e.Code != jsonrpc.CodeInternalError || strings.Contains(e.Message, "ask") {
				t.Errorf("the client learns %v", e)
			}
		})
	}
}

func TestOnceKeepsNoError(t *testing.T) {
	tries := 0
	c := newCaller(t, asking(t, nil, func(ctx context.Context, call *mcp.Call) (string, error) {
		_, err := mcp.Once(ctx, call, "effect", func(context.Context) (string, error) {
			if tries++; tries == 1 {
				return "", errors.New("not yet")
			}
			return "v", nil
		})
		if err != nil {
			return "", err
		}
		return confirmed(ctx, call)
	}), "t")
	if got := c.done(""); !strings.Contains(got, "not yet") {
		t.Errorf("got %s", got)
	}
	c.asks("")
	c.done(accepted)
	if tries != 2 {
		t.Errorf("%d tries", tries)
	}
}

func TestAskFromSeveralGoroutines(t *testing.T) {
	c := newCaller(t, asking(t, nil, func(ctx context.Context, call *mcp.Call) (string, error) {
		var wg sync.WaitGroup
		errs := make([]error, 8)
		for i := range errs {
			wg.Go(func() { _, errs[i] = call.Elicit(ctx, fmt.Sprint("k", i), mcp.Form{Message: "?"}) })
		}
		wg.Wait()
		return "all", errors.Join(errs...)
	}), "t")
	if got := c.asks(""); len(strings.Fields(got)) != 8 {
		t.Errorf("asked %q", got)
	}
	responses := map[string]string{}
	var b strings.Builder
	for i := range 8 {
		responses[fmt.Sprint("k", i)] = "accept"
		fmt.Fprintf(&b, `,"k%d":{"action":"accept"}`, i)
	}
	c.done(`{` + b.String()[1:] + `}`)
}

func TestAskInPromptsAndResources(t *testing.T) {
	s := mcp.NewServer("s", "1", nil)
	if err := errors.Join(
		s.AddPrompt(mcp.Prompt{Name: "p", Arguments: []mcp.PromptArgument{{Name: "a"}}}, func(ctx context.Context, call *mcp.Call, _ map[string]string) (*mcp.PromptResult, error) {
			text, err := confirmed(ctx, call)
			return &mcp.PromptResult{Messages: []mcp.PromptMessage{{Role: mcp.RoleUser, Content: mcp.Text(text)}}}, err
		}),
		s.AddResource(mcp.Resource{URI: "x:y", Name: "y"}, func(ctx context.Context, call *mcp.Call, _ string) ([]mcp.ResourceContents, error) {
			text, err := confirmed(ctx, call)
			return []mcp.ResourceContents{{Text: text}}, err
		}),
		s.CompletePrompt("p", "a", func(ctx context.Context, call *mcp.Call, _ string, _ map[string]string) ([]string, error) {
			_, err := confirmed(ctx, call)
			return nil, err
		}),
	); err != nil {
		t.Fatal(err)
	}
	for _, c := range []*caller{
		{t: t, h: s, method: mcp.MethodGetPrompt, params: `"name":"p"`, caps: allCapabilities},
		{t: t, h: s, method: mcp.MethodReadResource, params: `"uri":"x:y"`, caps: allCapabilities},
	} {
		c.asks("")
		if got := c.done(accepted); !strings.Contains(got, "accept true") {
			t.Errorf("got %s", got)
		}
	}
	// Nothing else may ask (MCP 2026-07-28, basic/patterns/mrtr, Supported Requests).
	c := &caller{t: t, h: s, method: mcp.MethodComplete, params: `"ref":{"type":"ref/prompt","name":"p"},"argument":{"name":"a","value":""}`, caps: allCapabilities}
	c.fails("", jsonrpc.CodeInternalError, "")
}

// states is a StateStore.
type states struct {
	mu sync.Mutex
	m  map[string][]byte
}

func (s *states) Put(_ context.Context, key string, value []byte, _ time.Duration) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.m[key] = value
	return nil
}

func (s *states) Get(_ context.Context, key string) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.m[key], nil
}

func TestLargeState(t *testing.T) {
	large := func(ctx context.Context, call *mcp.Call) (string, error) {
		v, err := mcp.Once(ctx, call, "large", func(context.Context) (string, error) { return strings.Repeat("x", 100_000), nil })
		if err != nil {
			return "", err
		}
		text, err := confirmed(ctx, call)
		return fmt.Sprint(text, len(v)), err
	}
	newCaller(t, asking(t, nil, large), "t").fails("", jsonrpc.CodeInternalError, "StateStore")

	store := &states{m: map[string][]byte{}}
	c := newCaller(t, asking(t, &mcp.ServerOptions{StateStore: store}, large), "t")
	c.asks("")
	if len(c.state) > 500 || len(store.m) != 1 {
		t.Errorf("the state has %d bytes, the store %d entries", len(c.state), len(store.m))
	}
	for _, v := range store.m {
		if strings.Contains(string(v), "xxxx") {
			t.Error("the store sees the value")
		}
	}
	if got := c.done(accepted); !strings.Contains(got, "accept true100000") {
		t.Errorf("got %.200s", got)
	}
	clear(store.m)
	c.fails(accepted, jsonrpc.CodeInvalidParams, "requestState")
}

func TestFormOf(t *testing.T) {
	type all struct {
		Name  string   `json:"name" default:"Ann" minLength:"1"`
		Age   int32    `json:"age,omitempty" minimum:"0"`
		Score float64  `json:"score,omitempty"`
		Kind  string   `json:"kind" enum:"a,b"`
		Many  []string `json:"many,omitempty" enum:"x,y" maxItems:"2"`
	}
	form := mcp.FormOf[all]("Fill in")
	want := `{"type":"object","properties":{"name":{"type":"string","minLength":1,"default":"Ann"},"age":{"type":"integer","maximum":2147483647,"minimum":0},"score":{"type":"number"},` +
		`"kind":{"type":"string","enum":["a","b"]},"many":{"type":"array","items":{"type":"string","enum":["x","y"]},"maxItems":2}},"required":["kind"]}`
	if string(form.Schema) != want {
		t.Errorf("got\n%s\nwant\n%s", form.Schema, want)
	}
	for name, f := range map[string]func(){
		"nested":   func() { mcp.FormOf[struct{ A struct{ B int } }]("") },
		"pointer":  func() { mcp.FormOf[struct{ A *int }]("") },
		"strings":  func() { mcp.FormOf[struct{ A []string }]("") },
		"no form":  func() { mcp.FormOf[int]("") },
		"anything": func() { mcp.FormOf[struct{ A any }]("") },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			f()
		}()
	}
}

func FuzzState(f *testing.F) {
	s := mcp.NewSealer()
	f.Add("")
	f.Add("AQA")
	f.Add(s.Seal(mcp.SealBinding("elsewhere"), []byte("v"), time.Hour))
	f.Fuzz(func(t *testing.T, sealed string) {
		if v, err := s.Open(mcp.SealBinding("here"), sealed); err == nil {
			t.Errorf("%q opens to %q", sealed, v)
		}
	})
}

func FuzzInputResponses(f *testing.F) {
	f.Add([]byte(accepted))
	f.Add([]byte(`{"confirm":12345}`))
	f.Add([]byte(`null`))
	f.Fuzz(func(t *testing.T, responses []byte) {
		if jsonrpc.Valid(responses, nil) != nil {
			return
		}
		s := mcp.NewServer("s", "1", nil)
		_ = mcp.AddTool(s, mcp.Tool{Name: "t"}, func(ctx context.Context, call *mcp.Call, _ struct{}) (string, error) { return confirmed(ctx, call) })
		params := []byte(`{"name":"t","inputResponses":` + string(responses) + `}`)
		req := &mcp.Request{Method: mcp.MethodCallTool, Name: "t", Params: params, Meta: mcp.Meta{Version: mcp.LatestVersion, Capabilities: []byte(allCapabilities)}}
		res, err := s.Handle(t.Context(), req, mcp.Discard)
		if err != nil && mcp.ErrorOf(err).Code != jsonrpc.CodeInvalidParams {
			t.Errorf("%s: %v", responses, err)
		}
		if err == nil && jsonrpc.Valid(res.Body, nil) != nil {
			t.Errorf("%s: %s", responses, res.Body)
		}
	})
}
