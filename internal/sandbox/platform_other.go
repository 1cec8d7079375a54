//go:build !linux

package sandbox

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"strconv"
	"syscall"
)

var errLinuxOnly = errors.New("only Linux can do that")

func self() (string, error)           { return os.Executable() }
func noNewPrivileges() error          { return nil } // said in Protections
func dieWithParent(*exec.Cmd)         {}
func adopt() error                    { return errLinuxOnly }
func canReap() error                  { return errLinuxOnly }
func reap(ctx context.Context)        { <-ctx.Done() }
func sweep(func(mark) bool) int       { return 0 }
func sweepGroups(func(mark) bool) int { return 0 }
func endGroup(string) int             { return 0 }
func (c *Child) lookAtGroups()        {}
func runs(int, uint64) bool           { return true }
func rlimitOf(v uint64) (r syscall.Rlimit) {
	r.Cur, r.Max = v, v
	return r
}

func identity() (namespace string, pid int, start uint64, err error) {
	return "0", os.Getpid(), 0, nil
}

func closeOnExec(first int) error {
	names, err := os.ReadDir("/dev/fd")
	if err != nil {
		return err
	}
	for _, n := range names {
		if fd, err := strconv.Atoi(n.Name()); err == nil && fd >= first {
			syscall.CloseOnExec(fd)
		}
	}
	return nil
}

// canWatch says that what children use can be seen.
const canWatch = false

type (
	tree  struct{}
	group struct{ dir string }
)

func openTrees(string) ([]tree, map[string]string) { return nil, nil }

func (s *Sandbox) enter(mark, string, *Limits) ([]group, map[string]string) {
	const reason = "nothing: only Linux can do that"
	return nil, map[string]string{LimitMemory: reason, LimitProcesses: reason, LimitCPU: reason}
}

func (s *Sandbox) watch(ctx context.Context) { <-ctx.Done() }
