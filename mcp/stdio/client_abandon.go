package stdio

// Abandon implements mcp.Abandoner: a call that waits for answers to what a server
// of an old revision has asked is cancelled.
func (c *Client) Abandon(state string) {
	if c.proxy != nil {
		c.proxy.Abandon(state)
	}
}
