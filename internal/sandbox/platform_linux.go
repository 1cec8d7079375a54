package sandbox

import (
	"errors"
	"io/fs"
	"math"
	"os"
	"os/exec"
	"strconv"
	"syscall"
)

// self is this binary, even after its file was replaced.
func self() (string, error) { return "/proc/self/exe", nil }

func prctl(option, value uintptr) error {
	_, _, errno := syscall.RawSyscall6(syscall.SYS_PRCTL, option, value, 0, 0, 0, 0)
	if errno != 0 {
		return os.NewSyscallError("prctl", errno)
	}
	return nil
}

// noNewPrivileges makes set-user-ID programs ordinary ones, for this thread and what it becomes.
func noNewPrivileges() error {
	const noNewPrivs = 38 // PR_SET_NO_NEW_PRIVS
	return prctl(noNewPrivs, 1)
}

// dieWithParent has the kernel kill the process when the thread that started it ends.
func dieWithParent(cmd *exec.Cmd) { cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL }

// closeOnExec marks all descriptors from first on: they close when the program begins.
func closeOnExec(first int) error {
	const (
		closeRange = 436 // SYS_CLOSE_RANGE, on every architecture
		onExec     = 4   // CLOSE_RANGE_CLOEXEC
	)
	if _, _, errno := syscall.Syscall(closeRange, uintptr(first), math.MaxUint32, onExec); errno == 0 {
		return nil
	}
	return closeListed("/proc/self/fd", first) // before Linux 5.11
}

func closeListed(dir string, first int) error {
	names, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, n := range names {
		if fd, err := strconv.Atoi(n.Name()); err == nil && fd >= first {
			syscall.CloseOnExec(fd)
		}
	}
	return nil
}

func rlimitOf(v uint64) syscall.Rlimit { return syscall.Rlimit{Cur: v, Max: v} }

// canWatch says that what children use can be seen.
const canWatch = true
