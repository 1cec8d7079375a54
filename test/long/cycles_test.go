package long

import (
	"context"
	"net/http/httptest"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/mcp/stdio"
	"github.com/fairlead-mcp/fairlead/mcp/streamhttp"
	"github.com/fairlead-mcp/fairlead/test/internal/peers"
)

// length is how long the soak runs.
func length(t *testing.T) time.Duration {
	t.Helper()
	text := os.Getenv("FAIRLEAD_LONG")
	if text == "" {
		t.Skip("takes minutes; runs with FAIRLEAD_LONG=10m (make long)")
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		t.Fatalf("FAIRLEAD_LONG: %v", err)
	}
	return d
}

const cycles = 1000

// held is what this process holds that a leak would add to.
type held struct{ goroutines, descriptors int }

func holds(t *testing.T) held {
	t.Helper()
	runtime.GC()
	files, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skipf("descriptors cannot be counted here: %v", err)
	}
	return held{runtime.NumGoroutine(), len(files)}
}

// settles waits until no more is held than before; connections close by themselves, but not at once.
func settles(t *testing.T, before held) {
	t.Helper()
	for range 600 {
		if now := holds(t); now.goroutines <= before.goroutines && now.descriptors <= before.descriptors {
			return
		}
		time.Sleep(100 * time.Millisecond) // nothing tells that the last one has gone
	}
	stacks := make([]byte, 1<<20)
	t.Errorf("held before %+v, now %+v\n%s", before, holds(t), stacks[:runtime.Stack(stacks, true)])
}

// report prints the figures of a run of cycles.
func report(t *testing.T, what string, took []time.Duration) {
	t.Helper()
	slices.Sort(took)
	t.Logf("%s: %s: %d cycles, p50 %v, p99 %v, longest %v", time.Now().Format(time.DateOnly), what, len(took),
		took[len(took)/2].Round(10*time.Microsecond), took[len(took)*99/100].Round(10*time.Microsecond), took[len(took)-1].Round(10*time.Microsecond))
}

func call(ctx context.Context, t *testing.T, h mcp.Handler) {
	t.Helper()
	res, err := mcp.NewClient("long", "1", h, nil).CallTool(ctx, "echo", map[string]string{"text": "hi"}, nil)
	if err != nil || res.Text() != "hi" {
		t.Fatalf("got %v, %v", res, err)
	}
}

// TestThousandChildren starts a child, calls it and ends it, in both eras.
func TestThousandChildren(t *testing.T) {
	length(t)
	bin := peers.Build(t, "examples/echo")
	for _, era := range []stdio.Era{stdio.EraModern, stdio.EraLegacy} {
		before := holds(t)
		var took []time.Duration
		for range cycles {
			start := time.Now()
			child, err := stdio.Start(t.Context(), exec.Command(bin), &stdio.ClientOptions{Era: era})
			if err != nil {
				t.Fatal(err)
			}
			call(t.Context(), t, child)
			if err := child.Close(t.Context()); err != nil {
				t.Fatal(err)
			}
			took = append(took, time.Since(start))
		}
		settles(t, before)
		report(t, "child "+string(era)+": start, call, end", took)
	}
}

// TestThousandSessions opens, uses and closes a client over HTTP: a session of
// 2025-11-25, and a subscription of 2026-07-28.
func TestThousandSessions(t *testing.T) {
	length(t)
	s := mcp.NewServer("echo", "1", nil)
	type in struct {
		Text string `json:"text"`
	}
	if err := mcp.AddTool(s, mcp.Tool{Name: "echo"}, func(_ context.Context, _ *mcp.Call, in in) (string, error) { return in.Text, nil }); err != nil {
		t.Fatal(err)
	}
	for _, era := range []streamhttp.Era{streamhttp.EraModern, streamhttp.EraLegacy} {
		before := holds(t)
		web := httptest.NewServer(streamhttp.NewHandler(s, nil))
		var took []time.Duration
		for range cycles {
			start := time.Now()
			c := streamhttp.NewClient(web.URL, &streamhttp.ClientOptions{Era: era})
			call(t.Context(), t, c)
			sub, err := mcp.NewClient("long", "1", c, nil).Listen(t.Context(), mcp.NotificationFilter{ToolsListChanged: true}, func(mcp.Event) {})
			if err != nil {
				t.Fatal(err)
			}
			sub.Close()
			if err := c.Close(t.Context()); err != nil {
				t.Fatal(err)
			}
			took = append(took, time.Since(start))
		}
		web.Close()
		settles(t, before)
		report(t, "HTTP "+string(era)+": connect, call, listen, close", took)
	}
}
