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
	// RolledBack is the generation whose text that is, if it is not the file's; see [RolledBack].
	RolledBack uint64
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
	mu sync.Mutex
	served
}

type served struct {
	loaded     time.Time // when the config that is served was taken over
	by         string
	hash       string
	generation uint64         // 0 if none is kept
	rolledBack uint64         // the generation that is served in place of the file; 0 for the file
	failure    *reloadFailure // of the last change; nil if it went well
}

func (r *reloads) get() served {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.served
}

func (r *reloads) set(edit func(*served)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	edit(&r.served)
}

type reloadFailure struct {
	at  time.Time
	by  string
	err error
}

const configComponent = "config"

// check is how the component is: a config that was refused is to be looked at.
func (r *reloads) check(context.Context) error {
	f := r.get().failure
	if f == nil {
		return nil
	}
	return health.Warn(fmt.Errorf("the change by %s was refused, the node goes on with what it had: %w", f.by, f.err))
}

// Reload reads the config again and serves what it says. by says who wants it. A
// config that is wrong, or that asks for what a running node cannot change, changes
// nothing; the error then says all that is wrong.
func (d *Daemon) Reload(by string) (*adminapi.ConfigChange, error) {
	if d.opts.Source == nil {
		return nil, ErrNoSource
	}
	text, err := d.opts.Source.Read()
	if err != nil {
		return nil, d.refuse(by, err)
	}
	return d.change(by, text, &rollback{})
}

// reloadChanged is Reload by the watch: what it has seen may be another certificate,
// which is no reason to end a rollback.
func (d *Daemon) reloadChanged() {
	const by = "watch"
	if s := d.reloads.get(); s.rolledBack != 0 && d.state != nil {
		ctx, cancel := context.WithTimeout(context.Background(), stateTimeout)
		defer cancel()
		back, _, err := rolledBack(ctx, d.state)
		file, readErr := d.opts.Source.Read()
		if err == nil && readErr == nil && back != nil && back.File == hashOf(file) {
			if g, err := generationOf(ctx, d.state, s.generation); err == nil {
				_, _ = d.change(by, []byte(g.Text), nil) // it is in the log and in the status
				return
			}
		}
	}
	_, _ = d.Reload(by) // it is in the log and in the status
}

// refuse remembers why a change was refused; nil that it was not.
func (d *Daemon) refuse(by string, err error) error {
	d.reloads.set(func(s *served) {
		if s.failure = nil; err != nil {
			s.failure = &reloadFailure{time.Now(), by, err}
		}
	})
	d.monitor.Wake(configComponent)
	if err != nil {
		d.log.Error("config refused, nothing changed", "component", configComponent, "by", by, "err", err)
	}
	return err
}

// change serves a text; back says whether that is a rollback.
func (d *Daemon) change(by string, text []byte, back *rollback) (*adminapi.ConfigChange, error) {
	d.changing.Lock()
	defer d.changing.Unlock()
	if err := d.changeable(); err != nil {
		return nil, err
	}
	if d.upgrading.Load() {
		return nil, errors.New("the node is being upgraded")
	}
	d.opts.Notify.Reloading()
	out, err := d.take(text, by, back)
	d.opts.Notify.Ready(d.summary())
	if d.refuse(by, err) != nil {
		return nil, err
	}
	d.log.Info("config taken over", "component", configComponent, "by", by, "generation", out.Generation, "added", out.Added, "changed", out.Changed, "removed", out.Removed)
	return out, nil
}

// take checks a config, makes all of it that can fail, and only then serves it.
func (d *Daemon) take(text []byte, by string, back *rollback) (*adminapi.ConfigChange, error) {
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
	cfg, more, err := d.withAdded(cfg)
	if err != nil {
		return nil, err
	}
	d.logNotes(more)
	notes = append(notes, more...)

	if err := d.remember(text, by, back); err != nil {
		return nil, fmt.Errorf("keep the config: %w", err)
	}

	d.cert.Store(cert)
	d.auth.set(cfg.Auth.Tokens)
	sum := d.apply(cfg)
	d.reloads.set(func(s *served) { s.loaded, s.by, s.hash = time.Now(), by, hashOf(text) })
	out := &adminapi.ConfigChange{Generation: d.reloads.get().generation, Added: nonNil(sum.added), Changed: nonNil(sum.changed), Removed: nonNil(sum.removed), Same: sum.same, Notes: findings(notes)}
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
	if err := cfg.Unpack(); err != nil {
		return err // only what is there can be measured
	}
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
	r := d.reloads.get()
	c := &adminapi.Config{File: d.opts.Source.Path, Watched: d.now.Load().cfg.Watch, Loaded: r.loaded, By: r.by, Hash: r.hash, Generation: r.generation, RolledBack: r.rolledBack, Changing: changing}
	if f := r.failure; f != nil {
		c.Refused = &adminapi.Refusal{At: f.at, By: f.by, Findings: findingsOf(f.err)}
	}
	return c
}
