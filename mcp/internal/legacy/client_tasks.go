package legacy

import (
	"context"
	"strconv"
	"sync"
	"time"

	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/mcp/jsonrpc"
)

// Tasks of a server of 2025-11-25 (basic/utilities/tasks) as those of the extension
// of 2026-07-28. There the server decides; here the client asks for them, so the
// calls of callers who have declared the extension ask where the tool allows it.

const (
	// taskTTL is how long the server is asked to keep a task, in milliseconds.
	taskTTL = 60 * 60 * 1000
	// maxTaskTools bounds the tools whose support is remembered, and maxTaskPages the
	// pages that are read to find them.
	maxTaskTools, maxTaskPages = 10_000, 100
	// maxTaskWaits bounds the tasks that are waited for since they ask something.
	maxTaskWaits = 64
	// questionWait is how long a look at a task that asks waits for its questions,
	// which come on a stream of their own.
	questionWait = 250 * time.Millisecond
)

// taskBook is what a client knows of the tasks of its server.
type taskBook struct {
	turn chan struct{} // holds a token while nobody lists the tools

	mu    sync.Mutex
	tools map[string]bool  // tools whose calls may be tasks; nil while they are not listed
	waits map[string]*call // task id -> tasks/result, on whose stream the task asks
}

func (b *taskBook) init() {
	b.turn = make(chan struct{}, 1)
	b.turn <- struct{}{}
	b.waits = make(map[string]*call)
}

// forget makes the tools be listed again.
func (b *taskBook) forget() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.tools = nil
}

// hasTasks reports whether the server makes tasks of calls.
func (c *Client) hasTasks() bool {
	requests := jsonrpc.Get(jsonrpc.Get(c.server.Capabilities, "tasks"), "requests")
	return c.server.Version.Has(mcp.FeatureTaskParam) && isObject(jsonrpc.Get(jsonrpc.Get(requests, "tools"), "call"))
}

// takesTasks reports whether a caller has declared the extension.
func takesTasks(caps []byte) bool {
	return isObject(jsonrpc.Get(jsonrpc.Get(caps, "extensions"), mcp.ExtensionTasks))
}

// isTask reports whether a call is to be a task: its caller takes one, and the tool allows it.
func (c *Client) isTask(ctx context.Context, req *mcp.Request) bool {
	return req.Method == mcp.MethodCallTool && c.hasTasks() && takesTasks(req.Meta.Capabilities) && c.allowsTask(ctx, req.Name)
}

// allowsTask looks the tool up. If it cannot be listed, the call is none.
func (c *Client) allowsTask(ctx context.Context, tool string) bool {
	b := &c.tasks
	select {
	case <-b.turn:
		defer func() { b.turn <- struct{}{} }()
	case <-ctx.Done():
		return false
	}
	b.mu.Lock()
	tools := b.tools
	b.mu.Unlock()
	if tools == nil {
		if tools = c.taskTools(ctx); tools == nil {
			return false
		}
		b.mu.Lock()
		b.tools = tools
		b.mu.Unlock()
	}
	return tools[tool]
}

// taskTools lists the tools whose calls may be tasks; nil if that fails.
func (c *Client) taskTools(ctx context.Context) map[string]bool {
	tools := make(map[string]bool)
	var params []byte
	for range maxTaskPages {
		body, err := c.wire.RoundTrip(ctx, mcp.MethodListTools, params, plain{mcp.Discard, c})
		if err != nil {
			return nil
		}
		for tool := range jsonrpc.Elements(jsonrpc.Get(body, "tools")) {
			name, _ := jsonrpc.Unquote(jsonrpc.Get(tool, "name"))
			support, _ := jsonrpc.Unquote(jsonrpc.Get(jsonrpc.Get(tool, "execution"), "taskSupport"))
			if (support == string(mcp.TaskOptional) || support == string(mcp.TaskRequired)) && len(tools) < maxTaskTools {
				tools[name] = true
			}
		}
		cursor := jsonrpc.Get(body, "nextCursor")
		if len(cursor) == 0 || cursor[0] != '"' {
			break
		}
		params = jsonrpc.Splice(nil, nil, jsonrpc.Member{Key: "cursor", Value: cursor})
	}
	return tools
}

// startTask makes a call that the server answers with a task.
func (c *Client) startTask(ctx context.Context, req *mcp.Request, sink mcp.Sink) (mcp.Result, error) {
	params := jsonrpc.Splice(nil, requestParams(req), jsonrpc.Member{Key: "task", Value: []byte(`{"ttl":` + strconv.Itoa(taskTTL) + `}`)})
	body, err := c.wire.RoundTrip(ctx, req.Method, params, plain{levelSink{sink, req.Meta.LogLevel}, c})
	if err != nil {
		return c.refused(req, err)
	}
	task := jsonrpc.Get(body, "task")
	if !isObject(task) {
		return complete(body), nil // it has answered at once
	}
	return mcp.Result{Body: newTask(task), Type: mcp.ResultTask}, nil
}

// newTask makes a task of the extension of one of 2025-11-25.
func newTask(task []byte, edits ...jsonrpc.Member) []byte {
	ttl := jsonrpc.Get(task, "ttl")
	if ttl == nil {
		ttl = []byte("null")
	}
	edits = append(edits,
		jsonrpc.Member{Key: "ttl"}, jsonrpc.Member{Key: "pollInterval"},
		jsonrpc.Member{Key: "ttlMs", Value: ttl}, jsonrpc.Member{Key: "pollIntervalMs", Value: jsonrpc.Get(task, "pollInterval")})
	return jsonrpc.Splice(nil, task, edits...)
}

// task answers a request of the extension.
func (c *Client) task(ctx context.Context, req *mcp.Request) (mcp.Result, error) {
	if !c.hasTasks() {
		return mcp.Result{}, mcp.ErrMethodNotFound(req.Method)
	}
	if !takesTasks(req.Meta.Capabilities) {
		return mcp.Result{}, mcp.ErrMissingCapability(`{"extensions":{"` + mcp.ExtensionTasks + `":{}}}`)
	}
	var err error
	switch req.Method {
	case mcp.MethodGetTask:
		return c.getTask(ctx, req)
	case mcp.MethodCancelTask:
		if _, err = c.ofTask(ctx, req.Method, req.Name); mcp.IsWireError(err) {
			// One that has ended cannot be cancelled there; here that is no error.
			_, err = c.ofTask(ctx, mcp.MethodGetTask, req.Name)
		}
	case mcp.MethodUpdateTask:
		err = c.updateTask(ctx, req)
	}
	if err != nil {
		return mcp.Result{}, modernError(req, err)
	}
	return complete([]byte(`{}`)), nil
}

func (c *Client) ofTask(ctx context.Context, method, id string) ([]byte, error) {
	return c.wire.RoundTrip(ctx, method, taskParams(id), plain{mcp.Discard, c})
}

func taskParams(id string) []byte {
	return jsonrpc.Splice(nil, nil, jsonrpc.Member{Key: "taskId", Value: jsonrpc.AppendString(nil, id)})
}

// getTask looks at a task, and at its result once it has ended. A tool that failed
// makes a task that failed there and one with a result here.
func (c *Client) getTask(ctx context.Context, req *mcp.Request) (mcp.Result, error) {
	body, err := c.ofTask(ctx, req.Method, req.Name)
	if err != nil {
		return mcp.Result{}, modernError(req, err)
	}
	status, _ := jsonrpc.Unquote(jsonrpc.Get(body, "status"))
	word := func(s mcp.TaskStatus) jsonrpc.Member {
		return jsonrpc.Member{Key: "status", Value: jsonrpc.AppendString(nil, s)}
	}
	switch mcp.TaskStatus(status) {
	case mcp.TaskCompleted, mcp.TaskFailed:
		result, err := c.ofTask(ctx, methodTaskResult, req.Name)
		switch {
		case err == nil:
			meta := jsonrpc.Splice(nil, jsonrpc.Get(result, "_meta"), jsonrpc.Member{Key: metaRelatedTask})
			if string(meta) == "{}" {
				meta = nil
			}
			result = jsonrpc.Splice(nil, result, jsonrpc.Member{Key: "_meta", Value: meta})
			body = newTask(body, word(mcp.TaskCompleted), jsonrpc.Member{Key: "result", Value: complete(result).Body})
		case mcp.IsWireError(err):
			e := mcp.ErrorOf(modernError(req, err))
			object := jsonrpc.Splice(nil, nil,
				jsonrpc.Member{Key: "code", Value: strconv.AppendInt(nil, int64(e.Code), 10)},
				jsonrpc.Member{Key: "message", Value: jsonrpc.AppendString(nil, e.Message)},
				jsonrpc.Member{Key: "data", Value: e.Data})
			body = newTask(body, word(mcp.TaskFailed), jsonrpc.Member{Key: "error", Value: object})
		default:
			return mcp.Result{}, err
		}
	case mcp.TaskInputRequired:
		asked := c.questionsOf(ctx, req)
		if asked == nil { // they have not come yet
			body = newTask(body, word(mcp.TaskWorking))
			break
		}
		body = newTask(body, jsonrpc.Member{Key: "inputRequests", Value: asked})
	default:
		body = newTask(body)
	}
	return mcp.Result{Body: body, Type: mcp.ResultComplete}, nil
}

// questionsOf returns the inputRequests of a task, which the server asks on the
// stream of tasks/result. That request is sent once, and lasts until the task ends.
func (c *Client) questionsOf(ctx context.Context, req *mcp.Request) []byte {
	k := c.waitFor(ctx, req)
	if k == nil {
		return nil
	}
	timer := time.NewTimer(questionWait)
	defer timer.Stop()
	for {
		c.parking.mu.Lock()
		asked, finished := k.asked, k.finished
		for _, q := range asked {
			q.shown = true
		}
		c.parking.mu.Unlock()
		if len(asked) > 0 {
			return jsonrpc.Get(inputRequired(asked, "").Body, "inputRequests")
		}
		if finished {
			return nil
		}
		select {
		case <-k.wake:
		case <-timer.C:
			return nil
		case <-ctx.Done():
			return nil
		}
	}
}

// waitFor returns the tasks/result of a task, sent now if it was not before; nil if
// too many tasks ask at once, or the connection ends.
func (c *Client) waitFor(ctx context.Context, req *mcp.Request) *call {
	b, p := &c.tasks, &c.parking
	b.mu.Lock()
	defer b.mu.Unlock()
	id := req.Name
	if k := b.waits[id]; k != nil || len(b.waits) >= maxTaskWaits {
		return k
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed != nil {
		return nil
	}
	own, cancel := context.WithCancelCause(context.WithoutCancel(ctx)) // the task lasts longer than a look at it
	k := &call{
		p: p, version: c.server.Version, offered: c.offered, principal: req.Principal,
		cancel: cancel, wake: make(chan struct{}, 1), caps: append([]byte(nil), req.Meta.Capabilities...),
	}
	b.waits[id] = k
	p.calls[k] = struct{}{}
	expiry := time.AfterFunc(p.limits.Time, func() { k.fail(errExpired) })
	p.running.Go(func() { // until the task ends, nobody answers in time, or the connection ends
		body, err := p.wire.RoundTrip(own, methodTaskResult, taskParams(id), k)
		expiry.Stop()
		p.finish(k, body, err)
		cancel(nil)
		b.mu.Lock()
		delete(b.waits, id)
		b.mu.Unlock()
		p.mu.Lock()
		p.leaveLocked(k)
		p.mu.Unlock()
	})
	return k
}

// updateTask sends the answers to what a task asks. Those to nothing are ignored, as
// the extension has it.
func (c *Client) updateTask(ctx context.Context, req *mcp.Request) error {
	if _, err := c.ofTask(ctx, mcp.MethodGetTask, req.Name); err != nil {
		return err // it is not the caller's to answer
	}
	b, p := &c.tasks, &c.parking
	b.mu.Lock()
	k := b.waits[req.Name]
	b.mu.Unlock()
	if k == nil {
		return nil
	}
	p.mu.Lock()
	answers, problem := k.answersLocked(jsonrpc.Get(req.Params, "inputResponses"))
	p.mu.Unlock()
	if problem != nil {
		return problem
	}
	for _, answer := range answers {
		if err := p.wire.Answer(ctx, answer); err != nil {
			return err
		}
	}
	return nil
}
