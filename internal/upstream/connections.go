package upstream

// Connection is one of the connections of an upstream at one moment.
type Connection struct {
	Owner    string // subject of the principal, or empty for a shared one
	Own      bool   // it belongs to one caller
	Leads    bool   // its lists are those of the upstream
	State    State
	PID      int // of the child, or 0
	Calls    int // running
	Restarts int
}

// Connections lists the shared connections in order, and then those of callers.
func (u *Upstream) Connections() []Connection {
	u.mu.Lock()
	var list []Connection
	for _, m := range u.members {
		c := Connection{State: m.state, Restarts: m.restarts}
		if m.link != nil {
			c.PID, c.Calls = m.link.conn.PID, int(m.link.calls.Load())
			c.Leads = m.link == u.leader
		}
		list = append(list, c)
	}
	u.mu.Unlock()
	return append(list, u.instances.list()...)
}
