package sandbox

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
)

var errClosed = errors.New("sandbox: not open")

// Options are the optional settings of a [Sandbox].
type Options struct {
	// Logger gets what an operator wants to know. Nil means discard.
	Logger *slog.Logger
	// NoGroups leaves control groups to others: limits of memory and processes are watched.
	NoGroups bool
}

// Sandbox is where the children of one node live. It is safe for concurrent use.
type Sandbox struct {
	data   string
	log    *slog.Logger
	alone  bool          // without control groups
	starts chan func()   // run by the thread that is every child's parent
	closed chan struct{} // closed by Close
	last   atomic.Uint64

	// Set by arm, before the first child.
	trees   []tree
	without map[string]string // limit -> why no control group holds it

	mu      sync.Mutex
	living  map[*Child]bool // started and not yet released
	node    string          // its mark; empty before Open and after Close
	orphans string          // why the adopted are not taken in; empty if they are
	end     context.CancelFunc
	running sync.WaitGroup
}

// New makes the sandbox of the node with a data directory; opts may be nil.
// Nothing starts before Open.
func New(data string, opts *Options) *Sandbox {
	s := &Sandbox{data: data, living: make(map[*Child]bool), starts: make(chan func()), closed: make(chan struct{}), log: slog.New(slog.DiscardHandler)}
	if opts != nil {
		s.alone = opts.NoGroups
		if opts.Logger != nil {
			s.log = opts.Logger
		}
	}
	s.log = s.log.With("component", "sandbox")
	return s
}

// Open ends what a node of the same data directory that is no more has left
// behind, and makes ready to start children.
func (s *Sandbox) Open() error {
	node, err := nodeMark(s.data)
	if err != nil {
		return fmt.Errorf("sandbox: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.node != "" || s.isClosed() {
		return errors.New("sandbox: opened before")
	}
	stale := func(m mark) bool { return m.stale(node) }
	if n := sweepGroups(stale) + sweep(stale); n > 0 {
		s.log.Warn("processes of a node that is no more were ended", "processes", n)
	}
	s.node = node
	s.running.Go(s.parent)
	return nil
}

// parent starts the children, from one thread that lives as long as the sandbox:
// the kernel takes the end of the thread that has started a child for the death of
// its parent.
func (s *Sandbox) parent() {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread() // without it the thread would end here
	for {
		select {
		case <-s.closed:
			return
		case start := <-s.starts:
			start()
		}
	}
}

// Close ends whatever is left of the children. They should have ended before:
// those that run lose their parent. No goroutine outlives it.
func (s *Sandbox) Close() {
	s.mu.Lock()
	node, end := s.node, s.end
	s.node = ""
	s.mu.Unlock()
	if node == "" {
		return
	}
	own := func(m mark) bool { return m.node == node }
	if n := sweepGroups(own) + sweep(own); n > 0 {
		s.log.Warn("processes were left behind by their upstreams, and ended", "processes", n)
	}
	close(s.closed)
	if end != nil {
		end()
	}
	s.running.Wait()
}

// arm returns the mark of the node. With the first child come those who look after
// what it leaves behind: a node without children needs neither.
func (s *Sandbox) arm() (node string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.node == "" {
		return "", errClosed
	}
	if s.end != nil {
		return s.node, nil
	}
	ctx, end := context.WithCancel(context.Background())
	s.end, node = end, s.node
	if s.alone {
		s.without = map[string]string{LimitMemory: "not wanted", LimitProcesses: "not wanted", LimitCPU: "not wanted"}
	} else {
		s.trees, s.without = openTrees(node)
	}
	s.running.Go(func() { s.keepGuard(ctx, node) })
	s.running.Go(func() { s.watch(ctx) })
	if err := errors.Join(canReap(), adopt()); err != nil {
		s.orphans = err.Error()
		s.log.Warn("processes whose parent has ended are not taken in", "reason", s.orphans)
		return node, nil
	}
	s.running.Go(func() { reap(ctx) })
	return node, nil
}

func (s *Sandbox) add(c *Child) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.living[c] = true
}

func (s *Sandbox) remove(c *Child) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.living, c)
}

// children are those that have been started and not released.
func (s *Sandbox) children() []*Child {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Collect(maps.Keys(s.living))
}

func (s *Sandbox) isClosed() bool {
	select {
	case <-s.closed:
		return true
	default:
		return false
	}
}

// do has the parent thread run fn.
func (s *Sandbox) do(fn func() error) error {
	done := make(chan error, 1)
	select {
	case s.starts <- func() { done <- fn() }:
		return <-done
	case <-s.closed:
		return errClosed
	}
}
