package upstream

import (
	"os/exec"

	"github.com/fairlead-mcp/fairlead/internal/sandbox"
)

// child is the program of one connection, and what descends from it.
type child struct {
	in *sandbox.Child // nil without a sandbox
}

func (u *Upstream) newChild() *child {
	if u.opts.Sandbox == nil {
		return &child{}
	}
	return &child{in: u.opts.Sandbox.Child(u.name)}
}

// start starts the program; see stdio.ClientOptions.
func (c *child) start(cmd *exec.Cmd) error {
	if c.in == nil {
		return cmd.Start()
	}
	return c.in.Start(cmd)
}

// release ends what the program has left behind.
func (c *child) release() {
	if c.in != nil {
		c.in.Release()
	}
}
