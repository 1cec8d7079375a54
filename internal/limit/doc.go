// Package limit holds what keeps one part of a node from taking others down:
// circuit breakers and budgets. It knows nothing of MCP.
package limit
