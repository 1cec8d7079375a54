// Package state is the durable small state of a node: values by key with compare and
// set, and logs that grow at their end. What a call has returned is on disk, whatever
// happens to the process next; what it has not is there as a whole or not at all.
//
//	store, err := state.Open(dir, nil)
//	defer store.Close()
//	rev, err := store.Set(ctx, "silences/42", value, 0) // 0: only if it does not exist
//
// One process has the store at one time. It owns neither secrets (what is written is
// readable to whoever may read the directory) nor anything that is written per call.
package state

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

// Bounds of what is kept. A transaction writes values as a whole.
const (
	MaxKey   = 512     // bytes
	MaxValue = 4 << 20 // bytes
)

// The errors that callers branch on.
var (
	ErrNotFound = errors.New("not found")
	ErrConflict = errors.New("changed by somebody else in the meantime")
	ErrYielded  = errors.New("the state is with another process now")
	ErrClosed   = errors.New("the state is closed")
)

// HeldError says that another process has the store.
type HeldError struct {
	Path string
	PID  int // 0 if it is not known
}

func (e *HeldError) Error() string {
	who := "another process"
	if e.PID != 0 {
		who = "process " + strconv.Itoa(e.PID)
	}
	return fmt.Sprintf("state: %s is in use by %s; stop it, or use another data directory", e.Path, who)
}

// Options are the optional settings of a [Store].
type Options struct {
	// Wait is how long Open waits for another process to give the store up. Zero means 2 s.
	Wait time.Duration
}

// Value is what a key has.
type Value struct {
	Data     []byte
	Revision uint64 // grows with each change of the store; never 0
}

// Store is the state in one directory, in a file of bbolt. It is safe for concurrent use.
type Store struct {
	path    string
	wait    time.Duration
	watches watches

	mu  sync.RWMutex // held for reading by operations, for writing by Yield, Resume and Close
	db  *bbolt.DB    // nil while why is set
	why error
}

const (
	fileName = "state.db"
	format   = "1"
)

var (
	metaBucket = []byte("meta")
	keyBucket  = []byte("keys")
	logBucket  = []byte("logs")
	formatKey  = []byte("format")
)

// Open opens the store in a directory, which is made when it is not there; opts may be
// nil. A store that another process has is a [HeldError].
func Open(dir string, opts *Options) (*Store, error) {
	s := &Store{path: filepath.Join(dir, fileName), wait: 2 * time.Second}
	if opts != nil && opts.Wait != 0 {
		s.wait = opts.Wait
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("state: %w", err)
	}
	if err := s.open(); err != nil {
		return nil, err
	}
	return s, nil
}

func (s *Store) open() (err error) {
	defer s.damaged(&err)
	db, err := bbolt.Open(s.path, 0o600, &bbolt.Options{Timeout: s.wait})
	switch {
	case errors.Is(err, berrors.ErrTimeout):
		return &HeldError{s.path, s.holder()}
	case errors.Is(err, berrors.ErrInvalid), errors.Is(err, berrors.ErrChecksum), errors.Is(err, berrors.ErrVersionMismatch):
		return s.corrupt(err)
	case err != nil:
		return fmt.Errorf("state: %w", err)
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		meta, err := tx.CreateBucketIfNotExists(metaBucket)
		if err != nil {
			return err
		}
		switch got := meta.Get(formatKey); {
		case got == nil:
			err = meta.Put(formatKey, []byte(format))
		case string(got) != format:
			err = fmt.Errorf("%s has format %q and this version knows %q: run the version that wrote it", s.path, got, format)
		}
		for _, name := range [][]byte{keyBucket, logBucket} {
			if err == nil {
				_, err = tx.CreateBucketIfNotExists(name)
			}
		}
		return err
	})
	if err != nil {
		return errors.Join(fmt.Errorf("state: %w", err), db.Close())
	}
	// For the message that others get. It is believed only while the lock is held.
	if err := os.WriteFile(s.path+".pid", []byte(strconv.Itoa(os.Getpid())), 0o600); err != nil {
		return errors.Join(fmt.Errorf("state: %w", err), db.Close())
	}
	s.db, s.why = db, nil
	return nil
}

func (s *Store) holder() int {
	text, err := os.ReadFile(s.path + ".pid")
	if err != nil {
		return 0
	}
	pid, _ := strconv.Atoi(strings.TrimSpace(string(text)))
	return pid
}

func (s *Store) corrupt(why any) error {
	return fmt.Errorf("state: %s is damaged: %v; restore it from a backup, or move it away to start without it", s.path, why)
}

// damaged makes an error of the panic that bbolt answers a damaged page with.
func (s *Store) damaged(err *error) {
	if v := recover(); v != nil {
		*err = s.corrupt(v)
	}
}

// Close gives the store up for good.
func (s *Store) Close() error { return s.release(ErrClosed) }

// Yield gives the store up to another process, which waits for it in Open. Until
// Resume every operation is ErrYielded.
func (s *Store) Yield() error { return s.release(ErrYielded) }

func (s *Store) release(why error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.db == nil {
		return nil
	}
	err := s.db.Close()
	s.db, s.why = nil, why
	if err != nil {
		return fmt.Errorf("state: %w", err)
	}
	return nil
}

// Resume takes the store back after Yield, when the other process has ended. Watchers
// are told of every key that there is: what the other one has done is not known.
func (s *Store) Resume() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.db != nil:
		return nil
	case errors.Is(s.why, ErrClosed):
		return ErrClosed
	}
	if err := s.open(); err != nil {
		return err
	}
	s.watches.all()
	return nil
}

// do runs one transaction.
func (s *Store) do(ctx context.Context, write bool, fn func(tx *bbolt.Tx) error) (err error) {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.db == nil {
		return s.why
	}
	defer s.damaged(&err)
	if write {
		return s.db.Update(fn)
	}
	return s.db.View(fn)
}

// Get returns what a key has, or ErrNotFound.
func (s *Store) Get(ctx context.Context, key string) (v Value, err error) {
	err = s.do(ctx, false, func(tx *bbolt.Tx) error {
		raw := tx.Bucket(keyBucket).Get([]byte(key))
		if raw == nil {
			return ErrNotFound
		}
		v = unpack(raw)
		return nil
	})
	return v, err
}

// List returns the keys that start with prefix, and what they have, in no order.
func (s *Store) List(ctx context.Context, prefix string) (map[string]Value, error) {
	all := make(map[string]Value)
	err := s.do(ctx, false, func(tx *bbolt.Tx) error {
		c := tx.Bucket(keyBucket).Cursor()
		for k, raw := c.Seek([]byte(prefix)); k != nil && strings.HasPrefix(string(k), prefix); k, raw = c.Next() {
			all[string(k)] = unpack(raw)
		}
		return nil
	})
	return all, err
}

// Set gives a key a value if its revision still is what the caller has seen; 0 means
// that there is no such key. It returns the new revision, or ErrConflict.
func (s *Store) Set(ctx context.Context, key string, data []byte, revision uint64) (now uint64, err error) {
	if key == "" || len(key) > MaxKey || len(data) > MaxValue {
		return 0, fmt.Errorf("state: key of %d and value of %d bytes; at most %d and %d are kept", len(key), len(data), MaxKey, MaxValue)
	}
	err = s.change(ctx, key, revision, func(b *bbolt.Bucket) error {
		if now, err = b.NextSequence(); err != nil {
			return err
		}
		return b.Put([]byte(key), append(binary.BigEndian.AppendUint64(nil, now), data...))
	})
	return now, err
}

// Delete removes a key if its revision still is what the caller has seen. The errors
// are ErrNotFound and ErrConflict.
func (s *Store) Delete(ctx context.Context, key string, revision uint64) error {
	if revision == 0 {
		return ErrNotFound
	}
	return s.change(ctx, key, revision, func(b *bbolt.Bucket) error { return b.Delete([]byte(key)) })
}

func (s *Store) change(ctx context.Context, key string, revision uint64, fn func(*bbolt.Bucket) error) error {
	err := s.do(ctx, true, func(tx *bbolt.Tx) error {
		b := tx.Bucket(keyBucket)
		switch raw := b.Get([]byte(key)); {
		case raw == nil && revision != 0:
			return ErrNotFound
		case raw != nil && unpack(raw).Revision != revision:
			return ErrConflict
		}
		return fn(b)
	})
	if err == nil {
		s.watches.changed(key)
	}
	return err
}

// unpack copies: what bbolt returns is valid in the transaction only.
func unpack(raw []byte) Value {
	return Value{Revision: binary.BigEndian.Uint64(raw), Data: append([]byte{}, raw[8:]...)}
}
