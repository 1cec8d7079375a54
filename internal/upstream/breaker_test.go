package upstream_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fairlead-mcp/fairlead/internal/limit"
	"github.com/fairlead-mcp/fairlead/internal/upstream"
	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/mcp/streamhttp"
)

// moody is an upstream whose calls end as its mood has it.
func moody(t *testing.T, mood *error, done chan struct{}) (u *upstream.Upstream, calls *int) {
	t.Helper()
	server := newServer()
	calls = new(int)
	u = upstream.New("u", upstream.Spec{}, &upstream.Options{Dial: func(context.Context, upstream.Whose) (*upstream.Conn, error) {
		return &upstream.Conn{Done: done, Handler: mcp.HandlerFunc(func(ctx context.Context, req *mcp.Request, sink mcp.Sink) (mcp.Result, error) {
			if req.Method != mcp.MethodCallTool {
				return server.Handle(ctx, req, sink)
			}
			*calls++
			return mcp.Result{}, *mood
		})}, nil
	}})
	return u, calls
}

func call(t *testing.T, u *upstream.Upstream, tool string) error {
	t.Helper()
	_, err := u.Handle(t.Context(), callRequest(tool, `{}`), mcp.Discard)
	return err
}

func TestBreakerOpensAndCloses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mood := error(&streamhttp.StatusError{Code: 502})
		u, calls := moody(t, &mood, nil)
		defer run(t, u)()
		<-u.Listed()
		for range 5 {
			if err := call(t, u, "a"); class(err) != "upstream_unavailable" {
				t.Fatalf("got %v", err)
			}
		}
		for _, tool := range []string{"a", "b"} {
			err := call(t, u, tool)
			f, ok := errors.AsType[*upstream.Failure](err)
			if class(err) != "circuit_open" || !ok || !f.RetrySafe || f.Sent || f.RetryAfter != time.Minute {
				t.Errorf("%s: got %+v", tool, err)
			}
		}
		if *calls != 5 {
			t.Errorf("the upstream was asked %d times, want 5", *calls)
		}
		if st := u.Breaker(); st.State != limit.Open || st.Opened != 1 || !slices.Equal(st.OpenTools, []string{"a"}) {
			t.Errorf("status %+v", st)
		}
		time.Sleep(time.Minute + time.Second)
		mood = nil
		for range 3 {
			if err := call(t, u, "a"); err != nil {
				t.Errorf("after a minute: %v", err)
			}
		}
		if st := u.Breaker(); st.State != limit.Closed || st.OpenTools != nil {
			t.Errorf("status %+v", st)
		}
	})
}

func TestBreakerOfOneTool(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mood := error(nil)
		u, _ := moody(t, &mood, nil)
		defer run(t, u)()
		<-u.Listed()
		for range 5 {
			for range 2 { // enough that works to keep the upstream's own breaker closed
				if err := call(t, u, "good"); err != nil {
					t.Fatal(err)
				}
			}
			mood = &streamhttp.StatusError{Code: 502}
			_ = call(t, u, "bad")
			mood = nil
		}
		if err := call(t, u, "bad"); class(err) != "circuit_open" {
			t.Errorf("the bad tool: %v", err)
		}
		if err := call(t, u, "good"); err != nil {
			t.Errorf("the good tool: %v", err)
		}
		if st := u.Breaker(); st.State != limit.Closed || !slices.Equal(st.OpenTools, []string{"bad"}) {
			t.Errorf("status %+v", st)
		}
	})
}

func TestWhatDoesNotOpenABreaker(t *testing.T) {
	for name, mood := range map[string]error{
		"an error of the tool's":  mcp.ErrInvalidParams("no"),
		"too many requests":       &streamhttp.StatusError{Code: 429},
		"a caller that has left":  context.Canceled,
		"an internal error of it": mcp.Errorf(-32603, "internal error"),
	} {
		synctest.Test(t, func(t *testing.T) {
			u, calls := moody(t, &mood, nil)
			defer run(t, u)()
			<-u.Listed()
			for range 20 {
				ctx, cancel := context.WithCancel(t.Context())
				if errors.Is(mood, context.Canceled) {
					cancel()
				}
				_, _ = u.Handle(ctx, callRequest("a", `{}`), mcp.Discard)
				cancel()
			}
			if st := u.Breaker(); st.State != limit.Closed || st.OpenTools != nil || *calls != 20 {
				t.Errorf("%s: after %d calls %+v", name, *calls, st)
			}
		})
	}
}

func TestBreakerOfAChildEndsWithIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mood := error(&streamhttp.StatusError{Code: 502})
		first := make(chan struct{})
		u, _ := moody(t, &mood, first)
		stop := run(t, u)
		defer stop()
		<-u.Listed()
		for range 6 {
			_ = call(t, u, "a")
		}
		if st := u.Breaker(); st.State != limit.Open {
			t.Fatalf("status %+v", st)
		}
		u.Restart()
		synctest.Wait()
		if st := u.Breaker(); st.State != limit.Closed || st.OpenTools != nil {
			t.Errorf("after a restart %+v", st)
		}
		if st := u.Status(); st.Restarts != 1 || st.State != upstream.Ready {
			t.Errorf("after a restart %+v", st)
		}

		// What an operator forced outlives the child.
		u.OpenBreaker()
		u.Restart()
		synctest.Wait()
		mood = nil
		if err := call(t, u, "a"); class(err) != "circuit_open" {
			t.Errorf("forced open: %v", err)
		}
		u.CloseBreaker()
		mood = &streamhttp.StatusError{Code: 502}
		for range 6 {
			if err := call(t, u, "b"); class(err) != "upstream_unavailable" && class(err) != "circuit_open" {
				t.Errorf("forced closed: %v", err)
			}
		}
		u.ReleaseBreaker()
		if st := u.Breaker(); st.Forced || st.State != limit.Closed {
			t.Errorf("released: %+v", st)
		}
	})
}
