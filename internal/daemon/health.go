package daemon

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/fairlead-mcp/fairlead/internal/adminapi"
	"github.com/fairlead-mcp/fairlead/internal/health"
	"github.com/fairlead-mcp/fairlead/internal/upstream"
)

const upstreamPrefix = "upstream "

// newMonitor watches the upstreams and the machine.
func (d *Daemon) newMonitor(l *lineup) *health.Monitor {
	d.resources = health.Resources(d.cfg.Data)
	return health.New(d.watched(l), &health.Options{OnChange: func(before health.State, now health.Status) {
		log := d.log.With("component", "health", "of", now.Name, "state", string(now.State), "before", string(before))
		if now.State == health.Healthy {
			log.Info("component changed")
			return
		}
		log.Warn("component changed", "reason", now.Reason)
	}})
}

// watched are the components of a lineup.
func (d *Daemon) watched(l *lineup) (list []health.Component) {
	for _, m := range l.members {
		list = append(list, health.Component{Name: upstreamPrefix + m.name, Critical: m.critical, Check: probe(m.up), Every: d.opts.ProbeEvery, Timeout: d.opts.ProbeTimeout})
	}
	if d.opts.Source != nil {
		list = append(list, health.Component{Name: configComponent, Check: d.reloads.check})
	}
	return append(list, d.resources...)
}

// probe is the check of an upstream. One that is busy works.
func probe(u *upstream.Upstream) func(context.Context) error {
	return func(ctx context.Context) error {
		err := u.Probe(ctx)
		if errors.Is(err, upstream.ErrBusy) {
			return health.Warn(err)
		}
		return err
	}
}

// runMonitor checks until it is taken down.
func (d *Daemon) runMonitor(ctx context.Context, down *teardown) {
	monitorCtx, stop := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan struct{})
	go func() { // ends with stop
		defer close(done)
		d.monitor.Run(monitorCtx)
	}()
	down.push("health", func(context.Context) error {
		stop()
		<-done // a check that runs is bounded by its context
		return nil
	})
}

// components are the components as others see them. The reasons may name paths and
// addresses: the probes, which need no token, go without.
func (d *Daemon) components(reasons bool) []adminapi.Component {
	list := []adminapi.Component{}
	for _, s := range d.monitor.Snapshot() {
		c := adminapi.Component{Name: s.Name, State: string(s.State), Since: s.Since, Critical: s.Critical}
		if reasons {
			c.Reason = s.Reason
		}
		list = append(list, c)
	}
	return list
}

// readiness says whether the node takes calls. It is unavailable only while it
// starts or drains, or without an upstream that is critical: with any other one
// down the others are served, and a balancer that took all nodes out would help nobody.
func (d *Daemon) readiness() *adminapi.Health {
	h := &adminapi.Health{Status: adminapi.OK, Components: d.components(false)}
	switch {
	case d.draining.Load():
		h.Status, h.Reason = adminapi.Unavailable, "draining"
		return h
	case !d.ready.Load():
		h.Status, h.Reason = adminapi.Unavailable, "not listening yet"
		return h
	}
	for _, c := range h.Components {
		switch {
		case c.State == string(health.Unhealthy) && c.Critical && strings.HasPrefix(c.Name, upstreamPrefix):
			h.Status, h.Reason = adminapi.Unavailable, c.Name+" is critical and unhealthy"
			return h
		case c.State == string(health.Unhealthy) || c.State == string(health.Degraded):
			h.Status, h.Reason = adminapi.Degraded, c.Name+" is "+c.State
		}
	}
	return h
}

// startup says whether every upstream has had its first attempt.
func (d *Daemon) startup() *adminapi.Health {
	h := &adminapi.Health{Status: adminapi.OK, Components: d.components(false)}
	if !d.ready.Load() && !d.draining.Load() {
		h.Status, h.Reason = adminapi.Unavailable, "not listening yet"
		return h
	}
	for _, u := range d.now.Load().upstreams() {
		if st := u.Status(); st.State == upstream.Starting {
			h.Status, h.Reason = adminapi.Unavailable, upstreamPrefix+u.Name()+" is starting"
			return h
		}
	}
	return h
}

// healthAll is the verdict over all components.
func (d *Daemon) healthAll() *adminapi.Health {
	h := &adminapi.Health{Components: d.components(false)}
	switch d.monitor.Verdict() {
	case health.Healthy:
		h.Status = adminapi.OK
	case health.Unhealthy:
		h.Status = adminapi.Unavailable
	default:
		h.Status = adminapi.Degraded
	}
	return h
}

// statusOf is the HTTP status of a probe.
func statusOf(h *adminapi.Health) int {
	if h.Status == adminapi.Unavailable {
		return http.StatusServiceUnavailable
	}
	return http.StatusOK
}
