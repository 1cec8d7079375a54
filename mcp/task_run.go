package mcp

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"math"
	"runtime/debug"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/fairlead-mcp/fairlead/mcp/jsonrpc"
)

// Why the context of a task ends.
var (
	errTaskCancelled = fmt.Errorf("mcp: the client cancelled the task: %w", context.Canceled)
	errTasksStopped  = fmt.Errorf("mcp: the server stops: %w", context.Canceled)
)

// errBusy answers who wants more tasks than there may be.
func errBusy(what string) *Error {
	return Errorf(jsonrpc.CodeInternalError, "%s: try again when some have ended", what)
}

// liveTask is the handler of a task. It is the Sink of its call: a task has no
// progress but in its status message (SEP-2663, Task Status Notifications).
type liveTask struct {
	cancel  context.CancelCauseFunc
	message atomic.Pointer[string]
}

func (l *liveTask) Notify(n *Notification) error {
	if n.Method == NotificationProgress {
		if text, ok := jsonrpc.Unquote(jsonrpc.Get(n.Params, "message")); ok {
			l.message.Store(&text)
		}
	}
	return nil
}

func (*liveTask) End(Result, error) {}

// taskMode is what a call has to do with tasks.
type taskMode struct {
	may   bool // it may become one
	begun bool // it asked to
}

// CanTask reports whether the call is a task or may become one by BeginTask.
func (c *Call) CanTask() bool { return c.task != nil }

// BeginTask makes a task of the call of a tool with task support OnDemand (SEP-2663,
// Composition with Multi Round-Trip Requests). The error is [ErrTaskBegun]; the
// handler returns it and is called again, as a task, with the answers and the values
// of [Once] that it has had. Then, and where a client knows no tasks, BeginTask does nothing.
func (c *Call) BeginTask(context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.task == nil || !c.task.may {
		return nil
	}
	if err := c.openJournal(); err != nil {
		return err
	}
	c.task.begun = true
	return ErrTaskBegun
}

// callTaskTool answers the call of a tool with task support.
func (s *Server) callTaskTool(ctx context.Context, t *tool, req *Request, sink Sink, args []byte) (Result, error) {
	able := declaresTasks(req.Meta.Capabilities)
	// A client of 2025-11-25 has the extension in the calls that it wants as tasks, and gets one.
	demanded := able && req.Meta.Version.Has(FeatureTaskParam)
	switch {
	case !able && t.execution.TaskSupport == TaskRequired:
		return Result{}, errNeedsTasks()
	case able && (!t.execution.OnDemand || demanded):
		return s.createTask(ctx, t, req, nil)
	}
	call := s.newCall(req, sink)
	defer call.end()
	if able {
		call.task = &taskMode{may: true}
	}
	res, err := t.call(ctx, call, args)
	if able && call.begun() {
		if !errors.Is(err, ErrTaskBegun) {
			return Result{}, fmt.Errorf("tool %q began a task and did not return the error of BeginTask", t.name)
		}
		return s.createTask(ctx, t, req, call.journal.entries)
	}
	return call.settle(ctx, "tool", t.name, res, err)
}

// begun ends the call and reports whether it is to go on as a task.
func (c *Call) begun() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ended = true
	return c.task.begun && !c.asked && c.broken == nil
}

// createTask answers a call with a task, which is in the store before it is in the answer.
func (s *Server) createTask(ctx context.Context, t *tool, req *Request, told map[string]journalEntry) (Result, error) {
	ts := &s.tasks
	if err := ts.reserve(); err != nil {
		return Result{}, err
	}
	started := false
	defer func() {
		if !started {
			ts.release()
		}
	}()
	rec := TaskRecord{ID: rand.Text(), Owner: ownerOf(req.Principal), Created: now(), Version: 1}
	if err := ts.admit(ctx, rec.Owner); err != nil {
		return Result{}, err
	}
	ttl := ts.ttl(req)
	rec.Expires = rec.Created.Add(ttl)
	ms := ttl.Milliseconds()
	st := &taskState{
		Task: Task{
			ID: rec.ID, Status: TaskWorking, CreatedAt: rec.Created, LastUpdatedAt: rec.Created,
			TTLMs: &ms, PollMs: max(1, ts.opts.PollInterval.Milliseconds()),
		},
		Principal: req.Principal, Call: newTaskCall(req), Journal: told,
	}
	if err := ts.seal(&rec, st); err != nil {
		if errors.Is(err, errTaskSize) {
			return Result{}, ErrInvalidParams("The call is larger than a task may be")
		}
		return Result{}, err
	}
	if err := ts.opts.Store.Create(ctx, rec); err != nil {
		if errors.Is(err, ErrTasksFull) {
			return Result{}, errBusy("The server keeps as many tasks as it can")
		}
		return Result{}, fmt.Errorf("create task: %w", err)
	}
	res, err := s.encode(&st.Task, nil)
	if err != nil {
		return Result{}, err
	}
	res.Type = ResultTask
	started = true
	s.startTask(t, rec.Expires, st)
	return res, nil
}

// ttl is how long a new task is kept: as a client of 2025-11-25 asks, within bounds.
func (ts *tasks) ttl(req *Request) time.Duration {
	if req.Meta.Version.Has(FeatureTaskParam) {
		ms, err := strconv.ParseFloat(string(jsonrpc.Get(jsonrpc.Get(req.Params, "task"), "ttl")), 64)
		if err == nil && ms >= 1 && ms < math.MaxInt64/float64(time.Millisecond) {
			return min(time.Duration(ms)*time.Millisecond, ts.opts.MaxTTL)
		}
	}
	return ts.opts.TTL
}

// admit refuses a principal with too many unfinished tasks.
func (ts *tasks) admit(ctx context.Context, owner string) error {
	recs, err := ts.opts.Store.List(ctx, owner)
	if err != nil {
		return fmt.Errorf("list tasks: %w", err)
	}
	unfinished := 0
	for _, rec := range recs {
		if !rec.Ended {
			unfinished++
		}
	}
	if unfinished >= ts.opts.MaxPerPrincipal {
		return errBusy(fmt.Sprintf("The caller has %d unfinished tasks and cannot have more", unfinished))
	}
	return nil
}

// reserve takes the right to run one handler.
func (ts *tasks) reserve() error {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	switch {
	case ts.closed:
		return errBusy("The server stops")
	case ts.running >= ts.opts.MaxRunning:
		return errBusy("The server runs as many tasks as it can")
	}
	ts.running++
	return nil
}

func (ts *tasks) release() {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	if ts.running--; ts.running == 0 && ts.idle != nil {
		close(ts.idle)
		ts.idle = nil
	}
}

// startTask runs the handler of a task, for which there is a reservation. The
// goroutine ends with the handler, whose context ends with the task's time, by
// tasks/cancel and by StopTasks, which waits for it.
func (s *Server) startTask(t *tool, expires time.Time, st *taskState) {
	ts := &s.tasks
	ctx, cancel := context.WithCancelCause(context.Background())
	ctx, stop := context.WithDeadline(ctx, expires)
	live := &liveTask{cancel: cancel}
	ts.mu.Lock()
	if ts.live == nil {
		ts.live = make(map[string]*liveTask)
	}
	ts.live[st.Task.ID] = live
	if ts.closed {
		cancel(errTasksStopped)
	}
	ts.mu.Unlock()
	go func() {
		defer ts.release()
		defer stop()
		defer cancel(nil)
		s.runTask(ctx, t, live, st)
	}()
}

func (ts *tasks) forget(id string) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	delete(ts.live, id)
}

func (ts *tasks) handlerOf(id string) *liveTask {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	return ts.live[id]
}

// runTask calls the handler and keeps what came of it.
func (s *Server) runTask(ctx context.Context, t *tool, live *liveTask, st *taskState) {
	ts, id := &s.tasks, st.Task.ID
	call := s.newCall(st.request(), live)
	call.task = &taskMode{}
	call.journal = &journal{entries: maps.Clone(st.Journal), asked: map[string]InputRequest{}}
	if call.journal.entries == nil {
		call.journal.entries = map[string]journalEntry{}
	}
	res, err := s.callSafely(ctx, t, call)
	ts.forget(id) // before others see what came of it, and may start it again
	switch cause := context.Cause(ctx); {
	case errors.Is(cause, errTaskCancelled): // and so it stands in the store
		return
	case errors.Is(cause, errTasksStopped) && !errors.Is(err, ErrAsked) && (err != nil || isToolError(res)):
		return // most likely for being stopped: it stays as it is, to be taken up again
	}
	settle := call.taskOutcome(t.name, res, err)
	// The context of the handler may have ended with it; what came of it is kept all the same.
	_, err = ts.change(context.WithoutCancel(ctx), id, func(_ *TaskRecord, st *taskState) error {
		if st.Task.Status != TaskWorking {
			return errUnchanged
		}
		settle(st)
		return nil
	})
	if err == nil || errors.Is(err, ErrNoTask) { // the latter: its time is over
		return
	}
	ts.report("keep the outcome of a task", err)
	problem := Errorf(jsonrpc.CodeInternalError, "The outcome of the task could not be kept")
	if errors.Is(err, errTaskSize) {
		problem = Errorf(jsonrpc.CodeInternalError, "The outcome of the task is larger than the server keeps")
	}
	_, err = ts.change(context.WithoutCancel(ctx), id, func(_ *TaskRecord, st *taskState) error {
		if st.Task.Status != TaskWorking {
			return errUnchanged
		}
		st.fail(problem)
		return nil
	})
	if err != nil {
		ts.report("fail a task", err)
	}
}

// isToolError reports whether res is the result of a tool that failed.
func isToolError(res Result) bool { return string(jsonrpc.Get(res.Body, "isError")) == "true" }

// callSafely makes an internal error of a panic.
func (s *Server) callSafely(ctx context.Context, t *tool, call *Call) (res Result, err error) {
	defer func() {
		if value := recover(); value != nil {
			if s.opts.OnPanic != nil {
				s.opts.OnPanic(value, debug.Stack())
			}
			res, err = Result{}, Errorf(jsonrpc.CodeInternalError, "internal error")
		}
	}()
	args := call.req.Arguments
	if args == nil {
		args = []byte(`{}`)
	}
	return t.call(ctx, call, args)
}

// taskOutcome ends the call of a task and says what becomes of the task.
func (c *Call) taskOutcome(name string, res Result, err error) func(*taskState) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ended = true
	asked := c.asked && c.broken == nil && errors.Is(err, ErrAsked)
	switch {
	case asked:
	case c.broken != nil:
		err = c.broken
	case c.asked:
		err = fmt.Errorf("tool %q asked the client and did not return the error of the question", name)
	}
	entries, questions := c.journal.entries, c.journal.asked
	return func(st *taskState) {
		switch {
		case asked:
			st.Task.Status, st.Task.InputRequests, st.Journal = TaskInputRequired, questions, entries
		case err != nil:
			st.fail(ErrorOf(err))
		default:
			st.end(TaskCompleted, "")
			st.Task.Result = Raw(res.Body)
		}
	}
}

// StopTasks ends the handlers of all tasks and waits until they have returned or ctx
// ends, which is then the error. Later calls make no tasks. In a store that outlives
// the process the tasks stay as they are, to be taken up by [Server.ResumeTasks].
func (s *Server) StopTasks(ctx context.Context) error {
	ts := &s.tasks
	ts.mu.Lock()
	ts.closed = true
	for _, l := range ts.live {
		l.cancel(errTasksStopped)
	}
	if ts.running == 0 {
		ts.mu.Unlock()
		return nil
	}
	if ts.idle == nil {
		ts.idle = make(chan struct{})
	}
	idle := ts.idle
	ts.mu.Unlock()
	select {
	case <-idle:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("stop tasks: %w", context.Cause(ctx))
	}
}

// ResumeTasks takes up the tasks that an earlier process left in the store, sealed
// with keys that the server has. It is called once, after all tools are registered
// and before requests are served; the store must have no other user then.
//
// Tasks that wait for input go on when it comes. Tasks that were running run again
// if their tool says that it may run twice ([ToolAnnotations].IdempotentHint or
// ReadOnlyHint); else they fail, and the error says why. ResumeTasks does what it
// can and returns what it could not.
func (s *Server) ResumeTasks(ctx context.Context) error {
	recs, err := s.tasks.opts.Store.List(ctx, "")
	if err != nil {
		return fmt.Errorf("resume tasks: %w", err)
	}
	var errs []error
	for _, rec := range recs {
		if rec.Ended {
			continue
		}
		if err := s.resumeTask(ctx, rec); err != nil && !errors.Is(err, ErrNoTask) {
			errs = append(errs, fmt.Errorf("resume a task of %s: %w", rec.Created.Format(time.RFC3339), err))
		}
	}
	return errors.Join(errs...)
}

func (s *Server) resumeTask(ctx context.Context, rec TaskRecord) error {
	_, st, err := s.tasks.load(ctx, rec.ID)
	if err != nil || st.Task.Status != TaskWorking {
		return err
	}
	t, ok := s.tools.get(st.Call.Tool)
	if ok && t.repeatable {
		if err := s.tasks.reserve(); err != nil {
			return err
		}
		s.startTask(t, rec.Expires, st)
		return nil
	}
	problem := Errorf(jsonrpc.CodeInternalError, "The server restarted while the task was running, and the tool does not say that it may run twice: call it again if that does no harm")
	if !ok {
		problem = Errorf(jsonrpc.CodeInternalError, "The server restarted while the task was running, and no longer has the tool")
	}
	_, err = s.tasks.change(ctx, rec.ID, func(_ *TaskRecord, st *taskState) error {
		if st.Task.Status != TaskWorking {
			return errUnchanged
		}
		st.fail(problem)
		return nil
	})
	return err
}
