package sandbox

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"
)

// Child is one program that may be started, and everything that descends from it.
type Child struct {
	s    *Sandbox
	name string

	mu    sync.Mutex
	marks []mark // of each start
}

// Child makes a child with a name for the log. Nothing is started.
func (s *Sandbox) Child(name string) *Child { return &Child{s: s, name: name} }

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
	m := mark{node, c.s.last.Add(1)}
	o := &order{dir: cmd.Dir, path: cmd.Path, argv: cmd.Args, limits: []rlimit{{syscall.RLIMIT_CORE, 0}}}
	program := cmd.Path
	if cmd.Path, err = self(); err != nil {
		return fmt.Errorf("sandbox: find the launcher: %w", err)
	}
	told, tell, err := os.Pipe()
	if err != nil {
		return err
	}
	defer told.Close()
	cmd.Args, cmd.Dir, cmd.ExtraFiles = o.encode(), "", []*os.File{tell}
	cmd.Env = append(cmd.Environ(), markEnv+"="+m.String())
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	dieWithParent(cmd)
	c.mu.Lock()
	c.marks = append(c.marks, m)
	c.mu.Unlock()
	err = c.s.do(cmd.Start)
	tell.Close()
	if err != nil {
		if pe, ok := errors.AsType[*fs.PathError](err); ok && pe.Path == cmd.Path {
			pe.Path = program // nobody asked for the launcher
		}
		return err
	}
	if err := c.await(told); err != nil {
		_ = cmd.Process.Kill() // it may be gone
		_ = cmd.Wait()         // what counts is err
		return err
	}
	return nil
}

// await returns when the launcher has become the program, or why it has not.
func (c *Child) await(told *os.File) error {
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

// Release ends what the program has left behind, wherever it has gone, and returns
// when nothing of it runs. It is called after the program has ended.
func (c *Child) Release() {
	c.mu.Lock()
	marks := c.marks
	c.marks = nil
	c.mu.Unlock()
	if len(marks) == 0 {
		return
	}
	if n := sweep(func(m mark) bool { return contains(marks, m) }); n > 0 {
		c.s.log.Info("a child has left processes behind, which were ended", "upstream", c.name, "processes", n)
	}
}

func contains(marks []mark, m mark) bool {
	for _, own := range marks {
		if own == m {
			return true
		}
	}
	return false
}
