package upstream_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fairlead-mcp/fairlead/internal/upstream"
)

// TestStampede: two hundred children that die at one moment come back a few at a time.
func TestStampede(t *testing.T) {
	const upstreams, bound = 200, 4
	for _, tt := range []struct {
		name   string
		starts *upstream.Starts
		peak   int
	}{
		{"bounded", upstream.NewStarts(bound), bound},
		{"without a bound", nil, upstreams}, // the twin that shows what the bound is for
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				if tt.starts != nil {
					tt.starts = upstream.NewStarts(bound) // in the bubble
				}
				var mu sync.Mutex
				starting, peak := 0, 0
				var conns []*fake
				server := newServer()
				var all []*upstream.Upstream
				for i := range upstreams {
					u := upstream.New(fmt.Sprint("u", i), upstream.Spec{}, &upstream.Options{Starts: tt.starts, Dial: func(context.Context, upstream.Whose) (*upstream.Conn, error) {
						mu.Lock()
						starting++
						peak = max(peak, starting)
						mu.Unlock()
						time.Sleep(500 * time.Millisecond)
						mu.Lock()
						defer mu.Unlock()
						starting--
						f := newFake()
						conns = append(conns, f)
						return &upstream.Conn{Handler: server, Done: f.done}, nil
					}})
					defer run(t, u)()
					all = append(all, u)
				}
				ready := func() {
					for _, u := range all {
						if err := u.WaitReady(t.Context()); err != nil {
							t.Fatal(err)
						}
					}
				}
				ready()
				peak = 0
				for _, f := range conns {
					f.cut()
				}
				synctest.Wait()
				ready()
				if peak != tt.peak {
					t.Errorf("%d started at the same time, want %d", peak, tt.peak)
				}
			})
		})
	}
}

// TestHungStartKeepsNobody: programs that do not become ready hold up the others for a
// moment, not for as long as they may take.
func TestHungStartKeepsNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		starts := upstream.NewStarts(1)
		hung := upstream.New("hung", upstream.Spec{StartTimeout: time.Hour}, &upstream.Options{Starts: starts, Dial: func(ctx context.Context, _ upstream.Whose) (*upstream.Conn, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}})
		defer run(t, hung)()
		synctest.Wait()
		server := newServer()
		u := upstream.New("u", upstream.Spec{}, &upstream.Options{Starts: starts, Dial: func(context.Context, upstream.Whose) (*upstream.Conn, error) {
			return &upstream.Conn{Handler: server}, nil
		}})
		began := time.Now()
		defer run(t, u)()
		<-u.Listed()
		if took := time.Since(began); took != 5*time.Second {
			t.Errorf("ready after %v, want 5s", took)
		}
		if st := starts.Status(); st.Running != 0 || st.Queued != 0 {
			t.Errorf("starts %+v", st)
		}
	})
}
