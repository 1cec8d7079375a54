package sandbox_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/fairlead-mcp/fairlead/internal/sandbox"
)

// TestNothingIsLeftBehind: a child ends while a descendant in a session of its own
// runs on.
func TestNothingIsLeftBehind(t *testing.T) { bothWays(t, nothingIsLeftBehind) }

func nothingIsLeftBehind(t *testing.T, alone bool) {
	s := openWith(t, t.TempDir(), &sandbox.Options{NoGroups: alone})
	w, r := output(t)
	cmd := as("chain", "leave")
	cmd.Stdout = w
	child, other := s.Child("chain", sandbox.Limits{}, nil), s.Child("other", sandbox.Limits{}, nil)
	if err := child.Start(cmd); err != nil {
		t.Fatal(err)
	}
	list := pids(t, r, 2)
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	bystander := as("sleeper")
	bystander.Stdout = w
	if err := other.Start(bystander); err != nil {
		t.Fatal(err)
	}
	pids(t, r, 1)
	if len(living(list)) != 1 { // what the test is about, and its broken twin: nobody has released it
		t.Fatalf("living %v of %v", living(list), list)
	}
	child.Release()
	if left := living(list); left != nil {
		t.Errorf("left behind: %v", left)
	}
	if !live(bystander.Process.Pid) {
		t.Error("another child was ended too")
	}
	_ = bystander.Process.Kill()
	_ = bystander.Wait() // killed
}

// startNode runs a node with children in a process of its own. The last of the
// processes is the descendant that only the sandbox can find.
func startNode(t *testing.T, data string, alone bool) (node *exec.Cmd, children []int) {
	t.Helper()
	w, r := output(t)
	how := "groups"
	if alone {
		how = "alone"
	}
	node = as("node", data, how)
	node.Stdout = w
	if err := node.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = node.Process.Kill()
		_ = node.Wait() // killed
	})
	return node, pids(t, r, 3)
}

// guards are the processes that look after a node.
func guards(t *testing.T, node int) (list []int) {
	t.Helper()
	dirs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range dirs {
		args, _ := os.ReadFile(dir + "/cmdline")
		if strings.HasPrefix(string(args), "fairlead-guard\x00") && strings.Contains(string(args), fmt.Sprintf(".%d.", node)) {
			pid, _ := strconv.Atoi(filepath.Base(dir))
			list = append(list, pid)
		}
	}
	return list
}

// TestKilledNode: nothing of its children survives a node that is killed, though
// nobody starts it again.
func TestKilledNode(t *testing.T) { bothWays(t, killedNode) }

func killedNode(t *testing.T, alone bool) {
	node, children := startNode(t, t.TempDir(), alone)
	eventually(t, "a guard", func() bool { return len(guards(t, node.Process.Pid)) == 1 })
	if left := living(children); len(left) != 3 {
		t.Fatalf("living %v of %v", left, children)
	}
	if err := node.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = node.Wait() // killed
	eventually(t, "all to have ended", func() bool { return living(children) == nil })
	eventually(t, "the guard to have ended", func() bool { return guards(t, node.Process.Pid) == nil })
}

// TestKilledWithItsGuard is the broken twin of TestKilledNode, and what mends it:
// without a guard descendants survive, and the next node ends them; one of another data
// directory does not, and nobody does while the node lives.
func TestKilledWithItsGuard(t *testing.T) { bothWays(t, killedWithItsGuard) }

func killedWithItsGuard(t *testing.T, alone bool) {
	data := t.TempDir()
	node, children := startNode(t, data, alone)
	open(t, data).Close() // such as the new binary in an upgrade
	if left := living(children); len(left) != 3 {
		t.Fatalf("a second node has ended children of the first: living %v of %v", left, children)
	}
	eventually(t, "the guard to be killed", func() bool {
		list := guards(t, node.Process.Pid)
		for _, pid := range list {
			_ = syscall.Kill(pid, syscall.SIGSTOP) // not SIGKILL: another one would come
		}
		return len(list) == 1
	})
	stopped := guards(t, node.Process.Pid)
	if err := node.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = node.Wait() // killed
	eventually(t, "the child to have ended with its parent", func() bool { return !live(children[0]) })
	open(t, t.TempDir()).Close()
	if left := living(children); len(left) != 2 {
		t.Errorf("without a guard, living %v of %v", left, children)
	}
	open(t, data).Close()
	if left := living(children); left != nil {
		t.Errorf("after the next start: %v", left)
	}
	for _, pid := range stopped {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
}

// TestAnotherGuard: a guard that ends is followed by another.
func TestAnotherGuard(t *testing.T) {
	node, _ := startNode(t, t.TempDir(), false)
	var first []int
	eventually(t, "a guard", func() bool { first = guards(t, node.Process.Pid); return len(first) == 1 })
	if err := syscall.Kill(first[0], syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, "another guard", func() bool {
		now := guards(t, node.Process.Pid)
		return len(now) == 1 && !slices.Equal(now, first)
	})
}

// TestAdopted: those whose parents have ended are waited for here, and nobody else's
// children are.
func TestAdopted(t *testing.T) {
	s := open(t, t.TempDir())
	w, r := output(t)
	mine := exec.Command("/bin/sh", "-c", "echo $$; exit 7")
	mine.Stdout = w
	if err := mine.Start(); err != nil {
		t.Fatal(err)
	}
	pids(t, r, 1)
	cmd := as("chain", "leave")
	cmd.Stdout = w
	child := s.Child("chain", sandbox.Limits{}, nil)
	if err := child.Start(cmd); err != nil {
		t.Fatal(err)
	}
	list := pids(t, r, 2)
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	orphan := list[slices.IndexFunc(list, func(pid int) bool { return pid != cmd.Process.Pid })]
	if parent := parentOf(t, orphan); parent != os.Getpid() {
		t.Fatalf("the orphan's parent is %d, not us", parent)
	}
	child.Release()
	eventually(t, "the orphan to be taken in", func() bool {
		_, err := os.Stat(fmt.Sprintf("/proc/%d", orphan))
		return err != nil
	})
	if err := mine.Wait(); fmt.Sprint(err) != "exit status 7" {
		t.Errorf("a child of ours, waited for late: %v", err)
	}
}

func parentOf(t *testing.T, pid int) int {
	t.Helper()
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	parent, err := strconv.Atoi(strings.Fields(string(raw[strings.LastIndexByte(string(raw), ')')+1:]))[1])
	if err != nil {
		t.Fatal(err)
	}
	return parent
}
