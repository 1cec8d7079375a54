package sandbox

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// process is what the kernel says of one.
type process struct {
	pid, parent, group int
	state              byte   // Z and X are dead
	start              uint64 // in ticks since boot; with pid it names a process for ever
	threads            int
	pages              int64 // resident
}

func (p *process) dead() bool { return p.state == 'Z' || p.state == 'X' }

// processes lists what runs. A process that ends meanwhile is left out.
func processes() ([]process, error) {
	dir, err := os.Open("/proc")
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return nil, err
	}
	list := make([]process, 0, len(names))
	for _, name := range names {
		if pid, err := strconv.Atoi(name); err == nil {
			if p, err := stat(pid); err == nil {
				list = append(list, p)
			}
		}
	}
	return list, nil
}

func stat(pid int) (process, error) {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return process{}, err
	}
	// The name before the last ) may be anything.
	f := strings.Fields(string(raw[bytes.LastIndexByte(raw, ')')+1:]))
	if len(f) < 22 {
		return process{}, errors.New("too short")
	}
	p := process{pid: pid, state: f[0][0]}
	var errs [6]error
	p.parent, errs[0] = strconv.Atoi(f[1])
	p.group, errs[1] = strconv.Atoi(f[2])
	p.threads, errs[2] = strconv.Atoi(f[17])
	p.start, errs[3] = strconv.ParseUint(f[19], 10, 64)
	p.pages, errs[4] = strconv.ParseInt(f[21], 10, 64)
	return p, errors.Join(errs[:]...)
}

// runs reports whether the process with this number and time of start is alive.
func runs(pid int, start uint64) bool {
	p, err := stat(pid)
	return err == nil && p.start == start && !p.dead()
}

// markOf reads the mark in a process's environment. That of a process of another
// user cannot be read, and a dead one has none.
func markOf(pid int) (mark, bool) {
	env, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
	if err != nil {
		return mark{}, false
	}
	for v := range bytes.SplitSeq(env, []byte{0}) {
		if value, ok := bytes.CutPrefix(v, []byte(markEnv+"=")); ok {
			return parseMark(string(value))
		}
	}
	return mark{}, false
}

// identity is what names this process among all of the machine's.
func identity() (namespace string, pid int, start uint64, err error) {
	namespace, err = os.Readlink("/proc/self/ns/pid")
	if err != nil {
		return "", 0, 0, err
	}
	p, err := stat(os.Getpid())
	return strings.Trim(strings.TrimPrefix(namespace, "pid:"), "[]"), p.pid, p.start, err
}
