package conformance

import (
	"strings"
	"testing"

	"github.com/fairlead-mcp/fairlead/test/internal/peers"
)

// TestClientBackCompat runs the scenarios of authorization in 2025-03-26, which
// belong to no list of requirements.
func TestClientBackCompat(t *testing.T) {
	peers.Need(t)
	bin := peers.Build(t, "test/conformance/client")
	for _, scenario := range []string{"auth/2025-03-26-oauth-metadata-backcompat", "auth/2025-03-26-oauth-endpoint-fallback"} {
		t.Run(scenario, func(t *testing.T) {
			cmd := peers.NodeCommand(t.Context(), peers.Script("@modelcontextprotocol/conformance", "dist/index.js"),
				"client", "--command", bin, "--scenario", scenario, "--spec-version", "2025-03-26", "-o", t.TempDir())
			out, err := cmd.CombinedOutput()
			if err != nil || !strings.Contains(string(out), "OVERALL: PASSED") {
				t.Errorf("%v\n%s", err, peers.Tail(string(out), 60))
			}
		})
	}
}
