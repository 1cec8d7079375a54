package streamhttp

// Abandon implements [mcp.Abandoner]: a call that waits for answers to what a server
// of an old revision has asked is cancelled.
func (c *Client) Abandon(state string) {
	c.mu.Lock()
	s := c.session
	c.mu.Unlock()
	if s != nil {
		s.client().Abandon(state)
	}
}
