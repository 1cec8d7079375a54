package supervise_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fairlead-mcp/fairlead/internal/supervise"
	"github.com/google/go-cmp/cmp"
)

var errBroken = errors.New("broken")

func TestBackoffDoublesWithJitter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var delays []time.Duration
		k := supervise.NewKeeper("s", supervise.ServiceFunc(func(context.Context) error { return errBroken }),
			&supervise.KeeperOptions{Policy: &supervise.Policy{Budget: -1}, OnEvent: func(e supervise.Event) {
				if e.Kind == supervise.Backoff {
					if delays = append(delays, e.Delay); len(delays) == 12 {
						cancel()
					}
				}
			}})
		if err := k.Run(ctx); !errors.Is(err, context.Canceled) {
			t.Fatalf("Run = %v", err)
		}
		want := 200 * time.Millisecond
		for i, d := range delays {
			if d < want*8/10 || d > want*12/10 {
				t.Errorf("delay %d = %v, want %v ± 20%%", i, d, want)
			}
			want = min(2*want, 30*time.Second)
		}
	})
}

func TestWhatRunReturns(t *testing.T) {
	final := fmt.Errorf("no more: %w", supervise.ErrStop)
	for _, tt := range []struct {
		name    string
		results []error // of each attempt
		want    error
		events  []supervise.EventKind
	}{
		{"done", []error{nil}, nil, []supervise.EventKind{"started", "stopped"}},
		{"never again", []error{final}, supervise.ErrStop, []supervise.EventKind{"started", "stopped"}},
		{"again until done", []error{errBroken, nil}, nil, []supervise.EventKind{"started", "backoff", "started", "stopped"}},
		{"persistent", []error{supervise.Persistent(errBroken), nil}, nil, []supervise.EventKind{"started", "failed", "started", "stopped"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var events []supervise.EventKind
				n := 0
				k := supervise.NewKeeper("s", supervise.ServiceFunc(func(context.Context) error {
					n++
					return tt.results[n-1]
				}), &supervise.KeeperOptions{OnEvent: func(e supervise.Event) { events = append(events, e.Kind) }})
				if err := k.Run(t.Context()); !errors.Is(err, tt.want) {
					t.Errorf("Run = %v, want %v", err, tt.want)
				}
				if diff := cmp.Diff(tt.events, events); diff != "" {
					t.Errorf("events (-want +got):\n%s", diff)
				}
			})
		})
	}
}

func TestRestartOnPurposeIsNoFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		n := 0
		k := supervise.NewKeeper("s", supervise.ServiceFunc(func(context.Context) error {
			if n++; n <= 100 {
				return fmt.Errorf("by hand: %w", supervise.ErrRestart)
			}
			return nil
		}), &supervise.KeeperOptions{OnEvent: func(e supervise.Event) {
			if e.Kind == supervise.Failed {
				t.Error("restarts on purpose spent the budget")
			}
		}})
		if err := k.Run(t.Context()); err != nil || n != 101 || time.Since(began) != 0 {
			t.Errorf("%d attempts in %v: %v", n, time.Since(began), err)
		}
	})
}

func TestBudgetMakesFailedAndUptimeForgives(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		attempt := 0
		var last supervise.Event
		k := supervise.NewKeeper("s", supervise.ServiceFunc(func(ctx context.Context) error {
			if attempt++; attempt == 6 {
				time.Sleep(601 * time.Second) // on the fake clock: a sustained uptime
			}
			return errBroken
		}), &supervise.KeeperOptions{
			Policy: &supervise.Policy{Budget: 3, Max: 200 * time.Millisecond},
			OnEvent: func(e supervise.Event) {
				if e.Kind == supervise.Started || e.Kind == supervise.Stopped {
					return
				}
				last = e
				want := supervise.Backoff
				if attempt == 4 || attempt == 5 {
					want = supervise.Failed
				}
				if e.Kind != want {
					t.Errorf("after attempt %d: %v, want %v", attempt, e.Kind, want)
				}
				if e.Kind == supervise.Failed && (e.Delay < 48*time.Second || e.Delay > 72*time.Second) {
					t.Errorf("delay of a failed service = %v", e.Delay)
				}
				if attempt == 7 {
					cancel()
				}
			},
		})
		_ = k.Run(ctx)
		if attempt != 7 || last.Err == nil {
			t.Errorf("%d attempts, last event %+v", attempt, last)
		}
	})
}

func TestWake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var began []time.Time
		k := supervise.NewKeeper("s", supervise.ServiceFunc(func(ctx context.Context) error {
			if began = append(began, time.Now()); len(began) == 2 {
				<-ctx.Done()
				return ctx.Err()
			}
			return supervise.Persistent(errBroken)
		}), nil)
		done := make(chan error)
		go func() { done <- k.Run(ctx) }()
		synctest.Wait()
		if away := k.Wake(); away != 30*time.Second {
			t.Errorf("Wake = %v, want 30s, the floor for a failed service", away)
		}
		time.Sleep(10 * time.Second)
		if away := k.Wake(); away != 20*time.Second {
			t.Errorf("second Wake = %v, want 20s: it does not start anew", away)
		}
		time.Sleep(20 * time.Second)
		synctest.Wait()
		if len(began) != 2 || k.Wake() != 0 {
			t.Errorf("%d attempts after the floor, Wake = %v", len(began), k.Wake())
		}
		cancel()
		<-done
	})
}

// TestNotBefore: who has said when to come back is not asked earlier, unless an operator
// wants it.
func TestNotBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var began []time.Duration
		first := time.Now()
		k := supervise.NewKeeper("s", supervise.ServiceFunc(func(context.Context) error {
			began = append(began, time.Since(first))
			return supervise.NotBefore(errBroken, 10*time.Minute)
		}), nil)
		done := make(chan error)
		go func() { done <- k.Run(ctx) }()
		for range 9 * 60 { // callers all the time
			time.Sleep(time.Second)
			k.Wake()
		}
		if len(began) != 1 {
			t.Errorf("attempts at %v", began)
		}
		k.Now()
		k.Now()
		synctest.Wait()
		if len(began) != 2 || k.Wake() != 10*time.Minute {
			t.Errorf("attempts at %v, the next in %v", began, k.Wake())
		}
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if len(began) != 3 {
			t.Errorf("attempts at %v", began)
		}
		cancel()
		<-done
	})
}

func TestTree(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		var panics, others int
		var stack []byte
		tree := supervise.NewTree("test", &supervise.TreeOptions{OnEvent: func(e supervise.Event) {
			if p, ok := errors.AsType[*supervise.PanicError](e.Err); ok {
				stack = p.Stack
			}
		}})
		tree.Add("panics", supervise.ServiceFunc(func(ctx context.Context) error {
			if panics++; panics < 3 {
				panic("as it happens")
			}
			<-ctx.Done()
			return nil
		}))
		tree.Add("lives", supervise.ServiceFunc(func(ctx context.Context) error {
			others++
			<-ctx.Done()
			return nil
		}))
		done := make(chan error)
		go func() { done <- tree.Run(ctx) }()
		time.Sleep(5 * time.Second)
		synctest.Wait()
		if panics != 3 || others != 1 || len(stack) == 0 {
			t.Errorf("attempts: %d and %d, stack of %d bytes", panics, others, len(stack))
		}
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run = %v", err)
		}
	})
}

func TestTreeNamesWhoDoesNotStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		release := make(chan struct{})
		tree := supervise.NewTree("test", &supervise.TreeOptions{StopTimeout: time.Second})
		tree.Add("stubborn", supervise.ServiceFunc(func(context.Context) error {
			<-release
			return nil
		}))
		done := make(chan error)
		go func() { done <- tree.Run(ctx) }()
		synctest.Wait()
		cancel()
		if err := <-done; err == nil {
			t.Error("Run = nil though a service still runs")
		}
		close(release)
	})
}
