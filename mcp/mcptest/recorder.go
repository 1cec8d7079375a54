package mcptest

import (
	"context"
	"sync"

	"github.com/fairlead-mcp/fairlead/mcp"
)

// Recorder is an mcp.Sink that remembers what it is given. The zero Recorder is
// ready, and safe for concurrent use.
type Recorder struct {
	mu    sync.Mutex
	notes []Note
	over  bool
	res   mcp.Result
	err   error
	news  chan struct{} // closed and replaced with each change
}

// Note is a notification that a Recorder was given.
type Note struct {
	Method string
	Params string // raw JSON, or empty
}

// Notify remembers n. After the end it returns mcp.ErrSinkClosed.
func (r *Recorder) Notify(n *mcp.Notification) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.over {
		return mcp.ErrSinkClosed
	}
	r.notes = append(r.notes, Note{n.Method, string(n.Params)})
	r.changedLocked()
	return nil
}

// End remembers the end of a stream.
func (r *Recorder) End(res mcp.Result, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.over {
		return
	}
	r.over, r.res, r.err = true, res, err
	r.changedLocked()
}

func (r *Recorder) changedLocked() {
	if r.news != nil {
		close(r.news)
		r.news = nil
	}
}

// Notes returns what has come so far.
func (r *Recorder) Notes() []Note {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]Note(nil), r.notes...)
}

// Wait waits until n notifications have come and returns what has; it stops
// waiting when ctx or the stream ends.
func (r *Recorder) Wait(ctx context.Context, n int) []Note {
	r.wait(ctx, func() bool { return r.over || len(r.notes) >= n })
	return r.Notes()
}

// WaitEnd waits for the end of the stream and returns how it ended, or ctx's error.
func (r *Recorder) WaitEnd(ctx context.Context) (mcp.Result, error) {
	if err := r.wait(ctx, func() bool { return r.over }); err != nil {
		return mcp.Result{}, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.res, r.err
}

func (r *Recorder) wait(ctx context.Context, enough func() bool) error {
	for {
		r.mu.Lock()
		if enough() {
			r.mu.Unlock()
			return nil
		}
		if r.news == nil {
			r.news = make(chan struct{})
		}
		news := r.news
		r.mu.Unlock()
		select {
		case <-news:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
