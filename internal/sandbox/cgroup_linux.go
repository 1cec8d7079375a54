package sandbox

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// tree is a hierarchy of control groups in which children get groups.
type tree struct {
	dir         string   // the node's, below the group that the node itself is in
	unified     bool     // version 2
	controllers []string // that groups below dir have
}

func (t *tree) version() string {
	if t.unified {
		return "cgroup v2"
	}
	return "cgroup v1"
}

// controllerOf names what sees to a limit.
var controllerOf = map[string]string{LimitMemory: "memory", LimitProcesses: "pids", LimitCPU: "cpu"}

// groupPrefix begins the names of nodes' groups; the node's mark follows.
const groupPrefix = "fairlead-"

// place is where this process stands in a hierarchy.
type place struct {
	dir         string
	unified     bool
	controllers []string // version 1: those of the hierarchy
}

// places finds out where this process stands. What the outside has limited stays
// limited: nothing is made but below these places.
func places() ([]place, error) {
	own, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return nil, err
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	return findPlaces(string(own), string(mounts)), nil
}

func findPlaces(own, mounts string) (list []place) {
	for line := range strings.Lines(own) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3) // number, controllers, path
		if len(parts) != 3 {
			continue
		}
		p := place{unified: parts[1] == "", controllers: strings.Split(parts[1], ",")}
		for mount := range strings.Lines(mounts) {
			left, right, ok := strings.Cut(strings.TrimSpace(mount), " - ")
			l, r := strings.Fields(left), strings.Fields(right)
			if !ok || len(l) < 5 || len(r) < 3 {
				continue
			}
			fits := p.unified && r[0] == "cgroup2"
			if !p.unified && r[0] == "cgroup" {
				options := strings.Split(r[2], ",")
				fits = slices.Contains(options, p.controllers[0])
			}
			root, point := l[3], l[4]
			below, inside := strings.CutPrefix(parts[2], strings.TrimSuffix(root, "/"))
			if fits && inside {
				p.dir = filepath.Join(point, below)
				list = append(list, p)
				break
			}
		}
	}
	return list
}

// openTrees makes the node's group in every hierarchy that is of use and can be
// written. why tells for each limit without one what is missing.
func openTrees(node string) (trees []tree, why map[string]string) {
	why = map[string]string{}
	for limit := range controllerOf {
		why[limit] = "no control groups"
	}
	list, err := places()
	if err != nil {
		return nil, why
	}
	slices.SortFunc(list, func(a, b place) int { // version 2 first: it wins
		return strings.Compare(strconv.FormatBool(b.unified), strconv.FormatBool(a.unified))
	})
	for _, p := range list {
		var wanted []string
		for limit, c := range controllerOf {
			if _, open := why[limit]; open && (p.unified || slices.Contains(p.controllers, c)) {
				wanted = append(wanted, limit)
			}
		}
		if len(wanted) == 0 && !p.unified {
			continue
		}
		t, err := openTree(p, node)
		if err != nil {
			for _, limit := range wanted {
				why[limit] = err.Error()
			}
			continue
		}
		trees = append(trees, t)
		for _, limit := range wanted {
			if slices.Contains(t.controllers, controllerOf[limit]) {
				delete(why, limit)
			}
		}
	}
	return trees, why
}

func openTree(p place, node string) (tree, error) {
	base := p.dir
	t := tree{unified: p.unified, controllers: p.controllers}
	if p.unified {
		// Groups with processes in them, such as the node's own, cannot pass controllers
		// on, but for the root. The one above can, and is ours if systemd says so.
		if err := passOn(base); err != nil && delegated(filepath.Dir(base)) && passOn(filepath.Dir(base)) == nil {
			base = filepath.Dir(base)
		}
	}
	t.dir = filepath.Join(base, groupPrefix+node)
	if err := os.Mkdir(t.dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return t, fmt.Errorf("no control group can be made: %w", err)
	}
	if p.unified {
		_ = passOn(t.dir) // what could not be passed on is seen next
		passed, err := os.ReadFile(filepath.Join(t.dir, "cgroup.subtree_control"))
		if err != nil {
			return t, err
		}
		t.controllers = strings.Fields(string(passed))
	}
	return t, nil
}

// passOn lets groups below dir have the controllers that dir has and we use.
func passOn(dir string) error {
	has, err := os.ReadFile(filepath.Join(dir, "cgroup.controllers"))
	if err != nil {
		return err
	}
	var errs []error
	for c := range strings.FieldsSeq(string(has)) {
		for _, ours := range controllerOf {
			if c == ours {
				errs = append(errs, os.WriteFile(filepath.Join(dir, "cgroup.subtree_control"), []byte("+"+c), 0))
			}
		}
	}
	return errors.Join(errs...)
}

// delegated reports whether systemd has given a group away (Delegate=yes).
func delegated(dir string) bool {
	var value [8]byte
	for _, name := range []string{"user.delegate", "trusted.delegate"} {
		if n, err := syscall.Getxattr(dir, name, value[:]); err == nil && string(value[:n]) == "1" {
			return true
		}
	}
	return false
}

// group is the control group of one start of a child, in one hierarchy.
type group struct {
	dir     string
	unified bool
	ooms    int // seen
	refused int // forks, seen
}

// enter makes the groups of a start. by says which limits they hold.
func (s *Sandbox) enter(m mark, name string, l *Limits) (groups []group, by map[string]string) {
	by = map[string]string{}
	for limit := range controllerOf {
		if reason, ok := s.without[limit]; ok {
			by[limit] = "nothing: " + reason
		}
	}
	for i := range s.trees {
		t := &s.trees[i]
		values := t.values(l)
		if len(values) == 0 && !t.unified { // one of version 2 is of use without limits: it can be killed as a whole
			continue
		}
		g := group{dir: filepath.Join(t.dir, strconv.FormatUint(m.child, 10)+"-"+name), unified: t.unified}
		err := os.Mkdir(g.dir, 0o755)
		for _, v := range values {
			if err == nil {
				err = os.WriteFile(filepath.Join(g.dir, v.file), []byte(v.value), 0)
			}
			if errors.Is(err, fs.ErrNotExist) && v.optional {
				err = nil
			}
		}
		for limit, c := range controllerOf {
			switch {
			case !slices.Contains(t.controllers, c):
			case err != nil:
				by[limit] = "nothing: " + err.Error()
			case by[limit] == "":
				by[limit] = t.version()
			}
		}
		if err != nil {
			_ = os.Remove(g.dir) // empty, if it is there
			continue
		}
		groups = append(groups, g)
	}
	return groups, by
}

// setting is a file of a group and what is written to it.
type setting struct {
	file, value string
	optional    bool // not every kernel has the file
}

const period = 100_000 // microseconds, for the share of CPU

func (t *tree) values(l *Limits) (list []setting) {
	if l.Memory > 0 && slices.Contains(t.controllers, "memory") {
		v := strconv.FormatUint(l.Memory, 10)
		if t.unified {
			list = append(list, setting{"memory.max", v, false}, setting{"memory.swap.max", "0", true}, setting{"memory.oom.group", "1", true})
		} else {
			list = append(list, setting{"memory.limit_in_bytes", v, false}, setting{"memory.memsw.limit_in_bytes", v, true})
		}
	}
	if l.Processes > 0 && slices.Contains(t.controllers, "pids") {
		list = append(list, setting{"pids.max", strconv.Itoa(l.Processes), false})
	}
	if l.CPU > 0 && slices.Contains(t.controllers, "cpu") {
		quota := strconv.Itoa(max(1000, int(l.CPU*period)))
		if t.unified {
			list = append(list, setting{"cpu.max", quota + " " + strconv.Itoa(period), false})
		} else {
			list = append(list, setting{"cpu.cfs_period_us", strconv.Itoa(period), false}, setting{"cpu.cfs_quota_us", quota, false})
		}
	}
	return list
}

// news returns how often memory ran out and forks were refused since the last time.
func (g *group) news() (ooms, refused int) {
	oomFile := "memory.oom_control"
	if g.unified {
		oomFile = "memory.events"
	}
	if n := counter(filepath.Join(g.dir, oomFile), "oom_kill"); n > g.ooms {
		ooms, g.ooms = n-g.ooms, n
	}
	if n := counter(filepath.Join(g.dir, "pids.events"), "max"); n > g.refused {
		refused, g.refused = n-g.refused, n
	}
	return ooms, refused
}

func counter(file, name string) int {
	raw, err := os.ReadFile(file)
	if err != nil {
		return 0 // a hierarchy without that controller
	}
	for line := range bytes.Lines(raw) {
		if f := bytes.Fields(line); len(f) == 2 && string(f[0]) == name {
			n, _ := strconv.Atoi(string(f[1])) // the kernel writes numbers
			return n
		}
	}
	return 0
}

// endGroup kills what is in a group and removes it.
func endGroup(dir string) (killed int) {
	for deadline := time.Now().Add(sweepPatience); ; time.Sleep(5 * time.Millisecond) { // nothing tells that a stranger has died
		members := membersOf(dir)
		if len(members) > 0 && os.WriteFile(filepath.Join(dir, "cgroup.kill"), []byte("1"), 0) == nil {
			killed += len(members)
		} else {
			for _, pid := range members {
				p, err := os.FindProcess(pid)
				if err != nil {
					continue
				}
				if slices.Contains(membersOf(dir), pid) && p.Kill() == nil {
					killed++
				}
				_ = p.Release() // frees the handle; it cannot fail
			}
		}
		if err := os.Remove(dir); err == nil || errors.Is(err, fs.ErrNotExist) || time.Now().After(deadline) {
			return killed
		}
	}
}

func membersOf(dir string) (list []int) {
	raw, err := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
	if err != nil {
		return nil
	}
	for f := range strings.FieldsSeq(string(raw)) {
		if pid, err := strconv.Atoi(f); err == nil && pid > 0 {
			list = append(list, pid)
		}
	}
	return list
}

// sweepGroups ends the groups of nodes that are wanted, here and above.
func sweepGroups(wanted func(mark) bool) (killed int) {
	list, err := places()
	if err != nil {
		return 0
	}
	for _, p := range list {
		for _, base := range []string{p.dir, filepath.Dir(p.dir)} {
			nodes, _ := filepath.Glob(filepath.Join(base, groupPrefix+"*"))
			for _, dir := range nodes {
				if wanted(mark{node: strings.TrimPrefix(filepath.Base(dir), groupPrefix)}) {
					killed += endNodeGroup(dir)
				}
			}
		}
	}
	return killed
}

func endNodeGroup(dir string) (killed int) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return 0
	}
	for _, e := range entries {
		if e.IsDir() {
			killed += endGroup(filepath.Join(dir, e.Name()))
		}
	}
	_ = os.Remove(dir) // another may be removing it
	return killed
}
