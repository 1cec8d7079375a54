package sandbox_test

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/fairlead-mcp/fairlead/internal/sandbox"
)

// roleEnv makes the test binary something else: a child, a descendant, a node.
const roleEnv = "SANDBOX_TEST_ROLE"

func TestMain(m *testing.M) {
	if role := os.Getenv(roleEnv); role != "" {
		os.Exit(play(role))
	}
	goleak.VerifyTestMain(m)
}

// as is a command that plays a role.
func as(role string, args ...string) *exec.Cmd {
	self, err := os.Executable()
	if err != nil {
		panic(err)
	}
	cmd := exec.Command(self, args...)
	cmd.Env = []string{roleEnv + "=" + role, "GORACE=atexit_sleep_ms=0", "PATH=" + os.Getenv("PATH")}
	return cmd
}

func play(role string) int {
	switch role {
	case "sleeper": // prints its number, and nothing ends it but SIGKILL
		signal.Ignore(syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
		fmt.Println(os.Getpid())
		time.Sleep(time.Hour)
	case "chain": // a launcher of a launcher, as npx is, over a descendant that has left its session
		inner := as("sleeper")
		inner.Env = os.Environ()
		inner.Env = append(inner.Env, roleEnv+"=sleeper")
		inner.Stdout = os.Stdout
		inner.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		if err := inner.Start(); err != nil {
			return 1
		}
		fmt.Println(os.Getpid())
		if len(os.Args) > 1 && os.Args[1] == "leave" {
			return 0
		}
		time.Sleep(time.Hour)
	case "node": // holds a sandbox with a shell over a chain, until it is killed
		s := sandbox.New(os.Args[1], &sandbox.Options{NoGroups: os.Args[2] == "alone"})
		if err := s.Open(); err != nil {
			fmt.Println(err)
			return 1
		}
		chain := as("chain")
		shell := exec.Command("/bin/sh", "-c", `echo $$; "`+chain.Path+`"; :`)
		shell.Env, shell.Stdout = chain.Env, os.Stdout
		shell.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		if err := s.Child("chain", sandbox.Limits{}, nil).Start(shell); err != nil {
			fmt.Println(err)
			return 1
		}
		_ = shell.Wait()
	case "eater": // uses memory without end
		var eaten [][]byte
		for {
			chunk := make([]byte, 4<<20)
			for i := range chunk {
				chunk[i] = byte(i)
			}
			eaten = append(eaten, chunk)
			if len(eaten) > 500 { // nobody stops it
				return 0
			}
			time.Sleep(5 * time.Millisecond)
		}
	case "look": // says what it has got
		look()
	}
	return 0
}

// pids reads n process ids, one a line.
func pids(t *testing.T, r *bufio.Reader, n int) []int {
	t.Helper()
	var list []int
	for range n {
		line, err := r.ReadString('\n')
		if err != nil {
			t.Fatalf("read a process id: %v", err)
		}
		pid, err := strconv.Atoi(strings.TrimSpace(line))
		if err != nil {
			t.Fatalf("instead of a process id: %q", line)
		}
		list = append(list, pid)
	}
	t.Cleanup(func() {
		for _, pid := range list { // of tests that fail
			if live(pid) {
				_ = syscall.Kill(pid, syscall.SIGKILL)
			}
		}
	})
	return list
}

// live reports whether a process runs and is not only waiting to be waited for.
func live(pid int) bool {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
		return false
	}
	rest := string(raw[strings.LastIndexByte(string(raw), ')')+2:])
	return rest[0] != 'Z' && rest[0] != 'X'
}

func living(list []int) (left []int) {
	for _, pid := range list {
		if live(pid) {
			left = append(left, pid)
		}
	}
	return left
}

// eventually polls what has no event to wait for: processes that are not ours.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for range 6000 {
		if ok() {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Fatalf("waited in vain: %s", what)
}

// bothWays runs a test with control groups, where there are any, and without: then
// marks alone tell whose a process is.
func bothWays(t *testing.T, test func(t *testing.T, alone bool)) {
	t.Run("groups", func(t *testing.T) { test(t, false) })
	t.Run("marks", func(t *testing.T) { test(t, true) })
}

// output is a pipe from commands to the test.
func output(t *testing.T) (w *os.File, r *bufio.Reader) {
	t.Helper()
	from, to, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { from.Close(); to.Close() })
	return to, bufio.NewReader(from)
}

func open(t *testing.T, data string) *sandbox.Sandbox { return openWith(t, data, nil) }

func openWith(t *testing.T, data string, opts *sandbox.Options) *sandbox.Sandbox {
	t.Helper()
	s := sandbox.New(data, opts)
	if err := s.Open(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}
