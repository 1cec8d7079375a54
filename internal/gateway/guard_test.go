package gateway_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fairlead-mcp/fairlead/internal/gateway"
	"github.com/fairlead-mcp/fairlead/internal/upstream"
	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/mcp/jsonrpc"
)

// slow is an upstream whose calls take what their argument says, tell of their progress
// as often as it says, and end when they are cancelled.
type slow struct {
	mu        sync.Mutex
	order     []string // of the calls, as they began
	cancelled int
}

func (s *slow) member(spec upstream.Spec) *member {
	server := server("s")
	return &member{name: "a", spec: spec, h: mcp.HandlerFunc(func(ctx context.Context, req *mcp.Request, sink mcp.Sink) (mcp.Result, error) {
		if req.Method != mcp.MethodCallTool {
			return server.Handle(ctx, req, sink)
		}
		text, _ := jsonrpc.Unquote(jsonrpc.Get(req.Arguments, "text"))
		var who, took, every string
		_, _ = fmt.Sscan(text, &who, &took, &every)
		total, _ := time.ParseDuration(took)
		step, err := time.ParseDuration(every)
		if err != nil {
			step = total
		}
		s.mu.Lock()
		s.order = append(s.order, who)
		s.mu.Unlock()
		for total > 0 {
			select {
			case <-time.After(min(step, total)):
				total -= step
				_ = sink.Notify(mcp.NewNotification(mcp.NotificationProgress, []byte(`{"progressToken":1,"progress":1}`)))
			case <-ctx.Done():
				s.mu.Lock()
				s.cancelled++
				s.mu.Unlock()
				return mcp.Result{}, ctx.Err()
			}
		}
		return mcp.Result{Body: []byte(`{"content":[]}`)}, nil
	})}
}

func (s *slow) began() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Join(s.order, " ")
}

func callOf(who, took, every string) *mcp.Request {
	req := call("a__echo", fmt.Sprintf(`{"text":%q}`, who+" "+took+" "+every))
	req.Principal.Subject, _, _ = strings.Cut(who, "/")
	return req
}

// TestFloodStarvesNobody: one caller fills the queue, and the other waits for one call.
func TestFloodStarvesNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s slow
		g, stop := newNode(t, nil, s.member(upstream.Spec{MaxConcurrent: 1, Queue: 50, QueueWait: time.Hour}))
		defer stop()
		var wg sync.WaitGroup
		refused := 0
		var mu sync.Mutex
		send := func(who string) {
			wg.Go(func() {
				_, err := g.Root().Handle(t.Context(), callOf(who, "1s", ""), mcp.Discard)
				if err == nil {
					return
				}
				mu.Lock()
				defer mu.Unlock()
				refused++
				if f, ok := errors.AsType[*upstream.Failure](err); !ok || f.Class != upstream.Overloaded || f.RetryAfter <= 0 || f.Reason == "" || who != "flood" {
					t.Errorf("%s: %v", who, err)
				}
			})
			synctest.Wait()
		}
		for range 80 {
			send("flood")
		}
		send("quiet")
		wg.Wait()
		if order := strings.Fields(s.began()); len(order) != 51 || order[2] != "quiet" { // after the one that runs, and one that was there before
			t.Errorf("the quiet caller was served as number %d of %d", strings.Index(s.began(), "quiet")/6, len(order))
		}
		if refused != 30 { // 29 that found the queue full, and one that made room
			t.Errorf("%d were refused", refused)
		}
	})
}

// TestDeadlineIncludesTheQueue: what waits longer than it may is told so, and never sent.
func TestDeadlineIncludesTheQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s slow
		g, stop := newNode(t, nil, s.member(upstream.Spec{MaxConcurrent: 1, CallTimeout: 10 * time.Second, MaxTimeout: time.Minute, QueueWait: time.Hour}))
		defer stop()
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var wg sync.WaitGroup
		wg.Go(func() { // has the place, and keeps it by its progress
			_, _ = g.Root().Handle(ctx, callOf("first", "1h", "5s"), mcp.Discard)
		})
		synctest.Wait()
		began := time.Now()
		_, err := g.Root().Handle(t.Context(), callOf("second", "1s", ""), mcp.Discard)
		f, ok := errors.AsType[*upstream.Failure](err)
		if !ok || f.Class != upstream.Timeout || !f.RetrySafe || time.Since(began) != 10*time.Second {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
		tr := g.Recent(1)[0]
		if last := tr.Decisions[len(tr.Decisions)-1]; last.Stage != "guard" || last.OK || last.Rule != "no place at a after 10s" {
			t.Errorf("explained as %+v", last)
		}
		cancel()
		wg.Wait()
		if s.began() != "first" || s.cancelled != 1 {
			t.Errorf("calls %q began, %d were cancelled", s.began(), s.cancelled)
		}
	})
}

// TestProgressMovesTheDeadline up to the hard one, where the upstream has one.
func TestProgressMovesTheDeadline(t *testing.T) {
	for _, tt := range []struct {
		name        string
		spec        upstream.Spec
		took, every string
		want        time.Duration
		ok          bool
	}{
		{"without progress", upstream.Spec{CallTimeout: 10 * time.Second, MaxTimeout: time.Minute}, "1h", "", 10 * time.Second, false},
		{"with progress", upstream.Spec{CallTimeout: 10 * time.Second, MaxTimeout: time.Minute}, "45s", "9s", 45 * time.Second, true},
		{"progress for ever", upstream.Spec{CallTimeout: 10 * time.Second, MaxTimeout: time.Minute}, "1h", "1s", time.Minute, false},
		{"progress that stops", upstream.Spec{CallTimeout: 10 * time.Second, MaxTimeout: time.Minute}, "1h", "8s", time.Minute, false},
		{"progress does not count", upstream.Spec{CallTimeout: 10 * time.Second}, "45s", "9s", 10 * time.Second, false},
		{"of the tool", upstream.Spec{CallTimeout: 10 * time.Second, Timeouts: []upstream.TimeoutRule{{For: "e*", Limit: time.Minute}}}, "45s", "", 45 * time.Second, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var s slow
				g, stop := newNode(t, nil, s.member(tt.spec))
				defer stop()
				began := time.Now()
				_, err := g.Root().Handle(t.Context(), callOf("x", tt.took, tt.every), mcp.Discard)
				if (err == nil) != tt.ok || time.Since(began) != tt.want {
					t.Errorf("ended after %v, want %v: %v", time.Since(began), tt.want, err)
				}
				if err != nil && (mcp.ErrorOf(err).Code != upstream.Timeout.Info().Code || s.cancelled != 1) {
					t.Errorf("%v; %d cancelled", err, s.cancelled)
				}
			})
		})
	}
}

// TestPlacesComeBack: whatever ends a call, its place is free again.
func TestPlacesComeBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s slow
		m := s.member(upstream.Spec{MaxConcurrent: 2, CallTimeout: time.Second})
		g, stop := newNode(t, &gateway.Options{}, m)
		defer stop()
		for i := range 20 {
			ctx, cancel := context.WithCancel(t.Context())
			if i > 3 { // the others end by their deadline; a fifth would open the breaker
				time.AfterFunc(time.Millisecond, cancel)
			}
			_, _ = g.Root().Handle(ctx, callOf("x", "1h", ""), mcp.Discard)
			cancel()
		}
		if _, err := g.Root().Handle(t.Context(), callOf("x", "1ms", ""), mcp.Discard); err != nil || g.Recent(1)[0].Decisions[6].Rule != "a place at once" {
			t.Errorf("%v, %+v", err, g.Recent(1)[0].Decisions)
		}
	})
}
