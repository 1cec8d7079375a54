//go:build unix

package http1

import "syscall"

// idleTrust is zero: an idle connection can be asked.
const idleTrust = 0

// watch prepares alive.
func (cn *conn) watch() {
	sc, ok := cn.raw.(syscall.Conn)
	if !ok {
		return
	}
	var err error
	if cn.fd, err = sc.SyscallConn(); err != nil {
		cn.fd = nil
		return
	}
	var b [1]byte
	cn.peek = func(fd uintptr) bool {
		_, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK)
		// An end is no error, and neither is what nobody asked for; both are the end of it.
		cn.peeked = err == syscall.EAGAIN || err == syscall.EWOULDBLOCK
		return true
	}
}

// alive reports whether an idle connection is open and has nothing to say.
func (cn *conn) alive() bool {
	if cn.fd == nil {
		return true
	}
	cn.peeked = false
	return cn.fd.Read(cn.peek) == nil && cn.peeked
}
