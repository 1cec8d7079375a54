package mcp_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/mcp/jsonrpc"
	"github.com/go-json-experiment/json"
	"github.com/google/go-cmp/cmp"
)

const taskCapabilities = `{"elicitation":{"form":{}},"extensions":{"io.modelcontextprotocol/tasks":{}}}`

// tasker uses the tasks of a server as one principal.
type tasker struct {
	t         *testing.T
	s         mcp.Handler
	caps      string
	version   mcp.Version
	principal mcp.Principal
}

func newTasker(t *testing.T, s mcp.Handler) *tasker {
	return &tasker{t: t, s: s, caps: taskCapabilities, version: mcp.LatestVersion}
}

func (k *tasker) send(method, params string) (mcp.Result, error) {
	req := request(k.t, method, params)
	req.Meta.Capabilities, req.Meta.Version, req.Principal = []byte(k.caps), k.version, k.principal
	return k.s.Handle(k.t.Context(), req, mcp.Discard)
}

// create calls a tool, which must answer with a task.
func (k *tasker) create(tool, args string) mcp.Task {
	k.t.Helper()
	res, err := k.send(mcp.MethodCallTool, `{"name":"`+tool+`","arguments":`+args+`}`)
	if err != nil || res.Type != mcp.ResultTask {
		k.t.Fatalf("call %s: got %s %s, %v; want a task", tool, res.Type, res.Body, err)
	}
	return k.decode(res)
}

func (k *tasker) decode(res mcp.Result) (task mcp.Task) {
	k.t.Helper()
	if err := json.Unmarshal(res.Body, &task); err != nil {
		k.t.Fatalf("%s: %v", res.Body, err)
	}
	return task
}

func (k *tasker) get(id string) mcp.Task {
	k.t.Helper()
	res, err := k.send(mcp.MethodGetTask, `{"taskId":"`+id+`"}`)
	if err != nil || res.Type != "" {
		k.t.Fatalf("get: got %s, %v; want a complete result", res.Type, err)
	}
	return k.decode(res)
}

// settled waits until nothing moves, and gets the task. It needs a synctest bubble.
func (k *tasker) settled(id string, want mcp.TaskStatus) mcp.Task {
	k.t.Helper()
	synctest.Wait()
	task := k.get(id)
	if task.Status != want {
		k.t.Fatalf("status %s (%s%s), want %s", task.Status, task.StatusMessage, task.Error, want)
	}
	return task
}

// acked sends what is answered by nothing.
func (k *tasker) acked(method, params string) {
	k.t.Helper()
	res, err := k.send(method, params)
	if err != nil || string(jsonrpc.Splice(nil, res.Body, jsonrpc.Member{Key: "_meta"})) != `{}` {
		k.t.Fatalf("%s %s: got %s, %v; want nothing", method, params, res.Body, err)
	}
}

func (k *tasker) answer(id, responses string) {
	k.t.Helper()
	k.acked(mcp.MethodUpdateTask, `{"taskId":"`+id+`","inputResponses":`+responses+`}`)
}

func (k *tasker) refused(method, params string, code int, want string) {
	k.t.Helper()
	_, err := k.send(method, params)
	if e := mcp.ErrorOf(err); e == nil || e.Code != code || !strings.Contains(err.Error()+string(e.Data), want) {
		k.t.Errorf("%s %s: got %v, want code %d with %q", method, params, err, code, want)
	}
}

type input struct {
	Kind string `json:"kind,omitempty"`
}

// addJob adds a tool with task support.
func addJob(t testing.TB, s *mcp.Server, name string, e mcp.ToolExecution, fn func(ctx context.Context, call *mcp.Call, kind string) (string, error)) {
	t.Helper()
	must(t, mcp.AddTool(s, mcp.Tool{Name: name, Execution: &e}, func(ctx context.Context, call *mcp.Call, in input) (string, error) {
		return fn(ctx, call, in.Kind)
	}))
}

var (
	optional = mcp.ToolExecution{TaskSupport: mcp.TaskOptional}
	required = mcp.ToolExecution{TaskSupport: mcp.TaskRequired}
	onDemand = mcp.ToolExecution{TaskSupport: mcp.TaskOptional, OnDemand: true}
)

// working is a tool that ends in several ways.
func working(ctx context.Context, call *mcp.Call, kind string) (string, error) {
	switch kind {
	case "fails":
		return "", errors.New("no luck")
	case "refuses":
		return "", &mcp.Error{Code: -31999, Message: "refused", Data: []byte(`{"a":1}`)}
	case "panics":
		panic("oh")
	case "hangs":
		if err := call.Progress(1, 2, "halfway"); err != nil {
			return "", err
		}
		<-ctx.Done()
		return "", ctx.Err()
	case "asks":
		return confirmed(ctx, call)
	}
	return "done " + kind, nil
}

func TestTaskEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var panics []any
		s := mcp.NewServer("s", "1", &mcp.ServerOptions{OnPanic: func(v any, stack []byte) { panics = append(panics, v) }})
		addJob(t, s, "t", optional, working)
		k := newTasker(t, s)
		for kind, want := range map[string]mcp.Task{
			"well":    {Status: mcp.TaskCompleted, Result: mcp.Raw(`{"content":[{"type":"text","text":"done well"}]}`)},
			"fails":   {Status: mcp.TaskCompleted, Result: mcp.Raw(`{"content":[{"type":"text","text":"no luck"}],"isError":true}`)},
			"refuses": {Status: mcp.TaskFailed, StatusMessage: "refused", Error: mcp.Raw(`{"code":-31999,"message":"refused","data":{"a":1}}`)},
			"panics":  {Status: mcp.TaskFailed, StatusMessage: "internal error", Error: mcp.Raw(`{"code":-32603,"message":"internal error"}`)},
		} {
			begun := time.Now().UTC().Truncate(time.Millisecond)
			task := k.create("t", `{"kind":"`+kind+`"}`)
			hour := time.Hour.Milliseconds()
			if diff := cmp.Diff(mcp.Task{ID: task.ID, Status: mcp.TaskWorking, CreatedAt: begun, LastUpdatedAt: begun, TTLMs: &hour, PollMs: 1000}, task); diff != "" {
				t.Errorf("%s: the handle (-want +got):\n%s", kind, diff)
			}
			got := k.settled(task.ID, want.Status)
			if got.Result != nil {
				got.Result = jsonrpc.Splice(nil, got.Result, jsonrpc.Member{Key: "_meta"})
			}
			want.ID, want.CreatedAt, want.LastUpdatedAt, want.TTLMs, want.PollMs = task.ID, begun, begun, &hour, 1000
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s: (-want +got):\n%s", kind, diff)
			}
			if (got.Err() != nil) != (want.Error != nil) {
				t.Errorf("%s: Err: %v", kind, got.Err())
			}
			time.Sleep(time.Minute)
		}
		if len(panics) != 1 {
			t.Errorf("OnPanic was told of %v", panics)
		}
	})
}

func TestTaskNeedsTheExtension(t *testing.T) {
	s := mcp.NewServer("s", "1", nil)
	plain := newTasker(t, s)
	addOut(t, s, "plain", "x")
	plain.refused(mcp.MethodGetTask, `{"taskId":"x"}`, jsonrpc.CodeMethodNotFound, "")
	if _, err := plain.send(mcp.MethodCallTool, `{"name":"plain"}`); err != nil {
		t.Errorf("a tool without task support: %v", err)
	}
	addJob(t, s, "optional", optional, working)
	addJob(t, s, "required", required, working)
	if got := handle(t, s, mcp.MethodDiscover, `{}`); !strings.Contains(got, `"extensions":{"io.modelcontextprotocol/tasks":{}}`) || strings.Contains(got, `"tasks":`) {
		t.Errorf("discover: %s", got)
	}
	if got := handle(t, s, mcp.MethodListTools, `{}`); strings.Contains(got, "taskSupport") {
		t.Errorf("a revision without execution is told of it: %s", got)
	}
	for _, caps := range []string{`{}`, `{"extensions":{}}`, `{"extensions":{"io.modelcontextprotocol/tasks":true}}`} {
		plain.caps = caps
		res, err := plain.send(mcp.MethodCallTool, `{"name":"optional","task":{"ttl":1}}`)
		if err != nil || res.Type != "" || !strings.Contains(string(res.Body), "done") {
			t.Errorf("%s: optional: got %s %s, %v; want a result", caps, res.Type, res.Body, err)
		}
		missing := `{"requiredCapabilities":{"extensions":{"io.modelcontextprotocol/tasks":{}}}}`
		plain.refused(mcp.MethodCallTool, `{"name":"required"}`, mcp.CodeMissingCapability, missing)
		for _, method := range []string{mcp.MethodGetTask, mcp.MethodUpdateTask, mcp.MethodCancelTask} {
			plain.refused(method, `{"taskId":"x","inputResponses":{}}`, mcp.CodeMissingCapability, missing)
		}
		plain.refused(mcp.MethodListen, `{"notifications":{"taskIds":["x"]}}`, mcp.CodeMissingCapability, missing)
	}
	able := newTasker(t, s)
	for _, method := range []string{"tasks/list", "tasks/result"} {
		able.refused(method, `{"taskId":"x"}`, jsonrpc.CodeMethodNotFound, method)
	}
	for _, e := range []mcp.ToolExecution{{TaskSupport: "sometimes"}, {OnDemand: true}} {
		if err := s.AddRawTool(mcp.Tool{Name: "r", InputSchema: mcp.Raw(`{"type":"object"}`), Execution: &e},
			func(context.Context, *mcp.Call, []byte) (*mcp.ToolResult, error) { return nil, nil }); err == nil {
			t.Errorf("AddRawTool took %+v", e)
		}
	}
}

func TestTaskAsks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := mcp.NewServer("s", "1", nil)
		var effects atomic.Int32
		name, sure := mcp.FormOf[input]("Which?"), mcp.FormOf[yes]("Sure?")
		addJob(t, s, "t", required, func(ctx context.Context, call *mcp.Call, _ string) (string, error) {
			n, err := mcp.Once(ctx, call, "effect", func(context.Context) (int32, error) { return effects.Add(1), nil })
			if err != nil {
				return "", err
			}
			a, err := call.Ask(ctx, mcp.Question{Key: "name", Form: &name}, mcp.Question{Key: "sure", Form: &sure})
			if err != nil {
				return "", err
			}
			again, _, err := mcp.ElicitAs[yes](ctx, call, "again", "Really?")
			return fmt.Sprintf("%d %s %s %v", n, a.Elicit("name").Content, a.Elicit("sure").Action, again.OK), err
		})
		k := newTasker(t, s)
		task := k.create("t", `{}`)
		if got := k.settled(task.ID, mcp.TaskInputRequired); len(got.InputRequests) != 2 || got.InputRequests["name"].Method != mcp.MethodElicit {
			t.Fatalf("asked %v", got.InputRequests)
		}
		// What nobody asked is ignored, what does not fit is refused and changes nothing.
		k.answer(task.ID, `{"other":{"action":"accept"},"again":{"action":"accept","content":{"ok":true}}}`)
		for _, wrong := range []string{
			`{"name":{"action":"accept","content":{"kind":"a"}},"sure":{"action":"accept","content":{"ok":"no"}}}`,
			`{"sure":{"action":"perhaps"}}`, `{"sure":7}`,
		} {
			k.refused(mcp.MethodUpdateTask, `{"taskId":"`+task.ID+`","inputResponses":`+wrong+`}`, jsonrpc.CodeInvalidParams, "sure")
		}
		for _, params := range []string{`{"taskId":"` + task.ID + `"}`, `{"taskId":"` + task.ID + `","inputResponses":[]}`} {
			k.refused(mcp.MethodUpdateTask, params, jsonrpc.CodeInvalidParams, "inputResponses")
		}
		if got := k.settled(task.ID, mcp.TaskInputRequired); len(got.InputRequests) != 2 {
			t.Fatalf("after wrong answers asked %v", got.InputRequests)
		}
		k.answer(task.ID, `{"name":{"action":"accept","content":{"kind":"a"}}}`)
		if got := k.settled(task.ID, mcp.TaskInputRequired); len(got.InputRequests) != 1 || got.InputRequests["sure"].Method == "" {
			t.Fatalf("after one answer asked %v", got.InputRequests)
		}
		k.answer(task.ID, `{"name":{"action":"accept","content":{"kind":"b"}},"sure":{"action":"decline"}}`)
		if got := k.settled(task.ID, mcp.TaskInputRequired); len(got.InputRequests) != 1 || got.InputRequests["again"].Method == "" {
			t.Fatalf("after the first round asked %v", got.InputRequests)
		}
		k.answer(task.ID, `{"again":{"action":"accept","content":{"ok":true}}}`)
		if got := k.settled(task.ID, mcp.TaskCompleted); !strings.Contains(string(got.Result), `1 {\"kind\":\"a\"} decline true`) || got.InputRequests != nil {
			t.Errorf("got %+v", got)
		}
		k.answer(task.ID, `{"again":{"action":"decline"}}`) // too late: nothing happens
		k.acked(mcp.MethodCancelTask, `{"taskId":"`+task.ID+`"}`)
		k.settled(task.ID, mcp.TaskCompleted)
	})
}

func TestTaskAsksWrongly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := mcp.NewServer("s", "1", nil)
		addJob(t, s, "swallows", required, func(ctx context.Context, call *mcp.Call, _ string) (string, error) {
			_, _, _ = mcp.ElicitAs[yes](ctx, call, "confirm", "Sure?")
			return "went on", nil
		})
		round := 0
		addJob(t, s, "changes", required, func(ctx context.Context, call *mcp.Call, _ string) (string, error) {
			round++
			_, _, err := mcp.ElicitAs[yes](ctx, call, "confirm", fmt.Sprint("Sure? ", round))
			return "", err
		})
		addJob(t, s, "asks", required, working)
		k := newTasker(t, s)
		k.settled(k.create("swallows", `{}`).ID, mcp.TaskFailed)
		changes := k.create("changes", `{}`).ID
		k.settled(changes, mcp.TaskInputRequired)
		k.answer(changes, accepted)
		k.settled(changes, mcp.TaskFailed)
		k.caps = `{"extensions":{"io.modelcontextprotocol/tasks":{}}}`
		got := k.settled(k.create("asks", `{"kind":"asks"}`).ID, mcp.TaskFailed)
		if !errors.Is(got.Err(), &mcp.Error{Code: mcp.CodeMissingCapability}) {
			t.Errorf("a client that cannot be asked: %v", got.Err())
		}
		// The tool goes while the question is open.
		k.caps = taskCapabilities
		gone := k.create("asks", `{"kind":"asks"}`).ID
		k.settled(gone, mcp.TaskInputRequired)
		s.RemoveTools("asks")
		k.answer(gone, accepted)
		if got := k.settled(gone, mcp.TaskFailed); !strings.Contains(got.StatusMessage, "no longer has the tool") {
			t.Errorf("got %+v", got)
		}
	})
}

func TestTaskOnDemand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := mcp.NewServer("s", "1", nil)
		var began []bool
		addJob(t, s, "t", onDemand, func(ctx context.Context, call *mcp.Call, kind string) (string, error) {
			text, err := confirmed(ctx, call)
			if err != nil || kind == "short" {
				return text, err
			}
			if err := call.BeginTask(ctx); err != nil && kind != "swallows" {
				return "", err
			}
			began = append(began, call.CanTask())
			second, _, err := mcp.ElicitAs[yes](ctx, call, "second", "And now?")
			return fmt.Sprint(text, " ", second.OK), err
		})
		c := newCaller(t, s, "t")
		c.caps = taskCapabilities
		if got := c.asks(""); got != "confirm" {
			t.Fatalf("asked %q", got)
		}
		res, err := c.send(accepted)
		if err != nil || res.Type != mcp.ResultTask || jsonrpc.Get(res.Body, "requestState") != nil || jsonrpc.Get(res.Body, "inputRequests") != nil {
			t.Fatalf("got %s %s, %v; want a task", res.Type, res.Body, err)
		}
		k := newTasker(t, s)
		task := k.decode(res)
		k.settled(task.ID, mcp.TaskInputRequired)
		k.answer(task.ID, `{"second":{"action":"accept","content":{"ok":true}}}`)
		if got := k.settled(task.ID, mcp.TaskCompleted); !strings.Contains(string(got.Result), "accept true true") {
			t.Errorf("result %s", got.Result)
		}
		if diff := cmp.Diff([]bool{true, true}, began); diff != "" {
			t.Errorf("CanTask (-want +got):\n%s", diff)
		}

		// A call that never begins a task is none.
		short := newCaller(t, s, "t")
		short.params, short.caps = `"name":"t","arguments":{"kind":"short"}`, taskCapabilities
		short.asks("")
		short.done(accepted)
		// For a client without tasks it goes on as a call.
		began = nil
		old := newCaller(t, s, "t")
		old.asks("")
		if got := old.asks(accepted); got != "second" {
			t.Errorf("asked %q", got)
		}
		if diff := cmp.Diff([]bool{false}, began); diff != "" {
			t.Errorf("CanTask (-want +got):\n%s", diff)
		}
		swallows := newCaller(t, s, "t")
		swallows.params, swallows.caps = `"name":"t","arguments":{"kind":"swallows"}`, taskCapabilities
		swallows.asks("")
		swallows.fails(`{"confirm":{"action":"accept","content":{"ok":true}},"second":{"action":"decline"}}`, jsonrpc.CodeInternalError, "")
	})
}

func TestTaskCancel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := mcp.NewServer("s", "1", nil)
		release := make(chan struct{})
		addJob(t, s, "t", optional, working)
		addJob(t, s, "stubborn", optional, func(context.Context, *mcp.Call, string) (string, error) {
			<-release
			return "finished all the same", nil
		})
		k := newTasker(t, s)
		hangs, asks, stubborn := k.create("t", `{"kind":"hangs"}`).ID, k.create("t", `{"kind":"asks"}`).ID, k.create("stubborn", `{}`).ID
		if got := k.settled(hangs, mcp.TaskWorking); got.StatusMessage != "halfway" {
			t.Errorf("progress of a task: %+v", got)
		}
		k.settled(asks, mcp.TaskInputRequired)
		for _, id := range []string{hangs, asks, stubborn} {
			for range 2 { // the second time it has ended
				k.acked(mcp.MethodCancelTask, `{"taskId":"`+id+`"}`)
				if got := k.settled(id, mcp.TaskCancelled); got.Result != nil || got.InputRequests != nil {
					t.Errorf("got %+v", got)
				}
			}
		}
		k.answer(asks, accepted)
		close(release)
		for _, id := range []string{asks, stubborn} {
			k.settled(id, mcp.TaskCancelled)
		}
	})
}

// TestTaskElsewhere: two servers with the same store and keys, as two processes are.
func TestTaskElsewhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		opts := &mcp.ServerOptions{Sealer: mcp.NewSealer(), Tasks: &mcp.TaskOptions{Store: mcp.NewMemoryTasks(nil)}}
		release, ran := make(chan struct{}), map[string]int{}
		process := func(name string) *tasker {
			s := mcp.NewServer("s", "1", opts)
			addJob(t, s, "asks", optional, func(ctx context.Context, call *mcp.Call, _ string) (string, error) {
				ran[name]++
				return confirmed(ctx, call)
			})
			addJob(t, s, "stubborn", optional, func(context.Context, *mcp.Call, string) (string, error) {
				<-release
				return "finished all the same", nil
			})
			return newTasker(t, s)
		}
		one, other := process("one"), process("other")
		asks := one.create("asks", `{}`).ID
		other.settled(asks, mcp.TaskInputRequired)
		other.answer(asks, accepted)
		one.settled(asks, mcp.TaskCompleted)
		if diff := cmp.Diff(map[string]int{"one": 1, "other": 1}, ran); diff != "" {
			t.Errorf("ran (-want +got):\n%s", diff)
		}
		stubborn := one.create("stubborn", `{}`).ID
		other.acked(mcp.MethodCancelTask, `{"taskId":"`+stubborn+`"}`)
		close(release)
		one.settled(stubborn, mcp.TaskCancelled)
	})
}

// TestTaskOfSomebodyElse looks for a difference between a task of somebody else and none.
func TestTaskOfSomebodyElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := mcp.NewServer("s", "1", nil)
		addJob(t, s, "t", optional, working)
		alice := newTasker(t, s)
		alice.principal = mcp.Principal{Issuer: "i", Subject: "alice"}
		id := alice.create("t", `{"kind":"asks"}`).ID
		alice.settled(id, mcp.TaskInputRequired)
		for _, p := range []mcp.Principal{{}, {Issuer: "i", Subject: "bob"}, {Issuer: "i", Subject: "alice", Client: "c"}} {
			other := newTasker(t, s)
			other.principal = p
			for _, method := range []string{mcp.MethodGetTask, mcp.MethodUpdateTask, mcp.MethodCancelTask} {
				var errs []string
				for _, target := range []string{id, strings.Repeat("A", len(id)), ""} {
					_, err := other.send(method, `{"taskId":"`+target+`","inputResponses":`+accepted+`}`)
					e := mcp.ErrorOf(err)
					if e == nil || e.Code != jsonrpc.CodeInvalidParams {
						t.Fatalf("%s of %+v: %v", method, p, err)
					}
					errs = append(errs, e.Error()+string(e.Data))
				}
				if errs[0] != errs[1] || errs[1] != errs[2] {
					t.Errorf("%s: a difference tells: %q", method, errs)
				}
			}
			sink := &recorder{}
			req := request(t, mcp.MethodListen, `{"notifications":{"taskIds":["`+id+`"]}}`)
			req.Meta.Capabilities, req.Principal = []byte(taskCapabilities), p
			if _, err := s.Handle(t.Context(), req, sink); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([]string{ack + `{}}}`}, sink.take()); diff != "" {
				t.Errorf("%+v hears (-want +got):\n%s", p, diff)
			}
		}
		alice.settled(id, mcp.TaskInputRequired)
		alice.answer(id, accepted)
		alice.settled(id, mcp.TaskCompleted)
	})
}

func TestTaskNotifications(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := mcp.NewServer("s", "1", nil)
		addJob(t, s, "t", optional, working)
		k := newTasker(t, s)
		early := k.create("t", `{"kind":"early"}`).ID
		k.settled(early, mcp.TaskCompleted)
		asks := k.create("t", `{"kind":"asks"}`).ID
		unheard := k.create("t", `{"kind":"hangs"}`).ID
		k.settled(asks, mcp.TaskInputRequired)

		sink := &recorder{}
		ctx, cancel := context.WithCancel(t.Context())
		req := request(t, mcp.MethodListen, `{"notifications":{"taskIds":["`+asks+`","`+early+`","nobody","`+asks+`"]}}`)
		req.Meta.Capabilities = []byte(taskCapabilities)
		if res, err := s.Handle(ctx, req, sink); err != nil || !res.Stream {
			t.Fatal(res, err)
		}
		states := func() (got []string) {
			for _, note := range sink.take() {
				params := jsonrpc.Get([]byte(note), "params")
				if ids := jsonrpc.Get(jsonrpc.Get(params, "notifications"), "taskIds"); ids != nil {
					if !strings.Contains(string(ids), early) || !strings.Contains(string(ids), asks) || len(ids) != 2*len(early)+7 {
						t.Errorf("acknowledged %s", ids)
					}
					continue
				}
				var task mcp.Task
				if err := json.Unmarshal(params, &task); err != nil || !strings.Contains(note, `"method":"notifications/tasks"`) || jsonrpc.Get(params, "resultType") != nil {
					t.Fatalf("%s: %v", note, err)
				}
				if task.Status.Ended() { // then it is what tasks/get gives
					if diff := cmp.Diff(k.get(task.ID), task); diff != "" {
						t.Errorf("notified and got (-want +got):\n%s", diff)
					}
				}
				got = append(got, map[string]string{early: "early ", asks: "asks "}[task.ID]+string(task.Status))
			}
			return got
		}
		// What had happened before the subscription is told after its acknowledgement.
		got := states()
		if len(got) != 2 || strings.Join(got, " ") != "early completed asks input_required" && strings.Join(got, " ") != "asks input_required early completed" {
			t.Errorf("at the start: %q", got)
		}
		k.answer(asks, accepted)
		k.settled(asks, mcp.TaskCompleted)
		k.acked(mcp.MethodCancelTask, `{"taskId":"`+unheard+`"}`)
		if diff := cmp.Diff([]string{"asks working", "asks completed"}, states()); diff != "" {
			t.Errorf("then (-want +got):\n%s", diff)
		}
		late := k.create("t", `{"kind":"asks"}`).ID
		cancel()
		k.settled(late, mcp.TaskInputRequired)
		if got := states(); got != nil {
			t.Errorf("after the end: %q", got)
		}
		k.refused(mcp.MethodListen, `{"notifications":{"taskIds":["`+strings.Repeat(`x","`, 256)+`x"]}}`, jsonrpc.CodeInvalidParams, "at most")
	})
}

func TestTaskBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var reported []error
		s := mcp.NewServer("s", "1", &mcp.ServerOptions{Tasks: &mcp.TaskOptions{
			TTL: time.Minute, PollInterval: time.Second / 4, MaxRunning: 2, MaxPerPrincipal: 3, MaxTaskBytes: 4096,
			Store:   mcp.NewMemoryTasks(&mcp.TaskLimits{MaxTasks: 5}),
			OnError: func(err error) { reported = append(reported, err) },
		}})
		addJob(t, s, "t", optional, working)
		addJob(t, s, "large", optional, func(context.Context, *mcp.Call, string) (string, error) { return strings.Repeat("x", 8192), nil })
		k := newTasker(t, s)
		const hang = `{"name":"t","arguments":{"kind":"hangs"}}`

		first := k.create("t", `{"kind":"hangs"}`)
		if *first.TTLMs != 60_000 || first.PollMs != 250 {
			t.Errorf("got %+v", first)
		}
		waiting := k.create("t", `{"kind":"asks"}`).ID
		k.settled(waiting, mcp.TaskInputRequired)
		k.create("t", `{"kind":"hangs"}`)
		k.refused(mcp.MethodCallTool, hang, jsonrpc.CodeInternalError, "runs as many")
		k.refused(mcp.MethodUpdateTask, `{"taskId":"`+waiting+`","inputResponses":`+accepted+`}`, jsonrpc.CodeInternalError, "runs as many")
		k.acked(mcp.MethodCancelTask, `{"taskId":"`+first.ID+`"}`)
		synctest.Wait()
		k.create("t", `{"kind":"asks"}`)
		synctest.Wait()
		k.refused(mcp.MethodCallTool, hang, jsonrpc.CodeInternalError, "3 unfinished")
		k.principal.Subject = "else"
		k.create("t", `{"kind":"asks"}`)
		synctest.Wait()
		k.refused(mcp.MethodCallTool, hang, jsonrpc.CodeInternalError, "keeps as many")
		k.principal.Subject = ""

		time.Sleep(59 * time.Second)
		k.answer(waiting, `{}`) // still there
		time.Sleep(time.Second)
		k.refused(mcp.MethodGetTask, `{"taskId":"`+waiting+`"}`, jsonrpc.CodeInvalidParams, "Unknown task")
		synctest.Wait() // the time of the handler that hangs has ended too: there is room for two
		k.create("t", `{"kind":"hangs"}`)
		if len(reported) > 0 {
			t.Errorf("reported %v", reported)
		}
		got := k.settled(k.create("large", `{}`).ID, mcp.TaskFailed)
		if !strings.Contains(got.StatusMessage, "larger than the server keeps") || len(reported) != 1 {
			t.Errorf("a large result: %+v; reported %v", got, reported)
		}
		k.refused(mcp.MethodCallTool, `{"name":"t","arguments":{"kind":"`+strings.Repeat("x", 8192)+`"}}`, jsonrpc.CodeInvalidParams, "larger than a task may be")
		asks := k.create("t", `{"kind":"asks"}`).ID
		k.settled(asks, mcp.TaskInputRequired)
		k.refused(mcp.MethodUpdateTask, `{"taskId":"`+asks+`","inputResponses":{"confirm":{"action":"accept","content":{"ok":true,"x":"`+strings.Repeat("x", 8192)+`"}}}}`,
			jsonrpc.CodeInvalidParams, "larger than the task may become")
		k.answer(asks, accepted)
		k.settled(asks, mcp.TaskCompleted)
		must(t, s.StopTasks(t.Context()))
	})
}

func TestStopTasks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := mcp.NewMemoryTasks(nil)
		opts := &mcp.ServerOptions{Sealer: mcp.NewSealer(), Tasks: &mcp.TaskOptions{Store: store}}
		s := mcp.NewServer("s", "1", opts)
		release := make(chan struct{})
		slow := func(ctx context.Context, _ *mcp.Call, kind string) (string, error) {
			<-ctx.Done()
			<-release
			switch kind {
			case "finishes":
				return "done", nil
			case "complains":
				return "", errors.New("killed")
			}
			return "", ctx.Err()
		}
		addJob(t, s, "t", optional, slow)
		must(t, s.StopTasks(t.Context()))
		s = mcp.NewServer("s", "1", opts)
		addJob(t, s, "t", optional, slow)
		k := newTasker(t, s)
		finishes, complains, stops := k.create("t", `{"kind":"finishes"}`).ID, k.create("t", `{"kind":"complains"}`).ID, k.create("t", `{}`).ID

		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := s.StopTasks(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("StopTasks while a handler runs: %v", err)
		}
		k.refused(mcp.MethodCallTool, `{"name":"t"}`, jsonrpc.CodeInternalError, "stops")
		close(release)
		must(t, s.StopTasks(t.Context()))
		k.settled(finishes, mcp.TaskCompleted)
		k.settled(complains, mcp.TaskWorking) // as most handlers end that are stopped: for another process to take up
		k.settled(stops, mcp.TaskWorking)
	})
}

// TestTaskKeepsItsRequest: the handler of a task sees the request that made it.
func TestTaskKeepsItsRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := mcp.NewServer("s", "1", nil)
		addJob(t, s, "t", optional, func(ctx context.Context, call *mcp.Call, kind string) (string, error) {
			if _, _, err := mcp.ElicitAs[yes](ctx, call, "confirm", "Sure?"); err != nil {
				return "", err
			}
			req := call.Request()
			return strings.Join([]string{
				kind, req.Name, string(req.Arguments), call.Trace().Parent, call.Trace().State, call.Principal().Subject, call.ClientInfo().Name,
				string(call.ClientCapabilities()), string(req.Meta.Version), string(jsonrpc.Get(req.Meta.Raw, "a")), string(jsonrpc.Get(req.Params, "inputResponses")),
			}, "|"), nil
		})
		const parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
		meta := `{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":` + taskCapabilities +
			`,"io.modelcontextprotocol/clientInfo":{"name":"me","version":"1"},"traceparent":"` + parent + `","tracestate":"not valid","a":1}`
		text := []byte(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"t","arguments":{"kind":"k"},"inputResponses":{"other":{}},"_meta":` + meta + `}}`)
		msg, err := jsonrpc.Scan(text, nil)
		must(t, err)
		req, werr := mcp.DecodeRequest(&msg)
		if werr != nil {
			t.Fatal(werr)
		}
		k := newTasker(t, s)
		k.principal.Subject, req.Principal.Subject = "alice", "alice"
		res, err := s.Handle(t.Context(), req, mcp.Discard)
		must(t, err)
		clear(text) // the bytes of a request end with it
		id := k.decode(res).ID
		k.settled(id, mcp.TaskInputRequired)
		k.answer(id, accepted)
		got, _ := jsonrpc.Unquote(jsonrpc.Get([]byte(strings.Trim(string(jsonrpc.Get(k.settled(id, mcp.TaskCompleted).Result, "content")), "[]")), "text"))
		want := `k|t|{"kind":"k"}|` + parent + `||alice|me|` + taskCapabilities + `|2026-07-28|1|`
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}
