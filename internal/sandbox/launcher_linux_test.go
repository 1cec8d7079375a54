package sandbox_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"github.com/fairlead-mcp/fairlead/internal/sandbox"
)

// view is what a program sees of itself.
type view struct {
	Env         []string
	Descriptors []string
	Dir         string
	Privileges  bool // may be gained
	DeathSignal int
	Core        uint64
	OpenFiles   uint64
	FileSize    uint64
	Args        []string
	Group, PID  int
}

func look() {
	v := view{Env: os.Environ(), Args: os.Args[1:], PID: os.Getpid(), Group: syscall.Getpgrp()}
	v.Dir, _ = os.Getwd()
	names, _ := os.ReadDir("/proc/self/fd")
	for _, n := range names {
		target, err := os.Readlink("/proc/self/fd/" + n.Name())
		if err != nil || strings.HasPrefix(target, "anon_inode:") || strings.HasPrefix(target, "/sys/fs/cgroup/") || strings.HasPrefix(target, "/proc/") || strings.HasSuffix(target, "/fd") {
			continue // the runtime's own, and the directory that is read
		}
		v.Descriptors = append(v.Descriptors, n.Name())
	}
	status, _ := os.ReadFile("/proc/self/status")
	v.Privileges = bytes.Contains(status, []byte("NoNewPrivs:\t0"))
	var signal int32
	syscall.RawSyscall(syscall.SYS_PRCTL, 2, uintptr(unsafe.Pointer(&signal)), 0) // PR_GET_PDEATHSIG
	v.DeathSignal = int(signal)
	// What the runtime raises for itself it gives back to those that it starts, so it is asked of the kernel.
	limits, _ := os.ReadFile("/proc/self/limits")
	for line := range strings.Lines(string(limits)) {
		for name, into := range map[string]*uint64{"Max core file size": &v.Core, "Max open files": &v.OpenFiles, "Max file size": &v.FileSize} {
			if rest, ok := strings.CutPrefix(line, name); ok {
				*into, _ = strconv.ParseUint(strings.Fields(rest)[1], 10, 64) // the hard limit; 0 for unlimited
			}
		}
	}
	_ = json.NewEncoder(os.Stdout).Encode(v)
}

func TestWhatAProgramGets(t *testing.T) {
	dir := t.TempDir()
	// A descriptor that an ill-behaved starter of the node has leaked to it.
	leak, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer leak.Close()
	leaked, err := syscall.Dup(int(leak.Fd())) // not close-on-exec
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(leaked)

	see := func(start func(*exec.Cmd) error) view {
		t.Helper()
		var out bytes.Buffer
		cmd := as("look", "an argument", "")
		cmd.Dir, cmd.Stdout = dir, &out
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		if err := start(cmd); err != nil {
			t.Fatal(err)
		}
		if err := cmd.Wait(); err != nil {
			t.Fatal(err)
		}
		var v view
		if err := json.Unmarshal(out.Bytes(), &v); err != nil {
			t.Fatal(err)
		}
		return v
	}
	s := open(t, dir)
	v := see(s.Child("look", sandbox.Limits{OpenFiles: 123, FileSize: 1 << 20}, nil).Start)
	env := as("look").Env
	i := slices.IndexFunc(v.Env, func(e string) bool { return strings.HasPrefix(e, "FAIRLEAD_CHILD=") })
	if i < 0 {
		t.Fatalf("no mark in %q", v.Env)
	}
	if got := slices.Delete(slices.Clone(v.Env), i, i+1); !slices.Equal(got, env) {
		t.Errorf("environment %q, want %q and the mark", got, env)
	}
	if !slices.Equal(v.Descriptors, []string{"0", "1", "2"}) {
		t.Errorf("descriptors %q", v.Descriptors)
	}
	if v.Dir != dir || v.Privileges || v.DeathSignal != int(syscall.SIGKILL) || v.Core != 0 || v.OpenFiles != 123 || v.FileSize != 1<<20 || v.Group != v.PID {
		t.Errorf("%+v", v)
	}
	if !slices.Equal(v.Args, []string{"an argument", ""}) {
		t.Errorf("arguments %q", v.Args)
	}
	// The broken twin: none of it is so without the launcher.
	plain := see((*exec.Cmd).Start)
	if slices.Equal(plain.Descriptors, v.Descriptors) || !plain.Privileges || plain.DeathSignal != 0 || len(plain.Env) == len(v.Env) {
		t.Errorf("without the launcher %+v", plain)
	}
}

// TestCannotBeStarted: the launcher says what package os/exec would have said.
func TestCannotBeStarted(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	script := write("script", "#!/no/such/interpreter\n", 0o700)
	s := open(t, dir)
	for name, make := range map[string]func() *exec.Cmd{
		"no such file":         func() *exec.Cmd { return exec.Command(filepath.Join(dir, "absent")) },
		"not executable":       func() *exec.Cmd { return exec.Command(write("text", "hello", 0o600)) },
		"not a program":        func() *exec.Cmd { return exec.Command(write("odd", "\x00\x01", 0o700)) },
		"a directory":          func() *exec.Cmd { return exec.Command(dir) },
		"not in PATH":          func() *exec.Cmd { return exec.Command("no-such-program-at-all") },
		"no interpreter":       func() *exec.Cmd { return exec.Command(script) },
		"no directory":         func() *exec.Cmd { c := exec.Command("/bin/true"); c.Dir = filepath.Join(dir, "gone"); return c },
		"relative to its own":  func() *exec.Cmd { c := exec.Command("./absent"); c.Dir = dir; return c },
		"a NUL in an argument": func() *exec.Cmd { return exec.Command("/bin/true", "a\x00b") },
	} {
		plain, launched := make(), make()
		plain.Env, launched.Env = []string{}, []string{}
		want, got := plain.Start(), s.Child(name, sandbox.Limits{}, nil).Start(launched)
		if want == nil || got == nil || want.Error() != got.Error() {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
	cmd := exec.Command("./ok")
	write("ok", "#!/bin/sh\nexit 7\n", 0o700)
	cmd.Dir, cmd.Env = dir, []string{}
	if err := s.Child("ok", sandbox.Limits{}, nil).Start(cmd); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); fmt.Sprint(err) != "exit status 7" {
		t.Errorf("a script at a relative path: %v", err)
	}
}

// TestTheParentIsNotAThread: the kernel tells a child of its parent's death when
// the thread that started it ends, and threads of a Go program do end.
func TestTheParentIsNotAThread(t *testing.T) {
	s := open(t, t.TempDir())
	w, r := output(t)
	begin := func(start func(*exec.Cmd) error) *exec.Cmd {
		cmd := as("sleeper")
		cmd.Stdout = w
		cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		errs := make(chan error)
		var run func()
		run = func() {
			runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
			if syscall.Gettid() == os.Getpid() {
				defer runtime.UnlockOSThread()
				other := make(chan struct{})
				go func() { defer close(other); run() }()
				<-other // the main thread never ends, so it is kept from being taken again
				return
			}
			errs <- start(cmd)
		}
		go run()
		if err := <-errs; err != nil {
			t.Fatal(err)
		}
		return cmd
	}
	ours := begin(s.Child("ours", sandbox.Limits{}, nil).Start)
	pid := pids(t, r, 1)[0]
	theirs := begin((*exec.Cmd).Start)
	if err := theirs.Wait(); fmt.Sprint(err) != "signal: killed" {
		t.Errorf("the broken twin has outlived its thread: %v", err)
	}
	if !live(pid) {
		t.Error("the child has ended with a thread of its parent")
	}
	_ = ours.Process.Kill()
	_ = ours.Wait() // killed
}
