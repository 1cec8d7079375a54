// Package conformance runs the official conformance suite: against our server,
// one process on one URL for both eras, and against our client.
//
// What a feature of ours does not cover yet stands in the expected-failures
// files. The suite fails on an entry that passes, so they can only shrink.
package conformance

import (
	"context"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/fairlead-mcp/fairlead/test/internal/peers"
)

func TestServer(t *testing.T) {
	peers.Need(t)
	addr := peers.FreeAddr(t)
	peers.Start(t, exec.Command(peers.Build(t, "test/conformance/server"), "-addr", addr))
	peers.WaitListen(t, addr)
	for _, revision := range []string{"2026-07-28", "2025-11-25"} {
		t.Run(revision, func(t *testing.T) {
			suite(t, "server", "--url", "http://"+addr+"/mcp", "--requirements", revision,
				"--expected-failures", expected(t, "server-"+revision))
		})
	}
}

func TestClient(t *testing.T) {
	peers.Need(t)
	bin := peers.Build(t, "test/conformance/client")
	for _, revision := range []string{"2026-07-28", "2025-11-25"} {
		t.Run(revision, func(t *testing.T) {
			suite(t, "client", "--command", bin, "--requirements", revision,
				"--expected-failures", expected(t, "client-"+revision))
		})
	}
}

const suiteTimeout = 5 * time.Minute

func expected(t *testing.T, name string) string {
	t.Helper()
	path, err := filepath.Abs("expected-failures-" + name + ".yml")
	if err != nil {
		t.Fatal(err)
	}
	return path
}

var summary = regexp.MustCompile(`(?m)^.*(?:[Pp]assed|[Ff]ailed|[Uu]nexpected|[Ss]tale).*$`)

func suite(t *testing.T, leg string, args ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), suiteTimeout)
	defer cancel()
	all := append([]string{peers.Script("@modelcontextprotocol/conformance", "dist/index.js"), leg}, args...)
	cmd := peers.NodeCommand(ctx, append(all, "-o", t.TempDir())...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		text := string(out)
		if i := strings.LastIndex(text, "SUMMARY"); i >= 0 {
			text = text[i:]
		}
		t.Fatalf("the suite does not pass: %v\n%s", err, peers.Tail(text, 150))
	}
	lines := summary.FindAllString(string(out), -1)
	if len(lines) == 0 {
		t.Fatalf("the suite ran nothing:\n%s", peers.Tail(string(out), 50))
	}
	t.Log(lines[len(lines)-1])
}
