package stdio

import (
	"syscall"
	"unsafe"
)

// reap takes the exit status. The rest of the group is killed first, while the
// group's number is certainly still its own.
func (c *child) reap() {
	awaitExit(c.cmd.Process.Pid)
	killGroup(c.cmd.Process)
	c.mu.Lock()
	defer c.mu.Unlock()
	_ = c.cmd.Wait() // the status is in ProcessState
	c.reaped = true
}

// awaitExit returns when the process has exited, and leaves it to be reaped.
func awaitExit(pid int) {
	const (
		byPID   = 1         // P_PID
		exited  = 4         // WEXITED
		noReap  = 0x1000000 // WNOWAIT
		infoLen = 128       // sizeof(siginfo_t)
	)
	var info [infoLen / 8]uint64
	for {
		_, _, errno := syscall.Syscall6(syscall.SYS_WAITID, byPID, uintptr(pid),
			uintptr(unsafe.Pointer(&info)), exited|noReap, 0, 0)
		if errno != syscall.EINTR {
			return
		}
	}
}
