package config

// lifeKeys are those keys of an upstream that say what runs, and when.
var lifeKeys = []key{
	{
		path: "instances", form: formInstances, defNote: "auto", example: "4",
		doc:   "Who shares a connection, and with it a child or a session. shared: all callers; an upstream of revision 2025-11-25 or before cannot ask them anything then. A number: as shared, with as many children, among which calls are spread; while one is away the others serve. principal: each caller has its own, opened when needed and closed after 5 minutes, or idle_stop, without a call; the upstream may ask. session: each session of a caller has its own, which ends with it; callers whose requests stand alone have one as with principal. Of both there are at most 64, and the longest idle one makes room. auto: shared for commands; for urls of such a revision, callers that can be asked have sessions of their own.",
		field: func(t *target) any { return &t.upstream.Instances },
	},
	{
		path: "start", form: formWord, words: []string{"eager", "lazy"}, defNote: "eager", example: "lazy",
		doc:   "When to start the upstream: eager with the node, lazy when it is first needed. What it offers is not known before; a list waits for it for a second at most.",
		field: func(t *target) any { return &t.upstream.Start },
	},
	{
		path: "idle_stop", form: formDuration, defNote: "never", example: "10m",
		doc:   "Time without a call or a subscription after which the upstream is stopped. It stays listed, and the next call or subscription starts it again.",
		field: func(t *target) any { return &t.upstream.IdleStop },
	},
	{
		path: "roots", form: formTexts, example: "[/srv/files]",
		doc:   "Directories that a program of revision 2025-11-25 or before is told when it asks for its client's roots, as absolute paths or file: URIs. Without it such a program gets those of the one caller that it belongs to, or none. Later revisions ask each caller.",
		field: func(t *target) any { return &t.upstream.Roots },
	},
}

// guardKeys are those keys of an upstream that say how much it gets, and for how long.
var guardKeys = []key{
	{
		path: "timeout", form: formDuration, defNote: "limits.call_timeout", example: "5m",
		doc:   "Longest time for one call to this upstream, in place of limits.call_timeout. Time in the queue counts.",
		field: func(t *target) any { return &t.upstream.Timeout },
	},
	{
		path: "timeouts", form: formTimeouts, example: "{\"build_*\": 20m, resources/read: 10s}",
		doc:   "Other times for some calls: of a method (tools/call, prompts/get, resources/read, completion/complete), or of tools by the upstream's own names, where * stands for any text and ? for one character. The first tool pattern that fits decides, then the method, then timeout.",
		field: func(t *target) any { return &t.upstream.Timeouts },
	},
	{
		path: "timeout_max", form: formDuration, defNote: "progress does not count", example: "30m",
		doc:   "Makes progress count: each progress notification gives a call its time again, and this is the longest it may take in all.",
		field: func(t *target) any { return &t.upstream.TimeoutMax },
	},
	{
		path: "priority", form: formWord, words: []string{"low", "normal", "high"}, defNote: "normal", example: "low",
		doc:   "Whose calls are refused first when the node has little room left: low from 90 % of limits.max_calls or of the memory (GOMEMLIMIT) on, normal from 97 %, high only when it is full. Before calls, new subscriptions (80 %), log messages (85 %) and waits of lists (90 %) go.",
		field: func(t *target) any { return &t.upstream.Priority },
	},
	{
		path: "max_concurrent", form: formCount, defNote: "256", example: "16",
		doc:   "Calls that may run at one time. Further ones wait in the queue. For a url it is also how many connections are kept.",
		field: func(t *target) any { return &t.upstream.Concurrent },
	},
	{
		path: "queue.length", form: formCount, defNote: "256", example: "100",
		doc:   "Calls that may wait for max_concurrent. Callers take turns, so that one with many calls does not keep the others waiting. Further calls are refused as overloaded; of a full queue, the caller that has most in it loses its newest.",
		field: func(t *target) any { return &t.upstream.QueueLength },
	},
	{
		path: "queue.wait", form: formDuration, defNote: "10s", example: "2s",
		doc:   "Longest time that a call waits, but not beyond its timeout. Then it is refused as overloaded.",
		field: func(t *target) any { return &t.upstream.QueueWait },
	},
}
