//go:build unix

package stdio

import (
	"os"
	"syscall"
)

var systemEnv []string

func ownGroup(attr *syscall.SysProcAttr) *syscall.SysProcAttr {
	var own syscall.SysProcAttr
	if attr != nil {
		own = *attr
	}
	if !own.Setsid { // the leader of a session leads a group
		own.Setpgid, own.Pgid = true, 0
	}
	return &own
}

// The group's number is that of its leader. A group that is gone is no error here.
func terminateGroup(p *os.Process) { _ = syscall.Kill(-p.Pid, syscall.SIGTERM) }
func killGroup(p *os.Process)      { _ = syscall.Kill(-p.Pid, syscall.SIGKILL) }
