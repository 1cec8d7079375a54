package sandbox

import (
	"context"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"time"
)

// guard is what the guard does: nothing until the node is gone, which the end of
// its input tells, and then end what the node has left. The kernel kills the
// children of a killed node, but not their children.
func guard(node io.Reader, args []string) int {
	if len(args) == 0 {
		return 2
	}
	// A signal for everybody in the terminal or the service is not for the one who cleans up.
	signal.Ignore(syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	_, _ = io.Copy(io.Discard, node) // however it ends, the node is gone
	own := func(m mark) bool { return m.node == args[0] }
	sweepGroups(own)
	sweep(own)
	return 0
}

// guardDelay is how long after the end of a guard the next one is started.
const guardDelay = time.Second

// keepGuard runs a guard until ctx ends.
func (s *Sandbox) keepGuard(ctx context.Context, node string) {
	for {
		err := runGuard(ctx, node)
		if ctx.Err() != nil {
			return
		}
		s.log.Warn("the guard has ended, and is started again", "err", err)
		select {
		case <-ctx.Done():
			return
		case <-time.After(guardDelay):
		}
	}
}

// runGuard runs one. It is killed when it is not needed any more.
func runGuard(ctx context.Context, node string) error {
	path, err := self()
	if err != nil {
		return err
	}
	theirs, ours, err := os.Pipe()
	if err != nil {
		return err
	}
	defer ours.Close() // open for as long as this process lives
	cmd := exec.CommandContext(ctx, path)
	cmd.Args = []string{guardName, node}
	cmd.Stdin, cmd.Dir, cmd.Env = theirs, "/", []string{}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	err = cmd.Start()
	theirs.Close()
	if err != nil {
		return err
	}
	return cmd.Wait()
}
