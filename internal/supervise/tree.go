package supervise

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/thejerf/suture/v4"
)

// Tree runs services side by side; the failure of one does not touch the others.
// A Tree is itself a [Service], so trees nest: what is in an inner tree has
// stopped when the inner tree's Run returns.
type Tree struct {
	name string
	opts TreeOptions
	sup  *suture.Supervisor
}

// TreeOptions are the optional settings of a [Tree].
type TreeOptions struct {
	// Policy is for every service of the tree.
	Policy *Policy
	// OnEvent is told of every service. It may be called from several goroutines and must not block.
	OnEvent func(Event)
	// StopTimeout is how long Run waits for services to return once ctx has ended. Zero means 30 s.
	StopTimeout time.Duration
}

// NewTree makes an empty tree; opts may be nil.
func NewTree(name string, opts *TreeOptions) *Tree {
	t := &Tree{name: name}
	if opts != nil {
		t.opts = *opts
	}
	if t.opts.StopTimeout == 0 {
		t.opts.StopTimeout = 30 * time.Second
	}
	t.sup = suture.New(name, suture.Spec{
		Timeout: t.opts.StopTimeout,
		// Restarts and their events are the Keeper's, since suture's back-off is one for a whole supervisor.
		EventHook:                func(suture.Event) {},
		DontPropagateTermination: true,
	})
	return t
}

// Add puts a service into the tree. In a running tree it starts at once. remove stops
// it and waits for its end, or for as long as the tree itself would; it is for a tree
// that runs.
func (t *Tree) Add(name string, s Service) (remove func() error) {
	token := t.sup.Add(kept{NewKeeper(name, s, &KeeperOptions{Policy: t.opts.Policy, OnEvent: t.opts.OnEvent})})
	return func() error {
		if err := t.sup.RemoveAndWait(token, t.opts.StopTimeout); err != nil {
			return fmt.Errorf("tree %q: stop %s: %w", t.name, name, err)
		}
		return nil
	}
}

// Run runs the services until ctx ends, and returns when all have returned: nil,
// or an error that names those that had not after StopTimeout.
func (t *Tree) Run(ctx context.Context) error {
	err := t.sup.Serve(ctx)
	if late, _ := t.sup.UnstoppedServiceReport(); len(late) > 0 {
		names := make([]string, len(late))
		for i, s := range late {
			names[i] = s.Name
		}
		return fmt.Errorf("tree %q: still running after %v: %q", t.name, t.opts.StopTimeout, names)
	}
	if err != nil && ctx.Err() == nil {
		return fmt.Errorf("tree %q: %w", t.name, err)
	}
	return nil
}

// kept is a Keeper as suture wants it.
type kept struct{ *Keeper }

func (k kept) String() string { return k.name }

// Serve never lets suture restart: the Keeper has done so as long as it made sense.
func (k kept) Serve(ctx context.Context) error {
	return errors.Join(suture.ErrDoNotRestart, k.Run(ctx))
}
