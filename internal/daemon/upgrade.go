package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/fairlead-mcp/fairlead/internal/adminapi"
	"github.com/fairlead-mcp/fairlead/internal/handover"
	"github.com/fairlead-mcp/fairlead/internal/upstream"
)

// The upgrade of a node, from the side of the process that runs:
//
//	Upgrade ─> serve ─> replaceBy ── Start, Await: the new process is ready, or the reason
//	                        └─ step aside: requests that are not ours go there, listeners
//	                           are closed, Go
//	           serve ─> outlive: until nothing is left that only this process has
//	           Run ───> teardown, as at any end

// upgrade is a request to be replaced.
type upgrade struct {
	adminapi.Upgrade
	done chan<- upgradeResult // has room for one
}

type upgradeResult struct {
	*adminapi.Upgraded
	err error
}

// errUpgrading refuses an upgrade while there is another.
var errUpgrading = errors.New("another upgrade is under way")

// Upgrade replaces this process by a new one, which takes over the listeners; this one
// drains and Run returns. An error says why the new process has not come to be; then
// nothing has changed.
func (d *Daemon) Upgrade(ctx context.Context, u adminapi.Upgrade) (*adminapi.Upgraded, error) {
	switch {
	case d.opts.Program.Path == "":
		return nil, errors.New("this program has not said how it is started anew")
	case os.Getpid() == 1:
		return nil, errors.New("the node is process 1 of its container, which would end with it: replace the container")
	}
	if !d.upgrading.CompareAndSwap(false, true) {
		return nil, errUpgrading
	}
	done := make(chan upgradeResult, 1)
	d.upgrades <- upgrade{u, done} // has room: there is one at a time
	select {
	case r := <-done:
		return r.Upgraded, r.err
	case <-d.ended:
		return nil, errors.New("the node is stopping")
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// serveUpgrade is Upgrade for the admin socket. It outlasts what an operator who
// gives up waits for: the upgrade goes on.
func (d *Daemon) serveUpgrade(w http.ResponseWriter, r *http.Request) {
	var u adminapi.Upgrade
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 64<<10))
	if err == nil {
		err = json.Unmarshal(body, &u)
	}
	if err != nil {
		http.Error(w, "not an upgrade: "+err.Error(), http.StatusBadRequest)
		return
	}
	control := http.NewResponseController(w)
	_ = control.SetReadDeadline(time.Time{})
	_ = control.SetWriteDeadline(time.Time{})
	out, err := d.Upgrade(r.Context(), u)
	_ = control.SetWriteDeadline(time.Now().Add(flush))
	if err != nil {
		answer(w, http.StatusConflict, &adminapi.Refused{Findings: findingsOf(err)})
		return
	}
	answer(w, http.StatusOK, out)
}

// replaceBy starts the new process and steps aside for it once it is ready.
func (d *Daemon) replaceBy(ctx context.Context, down *teardown, u adminapi.Upgrade) (s *handover.Successor, out *adminapi.Upgraded, err error) {
	if err := d.alone(ctx, u.Now); err != nil {
		return nil, nil, err
	}
	program := d.opts.Program
	if u.Program != "" {
		program.Path = u.Program
	}
	wait := time.Duration(u.WaitMillis) * time.Millisecond
	if wait <= 0 {
		for _, up := range d.now.Load().upstreams() {
			wait = max(wait, up.Spec().StartTimeout)
		}
		wait += 30 * time.Second
	}
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	go func() { // ends with ctx
		select {
		case <-d.stopping:
			cancel()
		case <-ctx.Done():
		}
	}()

	if err := d.yieldState(); err != nil {
		return nil, nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, d.resumeState())
		}
	}()
	relaySocket := d.relaySocket("old")
	ln, err := listenSocket(ctx, "data", relaySocket)
	if err != nil {
		return nil, nil, fmt.Errorf("socket for the new process: %w", err)
	}
	s, err = handover.Start(program, d.public, d.hello(relaySocket))
	if err != nil {
		return nil, nil, errors.Join(err, ln.Close())
	}
	d.log.Info("upgrade begins", "component", "upgrade", "program", program.Path, "new_pid", s.PID)
	ready, err := s.Await(ctx)
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("%s: %w", program.Path, err), ln.Close())
	}
	until := time.Now().Add(d.now.Load().cfg.UpgradeGrace)
	d.stepAside(down, s, ready, ln, until)
	return s, &adminapi.Upgraded{PID: ready.PID, Version: ready.Version, Replaced: os.Getpid(), Until: until}, nil
}

// yieldState gives the state of the node to the new process, which reads its config
// there. Nothing changes meanwhile: a change of the config is refused.
func (d *Daemon) yieldState() error {
	d.changing.Lock() // a change that is under way ends first
	defer d.changing.Unlock()
	if d.state == nil {
		return nil
	}
	return d.state.Yield()
}

// resumeState takes it back when the new process has not come to be.
func (d *Daemon) resumeState() error {
	if d.state == nil {
		return nil
	}
	return d.state.Resume()
}

// relaySocket is where this process takes requests from the other one of an
// upgrade, which knows it as the old or the new one.
func (d *Daemon) relaySocket(side string) string {
	return filepath.Join(d.cfg.Data, side+"-"+strconv.Itoa(os.Getpid())+".sock")
}

// hello is what the new process has to know.
func (d *Daemon) hello(relay string) handover.Hello {
	h := handover.Hello{PID: os.Getpid(), Relay: relay, Addresses: d.addresses}
	for _, k := range d.keys {
		h.Keys = append(h.Keys, handover.Key{ID: k.ID, Secret: k.Secret[:]})
	}
	for _, u := range d.now.Load().upstreams() {
		if u.Status().State == upstream.Ready {
			h.Serving = append(h.Serving, u.Name())
		}
	}
	return h
}

// stepAside lets the new process accept instead of this one. What comes on
// connections that this one has goes there too, but for what it alone knows.
func (d *Daemon) stepAside(down *teardown, s *handover.Successor, ready *handover.Ready, relayed net.Listener, until time.Time) {
	d.front.relaying.Store(true)
	limit := newLimited(relayed, maxConnections, nil)
	relay := d.startServer("relay", d.relayServer(true), shown{limit, d.mcpAddr}, limit, down, d.broken)
	d.servers = append(d.servers, relay)
	down.push("relayed calls", func(grace context.Context) error {
		relay.leave(grace) // what was on its way is answered
		nothing := make(chan error, 1)
		nothing <- nil
		relay.shutdown(grace, nothing)
		return nil
	})
	d.front.elsewhere.Store(newRelay(d.front, int64(d.cfg.Limits.Body), ready.Relay, d.keys[0].ID, true, d.log))
	d.adminElsewhere.Store(adminRelay(ready.Admin))
	for _, l := range d.public {
		if u, ok := l.Listener.(*net.UnixListener); ok {
			u.SetUnlinkOnClose(false) // it is the new process's
		}
	}
	for _, srv := range d.servers {
		if srv != relay {
			srv.closeListener()
		}
	}
	d.opts.Notify.MainPID(ready.PID) // only this process can say so, and from then on only that one is heard
	if err := s.Send(handover.Message{Go: true, Draining: d.drains(until)}); err != nil {
		d.log.Error("the new process has gone", "component", "upgrade", "err", err)
	}
	d.draining.Store(true)
	d.log.Info("upgraded", "component", "upgrade", "new_pid", ready.PID, "version", ready.Version)
	for _, srv := range d.servers {
		if srv != relay {
			srv.leaving.Store(true)
		}
	}
	d.front.endSubscriptions()
}

// adminRelay passes requests on to the admin socket of the new process.
func adminRelay(socket string) *httputil.ReverseProxy {
	return &httputil.ReverseProxy{
		Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", socket)
		}},
		Rewrite: func(p *httputil.ProxyRequest) { p.SetURL(&url.URL{Scheme: "http", Host: "localhost"}) },
	}
}

// outlive waits until nothing is left that only this process has: sessions, calls,
// handles that stand for something here. It waits no longer than the grace, nor
// than the new process lives or wants, nor than ctx.
func (d *Daemon) outlive(ctx context.Context, s *handover.Successor, until time.Time) {
	gone, endNow := make(chan struct{}), make(chan struct{})
	end := sync.OnceFunc(func() { close(endNow) })
	go func() { // ends with the connection
		defer close(gone)
		for {
			m, err := s.Receive()
			if err != nil {
				return
			}
			if m.End {
				end()
			}
		}
	}()
	defer func() {
		// Who has gone need not know; else the answer is the end of the connection, after
		// which nothing new is on its way here.
		if s.Send(handover.Message{Ended: true}) == nil {
			select {
			case <-gone:
			case <-time.After(flush):
			}
		}
		_ = s.Close()
		<-gone
	}()
	deadline := time.NewTimer(time.Until(until))
	defer deadline.Stop()
	tick := time.NewTicker(drainLook)
	defer tick.Stop()
	for {
		left := d.drains(until)
		if left.Sessions == 0 && left.Calls == 0 && time.Now().After(d.gateway.HandlesUntil()) {
			d.log.Info("replaced process has drained", "component", "upgrade")
			return
		}
		_ = s.Send(handover.Message{Draining: left}) // who has gone need not know
		reason := ""
		select {
		case <-tick.C:
		case <-deadline.C:
			reason = "upgrade_grace is over"
		case <-endNow:
			reason = "the new process wants it"
		case <-gone:
			reason = "the new process has ended"
		case <-d.stopping:
			reason = "asked to"
		case <-ctx.Done():
			reason = "asked to"
		}
		if reason != "" {
			d.log.Info("replaced process stops", "component", "upgrade", "reason", reason, "sessions", left.Sessions, "calls", left.Calls)
			return
		}
	}
}

// drains is what this process has that the new one has not.
func (d *Daemon) drains(until time.Time) *handover.Draining {
	left := &handover.Draining{Sessions: d.front.sessions(), Until: until}
	for _, srv := range d.servers {
		if srv.counts {
			left.Calls += int(srv.calls.Load())
		}
	}
	return left
}

// drainLook is how often a process that was replaced looks whether it is needed.
const drainLook = 200 * time.Millisecond
