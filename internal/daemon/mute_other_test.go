//go:build !linux

package daemon_test

import "errors"

// mute is for tests that run on Linux.
func mute() error { return errors.ErrUnsupported }
