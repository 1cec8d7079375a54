package oauth

import (
	"errors"
	"os"
	"syscall"
	"time"
)

// errSharing is ERROR_SHARING_VIOLATION.
const errSharing = syscall.Errno(32)

// tryLockFile opens a file that nobody else can then open, and returns how to close
// it; nil when another has it open. The system closes it when the process ends.
func tryLockFile(path string) (unlock func(), err error) {
	name, err := syscall.UTF16PtrFromString(path)
	if err != nil {
		return nil, err
	}
	const shareNothing = 0
	h, err := syscall.CreateFile(name, syscall.GENERIC_WRITE, shareNothing, nil, syscall.OPEN_ALWAYS, syscall.FILE_ATTRIBUTE_NORMAL, 0)
	switch {
	case err == nil:
		return func() { _ = syscall.CloseHandle(h) }, nil
	case errors.Is(err, errSharing):
		return nil, nil
	}
	return nil, err
}

// syncDir does nothing: a directory cannot be flushed here, and a rename is in the
// journal of the file system.
func syncDir(string) error { return nil }

// rename waits for readers: a file that somebody has open cannot be replaced here.
// They have it open for as long as they read some kilobytes.
func rename(from, to string) error {
	for tries := 0; ; tries++ {
		err := os.Rename(from, to)
		if tries == 100 || !errors.Is(err, errSharing) && !errors.Is(err, syscall.ERROR_ACCESS_DENIED) {
			return err
		}
		time.Sleep(20 * time.Millisecond)
	}
}
