package state_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fairlead-mcp/fairlead/internal/state"
)

// engine is what the suite wants of an engine: that of files today.
type engine interface {
	Get(ctx context.Context, key string) (state.Value, error)
	List(ctx context.Context, prefix string) (map[string]state.Value, error)
	Set(ctx context.Context, key string, data []byte, revision uint64) (uint64, error)
	Delete(ctx context.Context, key string, revision uint64) error
	Append(ctx context.Context, log string, data []byte, keep int) (uint64, error)
	Last(ctx context.Context, log string, n int) ([]state.Record, error)
	Record(ctx context.Context, log string, seq uint64) ([]byte, error)
	Watch(ctx context.Context, prefix string) (*state.Watcher, error)
}

func open(t *testing.T, dir string) *state.Store {
	t.Helper()
	s, err := state.Open(dir, &state.Options{Wait: 50 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func TestConformance(t *testing.T) {
	for name, test := range map[string]func(*testing.T, engine){
		"values": values, "conflicts": conflicts, "bounds": bounds, "logs": logs, "watching": watching,
	} {
		t.Run(name, func(t *testing.T) { test(t, open(t, t.TempDir())) })
	}
}

func values(t *testing.T, s engine) {
	ctx := t.Context()
	if _, err := s.Get(ctx, "a"); !errors.Is(err, state.ErrNotFound) {
		t.Errorf("Get of what is not there: %v", err)
	}
	first, err := s.Set(ctx, "a", []byte("1"), 0)
	if err != nil || first == 0 {
		t.Fatalf("Set: %d, %v", first, err)
	}
	second, err := s.Set(ctx, "a", nil, first)
	if err != nil || second <= first {
		t.Fatalf("second Set: %d after %d, %v", second, first, err)
	}
	if v, err := s.Get(ctx, "a"); err != nil || len(v.Data) != 0 || v.Revision != second {
		t.Errorf("Get: %+v, %v; want an empty value", v, err)
	}
	if err := s.Delete(ctx, "a", second); err != nil {
		t.Error(err)
	}
	if _, err := s.Get(ctx, "a"); !errors.Is(err, state.ErrNotFound) {
		t.Errorf("Get of what was deleted: %v", err)
	}
	for _, key := range []string{"p/1", "p/2", "q/1"} {
		if _, err := s.Set(ctx, key, []byte(key), 0); err != nil {
			t.Fatal(err)
		}
	}
	if all, err := s.List(ctx, "p/"); err != nil || len(all) != 2 || string(all["p/2"].Data) != "p/2" {
		t.Errorf("List: %v, %v", all, err)
	}
	ended, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := s.Get(ended, "p/1"); !errors.Is(err, context.Canceled) {
		t.Errorf("Get with a context that has ended: %v", err)
	}
}

func conflicts(t *testing.T, s engine) {
	ctx := t.Context()
	rev, err := s.Set(ctx, "a", []byte("1"), 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, wrong := range []uint64{0, rev + 1} {
		if _, err := s.Set(ctx, "a", []byte("2"), wrong); !errors.Is(err, state.ErrConflict) {
			t.Errorf("Set with revision %d: %v, want a conflict", wrong, err)
		}
	}
	if err := s.Delete(ctx, "a", rev+1); !errors.Is(err, state.ErrConflict) {
		t.Errorf("Delete with a wrong revision: %v", err)
	}
	if _, err := s.Set(ctx, "b", nil, rev); !errors.Is(err, state.ErrNotFound) {
		t.Errorf("Set of what is not there: %v", err)
	}
	if err := s.Delete(ctx, "b", 0); !errors.Is(err, state.ErrNotFound) {
		t.Errorf("Delete of what is not there: %v", err)
	}
	// Of several that have seen the same, one wins.
	results := make(chan error, 8)
	for i := range cap(results) {
		go func() {
			_, err := s.Set(ctx, "a", fmt.Append(nil, i), rev)
			results <- err
		}()
	}
	won := 0
	for range cap(results) {
		switch err := <-results; {
		case err == nil:
			won++
		case !errors.Is(err, state.ErrConflict):
			t.Error(err)
		}
	}
	if won != 1 {
		t.Errorf("%d writers won, want one", won)
	}
	// A revision is never used again, so nobody takes a new value for the old one.
	v, _ := s.Get(ctx, "a")
	if err := s.Delete(ctx, "a", v.Revision); err != nil {
		t.Fatal(err)
	}
	if again, err := s.Set(ctx, "a", nil, 0); err != nil || again <= v.Revision {
		t.Errorf("Set after Delete: revision %d after %d, %v", again, v.Revision, err)
	}
}

func bounds(t *testing.T, s engine) {
	ctx := t.Context()
	for _, c := range []struct {
		key  string
		size int
	}{{"", 1}, {strings.Repeat("x", state.MaxKey+1), 1}, {"big", state.MaxValue + 1}} {
		if _, err := s.Set(ctx, c.key, make([]byte, c.size), 0); err == nil {
			t.Errorf("Set of a key of %d and %d bytes: no error", len(c.key), c.size)
		}
		if _, err := s.Append(ctx, c.key, make([]byte, c.size), 0); err == nil {
			t.Errorf("Append to a log of %d and %d bytes: no error", len(c.key), c.size)
		}
	}
	if _, err := s.Set(ctx, strings.Repeat("x", state.MaxKey), make([]byte, state.MaxValue), 0); err != nil {
		t.Errorf("Set of the largest: %v", err)
	}
}

func logs(t *testing.T, s engine) {
	ctx := t.Context()
	if last, err := s.Last(ctx, "l", 9); err != nil || last != nil {
		t.Errorf("Last of no log: %v, %v", last, err)
	}
	for i := range 5 {
		if seq, err := s.Append(ctx, "l", fmt.Append(nil, i), 3); err != nil || seq != uint64(i+1) {
			t.Fatalf("Append: %d, %v", seq, err)
		}
	}
	if _, err := s.Append(ctx, "other", nil, 0); err != nil {
		t.Fatal(err)
	}
	last, err := s.Last(ctx, "l", 9)
	want := []state.Record{{Seq: 5, Data: []byte("4")}, {Seq: 4, Data: []byte("3")}, {Seq: 3, Data: []byte("2")}}
	if diff := cmp.Diff(want, last); err != nil || diff != "" {
		t.Errorf("Last: %v (-want +got):\n%s", err, diff)
	}
	if one, _ := s.Last(ctx, "l", 1); len(one) != 1 || one[0].Seq != 5 {
		t.Errorf("Last 1: %v", one)
	}
	if data, err := s.Record(ctx, "l", 4); err != nil || string(data) != "3" {
		t.Errorf("Record 4: %s, %v", data, err)
	}
	for _, seq := range []uint64{0, 2, 6} {
		if _, err := s.Record(ctx, "l", seq); !errors.Is(err, state.ErrNotFound) {
			t.Errorf("Record %d: %v, want not found", seq, err)
		}
	}
}

func watching(t *testing.T, s engine) {
	ctx := t.Context()
	rev, err := s.Set(ctx, "p/1", []byte("a"), 0)
	if err != nil {
		t.Fatal(err)
	}
	w, err := s.Watch(ctx, "p/")
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	if c, err := w.Next(ctx); err != nil || c.Key != "p/1" || string(c.Data) != "a" {
		t.Fatalf("the first change: %+v, %v; want what was there", c, err)
	}
	if _, err := s.Set(ctx, "q/1", nil, 0); err != nil { // of another prefix
		t.Fatal(err)
	}
	for _, text := range []string{"b", "c"} {
		if rev, err = s.Set(ctx, "p/1", []byte(text), rev); err != nil {
			t.Fatal(err)
		}
	}
	if c, err := w.Next(ctx); err != nil || string(c.Data) != "c" || c.Revision != rev {
		t.Errorf("after two changes: %+v, %v; want the last", c, err)
	}
	if err := s.Delete(ctx, "p/1", rev); err != nil {
		t.Fatal(err)
	}
	if c, err := w.Next(ctx); err != nil || c.Key != "p/1" || c.Revision != 0 {
		t.Errorf("after Delete: %+v, %v; want revision 0", c, err)
	}
	ended, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := w.Next(ended); !errors.Is(err, context.Canceled) {
		t.Errorf("Next with nothing to tell: %v", err)
	}
}

func TestHeld(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	_, err := state.Open(dir, &state.Options{Wait: time.Millisecond})
	held, ok := errors.AsType[*state.HeldError](err)
	if !ok || held.PID != os.Getpid() || !strings.Contains(err.Error(), fmt.Sprintf("in use by process %d; stop it", os.Getpid())) {
		t.Errorf("Open of a store that is in use: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	open(t, dir)
	if _, err := s.Get(t.Context(), "a"); !errors.Is(err, state.ErrClosed) {
		t.Errorf("Get after Close: %v", err)
	}
	if err := s.Resume(); !errors.Is(err, state.ErrClosed) {
		t.Errorf("Resume after Close: %v", err)
	}
}

// TestHandedOver: a successor has the store while the first one yields it, and the
// first one takes it back when the successor has failed.
func TestHandedOver(t *testing.T) {
	dir := t.TempDir()
	ctx := t.Context()
	first := open(t, dir)
	if _, err := first.Set(ctx, "a", []byte("first"), 0); err != nil {
		t.Fatal(err)
	}
	w, err := first.Watch(ctx, "")
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	if _, err := w.Next(ctx); err != nil {
		t.Fatal(err)
	}
	if err := first.Yield(); err != nil {
		t.Fatal(err)
	}
	if _, err := first.Set(ctx, "b", nil, 0); !errors.Is(err, state.ErrYielded) {
		t.Errorf("Set after Yield: %v", err)
	}
	second := open(t, dir)
	v, err := second.Get(ctx, "a")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := second.Set(ctx, "a", []byte("second"), v.Revision); err != nil {
		t.Fatal(err)
	}
	if err := first.Resume(); err == nil {
		t.Error("Resume while another has it: no error")
	}
	if err := second.Close(); err != nil {
		t.Fatal(err)
	}
	if err := first.Resume(); err != nil {
		t.Fatal(err)
	}
	if c, err := w.Next(ctx); err != nil || string(c.Data) != "second" {
		t.Errorf("watcher after Resume: %+v, %v; want what the other has written", c, err)
	}
}

func TestDamagedFile(t *testing.T) {
	for _, c := range []struct {
		name string
		edit func(data []byte) []byte
	}{
		{"no store", func([]byte) []byte {
			return []byte("this is not a store, but long enough to be looked at by whoever opens it")
		}},
		{"both meta pages overwritten", func(data []byte) []byte {
			clear(data[:2*os.Getpagesize()])
			return data
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			if err := open(t, dir).Close(); err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(dir, "state.db")
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, c.edit(data), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := state.Open(dir, nil); err == nil || !strings.Contains(err.Error(), path+" is damaged") || !strings.Contains(err.Error(), "restore it") {
				t.Errorf("Open: %v, want an error that says what to do", err)
			}
		})
	}
}
