package sandbox

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unsafe"
)

// adopt makes this process the parent of descendants whose own has ended.
func adopt() error {
	const subreaper = 36 // PR_SET_CHILD_SUBREAPER
	return prctl(subreaper, 1)
}

const (
	// reapDelay is the time that whoever waits for a child has to take its status
	// before it is looked at here.
	reapDelay = 50 * time.Millisecond
	// reapEvery is how often it is looked at without a signal.
	reapEvery = 5 * time.Second
)

// reap takes in the adopted that have ended, until ctx ends.
func reap(ctx context.Context) {
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGCHLD)
	defer signal.Stop(ended)
	tick := time.NewTicker(reapEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-ended:
			select {
			case <-ctx.Done():
				return
			case <-time.After(reapDelay):
			}
		}
		reapAdopted()
	}
}

// reapAdopted waits for the dead children that nobody else waits for. Package os
// holds a descriptor of each process that it has started until it has waited for
// it: those without one are not its children.
//
// The dead are listed before the descriptors. A child that is started and dies in
// between is then in neither list; the other way round it would look like nobody's.
func reapAdopted() (reaped int) {
	if !childHasEnded() {
		return 0
	}
	list, err := processes()
	if err != nil {
		return 0
	}
	self := os.Getpid()
	var dead []int
	for i := range list {
		if list[i].parent == self && list[i].state == 'Z' {
			dead = append(dead, list[i].pid)
		}
	}
	if len(dead) == 0 {
		return 0
	}
	owned, err := waitedFor()
	if err != nil {
		return 0
	}
	for _, pid := range dead {
		if owned[pid] {
			continue
		}
		if got, err := syscall.Wait4(pid, nil, syscall.WNOHANG, nil); err == nil && got == pid {
			reaped++
		}
	}
	return reaped
}

// childHasEnded reports whether there is any child to wait for, and takes none.
func childHasEnded() bool {
	const (
		all     = 0         // P_ALL
		flags   = 4         // WEXITED
		noReap  = 0x1000000 // WNOWAIT
		infoLen = 128       // sizeof(siginfo_t)
	)
	var info [infoLen / 8]uint64
	_, _, errno := syscall.Syscall6(syscall.SYS_WAITID, all, 0, uintptr(unsafe.Pointer(&info)), flags|noReap|syscall.WNOHANG, 0, 0)
	return errno == 0 && info != [infoLen / 8]uint64{}
}

// waitedFor returns the processes that this one holds a descriptor of.
func waitedFor() (map[int]bool, error) {
	dir, err := os.Open("/proc/self/fdinfo")
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return nil, err
	}
	owned := map[int]bool{}
	for _, name := range names {
		target, err := os.Readlink("/proc/self/fd/" + name)
		if err != nil || !strings.Contains(target, "pidfd") {
			continue
		}
		info, err := os.ReadFile("/proc/self/fdinfo/" + name)
		if err != nil {
			continue // closed meanwhile
		}
		for line := range bytes.Lines(info) {
			if value, ok := bytes.CutPrefix(line, []byte("Pid:")); ok {
				if pid, err := strconv.Atoi(string(bytes.TrimSpace(value))); err == nil {
					owned[pid] = true
				}
			}
		}
	}
	return owned, nil
}

// canReap reports whether children that others wait for can be told apart.
func canReap() error {
	self, err := os.FindProcess(os.Getpid())
	if err != nil {
		return err
	}
	defer self.Release()
	owned, err := waitedFor()
	if err != nil {
		return err
	}
	if !owned[os.Getpid()] {
		return fmt.Errorf("the kernel has no process descriptors (Linux 5.4 and newer has)")
	}
	return nil
}
