//go:build !linux

package streamhttp

import (
	"errors"
	"syscall"
	"time"
)

// canWatch says whether connections can be watched without a goroutine each: so
// far on Linux only. The rest of this file is never called.
const canWatch = false

type watcher struct{}

func newWatcher() (*watcher, error) { return nil, errors.ErrUnsupported }

func (*watcher) add(syscall.RawConn, uint64, time.Duration) error { return errors.ErrUnsupported }

func (*watcher) run(func(token uint64, left bool)) {}

func (*watcher) close() {}

func writeNow(syscall.RawConn, []byte) (int, error) { return 0, errors.ErrUnsupported }
