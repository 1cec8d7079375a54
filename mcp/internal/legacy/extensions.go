package legacy

import "github.com/fairlead-mcp/fairlead/mcp/jsonrpc"

// tasksExtension is not carried: until 2025-11-25 tasks have a form of their own.
const tasksExtension = "io.modelcontextprotocol/tasks"

// extensions returns the member of capabilities that a session has for extensions;
// without a value if there are none. Revisions with sessions do not define it, but
// the extensions that hosts use there are negotiated by it: MCP Apps (SEP-1865,
// Capability Negotiation) and those of authorization. A peer that knows none ignores it.
func extensions(capabilities []byte) jsonrpc.Member {
	m := jsonrpc.Member{Key: "extensions"}
	if all := jsonrpc.Get(capabilities, m.Key); isObject(all) {
		if m.Value = jsonrpc.Splice(nil, all, jsonrpc.Member{Key: tasksExtension}); string(m.Value) == "{}" {
			m.Value = nil
		}
	}
	return m
}
