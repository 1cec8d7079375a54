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

	"github.com/fairlead-mcp/fairlead/internal/handover"
)

// ListenError says that an address of the config cannot be used.
type ListenError struct {
	Key     string // the config key: listen, admin, admin_socket or data
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

// The names of the public listeners, as they are handed over; the config keys are
// listen, admin and admin_socket.
const (
	nameMCP    = "mcp"
	nameAdmin  = "admin"
	nameSocket = "admin_socket"
)

// activated is in place of an address for a listener that the system has opened for
// the node: its address is not the node's to choose.
const activated = "(activated)"

// opened remembers a public listener under its name, to be handed over.
func (d *Daemon) opened(name, address string, ln net.Listener) net.Listener {
	d.public = append(d.public, handover.Listener{Name: name, Listener: ln})
	d.addresses[name] = address
	return ln
}

// inherited returns a listener that the process was started with, if it is the one
// that address means. One that the config does not mean any more is closed.
func (d *Daemon) inherited(name, address string) (net.Listener, bool) {
	in := d.opts.Inherited
	if in == nil || in.Listeners[name] == nil {
		return nil, false
	}
	ln := in.Listeners[name]
	switch {
	case in.From == nil:
		address = activated
	case in.From.Addresses[name] == activated:
		address = activated
	case in.From.Addresses[name] != address:
		_ = ln.Close()
		return nil, false
	}
	d.log.Debug("listener inherited", "name", name, "address", ln.Addr().String())
	return d.opened(name, address, ln), true
}

// checkActivated holds a socket that the system has opened against the rule for
// addresses of the config: what other machines can reach needs tokens.
func (d *Daemon) checkActivated(name, key string, ln net.Listener) error {
	if d.addresses[name] != activated {
		return nil
	}
	tcp, ok := ln.Addr().(*net.TCPAddr)
	switch {
	case !ok:
		return &ListenError{key, ln.Addr().String(), fmt.Errorf("the socket %q that systemd has opened, %s, is not a TCP socket", name, ln.Addr())}
	case !tcp.IP.IsLoopback() && len(d.cfg.Auth.Tokens) == 0:
		return &ListenError{key, ln.Addr().String(), fmt.Errorf("other machines can reach %s, which systemd has opened, and there are no auth.tokens: everybody could call every tool", ln.Addr())}
	}
	return nil
}

// own makes the paths of inherited sockets this process's, to be removed at its end,
// unless they are the system's.
func (d *Daemon) own() {
	for _, l := range d.public {
		if u, ok := l.Listener.(*net.UnixListener); ok && d.addresses[l.Name] != activated {
			u.SetUnlinkOnClose(true)
		}
	}
}

// listenOn opens a public listener, or takes the one that the process was started with.
func (d *Daemon) listenOn(ctx context.Context, name, key, address string) (net.Listener, error) {
	if ln, ok := d.inherited(name, address); ok {
		return ln, d.checkActivated(name, key, ln)
	}
	ln, err := listen(ctx, key, "tcp", address)
	if err != nil {
		return nil, err
	}
	return d.opened(name, address, ln), nil
}

// listenOnSocket is listenOn for the admin socket.
func (d *Daemon) listenOnSocket(ctx context.Context) (net.Listener, error) {
	if ln, ok := d.inherited(nameSocket, d.cfg.AdminSocket); ok {
		return ln, nil
	}
	ln, err := listenSocket(ctx, "admin_socket", d.cfg.AdminSocket)
	if err != nil {
		return nil, err
	}
	return d.opened(nameSocket, d.cfg.AdminSocket, ln), nil
}

func listen(ctx context.Context, key, network, address string) (net.Listener, error) {
	ln, err := (&net.ListenConfig{}).Listen(ctx, network, address)
	if err != nil {
		return nil, &ListenError{key, address, err}
	}
	return ln, nil
}

// listenSocket opens a unix socket that only this user may use. A socket that a
// dead node has left is replaced; one that answers is not.
func listenSocket(ctx context.Context, key, path string) (net.Listener, error) {
	if c, err := (&net.Dialer{}).DialContext(ctx, "unix", path); err == nil {
		_ = c.Close()
		return nil, &ListenError{key, path, syscall.EADDRINUSE}
	}
	if info, err := os.Lstat(path); err == nil && info.Mode()&fs.ModeSocket != 0 {
		if err := os.Remove(path); err != nil {
			return nil, &ListenError{key, path, err}
		}
	}
	ln, err := listen(ctx, key, "unix", path)
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(&ListenError{key, path, err}, ln.Close())
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

// maxConnections bounds the connections of the MCP listener, where there are
// descriptors for as many. An idle one costs about 10 KB: 16384 of them are 160 MB,
// and header and idle timeouts free them.
const maxConnections = 16384

// connections is how many clients may connect to a node with so many upstreams, as
// far as descriptors go: children that must be started and operators come first. A
// child has three pipes and a moment of more; a remote upstream some connections.
func connections(upstreams int) int {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return maxConnections
	}
	return within(limit.Cur, upstreams)
}

func within(descriptors uint64, upstreams int) int {
	if descriptors >= 1<<30 { // no limit that counts
		return maxConnections
	}
	all := int(descriptors)
	const others = 64 // admin connections, files, what the runtime holds
	return min(max(all-others-8*upstreams, all/2, 1), maxConnections)
}

// limited is a listener that has a bounded number of connections open. Beyond it
// clients wait in the backlog of the system. Its connections are those of the
// system, unwrapped, since streams are parked on them; so the server tells by
// connState when one has ended. A parked stream is none of them any more.
type limited struct {
	net.Listener
	gate  <-chan struct{} // nothing is accepted before it is closed; nil is open
	slots chan struct{}
	done  chan struct{}
	once  sync.Once
}

func newLimited(ln net.Listener, n int, gate <-chan struct{}) *limited {
	return &limited{Listener: ln, gate: gate, slots: make(chan struct{}, n), done: make(chan struct{})}
}

func (l *limited) Accept() (net.Conn, error) {
	if l.gate != nil {
		select {
		case <-l.gate:
		case <-l.done:
			return nil, net.ErrClosed
		}
	}
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
