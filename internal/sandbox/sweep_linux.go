package sandbox

import (
	"os"
	"time"
)

// killMarked kills all processes whose mark is wanted, and returns how many there were.
func killMarked(wanted func(mark) bool) (killed int) {
	list, err := processes()
	if err != nil {
		return 0
	}
	for i := range list {
		pid := list[i].pid
		if pid == os.Getpid() || list[i].dead() {
			continue
		}
		if m, ok := markOf(pid); !ok || !wanted(m) {
			continue
		}
		// The handle holds on to one process; only then is it looked at again, since
		// the number may have become another's.
		p, err := os.FindProcess(pid)
		if err != nil {
			continue
		}
		if m, ok := markOf(pid); ok && wanted(m) && p.Kill() == nil {
			killed++
		}
		_ = p.Release() // frees the handle; it cannot fail
	}
	return killed
}

// sweepPatience bounds how long the killed may take to go. SIGKILL cannot be
// refused, but a process in the middle of a disk operation dies after it.
const sweepPatience = 2 * time.Second

// sweep kills until nothing is left: what forks meanwhile is found the next time.
func sweep(wanted func(mark) bool) (killed int) {
	for deadline := time.Now().Add(sweepPatience); ; time.Sleep(5 * time.Millisecond) { // nothing tells that a stranger has died
		n := killMarked(wanted)
		killed += n
		if n == 0 || time.Now().After(deadline) {
			return killed
		}
	}
}
