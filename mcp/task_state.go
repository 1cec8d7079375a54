package mcp

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fairlead-mcp/fairlead/mcp/jsonrpc"
	"github.com/go-json-experiment/json"
)

// tasks are the tasks of a server. What they are stands in the store, also of
// those that run; live knows only how to reach the handlers.
type tasks struct {
	server   *Server
	opts     TaskOptions
	declared atomic.Bool // a tool with task support was registered, now or earlier

	// locks put the changes of one task in order, and so what its subscribers see.
	locks [64]sync.Mutex

	mu      sync.Mutex
	closed  bool
	running int                  // handlers, and calls that are about to start one
	live    map[string]*liveTask // task id -> its handler
	idle    chan struct{}        // closed when running is 0; nil while nobody waits for that
}

// taskState is what a TaskStore keeps sealed.
type taskState struct {
	Task      Task                    `json:"task"`
	Principal Principal               `json:"principal"`
	Call      *taskCall               `json:"call,omitzero"`     // nil once it has ended
	Journal   map[string]journalEntry `json:"journal,omitempty"` // what the handler has been told
}

// taskCall is the call that a task is about.
type taskCall struct {
	Tool         string  `json:"tool"`
	Params       Raw     `json:"params"`
	Meta         Raw     `json:"meta,omitzero"` // as the edge left it, which may differ from that in Params
	Version      Version `json:"version"`
	ClientInfo   Raw     `json:"clientInfo,omitzero"`
	Capabilities Raw     `json:"capabilities,omitzero"`
}

func newTaskCall(req *Request) *taskCall {
	return &taskCall{
		Tool: req.Name,
		// What the client answered before the task began stands in the journal.
		Params:       jsonrpc.Splice(nil, req.Params, jsonrpc.Member{Key: memberResponses}, jsonrpc.Member{Key: memberState}),
		Version:      req.Meta.Version,
		Meta:         bytes.Clone(req.Meta.Raw),
		ClientInfo:   bytes.Clone(req.Meta.ClientInfo),
		Capabilities: bytes.Clone(req.Meta.Capabilities),
	}
}

// request makes the request again.
func (st *taskState) request() *Request {
	c := st.Call
	req := &Request{Method: MethodCallTool, Name: c.Tool, Params: c.Params, Arguments: jsonrpc.Get(c.Params, "arguments"), Principal: st.Principal}
	req.Meta = Meta{
		Version: c.Version, ClientInfo: c.ClientInfo, Capabilities: c.Capabilities,
		ProgressToken: []byte("0"), // of our own: a task takes progress itself
		Raw:           c.Meta,
	}
	return req
}

// end makes a state final.
func (st *taskState) end(status TaskStatus, message string) {
	st.Task.Status, st.Task.StatusMessage = status, message
	st.Task.InputRequests, st.Call, st.Journal = nil, nil, nil
}

func (st *taskState) fail(e *Error) {
	st.end(TaskFailed, e.Message)
	st.Task.Error = errorObject(e)
}

// ownerOf is what a store knows a principal by.
func ownerOf(p Principal) string {
	sum := sha256.Sum256(BindPrincipal("task owner", p))
	return base64.RawURLEncoding.EncodeToString(sum[:16])
}

func bindTask(rec *TaskRecord) SealBinding {
	return SealBinding(appendSized(appendSized(appendSized(nil, "task"), rec.ID), rec.Owner))
}

// errTaskSize says that a task outgrew its bound.
var errTaskSize = errors.New("the task is larger than TaskOptions.MaxTaskBytes")

// seal puts st into rec.
func (ts *tasks) seal(rec *TaskRecord, st *taskState) error {
	b, err := json.Marshal(st, lenient)
	if err != nil {
		return fmt.Errorf("encode task: %w", err)
	}
	if len(b) > ts.opts.MaxTaskBytes {
		return errTaskSize
	}
	rec.Ended = st.Task.Status.Ended()
	rec.State = []byte(ts.server.sealer.Seal(bindTask(rec), b, time.Until(rec.Expires)+time.Minute))
	return nil
}

// load reads a task.
func (ts *tasks) load(ctx context.Context, id string) (rec TaskRecord, st *taskState, err error) {
	if rec, err = ts.opts.Store.Get(ctx, id); err != nil {
		return rec, nil, err
	}
	plain, err := ts.server.sealer.Open(bindTask(&rec), string(rec.State))
	if err != nil {
		return rec, nil, fmt.Errorf("open task: %w", err) // the keys were lost, or the store was touched
	}
	st = new(taskState)
	if err := json.Unmarshal(plain, st); err != nil {
		return rec, nil, fmt.Errorf("decode task: %w", err)
	}
	return rec, st, nil
}

// maxConflicts bounds how often a change is tried again because another process
// changed the task at the same time.
const maxConflicts = 16

// errUnchanged is returned by a change that has nothing to do.
var errUnchanged = errors.New("unchanged")

// change changes a task by fn and tells its subscribers. An error of fn leaves it as
// it was; errUnchanged is then no error.
func (ts *tasks) change(ctx context.Context, id string, fn func(*TaskRecord, *taskState) error) (*taskState, error) {
	lock := ts.lockOf(id)
	lock.Lock()
	defer lock.Unlock()
	for try := 1; ; try++ {
		rec, st, err := ts.load(ctx, id)
		if err != nil {
			return nil, err
		}
		if err := fn(&rec, st); err != nil {
			if errors.Is(err, errUnchanged) {
				return st, nil
			}
			return nil, err
		}
		st.Task.LastUpdatedAt = now()
		rec.Version++
		if err := ts.seal(&rec, st); err != nil {
			return nil, err
		}
		err = ts.opts.Store.Update(ctx, rec)
		if err == nil {
			ts.server.taskChanged(&st.Task)
			return st, nil
		}
		if !errors.Is(err, ErrTaskChanged) || try == maxConflicts {
			return nil, err
		}
	}
}

func (ts *tasks) lockOf(id string) *sync.Mutex {
	if id == "" {
		return &ts.locks[0]
	}
	return &ts.locks[id[len(id)-1]%byte(len(ts.locks))]
}

// now is the time as tasks tell it.
func now() time.Time { return time.Now().UTC().Truncate(time.Millisecond) }

func (ts *tasks) report(what string, err error) {
	if ts.opts.OnError != nil {
		ts.opts.OnError(fmt.Errorf("%s: %w", what, err))
	}
}
