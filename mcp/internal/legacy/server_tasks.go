package legacy

import (
	"context"
	"strings"
	"sync"
	"time"

	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/mcp/jsonrpc"
	"github.com/go-json-experiment/json"
)

// Tasks of 2025-11-25 (basic/utilities/tasks), made of the tasks extension of
// 2026-07-28 and the other way round. The client's own tasks are not offered to
// handlers: nothing that a client is asked becomes one.

// Methods and the notification that only 2025-11-25 has.
const (
	methodTaskResult       = "tasks/result"
	methodListTasks        = "tasks/list"
	notificationTaskStatus = "notifications/tasks/status"
)

const (
	// maxWatched bounds the tasks of one session whose states are told without
	// being asked for: each costs an open stream of the handler, about 1 KB.
	maxWatched = 64
	// maxWatch bounds how long.
	maxWatch = 24 * time.Hour
	// minPoll and maxPoll bound how often a task is looked at whose changes are not told.
	minPoll, maxPoll = 100 * time.Millisecond, 10 * time.Second
)

func isTaskMethod(method string) bool {
	return method == mcp.MethodGetTask || method == mcp.MethodUpdateTask || method == mcp.MethodCancelTask
}

// offersTasks reports whether a session of revision v has the tasks of a server with these capabilities.
func offersTasks(v mcp.Version, capabilities []byte) bool {
	return v.Has(mcp.FeatureTaskParam) && jsonrpc.Get(jsonrpc.Get(capabilities, "extensions"), mcp.ExtensionTasks) != nil
}

// taskCapability is what initialize says of tasks. A principal that is not known has
// no list, which would tell it of the tasks of others; nor is there one where the
// handler has none.
func taskCapability(p mcp.Principal, capabilities []byte) []byte {
	settings := jsonrpc.Get(jsonrpc.Get(capabilities, "extensions"), mcp.ExtensionTasks)
	if p.Anonymous() || jsonrpc.Get(settings, mcp.TasksUnlisted) != nil {
		return []byte(`{"cancel":{},"requests":{"tools":{"call":{}}}}`)
	}
	return []byte(`{"list":{},"cancel":{},"requests":{"tools":{"call":{}}}}`)
}

// demandsTask makes a request to be answered by a task of one with the member task.
func (s *Session) demandsTask(req *mcp.Request) (bool, *mcp.Error) {
	if !s.tasks || req.Method != mcp.MethodCallTool {
		return false, nil
	}
	task := jsonrpc.Get(req.Params, "task")
	switch {
	case task == nil:
		return false, nil
	case !isObject(task):
		return false, mcp.ErrInvalidParams("params.task is not an object")
	}
	req.Meta.Capabilities = s.taskCapabilities()
	return true, nil
}

// taskCapabilities are the client's, with the extension.
func (s *Session) taskCapabilities() []byte {
	all := jsonrpc.Splice(nil, jsonrpc.Get(s.capabilities, "extensions"), jsonrpc.Member{Key: mcp.ExtensionTasks, Value: []byte(`{}`)})
	return jsonrpc.Splice(nil, s.capabilities, jsonrpc.Member{Key: "extensions", Value: all})
}

// created makes a CreateTaskResult of a task of the handler.
func (s *Session) created(ctx context.Context, body []byte) ([]byte, *mcp.Error) {
	t, problem := taskOf(body)
	if problem != nil {
		return nil, problem
	}
	s.watch(ctx, t)
	res := append([]byte(`{"task":`), oldTask(body, t)...)
	return related(append(res, '}'), t.ID), nil
}

// task answers a request about a task.
func (s *Session) task(ctx context.Context, msg *jsonrpc.Message, st Stream) ([]byte, *mcp.Error) {
	if !s.tasks || msg.Method == mcp.MethodUpdateTask { // that one is not part of the session's revision
		return nil, mcp.ErrMethodNotFound(msg.Method)
	}
	if msg.Method == methodListTasks {
		return s.listTasks(ctx, msg)
	}
	id, ok := jsonrpc.Unquote(jsonrpc.Get(msg.Params, "taskId"))
	if !ok {
		return nil, mcp.ErrInvalidParams("params.taskId is missing or not a string")
	}
	if e := s.endedTask(id); e != nil {
		switch msg.Method {
		case methodTaskResult:
			return related(e.result, id), nil
		case mcp.MethodCancelTask:
			return nil, mcp.ErrInvalidParams("Cannot cancel the task: it has ended already, with the status %s", oldStatus(&e.task))
		}
		return oldTask(e.body, &e.task), nil
	}
	switch msg.Method {
	case methodTaskResult:
		return s.taskResult(ctx, id, st)
	case mcp.MethodCancelTask:
		return s.cancelTask(ctx, id)
	}
	body, t, problem := s.getTask(ctx, id)
	if problem != nil {
		return nil, problem
	}
	return oldTask(body, t), nil
}

// ofTask sends the handler a request about a task.
func (s *Session) ofTask(ctx context.Context, method, id string, edits ...jsonrpc.Member) ([]byte, *mcp.Error) {
	meta := s.meta("")
	meta.Capabilities = s.taskCapabilities()
	edits = append(edits, jsonrpc.Member{Key: "taskId", Value: jsonrpc.AppendString(nil, id)})
	res, err := s.handler.Handle(ctx, &mcp.Request{
		Method: method, Name: id, Params: jsonrpc.Splice(nil, nil, edits...), Meta: meta, ID: []byte(`"task"`), Principal: s.principal, Session: &s.life,
	}, mcp.Discard)
	if err != nil {
		return nil, mcp.ErrorOf(err)
	}
	return res.Body, nil
}

func (s *Session) getTask(ctx context.Context, id string) ([]byte, *mcp.Task, *mcp.Error) {
	body, problem := s.ofTask(ctx, mcp.MethodGetTask, id)
	if problem != nil {
		return nil, nil, problem
	}
	t, problem := taskOf(body)
	return body, t, problem
}

func taskOf(body []byte) (*mcp.Task, *mcp.Error) {
	t := new(mcp.Task)
	if err := json.Unmarshal(body, t); err != nil || t.ID == "" {
		return nil, mcp.Errorf(jsonrpc.CodeInternalError, "The server gave a task that cannot be read")
	}
	return t, nil
}

func (s *Session) cancelTask(ctx context.Context, id string) ([]byte, *mcp.Error) {
	_, t, problem := s.getTask(ctx, id)
	if problem != nil {
		return nil, problem
	}
	if t.Status.Ended() {
		return nil, mcp.ErrInvalidParams("Cannot cancel the task: it has ended already, with the status %s", oldStatus(t))
	}
	if _, problem = s.ofTask(ctx, mcp.MethodCancelTask, id); problem != nil {
		return nil, problem
	}
	body, t, problem := s.getTask(ctx, id)
	if problem != nil {
		return nil, problem
	}
	return oldTask(body, t), nil
}

func (s *Session) listTasks(ctx context.Context, msg *jsonrpc.Message) ([]byte, *mcp.Error) {
	res, err := s.handler.Handle(ctx, &mcp.Request{
		Method: msg.Method, Params: msg.Params, Meta: s.meta(""), ID: msg.ID, Principal: s.principal, Session: &s.life,
	}, mcp.Discard)
	if err != nil {
		return nil, mcp.ErrorOf(err)
	}
	list := []byte{'['}
	for raw := range jsonrpc.Elements(jsonrpc.Get(res.Body, "tasks")) {
		t, problem := taskOf(raw)
		if problem != nil {
			return nil, problem
		}
		if len(list) > 1 {
			list = append(list, ',')
		}
		list = append(list, oldTask(raw, t)...)
	}
	return jsonrpc.Splice(nil, res.Body, jsonrpc.Member{Key: "tasks", Value: append(list, ']')}), nil
}

// taskResult waits for the end of a task and answers as the call would have. What
// the task asks meanwhile is asked here (MCP 2025-11-25, basic/utilities/tasks,
// Input Required Status).
func (s *Session) taskResult(ctx context.Context, id string, st Stream) ([]byte, *mcp.Error) {
	ctx, cancel := context.WithCancel(ctx) // ends the stream of changes
	defer cancel()
	changes := make(chan struct{}, 1)
	listening := false
	turn := s.nextTurn()
	for {
		_, t, problem := s.getTask(ctx, id)
		switch {
		case problem != nil:
			return nil, problem
		case t.Status == mcp.TaskCompleted:
			return related(s.downgradeCall(t.Result), id), nil
		case t.Status == mcp.TaskFailed:
			return nil, s.downgradeError(mcp.MethodCallTool, mcp.ErrorOf(t.Err()))
		case t.Status == mcp.TaskCancelled:
			return nil, mcp.Errorf(jsonrpc.CodeInternalError, "The task was cancelled")
		}
		if !listening { // and look once more: it may have changed before
			listening = true
			s.listenTask(ctx, id, wake(changes))
			continue
		}
		if t.Status == mcp.TaskInputRequired {
			if asking, done := s.claim(ctx, id, turn); asking != nil {
				problem := s.askForTask(asking, t, st)
				superseded := asking.Err() != nil && ctx.Err() == nil
				done()
				if problem != nil && !superseded {
					return nil, problem
				}
				continue
			}
		}
		poll := time.NewTimer(min(max(time.Duration(t.PollMs)*time.Millisecond, minPoll), maxPoll))
		select {
		case <-changes:
		case <-poll.C:
		case <-ctx.Done():
		}
		poll.Stop()
		if ctx.Err() != nil {
			return nil, mcp.ErrorOf(ctx.Err())
		}
	}
}

// askForTask asks the client the open questions of a task.
func (s *Session) askForTask(ctx context.Context, t *mcp.Task, st Stream) *mcp.Error {
	for key, q := range t.InputRequests {
		q.Params = related(q.Params, t.ID)
		t.InputRequests[key] = q
	}
	body, err := json.Marshal(&mcp.InputRequiredResult{InputRequests: t.InputRequests}, json.Deterministic(true))
	if err != nil {
		return mcp.ErrorOf(err)
	}
	responses, refused, err := s.ask(ctx, st, body)
	if refused != nil {
		// There is no answer that says so, and without one the task would wait in vain.
		if _, problem := s.ofTask(ctx, mcp.MethodCancelTask, t.ID); problem != nil {
			return problem
		}
		return mcp.Errorf(jsonrpc.CodeInternalError, "The task was cancelled, since the client refused what it asked: %s (code %d)", refused.Message, refused.Code)
	}
	if err != nil {
		return mcp.ErrorOf(err)
	}
	_, problem := s.ofTask(ctx, mcp.MethodUpdateTask, t.ID, jsonrpc.Member{Key: "inputResponses", Value: responses})
	return problem
}

// asker is the tasks/result that asks what a task asks.
type asker struct {
	turn int64
	stop context.CancelFunc
}

func (s *Session) nextTurn() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lastTurn++
	return s.lastTurn
}

// claim takes the right to ask for a task. Of several who wait for its result the
// newest asks, since the client may have lost the stream of the one before: that one
// withdraws its questions and waits. The context is nil if there is a newer one.
func (s *Session) claim(ctx context.Context, id string, turn int64) (asking context.Context, done func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if other := s.asking[id]; other != nil {
		if other.turn > turn {
			return nil, nil
		}
		other.stop()
	}
	asking, stop := context.WithCancel(ctx)
	mine := &asker{turn, stop}
	if s.asking == nil {
		s.asking = make(map[string]*asker)
	}
	s.asking[id] = mine
	return asking, func() {
		stop()
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.asking[id] == mine {
			delete(s.asking, id)
		}
		if len(s.asking) == 0 {
			s.asking = nil
		}
	}
}

// listenTask has the changes of a task told to sink until ctx ends. A handler that
// does not tell them is looked at all the same.
func (s *Session) listenTask(ctx context.Context, id string, sink mcp.Sink) bool {
	meta := s.meta("")
	meta.Capabilities = s.taskCapabilities()
	params := jsonrpc.AppendString([]byte(`{"notifications":{"taskIds":[`), id)
	res, err := s.handler.Handle(ctx, &mcp.Request{
		Method: mcp.MethodListen, Params: append(params, `]}}`...), Meta: meta, ID: []byte(`"task"`), Principal: s.principal, Session: &s.life,
	}, sink)
	return err == nil && res.Stream
}

// wake is a Sink that says only that there was something.
type wake chan struct{}

func (w wake) Notify(*mcp.Notification) error {
	select {
	case w <- struct{}{}:
	default: // it is known already
	}
	return nil
}

func (w wake) End(mcp.Result, error) {}

// watch tells the client of the states of a task until it has ended: by
// notifications/tasks/status, where the session has a stream for what belongs to no request.
func (s *Session) watch(ctx context.Context, t *mcp.Task) {
	id, w := t.ID, &watcher{session: s, id: t.ID}
	// The task outlives the call. Its time, its end, and that of the session end this.
	life := maxWatch
	if t.TTLMs != nil && *t.TTLMs < maxWatch.Milliseconds() {
		life = time.Duration(*t.TTLMs) * time.Millisecond
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), life)
	s.mu.Lock()
	if s.closed || len(s.watched) >= maxWatched {
		s.mu.Unlock()
		cancel()
		return
	}
	if s.watched == nil {
		s.watched = make(map[string]context.CancelFunc)
	}
	s.watched[id] = cancel
	s.mu.Unlock()
	context.AfterFunc(ctx, w.stop)
	if !s.listenTask(ctx, id, w) {
		w.stop()
	}
}

// watcher is the stream of the changes of one task.
type watcher struct {
	session *Session
	id      string
	once    sync.Once
}

func (w *watcher) Notify(n *mcp.Notification) error {
	if n.Method != mcp.NotificationTask {
		return nil
	}
	t, problem := taskOf(n.Params)
	if problem != nil {
		return nil
	}
	s := w.session
	s.mu.Lock()
	out := s.out
	s.mu.Unlock()
	if out != nil {
		// A client that is gone or too slow detaches by itself.
		_ = out.Notify(mcp.NewNotification(notificationTaskStatus, oldTask(n.Params, t)))
	}
	if t.Status.Ended() {
		w.stop()
	}
	return nil
}

func (w *watcher) End(mcp.Result, error) { w.stop() }

func (w *watcher) stop() {
	w.once.Do(func() {
		s := w.session
		s.mu.Lock()
		defer s.mu.Unlock()
		if cancel, ok := s.watched[w.id]; ok {
			cancel()
			delete(s.watched, w.id)
		}
		if len(s.watched) == 0 {
			s.watched = nil
		}
	})
}

// oldTask makes a Task of 2025-11-25 of one of the extension, whose text is body.
func oldTask(body []byte, t *mcp.Task) []byte {
	ttl := []byte("null")
	if raw := jsonrpc.Get(body, "ttlMs"); raw != nil {
		ttl = raw
	}
	edits := []jsonrpc.Member{
		{Key: "resultType"},
		{Key: "ttlMs"},
		{Key: "pollIntervalMs"},
		{Key: "inputRequests"},
		{Key: "result"},
		{Key: "error"},
		{Key: "status", Value: jsonrpc.AppendString(nil, oldStatus(t))},
		{Key: "ttl", Value: ttl},
		{Key: "pollInterval", Value: jsonrpc.Get(body, "pollIntervalMs")},
	}
	if t.StatusMessage == "" && oldStatus(t) != t.Status {
		edits = append(edits, jsonrpc.Member{Key: "statusMessage", Value: jsonrpc.AppendString(nil, failureText(t.Result))})
	}
	return jsonrpc.Splice(nil, body, edits...)
}

// oldStatus is the status in 2025-11-25, where a tool that failed makes a task that failed.
func oldStatus(t *mcp.Task) mcp.TaskStatus {
	if t.Status == mcp.TaskCompleted && string(jsonrpc.Get(t.Result, "isError")) == "true" {
		return mcp.TaskFailed
	}
	return t.Status
}

// failureText is what a tool said of its failure, bounded.
func failureText(result []byte) string {
	const limit = 512
	for block := range jsonrpc.Elements(jsonrpc.Get(result, "content")) {
		if text, ok := jsonrpc.Unquote(jsonrpc.Get(block, "text")); ok {
			if len(text) > limit {
				text = strings.ToValidUTF8(text[:limit], "") + "..."
			}
			return text
		}
	}
	return "The tool failed"
}

// related adds to an object the _meta that names its task.
func related(obj []byte, id string) []byte {
	meta := jsonrpc.Splice(nil, jsonrpc.Get(obj, "_meta"), jsonrpc.Member{
		Key: metaRelatedTask, Value: append(jsonrpc.AppendString([]byte(`{"taskId":`), id), '}'),
	})
	return jsonrpc.Splice(nil, obj, jsonrpc.Member{Key: "_meta", Value: meta})
}

// taskNeeded is the error for a tool that is called without a task and has to be one
// (MCP 2025-11-25, basic/utilities/tasks, Tool-Level Negotiation); nil for other errors.
func (s *Session) taskNeeded(req *mcp.Request, e *mcp.Error) *mcp.Error {
	if !s.tasks || e.Code != mcp.CodeMissingCapability {
		return nil
	}
	required := jsonrpc.Get(e.Data, "requiredCapabilities")
	if jsonrpc.Get(jsonrpc.Get(required, "extensions"), mcp.ExtensionTasks) == nil {
		return nil
	}
	return mcp.Errorf(jsonrpc.CodeMethodNotFound, "Tool %.128s must be called as a task: add params.task", req.Name)
}
