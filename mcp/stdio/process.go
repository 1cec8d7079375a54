package stdio

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"time"
)

// drainAfterExit is how long what a dead child has written is still read, if
// something that left its process group holds the pipe open.
const drainAfterExit = 250 * time.Millisecond

// child is a running process that leads its own process group.
type child struct {
	cmd    *exec.Cmd
	stdin  *os.File
	stdout *os.File
	stderr *os.File
	exited chan struct{} // closed when it has been reaped

	mu     sync.Mutex
	reaped bool // its number may be another's: no signals
}

// startChild starts a copy of cmd in a process group of its own.
func startChild(template *exec.Cmd, launch func(*exec.Cmd) error) (*child, error) {
	if template.Stdin != nil || template.Stdout != nil || template.Stderr != nil {
		return nil, errors.New("the command's standard streams are set")
	}
	cmd := &exec.Cmd{
		Path:       template.Path,
		Args:       template.Args,
		Env:        template.Env,
		Dir:        template.Dir,
		ExtraFiles: template.ExtraFiles,
		Err:        template.Err,
	}
	if cmd.Env == nil {
		cmd.Env = minimalEnv()
	}
	cmd.SysProcAttr = ownGroup(template.SysProcAttr)

	var files [6]*os.File // theirs, ours; of stdin, stdout, stderr
	closeAll := func(all []*os.File) {
		for _, f := range all {
			if f != nil {
				f.Close()
			}
		}
	}
	for i := range 3 {
		r, w, err := os.Pipe()
		if err != nil {
			closeAll(files[:])
			return nil, err
		}
		if i == 0 {
			files[0], files[3] = r, w
		} else {
			files[i], files[3+i] = w, r
		}
	}
	// Files, not readers and writers: package os/exec then copies nothing, and Wait
	// does not depend on what the child leaves behind.
	cmd.Stdin, cmd.Stdout, cmd.Stderr = files[0], files[1], files[2]
	if launch == nil {
		launch = (*exec.Cmd).Start
	}
	err := launch(cmd)
	closeAll(files[:3])
	if err != nil {
		closeAll(files[3:])
		return nil, err
	}
	c := &child{cmd: cmd, stdin: files[3], stdout: files[4], stderr: files[5], exited: make(chan struct{})}
	go c.wait() // ends with the process; Client's janitor waits for exited
	return c, nil
}

// minimalEnv is what a program needs to run at all. The rest of our environment
// may hold secrets that are not the child's.
func minimalEnv() []string {
	env := []string{}
	for _, name := range append([]string{"PATH", "HOME", "LANG", "TZ", "TMPDIR"}, systemEnv...) {
		if value, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+value)
		}
	}
	return env
}

// wait sees the process to its end.
func (c *child) wait() {
	c.reap()
	deadline := time.Now().Add(drainAfterExit)
	_ = c.stdout.SetReadDeadline(deadline) // pipes of os.Pipe have deadlines
	_ = c.stderr.SetReadDeadline(deadline)
	close(c.exited)
}

func (c *child) gone() <-chan struct{} { return c.exited }

func (c *child) terminate() { c.signal(terminateGroup) }
func (c *child) kill()      { c.signal(killGroup) }

func (c *child) signal(send func(*os.Process)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.reaped {
		send(c.cmd.Process)
	}
}

func (c *child) status() string {
	select {
	case <-c.exited:
		return fmt.Sprint(c.cmd.ProcessState)
	default:
		return ""
	}
}

func (c *child) release() {
	c.stdin.Close()
	c.stdout.Close()
	c.stderr.Close()
}
