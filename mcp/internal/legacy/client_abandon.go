package legacy

import "errors"

var errAbandoned = errors.New("the caller does not answer the server's question")

// Abandon ends a parked call whose retry will not come: the server is told that it
// is cancelled. A handle that is none is ignored. It does not block.
func (c *Client) Abandon(handle string) {
	p := &c.parking
	p.mu.Lock()
	k := p.parked[handle]
	if k != nil {
		p.leaveLocked(k)
	}
	p.mu.Unlock()
	if k != nil {
		k.fail(errAbandoned)
	}
}
