package lifetime_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fairlead-mcp/fairlead/mcp/internal/lifetime"
)

type key struct{}

// TestBounded holds the context of a call against that of package context.
func TestBounded(t *testing.T) {
	for _, tt := range []struct {
		name string
		end  func(b *lifetime.Bounded, cancel func())
		want error
	}{
		{"ended", func(b *lifetime.Bounded, _ func()) { b.End(context.Canceled) }, context.Canceled},
		{"released", func(b *lifetime.Bounded, _ func()) { b.Release() }, context.Canceled},
		{"parent ended", func(_ *lifetime.Bounded, cancel func()) { cancel(); synctest.Wait() }, context.Canceled},
		{"deadline", func(*lifetime.Bounded, func()) { time.Sleep(time.Minute); synctest.Wait() }, context.DeadlineExceeded},
	} {
		// Each way to learn of the end, alone: some start what the others need.
		for way, learn := range map[string]func(t *testing.T, b *lifetime.Bounded, end func()) error{
			"Err": func(_ *testing.T, b *lifetime.Bounded, end func()) error { end(); return b.Err() },
			"Done": func(_ *testing.T, b *lifetime.Bounded, end func()) error {
				done := b.Done()
				end()
				<-done
				return b.Err()
			},
			"late Done": func(_ *testing.T, b *lifetime.Bounded, end func()) error { end(); <-b.Done(); return b.Err() },
			"child": func(_ *testing.T, b *lifetime.Bounded, end func()) error {
				child, cancel := context.WithCancel(b)
				defer cancel()
				end()
				<-child.Done()
				return child.Err()
			},
			"AfterFunc": func(_ *testing.T, b *lifetime.Bounded, end func()) error {
				ran := make(chan error, 1)
				context.AfterFunc(b, func() { ran <- b.Err() })
				end()
				return <-ran
			},
			"AfterFunc too late": func(_ *testing.T, b *lifetime.Bounded, end func()) error {
				end()
				ran := make(chan error, 1)
				context.AfterFunc(b, func() { ran <- b.Err() })
				return <-ran
			},
		} {
			t.Run(tt.name+"/"+way, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					parent, cancel := context.WithCancel(context.WithValue(t.Context(), key{}, 7))
					defer cancel()
					b := &lifetime.Bounded{}
					b.Bind(parent, time.Now().Add(time.Minute))
					defer b.Release()
					if b.Err() != nil || b.Value(key{}) != 7 {
						t.Fatalf("before its end: %v, value %v", b.Err(), b.Value(key{}))
					}
					if err := learn(t, b, func() { tt.end(b, cancel) }); !errors.Is(err, tt.want) {
						t.Errorf("error = %v, want %v", err, tt.want)
					}
				})
			})
		}
	}
}

func TestBoundedTakesTheEarlierDeadline(t *testing.T) {
	now := time.Now()
	early, cancel := context.WithDeadline(t.Context(), now.Add(time.Minute))
	defer cancel()
	for _, tt := range []struct{ own, want time.Time }{
		{now.Add(time.Second), now.Add(time.Second)},
		{now.Add(time.Hour), now.Add(time.Minute)},
		{time.Time{}, now.Add(time.Minute)},
	} {
		b := &lifetime.Bounded{}
		b.Bind(early, tt.own)
		if at, ok := b.Deadline(); !ok || !at.Equal(tt.want) {
			t.Errorf("deadline = %v, %v; want %v", at, ok, tt.want)
		}
		b.Release()
	}
	b := &lifetime.Bounded{}
	b.Bind(context.Background(), time.Time{})
	defer b.Release()
	if at, ok := b.Deadline(); ok {
		t.Errorf("a deadline %v out of nothing", at)
	}
}

// TestStopped shows that what was stopped does not run, and that nothing is left behind.
func TestStopped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &lifetime.Bounded{}
		b.Bind(t.Context(), time.Now().Add(time.Minute))
		stop := context.AfterFunc(b, func() { t.Error("stopped, but ran") })
		if !stop() || stop() {
			t.Error("stop must report true, and then false")
		}
		b.Release()
		if b.End(context.Canceled) {
			t.Error("a released context has ended already")
		}
		synctest.Wait()
	})
}

// BenchmarkBounded is what a call pays whose answer nobody waits for.
func BenchmarkBounded(b *testing.B) {
	parent := context.Background()
	b.ReportAllocs()
	for b.Loop() {
		c := &lifetime.Bounded{}
		c.Bind(parent, time.Now().Add(time.Minute))
		if c.Err() != nil {
			b.Fatal("ended")
		}
		c.Release()
	}
}
