package sdnotify

import (
	"syscall"
	"time"
	"unsafe"
)

// monotonic is the time of CLOCK_MONOTONIC, which systemd compares with its own.
func monotonic() time.Duration {
	const clockMonotonic = 1
	var ts syscall.Timespec
	if _, _, errno := syscall.Syscall(syscall.SYS_CLOCK_GETTIME, clockMonotonic, uintptr(unsafe.Pointer(&ts)), 0); errno != 0 {
		return 0
	}
	return time.Duration(ts.Nano())
}
