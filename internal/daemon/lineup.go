package daemon

import (
	"context"
	"reflect"
	"time"

	"github.com/fairlead-mcp/fairlead/internal/config"
	"github.com/fairlead-mcp/fairlead/internal/gateway"
	"github.com/fairlead-mcp/fairlead/internal/upstream"
)

// lineup is what the node serves at one moment. It is immutable.
type lineup struct {
	cfg     *config.Config
	members []*member // in order of precedence
}

// member is one upstream of the node. Its place in a lineup does not change.
type member struct {
	name     string
	spec     upstream.Spec // without the defaults, to compare with
	critical bool          // without it the node is not ready
	up       *upstream.Upstream
}

func (l *lineup) find(name string) *member {
	for _, m := range l.members {
		if m.name == name {
			return m
		}
	}
	return nil
}

func (l *lineup) upstreams() []*upstream.Upstream {
	list := make([]*upstream.Upstream, len(l.members))
	for i, m := range l.members {
		list[i] = m.up
	}
	return list
}

// blueprint is a member that may have to be made.
type blueprint struct {
	member
	opts func() *upstream.Options
}

func (b *blueprint) make() *member {
	m := b.member
	m.up = upstream.New(m.name, m.spec, b.opts())
	return &m
}

// blueprints are the members that a config asks for, those of the program first.
func (d *Daemon) blueprints(cfg *config.Config) []*blueprint {
	var list []*blueprint
	for i := range d.opts.Servers {
		list = append(list, d.server(&d.opts.Servers[i], cfg))
	}
	for i := range cfg.Upstreams {
		u := &cfg.Upstreams[i]
		list = append(list, &blueprint{member{name: u.Name, spec: d.spec(u), critical: u.Critical}, func() *upstream.Options {
			opts := d.upstreamOptions()
			opts.Permit = d.permit(u)
			return opts
		}})
	}
	return list
}

// shape is the lineup as the gateway shows it.
func (l *lineup) shape() gateway.Shape {
	return gateway.Shape{Upstreams: l.upstreams(), Virtual: virtual(l.cfg), ToolSearch: l.cfg.ToolSearch}
}

// changed counts what an apply has done, by name.
type changed struct {
	added, changed, removed []string
	same                    int
}

// apply makes cfg what the node serves. What is the same in it is not touched. An
// upstream that is different is started beside the old one, which serves until the
// new one is ready or its start timeout is over. What is gone gets no new calls,
// finishes those that run, and is stopped. d.changing is held; nothing here can fail.
func (d *Daemon) apply(cfg *config.Config) (sum changed) {
	last, next := d.now.Load(), &lineup{cfg: cfg}
	var leaving []*member
	for _, b := range d.blueprints(cfg) {
		m := last.find(b.name)
		switch {
		case m == nil:
			sum.added = append(sum.added, b.name)
			m = b.make()
			d.start(m)
		case same(m.spec, b.spec):
			sum.same++
			d.takeBack(b.name)
			m = &member{m.name, m.spec, b.critical, m.up}
		case d.pending[b.name] != nil && same(d.pending[b.name].spec, b.spec):
			sum.same++ // the change is on its way already
			d.pending[b.name].critical = b.critical
		default:
			sum.changed = append(sum.changed, b.name)
			d.takeBack(b.name)
			successor := b.make()
			d.start(successor)
			d.pending[b.name] = successor
			d.changes.Go(func() { d.succeed(successor) })
		}
		next.members = append(next.members, m)
	}
	for _, m := range last.members {
		if next.find(m.name) == nil {
			sum.removed = append(sum.removed, m.name)
			d.takeBack(m.name)
			leaving = append(leaving, m)
		}
	}
	d.publish(next)
	for _, m := range leaving {
		d.retire(m)
	}
	return sum
}

func same(a, b upstream.Spec) bool { return reflect.DeepEqual(a, b) }

// publish makes a lineup the one that is served.
func (d *Daemon) publish(next *lineup) {
	d.now.Store(next)
	d.gateway.Set(next.shape())
	for _, h := range d.front.follow(d.gateway) {
		d.changes.Go(func() {
			ctx, cancel := context.WithTimeout(d.life, next.cfg.ShutdownGrace)
			defer cancel()
			if err := h.Close(ctx); err != nil {
				d.log.Warn("sessions of a removed endpoint are ended", "err", err)
			}
		})
	}
	d.monitor.Set(d.watched(next))
}

// start runs a member in the supervision tree.
func (d *Daemon) start(m *member) {
	remove := d.tree.Add(m.name, m.up)
	d.removesMu.Lock()
	defer d.removesMu.Unlock()
	d.removes[m.up] = remove
}

// succeed waits until a member can serve, or has had its time, and puts it in the
// place of the one that it has been started beside.
func (d *Daemon) succeed(m *member) {
	m.up.Wake() // also one that otherwise starts when it is called
	timer := time.NewTimer(m.up.Spec().StartTimeout)
	defer timer.Stop()
	select {
	case <-m.up.Listed():
	case <-timer.C:
		d.log.Warn("upstream serves although it is not ready", "component", "config", "upstream", m.name, "err", m.up.Status().LastError)
	case <-d.life.Done():
		return
	}
	d.changing.Lock()
	defer d.changing.Unlock()
	if d.pending[m.name] != m {
		return // there has been another change meanwhile
	}
	delete(d.pending, m.name)
	last := d.now.Load()
	next := &lineup{cfg: last.cfg}
	var old *member
	for _, o := range last.members {
		if o.name == m.name {
			old, o = o, m
		}
		next.members = append(next.members, o)
	}
	d.publish(next)
	d.log.Info("upstream replaced", "component", "config", "upstream", m.name)
	d.retire(old)
}

// takeBack drops the successor that an upstream is waiting for, if there is one.
func (d *Daemon) takeBack(name string) {
	if m := d.pending[name]; m != nil {
		delete(d.pending, name)
		d.retire(m)
	}
}

// retire lets the calls of a member that serves no more finish, for as long as calls
// get when the node stops, and stops it.
func (d *Daemon) retire(m *member) {
	m.up.Retire()
	grace := d.now.Load().cfg.ShutdownGrace
	d.changes.Go(func() {
		ctx, cancel := context.WithTimeout(d.life, grace)
		defer cancel()
		if m.up.Idle(ctx) != nil {
			if d.life.Err() != nil {
				return // the tree is about to be stopped as a whole
			}
			d.log.Warn("calls are ended", "component", "config", "upstream", m.name, "reason", "the upstream has been replaced or removed, and the shutdown grace is over")
		}
		d.removesMu.Lock()
		remove := d.removes[m.up]
		delete(d.removes, m.up)
		d.removesMu.Unlock()
		if err := remove(); err != nil && d.life.Err() == nil {
			d.log.Warn("upstream not stopped", "component", "config", "upstream", m.name, "err", err)
		}
	})
}
