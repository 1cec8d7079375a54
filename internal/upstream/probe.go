package upstream

import (
	"context"
	"fmt"
	"sync"

	"github.com/fairlead-mcp/fairlead/mcp"
)

// methodPing is what revisions with sessions are probed with.
const methodPing = "ping"

// Probe says how the upstream is: nil if it answers a ping, or server/discover in
// revisions without sessions, or sleeps. Of several shared connections one has to. It
// starts and wakes nothing, and counts for no breaker.
func (u *Upstream) Probe(ctx context.Context) error {
	u.mu.Lock()
	st := u.status
	var links []*link
	for _, m := range u.members {
		if m.link != nil && m.link.alive() {
			links = append(links, m.link)
		}
	}
	u.mu.Unlock()
	switch {
	case len(links) > 0:
	case st.State == Idle:
		return nil
	case st.LastError != "":
		return fmt.Errorf("%s: %s", st.State, st.LastError)
	default:
		return fmt.Errorf("%s", st.State)
	}
	method := mcp.MethodDiscover
	if st.Version != "" && !st.Version.Modern() {
		method = methodPing
	}
	ctx, cancel := context.WithCancel(ctx)
	answers := make(chan error, len(links)) // room for all: who comes late is not heard
	var asking sync.WaitGroup
	defer asking.Wait()
	defer cancel()
	for _, l := range links {
		asking.Go(func() { // ends with ctx
			req := u.request(method, []byte(`{}`))
			_, err := l.conn.Handler.Handle(ctx, req, mcp.Discard)
			if mcp.IsWireError(err) {
				err = nil // it answers, if only that it does not know the method
			}
			answers <- err
		})
	}
	var err error
	for range links {
		if err = <-answers; err == nil {
			return nil
		}
	}
	return err
}
