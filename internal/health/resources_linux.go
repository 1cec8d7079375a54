package health

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path"
	"strconv"
	"strings"
	"syscall"
)

// Resources are the components of the machine that a node with a data directory
// needs: memory, descriptors and disk.
func Resources(dir string) []Component {
	return []Component{
		{Name: "memory", Check: Resource("memory", MemoryWarn, MemoryFull, Memory)},
		{Name: "descriptors", Check: Resource("descriptors", DescriptorsWarn, DescriptorsFull, Descriptors)},
		{Name: "disk", Check: Resource("disk", DiskWarn, DiskFull, Disk(dir))},
	}
}

// Memory reads the memory of the cgroup less its inactive file pages, children
// included; without a limited cgroup that of the host.
func Memory() (Usage, error) {
	if dir, err := cgroup(); err == nil {
		limit, lerr := number(path.Join(dir, "memory.max"))
		used, uerr := number(path.Join(dir, "memory.current"))
		if lerr == nil && uerr == nil {
			inactive, _ := field(path.Join(dir, "memory.stat"), "inactive_file")
			return Usage{Used: used - min(used, inactive), Limit: limit, Of: "the cgroup"}, nil
		}
	}
	total, err := field("/proc/meminfo", "MemTotal:")
	if err != nil {
		return Usage{}, err
	}
	available, err := field("/proc/meminfo", "MemAvailable:")
	if err != nil {
		return Usage{}, err
	}
	return Usage{Used: (total - min(total, available)) << 10, Limit: total << 10, Of: "the host"}, nil
}

// cgroup is the directory of this process's cgroup v2.
func cgroup() (string, error) {
	raw, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(raw)) {
		if own, ok := strings.CutPrefix(strings.TrimSpace(line), "0::"); ok {
			return path.Join("/sys/fs/cgroup", own), nil
		}
	}
	return "", errors.New("no cgroup v2")
}

func number(file string) (uint64, error) {
	raw, err := os.ReadFile(file)
	if err != nil {
		return 0, err
	}
	return strconv.ParseUint(string(bytes.TrimSpace(raw)), 10, 64)
}

// field reads the number after a word at the start of a line.
func field(file, word string) (uint64, error) {
	raw, err := os.ReadFile(file)
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(raw)) {
		if parts := strings.Fields(line); len(parts) >= 2 && parts[0] == word {
			return strconv.ParseUint(parts[1], 10, 64)
		}
	}
	return 0, fmt.Errorf("%s has no %s", file, word)
}

// Descriptors reads the open files of this process.
func Descriptors() (Usage, error) {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return Usage{}, err
	}
	dir, err := os.Open("/proc/self/fd")
	if err != nil {
		return Usage{}, err
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return Usage{}, err
	}
	return Usage{Used: uint64(len(names) - 1), Limit: limit.Cur, Of: "the descriptors"}, nil
}

// Disk returns a reader of the file system that holds dir.
func Disk(dir string) func() (Usage, error) {
	return func() (Usage, error) {
		var st syscall.Statfs_t
		if err := syscall.Statfs(dir, &st); err != nil {
			return Usage{}, err
		}
		size := uint64(st.Bsize)
		return Usage{Used: (st.Blocks - st.Bavail) * size, Limit: st.Blocks * size, Of: "the disk of " + dir}, nil
	}
}
