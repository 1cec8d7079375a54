package stdio_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/mcp/jsonrpc"
	"github.com/fairlead-mcp/fairlead/mcp/stdio"
)

// TestPace has a server write a lot that nobody asked for before its answer. A burst
// passes, the rest comes at a pace that costs little, and then the answer.
func TestPace(t *testing.T) {
	const (
		burst = 10_000
		lines = 30_000 // at 5000 a second
	)
	for _, tc := range []struct {
		name  string
		line  string
		lines int
		least time.Duration // on the fake clock
	}{
		{"lines that nobody waits for", `{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}`, lines, 3900 * time.Millisecond},
		{"answers to nothing", `{"jsonrpc":"2.0","id":4711,"result":{}}`, lines, 3900 * time.Millisecond},
		{"a burst", `{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}`, burst - 10, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				inR, inW := io.Pipe()
				outR, outW := io.Pipe()
				go func() { // ends with inW
					in := bufio.NewScanner(inR)
					out := bufio.NewWriter(outW)
					for first := true; in.Scan(); first = false {
						msg, err := jsonrpc.Scan(in.Bytes(), nil)
						if err != nil || msg.ID == nil {
							continue
						}
						for i := 0; !first && i < tc.lines; i++ {
							fmt.Fprintln(out, tc.line)
						}
						fmt.Fprintf(out, `{"jsonrpc":"2.0","id":%s,"result":{"resultType":"complete","supportedVersions":["2026-07-28"],"capabilities":{},"content":[]}}`+"\n", msg.ID)
						_ = out.Flush()
					}
				}()
				c, err := stdio.NewClient(t.Context(), outR, inW, nil)
				if err != nil {
					t.Fatal(err)
				}
				start := time.Now()
				req := call("echo", `{}`)
				req.Meta.ProgressToken = []byte(`"t"`)
				if _, err := c.Handle(t.Context(), req, mcp.Discard); err != nil {
					t.Fatal(err)
				}
				if took := time.Since(start); took < tc.least || took > tc.least+time.Second {
					t.Errorf("%d lines took %v, want %v and a little", tc.lines, took, tc.least)
				}
				_ = c.Close(context.Background())
			})
		})
	}
}
