package conformance

import (
	"context"
	"os/exec"
	"regexp"
	"testing"

	"github.com/fairlead-mcp/fairlead/test/internal/peers"
)

// passed is the count of a single scenario that has found nothing to say.
var passed = regexp.MustCompile(`(?m)^Passed: ([1-9][0-9]*)/([1-9][0-9]*), 0 failed, 0 warnings$`)

// The requirements of no revision name the skills scenarios, so they are run one by one.

func TestSkillsServer(t *testing.T) {
	peers.Need(t)
	addr := peers.FreeAddr(t)
	peers.Start(t, exec.Command(peers.Build(t, "test/conformance/server"), "-addr", addr))
	peers.WaitListen(t, addr)
	for _, revision := range []string{"2026-07-28", "2025-11-25"} {
		for _, name := range []string{"sep-2640-skills-directory", "sep-2640-skills-enumeration", "sep-2640-skills-manifest"} {
			t.Run(name+"/"+revision, func(t *testing.T) {
				scenario(t, "server", name, "--url", "http://"+addr+"/mcp", "--spec-version", revision, "--force")
			})
		}
	}
}

func TestSkillsClient(t *testing.T) {
	peers.Need(t)
	bin := peers.Build(t, "test/conformance/client")
	for _, name := range []string{"sep-2640-client-no-prefetch", "sep-2640-client-verify-digest", "sep-2640-client-verify-size", "sep-2640-client-verify-frontmatter"} {
		t.Run(name, func(t *testing.T) {
			scenario(t, "client", name, "--command", bin)
		})
	}
}

// scenario runs one scenario, of which every check must pass.
func scenario(t *testing.T, leg, name string, args ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), suiteTimeout)
	defer cancel()
	all := append([]string{peers.Script("@modelcontextprotocol/conformance", "dist/index.js"), leg, "--scenario", name}, args...)
	out, err := peers.NodeCommand(ctx, append(all, "-o", t.TempDir())...).CombinedOutput()
	m := passed.FindSubmatch(out)
	if err != nil || m == nil || string(m[1]) != string(m[2]) {
		t.Fatalf("%s: %v\n%s", name, err, peers.Tail(string(out), 60))
	}
	t.Logf("%s", m[0])
}
