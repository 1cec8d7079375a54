package mcptest_test

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/mcp/jsonrpc"
	"github.com/fairlead-mcp/fairlead/mcp/mcptest"
	"github.com/fairlead-mcp/fairlead/mcp/mcptest/wirecheck"
	"github.com/fairlead-mcp/fairlead/mcp/stdio"
	"github.com/fairlead-mcp/fairlead/mcp/streamhttp"
)

// TestTasksOverEachTransport: a tool that asks, as a task where the revision has
// tasks for our client and as a call where it has not.
func TestTasksOverEachTransport(t *testing.T) {
	type answer struct {
		OK bool `json:"ok"`
	}
	newServer := func() *mcp.Server {
		s := mcp.NewServer("s", "1", &mcp.ServerOptions{Tasks: &mcp.TaskOptions{PollInterval: 1}})
		tool := mcp.Tool{Name: "t", Execution: &mcp.ToolExecution{TaskSupport: mcp.TaskOptional}}
		if err := mcp.AddTool(s, tool, func(ctx context.Context, call *mcp.Call, _ struct{}) (answer, error) {
			if !call.CanElicit() { // the sessions of these clients offer nothing
				return answer{OK: true}, nil
			}
			out, _, err := mcp.ElicitAs[answer](ctx, call, "sure", "Sure?")
			return out, err
		}); err != nil {
			t.Fatal(err)
		}
		return s
	}
	overEach(t, newServer, func(t *testing.T, s *mcp.Server, h mcp.Handler, version mcp.Version) {
		c := mcp.NewClient("c", "1", h, &mcp.ClientOptions{OnElicit: func(context.Context, *mcp.ElicitParams) (*mcp.ElicitResult, error) {
			return &mcp.ElicitResult{Action: mcp.ElicitAccept, Content: mcp.Raw(`{"ok":true}`)}, nil
		}})
		task, err := c.StartTool(t.Context(), "t", nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		if (task.ID() != "") != (version.Modern() || version.Has(mcp.FeatureTaskParam)) {
			t.Errorf("task %q in %s", task.ID(), version)
		}
		if res, err := task.Wait(t.Context()); err != nil || res.Text() != `{"ok":true}` {
			t.Errorf("got %v, %v", res, err)
		}
		if err := s.StopTasks(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// TestOldTasksForNewClients: a client that knows the extension uses the tasks of a
// server of 2025-11-25, which are made those of the extension on the way: one asks,
// one fails, one is cancelled.
func TestOldTasksForNewClients(t *testing.T) {
	newServer := func() *mcp.Server {
		s := mcp.NewServer("s", "1", &mcp.ServerOptions{Tasks: &mcp.TaskOptions{PollInterval: 1}})
		add := func(name string, fn func(ctx context.Context, call *mcp.Call) (string, error)) {
			tool := mcp.Tool{Name: name, Execution: &mcp.ToolExecution{TaskSupport: mcp.TaskRequired}}
			if err := mcp.AddTool(s, tool, func(ctx context.Context, call *mcp.Call, _ struct{}) (string, error) { return fn(ctx, call) }); err != nil {
				t.Fatal(err)
			}
		}
		add("ask", func(ctx context.Context, call *mcp.Call) (string, error) {
			in, action, err := mcp.ElicitAs[struct {
				Name string `json:"name"`
			}](ctx, call, "who", "Who are you?")
			return string(action) + " " + in.Name, err
		})
		add("fail", func(context.Context, *mcp.Call) (string, error) { return "", errors.New("it failed") })
		add("break", func(context.Context, *mcp.Call) (string, error) { return "", mcp.Errorf(-31999, "it broke") })
		add("last", func(ctx context.Context, _ *mcp.Call) (string, error) {
			<-ctx.Done()
			return "", ctx.Err()
		})
		return s
	}
	offer := []byte(`{"elicitation":{"form":{}}}`)
	connect := map[string]func(t *testing.T, s *mcp.Server) mcp.Handler{
		"stdio": func(t *testing.T, s *mcp.Server) mcp.Handler {
			fromServer, toClient := io.Pipe()
			fromClient, toServer := io.Pipe()
			done := make(chan struct{})
			go func() { // ends with the pipes
				defer close(done)
				_ = stdio.ServeConn(context.Background(), s, fromClient, toClient, nil)
				_ = toClient.Close()
			}()
			c, err := stdio.NewClient(t.Context(), fromServer, toServer, &stdio.ClientOptions{Era: stdio.EraLegacy, Capabilities: offer, OneCaller: true})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = c.Close(context.Background()); <-done })
			return c
		},
		"HTTP": func(t *testing.T, s *mcp.Server) mcp.Handler {
			web := httptest.NewServer(streamhttp.NewHandler(s, nil))
			t.Cleanup(web.Close)
			c := streamhttp.NewClient(web.URL, &streamhttp.ClientOptions{Era: streamhttp.EraLegacy, Capabilities: offer})
			t.Cleanup(func() { _ = c.Close(context.Background()) })
			return c
		},
	}
	for name, dial := range connect {
		t.Run(name, func(t *testing.T) {
			s := newServer()
			c := mcp.NewClient("c", "1", dial(t, s), &mcp.ClientOptions{OnElicit: func(context.Context, *mcp.ElicitParams) (*mcp.ElicitResult, error) {
				return &mcp.ElicitResult{Action: mcp.ElicitAccept, Content: mcp.Raw(`{"name":"Ada"}`)}, nil
			}})
			begin := func(tool string) *mcp.ToolTask {
				task, err := c.StartTool(t.Context(), tool, nil, nil)
				if err != nil || task.ID() == "" {
					t.Fatalf("%s: %+v, %v", tool, task, err)
				}
				return task
			}
			if res, err := begin("ask").Wait(t.Context()); err != nil || res.Text() != "accept Ada" {
				t.Errorf("ask: %v, %v", res, err)
			}
			if res, err := begin("fail").Wait(t.Context()); err != nil || !res.IsError || res.Text() != "it failed" {
				t.Errorf("fail: %v, %v", res, err)
			}
			if res, err := begin("break").Wait(t.Context()); !errors.Is(err, &mcp.Error{Code: -31999}) {
				t.Errorf("break: %v, %v", res, err)
			}
			last := begin("last")
			if err := last.Cancel(t.Context()); err != nil {
				t.Error(err)
			}
			if res, err := last.Wait(t.Context()); !errors.Is(err, mcp.ErrTaskCancelled) {
				t.Errorf("cancelled: %v, %v", res, err)
			}
			if _, err := c.ToolTask("made up", "last", nil).Refresh(t.Context()); !errors.Is(err, &mcp.Error{Code: jsonrpc.CodeInvalidParams}) {
				t.Errorf("an unknown task: %v", err)
			}
			if err := s.StopTasks(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}

// oldClient is a client of 2025-11-25 over HTTP, by hand: our own client of that
// revision asks for no tasks.
type oldClient struct {
	t       *testing.T
	web     *http.Client
	url     string
	session string
	id      int
}

// post sends a message and returns the response; with a body that is a stream, for the caller to close.
func (c *oldClient) post(message string) *http.Response {
	c.t.Helper()
	req, err := http.NewRequestWithContext(c.t.Context(), http.MethodPost, c.url, strings.NewReader(message))
	if err != nil {
		c.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json, text/event-stream")
	if c.session != "" {
		req.Header.Set("Mcp-Session-Id", c.session)
		req.Header.Set("MCP-Protocol-Version", "2025-11-25")
	}
	resp, err := c.web.Do(req)
	if err != nil {
		c.t.Fatal(err)
	}
	c.session = cmp.Or(c.session, resp.Header.Get("Mcp-Session-Id"))
	return resp
}

// call sends a request and returns its response. onAsk answers what is asked on the stream of it.
func (c *oldClient) call(method, params string, onAsk func(request []byte) (result string)) []byte {
	c.t.Helper()
	c.id++
	resp := c.post(fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"method":%q,"params":%s}`, c.id, method, params))
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() {
		message := bytes.TrimSpace(bytes.TrimPrefix(lines.Bytes(), []byte("data:")))
		switch {
		case !bytes.HasPrefix(message, []byte("{")): // a comment, an id, or what else a stream has
		case jsonrpc.Get(message, "method") == nil:
			return bytes.Clone(message)
		case onAsk == nil:
			c.t.Errorf("%s: asked %s", method, message)
		default:
			result := onAsk(message)
			_ = c.post(`{"jsonrpc":"2.0","id":` + string(jsonrpc.Get(message, "id")) + `,"result":` + result + `}`).Body.Close()
		}
	}
	c.t.Fatalf("%s: the response ended early: %v", method, lines.Err())
	return nil
}

// TestTasksOf20251125: a client of that revision has a tool that asks run as a task,
// every message of it as the schema of the revision says.
func TestTasksOf20251125(t *testing.T) {
	s := mcp.NewServer("s", "1", nil)
	tool := mcp.Tool{Name: "t", Execution: &mcp.ToolExecution{TaskSupport: mcp.TaskRequired}}
	if err := mcp.AddTool(s, tool, func(ctx context.Context, call *mcp.Call, _ struct{}) (string, error) {
		r, err := call.Elicit(ctx, "sure", mcp.Form{Message: "Sure?"})
		if err != nil {
			return "", err
		}
		return string(r.Action), nil
	}); err != nil {
		t.Fatal(err)
	}
	alice := func(r *http.Request) (mcp.Principal, error) { return mcp.Principal{Issuer: "i", Subject: "alice"}, nil }
	web := httptest.NewServer(streamhttp.NewHandler(s, &streamhttp.HandlerOptions{Authenticate: alice}))
	defer web.Close()
	transport := &http.Transport{DialContext: mcptest.Tap(t, wirecheck.Client, wirecheck.Server).Dial}
	defer transport.CloseIdleConnections()
	c := &oldClient{t: t, web: &http.Client{Transport: transport}, url: web.URL}

	opened := c.call("initialize", `{"protocolVersion":"2025-11-25","capabilities":{"elicitation":{}},"clientInfo":{"name":"c","version":"1"}}`, nil)
	if !bytes.Contains(opened, []byte(`"tasks":{"list":{},`)) {
		t.Errorf("initialize: %s", opened)
	}
	_ = c.post(`{"jsonrpc":"2.0","method":"notifications/initialized"}`).Body.Close()
	if tools := c.call("tools/list", `{}`, nil); !bytes.Contains(tools, []byte(`"execution":{"taskSupport":"required"}`)) {
		t.Errorf("tools/list: %s", tools)
	}
	created := c.call("tools/call", `{"name":"t","arguments":{},"task":{"ttl":60000}}`, nil)
	id := string(jsonrpc.Get(jsonrpc.Get(jsonrpc.Get(created, "result"), "task"), "taskId"))
	if id == "" {
		t.Fatalf("tools/call: %s", created)
	}
	asked := 0
	done := c.call("tasks/result", `{"taskId":`+id+`}`, func(request []byte) string {
		asked++
		if related := jsonrpc.Get(jsonrpc.Get(jsonrpc.Get(request, "params"), "_meta"), "io.modelcontextprotocol/related-task"); string(related) != `{"taskId":`+id+`}` {
			t.Errorf("asked without the task: %s", request)
		}
		if got := c.call("tasks/get", `{"taskId":`+id+`}`, nil); !bytes.Contains(got, []byte(`"status":"input_required"`)) {
			t.Errorf("tasks/get: %s", got)
		}
		return `{"action":"accept","content":{}}`
	})
	if asked != 1 || !bytes.Contains(done, []byte(`"text":"accept"`)) {
		t.Errorf("asked %d times; tasks/result: %s", asked, done)
	}
	if list := c.call("tasks/list", `{}`, nil); !bytes.Contains(list, []byte(`"status":"completed"`)) || !bytes.Contains(list, []byte(id)) {
		t.Errorf("tasks/list: %s", list)
	}
	if again := c.call("tasks/cancel", `{"taskId":`+id+`}`, nil); string(jsonrpc.Get(jsonrpc.Get(again, "error"), "code")) != "-32602" {
		t.Errorf("tasks/cancel of a task that has ended: %s", again)
	}
	other := c.call("tools/call", `{"name":"t","arguments":{},"task":{}}`, nil)
	id = string(jsonrpc.Get(jsonrpc.Get(jsonrpc.Get(other, "result"), "task"), "taskId"))
	if got := c.call("tasks/cancel", `{"taskId":`+id+`}`, nil); !bytes.Contains(got, []byte(`"status":"cancelled"`)) {
		t.Errorf("tasks/cancel: %s", got)
	}
}
