package mcp

// Root is a place in the file system that a client lets a server work on (MCP
// 2026-07-28, client/roots).
//
// Deprecated in the protocol since 2026-07-28.
type Root struct {
	URI  string `json:"uri"` // file://...
	Name string `json:"name,omitzero"`
	Meta Raw    `json:"_meta,omitzero"`
}

// ListRootsResult is the result of roots/list.
//
// Deprecated in the protocol since 2026-07-28.
type ListRootsResult struct {
	Roots []Root `json:"roots"`
	Meta  Raw    `json:"_meta,omitzero"`
}
