package gateway

import "context"

// authorise decides whether the caller may have what it asked for. What it may not
// have is answered like what does not exist, byte for byte.
func authorise(_ context.Context, c *call) (rule string, err error) {
	t := c.target
	if t == nil {
		return c.try[0].rule, nil // resources that nobody lists; there are no rules for them
	}
	if !t.allowed {
		return t.rule, c.unknown()
	}
	return t.rule, nil
}
