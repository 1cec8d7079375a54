package state

import (
	"context"
	"errors"
	"strings"
	"sync"
)

// Watcher follows the keys that start with a prefix. It is for one goroutine.
type Watcher struct {
	store  *Store
	prefix string
	wake   chan struct{} // holds one token when dirty is not empty

	mu    sync.Mutex
	dirty map[string]bool // keys to tell of: at most as many as there are
}

// Change is a key as it is now. A key that is gone has the revision 0.
type Change struct {
	Key string
	Value
}

type watches struct {
	mu   sync.Mutex
	open map[*Watcher]bool
}

// Watch follows the keys that start with prefix until the Watcher is closed. It begins
// with those that there are. Of several changes of one key the last is told.
func (s *Store) Watch(ctx context.Context, prefix string) (*Watcher, error) {
	w := &Watcher{store: s, prefix: prefix, wake: make(chan struct{}, 1), dirty: make(map[string]bool)}
	s.watches.mu.Lock()
	if s.watches.open == nil {
		s.watches.open = make(map[*Watcher]bool)
	}
	s.watches.open[w] = true
	s.watches.mu.Unlock()
	if err := w.mark(ctx); err != nil {
		w.Close()
		return nil, err
	}
	return w, nil
}

// mark has every key told.
func (w *Watcher) mark(ctx context.Context) error {
	all, err := w.store.List(ctx, w.prefix)
	for key := range all {
		w.changed(key)
	}
	return err
}

// Close ends the watching.
func (w *Watcher) Close() {
	w.store.watches.mu.Lock()
	defer w.store.watches.mu.Unlock()
	delete(w.store.watches.open, w)
}

// Next waits for a change and returns it.
func (w *Watcher) Next(ctx context.Context) (Change, error) {
	for {
		key, ok := w.take()
		if !ok {
			select {
			case <-w.wake:
			case <-ctx.Done():
				return Change{}, ctx.Err()
			}
			continue
		}
		if key == "" {
			if err := w.mark(ctx); err != nil {
				return Change{}, err
			}
			continue
		}
		v, err := w.store.Get(ctx, key)
		if err != nil && !errors.Is(err, ErrNotFound) {
			w.changed(key) // it is told when the store answers again
			return Change{}, err
		}
		return Change{key, v}, nil
	}
}

func (w *Watcher) take() (key string, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for key := range w.dirty {
		delete(w.dirty, key)
		return key, true
	}
	return "", false
}

func (w *Watcher) changed(key string) {
	w.mu.Lock()
	w.dirty[key] = true
	w.mu.Unlock()
	select {
	case w.wake <- struct{}{}:
	default: // one token is enough
	}
}

func (ws *watches) changed(key string) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	for w := range ws.open {
		if strings.HasPrefix(key, w.prefix) {
			w.changed(key)
		}
	}
}

// all has every key of every watcher told, by the empty key, which no key is.
func (ws *watches) all() {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	for w := range ws.open {
		w.changed("")
	}
}
