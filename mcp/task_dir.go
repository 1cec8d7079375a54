package mcp

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/go-json-experiment/json"
)

// DirTasks is a [TaskStore] in a directory, a file for each task, which survives
// the end of the process and of the machine: Create and Update return when the file
// is on the disk. One process at a time may use a directory. States are sealed by
// the server: to go on it needs the same keys (see [ServerOptions].Sealer).
type DirTasks struct {
	dir string

	mu    sync.Mutex
	index taskIndex // without the states
}

const (
	taskSuffix = ".task"
	tempSuffix = ".new"
)

// OpenDirTasks opens the store in dir, which it makes if there is none. Tasks whose
// time is over are removed. The error names a file that cannot be read.
func OpenDirTasks(dir string, limits *TaskLimits) (*DirTasks, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("store of tasks: %w", err)
	}
	d := &DirTasks{dir: dir, index: newTaskIndex(limits)}
	files, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("store of tasks: %w", err)
	}
	for _, file := range files {
		path := filepath.Join(dir, file.Name())
		switch {
		case strings.HasSuffix(path, tempSuffix): // the process ended while it wrote this one
			err = os.Remove(path)
		case strings.HasSuffix(path, taskSuffix):
			err = d.take(path)
		}
		if err != nil {
			return nil, fmt.Errorf("store of tasks: %w", err)
		}
	}
	return d, nil
}

// take enters a file into the index.
func (d *DirTasks) take(path string) error {
	rec, err := readTask(path)
	if err != nil {
		return err
	}
	size := len(rec.State)
	rec.State = nil
	d.index.put(rec, size)
	if _, err := d.index.get(rec.ID); err != nil {
		d.index.drop(rec.ID)
		return os.Remove(path)
	}
	return nil
}

func readTask(path string) (rec TaskRecord, err error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return rec, err
	}
	if err := json.Unmarshal(b, &rec); err != nil || rec.ID == "" || rec.Version == 0 {
		return rec, fmt.Errorf("%s is not a task: remove it, and the task in it is lost", path)
	}
	return rec, nil
}

// path is the file of a task: a digest, since an id is a secret and may be no name of a file.
func (d *DirTasks) path(id string) string {
	sum := sha256.Sum256([]byte(id))
	return filepath.Join(d.dir, hex.EncodeToString(sum[:])+taskSuffix)
}

// Create implements [TaskStore].
func (d *DirTasks) Create(_ context.Context, rec TaskRecord) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	forgotten, err := d.index.mayCreate(rec)
	for _, id := range forgotten {
		if e := os.Remove(d.path(id)); e != nil && !errors.Is(e, fs.ErrNotExist) {
			err = errors.Join(err, e)
		}
	}
	if err != nil {
		return err
	}
	return d.write(rec)
}

// Update implements [TaskStore].
func (d *DirTasks) Update(_ context.Context, rec TaskRecord) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.index.mayUpdate(rec); err != nil {
		return err
	}
	return d.write(rec)
}

// write replaces the file of a task as a whole. d.mu is held: two writers would
// not save a disk that has one head or one queue for flushes much time.
func (d *DirTasks) write(rec TaskRecord) error {
	b, err := json.Marshal(&rec)
	if err != nil {
		return err
	}
	path := d.path(rec.ID)
	if err := writeSync(path+tempSuffix, b); err != nil {
		return errors.Join(err, os.Remove(path+tempSuffix))
	}
	if err := os.Rename(path+tempSuffix, path); err != nil {
		return err
	}
	// From here on the file is the new one, whether or not it is known to stay so.
	size := len(rec.State)
	rec.State = nil
	d.index.put(rec, size)
	return syncDir(d.dir)
}

func writeSync(path string, b []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// Get implements [TaskStore].
func (d *DirTasks) Get(_ context.Context, id string) (TaskRecord, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, err := d.index.get(id); err != nil {
		return TaskRecord{}, err
	}
	return readTask(d.path(id))
}

// List implements [TaskStore].
func (d *DirTasks) List(_ context.Context, owner string) ([]TaskRecord, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.index.list(owner), nil
}
