package stdio_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fairlead-mcp/fairlead/mcp/jsonrpc"
	"github.com/fairlead-mcp/fairlead/mcp/stdio"
)

const (
	discovered  = `{"jsonrpc":"2.0","id":%s,"result":{"resultType":"complete","supportedVersions":["2026-07-28"],"capabilities":{}}}` + "\n"
	initialized = `{"jsonrpc":"2.0","id":%s,"result":{"protocolVersion":"2024-11-05","capabilities":{},"serverInfo":{"name":"s","version":"1"}}}` + "\n"
)

// TestProbeOfSilence runs in time that does not pass: what counts is when
// initialize is sent, and that an answer to the probe still counts after that.
func TestProbeOfSilence(t *testing.T) {
	tests := []struct {
		name   string
		script func(out io.Writer, method, id string) // answers one message
		prompt time.Duration                          // when the server says something of its own; 0 means never
		era    stdio.Era
		at     time.Duration // when initialize comes; 0 means never
	}{
		{
			name: "initialize answered",
			script: func(out io.Writer, method, id string) {
				if method == "initialize" {
					fmt.Fprintf(out, initialized, id)
				}
			},
			era: stdio.EraLegacy, at: 10 * time.Second,
		},
		{
			name: "initialize answered, with early output",
			script: func(out io.Writer, method, id string) {
				if method == "initialize" {
					fmt.Fprintf(out, initialized, id)
				}
			},
			prompt: time.Second, era: stdio.EraLegacy, at: 4 * time.Second,
		},
		{
			name: "late output does not prolong",
			script: func(out io.Writer, method, id string) {
				if method == "initialize" {
					fmt.Fprintf(out, initialized, id)
				}
			},
			prompt: 9 * time.Second, era: stdio.EraLegacy, at: 10 * time.Second,
		},
		{
			name: "modern, but slow",
			script: func(out io.Writer, method, id string) {
				if method == "server/discover" {
					go func() {
						<-time.After(15 * time.Second)
						fmt.Fprintf(out, discovered, id)
					}()
				}
			},
			era: stdio.EraModern, at: 10 * time.Second,
		},
		{
			name: "modern",
			script: func(out io.Writer, method, id string) {
				if method == "server/discover" {
					fmt.Fprintf(out, discovered, id)
				}
			},
			era: stdio.EraModern,
		},
		{
			name: "an error without an id",
			script: func(out io.Writer, method, id string) {
				switch method {
				case "server/discover":
					fmt.Fprintln(out, `{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"what?"}}`)
				case "initialize":
					fmt.Fprintf(out, initialized, id)
				}
			},
			era: stdio.EraLegacy, at: time.Nanosecond,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				inR, inW := io.Pipe()
				outR, outW := io.Pipe()
				start := time.Now()
				var at time.Duration
				served := make(chan struct{})
				go func() {
					defer close(served)
					defer outW.Close()
					lines := bufio.NewScanner(inR)
					for lines.Scan() {
						msg, err := jsonrpc.Scan(lines.Bytes(), nil)
						if err != nil {
							t.Error(err)
						}
						if msg.Method == "initialize" {
							at = max(time.Since(start), time.Nanosecond)
						}
						tt.script(outW, msg.Method, string(msg.ID))
					}
				}()
				if tt.prompt > 0 {
					go func() {
						<-time.After(tt.prompt)
						fmt.Fprintln(outW, "ready")
					}()
				}
				c, err := stdio.NewClient(t.Context(), outR, inW, nil)
				if err != nil {
					t.Fatal(err)
				}
				if c.Era() != tt.era {
					t.Errorf("era = %q, want %q", c.Era(), tt.era)
				}
				if err := c.Close(context.Background()); err != nil {
					t.Error(err)
				}
				<-served
				if diff := cmp.Diff(tt.at, at); diff != "" {
					t.Error("initialize came at (-want +got)\n" + diff)
				}
			})
		})
	}
}
