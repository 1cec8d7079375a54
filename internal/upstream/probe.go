package upstream

import (
	"context"
	"fmt"

	"github.com/fairlead-mcp/fairlead/mcp"
)

// methodPing is what revisions with sessions are probed with.
const methodPing = "ping"

// Probe says how the upstream is: nil if it answers a ping, or server/discover in
// revisions without sessions. It starts and wakes nothing, and counts for no breaker.
func (u *Upstream) Probe(ctx context.Context) error {
	u.mu.Lock()
	l, st := u.link, u.status
	u.mu.Unlock()
	if l == nil || !l.alive() {
		if st.LastError != "" {
			return fmt.Errorf("%s: %s", st.State, st.LastError)
		}
		return fmt.Errorf("%s", st.State)
	}
	method := mcp.MethodDiscover
	if st.Version != "" && !st.Version.Modern() {
		method = methodPing
	}
	req := &mcp.Request{Method: method, Params: []byte(`{}`), Meta: mcp.Meta{Version: mcp.LatestVersion, ClientInfo: u.clientInfo, Capabilities: []byte(`{}`)}}
	_, err := l.conn.Handler.Handle(ctx, req, mcp.Discard)
	if mcp.IsWireError(err) {
		return nil // it answers, if only that it does not know the method
	}
	return err
}
