package upstream_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fairlead-mcp/fairlead/internal/upstream"
	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/mcp/jsonrpc"
	"github.com/google/go-cmp/cmp"
)

func TestPlacesOfAnUpstream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := upstream.New("u", upstream.Spec{MaxConcurrent: 1, Queue: 1, QueueWait: time.Minute}, nil)
		alice := mcp.Principal{Subject: "alice"}
		leave, _, err := u.Enter(t.Context(), alice)
		if err != nil {
			t.Fatal(err)
		}
		in := make(chan func())
		go func() {
			leave, _, err := u.Enter(t.Context(), alice)
			if err != nil {
				t.Error(err)
			}
			in <- leave
		}()
		synctest.Wait()
		_, _, err = u.Enter(t.Context(), alice)
		data := mcp.ErrorOf(err).Data
		if class(err) != "overloaded" || jsonrpc.Get(data, "reason") == nil || jsonrpc.Get(data, "retryAfterMs") == nil ||
			string(jsonrpc.Get(data, "upstream")) != `"u"` || string(jsonrpc.Get(data, "retrySafe")) != "true" {
			t.Errorf("with a full queue: %v, %s", err, data)
		}
		if st := u.Load(); st.Running != 1 || st.Queued != 1 || st.Refused != 1 {
			t.Errorf("load %+v", st)
		}
		leave()
		last := <-in
		defer last()

		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, _, err := u.Enter(ctx, alice); class(err) != "timeout" {
			t.Errorf("when the deadline of the call passes in the queue: %v", err)
		}
		ctx, leaves := context.WithCancel(t.Context())
		leaves()
		if _, _, err := u.Enter(ctx, alice); !errors.Is(err, context.Canceled) {
			t.Errorf("when the caller leaves: %v", err)
		}
	})
}

func TestDeadlines(t *testing.T) {
	u := upstream.New("u", upstream.Spec{
		CallTimeout: time.Minute, MaxTimeout: 10 * time.Minute,
		Timeouts: []upstream.TimeoutRule{
			{For: mcp.MethodCallTool, Limit: 2 * time.Minute},
			{For: "build_*", Limit: 20 * time.Minute},
			{For: "build_all", Limit: time.Second},
			{For: mcp.MethodReadResource, Limit: 5 * time.Second},
		},
	}, nil)
	for _, tt := range []struct {
		method, tool string
		want         upstream.Deadline
	}{
		{mcp.MethodGetPrompt, "build_all", upstream.Deadline{Limit: time.Minute, Hard: 10 * time.Minute, Rule: "timeout"}},
		{mcp.MethodCallTool, "other", upstream.Deadline{Limit: 2 * time.Minute, Hard: 10 * time.Minute, Rule: "timeouts tools/call"}},
		{mcp.MethodCallTool, "build_all", upstream.Deadline{Limit: 20 * time.Minute, Hard: 20 * time.Minute, Rule: "timeouts build_*"}}, // the first that fits
		{mcp.MethodReadResource, "", upstream.Deadline{Limit: 5 * time.Second, Hard: 10 * time.Minute, Rule: "timeouts resources/read"}},
	} {
		if diff := cmp.Diff(tt.want, u.Deadline(tt.method, tt.tool)); diff != "" {
			t.Errorf("%s %s (-want +got):\n%s", tt.method, tt.tool, diff)
		}
	}
	plain := upstream.New("u", upstream.Spec{CallTimeout: time.Minute}, nil)
	if d := plain.Deadline(mcp.MethodCallTool, "x"); d.Hard != d.Limit {
		t.Errorf("without timeout_max progress counts: %+v", d)
	}
}
