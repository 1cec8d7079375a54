package handover

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Program is what is started to take over.
type Program struct {
	Path string
	Args []string // without the name of the program
	Env  []string
}

// Listener is a listening socket that is handed over under a name.
type Listener struct {
	Name string
	net.Listener
}

// Successor is a process that was started to take over.
type Successor struct {
	*Conn
	PID int

	process *os.Process
	exited  chan struct{} // closed when it has ended
	state   string        // how, once exited is closed
}

// ErrReplaced says that a process ends because another has taken over.
var ErrReplaced = errors.New("replaced")

// Start starts a program with the listeners and a connection, and tells it hello.
// What this process does with the listeners meanwhile is not disturbed.
func Start(p Program, listeners []Listener, hello Hello) (*Successor, error) {
	ours, theirs, err := pair()
	if err != nil {
		return nil, err
	}
	defer syscall.Close(theirs)
	null, err := os.Open(os.DevNull)
	if err != nil {
		_ = ours.Close()
		return nil, err
	}
	defer null.Close()
	names, files := []string{connectionName}, []uintptr{null.Fd(), 1, 2, uintptr(theirs)}
	for _, l := range listeners {
		f, err := file(l.Listener)
		if err != nil {
			_ = ours.Close()
			return nil, fmt.Errorf("descriptor of %s: %w", l.Name, err)
		}
		defer f.Close()
		// Not f.Fd: it would make the socket block, in this process too.
		raw, err := f.SyscallConn()
		if err == nil {
			err = raw.Control(func(fd uintptr) { files = append(files, fd) })
		}
		if err != nil {
			_ = ours.Close()
			return nil, fmt.Errorf("descriptor of %s: %w", l.Name, err)
		}
		names = append(names, l.Name)
	}
	env := slices.DeleteFunc(slices.Clone(p.Env), func(v string) bool {
		name, _, _ := strings.Cut(v, "=")
		// Meant for this process, by its id.
		return slices.Contains([]string{"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "LISTEN_PIDFDID", "WATCHDOG_PID"}, name)
	})
	env = append(env, "LISTEN_FDS="+strconv.Itoa(len(names)), "LISTEN_FDNAMES="+strings.Join(names, ":"))
	pid, _, err := syscall.StartProcess(p.Path, append([]string{p.Path}, p.Args...), &syscall.ProcAttr{Env: env, Files: files})
	if err != nil {
		_ = ours.Close()
		return nil, fmt.Errorf("start %s: %w", p.Path, err)
	}
	process, err := os.FindProcess(pid)
	if err != nil { // does not happen on unix
		_ = ours.Close()
		return nil, err
	}
	s := &Successor{Conn: newConn(ours), PID: pid, process: process, exited: make(chan struct{})}
	go func() { // ends with the process, or this one
		defer close(s.exited)
		state, err := process.Wait()
		if s.state = "ended"; err == nil {
			s.state = state.String()
		}
	}()
	if err := s.Send(Message{Hello: &hello}); err != nil && !gone(err) {
		s.Kill(context.Background())
		return nil, err
	}
	return s, nil
}

// file duplicates the descriptor of a listener.
func file(l net.Listener) (*os.File, error) {
	f, ok := l.(interface{ File() (*os.File, error) })
	if !ok {
		return nil, fmt.Errorf("a %T has none", l)
	}
	return f.File()
}

// pair makes the two ends of a connection. Theirs is a descriptor that children do
// not inherit by themselves.
func pair() (ours net.Conn, theirs int, err error) {
	syscall.ForkLock.RLock()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err == nil {
		syscall.CloseOnExec(fds[0])
		syscall.CloseOnExec(fds[1])
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return nil, 0, os.NewSyscallError("socketpair", err)
	}
	f := os.NewFile(uintptr(fds[0]), "upgrade")
	defer f.Close() // FileConn has a duplicate
	if ours, err = net.FileConn(f); err != nil {
		_ = syscall.Close(fds[1])
	}
	return ours, fds[1], err
}

// Await waits until the new process is ready. An error says why it is not; the
// process is then ended.
func (s *Successor) Await(ctx context.Context) (*Ready, error) {
	type answer struct {
		m   Message
		err error
	}
	answers := make(chan answer, 1)
	go func() { // ends with an answer, or the connection
		m, err := s.Receive()
		answers <- answer{m, err}
	}()
	var reason error
	select {
	case a := <-answers:
		switch {
		case a.err != nil && gone(a.err):
			// The process has ended, or closed what it did not know.
			select {
			case <-s.exited:
				reason = fmt.Errorf("the new process has ended before it was ready: %s", s.state)
			case <-ctx.Done():
				reason = fmt.Errorf("the new process was not ready in time")
			}
		case a.err != nil:
			reason = a.err
		case a.m.Ready != nil:
			return a.m.Ready, nil
		case a.m.Failed != "":
			reason = errors.New(a.m.Failed)
		default:
			reason = errors.New("the new process sends something unexpected")
		}
	case <-s.exited:
		// Its last word may still be there.
		select {
		case a := <-answers:
			if a.m.Failed != "" {
				reason = errors.New(a.m.Failed)
				break
			}
			reason = fmt.Errorf("the new process has ended before it was ready: %s", s.state)
		case <-ctx.Done():
			reason = fmt.Errorf("the new process has ended before it was ready: %s", s.state)
		}
	case <-ctx.Done():
		reason = errors.New("the new process was not ready in time")
	}
	s.Kill(context.WithoutCancel(ctx))
	return nil, reason
}

// Exited is closed when the process has ended.
func (s *Successor) Exited() <-chan struct{} { return s.exited }

// killAfter is how long a process that is not wanted may take to end by itself.
const killAfter = 10 * time.Second

// Kill ends the process, gently first, and waits for its end.
func (s *Successor) Kill(ctx context.Context) {
	_ = s.Close()
	_ = s.process.Signal(syscall.SIGTERM)
	wait := time.NewTimer(killAfter)
	defer wait.Stop()
	select {
	case <-s.exited:
		return
	case <-wait.C:
	case <-ctx.Done():
	}
	_ = s.process.Kill()
	<-s.exited
}
