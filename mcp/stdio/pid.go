package stdio

// PID returns the child's process id, or 0 for a client that started no child.
func (c *Client) PID() int {
	if child, ok := c.peer.(*child); ok {
		return child.cmd.Process.Pid
	}
	return 0
}
