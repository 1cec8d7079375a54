package mcp_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/mcp/jsonrpc"
)

// watched is a server whose subscriptions a test ends and refuses.
type watched struct {
	sinks  chan mcp.Sink
	refuse func() error // of the next subscription; nil: it is acknowledged
}

func (s *watched) Handle(_ context.Context, _ *mcp.Request, sink mcp.Sink) (mcp.Result, error) {
	if s.refuse != nil {
		if err := s.refuse(); err != nil {
			return mcp.Result{}, err
		}
	}
	_ = sink.Notify(mcp.NewNotification(mcp.NotificationAcknowledged, []byte(`{"notifications":{"toolsListChanged":true}}`)))
	s.sinks <- sink
	return mcp.Result{Stream: true}, nil
}

func newWatched() *watched { return &watched{sinks: make(chan mcp.Sink, 1)} }

var watchFilter = mcp.NotificationFilter{ToolsListChanged: true, ResourceSubscriptions: []string{"x://1", "x://2"}, TaskIDs: []string{"t"}}

func TestWatch(t *testing.T) {
	open := func(t *testing.T, ctx context.Context, s *watched, opts *mcp.WatchOptions) (*mcp.Watch, chan string) {
		t.Helper()
		events := make(chan string, 1000)
		w, err := mcp.NewClient("c", "1", s, nil).Watch(ctx, watchFilter, func(e mcp.Event) {
			events <- strings.TrimSuffix(e.Method+" "+e.URI+e.TaskID, " ")
		}, opts)
		if err != nil {
			t.Fatal(err)
		}
		if !w.Acknowledged().ToolsListChanged {
			t.Error("not acknowledged")
		}
		return w, events
	}
	toolsChanged := mcp.NewNotification(mcp.NotificationToolsListChanged, nil)

	t.Run("tells of everything after a gap", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s, lost := newWatched(), make(chan error, 9)
			w, events := open(t, t.Context(), s, &mcp.WatchOptions{OnLost: func(err error) { lost <- err }})
			sink := <-s.sinks
			_ = sink.Notify(toolsChanged)
			if e := <-events; e != mcp.NotificationToolsListChanged {
				t.Errorf("event %s", e)
			}
			for _, end := range []error{mcp.ErrClosed, nil} {
				sink.End(mcp.Result{}, end)
				if err := <-lost; !errors.Is(err, end) {
					t.Errorf("lost by %v, want %v", err, end)
				}
				sink = <-s.sinks
				synctest.Wait()
				_ = sink.Notify(toolsChanged)
				got := fmt.Sprint(<-events, <-events, <-events, <-events, <-events)
				want := fmt.Sprint(mcp.NotificationToolsListChanged, mcp.NotificationResourceUpdated+" x://1", mcp.NotificationResourceUpdated+" x://2", mcp.NotificationTask+" t", mcp.NotificationToolsListChanged)
				if got != want {
					t.Errorf("events %s\nwant   %s", got, want)
				}
			}
			w.Close()
			w.Close()
			if w.Err() != nil || len(events) > 0 || len(lost) > 0 {
				t.Errorf("Err = %v, %d events, lost %d times", w.Err(), len(events), len(lost))
			}
		})
	})
	t.Run("with pauses that grow", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := newWatched()
			w, _ := open(t, t.Context(), s, nil)
			start, attempts := time.Now(), 0
			s.refuse = func() error {
				if attempts++; attempts > 20 {
					return nil
				}
				return mcp.ErrClosed
			}
			(<-s.sinks).End(mcp.Result{}, nil)
			<-s.sinks
			// 8 pauses up to a minute, 13 of one, each less up to its half.
			if waited := time.Since(start); waited < 6*time.Minute || waited > 16*time.Minute {
				t.Errorf("open again after %v and %d attempts", waited, attempts)
			}
			w.Close()
		})
	})
	t.Run("until a server that ends it at once", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
			defer cancel()
			s, opened := newWatched(), 0
			w, _ := open(t, ctx, s, nil)
			for {
				select {
				case sink := <-s.sinks:
					opened++
					sink.End(mcp.Result{}, nil)
					continue
				case <-w.Done():
				}
				break
			}
			if !errors.Is(w.Err(), context.DeadlineExceeded) || opened > 130 {
				t.Errorf("opened %d times in an hour, then %v", opened, w.Err())
			}
		})
	})
	t.Run("for good", func(t *testing.T) {
		for _, code := range []int{jsonrpc.CodeMethodNotFound, jsonrpc.CodeInvalidParams, jsonrpc.CodeInvalidRequest, mcp.CodeMissingCapability, mcp.CodeUnsupportedVersion} {
			synctest.Test(t, func(t *testing.T) {
				s := newWatched()
				w, events := open(t, t.Context(), s, nil)
				s.refuse = func() error { return mcp.Errorf(code, "no") }
				(<-s.sinks).End(mcp.Result{}, nil)
				<-w.Done()
				if !errors.Is(w.Err(), &mcp.Error{Code: code}) || len(events) > 0 {
					t.Errorf("Err = %v, %d events", w.Err(), len(events))
				}
			})
		}
	})
	t.Run("so many attempts", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s, attempts := newWatched(), 0
			w, _ := open(t, t.Context(), s, &mcp.WatchOptions{MaxAttempts: 3})
			s.refuse = func() error { attempts++; return mcp.ErrClosed }
			(<-s.sinks).End(mcp.Result{}, nil)
			<-w.Done()
			if !errors.Is(w.Err(), mcp.ErrClosed) || attempts != 3 {
				t.Errorf("Err = %v after %d attempts", w.Err(), attempts)
			}
		})
	})
	t.Run("not the first time", func(t *testing.T) {
		s := newWatched()
		s.refuse = func() error { return mcp.ErrClosed }
		if _, err := mcp.NewClient("c", "1", s, nil).Watch(t.Context(), watchFilter, func(mcp.Event) {}, nil); !errors.Is(err, mcp.ErrClosed) {
			t.Errorf("Watch: %v", err)
		}
	})
	t.Run("closed while it waits to open again", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := newWatched()
			w, _ := open(t, t.Context(), s, nil)
			s.refuse = func() error { return mcp.ErrClosed }
			(<-s.sinks).End(mcp.Result{}, nil)
			synctest.Wait()
			w.Close()
			if w.Err() != nil {
				t.Errorf("Err = %v after Close", w.Err())
			}
		})
	})
	t.Run("after a function that was too slow", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s, stuck := newWatched(), make(chan bool)
			updates := 0
			w, err := mcp.NewClient("c", "1", s, nil).Watch(t.Context(), watchFilter, func(e mcp.Event) {
				updates++
				<-stuck
			}, nil)
			if err != nil {
				t.Fatal(err)
			}
			sink := <-s.sinks
			for i := 0; sink.Notify(mcp.NewNotification(mcp.NotificationResourceUpdated, fmt.Appendf(nil, `{"uri":"x://%d"}`, i))) == nil; i++ {
			}
			close(stuck)
			<-s.sinks // open again
			w.Close()
			if updates < 1024 {
				t.Errorf("%d events", updates)
			}
		})
	})
}
