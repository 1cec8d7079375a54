package mcp_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/mcp/jsonrpc"
	"github.com/go-json-experiment/json"
	"github.com/google/go-cmp/cmp"
)

// overStores runs test with each TaskStore of the library.
func overStores(t *testing.T, limits *mcp.TaskLimits, test func(t *testing.T, s mcp.TaskStore)) {
	t.Run("memory", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) { test(t, mcp.NewMemoryTasks(limits)) })
	})
	t.Run("directory", func(t *testing.T) {
		dir := t.TempDir()
		synctest.Test(t, func(t *testing.T) {
			d, err := mcp.OpenDirTasks(dir, limits)
			must(t, err)
			test(t, d)
		})
	})
}

func record(id, owner string, life time.Duration) mcp.TaskRecord {
	now := time.Now().UTC()
	return mcp.TaskRecord{ID: id, Owner: owner, Created: now, Expires: now.Add(life), Version: 1, State: []byte("state of " + id)}
}

func TestTaskStores(t *testing.T) {
	overStores(t, nil, func(t *testing.T, s mcp.TaskStore) {
		ctx := t.Context()
		second, first := record("b", "o", time.Minute), record("a/../..", "o", time.Hour)
		must(t, s.Create(ctx, first))
		must(t, s.Create(ctx, second))
		time.Sleep(time.Second)
		third := record("c", "p", time.Minute)
		must(t, s.Create(ctx, third))
		if err := s.Create(ctx, first); err == nil {
			t.Error("Create took an id twice")
		}
		next := first
		next.Version, next.State, next.Ended = 2, []byte("new"), true
		must(t, s.Update(ctx, next))
		for _, stale := range []mcp.TaskRecord{first, next} {
			if err := s.Update(ctx, stale); !errors.Is(err, mcp.ErrTaskChanged) {
				t.Errorf("Update to version %d: %v", stale.Version, err)
			}
		}
		if err := s.Update(ctx, record("d", "o", time.Hour)); !errors.Is(err, mcp.ErrNoTask) {
			t.Errorf("Update of none: %v", err)
		}
		if got, err := s.Get(ctx, first.ID); err != nil || cmp.Diff(next, got) != "" {
			t.Errorf("Get: %v (-want +got):\n%s", err, cmp.Diff(next, got))
		}
		if _, err := s.Get(ctx, "d"); !errors.Is(err, mcp.ErrNoTask) {
			t.Errorf("Get of none: %v", err)
		}
		lists := func() map[string]string {
			got := map[string]string{}
			for _, owner := range []string{"o", "p", "q", ""} {
				recs, err := s.List(ctx, owner)
				must(t, err)
				for _, rec := range recs {
					if rec.State != nil {
						t.Errorf("List has a state")
					}
					got[owner] += fmt.Sprint(rec.ID, rec.Ended, " ")
				}
			}
			return got
		}
		if diff := cmp.Diff(map[string]string{"o": "a/../..true bfalse ", "p": "cfalse ", "": "a/../..true bfalse cfalse "}, lists()); diff != "" {
			t.Errorf("List (-want +got):\n%s", diff)
		}
		time.Sleep(time.Minute)
		if _, err := s.Get(ctx, "b"); !errors.Is(err, mcp.ErrNoTask) {
			t.Errorf("Get of one whose time is over: %v", err)
		}
		second.Version = 2
		if err := s.Update(ctx, second); !errors.Is(err, mcp.ErrNoTask) {
			t.Errorf("Update of one whose time is over: %v", err)
		}
		if diff := cmp.Diff(map[string]string{"o": "a/../..true ", "": "a/../..true "}, lists()); diff != "" {
			t.Errorf("List (-want +got):\n%s", diff)
		}
	})
}

func TestTaskStoresAreBounded(t *testing.T) {
	overStores(t, &mcp.TaskLimits{MaxTasks: 2, MaxBytes: 100}, func(t *testing.T, s mcp.TaskStore) {
		ctx := t.Context()
		a, b := record("a", "o", time.Minute), record("b", "o", time.Hour)
		must(t, s.Create(ctx, a))
		must(t, s.Create(ctx, b))
		if err := s.Create(ctx, record("c", "o", time.Hour)); !errors.Is(err, mcp.ErrTasksFull) {
			t.Errorf("a third task: %v", err)
		}
		b.Version, b.State = 2, make([]byte, 90)
		must(t, s.Update(ctx, b))
		a.Version, a.State = 2, make([]byte, 11)
		if err := s.Update(ctx, a); !errors.Is(err, mcp.ErrTasksFull) {
			t.Errorf("more bytes: %v", err)
		}
		a.State = make([]byte, 10)
		must(t, s.Update(ctx, a))
		time.Sleep(time.Minute) // room again
		must(t, s.Create(ctx, record("c", "o", time.Hour)))
	})
}

func TestOpenDirTasks(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "tasks")
	d, err := mcp.OpenDirTasks(dir, nil)
	must(t, err)
	kept, over := record("kept", "o", time.Hour), record("over", "o", -time.Hour)
	must(t, d.Create(t.Context(), kept))
	must(t, d.Create(t.Context(), over))
	half := filepath.Join(dir, "x.task.new")
	must(t, os.WriteFile(half, []byte(`{"id"`), 0o600))

	d, err = mcp.OpenDirTasks(dir, nil)
	must(t, err)
	if got, err := d.Get(t.Context(), "kept"); err != nil || cmp.Diff(kept, got) != "" {
		t.Errorf("Get: %v (-want +got):\n%s", err, cmp.Diff(kept, got))
	}
	files, err := os.ReadDir(dir)
	must(t, err)
	if len(files) != 1 {
		t.Errorf("files left: %v", files)
	}
	info, err := os.Stat(filepath.Join(dir, files[0].Name()))
	must(t, err)
	if strings.Contains(files[0].Name(), "kept") || info.Mode().Perm() != 0o600 && runtime.GOOS != "windows" {
		t.Errorf("file %s has the mode %v", files[0].Name(), info.Mode())
	}
	for _, text := range []string{`{"id":"x"}`, `{`, ``} {
		bad := filepath.Join(dir, "bad.task")
		must(t, os.WriteFile(bad, []byte(text), 0o600))
		if _, err := mcp.OpenDirTasks(dir, nil); err == nil || !strings.Contains(err.Error(), bad) {
			t.Errorf("%q: got %v, want an error with the file's name", text, err)
		}
	}
	if _, err := mcp.OpenDirTasks(filepath.Join(dir, "bad.task"), nil); err == nil {
		t.Error("a file passes as a directory")
	}
}

// TestTasksAreSealed: a store learns nothing of what is in a task, and cannot change it.
func TestTasksAreSealed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := mcp.NewMemoryTasks(nil)
		s := mcp.NewServer("s", "1", &mcp.ServerOptions{Tasks: &mcp.TaskOptions{Store: store}})
		addJob(t, s, "t", optional, working)
		k := newTasker(t, s)
		k.principal.Subject = "alice"
		a, b := k.create("t", `{"kind":"secret"}`).ID, k.create("t", `{"kind":"other"}`).ID
		k.settled(a, mcp.TaskCompleted)
		k.settled(b, mcp.TaskCompleted)
		recA, err := store.Get(t.Context(), a)
		must(t, err)
		recB, err := store.Get(t.Context(), b)
		must(t, err)
		for _, text := range []string{"secret", "alice", "done"} {
			if strings.Contains(fmt.Sprintf("%s %s", recA.Owner, recA.State), text) {
				t.Errorf("the store sees %q", text)
			}
		}
		if !recA.Ended || recA.Owner != recB.Owner || recA.Owner == "" {
			t.Errorf("records %+v, %+v", recA, recB)
		}
		recA.State = recB.State // one task passed off as another
		recA.Version++
		must(t, store.Update(t.Context(), recA))
		k.refused(mcp.MethodGetTask, `{"taskId":"`+a+`"}`, jsonrpc.CodeInternalError, "open task")
	})
}

// childDir tells the test binary to be the process that TestTasksSurviveAKill kills.
const childDir = "MCP_TEST_TASKS_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		if err := taskChild(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

var alice = mcp.Principal{Issuer: "i", Subject: "alice"}

// durable is a server with its tasks in dir. runs takes a value when a handler has begun.
func durable(dir string, runs chan<- string) (*mcp.Server, error) {
	store, err := mcp.OpenDirTasks(dir, nil)
	if err != nil {
		return nil, err
	}
	s := mcp.NewServer("s", "1", &mcp.ServerOptions{
		Sealer: mcp.NewSealer(mcp.SealKey{ID: 1, Secret: [32]byte{7}}),
		Tasks:  &mcp.TaskOptions{Store: store},
	})
	job := func(name string, a *mcp.ToolAnnotations) error {
		return mcp.AddTool(s, mcp.Tool{Name: name, Execution: &required, Annotations: a}, func(ctx context.Context, call *mcp.Call, in input) (string, error) {
			n, err := mcp.Once(ctx, call, "pid", func(context.Context) (int, error) { return os.Getpid(), nil })
			if err != nil {
				return "", err
			}
			text := ""
			if in.Kind != "ends" {
				if text, err = confirmed(ctx, call); err != nil {
					return "", err
				}
			}
			if in.Kind == "runs" {
				runs <- name
				if os.Getenv(childDir) != "" {
					select {} // until the process is killed
				}
			}
			return fmt.Sprint(n, " ", text), nil
		})
	}
	return s, errors.Join(job("once", nil), job("often", &mcp.ToolAnnotations{IdempotentHint: true}))
}

// asAlice sends a request that must be answered.
func asAlice(s *mcp.Server, req *mcp.Request, sink mcp.Sink) mcp.Result {
	req.Principal, req.Meta = alice, mcp.Meta{Version: mcp.LatestVersion, Capabilities: []byte(taskCapabilities)}
	res, err := s.Handle(context.Background(), req, sink)
	if err != nil {
		panic(err)
	}
	return res
}

// awaitTask waits for a state of a task, and returns when it is that or final.
func awaitTask(s *mcp.Server, id string, want mcp.TaskStatus) (task mcp.Task) {
	changes := &recorder{got: make(chan struct{}, 64)}
	asAlice(s, &mcp.Request{Method: mcp.MethodListen, Params: []byte(`{"notifications":{"taskIds":["` + id + `"]}}`)}, changes)
	for {
		if err := json.Unmarshal(asAlice(s, &mcp.Request{Method: mcp.MethodGetTask, Name: id}, mcp.Discard).Body, &task); err != nil {
			panic(err)
		}
		if task.Status == want || task.Status.Ended() {
			return task
		}
		<-changes.got
	}
}

// taskChild makes tasks in each state, tells their ids, and waits for its end.
func taskChild(dir string) error {
	runs := make(chan string)
	s, err := durable(dir, runs)
	if err != nil {
		return err
	}
	create := func(tool, kind string) string {
		args := `{"kind":"` + kind + `"}`
		res := asAlice(s, &mcp.Request{Method: mcp.MethodCallTool, Name: tool, Params: []byte(`{"name":"` + tool + `","arguments":` + args + `}`), Arguments: []byte(args)}, mcp.Discard)
		id, _ := jsonrpc.Unquote(jsonrpc.Get(res.Body, "taskId"))
		return id
	}
	ids := map[string]string{"ended": create("once", "ends"), "asks": create("once", "asks"), "once": create("once", "runs"), "often": create("often", "runs")}
	awaitTask(s, ids["ended"], mcp.TaskCompleted)
	for _, name := range []string{"asks", "once", "often"} {
		awaitTask(s, ids[name], mcp.TaskInputRequired)
	}
	for _, name := range []string{"once", "often"} {
		asAlice(s, &mcp.Request{Method: mcp.MethodUpdateTask, Name: ids[name], Params: []byte(`{"inputResponses":` + accepted + `}`)}, mcp.Discard)
		<-runs
	}
	b, err := json.Marshal(ids)
	if err != nil {
		return err
	}
	fmt.Printf("%s\n", b)
	select {} // until the process is killed
}

// TestTasksSurviveAKill kills a process between handles and results, and goes on with its tasks.
func TestTasksSurviveAKill(t *testing.T) {
	dir := t.TempDir()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childDir+"="+dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	line, err := bufio.NewReader(out).ReadBytes('\n')
	_ = cmd.Process.Kill()
	_ = cmd.Wait() // killed is what it is to be
	must(t, err)
	var ids map[string]string
	must(t, json.Unmarshal(line, &ids))

	runs := make(chan string, 1)
	s, err := durable(dir, runs)
	must(t, err)
	must(t, s.ResumeTasks(t.Context()))
	k := newTasker(t, s)
	k.principal = alice
	theirs := fmt.Sprint(cmd.Process.Pid, " ")
	wait := func(name string, want mcp.TaskStatus) mcp.Task {
		t.Helper()
		task := awaitTask(s, ids[name], want)
		if task.Status != want {
			t.Fatalf("%s: %s %s%s, want %s", name, task.Status, task.Error, task.Result, want)
		}
		return task
	}
	if got := wait("ended", mcp.TaskCompleted); !strings.Contains(string(got.Result), theirs) {
		t.Errorf("the result of the other process: %s", got.Result)
	}
	if got := wait("once", mcp.TaskFailed); !strings.Contains(got.Err().Error(), "restarted while the task was running") {
		t.Errorf("a tool that may not run twice: %v", got.Err())
	}
	if got := wait("often", mcp.TaskCompleted); !strings.Contains(string(got.Result), theirs+"accept true") || <-runs != "often" {
		t.Errorf("a tool that may run twice: %s", got.Result)
	}
	wait("asks", mcp.TaskInputRequired)
	k.answer(ids["asks"], accepted)
	// The value of Once is that of the process that was killed.
	if got := wait("asks", mcp.TaskCompleted); !strings.Contains(string(got.Result), theirs+"accept true") {
		t.Errorf("a task that waited for input: %s", got.Result)
	}
	must(t, s.StopTasks(t.Context()))
}

func TestResumeTasks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := mcp.NewMemoryTasks(nil)
		opts := mcp.ServerOptions{Sealer: mcp.NewSealer(), Tasks: &mcp.TaskOptions{Store: store}}
		s := mcp.NewServer("s", "1", &opts)
		addJob(t, s, "gone", optional, working)
		k := newTasker(t, s)
		id := k.create("gone", `{"kind":"hangs"}`).ID
		must(t, s.StopTasks(t.Context()))

		lost := opts
		lost.Sealer = mcp.NewSealer()
		other := mcp.NewServer("s", "1", &lost)
		addJob(t, other, "x", optional, working)
		if err := other.ResumeTasks(t.Context()); err == nil {
			t.Error("tasks sealed with other keys were taken up")
		}
		again := mcp.NewServer("s", "1", &opts)
		addJob(t, again, "x", optional, working)
		must(t, again.ResumeTasks(t.Context()))
		k.s = again
		if got := k.settled(id, mcp.TaskFailed); !strings.Contains(got.StatusMessage, "no longer has the tool") {
			t.Errorf("got %+v", got)
		}
	})
}
