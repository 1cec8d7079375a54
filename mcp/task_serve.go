package mcp

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/fairlead-mcp/fairlead/mcp/jsonrpc"
	"github.com/go-json-experiment/json"
)

// serveTask answers tasks/get, tasks/update and tasks/cancel (SEP-2663).
func (s *Server) serveTask(ctx context.Context, req *Request) (Result, error) {
	if !declaresTasks(req.Meta.Capabilities) {
		return Result{}, errNeedsTasks()
	}
	var err error
	switch req.Method {
	case MethodGetTask:
		var t *Task
		if t, err = s.getTask(ctx, req.Principal, req.Name); err == nil {
			return s.encode(t, nil)
		}
	case MethodUpdateTask:
		err = s.updateTask(ctx, req)
	case MethodCancelTask:
		err = s.cancelTask(ctx, req)
	}
	var e *Error
	switch {
	case err == nil:
		return Result{Body: s.bare}, nil
	case errors.As(err, &e):
		return Result{}, e
	case errors.Is(err, ErrNoTask):
		return Result{}, errUnknownTask()
	}
	return Result{}, fmt.Errorf("%s: %w", req.Method, err)
}

// getTask reads a task of p; one of somebody else is none.
func (s *Server) getTask(ctx context.Context, p Principal, id string) (*Task, error) {
	rec, st, err := s.tasks.load(ctx, id)
	if err != nil {
		return nil, err
	}
	if rec.Owner != ownerOf(p) {
		return nil, ErrNoTask
	}
	if l := s.tasks.handlerOf(id); l != nil && st.Task.Status == TaskWorking {
		if text := l.message.Load(); text != nil {
			st.Task.StatusMessage = *text
		}
	}
	return &st.Task, nil
}

// updateTask takes answers to open questions; those to others are ignored (SEP-2663,
// Task Update Requests). A wrong one is refused, and all beside it.
func (s *Server) updateTask(ctx context.Context, req *Request) error {
	responses := jsonrpc.Get(req.Params, memberResponses)
	if !isObject(responses) {
		return ErrInvalidParams("params.inputResponses is missing or not an object")
	}
	owner := ownerOf(req.Principal)
	// Whether this answers the last question is known when it is kept; that there is
	// room to go on must be known before.
	if err := s.tasks.reserve(); err != nil {
		return err
	}
	var t *tool
	var resume bool
	var expires time.Time
	st, err := s.tasks.change(ctx, req.Name, func(rec *TaskRecord, st *taskState) error {
		resume, expires = false, rec.Expires
		if rec.Owner != owner {
			return ErrNoTask
		}
		answered := false
		for key, value := range jsonrpc.Members(responses) {
			asked, open := st.Task.InputRequests[key]
			if !open {
				continue
			}
			if err := checkAnswer(key, asked, value); err != nil {
				return err
			}
			if st.Journal == nil {
				st.Journal = make(map[string]journalEntry)
			}
			st.Journal[key] = journalEntry{digestOf(asked), append(Raw(nil), value...)}
			delete(st.Task.InputRequests, key)
			answered = true
		}
		if !answered {
			return errUnchanged
		}
		if len(st.Task.InputRequests) > 0 {
			return nil
		}
		st.Task.Status = TaskWorking
		if t, resume = s.tools.get(st.Call.Tool); !resume {
			st.fail(Errorf(jsonrpc.CodeInternalError, "The server no longer has the tool"))
		}
		return nil
	})
	switch {
	case err == nil && resume:
		s.startTask(t, expires, st)
		return nil
	case errors.Is(err, errTaskSize):
		err = ErrInvalidParams("params.inputResponses is larger than the task may become")
	}
	s.tasks.release()
	return err
}

// checkAnswer checks the answer to a question of a task.
func checkAnswer(key string, asked InputRequest, answer Raw) error {
	q := Question{Key: key}
	switch asked.Method {
	case MethodSample:
		q.Sample = &SampleParams{}
	case MethodListRoots:
		q.Roots = true
	default:
		if schema := jsonrpc.Get(asked.Params, "requestedSchema"); schema != nil {
			q.Form = &Form{Schema: schema}
		} else {
			q.Page = &Page{}
		}
	}
	_, err := q.decode(answer)
	return err
}

// cancelTask ends a task; one that has ended stays as it is (SEP-2663, Task Cancellation).
func (s *Server) cancelTask(ctx context.Context, req *Request) error {
	owner := ownerOf(req.Principal)
	_, err := s.tasks.change(ctx, req.Name, func(rec *TaskRecord, st *taskState) error {
		switch {
		case rec.Owner != owner:
			return ErrNoTask
		case st.Task.Status.Ended():
			return errUnchanged
		}
		st.end(TaskCancelled, "The client cancelled the task")
		return nil
	})
	if err != nil {
		return err
	}
	if l := s.tasks.handlerOf(req.Name); l != nil {
		l.cancel(errTaskCancelled)
	}
	return nil
}

// taskCursor is where a page of tasks/list begins: after this one.
type taskCursor struct {
	Created time.Time `json:"c"`
	ID      string    `json:"i"`
}

const cursorPurpose = "tasks/list cursor"

// listTasks answers tasks/list to a session of 2025-11-25 (MCP 2025-11-25,
// basic/utilities/tasks, Listing Tasks): the tasks of its principal. The unknown
// one has no list, which would tell him of the tasks of others.
func (s *Server) listTasks(ctx context.Context, req *Request) (Result, error) {
	if req.Principal.Anonymous() {
		return Result{}, ErrMethodNotFound(req.Method)
	}
	recs, err := s.tasks.opts.Store.List(ctx, ownerOf(req.Principal))
	if err != nil {
		return Result{}, fmt.Errorf("list tasks: %w", err)
	}
	binding := BindPrincipal(cursorPurpose, req.Principal)
	if raw := jsonrpc.Get(req.Params, "cursor"); raw != nil {
		var after taskCursor
		sealed, _ := jsonrpc.Unquote(raw)
		plain, err := s.sealer.Open(binding, sealed)
		if err != nil || json.Unmarshal(plain, &after) != nil {
			return Result{}, ErrInvalidParams("Invalid cursor")
		}
		recs = recs[firstAfter(recs, TaskRecord{ID: after.ID, Created: after.Created}):]
	}
	page := struct {
		Tasks      []*Task `json:"tasks"`
		NextCursor string  `json:"nextCursor,omitzero"`
	}{Tasks: []*Task{}}
	for i, rec := range recs {
		if i == s.opts.PageSize {
			last := recs[i-1]
			plain, err := json.Marshal(taskCursor{last.Created, last.ID})
			if err != nil {
				return Result{}, fmt.Errorf("list tasks: %w", err)
			}
			page.NextCursor = s.sealer.Seal(binding, plain, time.Hour)
			break
		}
		t, err := s.getTask(ctx, req.Principal, rec.ID)
		if errors.Is(err, ErrNoTask) { // its time is over since
			continue
		}
		if err != nil {
			return Result{}, fmt.Errorf("list tasks: %w", err)
		}
		page.Tasks = append(page.Tasks, t)
	}
	return s.encode(&page, nil)
}

// firstAfter is the index of the first record after rec in order.
func firstAfter(recs []TaskRecord, rec TaskRecord) int {
	i, found := slices.BinarySearchFunc(recs, rec, olderTask)
	if found {
		i++
	}
	return i
}

// maxWatchedTasks bounds the tasks of one subscription.
const maxWatchedTasks = 256

// watchable returns those of the ids that the caller may hear of (SEP-2663, Task
// Status Notifications).
func (s *Server) watchable(ctx context.Context, req *Request, ids []string) ([]string, error) {
	if len(ids) == 0 || !s.tasks.declared.Load() {
		return nil, nil
	}
	if !declaresTasks(req.Meta.Capabilities) {
		return nil, errNeedsTasks()
	}
	if len(ids) > maxWatchedTasks {
		return nil, ErrInvalidParams("A subscription has at most %d tasks", maxWatchedTasks)
	}
	owner := ownerOf(req.Principal)
	var mine []string
	for _, id := range ids {
		rec, err := s.tasks.opts.Store.Get(ctx, id)
		if errors.Is(err, ErrNoTask) || err == nil && rec.Owner != owner {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("watch tasks: %w", err)
		}
		mine = append(mine, id)
	}
	slices.SortFunc(mine, strings.Compare)
	return slices.Compact(mine), nil
}

// taskChanged tells who subscribed to a task of its new state.
func (s *Server) taskChanged(t *Task) {
	subs := s.hub.watchers(t.ID)
	if len(subs) == 0 {
		return
	}
	n, err := taskNotification(t)
	if err != nil {
		s.tasks.report("notify of a task", err)
		return
	}
	for _, sub := range subs {
		sub.notify(n)
	}
}

func taskNotification(t *Task) (*Notification, error) {
	params, err := json.Marshal(t, lenient, json.Deterministic(true))
	if err != nil {
		return nil, err
	}
	return NewNotification(NotificationTask, params), nil
}

// tellTasks tells a new subscriber what its tasks have come to meanwhile: a change
// between their creation and the subscription is not lost.
func (s *Server) tellTasks(ctx context.Context, sub *subscription, p Principal) {
	for _, id := range sub.filter.TaskIDs {
		s.tellTask(ctx, sub, p, id)
	}
}

func (s *Server) tellTask(ctx context.Context, sub *subscription, p Principal, id string) {
	lock := s.tasks.lockOf(id) // or this could come after a newer state
	lock.Lock()
	defer lock.Unlock()
	t, err := s.getTask(ctx, p, id)
	if err != nil || t.Status == TaskWorking {
		return // polling will say it
	}
	if n, err := taskNotification(t); err == nil {
		sub.notify(n)
	}
}

// withExecution adds to a page of tools what sessions of 2025-11-25 are told of tasks
// (MCP 2025-11-25, basic/utilities/tasks, Tool-Level Negotiation).
func (s *Server) withExecution(body []byte) []byte {
	list := []byte{'['}
	for raw := range jsonrpc.Elements(jsonrpc.Get(body, "tools")) {
		if len(list) > 1 {
			list = append(list, ',')
		}
		name, _ := jsonrpc.Unquote(jsonrpc.Get(raw, "name"))
		if t, ok := s.tools.get(name); ok && t.execution.TaskSupport != "" {
			execution := append(jsonrpc.AppendString([]byte(`{"taskSupport":`), t.execution.TaskSupport), '}')
			list = jsonrpc.Splice(list, raw, jsonrpc.Member{Key: "execution", Value: execution})
			continue
		}
		list = append(list, raw...)
	}
	return jsonrpc.Splice(nil, body, jsonrpc.Member{Key: "tools", Value: append(list, ']')})
}
