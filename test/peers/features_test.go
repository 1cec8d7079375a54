package peers

import "slices"

// A feature is a row of the table in docs/interop.md.
type feature string

const (
	discover     feature = "discovery: capabilities, instructions"
	pagination   feature = "pagination"
	content      feature = "tools: text, images, embedded resources"
	audio        feature = "tools: audio"
	links        feature = "tools: resource links"
	structured   feature = "tools: structured content"
	failures     feature = "tools: errors"
	progress     feature = "progress"
	logging      feature = "logging"
	cancellation feature = "cancellation"
	resources    feature = "resources: text and bytes"
	templates    feature = "resource templates"
	subscribe    feature = "resource subscriptions"
	listChanged  feature = "list changed"
	prompts      feature = "prompts"
	completion   feature = "completion"
	ping         feature = "ping"
	form         feature = "elicitation: forms"
	page         feature = "elicitation: pages"
	sampling     feature = "sampling"
	roots        feature = "roots"
	tasks        feature = "tasks"
	resumption   feature = "resumption of a broken stream"
)

// features are in the order in which the tests run them on one connection.
var features = []feature{
	discover, pagination, content, audio, links, structured, failures, progress, logging, cancellation, resources, templates, listChanged,
	subscribe, prompts, completion, ping, form, page, sampling, roots, tasks, resumption,
}

// The directions of a cell.
const (
	ourClient = "our client, their server"
	ourServer = "their client, our server"
)

// peerNames are the peers, in the order of the document.
var peerNames = []string{"go-sdk", "mcp-go", "TypeScript SDK v1", "TypeScript SDK v2"}

var revisions = []string{"2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25", "2026-07-28"}

var transports = []string{"stdio", "http"}

// cell is one thing that a test does.
type cell struct {
	peer, direction, transport, revision string
	feature                              feature
}

// exception says why something is not there. Empty lists mean all.
type exception struct {
	peers, directions, transports, revisions []string
	features                                 []feature
	// broken: the test runs, and fails as long as the reason holds. Else there is
	// nothing to run.
	broken bool
	why    string
}

func (e *exception) covers(c cell) bool {
	return has(e.peers, c.peer) && has(e.directions, c.direction) && has(e.transports, c.transport) && has(e.revisions, c.revision) && has(e.features, c.feature)
}

func has[T comparable](list []T, v T) bool { return len(list) == 0 || slices.Contains(list, v) }

// exceptionOf returns why a cell is not there, or nil.
func exceptionOf(c cell) *exception {
	for i := range exceptions {
		if exceptions[i].covers(c) {
			return &exceptions[i]
		}
	}
	return nil
}
