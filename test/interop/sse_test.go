package interop

import (
	"strings"
	"testing"

	"github.com/fairlead-mcp/fairlead/test/internal/peers"
)

// oldClient speaks HTTP+SSE by the official TypeScript SDK.
const oldClient = `
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { SSEClientTransport } from "@modelcontextprotocol/sdk/client/sse.js";
const client = new Client({ name: "old", version: "1" }, { capabilities: {} });
await client.connect(new SSEClientTransport(new URL(process.argv[1])));
const { tools } = await client.listTools();
const sum = await client.callTool({ name: "everything__get-sum", arguments: { a: 2, b: 3 } });
console.log(tools.length > 5, sum.content[0].text);
await client.close();
`

// TestHTTPSSE: a client of 2024-11-05 uses the node at /sse.
func TestHTTPSSE(t *testing.T) {
	peers.Need(t)
	n := startNode(t)
	out, err := peers.NodeCommand(t.Context(), "--input-type=module", "-e", oldClient, n.url+"/sse").CombinedOutput()
	if err != nil || !strings.HasPrefix(string(out), "true The sum of 2 and 3 is 5") {
		t.Errorf("%v: %s", err, out)
	}
}
