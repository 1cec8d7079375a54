package peers

var typescript = []string{"TypeScript SDK v1", "TypeScript SDK v2"}

// exceptions are the cells that are not there. The first that covers a cell counts.
var exceptions = []exception{
	{transports: []string{"stdio"}, features: []feature{resumption}, why: "a pipe has no streams to resume"},
	{revisions: []string{"2026-07-28"}, features: []feature{resumption}, why: "2026-07-28 has no resumption: a call is made again"},
	{revisions: []string{"2024-11-05", "2025-03-26", "2025-06-18"}, features: []feature{tasks}, why: "tasks begin with 2025-11-25"},
	{peers: []string{"go-sdk"}, features: []feature{tasks}, why: "go-sdk has no tasks"},
	{peers: []string{"TypeScript SDK v2"}, features: []feature{tasks}, why: "the SDK's v2 has no tasks"},
	{
		peers: []string{"mcp-go"}, directions: []string{ourServer}, transports: []string{"http"}, revisions: []string{"2025-03-26", "2025-06-18", "2025-11-25"}, features: []feature{resumption}, broken: true,
		why: "mcp-go 1.2.1's client resumes streams that the server has ended in order, not those that broke",
	},
	{peers: []string{"mcp-go"}, revisions: []string{"2026-07-28"}, features: []feature{tasks}, why: "mcp-go has the tasks of 2025-11-25 only"},
	{
		peers: []string{"mcp-go"}, directions: []string{ourServer}, revisions: []string{"2025-11-25"}, features: []feature{tasks}, broken: true,
		why: "mcp-go 1.2.1's client takes the answer that creates a task for a result without content",
	},
	{revisions: []string{"2026-07-28"}, features: []feature{ping}, why: "2026-07-28 has no ping"},
	{transports: []string{"http"}, revisions: []string{"2024-11-05"}, why: "Streamable HTTP begins with 2025-03-26"},
	{revisions: []string{"2024-11-05", "2025-03-26"}, features: []feature{structured}, why: "structured content begins with 2025-06-18"},
	{revisions: []string{"2024-11-05", "2025-03-26"}, features: []feature{form, page}, why: "elicitation begins with 2025-06-18"},
	{revisions: []string{"2025-06-18"}, features: []feature{page}, why: "elicitation by a page begins with 2025-11-25"},
	{revisions: []string{"2024-11-05"}, features: []feature{audio}, why: "audio begins with 2025-03-26"},
	{revisions: []string{"2024-11-05", "2025-03-26"}, features: []feature{links}, why: "links begin with 2025-06-18"},

	{peers: []string{"TypeScript SDK v1"}, revisions: []string{"2026-07-28"}, why: "the SDK's v1 ends with 2025-11-25"},
	{peers: typescript, directions: []string{ourClient}, features: []feature{pagination}, why: "the SDK's servers send a list as one page"},
	{
		peers: []string{"TypeScript SDK v1"}, directions: []string{ourClient}, transports: []string{"http"}, features: []feature{logging}, broken: true,
		why: "the SDK's v1 sends log messages on the GET stream, where they belong to no call",
	},
	{peers: []string{"mcp-go"}, directions: []string{ourClient}, features: []feature{ping}, why: "mcp-go's server has no call to ping its client"},
	{
		peers: []string{"mcp-go"}, directions: []string{ourClient}, transports: []string{"stdio"}, revisions: []string{"2026-07-28"}, features: []feature{subscribe, listChanged}, broken: true,
		why: "mcp-go 1.2.1 leaves the subscription id out of the notifications of a subscription, so on a pipe nobody can tell whose they are",
	},
	{
		peers: []string{"mcp-go"}, directions: []string{ourClient}, transports: []string{"http"}, revisions: []string{"2026-07-28"}, features: []feature{subscribe}, broken: true,
		why: "mcp-go 1.2.1 acknowledges subscriptions to resources and sends no notifications/resources/updated on their streams",
	},
	{
		peers: []string{"mcp-go"}, directions: []string{ourServer}, transports: []string{"http"}, revisions: []string{"2025-03-26", "2025-06-18", "2025-11-25"}, features: []feature{cancellation}, broken: true,
		why: "mcp-go 1.2.1's client sends no notifications/cancelled over HTTP, and a closed stream is none before 2026-07-28",
	},
	{
		peers: []string{"mcp-go"}, directions: []string{ourClient}, transports: []string{"http"}, revisions: []string{"2025-03-26", "2025-06-18", "2025-11-25"}, features: []feature{progress, logging},
		why: "mcp-go 1.2.1 sends what a call notifies on the GET stream, or on that of the call, whichever reads first",
	},
}

// remarks are faults of peers that the tests go around, by peer.
var remarks = map[string]string{
	"go-sdk": "Version 1.8.0's server remembers one subscription to each list for a connection: on a pipe, the end of one takes " +
		"away a later one. The tests open them one after the other, each to something else.",
	"mcp-go": "Version 1.2.1's server sends notifications from another goroutine than results, which can overtake them. The fixture " +
		"pauses before its results.",
	"TypeScript SDK v1": "The client forgets the progress of a call that it reads together with the result. The fixture pauses before its results.",
	"TypeScript SDK v2": "The client forgets the progress of a call that it reads together with the result. The fixture pauses before its results.",
}
