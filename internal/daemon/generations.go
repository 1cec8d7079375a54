package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/fairlead-mcp/fairlead/internal/adminapi"
	"github.com/fairlead-mcp/fairlead/internal/config"
	"github.com/fairlead-mcp/fairlead/internal/state"
)

const (
	generationsLog = "config.generations"
	rollbackKey    = "config.rollback"
	// keptGenerations bounds what is kept: 100 files of at most 4 MiB, mostly far smaller.
	keptGenerations = 100
	// stateTimeout bounds an access to the state, which is on this machine.
	stateTimeout = 10 * time.Second
)

// generation is a text that was served, as it stood in the file: what ${...} stands
// for is not in it.
type generation struct {
	At   time.Time `json:"at"`
	By   string    `json:"by"`
	Hash string    `json:"sha256"`
	File string    `json:"file"`
	Text string    `json:"text"`
}

// rollback says that a generation is served in place of the file. It holds until the
// file is another one than that which was rolled back: then somebody has written what
// they want.
type rollback struct {
	Generation uint64 `json:"generation"`
	To         uint64 `json:"to"`   // whose text it has
	File       string `json:"file"` // hash of the file at that moment
}

// RolledBack returns the text that a node with this data directory is to serve in
// place of its file, and the generation that it is; nil if the file is what counts.
func RolledBack(data string, file []byte) (text []byte, to uint64, err error) {
	if _, err := os.Stat(filepath.Join(data, "state.db")); errors.Is(err, fs.ErrNotExist) {
		return nil, 0, nil
	}
	s, err := state.Open(data, nil)
	if err != nil {
		return nil, 0, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	ctx, cancel := context.WithTimeout(context.Background(), stateTimeout)
	defer cancel()
	back, _, err := rolledBack(ctx, s)
	if err != nil || back == nil || back.File != hashOf(file) {
		return nil, 0, err
	}
	g, err := generationOf(ctx, s, back.Generation)
	if err != nil {
		return nil, 0, err
	}
	return []byte(g.Text), back.To, nil
}

// rolledBack returns the rollback that is in force, with its revision, or nil.
func rolledBack(ctx context.Context, s *state.Store) (*rollback, uint64, error) {
	v, err := s.Get(ctx, rollbackKey)
	if errors.Is(err, state.ErrNotFound) {
		return nil, 0, nil
	}
	if err != nil {
		return nil, 0, err
	}
	back := new(rollback)
	if err := json.Unmarshal(v.Data, back); err != nil {
		return nil, 0, fmt.Errorf("state: rollback of the config: %w", err)
	}
	return back, v.Revision, nil
}

func generationOf(ctx context.Context, s *state.Store, n uint64) (*generation, error) {
	raw, err := s.Record(ctx, generationsLog, n)
	if errors.Is(err, state.ErrNotFound) {
		return nil, config.Errors{{What: fmt.Sprintf("generation %d is not kept", n), Hint: `"fairlead config history" lists those that are`}}
	}
	if err != nil {
		return nil, err
	}
	g := new(generation)
	if err := json.Unmarshal(raw, g); err != nil {
		return nil, fmt.Errorf("state: generation %d of the config: %w", n, err)
	}
	return g, nil
}

// openState opens the state of the node until it is taken down, and keeps the config
// that the node starts with.
func (d *Daemon) openState(down *teardown) error {
	s, err := state.Open(d.cfg.Data, nil)
	if err != nil {
		return err
	}
	d.state = s
	down.push("state", func(context.Context) error { return s.Close() })
	src := d.opts.Source
	if src == nil {
		return nil
	}
	if src.RolledBack != 0 {
		d.reloads.set(func(r *served) { r.rolledBack = src.RolledBack })
		return d.remember(src.Text, "start", nil)
	}
	return d.remember(src.Text, "start", &rollback{})
}

// remember keeps a text as the generation that is served from now on, unless it is
// that already. back is the rollback that begins, an empty one to end what there is, or
// nil to leave that.
func (d *Daemon) remember(text []byte, by string, back *rollback) error {
	ctx, cancel := context.WithTimeout(context.Background(), stateTimeout)
	defer cancel()
	last, err := d.state.Last(ctx, generationsLog, 1)
	if err != nil {
		return err
	}
	g := generation{At: time.Now().UTC(), By: by, Hash: hashOf(text), File: d.opts.Source.Path, Text: string(text)}
	var number uint64
	if len(last) > 0 {
		var newest generation
		if err := json.Unmarshal(last[0].Data, &newest); err == nil && newest.Hash == g.Hash {
			number = last[0].Seq
		}
	}
	if number == 0 {
		raw, err := json.Marshal(g)
		if err != nil {
			return err
		}
		if number, err = d.state.Append(ctx, generationsLog, raw, keptGenerations); err != nil {
			return err
		}
	}
	if back != nil {
		was, revision, err := rolledBack(ctx, d.state)
		if err != nil {
			return err
		}
		switch {
		case back.To != 0:
			back.Generation = number
			raw, err := json.Marshal(back)
			if err == nil {
				_, err = d.state.Set(ctx, rollbackKey, raw, revision)
			}
			if err != nil {
				return err
			}
		case was != nil:
			if err := d.state.Delete(ctx, rollbackKey, revision); err != nil {
				return err
			}
		}
	}
	d.reloads.set(func(r *served) {
		r.generation = number
		if back != nil {
			r.rolledBack = back.To
		}
	})
	return nil
}

// Rollback serves a generation again, or with 0 the one before that which is served,
// and keeps to it, over restarts too, until the file changes or somebody asks for a
// reload.
func (d *Daemon) Rollback(to uint64, by string) (*adminapi.ConfigChange, error) {
	if d.opts.Source == nil {
		return nil, ErrNoSource
	}
	ctx, cancel := context.WithTimeout(context.Background(), stateTimeout)
	defer cancel()
	if to == 0 { // one more step back, after a step back too
		s := d.reloads.get()
		if to = s.generation; s.rolledBack != 0 {
			to = s.rolledBack
		}
		if to--; to == 0 {
			return nil, config.Errors{{What: "there is no earlier generation", Hint: `"fairlead config history" lists those that are kept`}}
		}
	}
	by = fmt.Sprintf("%s to %d", by, to)
	g, err := generationOf(ctx, d.state, to)
	if err != nil {
		return nil, err
	}
	file, err := d.opts.Source.Read()
	if err != nil {
		file = []byte("unreadable") // as good a reason to go back as any
	}
	return d.change(by, []byte(g.Text), &rollback{To: to, File: hashOf(file)})
}

// generations lists what is kept, newest first, without the texts.
func (d *Daemon) generations() ([]adminapi.Generation, error) {
	if d.opts.Source == nil {
		return nil, ErrNoSource
	}
	ctx, cancel := context.WithTimeout(context.Background(), stateTimeout)
	defer cancel()
	records, err := d.state.Last(ctx, generationsLog, keptGenerations)
	if err != nil {
		return nil, err
	}
	now := d.reloads.get().generation
	list := []adminapi.Generation{}
	for _, r := range records {
		var g generation
		if err := json.Unmarshal(r.Data, &g); err != nil {
			return nil, fmt.Errorf("state: generation %d of the config: %w", r.Seq, err)
		}
		list = append(list, adminapi.Generation{Number: r.Seq, At: g.At, By: g.By, Hash: g.Hash, File: g.File, Served: r.Seq == now})
	}
	return list, nil
}

// generation is one of them with its text; 0 is the one that is served.
func (d *Daemon) generation(n uint64) (*adminapi.Generation, error) {
	if d.opts.Source == nil {
		return nil, ErrNoSource
	}
	ctx, cancel := context.WithTimeout(context.Background(), stateTimeout)
	defer cancel()
	now := d.reloads.get().generation
	if n == 0 {
		n = now
	}
	g, err := generationOf(ctx, d.state, n)
	if err != nil {
		return nil, err
	}
	return &adminapi.Generation{Number: n, At: g.At, By: g.By, Hash: g.Hash, File: g.File, Served: n == now, Text: g.Text}, nil
}
