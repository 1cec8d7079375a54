package limit_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fairlead-mcp/fairlead/internal/limit"
	"github.com/google/go-cmp/cmp"
)

// crowd enters a bulkhead and records who is let in, in order.
type crowd struct {
	b *limit.Bulkhead[string]

	mu      sync.Mutex
	wg      sync.WaitGroup
	entered []string
	leave   []func() // of those that are in, in order
	refused map[string]string
}

func newCrowd(opts limit.BulkheadOptions) *crowd {
	return &crowd{b: limit.NewBulkhead[string](opts), refused: map[string]string{}}
}

// enter comes as one of a party, "name" of "party/name", and returns when it is in or waits.
func (c *crowd) enter(ctx context.Context, who ...string) {
	for _, w := range who {
		party, _, _ := strings.Cut(w, "/")
		c.wg.Go(func() {
			leave, _, err := c.b.Enter(ctx, party)
			c.mu.Lock()
			defer c.mu.Unlock()
			if err != nil {
				c.refused[w] = err.Error()
				return
			}
			c.entered = append(c.entered, w)
			c.leave = append(c.leave, leave)
		})
		synctest.Wait()
	}
}

// next ends the one that has been in for longest.
func (c *crowd) next() {
	c.mu.Lock()
	leave := c.leave[0]
	c.leave = c.leave[1:]
	c.mu.Unlock()
	leave()
	synctest.Wait()
}

// drain ends all that are in and those that follow.
func (c *crowd) drain() {
	for len(c.leave) > 0 {
		c.next()
	}
	c.wg.Wait()
}

func TestBulkheadServesPartiesInTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCrowd(limit.BulkheadOptions{Max: 1})
		c.enter(t.Context(), "flood/0", "flood/1", "flood/2", "flood/3", "quiet/1", "quiet/2", "late/1")
		if st := c.b.Status(); st.Running != 1 || st.Queued != 6 {
			t.Errorf("status %+v", st)
		}
		c.drain()
		// First in, first out within a party; a queue for all together would let quiet/1 in after flood/3.
		want := []string{"flood/0", "flood/1", "quiet/1", "late/1", "flood/2", "quiet/2", "flood/3"}
		if diff := cmp.Diff(want, c.entered); diff != "" {
			t.Errorf("order (-want +got):\n%s", diff)
		}
		if st := c.b.Status(); st.Running != 0 || st.Queued != 0 {
			t.Errorf("status at the end %+v", st)
		}
	})
}

func TestBulkheadFullQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCrowd(limit.BulkheadOptions{Max: 1, Queue: 3})
		c.enter(t.Context(), "flood/0", "flood/1", "flood/2", "flood/3")
		c.enter(t.Context(), "flood/4") // refused itself
		c.enter(t.Context(), "quiet/1") // takes the place of flood/3
		c.enter(t.Context(), "quiet/2") // would have as many as flood: refused
		c.drain()
		if diff := cmp.Diff([]string{"flood/0", "flood/1", "quiet/1", "flood/2"}, c.entered); diff != "" {
			t.Errorf("order (-want +got):\n%s", diff)
		}
		for _, who := range []string{"flood/3", "flood/4", "quiet/2"} {
			if c.refused[who] == "" {
				t.Errorf("%s was not refused: %v", who, c.refused)
			}
		}
		if st := c.b.Status(); st.Refused != 3 || len(c.refused) != 3 {
			t.Errorf("%d counted, %v", st.Refused, c.refused)
		}
	})
}

func TestBulkheadWaitEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := limit.NewBulkhead[string](limit.BulkheadOptions{Max: 1, Wait: time.Second})
		leave, _, err := b.Enter(t.Context(), "a")
		if err != nil {
			t.Fatal(err)
		}
		_, waited, err := b.Enter(t.Context(), "a")
		if refusal, ok := errors.AsType[*limit.Refusal](err); !ok || waited != time.Second || refusal.RetryAfter <= 0 || refusal.Why == "" {
			t.Errorf("after the longest wait: %v, %v", waited, err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		if _, _, err := b.Enter(ctx, "a"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("after its deadline: %v", err)
		}
		if st := b.Status(); st.Queued != 0 || st.Running != 1 || st.Refused != 1 {
			t.Errorf("status %+v", st)
		}
		leave()
		if st := b.Status(); st.Running != 0 {
			t.Errorf("status at the end %+v", st)
		}
	})
}

// TestBulkheadHint: the longer calls take, the later one is told to come again.
func TestBulkheadHint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hint := func(took time.Duration) time.Duration {
			b := limit.NewBulkhead[string](limit.BulkheadOptions{Max: 1, Queue: -1})
			for range 50 {
				leave, _, err := b.Enter(t.Context(), "a")
				if err != nil {
					t.Fatal(err)
				}
				time.Sleep(took)
				leave()
			}
			leave, _, _ := b.Enter(t.Context(), "a")
			defer leave()
			_, _, err := b.Enter(t.Context(), "b")
			refusal, ok := errors.AsType[*limit.Refusal](err)
			if !ok {
				t.Fatalf("got %v", err)
			}
			return refusal.RetryAfter
		}
		for _, tt := range []struct{ took, least, most time.Duration }{
			{time.Millisecond, 100 * time.Millisecond, 100 * time.Millisecond},
			{4 * time.Second, 3 * time.Second, 4 * time.Second},
			{time.Hour, 30 * time.Second, 30 * time.Second},
		} {
			if got := hint(tt.took); got < tt.least || got > tt.most {
				t.Errorf("calls of %v: come again after %v", tt.took, got)
			}
		}
	})
}

// TestBulkheadNeverOverMax has many come and go at once, some of whom give up.
func TestBulkheadNeverOverMax(t *testing.T) {
	const most = 3
	b := limit.NewBulkhead[int](limit.BulkheadOptions{Max: most, Queue: 50})
	var mu sync.Mutex
	var in, peak, let, put int
	var wg sync.WaitGroup
	for i := range 400 {
		wg.Go(func() {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			if i%7 == 0 {
				cancel()
			}
			leave, _, err := b.Enter(ctx, i%5)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				put++
				return
			}
			let++
			in++
			peak = max(peak, in)
			mu.Unlock()
			for range 100 {
				_ = fmt.Sprint(i)
			}
			mu.Lock()
			in--
			leave()
		})
	}
	wg.Wait()
	if st := b.Status(); peak > most || let+put != 400 || st.Running != 0 || st.Queued != 0 {
		t.Errorf("peak %d, %d in, %d refused, %+v", peak, let, put, st)
	}
	if let == 0 {
		t.Error("nobody was let in")
	}
}
