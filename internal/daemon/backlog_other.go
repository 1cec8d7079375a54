//go:build !linux

package daemon

import "net"

// emptyBacklog does nothing: only Linux says how many connections wait.
func emptyBacklog(net.Listener, func() bool) {}
