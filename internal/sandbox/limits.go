package sandbox

import (
	"fmt"
	"strconv"
	"syscall"
)

// Limits bound a child with everything that descends from it. A zero field is no
// limit, but for Core.
type Limits struct {
	Memory    uint64  // bytes
	Processes int     // processes and their threads
	CPU       float64 // of processors: 1.5 is one and a half
	OpenFiles uint64  // of each process
	FileSize  uint64  // of each file that is written
	Core      uint64  // bytes of a core dump; zero writes none
	// Setuid lets programs gain privileges, as sudo does.
	Setuid bool
}

// The names of limits, as the config has them.
const (
	LimitMemory    = "memory"
	LimitProcesses = "processes"
	LimitCPU       = "cpu"
	LimitOpenFiles = "open_files"
	LimitFileSize  = "file_size"
	LimitCore      = "core"
)

// Bound is a limit, and who sees to it.
type Bound struct {
	Limit string
	Value string
	// By is "cgroup v2", "cgroup v1", "rlimit", "watched" (looked at every few
	// seconds), or "nothing: " and why.
	By string
}

// Hit is a limit that a child has reached.
type Hit struct {
	Limit  string
	Value  string
	Detail string
	Ended  bool // the child was ended for it
}

func (h *Hit) Error() string {
	return fmt.Sprintf("it reached limits.%s, %s: %s", h.Limit, h.Value, h.Detail)
}

// rlimits are those that the launcher sets.
func (l *Limits) rlimits() []rlimit {
	list := []rlimit{{syscall.RLIMIT_CORE, l.Core}}
	if l.OpenFiles > 0 {
		list = append(list, rlimit{syscall.RLIMIT_NOFILE, l.OpenFiles})
	}
	if l.FileSize > 0 {
		list = append(list, rlimit{syscall.RLIMIT_FSIZE, l.FileSize})
	}
	return list
}

// bounds says who sees to each limit; by tells it for memory, processes and CPU.
func (l *Limits) bounds(by map[string]string) (list []Bound) {
	add := func(is bool, limit, value, by string) {
		if is {
			list = append(list, Bound{limit, value, by})
		}
	}
	add(l.Memory > 0, LimitMemory, size(l.Memory), by[LimitMemory])
	add(l.Processes > 0, LimitProcesses, strconv.Itoa(l.Processes), by[LimitProcesses])
	add(l.CPU > 0, LimitCPU, strconv.FormatFloat(l.CPU, 'g', -1, 64), by[LimitCPU])
	add(l.OpenFiles > 0, LimitOpenFiles, strconv.FormatUint(l.OpenFiles, 10), "rlimit")
	add(l.FileSize > 0, LimitFileSize, size(l.FileSize), "rlimit")
	add(true, LimitCore, size(l.Core), "rlimit")
	return list
}

// size writes a number of bytes with the largest unit that keeps three digits.
func size(n uint64) string {
	for _, u := range []struct {
		name string
		size uint64
	}{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}} {
		if n >= u.size {
			return strconv.FormatFloat(float64(n)/float64(u.size), 'g', 3, 64) + u.name
		}
	}
	return strconv.FormatUint(n, 10)
}
