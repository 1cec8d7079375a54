package upstream

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

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
	// All are asked, and each is waited for: one that hangs is to be found out though
	// another answers. They get a little less time than the caller has.
	if deadline, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Until(deadline)*9/10)
		defer cancel()
	}
	errs := make([]error, len(links))
	var asking sync.WaitGroup
	for i, l := range links {
		asking.Go(func() { // ends with ctx
			_, err := l.conn.Handler.Handle(ctx, u.request(method, []byte(`{}`)), mcp.Discard)
			if mcp.IsWireError(err) {
				err = nil // it answers, if only that it does not know the method
			}
			errs[i] = u.judge(ctx, l, err)
		})
	}
	asking.Wait()
	if i := slices.Index(errs, nil); i >= 0 {
		return nil
	}
	return errs[0]
}

// ErrBusy says that a program leaves a probe unanswered while it works on calls that
// still have time: many programs do one thing at a time.
var ErrBusy = errors.New("busy with calls")

// judge says what a probe means for a connection. A program that leaves too many
// unanswered hangs: it is ended, and started again as one that has crashed.
func (u *Upstream) judge(ctx context.Context, l *link, err error) error {
	if !errors.Is(err, context.DeadlineExceeded) || ctx.Err() == nil || l.conn.PID == 0 {
		if err == nil {
			l.late.Store(false)
		}
		u.mu.Lock()
		l.silent = 0
		u.mu.Unlock()
		return err
	}
	u.mu.Lock()
	l.silent++
	silent := l.silent
	u.mu.Unlock()
	if l.calls.Load() > 0 && !l.late.Load() {
		return fmt.Errorf("%w: no answer to %d probes", ErrBusy, silent)
	}
	if silent >= u.spec.RestartAfter {
		hangs := fmt.Errorf("it hangs: no answer to %d probes in a row", silent)
		u.update(func() { u.status.LastError = hangs.Error() }) // its end takes a while
		l.end(hangs)
	}
	return err
}
