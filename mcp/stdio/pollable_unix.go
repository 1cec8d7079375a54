//go:build unix

package stdio

import (
	"os"
	"syscall"
)

// pollable returns f in a form whose reads wait in the runtime's poller: they hold
// no thread, which on a single processor costs far more than the read, and they
// can be interrupted. Only pipes and sockets are changed: their description is
// the reader's own, while a terminal's is shared with the shell.
func pollable(f *os.File) *os.File {
	info, err := f.Stat()
	if err != nil || info.Mode()&(os.ModeNamedPipe|os.ModeSocket) == 0 {
		return f
	}
	syscall.ForkLock.RLock()
	fd, err := syscall.Dup(int(f.Fd()))
	if err == nil {
		syscall.CloseOnExec(fd)
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return f
	}
	if err := syscall.SetNonblock(fd, true); err != nil {
		syscall.Close(fd)
		return f
	}
	return os.NewFile(uintptr(fd), f.Name())
}
