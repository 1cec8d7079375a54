//go:build !linux

package stdio

// reap takes the exit status. There is no portable way to wait without taking it,
// so the rest of the group is killed a moment after its number could be reused.
func (c *child) reap() {
	_ = c.cmd.Wait() // the status is in ProcessState
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reaped = true
	killGroup(c.cmd.Process)
}
