package upstream

import (
	"maps"
	"os/exec"

	"github.com/fairlead-mcp/fairlead/internal/sandbox"
)

// child is the program of one connection, and what descends from it.
type child struct {
	u    *Upstream
	in   *sandbox.Child // nil without a sandbox
	said *said
}

func (u *Upstream) newChild() *child {
	c := &child{u: u, said: newSaid(u.log, &u.dropped)}
	if u.opts.Sandbox != nil {
		c.in = u.opts.Sandbox.Child(u.name, u.spec.Limits, u.hit)
	}
	return c
}

// hit counts a limit that a child has reached.
func (u *Upstream) hit(h *sandbox.Hit) {
	u.mu.Lock()
	defer u.mu.Unlock()
	hits := maps.Clone(u.status.Hits) // those who have asked for the status hold the old one
	if hits == nil {
		hits = map[string]int{}
	}
	hits[h.Limit]++
	u.status.Hits = hits
}

// start starts the program; see stdio.ClientOptions.
func (c *child) start(cmd *exec.Cmd) error {
	if c.in == nil {
		return cmd.Start()
	}
	err := c.in.Start(cmd)
	c.u.mu.Lock()
	defer c.u.mu.Unlock()
	c.u.status.Bounds = c.in.Bounds()
	return err
}

// explain adds the limit that was behind the end of the child.
func (c *child) explain(err error) error {
	if c.in == nil {
		return err
	}
	return c.in.Explain(err)
}

// release ends what the program has left behind.
func (c *child) release() {
	if c.in != nil {
		c.in.Release()
	}
}
