// Package limit holds what keeps one part of a node from taking others down:
// circuit breakers, bulkheads and budgets. It knows nothing of MCP.
package limit
