package daemon

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"time"

	"github.com/fairlead-mcp/fairlead/internal/adminapi"
	"github.com/fairlead-mcp/fairlead/internal/handover"
	"github.com/fairlead-mcp/fairlead/internal/upstream"
	"github.com/fairlead-mcp/fairlead/mcp"
)

// maxKeys bounds the sealing keys that go from process to process.
const maxKeys = 16

// sealKeys makes the key of this process, beside those of the processes before it. A
// handle names its key, and so the process that made it.
func (d *Daemon) sealKeys() []mcp.SealKey {
	own := mcp.SealKey{}
	rand.Read(own.Secret[:]) // never fails
	keys := []mcp.SealKey{own}
	if from := d.predecessor(); from != nil {
		for _, k := range from.Keys[:min(len(from.Keys), maxKeys-1)] {
			key := mcp.SealKey{ID: k.ID}
			copy(key.Secret[:], k.Secret)
			keys = append(keys, key)
		}
		if len(from.Keys) > 0 {
			keys[0].ID = from.Keys[0].ID + 1
		}
	}
	return keys
}

// predecessor is the process to take over from, or nil.
func (d *Daemon) predecessor() *handover.Predecessor {
	if d.opts.Inherited == nil {
		return nil
	}
	return d.opts.Inherited.From
}

// takeOver makes this process the node's: it waits until it can do what the running
// process does, says so, and opens the gate of its listeners when that one has
// stepped aside. What belongs to that one goes there until it has ended.
func (d *Daemon) takeOver(ctx context.Context, down *teardown) error {
	from := d.predecessor()
	if from == nil {
		d.sweepRelays()
		return nil
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() { // ends with ctx
		select {
		case <-d.stopping:
			cancel()
		case <-ctx.Done():
		}
	}()
	if err := d.asGood(ctx, from.Serving); err != nil {
		return err
	}
	socket := d.relaySocket("new")
	ln, err := listenSocket(ctx, "data", socket)
	if err != nil {
		return fmt.Errorf("socket for the running process: %w", err)
	}
	limit := newLimited(ln, maxConnections, nil)
	s := d.startServer("relay", d.relayServer(false), shown{limit, d.mcpAddr}, limit, down, d.broken)
	down.push("relayed calls", func(grace context.Context) error {
		nothing := make(chan error, 1)
		nothing <- nil
		s.shutdown(grace, nothing)
		return nil
	})
	err = from.Send(handover.Message{Ready: &handover.Ready{PID: os.Getpid(), Version: d.opts.Version, Relay: socket, Admin: d.cfg.AdminSocket}})
	if err != nil {
		return fmt.Errorf("take over: %w", err)
	}
	stopWaiting := context.AfterFunc(ctx, func() { _ = from.Close() })
	m, err := from.Receive()
	stopWaiting()
	switch {
	case err != nil:
		return errors.Join(errors.New("take over: the running process has gone before it stepped aside"), err)
	case !m.Go:
		return errors.New("take over: the running process does not step aside")
	}
	if len(from.Keys) > 0 {
		d.front.elsewhere.Store(newRelay(d.front, int64(d.cfg.Limits.Body), from.Relay, from.Keys[0].ID, false, d.log))
	}
	d.own()
	d.log.Info("taken over", "component", "upgrade", "old_pid", from.PID)
	d.followReplaced(from, m.Draining, down)
	return nil
}

// asGood waits until the upstreams that the running process serves are ready here
// too, those that this one's config still has.
func (d *Daemon) asGood(ctx context.Context, serving []string) error {
	for _, u := range d.now.Load().upstreams() {
		if !slices.Contains(serving, u.Name()) {
			continue
		}
		if err := u.WaitReady(ctx); err != nil {
			reason := err
			if f, ok := errors.AsType[*upstream.Failure](err); ok && f.Err != nil {
				reason = f.Err
			}
			return fmt.Errorf("upstream %q is ready in the running process and not in the new one: %w", u.Name(), reason)
		}
	}
	return nil
}

// followReplaced listens to the process that was replaced until it has ended.
func (d *Daemon) followReplaced(from *handover.Predecessor, left *handover.Draining, down *teardown) {
	note := func(p *handover.Draining) {
		if p != nil {
			d.replaces.Store(&adminapi.Replaced{PID: from.PID, Sessions: p.Sessions, Calls: p.Calls, Until: p.Until})
		}
	}
	note(left)
	gone := make(chan struct{})
	go func() { // ends with the connection
		defer close(gone)
		for {
			m, err := from.Receive()
			if err != nil || m.Ended {
				break
			}
			note(m.Draining)
		}
		d.front.elsewhere.Store(nil)
		d.replaces.Store(nil)
		d.log.Info("replaced process has ended", "component", "upgrade", "old_pid", from.PID)
		_ = from.Close()
	}()
	d.replacedGone = gone
	down.push("replaced process", func(context.Context) error {
		_ = from.Send(handover.Message{End: true}) // an error means that it has gone
		_ = from.Close()
		<-gone
		return nil
	})
}

// alone waits for an earlier process that still drains, if now; else it refuses.
func (d *Daemon) alone(ctx context.Context, now bool) error {
	r := d.replaces.Load()
	if r == nil {
		return nil
	}
	if !now {
		return fmt.Errorf("the process before this one, %d, still drains: %d sessions, %d calls, until %s at the latest", r.PID, r.Sessions, r.Calls, r.Until.Format(time.TimeOnly))
	}
	_ = d.predecessor().Send(handover.Message{End: true})
	select {
	case <-d.replacedGone:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

var relayName = regexp.MustCompile(`^(old|new)-[0-9]+\.sock$`)

// sweepRelays removes the sockets of processes that have died in an upgrade.
func (d *Daemon) sweepRelays() {
	left, _ := filepath.Glob(filepath.Join(d.cfg.Data, "*-*.sock"))
	left = slices.DeleteFunc(left, func(path string) bool { return !relayName.MatchString(filepath.Base(path)) })
	for _, path := range left {
		if c, err := net.DialTimeout("unix", path, time.Second); err == nil {
			_ = c.Close()
			continue
		}
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			d.log.Warn("socket not removed", "component", "upgrade", "path", path, "err", err)
		}
	}
}
