package cli

// This test sees inside: a login takes a person some minutes, which only a clock of
// the test can wait.

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fairlead-mcp/fairlead/mcp"
)

// TestPatience: the time that a person takes to log in is not the server's.
func TestPatience(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &patience{limit: time.Minute}
		start := time.Now()
		h := patient{mcp.HandlerFunc(func(ctx context.Context, _ *mcp.Request, _ mcp.Sink) (mcp.Result, error) {
			time.Sleep(50 * time.Second)
			p.pause()
			time.Sleep(4 * time.Minute)
			if ctx.Err() != nil {
				t.Error("the request ended during the login")
			}
			p.resume()
			<-ctx.Done()
			return mcp.Result{}, context.Cause(ctx)
		}), p}
		waiting := make(chan time.Duration)
		go func() { // ends with its request
			time.Sleep(time.Minute) // while the login is under way
			later := patient{mcp.HandlerFunc(func(ctx context.Context, _ *mcp.Request, _ mcp.Sink) (mcp.Result, error) {
				<-ctx.Done()
				return mcp.Result{}, nil
			}), p}
			_, _ = later.Handle(t.Context(), nil, nil)
			waiting <- time.Since(start)
		}()
		_, err := h.Handle(t.Context(), nil, nil)
		const login, limit = 290 * time.Second, time.Minute
		if took := time.Since(start); !errors.Is(err, context.DeadlineExceeded) || took != login+limit {
			t.Errorf("got %v after %v, want the end of the limit after %v", err, took, login+limit)
		}
		if took := <-waiting; took != login+limit {
			t.Errorf("a request that came during the login ended after %v, want %v", took, login+limit)
		}
		if len(p.running) != 0 {
			t.Errorf("%d limits are left", len(p.running))
		}
	})
}
