package stdio

import (
	"os"
	"syscall"
)

// systemEnv is what programs on Windows need beside the portable variables.
var systemEnv = []string{"SYSTEMROOT", "TEMP", "TMP", "USERPROFILE"}

func ownGroup(attr *syscall.SysProcAttr) *syscall.SysProcAttr {
	var own syscall.SysProcAttr
	if attr != nil {
		own = *attr
	}
	own.CreationFlags |= syscall.CREATE_NEW_PROCESS_GROUP
	return &own
}

// There are no signals to ask with, and none that reach a group.
func terminateGroup(p *os.Process) { _ = p.Kill() }
func killGroup(p *os.Process)      { _ = p.Kill() }
