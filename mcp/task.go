package mcp

import (
	"errors"
	"fmt"
	"time"

	"github.com/fairlead-mcp/fairlead/mcp/jsonrpc"
	"github.com/go-json-experiment/json"
)

// ExtensionTasks is the extension by which a server answers a call with a task: a
// handle to ask about until the result is there (SEP-2663).
const ExtensionTasks = "io.modelcontextprotocol/tasks"

// Methods and the notification of [ExtensionTasks].
const (
	MethodGetTask    = "tasks/get"
	MethodUpdateTask = "tasks/update"
	MethodCancelTask = "tasks/cancel"
	NotificationTask = "notifications/tasks"

	// methodListTasks is answered to sessions of 2025-11-25 only.
	methodListTasks = "tasks/list"
)

// TasksUnlisted is the setting of [ExtensionTasks] by which a Handler that is no
// [Server] says, in the capabilities of server/discover, that it does not answer
// tasks/list, which sessions of 2025-11-25 may have. Clients do not see it.
const TasksUnlisted = "io.fairlead/unlisted"

// ResultTask is the type of a result that is a [Task] (SEP-2663, Polymorphic Results).
const ResultTask ResultType = "task"

// TaskSupport says whether the calls of a tool are tasks.
type TaskSupport string

// The values of TaskSupport. The zero value is TaskForbidden.
const (
	TaskForbidden TaskSupport = "forbidden" // never
	TaskOptional  TaskSupport = "optional"  // for clients that know tasks
	TaskRequired  TaskSupport = "required"  // always: other clients cannot call the tool
)

// ToolExecution says how a tool is executed (MCP 2025-11-25, schema,
// ToolExecution). Later revisions do not tell clients: there the server decides.
type ToolExecution struct {
	TaskSupport TaskSupport `json:"taskSupport,omitzero"`
	// OnDemand leaves the decision to the tool: a call is a task from
	// [Call.BeginTask] on, and until then may ask as other tools do. False means
	// that it is one from the start.
	OnDemand bool `json:"-"`
}

// TaskStatus is the state of a task.
type TaskStatus string

// The states of a task. The last three are final.
const (
	TaskWorking       TaskStatus = "working"
	TaskInputRequired TaskStatus = "input_required" // the client is asked
	TaskCompleted     TaskStatus = "completed"      // there is a result, if only one with isError
	TaskFailed        TaskStatus = "failed"         // the call ended with an error of the protocol
	TaskCancelled     TaskStatus = "cancelled"
)

// Ended reports whether the state is final.
func (s TaskStatus) Ended() bool {
	return s == TaskCompleted || s == TaskFailed || s == TaskCancelled
}

// Task is the state of a task (SEP-2663, Tasks, DetailedTask).
type Task struct {
	ID            string     `json:"taskId"`
	Status        TaskStatus `json:"status"`
	StatusMessage string     `json:"statusMessage,omitzero"` // for people
	CreatedAt     time.Time  `json:"createdAt"`
	LastUpdatedAt time.Time  `json:"lastUpdatedAt"`
	TTLMs         *int64     `json:"ttlMs"`                   // how long after CreatedAt the server keeps it; nil: for ever
	PollMs        int64      `json:"pollIntervalMs,omitzero"` // how long to wait before asking again; 0: not said

	// InputRequests are the open questions of a task that is TaskInputRequired.
	InputRequests map[string]InputRequest `json:"inputRequests,omitempty"`
	// Result is the result of the call, once the task is TaskCompleted.
	Result Raw `json:"result,omitzero"`
	// Error is the JSON-RPC error object of a task that is TaskFailed; see Err.
	Error Raw `json:"error,omitzero"`
}

// Err returns the error of a task that failed, else nil.
func (t *Task) Err() error {
	if t.Status != TaskFailed {
		return nil
	}
	return decodeError(t.Error)
}

// TaskOptions are the options of a server for its tasks. Nil and zero values are useful.
//
// A task belongs to the principal that made it. Callers without one are told apart
// by nothing but the id of the task, which nobody guesses: for those a shorter TTL is wise.
type TaskOptions struct {
	// Store keeps the tasks. Nil means a [MemoryTasks] with its defaults, which
	// forgets them with the process.
	Store TaskStore
	// TTL is how long a task is kept, counted from its creation, whether it has
	// ended or not. Zero means 1 hour.
	TTL time.Duration
	// MaxTTL bounds what a client of 2025-11-25 may ask for. Zero means 24 hours.
	MaxTTL time.Duration
	// PollInterval is how long clients are told to wait before they ask again.
	// Zero means 1 second.
	PollInterval time.Duration
	// MaxRunning bounds the tasks that run at once; those that wait for input do
	// not run. More are refused. Zero means 256.
	MaxRunning int
	// MaxPerPrincipal bounds the unfinished tasks of one principal; all anonymous
	// callers are one. More are refused. Zero means 64.
	MaxPerPrincipal int
	// MaxTaskBytes bounds one task: its call, the answers to what it asks and its
	// result. One that grows beyond fails. Zero means 4 MiB.
	MaxTaskBytes int
	// OnError is told when the state of a task could not be kept after its request
	// was answered. Nil drops it.
	OnError func(error)
}

func (o *TaskOptions) orDefaults() TaskOptions {
	var d TaskOptions
	if o != nil {
		d = *o
	}
	orDefault(&d.TTL, time.Hour)
	orDefault(&d.MaxTTL, 24*time.Hour)
	orDefault(&d.PollInterval, time.Second)
	orDefault(&d.MaxRunning, 256)
	orDefault(&d.MaxPerPrincipal, 64)
	orDefault(&d.MaxTaskBytes, 4<<20)
	if d.Store == nil {
		d.Store = NewMemoryTasks(nil)
	}
	return d
}

func orDefault[T int | int64 | time.Duration](v *T, value T) {
	if *v <= 0 {
		*v = value
	}
}

// takeExecution returns how a tool is executed, and takes it out of its description,
// which is that of all revisions. Forbidden is the zero value.
func (t *Tool) takeExecution() (e ToolExecution, err error) {
	if t.Execution == nil {
		return e, nil
	}
	e, t.Execution = *t.Execution, nil
	switch e.TaskSupport {
	case TaskOptional, TaskRequired:
	case TaskForbidden, "":
		if e.OnDemand {
			return e, errors.New("a tool without task support cannot begin a task on demand")
		}
		e.TaskSupport = ""
	default:
		return e, fmt.Errorf("unknown task support %q", e.TaskSupport)
	}
	return e, nil
}

// declaresTasks reports whether a ClientCapabilities object has the extension.
func declaresTasks(caps []byte) bool {
	return isObject(jsonrpc.Get(jsonrpc.Get(caps, "extensions"), ExtensionTasks))
}

// errNeedsTasks answers a client that has not declared the extension (SEP-2663, Capability Negotiation).
func errNeedsTasks() *Error {
	return ErrMissingCapability(`{"extensions":{"` + ExtensionTasks + `":{}}}`)
}

// errUnknownTask is the answer for every task that the caller cannot have, for
// whatever reason.
func errUnknownTask() *Error {
	return ErrInvalidParams("Unknown task: it was never created for this caller, or its time is over")
}

// errorObject encodes an error as a JSON-RPC error object.
func errorObject(e *Error) Raw {
	raw, err := json.Marshal(&struct {
		Code    int    `json:"code"`
		Message string `json:"message"`
		Data    Raw    `json:"data,omitzero"`
	}{e.Code, e.Message, e.Data}, lenient)
	if err != nil { // only data that is not JSON
		return errorObject(&Error{Code: e.Code, Message: e.Message})
	}
	return raw
}

// ErrTaskBegun is returned by [Call.BeginTask] when the call becomes a task. The
// handler returns it, wrapped or not; it is called again, from the top, as a task.
var ErrTaskBegun = errors.New("mcp: the call becomes a task; return this error")
