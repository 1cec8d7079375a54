package interop

import (
	"context"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/fairlead-mcp/fairlead/test/internal/peers"
)

// TestTasksOfTypeScript: tasks of 2025-11-25 as the TypeScript SDK calls them. It
// offers to host tasks for what it is asked, and is not taken up on that.
func TestTasksOfTypeScript(t *testing.T) {
	peers.Need(t)
	addr := peers.FreeAddr(t)
	peers.Start(t, exec.Command(peers.Build(t, "test/conformance/server"), "-addr", addr))
	peers.WaitListen(t, addr)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	out, err := peers.NodeCommand(ctx, filepath.Join(peers.Dir(), "tasks.mjs"), "http://"+addr+"/mcp").CombinedOutput()
	const want = `confirm_delete created working 60000
asked Delete x? no task true
confirm_delete result x: accept, true
test_tool_with_task created working 60000
asked What is your name? no task true
test_tool_with_task result Worked for Ada
slow_compute created working 60000
slow_compute result Computed it
failing_job created working 60000
failing_job error MCP error -32603: Task failed
cancel cancelled
`
	if err != nil || string(out) != want {
		t.Errorf("%v; got\n%s\nwant\n%s", err, out, want)
	}
}
