package mcp

import "time"

// Result is the answer to a request.
type Result struct {
	// Body is the result object without resultType, ttlMs and cacheScope, which
	// the fields below hold and the edge writes for callers that know them.
	// It is immutable. Nil means {}.
	Body []byte
	// Type is the result's resultType. Empty means ResultComplete.
	Type ResultType
	// Cache says how long and by whom the result may be kept. The zero value
	// says nothing; for methods that need a hint the edge then writes 0, private.
	Cache Cache
	// Stream says that the request stays open; see [Handler]. Body is unused.
	Stream bool
}

// ResultType says what a result is (MCP 2026-07-28, basic/index, ResultType).
type ResultType string

// The result types of the core protocol.
const (
	ResultComplete      ResultType = "complete"
	ResultInputRequired ResultType = "input_required"
)

// Cache is a caching hint (MCP 2026-07-28, server/utilities/caching).
type Cache struct {
	// TTL is how long the result is fresh. It is sent in whole milliseconds.
	TTL time.Duration
	// Scope says who may share it. Empty means no hint.
	Scope CacheScope
}

// CacheScope says who may share a cached result.
type CacheScope string

// The cache scopes.
const (
	CachePublic  CacheScope = "public"
	CachePrivate CacheScope = "private"
)
