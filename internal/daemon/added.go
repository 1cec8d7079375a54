package daemon

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/fairlead-mcp/fairlead/internal/adminapi"
	"github.com/fairlead-mcp/fairlead/internal/approval"
	"github.com/fairlead-mcp/fairlead/internal/config"
	"github.com/fairlead-mcp/fairlead/internal/state"
)

// Upstreams that an operator adds stand in the state of the node, beside those of its
// file. Where both have a name, the file's counts.
const addedPrefix = "upstreams/"

// withAdded returns cfg with the upstreams that were added to the node, and notes
// about those that cannot be had now.
func (d *Daemon) withAdded(cfg *config.Config) (*config.Config, []*config.Error, error) {
	if d.state == nil {
		return cfg, nil, nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), stateTimeout)
	defer cancel()
	kept, err := d.state.List(ctx, addedPrefix)
	if err != nil {
		return nil, nil, err
	}
	var notes []*config.Error
	all := *cfg
	all.Upstreams = slices.Clone(cfg.Upstreams)
	for _, key := range slices.Sorted(maps.Keys(kept)) {
		name := strings.TrimPrefix(key, addedPrefix)
		if taken(&all, d.opts.Servers, name) {
			notes = append(notes, &config.Error{Path: "upstreams." + name, What: "the one that was added by an operator is not served: the file or the program has another", Hint: "rename one of them"})
			continue
		}
		u, err := config.ParseUpstream(name, kept[key].Data, d.cfg.Data, d.opts.Lookup)
		if err != nil {
			list, _ := errors.AsType[config.Errors](err)
			notes = append(notes, list...)
			continue
		}
		if u.Timeout == 0 {
			u.Timeout = cfg.Limits.CallTimeout
		}
		u.Added = true
		all.Upstreams = append(all.Upstreams, *u)
	}
	return &all, notes, nil
}

// taken reports whether a name of /mcp/NAME is in use.
func taken(cfg *config.Config, servers []Server, name string) bool {
	return slices.ContainsFunc(cfg.Upstreams, func(u config.Upstream) bool { return u.Name == name }) ||
		slices.ContainsFunc(cfg.Virtual, func(v config.Virtual) bool { return v.Name == name }) ||
		slices.ContainsFunc(servers, func(s Server) bool { return s.Name == name })
}

// serveAdded puts the upstreams that were added in an earlier life of the node to those
// of the start.
func (d *Daemon) serveAdded() error {
	d.changing.Lock()
	defer d.changing.Unlock()
	cfg, notes, err := d.withAdded(d.now.Load().cfg)
	if err != nil {
		return err
	}
	d.logNotes(notes)
	if len(cfg.Upstreams) > len(d.now.Load().cfg.Upstreams) {
		d.apply(cfg)
	}
	return nil
}

func (d *Daemon) logNotes(notes []*config.Error) {
	for _, n := range notes {
		d.log.Warn("part of the config left out", "component", configComponent, "note", n.Error())
	}
}

// allow reports whether the command of an upstream that came by the API is approved.
func (d *Daemon) allow(u *config.Upstream) error {
	store := d.opts.Approvals
	if store == nil {
		var err error
		if store, err = approval.Open(d.cfg.Data, nil); err != nil {
			return err
		}
	}
	_, err := store.Allow(u)
	return err
}

// Add serves one more upstream from now on, over restarts too. What it would run must
// have been approved.
func (d *Daemon) Add(name string, keys []byte, by string) error {
	d.changing.Lock()
	defer d.changing.Unlock()
	if err := d.changeable(); err != nil {
		return err
	}
	u, err := config.ParseUpstream(name, keys, d.cfg.Data, d.opts.Lookup)
	if err != nil {
		return err
	}
	now := d.now.Load().cfg
	if taken(now, d.opts.Servers, name) {
		return config.Errors{{Path: "upstreams." + name, What: "there is an upstream or virtual server of this name", Hint: "choose another name"}}
	}
	if u.Command != "" {
		if err := d.allow(u); err != nil {
			return config.Errors{{Path: "upstreams." + name + ".command", What: err.Error(), Hint: `add it with "fairlead upstream add", which shows the command and asks`}}
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), stateTimeout)
	defer cancel()
	var revision uint64 // one that is kept, but not served, is replaced
	if v, err := d.state.Get(ctx, addedPrefix+name); err == nil {
		revision = v.Revision
	}
	if _, err := d.state.Set(ctx, addedPrefix+name, keys, revision); err != nil {
		return err
	}
	return d.reapply(by)
}

// Remove ends an upstream that was added: its calls finish first.
func (d *Daemon) Remove(name, by string) error {
	d.changing.Lock()
	defer d.changing.Unlock()
	if err := d.changeable(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), stateTimeout)
	defer cancel()
	v, err := d.state.Get(ctx, addedPrefix+name)
	if errors.Is(err, state.ErrNotFound) {
		if d.now.Load().find(name) == nil {
			return adminapi.ErrNotFound
		}
		return config.Errors{{Path: "upstreams." + name, What: "it was not added with \"fairlead upstream add\"", Hint: `take it out of the config and run "fairlead config reload"`}}
	}
	if err == nil {
		err = d.state.Delete(ctx, addedPrefix+name, v.Revision)
	}
	if err != nil {
		return err
	}
	return d.reapply(by)
}

// changeable reports whether upstreams can be added and removed now.
func (d *Daemon) changeable() error {
	if d.draining.Load() || d.life == nil || d.settled {
		return errors.New("the node is starting or stopping")
	}
	return nil
}

// reapply serves the config as it is with what is added to it now.
func (d *Daemon) reapply(by string) error {
	now := *d.now.Load().cfg
	now.Upstreams = slices.DeleteFunc(slices.Clone(now.Upstreams), func(u config.Upstream) bool { return u.Added })
	cfg, notes, err := d.withAdded(&now)
	if err != nil {
		return err
	}
	d.logNotes(notes)
	sum := d.apply(cfg)
	d.log.Info("operator acts", "component", "admin", "action", by, "upstream", fmt.Sprint(sum.added, sum.removed))
	return nil
}
