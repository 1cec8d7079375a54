// Package approval remembers which commands a person has allowed this node to
// run. A config file that somebody else wrote is a program that somebody else
// wrote: nothing in it runs before its exact arguments were shown and approved.
//
//	store, err := approval.Open(cfg.Data)
//	pending, err := store.Pending(cfg)
//	fmt.Print(approval.Prompt(pending))
//	if approval.Accepted(answer) {
//		err = store.Approve(pending...)
//	}
//
// What is pinned is the whole command line, the names of its environment
// variables, its directory and the program file. What the program reads in turn (a
// script that is an argument, a package that it downloads) is not; Describe marks such commands.
package approval

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
	"unicode/utf8"

	"github.com/fairlead-mcp/fairlead/internal/config"
)

const (
	fileName    = "approvals.json"
	fileVersion = 1
	maxFile     = 16 << 20 // far more than any person approves
)

// Store is the file of approved commands. Every call reads it anew, so several
// processes can share it: "fairlead approve" serves a node that runs. Safe for concurrent use.
type Store struct {
	path string
	now  func() time.Time
}

// Options of a Store.
type Options struct {
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// Entry is one approved command.
type Entry struct {
	Key      string    `json:"key"`
	Upstream string    `json:"upstream"`
	Argv     []string  `json:"argv"`
	Env      []string  `json:"env"`
	Dir      string    `json:"dir"`
	Path     string    `json:"path"`
	Digest   string    `json:"sha256"`
	Approved time.Time `json:"approved"`
}

type file struct {
	Version  int     `json:"version"`
	Commands []Entry `json:"commands"`
}

// Open returns the store in the data directory, which is made when it is not
// there. A store that cannot be read is an error, never an empty store.
func Open(dir string, opts *Options) (*Store, error) {
	s := &Store{path: filepath.Join(dir, fileName), now: time.Now}
	if opts != nil && opts.Now != nil {
		s.now = opts.Now
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("approvals: %w", err)
	}
	if _, err := s.List(); err != nil {
		return nil, err
	}
	return s, nil
}

// List returns what is approved, oldest first.
func (s *Store) List() ([]Entry, error) {
	f, err := os.Open(s.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("approvals: %w", err)
	}
	defer func() { _ = f.Close() }() // only read from
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("approvals: %w", err)
	}
	// Whoever can write this file decides what runs.
	if mode := info.Mode(); !mode.IsRegular() || mode.Perm()&0o022 != 0 {
		return nil, fmt.Errorf("approvals: %s can be written by others (mode %v); check its content, then: chmod 600 %s", s.path, mode, quote(s.path))
	}
	if info.Size() > maxFile {
		return nil, s.corrupt(fmt.Errorf("%d bytes", info.Size()))
	}
	var content file
	dec := json.NewDecoder(f)
	dec.DisallowUnknownFields()
	if err := dec.Decode(&content); err != nil {
		return nil, s.corrupt(err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, s.corrupt(errors.New("something stands after its end"))
	}
	if content.Version != fileVersion {
		return nil, s.corrupt(fmt.Errorf("version %d, want %d", content.Version, fileVersion))
	}
	for _, e := range content.Commands {
		if len(e.Argv) == 0 || e.command().Key() != e.Key {
			return nil, s.corrupt(fmt.Errorf("the key of %q does not fit its command", e.Upstream))
		}
	}
	return content.Commands, nil
}

func (s *Store) corrupt(err error) error {
	return fmt.Errorf("approvals: %s is damaged: %w; restore it, or remove it and approve the commands again", s.path, err)
}

func (e *Entry) command() *Command {
	return &Command{Upstream: e.Upstream, Argv: e.Argv, Env: e.Env, Dir: e.Dir, Path: e.Path, Digest: e.Digest}
}

// Approved reports whether exactly this command was approved.
func (s *Store) Approved(c *Command) (bool, error) {
	entries, err := s.List()
	if err != nil {
		return false, err
	}
	key := c.Key()
	return slices.ContainsFunc(entries, func(e Entry) bool { return e.Key == key }), nil
}

// ErrNotApproved says that nobody has approved a command as it stands now.
var ErrNotApproved = errors.New("the command is not approved, or has changed since")

// Allow measures the command of u and returns it when exactly that is approved,
// else ErrNotApproved. Call it directly before every start, restarts included,
// and start Path with Argv: a program that was replaced is then never run.
func (s *Store) Allow(u *config.Upstream) (*Command, error) {
	c, err := Measure(u)
	if err != nil {
		return nil, err
	}
	ok, err := s.Approved(c)
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, fmt.Errorf("upstream %q: %w", u.Name, ErrNotApproved)
	}
	return c, nil
}

// Pending returns the commands of cfg that are not approved, in its order.
// Programs that cannot be found are errors, joined, beside the others.
func (s *Store) Pending(cfg *config.Config) ([]*Command, error) {
	entries, err := s.List()
	if err != nil {
		return nil, err
	}
	var pending []*Command
	var errs []error
	for i := range cfg.Upstreams {
		u := &cfg.Upstreams[i]
		if u.Command == "" {
			continue
		}
		c, err := Measure(u)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if !slices.ContainsFunc(entries, func(e Entry) bool { return e.Key == c.Key() }) {
			pending = append(pending, c)
		}
	}
	return pending, errors.Join(errs...)
}

// Approve adds commands to the store, on disk when it returns.
func (s *Store) Approve(commands ...*Command) error {
	for _, c := range commands {
		// JSON cannot hold other bytes, and a changed path is another path.
		if !utf8.ValidString(strings.Join(c.Argv, "") + strings.Join(c.Env, "") + c.Dir + c.Path) {
			return fmt.Errorf("approvals: upstream %q: the command is not UTF-8", c.Upstream)
		}
	}
	return s.change(func(entries []Entry) []Entry {
		for _, c := range commands {
			e := Entry{c.Key(), c.Upstream, c.Argv, c.Env, c.Dir, c.Path, c.Digest, s.now().UTC().Truncate(time.Second)}
			if !slices.ContainsFunc(entries, func(old Entry) bool { return old.Key == e.Key }) {
				entries = append(entries, e)
			}
		}
		return entries
	})
}

// Revoke removes the approvals whose key starts with prefix and returns them.
func (s *Store) Revoke(prefix string) (removed []Entry, err error) {
	if prefix == "" {
		return nil, errors.New("approvals: revoke: no key given")
	}
	err = s.change(func(entries []Entry) []Entry {
		return slices.DeleteFunc(entries, func(e Entry) bool {
			gone := strings.HasPrefix(e.Key, prefix)
			if gone {
				removed = append(removed, e)
			}
			return gone
		})
	})
	return removed, err
}

// change replaces the file as a whole: whoever reads it, and whatever happens
// to the machine, finds the old content or the new one.
func (s *Store) change(edit func([]Entry) []Entry) error {
	unlock, err := s.lock()
	if err != nil {
		return err
	}
	defer unlock()
	entries, err := s.List()
	if err != nil {
		return err
	}
	if entries = edit(entries); entries == nil {
		entries = []Entry{}
	}
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(file{fileVersion, entries}); err != nil {
		return fmt.Errorf("approvals: %w", err)
	}
	if err := replace(s.path, out.Bytes()); err != nil {
		return fmt.Errorf("approvals: %w", err)
	}
	return nil
}

// lock keeps two processes from undoing each other's change. The lock file
// stays: removing it would let a third process lock another one.
func (s *Store) lock() (unlock func(), err error) {
	f, err := os.OpenFile(s.path+".lock", os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("approvals: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		_ = f.Close() // nothing was written
		return nil, fmt.Errorf("approvals: lock %s: %w", f.Name(), err)
	}
	return func() { _ = f.Close() }, nil // closing unlocks
}

// replace writes a new file beside path and renames it, with both on disk
// before it returns.
func replace(path string, data []byte) error {
	dir := filepath.Dir(path)
	tmp, err := os.CreateTemp(dir, fileName+".*.tmp") // mode 0600
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(tmp.Name()) }() // gone already after the rename
	_, err = tmp.Write(data)
	if err == nil {
		err = tmp.Sync()
	}
	if err := errors.Join(err, tmp.Close()); err != nil {
		return err
	}
	if err := os.Rename(tmp.Name(), path); err != nil {
		return err
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
