package streamhttp_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/mcp/streamhttp"
)

func (e *endpoint) listen(t testing.TB, ctx context.Context, params string) (*http.Response, func() string) {
	t.Helper()
	return e.stream(t, ctx, http.MethodPost,
		`{"jsonrpc":"2.0","id":"sub-1","method":"subscriptions/listen","params":{"notifications":{`+params+`},`+meta+`}}`,
		"MCP-Protocol-Version: 2026-07-28", "Mcp-Method: subscriptions/listen")
}

func TestListen(t *testing.T) {
	e := serve(t, nil)
	resp, next := e.listen(t, t.Context(), "")
	if resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "text/event-stream" || resp.Header.Get("X-Accel-Buffering") != "no" {
		t.Fatalf("got %d %v", resp.StatusCode, resp.Header)
	}
	if got := next(); !strings.Contains(got, "subscriptions/acknowledged") || !strings.Contains(got, `"io.modelcontextprotocol/subscriptionId":"sub-1"`) {
		t.Errorf("first event is %s", got)
	}
	if err := e.toAll(mcp.NewNotification(mcp.NotificationToolsListChanged, nil)); err != nil {
		t.Error(err)
	}
	if got := next(); !strings.Contains(got, "tools/list_changed") || !strings.Contains(got, `"sub-1"`) {
		t.Errorf("second event is %s", got)
	}
	// A server that stops says so.
	if err := e.handler.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if got := next(); !strings.Contains(got, `"id":"sub-1","result":{"resultType":"complete"`) || !strings.Contains(got, `subscriptionId":"sub-1"`) {
		t.Errorf("last event is %s", got)
	}
	if got := next(); got != "EOF" {
		t.Errorf("after it: %s", got)
	}
	if err := e.toAll(mcp.NewNotification(mcp.NotificationToolsListChanged, nil)); err == nil {
		t.Error("a closed stream took a notification")
	}
	if got := e.callModern(t, "echo"); got.status != 503 || got.header.Get("Retry-After") == "" {
		t.Errorf("a closed handler answered %d", got.status)
	}
}

func TestListenRefused(t *testing.T) {
	e := serve(t, nil)
	resp, _ := e.listen(t, t.Context(), `"refuse":true`)
	if resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "application/json" {
		t.Errorf("got %d %v", resp.StatusCode, resp.Header)
	}
}

func TestListenEndsWithItsClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := serveInMemory(t, nil)
		ctx, cancel := context.WithCancel(t.Context())
		_, next := e.listen(t, ctx, "")
		next()
		cancel()
		synctest.Wait()
		if err := e.toAll(mcp.NewNotification(mcp.NotificationToolsListChanged, nil)); err == nil {
			t.Error("the stream of a client that has gone took a notification")
		}
	})
}

func TestSlowReaderIsClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := serveInMemory(t, nil)
		_, next := e.listen(t, t.Context(), "")
		next()
		var err error
		for i := range 100 { // nobody reads: 64 KiB wait, then the stream ends
			n := mcp.NewNotification(mcp.NotificationResourceUpdated, fmt.Appendf(nil, `{"uri":"x:%d%s"}`, i, strings.Repeat("u", 8<<10)))
			if err = e.toAll(n); err != nil {
				break
			}
		}
		if err == nil {
			t.Fatal("the queue has no bound")
		}
		last, got := "", ""
		for range 100 {
			if got = next(); got == "EOF" {
				break
			}
			last = got
		}
		if got != "EOF" || !strings.Contains(last, "reads too slowly") || !strings.Contains(last, `"error"`) {
			t.Errorf("the stream ends with %.200s, and then %.80s", last, got)
		}
	})
}

// TestStormIsCoalesced: a reader that does not keep up is told of each change once, and
// keeps its stream.
func TestStormIsCoalesced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := serveInMemory(t, nil)
		_, next := e.listen(t, t.Context(), "")
		next()
		const storm = 10_000
		for i := range storm {
			for _, n := range []*mcp.Notification{
				mcp.NewNotification(mcp.NotificationToolsListChanged, nil),
				mcp.NewNotification(mcp.NotificationResourceUpdated, fmt.Appendf(nil, `{"uri":"x:%d"}`, i%3)),
			} {
				if err := e.toAll(n); err != nil {
					t.Fatalf("after %d: %v", i, err)
				}
			}
		}
		seen := map[string]int{}
		total := 0
		done := make(chan struct{})
		go func() { // reads what there is; a comment means that nothing is left
			defer close(done)
			for got := next(); got != ""; got = next() {
				seen[got]++
				total++
			}
		}()
		<-done
		if len(seen) != 4 || total > 20 {
			t.Errorf("%d events, of %d kinds, came of %d", total, len(seen), 2*storm)
		}
		// What changes afterwards is told again.
		if err := e.toAll(mcp.NewNotification(mcp.NotificationToolsListChanged, nil)); err != nil {
			t.Fatal(err)
		}
		if got := next(); !strings.Contains(got, "list_changed") {
			t.Errorf("after the storm: %s", got)
		}
	})
}

func TestKeepAlive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := serveInMemory(t, nil)
		_, next := e.listen(t, t.Context(), "")
		next()
		for range 3 {
			before := time.Now()
			if got := next(); got != "" {
				t.Errorf("got %q, want a comment", got)
			}
			if d := time.Since(before); d != 15*time.Second {
				t.Errorf("a comment after %v", d)
			}
		}
	})
}

func TestSlowCallBecomesStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := serveInMemory(t, nil)
		before := time.Now()
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		body, headers := callOf("block")
		resp, next := e.stream(t, ctx, http.MethodPost, body, headers...)
		if d := time.Since(before); resp.Header.Get("Content-Type") != "text/event-stream" || d != 10*time.Second {
			t.Errorf("got %v after %v", resp.Header, d)
		}
		for _, want := range []time.Duration{10 * time.Second, 25 * time.Second, 40 * time.Second} {
			if got := next(); got != "" {
				t.Errorf("got %q, want a comment", got)
			}
			if d := time.Since(before); d != want {
				t.Errorf("a comment after %v, want %v", d, want)
			}
		}
		cancel()
		<-e.ended
	})
}

func TestSlowBodyTimesOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := serveInMemory(t, &streamhttp.HandlerOptions{BodyTimeout: time.Second})
		body, headers := callOf("echo")
		req := e.request(t, t.Context(), http.MethodPost, "", headers...)
		never, stop := context.WithCancel(t.Context())
		defer stop()
		req.Body, req.ContentLength = stuck{strings.NewReader(body[:20]), never}, int64(len(body))
		before := time.Now()
		if got := e.send(t, req); got.status != 400 {
			t.Errorf("got %d %s", got.status, got.body)
		}
		if d := time.Since(before); d != time.Second {
			t.Errorf("after %v", d)
		}
	})
}

// stuck is a body that stops in the middle.
type stuck struct {
	*strings.Reader
	ctx context.Context
}

func (s stuck) Read(p []byte) (int, error) {
	if s.Len() > 0 {
		return s.Reader.Read(p)
	}
	<-s.ctx.Done()
	return 0, s.ctx.Err()
}

func (s stuck) Close() error { return nil }
