package mcp

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/fairlead-mcp/fairlead/mcp/jsonrpc"
	"github.com/go-json-experiment/json"
)

// ErrTaskCancelled is the error of a task that was cancelled.
var ErrTaskCancelled = errors.New("mcp: the task was cancelled")

// ViolationTask: a task is not one, is another, or comes where none was offered (SEP-2663, Tasks).
const ViolationTask Violation = "task"

const (
	// defaultPoll is how long to wait between two looks at a task if the server does not say.
	defaultPoll = time.Second
	// leastPoll is how long at least, whatever the server says or tells.
	leastPoll = 100 * time.Millisecond
)

// ToolTask is the call of a tool whose server may answer with a task (SEP-2663). It
// is safe for concurrent use; only one Wait at a time answers questions well.
type ToolTask struct {
	client *Client
	name   string
	opts   CallOptions

	mu       sync.Mutex
	state    Task
	result   *ToolResult         // of a call that was answered at once, or of a task that has ended
	answered map[string]struct{} // keys of questions that have been answered
}

// StartTool calls a tool as [Client.CallTool] does, and offers the server to answer
// with a task: then it returns before the tool has. Questions that come before the
// task are answered first. Servers that know no tasks answer with the result; all
// the same, [ToolTask.Wait] returns it.
func (c *Client) StartTool(ctx context.Context, name string, args any, opts *CallOptions) (*ToolTask, error) {
	t := c.toolTask(name, opts)
	params, err := callParams(name, args)
	if err != nil {
		return nil, err
	}
	res, err := c.complete(ctx, MethodCallTool, params, &t.opts)
	if err != nil {
		return nil, fmt.Errorf("tool %q: %w", name, err)
	}
	if res.Type == ResultTask {
		err = t.take(res.Body)
	} else {
		err = t.finish(res.Body)
	}
	if err != nil {
		return nil, fmt.Errorf("tool %q: %w", name, err)
	}
	t.opts.Input = nil
	return t, nil
}

// ToolTask returns the task with an id that was kept, of the tool with that name, to
// go on where another process has left off (SEP-2663, Task Polling). Nothing is sent.
func (c *Client) ToolTask(id, name string, opts *CallOptions) *ToolTask {
	t := c.toolTask(name, opts)
	t.state = Task{ID: id, Status: TaskWorking}
	return t
}

func (c *Client) toolTask(name string, opts *CallOptions) *ToolTask {
	t := &ToolTask{client: c, name: name, answered: make(map[string]struct{})}
	if opts != nil {
		t.opts = *opts
	}
	t.opts.tasks = true
	return t
}

// ID returns the id of the task, which is worth keeping and, since who has it may
// use the task, worth hiding. It is empty if the server answered at once.
func (t *ToolTask) ID() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.state.ID
}

// State returns the task as it was when it was last looked at. Wait looks.
func (t *ToolTask) State() Task {
	t.mu.Lock()
	defer t.mu.Unlock()
	state := t.state
	state.InputRequests = maps.Clone(state.InputRequests)
	return state
}

// Refresh looks at the task and returns its state.
func (t *ToolTask) Refresh(ctx context.Context) (Task, error) {
	if id := t.ID(); id != "" {
		res, err := t.send(ctx, MethodGetTask, nil)
		if err == nil {
			err = t.take(res.Body)
		}
		if err != nil {
			return Task{}, fmt.Errorf("tool %q: %w", t.name, err)
		}
	}
	return t.State(), nil
}

// Wait waits for the result and answers what the task asks by the functions of the
// client; without them, or with [CallOptions].ByHand, it returns an
// *[InputRequiredError] whose questions are for [ToolTask.Answer]. It asks the server
// as often as that wants, and sooner when told of a change.
//
// A task that failed has its error, for which [IsWireError] holds; one that was
// cancelled [ErrTaskCancelled]. Wait ends at the latest after ClientOptions.MaxTimeout.
// An end of ctx does not cancel the task, for which one can Wait again.
func (t *ToolTask) Wait(ctx context.Context) (*ToolResult, error) {
	if res, done, err := t.outcome(t.State()); done {
		return res, err
	}
	end := time.Now().Add(t.client.opts.MaxTimeout)
	ctx, cancel := context.WithDeadline(ctx, end)
	hints := make(chan struct{}, 1)
	var listening sync.WaitGroup
	defer listening.Wait()
	defer cancel()

	for rounds, looks := 0, 0; ; looks++ {
		looked := time.Now()
		state, err := t.Refresh(ctx)
		if err != nil {
			return nil, err
		}
		if res, done, err := t.outcome(state); done {
			return res, err
		}
		if open := t.unanswered(state); len(open) > 0 {
			if rounds++; rounds > t.client.opts.MaxRounds {
				return nil, fmt.Errorf("tool %q: %w: more than %d times", t.name, ErrTooManyRounds, rounds-1)
			}
			if err := t.answerOpen(ctx, end, open); err != nil {
				return nil, err
			}
			continue
		}
		if looks == 0 {
			listening.Go(func() { t.listen(ctx, hints) }) // until ctx ends, or the server refuses
		}
		if err := t.pause(ctx, state, looked, hints); err != nil {
			return nil, fmt.Errorf("tool %q: wait for the task: %w", t.name, err)
		}
	}
}

// pause waits for the time to look again.
func (t *ToolTask) pause(ctx context.Context, state Task, looked time.Time, hints <-chan struct{}) error {
	poll := defaultPoll
	if state.PollMs > 0 {
		poll = t.client.opts.MaxTimeout
		if state.PollMs < poll.Milliseconds() {
			poll = time.Duration(state.PollMs) * time.Millisecond
		}
	}
	timer := time.NewTimer(max(poll, leastPoll))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	case <-hints:
		sleep(ctx, leastPoll-time.Since(looked)) // however much the server tells
	}
	return ctx.Err()
}

// outcome returns what came of a task that has ended.
func (t *ToolTask) outcome(state Task) (res *ToolResult, done bool, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.result != nil:
		return t.result, true, nil
	case state.Status == TaskCancelled:
		return nil, true, fmt.Errorf("tool %q: %w", t.name, ErrTaskCancelled)
	case state.Status == TaskFailed:
		return nil, true, fmt.Errorf("tool %q: task: %w", t.name, state.Err())
	}
	return nil, false, nil
}

// unanswered returns the open questions that have not been answered yet: a server may
// show a question for a while after its answer.
func (t *ToolTask) unanswered(state Task) map[string]InputRequest {
	t.mu.Lock()
	defer t.mu.Unlock()
	open := make(map[string]InputRequest)
	for key, q := range state.InputRequests {
		if _, ok := t.answered[key]; !ok {
			open[key] = q
		}
	}
	return open
}

func (t *ToolTask) answerOpen(ctx context.Context, end time.Time, open map[string]InputRequest) error {
	questions, err := t.client.questions(&InputRequiredResult{InputRequests: open})
	if err != nil {
		return fmt.Errorf("tool %q: %w", t.name, err)
	}
	byHand := t.opts.ByHand
	for _, q := range questions {
		byHand = byHand || q.answer == nil
	}
	if byHand {
		return fmt.Errorf("tool %q: %w", t.name, &InputRequiredError{Method: MethodGetTask, Requests: open})
	}
	input, err := t.client.answer(ctx, end, questions)
	if err != nil {
		return fmt.Errorf("tool %q: %w", t.name, err)
	}
	return t.update(ctx, input)
}

// Answer answers questions of the task, by key, each with an *[ElicitResult],
// *[SampleResult] or [ListRootsResult] (SEP-2663, Task Update Requests). Those of a key
// that is not open are ignored by the server.
func (t *ToolTask) Answer(ctx context.Context, answers map[string]any) error {
	input, err := (&InputRequiredError{}).Answer(answers)
	if err != nil {
		return fmt.Errorf("tool %q: %w", t.name, err)
	}
	return t.update(ctx, input)
}

func (t *ToolTask) update(ctx context.Context, input *Input) error {
	if _, err := t.send(ctx, MethodUpdateTask, input); err != nil {
		return fmt.Errorf("tool %q: %w", t.name, err)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for key := range input.Responses {
		t.answered[key] = struct{}{}
	}
	return nil
}

// Cancel asks the server to end the task (SEP-2663, Task Cancellation), which it may
// do later or not at all.
func (t *ToolTask) Cancel(ctx context.Context) error {
	if t.ID() == "" {
		return nil
	}
	if _, err := t.send(ctx, MethodCancelTask, nil); err != nil {
		return fmt.Errorf("tool %q: %w", t.name, err)
	}
	return nil
}

// send sends a request about the task.
func (t *ToolTask) send(ctx context.Context, method string, input *Input) (Result, error) {
	params := append(jsonrpc.AppendString([]byte(`{"taskId":`), t.ID()), '}')
	if input != nil {
		params = input.into(params)
	}
	opts := t.opts
	opts.Progress, opts.Log, opts.ProgressExtends = nil, nil, false
	ctx, l := t.client.limit(ctx, time.Now().Add(t.client.opts.MaxTimeout), &opts)
	defer l.stop()
	res, err := t.client.send(ctx, l, method, params, &opts, nil)
	if err == nil && res.Type != "" && res.Type != ResultComplete {
		err = violates(ViolationTask, "", "%s has the resultType %q", method, clip(string(res.Type)))
	}
	return res, err
}

// take notes a state of the task.
func (t *ToolTask) take(body []byte) error {
	var state Task
	if err := json.Unmarshal(body, &state); err != nil {
		return violates(ViolationTask, "", "%s", clip(err.Error()))
	}
	switch state.Status {
	case TaskWorking, TaskInputRequired, TaskCompleted, TaskFailed, TaskCancelled:
	default:
		return violates(ViolationTask, "", "unknown status %q", clip(string(state.Status)))
	}
	id := t.ID()
	switch {
	case state.ID == "" || id != "" && state.ID != id:
		return violates(ViolationTask, "", "not the task that was asked for")
	case len(state.InputRequests) > maxQuestions:
		return violates(ViolationAskedTooMuch, "", "%d questions at once", len(state.InputRequests))
	case state.Status == TaskFailed && !isObject(state.Error):
		return violates(ViolationTask, "", "a task failed without an error")
	case state.Status == TaskCompleted:
		// The handle comes without the result of a task that has ended already.
		if state.Result != nil {
			if err := t.finish(state.Result); err != nil {
				return err
			}
		} else if id != "" {
			return violates(ViolationTask, "", "a task is completed without a result")
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.state = state
	return nil
}

// finish notes the result of the call.
func (t *ToolTask) finish(body []byte) error {
	res := new(ToolResult)
	if body == nil {
		body = []byte(`{}`)
	}
	if err := json.Unmarshal(body, res); err != nil {
		return fmt.Errorf("decode result: %w", err)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.result = res
	return nil
}

// listen has changes of the task told to hints. Without that they are seen a little later.
func (t *ToolTask) listen(ctx context.Context, hints chan<- struct{}) {
	params := append(jsonrpc.AppendString([]byte(`{"notifications":{"taskIds":[`), t.ID()), `]}}`...)
	req, err := t.client.request(MethodListen, params, &CallOptions{tasks: true, Meta: t.opts.Meta}, nil)
	if err != nil {
		return
	}
	// An open stream ends with ctx. What is wrong with one is not the task's matter.
	_, _ = t.client.handler.Handle(ctx, req, taskHints(hints))
}

// taskHints is the Sink of the changes of a task.
type taskHints chan<- struct{}

func (h taskHints) Notify(n *Notification) error {
	if n.Method == NotificationTask {
		select {
		case h <- struct{}{}:
		default: // one waits already
		}
	}
	return nil
}

func (taskHints) End(Result, error) {}

// WaitAs waits for the result of a task and decodes its structured content. A tool
// that fails is a *[ToolError].
func WaitAs[Out any](ctx context.Context, t *ToolTask) (Out, error) {
	res, err := t.Wait(ctx)
	return toolOutput[Out](t.name, res, err)
}

// toolOutput decodes the structured content of a result.
func toolOutput[Out any](name string, res *ToolResult, err error) (Out, error) {
	var out Out
	switch {
	case err != nil:
		return out, err
	case res.IsError:
		return out, &ToolError{Name: name, Result: res}
	}
	if err := res.Decode(&out); err != nil {
		return out, fmt.Errorf("tool %q: decode result: %w", name, err)
	}
	return out, nil
}

// withTasks is a ClientCapabilities object with the extension.
func withTasks(caps []byte) []byte {
	extensions := jsonrpc.Splice(nil, jsonrpc.Get(caps, "extensions"), jsonrpc.Member{Key: ExtensionTasks, Value: []byte(`{}`)})
	return jsonrpc.Splice(nil, caps, jsonrpc.Member{Key: "extensions", Value: extensions})
}
