package streamhttp

import (
	"errors"
	"os"
	"syscall"
	"time"
)

const canWatch = true

// tcpUserTimeout is TCP_USER_TIMEOUT of tcp(7), which package syscall lacks.
const tcpUserTimeout = 18

// A watcher waits for many connections at once with epoll(7). The epoll instance
// itself is watched by the runtime, so that waiting costs no thread.
type watcher struct {
	fd   int
	file *os.File
	raw  syscall.RawConn
}

func newWatcher() (*watcher, error) {
	fd, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	if err := syscall.SetNonblock(fd, true); err != nil { // else the runtime would not watch it
		_ = syscall.Close(fd)
		return nil, os.NewSyscallError("fcntl", err)
	}
	w := &watcher{fd: fd, file: os.NewFile(uintptr(fd), "epoll")}
	if w.raw, err = w.file.SyscallConn(); err != nil {
		_ = w.file.Close()
		return nil, err
	}
	return w, nil
}

// add watches a connection until it is closed. Data that its peer does not
// acknowledge for so long breaks it: a client that vanished is noticed then.
func (w *watcher) add(conn syscall.RawConn, token uint64, unacknowledged time.Duration) error {
	var err error
	controlErr := conn.Control(func(fd uintptr) {
		// An older kernel without it has its own, longer patience.
		_ = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, tcpUserTimeout, int(unacknowledged.Milliseconds()))
		// Edges only: nobody reads, and a level would be reported for ever.
		edge := uint32(syscall.EPOLLET & 0xffffffff)
		err = syscall.EpollCtl(w.fd, syscall.EPOLL_CTL_ADD, int(fd), &syscall.EpollEvent{
			Events: syscall.EPOLLIN | syscall.EPOLLOUT | syscall.EPOLLRDHUP | edge,
			Fd:     int32(uint32(token)),
			Pad:    int32(uint32(token >> 32)),
		})
	})
	return errors.Join(controlErr, os.NewSyscallError("epoll_ctl", err))
}

// run calls noticed for what happens until the watcher is closed.
func (w *watcher) run(noticed func(token uint64, left bool)) {
	events := make([]syscall.EpollEvent, 128)
	for {
		n := 0
		var err error
		if w.raw.Read(func(fd uintptr) bool {
			for {
				if n, err = syscall.EpollWait(int(fd), events, 0); !errors.Is(err, syscall.EINTR) {
					return n > 0 || err != nil
				}
			}
		}) != nil || err != nil {
			return
		}
		for _, e := range events[:n] {
			token := uint64(uint32(e.Fd)) | uint64(uint32(e.Pad))<<32
			noticed(token, e.Events&^syscall.EPOLLOUT != 0)
		}
	}
}

func (w *watcher) close() { _ = w.file.Close() }

// writeNow writes what the socket takes without waiting.
func writeNow(conn syscall.RawConn, b []byte) (n int, err error) {
	writeErr := conn.Write(func(fd uintptr) bool {
		for n < len(b) && err == nil {
			var m int
			switch m, err = syscall.Write(int(fd), b[n:]); {
			case err == nil:
				n += m
			case errors.Is(err, syscall.EINTR):
				err = nil
			}
		}
		return true
	})
	if errors.Is(err, syscall.EAGAIN) {
		err = nil
	}
	return n, errors.Join(writeErr, err)
}
