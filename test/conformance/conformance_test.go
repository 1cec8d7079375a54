// Package conformance runs the official conformance suite: against our server,
// one process on one URL for both eras, and against our client.
//
// What we do not cover yet stands in notYet, whether the suite scores it or not.
// It can only shrink: an entry that passes is a failure.
package conformance

import (
	"context"
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fairlead-mcp/fairlead/mcp/mcptest"
	"github.com/fairlead-mcp/fairlead/mcp/mcptest/wirecheck"
	"github.com/fairlead-mcp/fairlead/test/internal/peers"
)

func TestServer(t *testing.T) {
	peers.Need(t)
	addr := peers.FreeAddr(t)
	peers.Start(t, exec.Command(peers.Build(t, "test/conformance/server"), "-addr", addr))
	peers.WaitListen(t, addr)
	tap := mcptest.Tap(t, wirecheck.Server)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go tap.Forward(l, addr) // ends with l and the suite's connections
	t.Cleanup(func() { l.Close() })
	for _, revision := range []string{"2026-07-28", "2025-11-25"} {
		t.Run(revision, func(t *testing.T) {
			suite(t, "server", "--url", "http://"+l.Addr().String()+"/mcp", "--requirements", revision)
		})
	}
	t.Logf("messages that were held against the schemas:\n%s", tap.Check(wirecheck.Server))
}

func TestClient(t *testing.T) {
	peers.Need(t)
	bin := peers.Build(t, "test/conformance/client")
	for _, revision := range []string{"2026-07-28", "2025-11-25"} {
		t.Run(revision, func(t *testing.T) {
			wire := filepath.Join(t.TempDir(), "wire")
			t.Setenv("FAIRLEAD_WIRE", wire)
			suite(t, "client", "--command", bin, "--requirements", revision)
			tap, err := wirecheck.FromFile(wire)
			if err != nil {
				t.Fatal(err)
			}
			report := tap.Check(wirecheck.Client)
			for _, problem := range report.Problems {
				// The schema of 2025-11-25 has no fractions in answers to forms, though its
				// forms have numbers and the suite wants 95.5.
				if strings.Contains(fmt.Sprint(problem), "'/content/score': got number, want boolean or integer or string") {
					continue
				}
				t.Error(problem)
			}
			t.Logf("messages that were held against the schemas:\n%s", report)
		})
	}
}

// notYet lists what fails, by leg and revision.
var notYet = map[string][]string{}

const suiteTimeout = 5 * time.Minute

// failure is a line of the suite's summary.
var failure = regexp.MustCompile(`(?m)^✗ (\S+): `)

var summary = regexp.MustCompile(`(?m)^Total: .*$`)

func suite(t *testing.T, leg string, args ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), suiteTimeout)
	defer cancel()
	all := append([]string{peers.Script("@modelcontextprotocol/conformance", "dist/index.js"), leg}, args...)
	cmd := peers.NodeCommand(ctx, append(all, "-o", t.TempDir())...)
	out, err := cmd.CombinedOutput()
	text := string(out)
	lines := summary.FindAllString(text, -1)
	if len(lines) == 0 {
		t.Fatalf("the suite ran nothing: %v\n%s", err, peers.Tail(text, 50))
	}
	t.Log(lines[len(lines)-1])

	want := slices.Sorted(slices.Values(notYet[leg+" "+args[slices.Index(args, "--requirements")+1]]))
	var failing []string
	for _, m := range failure.FindAllStringSubmatch(text, -1) {
		failing = append(failing, m[1])
	}
	slices.Sort(failing)
	if !slices.Equal(failing, want) || err != nil && len(want) == 0 {
		if i := strings.LastIndex(text, "SUMMARY"); i >= 0 {
			text = text[i:]
		}
		t.Errorf("the suite: %v; failing\n%q, want\n%q\n%s", err, failing, want, peers.Tail(text, 150))
	}
}
