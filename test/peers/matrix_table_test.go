package peers

import (
	"fmt"
	"slices"
	"strings"
)

// The rows of docs/translation.md that only a node has: what is on the wire at its
// edges, which no client library shows. They are asked by hand.
const (
	batch    feature = "batches of 2025-03-26"
	hints    feature = "caching hints"
	notFound feature = "error codes: an unknown resource"
	trace    feature = "trace context"
	mirror   feature = "mirrored parameters (x-mcp-header)"
)

// byHand are the features that the matrix asks for without a client library.
var byHand = []feature{notFound, hints, trace, mirror, batch}

// matrixFeatures are in the order in which they run; resumption is each hop's own.
func matrixFeatures() []feature {
	var all []feature
	for _, f := range features {
		if f != resumption {
			all = append(all, f)
		}
	}
	return append(all, byHand...)
}

// end is one end of a way through the node: who plays it, and what it speaks.
type end struct{ peer, transport, revision string }

// way is one client, one upstream and what passes between them.
type way struct {
	client, upstream end
	feature          feature
}

const us = "ours"

// upstreams are those of the node of the matrix. Each revision and transport is
// played by our server and by another's that knows the revision.
var upstreams = []end{
	{us, "stdio", "2024-11-05"},
	{us, "http", "2024-11-05"},
	{us, "stdio", "2025-03-26"},
	{us, "http", "2025-03-26"},
	{us, "stdio", "2025-06-18"},
	{us, "http", "2025-06-18"},
	{us, "stdio", "2025-11-25"},
	{us, "http", "2025-11-25"},
	{us, "stdio", "2026-07-28"},
	{us, "http", "2026-07-28"},
	{"TypeScript SDK v1", "stdio", "2024-11-05"},
	{"go-sdk", "http", "2024-11-05"},
	{"mcp-go", "stdio", "2025-03-26"},
	{"go-sdk", "http", "2025-03-26"},
	{"go-sdk", "stdio", "2025-06-18"},
	{"TypeScript SDK v1", "http", "2025-06-18"},
	{"TypeScript SDK v1", "stdio", "2025-11-25"},
	{"go-sdk", "http", "2025-11-25"},
	{"mcp-go", "http", "2025-11-25"},
	{"TypeScript SDK v2", "stdio", "2026-07-28"},
	{"go-sdk", "http", "2026-07-28"},
}

// clientsOf are the clients of one upstream: ours for the upstreams of others, and
// theirs, in turn, for ours.
func clientsOf(u end) []end {
	var all []end
	for i, revision := range revisions {
		for j, transport := range transports {
			peer := us
			if u.peer == us {
				knows := knowing(transport, revision)
				peer = knows[(i+j+slices.Index(revisions, u.revision)+slices.Index(transports, u.transport))%len(knows)]
				if revision == "2025-11-25" && u.revision >= revision {
					peer = "TypeScript SDK v1" // whose client has tasks
				}
			}
			all = append(all, end{peer, transport, revision})
			if u.peer == us && u.revision == "2026-07-28" && revision == u.revision {
				all = append(all, end{us, transport, revision}) // nobody else has the tasks of 2026-07-28
			}
		}
	}
	return all
}

// knowing are the peers whose clients know a revision on a transport.
func knowing(transport, revision string) []string {
	switch {
	case revision == "2024-11-05" && transport == "http": // HTTP+SSE
		return []string{"go-sdk"}
	case revision == "2026-07-28":
		return []string{"go-sdk", "mcp-go", "TypeScript SDK v2"}
	}
	return peerNames
}

func (u end) name() string {
	return u.revision + "-" + u.transport + "-" + map[string]string{us: us, "go-sdk": "gosdk", "mcp-go": "mcpgo", "TypeScript SDK v1": "ts1", "TypeScript SDK v2": "ts2"}[u.peer]
}

// limit says why something does not pass. Empty lists mean all.
type limit struct {
	clients, upstreams []string // revisions
	client, upstream   []string // peers
	from, to           []string // transports of the client and the upstream
	features           []feature
	// idle: there is nothing to run, since a side does not have it. Else the way is
	// tried, and the test fails when it works.
	idle bool
	why  string
}

func (l *limit) covers(w way) bool {
	return has(l.clients, w.client.revision) && has(l.upstreams, w.upstream.revision) && has(l.client, w.client.peer) && has(l.upstream, w.upstream.peer) &&
		has(l.from, w.client.transport) && has(l.to, w.upstream.transport) && has(l.features, w.feature)
}

var (
	sessions = revisions[:4]
	before25 = revisions[:2]
)

// limits are the cells of docs/translation.md that are not a plain yes. The first
// that covers a way counts.
var limits = []limit{
	{clients: []string{"2024-11-05"}, features: []feature{audio}, why: "2024-11-05 has no audio: its clients get an embedded resource with the same bytes"},
	{clients: before25, features: []feature{links}, why: "clients before 2025-06-18 get a text that says what the link says"},
	{clients: before25, features: []feature{structured}, why: "structured content begins with 2025-06-18: older clients get the text beside it"},
	{upstreams: before25, features: []feature{structured, links}, idle: true, why: "the upstream's revision does not have it"},
	{upstreams: []string{"2024-11-05"}, features: []feature{audio}, idle: true, why: "the upstream's revision does not have it"},
	{upstreams: before25, features: []feature{form, page}, idle: true, why: "upstreams before 2025-06-18 cannot ask for it"},
	{upstreams: []string{"2025-06-18"}, features: []feature{page}, idle: true, why: "upstreams before 2025-11-25 cannot ask for it"},
	{clients: before25, features: []feature{form}, why: "clients before 2025-06-18 cannot be asked for it: the tool is told so"},
	{clients: []string{"2024-11-05", "2025-03-26", "2025-06-18"}, features: []feature{page}, why: "clients before 2025-11-25 cannot be asked for it: the tool is told so"},
	{clients: []string{"2026-07-28"}, features: []feature{ping}, idle: true, why: "2026-07-28 has no ping"},
	{client: []string{us}, upstreams: []string{"2026-07-28"}, features: []feature{ping}, idle: true, why: "2026-07-28 has no ping"},
	{upstream: []string{"go-sdk", "mcp-go", "TypeScript SDK v1", "TypeScript SDK v2"}, features: []feature{mirror}, idle: true, why: "tried with our upstreams"},
	{clients: []string{"2024-11-05", "2025-03-26", "2025-06-18"}, features: []feature{tasks}, idle: true, why: "tasks begin with 2025-11-25; the tool is called without one"},
	{upstreams: []string{"2024-11-05", "2025-03-26", "2025-06-18"}, features: []feature{tasks}, idle: true, why: "tasks begin with 2025-11-25; the tool is called without one"},
	{clients: []string{"2024-11-05", "2025-06-18", "2025-11-25", "2026-07-28"}, features: []feature{batch}, idle: true, why: "batches are of 2025-03-26 only"},
	{clients: sessions, features: []feature{hints}, idle: true, why: "hints begin with 2026-07-28"},
	{client: []string{us}, clients: sessions, upstream: []string{"TypeScript SDK v1"}, from: []string{"http"}, features: []feature{notFound}, why: "the SDK's v1 itself says -32602"},
	{from: []string{"stdio"}, features: byHand, idle: true, why: "asked by hand over HTTP"},
}

// passes says why a way does not work, if it does not; idle that there is nothing to try.
func passes(w way) (why string, idle bool) {
	for i := range limits {
		if l := &limits[i]; l.covers(w) {
			return l.why, l.idle
		}
	}
	// What a peer does not do with us directly it does not do through a node.
	for _, c := range []cell{
		{w.client.peer, ourServer, w.client.transport, w.client.revision, w.feature},
		{w.upstream.peer, ourClient, w.upstream.transport, w.upstream.revision, w.feature},
	} {
		for i := range exceptions {
			if e := &exceptions[i]; c.peer != us && len(e.peers) > 0 && e.covers(c) {
				return e.why, true
			}
		}
	}
	return "", false
}

// translation is docs/translation.md.
func translation() string {
	var b strings.Builder
	b.WriteString(`# Translation

A client of any revision with an upstream of any revision, through a node, feature by feature. This page is generated from the table in
test/peers (` + "`make generate`" + `). ` + "`make e2e`" + ` runs every cell with a real node and real processes: what is said not to work is tried as well, and the
test fails when it works. The rules behind it are in [ADR 28](adr/0028-translation.md).

"yes" is every transport: clients over HTTP (HTTP+SSE for 2024-11-05) and on stdio through ` + "`fairlead bridge`" + `, upstreams over HTTP (HTTP+SSE for 2024-11-05) and as
a child on stdio, shared by everybody for what it tells of changes, and with ` + "`instances: principal`" + ` for the rest. Else the ways that work are listed as client > upstream; "-" is none. Numbers are the reasons below a table.
Each revision is played by a library of somebody else on either side, with ours at the other; who plays what stands at the end.
The last five rows are asked by hand over HTTP, since no library shows what is on the wire. Messages of the node over HTTP, to clients and to upstreams, are held against the JSON schema of their revision.
`)
	for _, client := range revisions {
		fmt.Fprintf(&b, "\n## Clients of %s\n\n| upstream | %s |\n|%s\n", client, strings.Join(revisions, " | "), strings.Repeat(" --- |", len(revisions)+1))
		var reasons []string
		for _, f := range matrixFeatures() {
			fmt.Fprintf(&b, "| %s |", f)
			for _, upstream := range revisions {
				fmt.Fprintf(&b, " %s |", verdict(client, upstream, f, &reasons))
			}
			b.WriteByte('\n')
		}
		b.WriteByte('\n')
		for i, why := range reasons {
			fmt.Fprintf(&b, "%d. %s.\n", i+1, strings.ToUpper(why[:1])+why[1:])
		}
	}
	b.WriteString("\n## Who plays\n\n| upstream | played by | its clients |\n| --- | --- | --- |\n")
	for _, u := range upstreams {
		var who []string
		for _, c := range clientsOf(u) {
			if !slices.Contains(who, c.peer) {
				who = append(who, c.peer)
			}
		}
		fmt.Fprintf(&b, "| %s %s | %s | %s |\n", u.revision, spell(u.transport), u.peer, strings.Join(who, ", "))
	}
	return b.String()
}

func spell(transport string) string {
	if transport == "http" {
		return "HTTP"
	}
	return transport
}

// verdict is one cell of the document.
func verdict(client, upstream string, f feature, reasons *[]string) string {
	var works []string
	notes := map[string][]string{} // way of transports -> why it does not work, by who plays it
	for _, u := range upstreams {
		if u.revision != upstream {
			continue
		}
		for _, c := range clientsOf(u) {
			if c.revision != client || c.transport == "stdio" && slices.Contains(byHand, f) {
				continue
			}
			by := spell(c.transport) + " > " + spell(u.transport)
			if why, _ := passes(way{c, u, f}); why != "" {
				notes[by] = append(notes[by], why)
			} else if !slices.Contains(works, by) {
				works = append(works, by)
			}
		}
	}
	var numbers []string
	for _, from := range transports {
		for _, to := range transports {
			by := spell(from) + " > " + spell(to)
			if slices.Contains(works, by) {
				continue
			}
			for _, why := range notes[by] {
				if !slices.Contains(*reasons, why) {
					*reasons = append(*reasons, why)
				}
				if n := fmt.Sprint(slices.Index(*reasons, why) + 1); !slices.Contains(numbers, n) {
					numbers = append(numbers, n)
				}
			}
		}
	}
	slices.Sort(works)
	text := "-"
	all := len(transports) * len(transports)
	if slices.Contains(byHand, f) {
		all = len(transports)
	}
	switch len(works) {
	case all:
		return "yes"
	case 0:
	default:
		text = strings.Join(works, ", ")
	}
	return text + " (" + strings.Join(numbers, ", ") + ")"
}
