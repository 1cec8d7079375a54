package mcp

// Version is a protocol revision, named by its date.
type Version string

// The protocol revisions, oldest first.
const (
	Version20241105 Version = "2024-11-05"
	Version20250326 Version = "2025-03-26"
	Version20250618 Version = "2025-06-18"
	Version20251125 Version = "2025-11-25"
	Version20260728 Version = "2026-07-28"

	// LatestVersion is the newest revision, spoken unless the peer needs an older one.
	LatestVersion = Version20260728
	// LatestLegacyVersion is the newest revision with sessions, offered in initialize.
	LatestLegacyVersion = Version20251125
)

// Versions lists the revisions that this library speaks, newest first. It returns a new slice.
func Versions() []Version {
	return []Version{Version20260728, Version20251125, Version20250618, Version20250326, Version20241105}
}

// Known reports whether v is a revision that this library speaks.
func (v Version) Known() bool {
	switch v {
	case Version20241105, Version20250326, Version20250618, Version20251125, Version20260728:
		return true
	}
	return false
}

// Modern reports whether requests of v carry their own metadata and no session:
// true for 2026-07-28 and later dates, known or not.
func (v Version) Modern() bool { return len(v) == len(LatestVersion) && v >= Version20260728 }

// Has reports whether f is part of revision v. An unknown revision has nothing.
func (v Version) Has(f Feature) bool {
	span := features[f]
	return v.Known() && v >= span.first && (span.last == "" || v <= span.last)
}

// Feature is something that came or went with a revision.
type Feature uint8

// The features that differ between revisions.
const (
	FeatureBatch             Feature = iota // JSON-RPC batches
	FeatureSession                          // initialize, sessions, GET streams, ping
	FeatureVersionHeader                    // MCP-Protocol-Version on HTTP requests
	FeatureMethodHeader                     // Mcp-Method, Mcp-Name, Mcp-Param-*
	FeatureResultType                       // resultType, ttlMs, cacheScope in results
	FeatureListen                           // subscriptions/listen
	FeatureSubscribe                        // resources/subscribe, resources/unsubscribe
	FeatureSetLevel                         // logging/setLevel
	FeatureStructuredContent                // structuredContent and outputSchema, objects only
	FeatureAnyStructured                    // structuredContent and outputSchema of any type
	FeatureProgressMessage                  // message in progress notifications
	FeatureNotFound32002                    // -32002 for an unknown resource
	FeatureElicitation                      // elicitation/create
	FeatureElicitMode                       // elicitation by a page, and the mode that tells
	FeatureElicitationID                    // elicitationId of an elicitation by a page
	FeatureResume                           // events with ids, streams that go on after a lost connection
	FeaturePolling                          // the server ends a connection before the response
	FeatureSamplingTools                    // tools in sampling
	FeatureAudio                            // audio content
	FeatureResourceLink                     // resource links in content
	FeatureTaskParam                        // tasks that the client asks for: task in tools/call, execution in tools/list
)

// features is the one table of what which revision has: first and last revision; no last means still there.
var features = map[Feature]struct{ first, last Version }{
	FeatureBatch:             {Version20250326, Version20250326},
	FeatureSession:           {Version20241105, Version20251125},
	FeatureVersionHeader:     {Version20250618, ""},
	FeatureMethodHeader:      {Version20260728, ""},
	FeatureResultType:        {Version20260728, ""},
	FeatureListen:            {Version20260728, ""},
	FeatureSubscribe:         {Version20241105, Version20251125},
	FeatureSetLevel:          {Version20241105, Version20251125},
	FeatureStructuredContent: {Version20250618, ""},
	FeatureAnyStructured:     {Version20260728, ""},
	FeatureProgressMessage:   {Version20250326, ""},
	FeatureNotFound32002:     {Version20241105, Version20251125},
	FeatureElicitation:       {Version20250618, ""},
	FeatureElicitMode:        {Version20251125, ""},
	FeatureElicitationID:     {Version20251125, Version20251125},
	FeatureResume:            {Version20250326, Version20251125},
	FeaturePolling:           {Version20251125, Version20251125},
	FeatureSamplingTools:     {Version20251125, ""},
	FeatureAudio:             {Version20250326, ""},
	FeatureResourceLink:      {Version20250618, ""},
	FeatureTaskParam:         {Version20251125, Version20251125},
}
