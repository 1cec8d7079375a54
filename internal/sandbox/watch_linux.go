package sandbox

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strconv"
	"time"
)

// watchEvery is how often the children are looked at.
const watchEvery = 2 * time.Second

// watch looks at what the children use until ctx ends.
func (s *Sandbox) watch(ctx context.Context) {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			s.lookAtAll()
		}
	}
}

func (s *Sandbox) lookAtAll() {
	var procs []process // read once, if anybody needs it
	for _, c := range s.children() {
		if c.watched() && procs == nil {
			var err error
			if procs, err = processes(); err != nil {
				s.log.Warn("children cannot be watched", "err", err)
				return
			}
		}
		c.look(procs)
	}
}

// usage is what a child and its descendants use.
type usage struct {
	pids    []int
	threads int
	bytes   uint64
}

// used adds up what descends from a process, and what carries its mark elsewhere.
func used(procs []process, leader int, m mark) (u usage) {
	children := map[int][]*process{}
	for i := range procs {
		children[procs[i].parent] = append(children[procs[i].parent], &procs[i])
	}
	seen := map[int]bool{}
	var add func(p *process)
	add = func(p *process) {
		if seen[p.pid] || p.dead() {
			return
		}
		seen[p.pid] = true
		u.pids = append(u.pids, p.pid)
		u.threads += p.threads
		u.bytes += uint64(max(p.pages, 0)) * uint64(os.Getpagesize())
		for _, c := range children[p.pid] {
			add(c)
		}
	}
	for i := range procs {
		p := &procs[i]
		// Those whose parent has ended are the node's children.
		if p.pid == leader {
			add(p)
		} else if p.parent == os.Getpid() {
			if own, ok := markOf(p.pid); ok && own == m {
				add(p)
			}
		}
	}
	return u
}

// shared replaces the resident bytes, which count what processes share for each of
// them, by their fair shares. It costs more, so it is asked only in doubt.
func (u *usage) shared() uint64 {
	var total uint64
	for _, pid := range u.pids {
		raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
		if err != nil {
			return u.bytes
		}
		for line := range bytes.Lines(raw) {
			if f := bytes.Fields(line); len(f) >= 2 && string(f[0]) == "Pss:" {
				kib, _ := strconv.ParseUint(string(f[1]), 10, 64) // the kernel writes numbers
				total += kib << 10
			}
		}
	}
	return total
}

// look says what of the child's limits is reached, and ends it where nothing else does.
func (c *Child) look(procs []process) {
	c.lookAtGroups()
	c.mu.Lock()
	runs, l := c.runs, c.limits
	c.mu.Unlock()
	for _, r := range runs {
		if !r.watchMemory && !r.watchProcesses {
			continue
		}
		u := used(procs, r.leader, r.mark)
		if r.watchProcesses && u.threads > l.Processes {
			c.end(&Hit{LimitProcesses, strconv.Itoa(l.Processes), fmt.Sprintf("%d processes with %d threads ran", len(u.pids), u.threads), true})
		}
		if r.watchMemory && u.bytes > l.Memory {
			if n := u.shared(); n > l.Memory {
				c.end(&Hit{LimitMemory, size(l.Memory), fmt.Sprintf("%s were used by %d processes", size(n), len(u.pids)), true})
			}
		}
	}
}

// lookAtGroups asks the kernel what it has refused.
func (c *Child) lookAtGroups() {
	c.mu.Lock()
	var ooms, refused int
	for i := range c.runs {
		for j := range c.runs[i].groups {
			o, f := c.runs[i].groups[j].news()
			ooms, refused = ooms+o, refused+f
		}
	}
	l := c.limits
	c.mu.Unlock()
	if refused > 0 {
		c.tell(&Hit{LimitProcesses, strconv.Itoa(l.Processes), fmt.Sprintf("%d new ones were refused", refused), false})
	}
	if ooms > 0 {
		// The kernel ends one process; what is left of the others is of no use.
		c.end(&Hit{LimitMemory, size(l.Memory), fmt.Sprintf("the kernel ended %d processes of it", ooms), true})
	}
}
