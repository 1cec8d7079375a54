package mcp

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
	"time"
)

// TaskStore keeps the tasks of a server. What Create and Update have returned for
// is kept as safely as the store promises. A store must be safe for concurrent use
// and bound what it keeps; it forgets a task when its time is over, and not before.
type TaskStore interface {
	// Create keeps a task that is new. [ErrTasksFull] says that there is no room.
	Create(ctx context.Context, rec TaskRecord) error
	// Update replaces the task with the same ID. The one that is kept has the
	// Version before rec's, else the error is [ErrTaskChanged]; [ErrNoTask] says
	// that there is none.
	Update(ctx context.Context, rec TaskRecord) error
	// Get returns a task, or [ErrNoTask].
	Get(ctx context.Context, id string) (TaskRecord, error)
	// List returns the tasks of an owner, or of all for the empty one, without
	// their State, from the oldest to the newest.
	List(ctx context.Context, owner string) ([]TaskRecord, error)
}

// TaskRecord is a task as a store keeps it.
type TaskRecord struct {
	ID      string    `json:"id"`      // unguessable: who has it can nearly use it
	Owner   string    `json:"owner"`   // the same for the tasks of one principal; not a name
	Created time.Time `json:"created"` // orders a List
	Expires time.Time `json:"expires"` // when it is forgotten
	Ended   bool      `json:"ended"`   // it does not change any more
	Version uint64    `json:"version"` // 1, then one more with each Update
	State   []byte    `json:"state,omitempty"`
}

// Errors of a TaskStore.
var (
	ErrNoTask      = errors.New("mcp: no such task")
	ErrTaskChanged = errors.New("mcp: the task has changed meanwhile")
	ErrTasksFull   = errors.New("mcp: the store of tasks is full")
)

// TaskLimits bound a store. Nil and zero values are useful.
type TaskLimits struct {
	MaxTasks int   // zero means 10,000
	MaxBytes int64 // of all State together; zero means 64 MiB
}

// MemoryTasks is a [TaskStore] in memory: what it keeps ends with the process.
type MemoryTasks struct {
	mu    sync.Mutex
	index taskIndex
}

// NewMemoryTasks returns an empty store.
func NewMemoryTasks(limits *TaskLimits) *MemoryTasks {
	return &MemoryTasks{index: newTaskIndex(limits)}
}

// Create implements [TaskStore].
func (m *MemoryTasks) Create(_ context.Context, rec TaskRecord) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	_, err := m.index.mayCreate(rec)
	if err == nil {
		m.index.put(rec, len(rec.State))
	}
	return err
}

// Update implements [TaskStore].
func (m *MemoryTasks) Update(_ context.Context, rec TaskRecord) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.index.mayUpdate(rec); err != nil {
		return err
	}
	m.index.put(rec, len(rec.State))
	return nil
}

// Get implements [TaskStore].
func (m *MemoryTasks) Get(_ context.Context, id string) (TaskRecord, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.index.get(id)
}

// List implements [TaskStore].
func (m *MemoryTasks) List(_ context.Context, owner string) ([]TaskRecord, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.index.list(owner), nil
}

// taskIndex knows the tasks of a store. Its user holds a lock.
type taskIndex struct {
	limits  TaskLimits
	tasks   map[string]indexed             // id -> task
	byOwner map[string]map[string]struct{} // owner -> ids
	bytes   int64
	swept   time.Time
}

type indexed struct {
	rec  TaskRecord
	size int
}

// sweepEvery bounds how often all tasks are looked at for those whose time is
// over: 10,000 take a tenth of a millisecond.
const sweepEvery = time.Second

func newTaskIndex(limits *TaskLimits) taskIndex {
	x := taskIndex{tasks: make(map[string]indexed), byOwner: make(map[string]map[string]struct{})}
	if limits != nil {
		x.limits = *limits
	}
	orDefault(&x.limits.MaxTasks, 10_000)
	orDefault(&x.limits.MaxBytes, 64<<20)
	return x
}

// mayCreate makes room for a new task: it returns the ids of those that it forgot.
func (x *taskIndex) mayCreate(rec TaskRecord) (forgotten []string, err error) {
	if now := time.Now(); now.Sub(x.swept) >= sweepEvery {
		x.swept = now
		for id, t := range x.tasks {
			if !now.Before(t.rec.Expires) {
				x.drop(id)
				forgotten = append(forgotten, id)
			}
		}
	}
	switch _, exists := x.tasks[rec.ID]; {
	case exists:
		return forgotten, ErrTaskChanged
	case len(x.tasks) >= x.limits.MaxTasks, x.bytes+int64(len(rec.State)) > x.limits.MaxBytes:
		return forgotten, ErrTasksFull
	}
	return forgotten, nil
}

func (x *taskIndex) mayUpdate(rec TaskRecord) error {
	old, err := x.get(rec.ID)
	switch {
	case err != nil:
		return err
	case old.Version+1 != rec.Version:
		return ErrTaskChanged
	case x.bytes+int64(len(rec.State)-x.tasks[rec.ID].size) > x.limits.MaxBytes:
		return ErrTasksFull
	}
	return nil
}

// put keeps rec, whose state counts size bytes.
func (x *taskIndex) put(rec TaskRecord, size int) {
	x.drop(rec.ID)
	x.tasks[rec.ID] = indexed{rec, size}
	x.bytes += int64(size)
	if x.byOwner[rec.Owner] == nil {
		x.byOwner[rec.Owner] = make(map[string]struct{})
	}
	x.byOwner[rec.Owner][rec.ID] = struct{}{}
}

func (x *taskIndex) drop(id string) {
	t, ok := x.tasks[id]
	if !ok {
		return
	}
	delete(x.tasks, id)
	x.bytes -= int64(t.size)
	if ids := x.byOwner[t.rec.Owner]; len(ids) == 1 {
		delete(x.byOwner, t.rec.Owner)
	} else {
		delete(ids, id)
	}
}

func (x *taskIndex) get(id string) (TaskRecord, error) {
	t, ok := x.tasks[id]
	if !ok || !time.Now().Before(t.rec.Expires) {
		return TaskRecord{}, ErrNoTask
	}
	return t.rec, nil
}

func (x *taskIndex) list(owner string) []TaskRecord {
	var recs []TaskRecord
	add := func(id string) {
		if rec, err := x.get(id); err == nil {
			rec.State = nil
			recs = append(recs, rec)
		}
	}
	if owner == "" {
		for id := range x.tasks {
			add(id)
		}
	} else {
		for id := range x.byOwner[owner] {
			add(id)
		}
	}
	slices.SortFunc(recs, olderTask)
	return recs
}

func olderTask(a, b TaskRecord) int {
	return cmp.Or(a.Created.Compare(b.Created), cmp.Compare(a.ID, b.ID))
}
