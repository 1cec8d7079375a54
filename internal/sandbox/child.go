package sandbox

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Child is one program that may be started, and everything that descends from it.
type Child struct {
	s      *Sandbox
	name   string
	limits Limits
	onHit  func(*Hit)

	mu     sync.Mutex
	runs   []run
	bounds []Bound // of the last start
	ended  *Hit    // why it was ended, if a limit was
}

// run is one start of a child.
type run struct {
	mark                        mark
	leader                      int
	groups                      []group
	watchMemory, watchProcesses bool
}

// Child makes a child with a name and its limits. onHit is told of each limit that
// it reaches; it must not block, and nil is nobody. Nothing is started.
func (s *Sandbox) Child(name string, l Limits, onHit func(*Hit)) *Child {
	if onHit == nil {
		onHit = func(*Hit) {}
	}
	return &Child{s: s, name: name, limits: l, onHit: onHit}
}

// launchTime bounds the time from the start of the launcher to that of the program:
// a directory or a program on a file system that hangs must not hang the node.
const launchTime = 10 * time.Second

// Start starts cmd in place of its own Start; Wait is called as ever. When the
// program cannot be executed the error is that of cmd.Start, and nothing is left.
func (c *Child) Start(cmd *exec.Cmd) error {
	if cmd.Err != nil {
		return cmd.Err
	}
	if cmd.ExtraFiles != nil || cmd.Process != nil {
		return errors.New("sandbox: a child gets no descriptors but the standard ones, and is started once")
	}
	node, err := c.s.arm()
	if err != nil {
		return err
	}
	launcher, err := self()
	if err != nil {
		return fmt.Errorf("sandbox: find the launcher: %w", err)
	}
	told, tell, err := os.Pipe()
	if err != nil {
		return err
	}
	defer told.Close()
	r := run{mark: mark{node, c.s.last.Add(1)}}
	r.groups = c.enter(&r)
	o := &order{dir: cmd.Dir, path: cmd.Path, argv: cmd.Args, limits: c.limits.rlimits(), setuid: c.limits.Setuid}
	for _, g := range r.groups {
		o.cgroups = append(o.cgroups, g.dir)
	}
	program := cmd.Path
	cmd.Path, cmd.Args, cmd.Dir, cmd.ExtraFiles = launcher, o.encode(), "", []*os.File{tell}
	cmd.Env = append(cmd.Environ(), markEnv+"="+r.mark.String())
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	dieWithParent(cmd)
	err = c.s.do(cmd.Start)
	tell.Close()
	if err == nil {
		r.leader = cmd.Process.Pid
	} else if pe, ok := errors.AsType[*fs.PathError](err); ok && pe.Path == launcher {
		pe.Path = program // nobody asked for the launcher
	}
	c.mu.Lock()
	c.runs = append(c.runs, r)
	c.mu.Unlock()
	c.s.add(c)
	if err != nil {
		return err
	}
	if err := await(told); err != nil {
		_ = cmd.Process.Kill() // it may be gone
		_ = cmd.Wait()         // what counts is err
		return err
	}
	return nil
}

// enter makes the control groups of a run, and notes what they do not hold.
func (c *Child) enter(r *run) []group {
	groups, by := c.s.enter(r.mark, c.name, &c.limits)
	// What the kernel does not hold is watched, if it can be seen from here.
	for limit, watch := range map[string]*bool{LimitMemory: &r.watchMemory, LimitProcesses: &r.watchProcesses} {
		if canWatch && strings.HasPrefix(by[limit], "nothing") && (limit == LimitMemory && c.limits.Memory > 0 || limit == LimitProcesses && c.limits.Processes > 0) {
			*watch, by[limit] = true, "watched"+strings.Replace(strings.TrimPrefix(by[limit], "nothing"), ": ", ", for want of a control group: ", 1)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.bounds = c.limits.bounds(by)
	return groups
}

// Bounds says who sees to the child's limits, as of its last start.
func (c *Child) Bounds() []Bound {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.bounds)
}

// watched reports whether the processes have to be looked at.
func (c *Child) watched() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.ContainsFunc(c.runs, func(r run) bool { return r.watchMemory || r.watchProcesses })
}

// await returns when the launcher has become the program, or why it has not.
func await(told *os.File) error {
	_ = told.SetReadDeadline(time.Now().Add(launchTime)) // a pipe of os.Pipe has deadlines
	text, err := io.ReadAll(io.LimitReader(told, 64<<10))
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return fmt.Errorf("the program was not started within %v", launchTime)
	}
	if err != nil {
		return err
	}
	return failure(string(text))
}

// end ends the child because of a limit, once.
func (c *Child) end(h *Hit) {
	c.mu.Lock()
	first := c.ended == nil
	if first {
		c.ended = h
	}
	runs := slices.Clone(c.runs)
	c.mu.Unlock()
	if !first {
		return
	}
	c.tell(h)
	c.kill(runs)
}

func (c *Child) tell(h *Hit) {
	c.s.log.Warn("a child has reached a limit", "upstream", c.name, "limit", h.Limit, "value", h.Value, "detail", h.Detail, "ended", h.Ended)
	c.onHit(h)
}

// Explain adds to err, the reason of the child's end, the limit that was behind it.
func (c *Child) Explain(err error) error {
	c.lookAtGroups()
	c.mu.Lock()
	defer c.mu.Unlock()
	if err == nil || c.ended == nil {
		return err
	}
	return fmt.Errorf("%w: %w", err, c.ended)
}

// Release ends what the program has left behind, wherever it has gone, and returns
// when nothing of it runs. It is called after the program has ended.
func (c *Child) Release() {
	c.lookAtGroups()
	c.s.remove(c)
	c.mu.Lock()
	runs := c.runs
	c.runs = nil
	c.mu.Unlock()
	if n := c.kill(runs); n > 0 {
		c.s.log.Info("a child has left processes behind, which were ended", "upstream", c.name, "processes", n)
	}
}

// kill ends everything of some runs.
func (c *Child) kill(runs []run) (killed int) {
	if len(runs) == 0 {
		return 0
	}
	for _, r := range runs {
		for _, g := range r.groups {
			killed += endGroup(g.dir)
		}
	}
	return killed + sweep(func(m mark) bool {
		return slices.ContainsFunc(runs, func(r run) bool { return r.mark == m })
	})
}
