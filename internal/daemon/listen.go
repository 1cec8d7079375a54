package daemon

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"sync"
	"syscall"
)

// ListenError says that an address of the config cannot be used.
type ListenError struct {
	Key     string // the config key: listen, admin or admin_socket
	Address string
	Err     error
}

func (e *ListenError) Error() string {
	if e.InUse() {
		return fmt.Sprintf("%s: %s is in use by another program", e.Key, e.Address)
	}
	return fmt.Sprintf("%s: %v", e.Key, e.Err)
}

func (e *ListenError) Unwrap() error { return e.Err }

// InUse reports whether somebody else has the address.
func (e *ListenError) InUse() bool { return errors.Is(e.Err, syscall.EADDRINUSE) }

func listen(ctx context.Context, key, network, address string) (net.Listener, error) {
	ln, err := (&net.ListenConfig{}).Listen(ctx, network, address)
	if err != nil {
		return nil, &ListenError{key, address, err}
	}
	return ln, nil
}

// listenSocket opens a unix socket that only this user may use. A socket that a
// dead node has left is replaced; one that answers is not.
func listenSocket(ctx context.Context, path string) (net.Listener, error) {
	if c, err := (&net.Dialer{}).DialContext(ctx, "unix", path); err == nil {
		_ = c.Close()
		return nil, &ListenError{"admin_socket", path, syscall.EADDRINUSE}
	}
	if info, err := os.Lstat(path); err == nil && info.Mode()&fs.ModeSocket != 0 {
		if err := os.Remove(path); err != nil {
			return nil, &ListenError{"admin_socket", path, err}
		}
	}
	ln, err := listen(ctx, "admin_socket", "unix", path)
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(&ListenError{"admin_socket", path, err}, ln.Close())
	}
	return ln, nil
}

// reachable is the address that a client on this machine connects to.
func reachable(addr net.Addr) string {
	tcp, ok := addr.(*net.TCPAddr)
	if !ok {
		return addr.String()
	}
	host := tcp.IP.String()
	if tcp.IP.IsUnspecified() {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, fmt.Sprint(tcp.Port))
}

// maxConnections bounds the connections of the MCP listener. An idle one costs
// about 10 KB: 16384 of them are 160 MB, and header and idle timeouts free them.
const maxConnections = 16384

// limited is a listener that has a bounded number of connections open. Beyond it
// clients wait in the backlog of the system. Its connections are those of the
// system, unwrapped, since streams are parked on them; so the server tells by
// connState when one has ended. A parked stream is none of them any more.
type limited struct {
	net.Listener
	slots chan struct{}
	done  chan struct{}
	once  sync.Once
}

func newLimited(ln net.Listener, n int) *limited {
	return &limited{Listener: ln, slots: make(chan struct{}, n), done: make(chan struct{})}
}

func (l *limited) Accept() (net.Conn, error) {
	select {
	case l.slots <- struct{}{}:
	case <-l.done:
		return nil, net.ErrClosed
	}
	c, err := l.Listener.Accept()
	if err != nil {
		<-l.slots
	}
	return c, err
}

// connState is for http.Server.ConnState, which tells the end of each accepted connection once.
func (l *limited) connState(_ net.Conn, state http.ConnState) {
	if state == http.StateClosed || state == http.StateHijacked {
		<-l.slots
	}
}

// open is the number of connections.
func (l *limited) open() int { return len(l.slots) }

func (l *limited) Close() error {
	l.once.Do(func() { close(l.done) })
	return l.Listener.Close()
}
