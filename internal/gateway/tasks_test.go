package gateway_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/mcp/jsonrpc"
)

// tasked is a server whose tool is a task that ends when release is closed.
func tasked(name string, release <-chan struct{}) *mcp.Server {
	s := mcp.NewServer(name, "1", nil)
	must(mcp.AddTool(s, mcp.Tool{Name: "job", Execution: &mcp.ToolExecution{TaskSupport: mcp.TaskRequired}},
		func(ctx context.Context, _ *mcp.Call, _ struct{}) (string, error) {
			select {
			case <-release:
				return "done by " + name, nil
			case <-ctx.Done():
				return "", ctx.Err()
			}
		}))
	return s
}

const withTasks = `{"extensions":{"io.modelcontextprotocol/tasks":{}}}`

func ofTask(t *testing.T, method, id string, p mcp.Principal) *mcp.Request {
	t.Helper()
	req := request(method, `{"taskId":`+string(jsonrpc.AppendString(nil, id))+`}`)
	req.Name, req.Principal, req.Meta.Capabilities = id, p, []byte(withTasks)
	return req
}

func TestTasksPass(t *testing.T) {
	release := make(chan struct{})
	g, _ := newNode(t, nil, &member{name: "a", h: tasked("alpha", release)}, &member{name: "b", h: tasked("beta", release)})
	alice, mallory := mcp.Principal{Issuer: "token", Subject: "alice"}, mcp.Principal{Issuer: "token", Subject: "mallory"}
	ids := map[string]string{}
	for _, name := range []string{"a", "b"} {
		req := call(name+"__job", `{}`)
		req.Principal, req.Meta.Capabilities = alice, []byte(withTasks)
		res, err := g.Root().Handle(t.Context(), req, mcp.Discard)
		if err != nil || res.Type != mcp.ResultTask {
			t.Fatalf("%+v, %v", res, err)
		}
		ids[name], _ = jsonrpc.Unquote(jsonrpc.Get(res.Body, "taskId"))
	}
	got := []byte(ask(t, g.Root(), ofTask(t, mcp.MethodGetTask, ids["a"], alice)))
	if id, _ := jsonrpc.Unquote(jsonrpc.Get(got, "taskId")); id != ids["a"] || string(jsonrpc.Get(got, "status")) != `"working"` {
		t.Errorf("got %s", got)
	}
	for name, req := range map[string]*mcp.Request{
		"another principal": ofTask(t, mcp.MethodGetTask, ids["a"], mallory),
		"anonymous":         ofTask(t, mcp.MethodCancelTask, ids["a"], mcp.Principal{}),
		"changed":           ofTask(t, mcp.MethodGetTask, ids["a"]+"A", alice),
		"made up":           ofTask(t, mcp.MethodUpdateTask, "task-1", alice),
	} {
		if e := refusal(t, g.Root(), req); e.Code != jsonrpc.CodeInvalidParams {
			t.Errorf("%s: %v", name, e)
		}
	}
	if e := refusal(t, one(t, g, "b"), ofTask(t, mcp.MethodGetTask, ids["a"], alice)); e.Code != jsonrpc.CodeInvalidParams {
		t.Errorf("a task of a at b: %v", e)
	}
	without := ofTask(t, mcp.MethodGetTask, ids["a"], alice)
	without.Meta.Capabilities = []byte(`{}`)
	if e := refusal(t, g.Root(), without); e.Code != mcp.CodeMissingCapability {
		t.Errorf("without the extension: %v", e)
	}
	old := ofTask(t, mcp.MethodGetTask, ids["a"], alice)
	old.Meta.Version = mcp.Version20250618
	if e := refusal(t, g.Root(), old); e.Code != jsonrpc.CodeMethodNotFound {
		t.Errorf("of a session without tasks: %v", e)
	}

	ask(t, g.Root(), ofTask(t, mcp.MethodCancelTask, ids["b"], alice))
	close(release)
	for name, want := range map[string]string{"a": "done by alpha", "b": "cancelled"} {
		var body string
		for range 1000 {
			body = ask(t, g.Root(), ofTask(t, mcp.MethodGetTask, ids[name], alice))
			if !strings.Contains(body, `"working"`) {
				break
			}
			time.Sleep(5 * time.Millisecond) // a task is polled
		}
		if !strings.Contains(body, want) {
			t.Errorf("%s: %s", name, body)
		}
	}
}
