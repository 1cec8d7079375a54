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
	"github.com/google/go-cmp/cmp"
)

// takes is a server with tools that take a while, and a client of it.
func takes(t *testing.T, opts *mcp.ClientOptions, interceptors ...mcp.Interceptor) (*mcp.Server, *mcp.Client) {
	t.Helper()
	s := mcp.NewServer("s", "1", &mcp.ServerOptions{Interceptors: interceptors, Tasks: &mcp.TaskOptions{PollInterval: 5 * time.Second}})
	addJob(t, s, "t", optional, working)
	addJob(t, s, "later", onDemand, func(ctx context.Context, call *mcp.Call, _ string) (string, error) {
		first, err := confirmed(ctx, call)
		if err != nil {
			return "", err
		}
		if err := call.BeginTask(ctx); err != nil {
			return "", err
		}
		second, _, err := mcp.ElicitAs[yes](ctx, call, "second", "And now?")
		return fmt.Sprint(first, " ", second.OK), err
	})
	addJob(t, s, "slow", optional, func(ctx context.Context, _ *mcp.Call, _ string) (string, error) {
		time.Sleep(12 * time.Second)
		return "at last", ctx.Err()
	})
	must(t, mcp.AddTool(s, mcp.Tool{Name: "plain"}, func(context.Context, *mcp.Call, struct{}) (yes, error) { return yes{true}, nil }))
	return s, mcp.NewClient("c", "1", s, opts)
}

func TestToolTask(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		looks := new(atomic.Int32)
		_, c := takes(t, nil, counting(map[string]*atomic.Int32{mcp.MethodGetTask: looks}, ""))
		start := func(tool, kind string) *mcp.ToolTask {
			t.Helper()
			task, err := c.StartTool(t.Context(), tool, input{Kind: kind}, nil)
			must(t, err)
			return task
		}
		task := start("t", "well")
		if task.ID() == "" || task.State().Status != mcp.TaskWorking {
			t.Errorf("the handle: %+v", task.State())
		}
		var before int32
		for range 2 { // the second time it is known already
			before = looks.Load()
			if res, err := task.Wait(t.Context()); err != nil || res.Text() != "done well" {
				t.Errorf("Wait: %v, %v", res, err)
			}
		}
		if looks.Load() != before {
			t.Error("looked at a task that had ended")
		}
		var failed *mcp.ToolError
		if _, err := mcp.WaitAs[any](t.Context(), start("t", "fails")); !errors.As(err, &failed) || failed.Result.Text() != "no luck" {
			t.Errorf("a tool that fails: %v", err)
		}
		if _, err := start("t", "refuses").Wait(t.Context()); !mcp.IsWireError(err) || !errors.Is(err, &mcp.Error{Code: -31999}) {
			t.Errorf("a task that fails: %v", err)
		}
		hangs := start("t", "hangs")
		must(t, hangs.Cancel(t.Context()))
		if _, err := hangs.Wait(t.Context()); !errors.Is(err, mcp.ErrTaskCancelled) {
			t.Errorf("a cancelled task: %v", err)
		}
		// A server that answers at once.
		plain, err := c.StartTool(t.Context(), "plain", nil, nil)
		must(t, err)
		if out, err := mcp.WaitAs[yes](t.Context(), plain); err != nil || !out.OK || plain.ID() != "" {
			t.Errorf("a tool without tasks: %v, %v", out, err)
		}
		must(t, plain.Cancel(t.Context()))
		if res, err := c.CallTool(t.Context(), "t", nil, nil); err != nil || res.Text() != "done " {
			t.Errorf("CallTool of a client that offers nothing: %v, %v", res, err)
		}
		// Whoever has kept the id goes on.
		kept := c.ToolTask(task.ID(), "t", nil)
		if res, err := kept.Wait(t.Context()); err != nil || res.Text() != "done well" {
			t.Errorf("a kept id: %v, %v", res, err)
		}
		if _, err := c.ToolTask("nobody", "t", nil).Wait(t.Context()); !errors.Is(err, &mcp.Error{Code: jsonrpc.CodeInvalidParams}) {
			t.Errorf("no task: %v", err)
		}
		if _, err := c.StartTool(t.Context(), "t", 7, nil); err == nil {
			t.Error("arguments that are no object were sent")
		}
	})
}

// TestCallToolTakesTasks: a client that declares the extension gets results all the same.
func TestCallToolTakesTasks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, c := takes(t, &mcp.ClientOptions{Capabilities: &mcp.ClientCapabilities{Extensions: map[string]mcp.Raw{mcp.ExtensionTasks: mcp.Raw(`{}`)}}})
		if res, err := c.CallTool(t.Context(), "slow", nil, nil); err != nil || res.Text() != "at last" {
			t.Errorf("got %v, %v", res, err)
		}
		if _, err := c.CallTool(t.Context(), "nobody", nil, nil); !errors.Is(err, &mcp.Error{Code: jsonrpc.CodeInvalidParams}) {
			t.Errorf("got %v", err)
		}
	})
}

func TestToolTaskAsks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, c := takes(t, &mcp.ClientOptions{OnElicit: func(_ context.Context, p *mcp.ElicitParams) (*mcp.ElicitResult, error) {
			if p.Message == "And now?" {
				return nil, errors.New("enough")
			}
			return &mcp.ElicitResult{Action: mcp.ElicitAccept, Content: mcp.Raw(`{"ok":true}`)}, nil
		}})
		task, err := c.StartTool(t.Context(), "t", input{Kind: "asks"}, nil)
		must(t, err)
		if res, err := task.Wait(t.Context()); err != nil || res.Text() != "accept true" {
			t.Errorf("got %v, %v", res, err)
		}
		// Asked before the task and in it; the function of the client fails.
		later, err := c.StartTool(t.Context(), "later", nil, nil)
		must(t, err)
		if _, err := later.Wait(t.Context()); later.ID() == "" || err == nil || !strings.Contains(err.Error(), "enough") {
			t.Errorf("task %q, %v", later.ID(), err)
		}
		must(t, later.Answer(t.Context(), map[string]any{"second": &mcp.ElicitResult{Action: mcp.ElicitAccept, Content: mcp.Raw(`{"ok":true}`)}}))
		if res, err := later.Wait(t.Context()); err != nil || res.Text() != "accept true true" {
			t.Errorf("got %v, %v", res, err)
		}

		task, err = c.StartTool(t.Context(), "t", input{Kind: "asks"}, &mcp.CallOptions{ByHand: true})
		must(t, err)
		var asked *mcp.InputRequiredError
		if _, err := task.Wait(t.Context()); !errors.As(err, &asked) || len(asked.Requests) != 1 {
			t.Fatalf("by hand: %v", err)
		}
		if err := task.Answer(t.Context(), map[string]any{"confirm": 7}); err == nil {
			t.Error("an answer that is no object was sent")
		}
		must(t, task.Answer(t.Context(), map[string]any{"confirm": &mcp.ElicitResult{Action: mcp.ElicitDecline}}))
		if res, err := task.Wait(t.Context()); err != nil || res.Text() != "decline false" {
			t.Errorf("by hand: %v, %v", res, err)
		}
	})
}

// counting counts requests by method, and refuses one of them.
func counting(counts map[string]*atomic.Int32, refuse string) mcp.Interceptor {
	return func(next mcp.Handler) mcp.Handler {
		return mcp.HandlerFunc(func(ctx context.Context, req *mcp.Request, sink mcp.Sink) (mcp.Result, error) {
			if n := counts[req.Method]; n != nil {
				n.Add(1)
			}
			if req.Method == refuse {
				return mcp.Result{}, mcp.ErrMethodNotFound(req.Method)
			}
			return next.Handle(ctx, req, sink)
		})
	}
}

func TestToolTaskPolls(t *testing.T) {
	for refuse, want := range map[string]struct {
		looks int32
		took  time.Duration
	}{
		"":               {4, 12 * time.Second}, // every 5 seconds, as the server wants, and when it tells of the end
		mcp.MethodListen: {4, 15 * time.Second}, // if it tells nothing, every 5 seconds
	} {
		synctest.Test(t, func(t *testing.T) {
			looks := new(atomic.Int32)
			_, c := takes(t, nil, counting(map[string]*atomic.Int32{mcp.MethodGetTask: looks}, refuse))
			begun := time.Now()
			task, err := c.StartTool(t.Context(), "slow", nil, nil)
			must(t, err)
			if res, err := task.Wait(t.Context()); err != nil || res.Text() != "at last" {
				t.Errorf("got %v, %v", res, err)
			}
			if looks.Load() != want.looks || time.Since(begun) != want.took {
				t.Errorf("refusing %q: %d looks in %v, want %+v", refuse, looks.Load(), time.Since(begun), want)
			}
			// The caller may go; so may the client's patience. The task stays.
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			task, err = c.StartTool(t.Context(), "slow", nil, nil)
			must(t, err)
			if _, err := task.Wait(ctx); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("a wait that was given up: %v", err)
			}
			if res, err := task.Wait(t.Context()); err != nil || res.Text() != "at last" {
				t.Errorf("got %v, %v", res, err)
			}
		})
	}
}

// TestToolTaskOfABadServer: what a server does wrong has a name, and nothing goes on for ever.
func TestToolTaskOfABadServer(t *testing.T) {
	const fine = `"createdAt":"2026-01-01T00:00:00Z","lastUpdatedAt":"2026-01-01T00:00:00Z","ttlMs":null,"pollIntervalMs":0`
	for name, tt := range map[string]struct {
		created, got string
		want         error
	}{
		"no id":          {`{"taskId":"","status":"working",` + fine + `}`, ``, &mcp.ProtocolError{Violation: mcp.ViolationTask}},
		"no task":        {`{"taskId":7}`, ``, &mcp.ProtocolError{Violation: mcp.ViolationTask}},
		"another task":   {`{"taskId":"x","status":"working",` + fine + `}`, `{"taskId":"y","status":"working",` + fine + `}`, &mcp.ProtocolError{Violation: mcp.ViolationTask}},
		"unknown status": {`{"taskId":"x","status":"working",` + fine + `}`, `{"taskId":"x","status":"done",` + fine + `}`, &mcp.ProtocolError{Violation: mcp.ViolationTask}},
		"no result":      {`{"taskId":"x","status":"working",` + fine + `}`, `{"taskId":"x","status":"completed",` + fine + `}`, &mcp.ProtocolError{Violation: mcp.ViolationTask}},
		"no error":       {`{"taskId":"x","status":"working",` + fine + `}`, `{"taskId":"x","status":"failed",` + fine + `}`, &mcp.ProtocolError{Violation: mcp.ViolationTask}},
		"asks what it must not": {
			`{"taskId":"x","status":"working",` + fine + `}`,
			`{"taskId":"x","status":"input_required","inputRequests":{"a":{"method":"sampling/createMessage","params":{"messages":[],"maxTokens":1}}},` + fine + `}`,
			&mcp.ProtocolError{Violation: mcp.ViolationAskedUndeclared},
		},
		"asks without end": {
			`{"taskId":"x","status":"working",` + fine + `}`,
			`{"taskId":"x","status":"input_required","inputRequests":{"KEY":{"method":"elicitation/create","params":{"message":"m","requestedSchema":{"type":"object","properties":{}}}}},` + fine + `}`,
			mcp.ErrTooManyRounds,
		},
		"never ends": {`{"taskId":"x","status":"working",` + fine + `}`, `{"taskId":"x","status":"working",` + fine + `}`, context.DeadlineExceeded},
	} {
		synctest.Test(t, func(t *testing.T) {
			looks := 0
			h := mcp.HandlerFunc(func(ctx context.Context, req *mcp.Request, sink mcp.Sink) (mcp.Result, error) {
				switch req.Method {
				case mcp.MethodCallTool:
					return mcp.Result{Type: mcp.ResultTask, Body: []byte(tt.created)}, nil
				case mcp.MethodGetTask:
					looks++
					return mcp.Result{Body: []byte(strings.ReplaceAll(tt.got, "KEY", fmt.Sprint("k", looks)))}, nil
				case mcp.MethodListen: // tells without end
					for sink.Notify(mcp.NewNotification(mcp.NotificationTask, nil)) == nil && ctx.Err() == nil {
						time.Sleep(time.Millisecond)
					}
				}
				return mcp.Result{}, nil
			})
			c := mcp.NewClient("c", "1", h, &mcp.ClientOptions{
				MaxTimeout: time.Minute,
				OnElicit: func(context.Context, *mcp.ElicitParams) (*mcp.ElicitResult, error) {
					return &mcp.ElicitResult{Action: mcp.ElicitDecline}, nil
				},
			})
			task, err := c.StartTool(t.Context(), "t", nil, nil)
			if err == nil {
				_, err = task.Wait(t.Context())
			}
			if !errors.Is(err, tt.want) {
				t.Errorf("%s: got %v, want %v", name, err, tt.want)
			}
			if looks > 601 {
				t.Errorf("%s: %d looks in a minute", name, looks)
			}
		})
	}
	// A task that nobody offered to take is no answer.
	h := mcp.HandlerFunc(func(context.Context, *mcp.Request, mcp.Sink) (mcp.Result, error) {
		return mcp.Result{Type: mcp.ResultTask, Body: []byte(`{"taskId":"x","status":"working",` + fine + `}`)}, nil
	})
	_, err := mcp.NewClient("c", "1", h, nil).CallTool(t.Context(), "t", nil, nil)
	var violation *mcp.ProtocolError
	if !errors.As(err, &violation) {
		t.Errorf("an unasked task: %v", err)
	}
}

// TestToolTaskDeclares: the extension is declared with each request of a task, and not for others.
func TestToolTaskDeclares(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		declared := map[string]string{}
		_, c := takes(t, &mcp.ClientOptions{Capabilities: &mcp.ClientCapabilities{Extensions: map[string]mcp.Raw{"com.example/x": mcp.Raw(`{}`)}}},
			func(next mcp.Handler) mcp.Handler {
				return mcp.HandlerFunc(func(ctx context.Context, req *mcp.Request, sink mcp.Sink) (mcp.Result, error) {
					declared[req.Method] = string(jsonrpc.Get(req.Meta.Capabilities, "extensions"))
					return next.Handle(ctx, req, sink)
				})
			})
		task, err := c.StartTool(t.Context(), "slow", nil, nil)
		must(t, err)
		_, err = task.Wait(t.Context())
		must(t, err)
		must(t, task.Cancel(t.Context()))
		must(t, task.Answer(t.Context(), nil))
		_, err = c.ListTools(t.Context())
		must(t, err)
		both := `{"com.example/x":{},"io.modelcontextprotocol/tasks":{}}`
		want := map[string]string{
			mcp.MethodCallTool: both, mcp.MethodGetTask: both, mcp.MethodListen: both, mcp.MethodCancelTask: both, mcp.MethodUpdateTask: both,
			mcp.MethodListTools: `{"com.example/x":{}}`,
		}
		if diff := cmp.Diff(want, declared); diff != "" {
			t.Errorf("extensions (-want +got):\n%s", diff)
		}
	})
}

func TestListenToTasks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, c := takes(t, &mcp.ClientOptions{Capabilities: &mcp.ClientCapabilities{Extensions: map[string]mcp.Raw{mcp.ExtensionTasks: mcp.Raw(`{}`)}}})
		task, err := c.StartTool(t.Context(), "slow", nil, nil)
		must(t, err)
		var events []mcp.Event
		sub, err := c.Listen(t.Context(), mcp.NotificationFilter{TaskIDs: []string{task.ID(), "nobody"}}, func(e mcp.Event) { events = append(events, e) })
		must(t, err)
		if diff := cmp.Diff([]string{task.ID()}, sub.Acknowledged().TaskIDs); diff != "" {
			t.Errorf("acknowledged (-want +got):\n%s", diff)
		}
		_, err = task.Wait(t.Context())
		must(t, err)
		synctest.Wait()
		sub.Close()
		if diff := cmp.Diff([]mcp.Event{{Method: mcp.NotificationTask, TaskID: task.ID()}}, events); diff != "" {
			t.Errorf("events (-want +got):\n%s", diff)
		}
	})
}

// TestToolTaskAnswersOnce: a server may show a question for a while after its answer.
func TestToolTaskAnswersOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const times = `"createdAt":"2026-01-01T00:00:00Z","lastUpdatedAt":"2026-01-01T00:00:00Z","ttlMs":null`
		asks := `{"taskId":"x","status":"input_required","inputRequests":{"a":{"method":"elicitation/create","params":{"message":"m","requestedSchema":{"type":"object","properties":{}}}}},` + times + `}`
		looks, updates, asked := 0, 0, 0
		h := mcp.HandlerFunc(func(_ context.Context, req *mcp.Request, _ mcp.Sink) (mcp.Result, error) {
			switch req.Method {
			case mcp.MethodCallTool:
				return mcp.Result{Type: mcp.ResultTask, Body: []byte(`{"taskId":"x","status":"working",` + times + `}`)}, nil
			case mcp.MethodUpdateTask:
				updates++
			case mcp.MethodListen:
				return mcp.Result{}, mcp.ErrMethodNotFound(req.Method)
			case mcp.MethodGetTask:
				if looks++; looks < 4 {
					return mcp.Result{Body: []byte(asks)}, nil
				}
				return mcp.Result{Body: []byte(`{"taskId":"x","status":"completed","result":{"content":[]},` + times + `}`)}, nil
			}
			return mcp.Result{}, nil
		})
		c := mcp.NewClient("c", "1", h, &mcp.ClientOptions{OnElicit: func(context.Context, *mcp.ElicitParams) (*mcp.ElicitResult, error) {
			asked++
			return &mcp.ElicitResult{Action: mcp.ElicitDecline}, nil
		}})
		task, err := c.StartTool(t.Context(), "t", nil, nil)
		must(t, err)
		_, err = task.Wait(t.Context())
		must(t, err)
		if looks != 4 || updates != 1 || asked != 1 {
			t.Errorf("looked %d times, asked %d, answered %d; want 4, 1, 1", looks, asked, updates)
		}
	})
}
