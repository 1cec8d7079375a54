package daemon

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/fairlead-mcp/fairlead/internal/adminapi"
	"github.com/fairlead-mcp/fairlead/internal/config"
	"github.com/fairlead-mcp/fairlead/internal/health"
)

// Source is the file that a node is made of, so that it can be read again.
type Source struct {
	Path string
	// Text is what the config of the start was parsed from.
	Text []byte
	// Read returns the file as it stands.
	Read func() ([]byte, error)
	// Parse makes a config of a file's text, with the flags of the command line over
	// it, and notes about what it leaves out.
	Parse func(text []byte) (cfg *config.Config, notes []*config.Error, err error)
}

// ErrNoSource says that there is nothing to read again.
var ErrNoSource = errors.New("this node was started without a config file")

// reloads is what the node knows about the changes of its config.
type reloads struct {
	mu      sync.Mutex
	loaded  time.Time // when the config that is served was taken over
	by      string
	hash    string
	failure *reloadFailure // of the last change; nil if it went well
}

type reloadFailure struct {
	at  time.Time
	by  string
	err error
}

const configComponent = "config"

// check is how the component is: a config that was refused is to be looked at.
func (r *reloads) check(context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.failure == nil {
		return nil
	}
	return health.Warn(fmt.Errorf("the change by %s was refused, the node goes on with what it had: %w", r.failure.by, r.failure.err))
}

// Reload reads the config again and serves what it says. by says who wants it. A
// config that is wrong, or that asks for what a running node cannot change, changes
// nothing; the error then says all that is wrong.
func (d *Daemon) Reload(by string) (*adminapi.ConfigChange, error) {
	if d.opts.Source == nil {
		return nil, ErrNoSource
	}
	return d.change(by, d.opts.Source.Read)
}

// change serves the config that read returns.
func (d *Daemon) change(by string, read func() ([]byte, error)) (*adminapi.ConfigChange, error) {
	d.changing.Lock()
	defer d.changing.Unlock()
	if d.draining.Load() || d.life == nil || d.settled {
		return nil, errors.New("the node is starting or stopping")
	}
	log := d.log.With("component", configComponent, "by", by)
	text, err := read()
	var out *adminapi.ConfigChange
	if err == nil {
		out, err = d.take(text, by)
	}
	r := &d.reloads
	r.mu.Lock()
	if r.failure = nil; err != nil {
		r.failure = &reloadFailure{time.Now(), by, err}
	}
	r.mu.Unlock()
	d.monitor.Wake(configComponent)
	if err != nil {
		log.Error("config refused, nothing changed", "err", err)
		return nil, err
	}
	log.Info("config taken over", "added", out.Added, "changed", out.Changed, "removed", out.Removed)
	return out, nil
}

// take checks a config, makes all of it that can fail, and only then serves it.
func (d *Daemon) take(text []byte, by string) (*adminapi.ConfigChange, error) {
	src := d.opts.Source
	cfg, notes, err := src.Parse(text)
	if err == nil {
		err = d.cfg.Frozen(cfg, src.Path, text)
	}
	if err == nil {
		err = d.namesAreFree(cfg)
	}
	if err == nil {
		err = d.approved(cfg)
	}
	if err != nil {
		return nil, err
	}
	cert, err := certificate(cfg)
	if err != nil {
		return nil, err
	}

	d.cert.Store(cert)
	d.auth.set(cfg.Auth.Tokens)
	sum := d.apply(cfg)
	r := &d.reloads
	r.mu.Lock()
	r.loaded, r.by, r.hash = time.Now(), by, hashOf(text)
	r.mu.Unlock()
	out := &adminapi.ConfigChange{Added: nonNil(sum.added), Changed: nonNil(sum.changed), Removed: nonNil(sum.removed), Same: sum.same, Notes: findings(notes)}
	return out, nil
}

func nonNil(list []string) []string { return append([]string{}, list...) }

func hashOf(text []byte) string {
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

// certificate loads the one of the MCP listener; nil for plain HTTP.
func certificate(cfg *config.Config) (*tls.Certificate, error) {
	if cfg.TLS.Cert == "" {
		return nil, nil //nolint:nilnil // there is none, and that is fine
	}
	cert, err := tls.LoadX509KeyPair(cfg.TLS.Cert, cfg.TLS.Key)
	if err != nil {
		return nil, config.Errors{{Path: "tls", What: err.Error(), Hint: "write files that belong together: the certificate chain and its private key, in PEM"}}
	}
	return &cert, nil
}

// approved refuses commands that nobody has approved, where commands need that: as
// a start of the node would.
func (d *Daemon) approved(cfg *config.Config) error {
	if d.opts.Approvals == nil {
		return nil
	}
	if d.opts.ForeignOnly {
		cfg = cfg.Foreign()
	}
	pending, err := d.opts.Approvals.Pending(cfg)
	if err != nil {
		return config.Errors{{File: d.opts.Source.Path, What: err.Error(), Hint: "install the program, or write its full path"}}
	}
	var errs config.Errors
	for _, c := range pending {
		errs = append(errs, &config.Error{
			File: d.opts.Source.Path, Path: c.Upstream, What: fmt.Sprintf("the command %q is not approved", c.Argv),
			Hint: "look at it and run: fairlead approve " + d.opts.Source.Path,
		})
	}
	if len(errs) == 0 {
		return nil // a nil Errors would not be a nil error
	}
	return errs
}

// findings are errors of a config as the API has them.
func findings(errs []*config.Error) []adminapi.Finding {
	out := []adminapi.Finding{}
	for _, e := range errs {
		out = append(out, adminapi.Finding{File: e.File, Line: e.Line, Column: e.Column, Key: e.Path, What: e.What, Hint: e.Hint})
	}
	return out
}

func findingsOf(err error) []adminapi.Finding {
	if list, ok := errors.AsType[config.Errors](err); ok {
		return findings(list)
	}
	return []adminapi.Finding{{What: err.Error()}}
}

// configStatus is the config as the API shows it; nil without a file.
func (d *Daemon) configStatus() *adminapi.Config {
	if d.opts.Source == nil {
		return nil
	}
	d.changing.Lock()
	changing := []string{}
	for name := range d.pending {
		changing = append(changing, name)
	}
	d.changing.Unlock()
	r := &d.reloads
	r.mu.Lock()
	defer r.mu.Unlock()
	c := &adminapi.Config{File: d.opts.Source.Path, Watched: d.now.Load().cfg.Watch, Loaded: r.loaded, By: r.by, Hash: r.hash, Changing: changing}
	if f := r.failure; f != nil {
		c.Refused = &adminapi.Refusal{At: f.at, By: f.by, Findings: findingsOf(f.err)}
	}
	return c
}
