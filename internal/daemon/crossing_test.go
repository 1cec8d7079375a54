package daemon_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fairlead-mcp/fairlead/internal/config"
	"github.com/fairlead-mcp/fairlead/internal/secret"
	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/mcp/jsonrpc"
	"github.com/fairlead-mcp/fairlead/mcp/mcptest"
	"github.com/fairlead-mcp/fairlead/mcp/stdio"
	"github.com/fairlead-mcp/fairlead/mcp/streamhttp"
)

// gossip is a server with everything that could reach the wrong caller.
func gossip() (*mcp.Server, error) {
	s := mcp.NewServer("gossip", "1", &mcp.ServerOptions{Logging: true, PageSize: 100, Tasks: &mcp.TaskOptions{PollInterval: time.Millisecond}})
	err := errors.Join(
		mcp.AddTool(s, mcp.Tool{Name: "form"}, func(ctx context.Context, call *mcp.Call, in text) (string, error) {
			r, action, err := mcp.ElicitAs[text](ctx, call, "q", "Say a word, "+in.Text)
			return string(action) + " " + r.Text, err
		}),
		mcp.AddTool(s, mcp.Tool{Name: "sample"}, func(ctx context.Context, call *mcp.Call, in text) (string, error) {
			r, err := call.Sample(ctx, "q", &mcp.SampleParams{MaxTokens: 1, Messages: []mcp.SamplingMessage{{Role: mcp.RoleUser, Content: []mcp.Content{mcp.Text("A word, " + in.Text)}}}})
			if err != nil {
				return "", err
			}
			return "accept " + r.Text(), nil
		}),
		mcp.AddTool(s, mcp.Tool{Name: "roots"}, func(ctx context.Context, call *mcp.Call, _ text) (string, error) {
			r, err := call.Roots(ctx, "q")
			if err != nil || len(r) != 1 {
				return "", err
			}
			return "accept " + strings.TrimPrefix(r[0].URI, "file:///"), nil
		}),
		mcp.AddTool(s, mcp.Tool{Name: "log"}, func(_ context.Context, call *mcp.Call, in text) (string, error) {
			return in.Text, call.Log(mcp.LogError, "gossip", in.Text)
		}),
		mcp.AddTool(s, mcp.Tool{Name: "count"}, func(_ context.Context, call *mcp.Call, in text) (string, error) {
			return in.Text, call.Progress(1, 1, in.Text)
		}),
		mcp.AddTool(s, mcp.Tool{Name: "hold"}, func(ctx context.Context, call *mcp.Call, _ text) (string, error) {
			if err := call.Progress(1, 0, "holding"); err != nil {
				return "", err
			}
			<-ctx.Done()
			return "", ctx.Err()
		}),
		mcp.AddTool(s, mcp.Tool{Name: "touch"}, func(_ context.Context, _ *mcp.Call, in text) (string, error) {
			s.ResourceUpdated("test://" + in.Text)
			return in.Text, nil
		}),
		mcp.AddTool(s, mcp.Tool{Name: "job", Execution: &mcp.ToolExecution{TaskSupport: mcp.TaskRequired}},
			func(_ context.Context, _ *mcp.Call, in text) (string, error) { return in.Text, nil }),
		s.AddResourceTemplate(mcp.ResourceTemplate{URITemplate: "test://{who}", Name: "diary"}, func(_ context.Context, _ *mcp.Call, uri string, _ map[string]string) ([]mcp.ResourceContents, error) {
			return []mcp.ResourceContents{{URI: uri, Text: uri}}, nil
		}),
	)
	for i := range 600 { // more than a page of the node
		err = errors.Join(err, s.AddPrompt(mcp.Prompt{Name: fmt.Sprintf("p%03d", i)}, func(context.Context, *mcp.Call, map[string]string) (*mcp.PromptResult, error) {
			return &mcp.PromptResult{}, nil
		}))
	}
	return s, err
}

func gossipChild() error {
	s, err := gossip()
	if err != nil {
		return err
	}
	return stdio.Serve(context.Background(), s, nil)
}

// person is one caller of a node. All windows of a person have the same token.
type person struct {
	name string
	c    *mcp.Client
	h    *streamhttp.Client

	mu    sync.Mutex
	asked []string // what this person was asked
}

// newPerson answers what it is asked with its name.
func newPerson(t *testing.T, n *node, name, path string, era streamhttp.Era) *person {
	t.Helper()
	return newPersonBy(t, n, name, path, &streamhttp.ClientOptions{}, era == streamhttp.EraModern)
}

// newPersonBy is newPerson by a way of its own to the node.
func newPersonBy(t *testing.T, n *node, name, path string, way *streamhttp.ClientOptions, modern bool) *person {
	t.Helper()
	p := &person{name: name}
	saw := func(what string) {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.asked = append(p.asked, what)
	}
	opts := &mcp.ClientOptions{
		OnElicit: func(_ context.Context, q *mcp.ElicitParams) (*mcp.ElicitResult, error) {
			saw(q.Message)
			return &mcp.ElicitResult{Action: mcp.ElicitAccept, Content: mcp.Raw(fmt.Sprintf(`{"text":%q}`, name))}, nil
		},
		OnSample: func(_ context.Context, q *mcp.SampleParams) (*mcp.SampleResult, error) {
			saw(q.Messages[0].Content[0].(*mcp.TextContent).Text)
			return &mcp.SampleResult{Model: "none", SamplingMessage: mcp.SamplingMessage{Role: mcp.RoleAssistant, Content: []mcp.Content{mcp.Text(name)}}}, nil
		},
		OnListRoots: func(context.Context) ([]mcp.Root, error) {
			saw("roots, " + name)
			return []mcp.Root{{URI: "file:///" + name}}, nil
		},
	}
	way.Header = http.Header{"Authorization": {"Bearer " + name}}
	if way.Era = streamhttp.EraLegacy; modern {
		way.Era = streamhttp.EraModern
	}
	p.h = streamhttp.NewClient(n.Endpoint+path, way)
	t.Cleanup(func() { _ = p.h.Close(context.Background()) })
	p.c = mcp.NewClient(name, "1", p.h, opts)
	return p
}

// strange returns what a person was asked that was not for it.
func (p *person) strange() (all []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, q := range p.asked {
		if !strings.HasSuffix(q, p.name) {
			all = append(all, q)
		}
	}
	return all
}

// town is a node in front of one old server, shared in each of the ways there are.
func town(t *testing.T) *node {
	t.Helper()
	s, err := gossip()
	if err != nil {
		t.Fatal(err)
	}
	web := httptest.NewServer(streamhttp.NewHandler(s, nil))
	t.Cleanup(web.Close)
	cfg := settings(t)
	child := cfg.Upstreams[0]
	child.Env[childEnv] = secret.New("gossip")
	child.Era = config.EraLegacy
	cfg.Upstreams = nil
	for _, name := range []string{"shared", "principal"} {
		child.Name, child.Instances = name, name
		cfg.Upstreams = append(cfg.Upstreams, child)
	}
	remote := config.Upstream{Name: "web", URL: web.URL, Era: config.EraLegacy, Timeout: time.Minute}
	modern := config.Upstream{Name: "modern", URL: web.URL, Era: config.EraModern, Timeout: time.Minute}
	cfg.Upstreams = append(cfg.Upstreams, remote, modern)
	for _, name := range []string{"alice", "mallory"} {
		cfg.Auth.Tokens = append(cfg.Auth.Tokens, config.Token{Name: name, Hash: config.HashToken(name)})
	}
	n := start(t, cfg)
	t.Cleanup(n.Kill)
	return n
}

// TestNobodyHearsOfOthers: two principals use the same old server at the same time.
// Each is asked, told and answered its own, in every way to share the server and in
// both eras of clients.
func TestNobodyHearsOfOthers(t *testing.T) {
	n := town(t)
	for _, path := range []string{"/principal", "/web", "/modern"} {
		for _, era := range []streamhttp.Era{streamhttp.EraModern, streamhttp.EraLegacy} {
			t.Run(fmt.Sprint(path[1:], " ", era), func(t *testing.T) {
				people := []*person{newPerson(t, n, "alice", path, era), newPerson(t, n, "mallory", path, era)}
				var wg sync.WaitGroup
				for _, p := range people {
					wg.Go(func() {
						for range 3 {
							for _, tool := range []string{"form", "sample", "roots"} {
								res, err := p.c.CallTool(t.Context(), tool, text{p.name}, nil)
								if err != nil || res.Text() != "accept "+p.name {
									t.Errorf("%s of %s: %v, %v", tool, p.name, res, err)
								}
							}
						}
					})
				}
				wg.Wait()
				for _, p := range people {
					if got := p.strange(); len(got) > 0 || len(p.asked) != 9 {
						t.Errorf("%s was asked %d times, and of others: %q", p.name, len(p.asked), got)
					}
				}
			})
		}
	}
}

// TestSharedChildAsksNobody: nothing on the pipe of a shared child says whose a
// question is, so nobody is asked, neither who called nor who else has a call in flight.
func TestSharedChildAsksNobody(t *testing.T) {
	n := town(t)
	alice, mallory := newPerson(t, n, "alice", "/shared", streamhttp.EraModern), newPerson(t, n, "mallory", "/shared", streamhttp.EraModern)
	release := hold(t, mallory)
	for _, tool := range []string{"form", "sample", "roots"} {
		if res, err := alice.c.CallTool(t.Context(), tool, text{"alice"}, nil); err == nil && !res.IsError {
			t.Errorf("%s: %v", tool, res)
		}
	}
	release()
	for _, p := range []*person{alice, mallory} {
		if len(p.asked) > 0 {
			t.Errorf("%s was asked %q", p.name, p.asked)
		}
	}
}

// hold keeps a call of p in flight until the function that it returns is called.
func hold(t *testing.T, p *person) (release func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	begun, ended := make(chan struct{}, 1), make(chan struct{})
	go func() { // until cancel
		defer close(ended)
		_, _ = p.c.CallTool(ctx, "hold", text{}, &mcp.CallOptions{
			Progress: func(mcp.Progress) { begun <- struct{}{} },
			LogLevel: mcp.LogDebug, Log: func(m mcp.LogMessage) { t.Errorf("%s hears %s", p.name, m.Data) },
		})
	}()
	select {
	case <-begun:
	case <-ended:
		t.Fatal("the call that was to last has ended")
	}
	return func() { cancel(); <-ended }
}

// TestRootsOfTheConfig: a program that wants roots gets those of its config, also
// where it is shared, and no caller is asked.
func TestRootsOfTheConfig(t *testing.T) {
	cfg := settings(t)
	child := cfg.Upstreams[0]
	child.Env[childEnv] = secret.New("gossip")
	child.Era, child.Roots = config.EraLegacy, []string{"/srv/the files"}
	cfg.Upstreams = nil
	for _, name := range []string{"shared", "principal"} {
		child.Name, child.Instances = name, name
		cfg.Upstreams = append(cfg.Upstreams, child)
	}
	cfg.Auth.Tokens = []config.Token{{Name: "alice", Hash: config.HashToken("alice")}}
	n := start(t, cfg)
	t.Cleanup(n.Kill)
	for _, path := range []string{"/shared", "/principal"} {
		alice := newPerson(t, n, "alice", path, streamhttp.EraModern)
		res, err := alice.c.CallTool(t.Context(), "roots", text{}, nil)
		if err != nil || res.Text() != "accept srv/the%20files" || len(alice.asked) > 0 {
			t.Errorf("%s: %v, %v; asked %q", path, res, err, alice.asked)
		}
	}
}

// TestLogsAreTheCallersOwn: while a call of somebody else is in flight and asks for
// everything, a log message reaches who caused it, or nobody.
func TestLogsAreTheCallersOwn(t *testing.T) {
	n := town(t)
	for path, heard := range map[string]string{"/shared": "", "/principal": `"alice"`, "/web": `"alice"`, "/modern": `"alice"`} {
		t.Run(path[1:], func(t *testing.T) {
			alice, mallory := newPerson(t, n, "alice", path, streamhttp.EraModern), newPerson(t, n, "mallory", path, streamhttp.EraModern)
			release := hold(t, mallory)
			defer release()
			var got []string
			_, err := alice.c.CallTool(t.Context(), "log", text{"alice"}, &mcp.CallOptions{
				LogLevel: mcp.LogDebug, Log: func(m mcp.LogMessage) { got = append(got, string(m.Data)) },
			})
			if err != nil || strings.Join(got, " ") != heard {
				t.Errorf("alice hears %q, want %q; %v", got, heard, err)
			}
		})
	}
}

// TestProgressIsTheCallersOwn: all callers choose the same token.
func TestProgressIsTheCallersOwn(t *testing.T) {
	n := town(t)
	for _, path := range []string{"/shared", "/principal", "/web", "/modern"} {
		t.Run(path[1:], func(t *testing.T) {
			var wg sync.WaitGroup
			for _, name := range []string{"alice", "mallory"} {
				p := newPerson(t, n, name, path, streamhttp.EraModern)
				wg.Go(func() {
					for range 20 {
						var told mcptest.Recorder
						req := p.request(mcp.MethodCallTool, "count", `{"name":"count","arguments":{"text":"`+name+`"}}`)
						req.Meta.ProgressToken = []byte(`"same"`)
						if _, err := p.h.Handle(t.Context(), req, &told); err != nil {
							t.Error(err)
							return
						}
						for _, note := range told.Notes() {
							if message, _ := jsonrpc.Unquote(jsonrpc.Get([]byte(note.Params), "message")); message != name {
								t.Errorf("%s is told %s", name, note.Params)
							}
						}
						if len(told.Notes()) != 1 {
							t.Errorf("%s is told %d times", name, len(told.Notes()))
						}
					}
				})
			}
			wg.Wait()
		})
	}
}

// request makes a request of the latest revision by hand.
func (p *person) request(method, name, params string) *mcp.Request {
	return &mcp.Request{Method: method, Name: name, Params: []byte(params), Arguments: jsonrpc.Get([]byte(params), "arguments"), Meta: mcp.Meta{
		Version: mcp.LatestVersion, Capabilities: []byte(`{"elicitation":{"form":{}},"extensions":{"io.modelcontextprotocol/tasks":{}}}`),
	}}
}

// TestHandlesAreTheCallersOwn tries with the handles of one principal what they are
// good for: as another, which must fail, and as another window of the same one,
// which must work, or the attempt would prove nothing.
func TestHandlesAreTheCallersOwn(t *testing.T) {
	n := town(t)
	unknown := func(t *testing.T, who string, res mcp.Result, err error) {
		t.Helper()
		var e *mcp.Error
		if !errors.As(err, &e) || e.Code != jsonrpc.CodeInvalidParams {
			t.Errorf("%s gets %s, %v", who, res.Body, err)
		}
	}
	const call = `{"name":"form","arguments":{"text":"alice"}}`
	for _, path := range []string{"/principal", "/web", "/modern"} {
		t.Run("requestState of "+path[1:], func(t *testing.T) {
			alice, window, mallory := newPerson(t, n, "alice", path, streamhttp.EraModern), newPerson(t, n, "alice", path, streamhttp.EraModern), newPerson(t, n, "mallory", path, streamhttp.EraModern)
			asked, err := alice.h.Handle(t.Context(), alice.request(mcp.MethodCallTool, "form", call), mcp.Discard)
			if err != nil || asked.Type != mcp.ResultInputRequired {
				t.Fatalf("%s, %v", asked.Body, err)
			}
			retry := func(p *person) (mcp.Result, error) {
				var questions map[string]any
				if err := json.Unmarshal(jsonrpc.Get(asked.Body, "inputRequests"), &questions); err != nil || len(questions) != 1 {
					t.Fatalf("%s, %v", asked.Body, err)
				}
				var answers []jsonrpc.Member
				for key := range questions {
					answers = append(answers, jsonrpc.Member{Key: key, Value: []byte(`{"action":"accept","content":{"text":"mine"}}`)})
				}
				req := p.request(mcp.MethodCallTool, "form", call)
				req.Params = jsonrpc.Splice(nil, req.Params,
					jsonrpc.Member{Key: "inputResponses", Value: jsonrpc.Splice(nil, nil, answers...)},
					jsonrpc.Member{Key: "requestState", Value: jsonrpc.Get(asked.Body, "requestState")})
				return p.h.Handle(t.Context(), req, mcp.Discard)
			}
			res, err := retry(mallory)
			unknown(t, "mallory", res, err)
			if res, err := retry(window); err != nil || !strings.Contains(string(res.Body), "accept mine") {
				t.Errorf("alice gets %s, %v", res.Body, err)
			}
		})
	}
	for _, path := range []string{"/shared", "/principal", "/web", "/modern"} {
		t.Run("task of "+path[1:], func(t *testing.T) {
			alice, window, mallory := newPerson(t, n, "alice", path, streamhttp.EraModern), newPerson(t, n, "alice", path, streamhttp.EraModern), newPerson(t, n, "mallory", path, streamhttp.EraModern)
			res, err := alice.h.Handle(t.Context(), alice.request(mcp.MethodCallTool, "job", `{"name":"job","arguments":{"text":"alice"}}`), mcp.Discard)
			if err != nil || res.Type != mcp.ResultTask {
				t.Fatalf("%s %s, %v", res.Type, res.Body, err)
			}
			id, _ := jsonrpc.Unquote(jsonrpc.Get(res.Body, "taskId"))
			ask := func(p *person, method string) (mcp.Result, error) {
				params := jsonrpc.Splice(nil, nil, jsonrpc.Member{Key: "taskId", Value: jsonrpc.AppendString(nil, id)})
				if method == mcp.MethodUpdateTask {
					params = jsonrpc.Splice(nil, params, jsonrpc.Member{Key: "inputResponses", Value: []byte(`{}`)})
				}
				return p.h.Handle(t.Context(), p.request(method, id, string(params)), mcp.Discard)
			}
			for _, method := range []string{mcp.MethodGetTask, mcp.MethodUpdateTask, mcp.MethodCancelTask} {
				res, err := ask(mallory, method)
				unknown(t, "mallory, by "+method, res, err)
			}
			eventually(t, "alice's result in another window", func() bool {
				res, err := ask(window, mcp.MethodGetTask)
				if err != nil {
					t.Fatal(err)
				}
				return strings.Contains(string(jsonrpc.Get(res.Body, "result")), "alice")
			})
		})
	}
	t.Run("cursor", func(t *testing.T) {
		mallory := newPerson(t, n, "mallory", "/shared", streamhttp.EraModern)
		list := func(path, cursor string) (*mcp.ListPromptsResult, error) {
			p := newPerson(t, n, "alice", path, streamhttp.EraModern)
			if path == "/shared" {
				p = mallory
			}
			return p.c.ListPromptsPage(t.Context(), &cursor)
		}
		first, err := mallory.c.ListPromptsPage(t.Context(), nil)
		if err != nil || len(first.Prompts) != 500 || first.NextCursor == nil {
			t.Fatalf("%d prompts, %v", len(first.Prompts), err)
		}
		if next, err := list("/shared", *first.NextCursor); err != nil || len(next.Prompts) != 100 {
			t.Errorf("the second page: %+v, %v", next, err)
		}
		if next, err := list("", *first.NextCursor); !errors.Is(err, &mcp.Error{Code: jsonrpc.CodeInvalidParams}) {
			t.Errorf("the cursor of another list: %d prompts, %v", len(next.Prompts), err)
		}
	})
}

// TestUpdatesAreWhatWasSubscribedTo: an update reaches who has subscribed to the
// resource, and nobody else.
func TestUpdatesAreWhatWasSubscribedTo(t *testing.T) {
	n := town(t)
	for _, path := range []string{"/shared", "/web", "/modern"} {
		for _, era := range []streamhttp.Era{streamhttp.EraModern, streamhttp.EraLegacy} {
			t.Run(fmt.Sprint(path[1:], " ", era), func(t *testing.T) {
				got := make(chan string, 16)
				var people []*person
				for _, name := range []string{"alice", "mallory"} {
					p := newPerson(t, n, name, path, era)
					people = append(people, p)
					sub, err := p.c.Listen(t.Context(), mcp.NotificationFilter{ResourceSubscriptions: []string{"test://" + name}}, func(e mcp.Event) {
						got <- name + " hears of " + e.URI
					})
					if err != nil {
						t.Fatal(err)
					}
					defer sub.Close()
				}
				for _, name := range []string{"alice", "mallory"} { // in order: the second is told after the first was
					if _, err := people[1].c.CallTool(t.Context(), "touch", text{name}, nil); err != nil {
						t.Fatal(err)
					}
					if heard, want := <-got, name+" hears of test://"+name; heard != want {
						t.Errorf("%s, want %s", heard, want)
					}
				}
			})
		}
	}
}

// TestAnswersOfOthers: while alice is asked in her session, mallory answers in her
// name: by the id of her session, and by that of her question in a session of his own.
func TestAnswersOfOthers(t *testing.T) {
	n := town(t)
	post := func(who, session, body string) (*http.Response, error) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, n.Endpoint+"/web", strings.NewReader(body))
		if err != nil {
			return nil, err
		}
		for k, v := range map[string]string{
			"Authorization": "Bearer " + who, "Content-Type": "application/json", "Accept": "application/json, text/event-stream", "Mcp-Session-Id": session,
		} {
			if v != "" {
				req.Header.Set(k, v)
			}
		}
		return http.DefaultClient.Do(req)
	}
	open := func(who string) (session string) {
		res, err := post(who, "", `{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{"elicitation":{}},"clientInfo":{"name":"x","version":"1"}}}`)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		return res.Header.Get("Mcp-Session-Id")
	}
	status := func(who, session, body string) int {
		res, err := post(who, session, body)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		return res.StatusCode
	}
	defer http.DefaultClient.CloseIdleConnections()
	hers, his := open("alice"), open("mallory")
	res, err := post("alice", hers, `{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"form","arguments":{"text":"alice"}}}`)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	events := json.NewDecoder(dataOf(res))
	var question struct {
		ID     json.RawMessage
		Method string
	}
	for question.Method != mcp.MethodElicit {
		if err := events.Decode(&question); err != nil {
			t.Fatal(err)
		}
	}
	answer := func(word string) string {
		return fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"result":{"action":"accept","content":{"text":%q}}}`, question.ID, word)
	}
	if got := status("mallory", hers, answer("mallory")); got != http.StatusNotFound {
		t.Errorf("an answer in alice's session: %d", got)
	}
	if got := status("mallory", his, answer("mallory")); got != http.StatusAccepted {
		t.Errorf("an answer in his own: %d", got)
	}
	if got := status("alice", hers, answer("alice")); got != http.StatusAccepted {
		t.Errorf("alice's answer: %d", got)
	}
	var result struct {
		ID     int
		Result struct{ Content []struct{ Text string } }
	}
	for result.ID != 2 {
		if err := events.Decode(&result); err != nil {
			t.Fatal(err)
		}
	}
	if got := result.Result.Content; len(got) != 1 || got[0].Text != "accept alice" {
		t.Errorf("the call ends with %v", got)
	}
}

// dataOf is what the events of a stream carry.
func dataOf(res *http.Response) io.Reader {
	r, w := io.Pipe()
	go func() { // ends with the response
		lines := bufio.NewScanner(res.Body)
		for lines.Scan() {
			if data, ok := strings.CutPrefix(lines.Text(), "data:"); ok {
				if _, err := io.WriteString(w, data); err != nil {
					return
				}
			}
		}
		_ = w.CloseWithError(io.EOF)
	}()
	return r
}
