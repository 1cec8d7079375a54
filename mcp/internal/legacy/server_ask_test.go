package legacy_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/mcp/internal/legacy"
	"github.com/fairlead-mcp/fairlead/mcp/jsonrpc"
)

// person is a Stream whose client answers what it is asked by reply.
type person struct {
	t       *testing.T
	session *legacy.Session
	reply   func(method, params string) string // members of the response beside the id; empty: silence

	mu   sync.Mutex
	seen []string // methods and notifications
}

func (p *person) Notify(n *mcp.Notification) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.seen = append(p.seen, n.Method+" "+string(n.Params))
	return nil
}

func (p *person) End(mcp.Result, error) {}

func (p *person) Send(raw []byte) error {
	msg, err := jsonrpc.Scan(raw, nil)
	if err != nil || msg.Kind != jsonrpc.Request {
		p.t.Errorf("the server sent %s", raw)
	}
	p.mu.Lock()
	p.seen = append(p.seen, msg.Method+" "+string(msg.Params))
	p.mu.Unlock()
	if text := p.reply(msg.Method, string(msg.Params)); text != "" {
		answer, err := jsonrpc.Scan([]byte(`{"jsonrpc":"2.0","id":`+string(msg.ID)+`,`+text+`}`), nil)
		if err != nil {
			p.t.Errorf("bad answer %s", text)
		}
		p.session.Answered(&answer)
		p.session.Answered(&answer) // a second answer changes nothing
	}
	return nil
}

func (p *person) took() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.Join(p.seen, "\n")
}

// with opens a session of a client with capabilities to a server with one tool.
func with(t *testing.T, version, capabilities string, fn func(ctx context.Context, call *mcp.Call) (string, error)) *legacy.Session {
	t.Helper()
	server := mcp.NewServer("s", "1", nil)
	if err := mcp.AddTool(server, mcp.Tool{Name: "t"}, func(ctx context.Context, call *mcp.Call, _ struct{}) (string, error) { return fn(ctx, call) }); err != nil {
		t.Fatal(err)
	}
	if err := server.AddPrompt(mcp.Prompt{Name: "p"}, func(ctx context.Context, call *mcp.Call, _ map[string]string) (*mcp.PromptResult, error) {
		_, err := fn(ctx, call)
		return &mcp.PromptResult{}, err
	}); err != nil {
		t.Fatal(err)
	}
	s, _, e := legacy.New(t.Context(), server, scan(t, `{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"`+version+`","capabilities":`+capabilities+`}}`), mcp.Principal{})
	if e != nil {
		t.Fatal(e)
	}
	t.Cleanup(s.Close)
	return s
}

const callTool = `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"t","_meta":{"progressToken":"p"}}}`

func TestSessionAsks(t *testing.T) {
	handler := func(ctx context.Context, call *mcp.Call) (string, error) {
		if err := errors.Join(call.Progress(1, 3, ""), call.Progress(2, 3, "")); err != nil {
			return "", err
		}
		r, err := call.Elicit(ctx, "name", mcp.Form{Message: "Who?"})
		if err != nil {
			return "", err
		}
		a, err := call.Ask(ctx,
			mcp.Question{Key: "model", Sample: &mcp.SampleParams{MaxTokens: 9, Messages: []mcp.SamplingMessage{
				{Role: mcp.RoleUser, Content: []mcp.Content{mcp.Text("one"), mcp.Text("two")}},
			}}},
			mcp.Question{Key: "roots", Roots: true})
		if err != nil {
			return "", err
		}
		return fmt.Sprint(r.Action, " ", a.Sample("model").Text(), " ", len(a.Roots("roots"))), call.Progress(3, 3, "")
	}
	reply := func(method, _ string) string {
		return `"result":` + map[string]string{
			mcp.MethodElicit:    `{"action":"accept","content":{}}`,
			mcp.MethodSample:    `{"role":"assistant","content":{"type":"text","text":"blue"},"model":"m"}`,
			mcp.MethodListRoots: `{"roots":[{"uri":"file:///x"}]}`,
		}[method]
	}
	const progress = "notifications/progress {\"progressToken\":\"p\",\"progress\":%d,\"total\":3}"
	for version, want := range map[string]string{
		"2025-06-18": `elicitation/create {"message":"Who?","requestedSchema":{"type":"object","properties":{}}}`,
		"2025-11-25": `elicitation/create {"mode":"form","message":"Who?","requestedSchema":{"type":"object","properties":{}}}`,
	} {
		s := with(t, version, `{"elicitation":{},"sampling":{},"roots":{}}`, handler)
		p := &person{t: t, session: s, reply: reply}
		got := ask(t, s, p, callTool)
		if !strings.Contains(got, "accept blue 1") {
			t.Errorf("%s: got %s", version, got)
		}
		sampling := `sampling/createMessage {"messages":[{"role":"user","content":{"type":"text","text":"one"}},{"role":"user","content":{"type":"text","text":"two"}}],"maxTokens":9}`
		if version == "2025-11-25" {
			sampling = `sampling/createMessage {"messages":[{"role":"user","content":[{"type":"text","text":"one"},{"type":"text","text":"two"}]}],"maxTokens":9}`
		}
		// Progress never falls, although the handler began anew twice.
		all := strings.Join([]string{fmt.Sprintf(progress, 1), fmt.Sprintf(progress, 2), want, sampling, "roots/list {}", fmt.Sprintf(progress, 3)}, "\n")
		if p.took() != all {
			t.Errorf("%s: the client got\n%s\nwant\n%s", version, p.took(), all)
		}
	}
}

func TestSessionAsksForAPage(t *testing.T) {
	handler := func(ctx context.Context, call *mcp.Call) (string, error) {
		r, err := call.Open(ctx, "pay", mcp.Page{Message: "Pay", URL: "https://example.com/pay"})
		if err != nil {
			return "", err
		}
		return string(r.Action), nil
	}
	reply := func(string, string) string { return `"result":{"action":"decline"}` }
	s := with(t, "2025-11-25", `{"elicitation":{"url":{}}}`, handler)
	p := &person{t: t, session: s, reply: reply}
	if got := ask(t, s, p, callTool); !strings.Contains(got, "decline") || !strings.Contains(p.took(), `"elicitationId":"pay"`) {
		t.Errorf("got %s after %s", got, p.took())
	}
	// 2025-06-18 has no pages, whatever the client says that it has.
	s = with(t, "2025-06-18", `{"elicitation":{"url":{}}}`, handler)
	p = &person{t: t, session: s, reply: reply}
	if got := ask(t, s, p, callTool); !strings.Contains(got, "-32021") || p.took() != "" {
		t.Errorf("got %s after %s", got, p.took())
	}
}

func TestSessionAsksNobody(t *testing.T) {
	elicit := func(ctx context.Context, call *mcp.Call) (string, error) {
		_, err := call.Elicit(ctx, "k", mcp.Form{})
		return "", err
	}
	for name, tt := range map[string]struct{ version, caps string }{
		"no capability":               {"2025-11-25", `{}`},
		"a revision without":          {"2025-03-26", `{"elicitation":{}}`},
		"capability of a wrong type":  {"2025-11-25", `{"elicitation":true}`},
		"tasks that the client hosts": {"2025-11-25", `{"tasks":{"requests":{"elicitation":{"create":{}}}}}`},
	} {
		s := with(t, tt.version, tt.caps, elicit)
		p := &person{t: t, session: s, reply: func(string, string) string { return `"result":{}` }}
		if got := ask(t, s, p, callTool); !strings.Contains(got, "-32021") || p.took() != "" {
			t.Errorf("%s: got %s after %s", name, got, p.took())
		}
	}
	// The client has gone.
	s := with(t, "2025-11-25", `{"elicitation":{}}`, elicit)
	if got := ask(t, s, deaf{mcp.Discard}, callTool); !strings.Contains(got, "-32603") {
		t.Errorf("got %s", got)
	}
}

func TestSessionIsRefused(t *testing.T) {
	handler := func(ctx context.Context, call *mcp.Call) (string, error) {
		_, err := call.Ask(ctx, mcp.Question{Key: "a", Form: &mcp.Form{}}, mcp.Question{Key: "b", Form: &mcp.Form{}})
		return "", err
	}
	s := with(t, "2025-11-25", `{"elicitation":{}}`, handler)
	p := &person{t: t, session: s}
	p.reply = func(string, string) string {
		if strings.Count(p.took(), "elicitation") > 1 {
			return ""
		}
		return `"error":{"code":-1,"message":"User rejected it"}`
	}
	if got := ask(t, s, p, callTool); !strings.Contains(got, `"isError":true`) || !strings.Contains(got, "User rejected it (code -1)") {
		t.Errorf("got %s", got)
	}
	if !strings.HasSuffix(p.took(), `notifications/cancelled {"requestId":2}`) {
		t.Errorf("the other question was not withdrawn: %s", p.took())
	}
	p.seen = nil
	if got := ask(t, s, p, `{"jsonrpc":"2.0","id":1,"method":"prompts/get","params":{"name":"p"}}`); !strings.Contains(got, `"error":{"code":-1,"message":"User rejected it"`) {
		t.Errorf("got %s", got)
	}
	p.reply = func(string, string) string { return `"result":{"action":"perhaps"}` }
	if got := ask(t, s, p, callTool); !strings.Contains(got, "-32602") {
		t.Errorf("got %s", got)
	}
}

func TestSessionIsCancelledWhileItAsks(t *testing.T) {
	for name, end := range map[string]func(s *legacy.Session){
		"by the client": func(s *legacy.Session) {
			s.Notified(scan(t, `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}`))
		},
		"by its end": func(s *legacy.Session) { s.Close() },
	} {
		synctest.Test(t, func(t *testing.T) {
			s := with(t, "2025-11-25", `{"elicitation":{}}`, func(ctx context.Context, call *mcp.Call) (string, error) {
				_, err := call.Elicit(ctx, "k", mcp.Form{})
				return "", err
			})
			p := &person{t: t, session: s, reply: func(string, string) string { return "" }}
			go func() {
				synctest.Wait()
				end(s)
			}()
			got := ask(t, s, p, callTool)
			if name == "by the client" && got != "unanswered" || name == "by its end" && !strings.Contains(got, `"error"`) {
				t.Errorf("%s: got %s", name, got)
			}
			if !strings.Contains(p.took(), mcp.NotificationCancelled) {
				t.Errorf("%s: the question was not withdrawn: %s", name, p.took())
			}
			// An answer that comes too late is dropped.
			s.Answered(scan(t, `{"jsonrpc":"2.0","id":1,"result":{}}`))
		})
	}
}

func TestSessionAsksForEver(t *testing.T) {
	asker := func(body string) mcp.Handler {
		return mcp.HandlerFunc(func(_ context.Context, req *mcp.Request, _ mcp.Sink) (mcp.Result, error) {
			if req.Method == mcp.MethodDiscover {
				return mcp.Result{Body: []byte(`{"capabilities":{}}`)}, nil
			}
			return mcp.Result{Type: mcp.ResultInputRequired, Body: []byte(body)}, nil
		})
	}
	many := strings.Repeat(`"%d":{"method":"roots/list"},`, 100)
	for i := range 100 {
		many = strings.Replace(many, "%d", fmt.Sprint(i), 1)
	}
	for name, body := range map[string]string{
		"always the same":        `{"inputRequests":{"k":{"method":"roots/list"}}}`,
		"only a state":           `{"requestState":"s"}`,
		"too many at once":       `{"inputRequests":{` + strings.TrimSuffix(many, ",") + `}}`,
		"an unknown method":      `{"inputRequests":{"k":{"method":"tools/call"}}}`,
		"no method":              `{"inputRequests":{"k":{}}}`,
		"no object":              `{"inputRequests":{"k":1}}`,
		"params of a wrong type": `{"inputRequests":{"k":{"method":"roots/list","params":[]}}}`,
		"not declared":           `{"inputRequests":{"k":{"method":"elicitation/create","params":{}}}}`,
	} {
		synctest.Test(t, func(t *testing.T) {
			s, _, e := legacy.New(t.Context(), asker(body), scan(t, `{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{"roots":{}}}}`), mcp.Principal{})
			if e != nil {
				t.Fatal(e)
			}
			defer s.Close()
			p := &person{t: t, session: s, reply: func(string, string) string { return `"result":{"roots":[]}` }}
			if got := ask(t, s, p, callTool); !strings.Contains(got, `"error":{"code":-32603`) {
				t.Errorf("%s: got %s", name, got)
			}
		})
	}
}
