package handover

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"
)

const (
	firstDescriptor = 3
	maxDescriptors  = 64
	connectionName  = "upgrade"
)

// Inherited are the descriptors that a process was started with: the sockets of
// systemd's socket activation, or of a process that it takes over from.
type Inherited struct {
	Listeners map[string]net.Listener // by name; empty if there are none
	// From is the process to take over from; nil if there is none.
	From *Predecessor
}

// Predecessor is the process that another takes over from.
type Predecessor struct {
	*Conn
	Hello
}

// Inherit takes what the environment says that there is, once: the descriptors are
// not for children. lookup is os.LookupEnv but for tests. Variables that name
// another process are not for this one (sd_listen_fds(3)).
func Inherit(lookup func(string) (string, bool)) (*Inherited, error) {
	in := &Inherited{Listeners: map[string]net.Listener{}}
	count, _ := lookup("LISTEN_FDS")
	names, _ := lookup("LISTEN_FDNAMES")
	pid, hasPID := lookup("LISTEN_PID")
	upgrade := strings.HasPrefix(names+":", connectionName+":")
	if count == "" || hasPID && pid != strconv.Itoa(os.Getpid()) || !hasPID && !upgrade {
		return in, nil
	}
	n, err := strconv.Atoi(count)
	if err != nil || n < 0 || n > maxDescriptors {
		return nil, fmt.Errorf("LISTEN_FDS is %q, not the number of at most %d descriptors", count, maxDescriptors)
	}
	list := strings.Split(names, ":")
	for i := range n {
		fd := firstDescriptor + i
		syscall.CloseOnExec(fd)
		name := "mcp" // a socket without a name is the one that matters
		if names != "" && i < len(list) {
			name = list[i]
		}
		f := os.NewFile(uintptr(fd), name)
		if f == nil {
			return nil, fmt.Errorf("descriptor %d (%s) is not open", fd, name)
		}
		if err := in.take(f, name, upgrade && i == 0); err != nil {
			return nil, fmt.Errorf("descriptor %d (%s): %w", fd, name, err)
		}
	}
	if in.From == nil {
		return in, nil
	}
	m, err := in.From.Receive()
	switch {
	case err != nil:
		return nil, fmt.Errorf("take over: %w", err)
	case m.Hello == nil:
		return nil, errors.New("take over: the running process does not say hello")
	}
	in.From.Hello = *m.Hello
	return in, nil
}

func (in *Inherited) take(f *os.File, name string, connection bool) error {
	defer f.Close() // what is made of it has a duplicate
	if connection {
		c, err := net.FileConn(f)
		if err != nil {
			return err
		}
		in.From = &Predecessor{Conn: newConn(c)}
		return nil
	}
	ln, err := net.FileListener(f)
	if err != nil {
		return err
	}
	if in.Listeners[name] != nil {
		return errors.Join(errors.New("another one has this name"), ln.Close())
	}
	in.Listeners[name] = ln
	return nil
}

// Fail tells the running process that this one cannot take over. It does nothing
// where there is none.
func (in *Inherited) Fail(err error) {
	if in == nil || in.From == nil || err == nil {
		return
	}
	_ = in.From.Send(Message{Failed: err.Error()}) // it notices our end, too
}
