package limit_test

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fairlead-mcp/fairlead/internal/limit"
)

// try passes one call with an outcome. It reports whether the breaker let it.
func try(b *limit.Breaker, o limit.Outcome) bool {
	done, _, ok := b.Enter()
	if ok {
		done(o)
	}
	return ok
}

func TestBreaker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := limit.NewBreaker(limit.BreakerOptions{})
		is := func(want limit.BreakerState) {
			t.Helper()
			if got := b.Status().State; got != want {
				t.Errorf("state %s, want %s", got, want)
			}
		}
		for range 4 {
			try(b, limit.Failure)
		}
		try(b, limit.Success)
		for range 4 {
			try(b, limit.Failure)
		}
		is(limit.Closed) // 8 of 9: too few for a share
		try(b, limit.Failure)
		is(limit.Open)
		if try(b, limit.Success) {
			t.Error("an open breaker let a call pass")
		}
		time.Sleep(20 * time.Second)
		if _, after, _ := b.Enter(); after != 40*time.Second {
			t.Errorf("retry after %v, want 40 s", after)
		}
		time.Sleep(41 * time.Second)
		is(limit.HalfOpen)
		done1, _, ok1 := b.Enter()
		done2, _, ok2 := b.Enter()
		if !ok1 || !ok2 || try(b, limit.Success) {
			t.Error("half-open: two trials pass, a third does not")
		}
		done1(limit.Excluded) // a caller that left: another trial may take its place
		done2(limit.Success)
		is(limit.HalfOpen)
		try(b, limit.Success)
		is(limit.Closed)

		for range 5 {
			try(b, limit.Failure)
		}
		time.Sleep(61 * time.Second)
		try(b, limit.Failure) // the first trial fails
		is(limit.Open)
		if got := b.Status().Opened; got != 3 {
			t.Errorf("opened %d times, want 3", got)
		}
		b.Reset()
		is(limit.Closed)
	})
}

func TestBreakerOpensByShare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := limit.NewBreaker(limit.BreakerOptions{})
		for i := range 10 {
			try(b, limit.Outcome(i%2))
		}
		if got := b.Status().State; got != limit.Open {
			t.Errorf("5 of 10 failed: %s", got)
		}
		b.Reset()
		for i := range 9 {
			try(b, limit.Outcome(i%2))
			try(b, limit.Excluded) // counts for nothing
		}
		time.Sleep(11 * time.Second) // and what is older than the window neither
		try(b, limit.Failure)
		if got := b.Status().State; got != limit.Closed {
			t.Errorf("4 of 9, and 1 of 1 later: %s", got)
		}
	})
}

func TestBreakerIsForced(t *testing.T) {
	b := limit.NewBreaker(limit.BreakerOptions{})
	if err := b.Force(limit.Open); err != nil || try(b, limit.Success) || !b.Status().Forced {
		t.Errorf("forced open: %v, %+v", err, b.Status())
	}
	if err := b.Force(limit.Closed); err != nil {
		t.Fatal(err)
	}
	for range 20 {
		if !try(b, limit.Failure) {
			t.Fatal("forced closed, it let a call not pass")
		}
	}
	if b.Force(limit.HalfOpen) == nil || b.Force("ajar") == nil {
		t.Error("forced to what cannot be forced")
	}
	b.Reset()
	if !b.Status().Forced {
		t.Error("a reset ended what an operator forced")
	}
	b.Release()
	if st := b.Status(); st.Forced || st.State != limit.Closed {
		t.Errorf("after reset %+v", st)
	}
}

func TestBudget(t *testing.T) {
	b := limit.NewBudget(0.1, 5)
	spend := func() (n int) {
		for b.Spend() {
			n++
		}
		return n
	}
	if got := spend(); got != 5 {
		t.Errorf("spent %d at first, want 5", got)
	}
	var wg sync.WaitGroup
	for range 30 {
		wg.Go(b.Earn)
	}
	wg.Wait()
	if got := spend(); got < 2 || got > 3 { // tenths add up to a little less
		t.Errorf("30 calls earned %d, want 3", got)
	}
	for range 1000 {
		b.Earn()
	}
	if got := spend(); got != 5 {
		t.Errorf("1000 calls earned %d, want the most, 5", got)
	}
	if new(limit.Budget).Spend() {
		t.Error("the zero Budget allows something")
	}
}
