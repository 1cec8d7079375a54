package mcptest_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/mcp/mcptest"
	"github.com/google/go-cmp/cmp"
)

func TestPair(t *testing.T) {
	for _, version := range mcp.Versions() {
		t.Run(string(version), func(t *testing.T) {
			seen := make(chan mcp.Version, 1)
			h := mcp.HandlerFunc(func(_ context.Context, req *mcp.Request, sink mcp.Sink) (mcp.Result, error) {
				if req.Method != mcp.MethodCallTool {
					return mcp.Result{Body: []byte(`{"supportedVersions":["2026-07-28"],"capabilities":{"tools":{}}}`)}, nil
				}
				seen <- req.Meta.Version
				if req.Meta.ProgressToken != nil {
					params := append(append([]byte(`{"progress":1,"progressToken":`), req.Meta.ProgressToken...), '}')
					_ = sink.Notify(mcp.NewNotification(mcp.NotificationProgress, params))
				}
				return mcp.Result{Body: []byte(`{"content":[{"type":"text","text":"hello"}]}`)}, nil
			})
			c := mcp.NewClient("test", "1", mcptest.Pair(t, h, version), nil)
			progress := 0
			res, err := c.CallTool(t.Context(), "greet", nil, &mcp.CallOptions{Progress: func(mcp.Progress) { progress++ }})
			if err != nil || res.Text() != "hello" {
				t.Fatalf("CallTool = %+v, %v", res, err)
			}
			if got := <-seen; got != version {
				t.Errorf("the server saw revision %s", got)
			}
			if progress != 1 {
				t.Errorf("%d progress notifications, want 1", progress)
			}
		})
	}
}

func TestPairInBubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := mcp.HandlerFunc(func(ctx context.Context, req *mcp.Request, _ mcp.Sink) (mcp.Result, error) {
			if req.Method == mcp.MethodDiscover {
				return mcp.Result{Body: []byte(`{"supportedVersions":["2026-07-28"],"capabilities":{}}`)}, nil
			}
			<-ctx.Done()
			return mcp.Result{}, ctx.Err()
		})
		c := mcp.NewClient("test", "1", mcptest.Pair(t, h, mcp.LatestVersion), &mcp.ClientOptions{Timeout: time.Minute})
		start := time.Now()
		if _, err := c.CallTool(t.Context(), "x", nil, nil); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != time.Minute {
			t.Errorf("after %v: %v", time.Since(start), err)
		}
	})
}

func TestScript(t *testing.T) {
	s := mcptest.NewScript(t,
		mcptest.Step{Method: "tools/call", Name: "a", Notify: []*mcp.Notification{mcp.NewNotification("notifications/x", nil)}, Body: `{"content":[]}`},
		mcptest.Step{Method: "tools/list", Err: mcp.ErrInvalidParams("no")},
	)
	var sink mcptest.Recorder
	if _, err := s.Handle(t.Context(), &mcp.Request{Method: "tools/call", Name: "a"}, &sink); err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff([]mcptest.Note{{Method: "notifications/x"}}, sink.Notes()); diff != "" {
		t.Errorf("notifications (-want +got):\n%s", diff)
	}
	if _, err := s.Handle(t.Context(), &mcp.Request{Method: "tools/list"}, mcp.Discard); err == nil {
		t.Error("no error")
	}
	if got := s.Requests(); len(got) != 2 || got[0].Name != "a" {
		t.Errorf("requests %v", got)
	}
}

func TestRecorder(t *testing.T) {
	var r mcptest.Recorder
	go func() { // ends at once
		_ = r.Notify(mcp.NewNotification("a", nil))
		r.End(mcp.Result{}, mcp.ErrClosed)
		r.End(mcp.Result{}, nil)
	}()
	if notes := r.Wait(t.Context(), 1); len(notes) != 1 {
		t.Errorf("notes %v", notes)
	}
	if _, err := r.WaitEnd(t.Context()); !errors.Is(err, mcp.ErrClosed) {
		t.Errorf("end %v", err)
	}
	if err := r.Notify(mcp.NewNotification("b", nil)); !errors.Is(err, mcp.ErrSinkClosed) {
		t.Errorf("Notify after the end: %v", err)
	}
}
