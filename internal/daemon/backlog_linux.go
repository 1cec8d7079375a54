package daemon

import (
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// emptyBacklog makes the system take no more connections for ln than it has, and
// waits until those are accepted: what is in its queue when it is closed is reset,
// and a client's request with it. stop ends the waiting. Clients that connect
// meanwhile find the listener gone a moment later.
func emptyBacklog(ln net.Listener, wait func() bool) {
	sc, ok := ln.(syscall.Conn)
	if !ok {
		return
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return
	}
	queued := func() (n uint32) {
		_ = raw.Control(func(fd uintptr) {
			// Of a listener these are the connections that nobody has accepted yet.
			if info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO); err == nil {
				n = info.Unacked
			}
		})
		return n
	}
	_ = raw.Control(func(fd uintptr) { _ = unix.Listen(int(fd), 0) })
	for queued() > 0 && wait() {
	}
}
