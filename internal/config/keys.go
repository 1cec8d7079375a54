package config

import "slices"

// target is what a row of the table writes to; the row knows which one it needs.
type target struct {
	config   *Config
	token    *Token
	upstream *Upstream
	virtual  *Virtual
	pick     *Pick
}

// key is one row: a key of the file, how it is written and what it means.
type key struct {
	path    string   // with dots, from the object that the table describes
	form    *form    // how a value is written and checked
	words   []string // for formWord: the words
	def     string   // the default as one would write it; empty for none
	defNote string   // in place of def, where the default depends on something
	example string   // YAML in flow style
	doc     string   // sentences; the first one stands alone
	restart bool     // a running node keeps what it started with
	field   func(*target) any
}

// form is a way to write a value.
type form struct {
	name  string // in docs
	write string // in messages: "write ..."
	check func(d *decoder, s string) (fixed, what string)
	// single says that a list of one may be written without its brackets.
	single bool
}

// keys are the keys at the top of the file.
var keys = []key{
	{
		path: "listen", restart: true, form: formAddress, def: "127.0.0.1:8080", example: "127.0.0.1:8080",
		doc:   "Address of the MCP listener. Port 0 takes a free port. An address that other machines can reach needs auth.tokens.",
		field: func(t *target) any { return &t.config.Listen },
	},
	{
		path: "admin", restart: true, form: formAddress, def: "127.0.0.1:9090", example: "127.0.0.1:9090",
		doc:   "Address of the admin listener: health checks, metrics and status. An address that other machines can reach needs auth.tokens.",
		field: func(t *target) any { return &t.config.Admin },
	},
	{
		path: "admin_socket", restart: true, form: formPath, defNote: "admin.sock in the data directory", example: "/run/fairlead/admin.sock",
		doc:   "Unix socket for the commands that control this node. Only the user that runs the node may open it.",
		field: func(t *target) any { return &t.config.AdminSocket },
	},
	{
		path: "data", restart: true, form: formPath, defNote: "$XDG_STATE_HOME/fairlead, else ~/.local/state/fairlead, else the current directory", example: "/var/lib/fairlead",
		doc:   "Directory for what the node keeps: approvals, the configs that it has served, and the admin socket.",
		field: func(t *target) any { return &t.config.Data },
	},
	{
		path: "log.level", restart: true, form: formWord, words: []string{"debug", "info", "warn", "error"}, def: "info", example: "info",
		doc:   "Least severe level that is logged.",
		field: func(t *target) any { return &t.config.Log.Level },
	},
	{
		path: "log.format", restart: true, form: formWord, words: []string{"text", "json"}, def: "text", example: "json",
		doc:   "How log lines are written to standard error.",
		field: func(t *target) any { return &t.config.Log.Format },
	},
	{
		path: "tls.cert", form: formFile, example: "/etc/fairlead/cert.pem",
		doc:   "PEM file with the certificate chain of the MCP listener. Without it the listener speaks plain HTTP.",
		field: func(t *target) any { return &t.config.TLS.Cert },
	},
	{
		path: "tls.key", form: formFile, example: "/etc/fairlead/key.pem",
		doc:   "PEM file with the private key of the certificate.",
		field: func(t *target) any { return &t.config.TLS.Key },
	},
	{
		path: "auth.tokens", form: formTokens, example: "[{name: laptop, hash: \"sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08\"}]",
		doc:   "Bearer tokens that may call this node. With none, everybody on this machine may. The file holds hashes only: print one with `printf %s \"$TOKEN\" | sha256sum`.",
		field: func(t *target) any { return &t.config.Auth.Tokens },
	},
	{
		path: "allowed_origins", restart: true, form: formOrigins, example: "[\"https://app.example.com\"]",
		doc:   "Web origins that may call the MCP listener from a browser, besides the listener's own. Requests with another Origin header get 403.",
		field: func(t *target) any { return &t.config.AllowedOrigins },
	},
	{
		path: "limits.body", restart: true, form: formSize, def: "4MiB", example: "4MiB",
		doc:   "Largest message that is read from a client. One of an upstream may have 16 MiB.",
		field: func(t *target) any { return &t.config.Limits.Body },
	},
	{
		path: "limits.sessions", restart: true, form: formCount, def: "10000", example: "10000",
		doc:   "Sessions of clients of revision 2025-11-25 and before that may exist at one time. Further ones get 503.",
		field: func(t *target) any { return &t.config.Limits.Sessions },
	},
	{
		path: "limits.session_idle", restart: true, form: formDuration, def: "30m", example: "30m",
		doc:   "Time without a message after which a session ends.",
		field: func(t *target) any { return &t.config.Limits.SessionIdle },
	},
	{
		path: "limits.call_timeout", form: formDuration, def: "60s", example: "60s",
		doc:   "Longest time for one call, from its arrival to its result, time in queues included. An upstream may have others.",
		field: func(t *target) any { return &t.config.Limits.CallTimeout },
	},
	{
		path: "limits.max_calls", restart: true, form: formCount, def: "1024", example: "1024",
		doc:   "Calls that may be in flight at one time. Further ones are refused as overloaded.",
		field: func(t *target) any { return &t.config.Limits.MaxCalls },
	},
	{
		path: "limits.starts", restart: true, form: formCount, defNote: "twice the number of CPUs, at least 4", example: "4",
		doc:   "Commands that may start at one time. The others wait for their turn, so that many children that died together do not come back together.",
		field: func(t *target) any { return &t.config.Limits.Starts },
	},
	{
		path: "limits.cache", restart: true, form: formSize, def: "16MiB", example: "16MiB",
		doc:   "Memory for contents of resources that are kept for as long as their server says (ttlMs, cacheScope). 1B keeps none.",
		field: func(t *target) any { return &t.config.Limits.Cache },
	},
	{
		path: "shutdown_delay", form: formDuration, defNote: "none", example: "5s",
		doc:   "Time between the moment when /readyz says that the node stops and the one when it takes no more connections, for a balancer to notice. Calls are answered meanwhile.",
		field: func(t *target) any { return &t.config.ShutdownDelay },
	},
	{
		path: "shutdown_grace", form: formDuration, def: "30s", example: "30s",
		doc:   "Time that calls in flight get to finish when the node takes no more connections. Then they are ended.",
		field: func(t *target) any { return &t.config.ShutdownGrace },
	},
	{
		path: "tool_search", restart: true, form: formBool, defNote: "false", example: "true",
		doc:   "Whether /mcp lists two tools in place of all: find_tools, which finds the tools for a task, and call_tool, which calls them. For catalogues that are too large for a model. Tools can still be called by their names.",
		field: func(t *target) any { return &t.config.ToolSearch },
	},
	{
		path: "config_watch", form: formBool, def: "true", example: "false",
		doc:   "Whether the node takes over changes of this file, and of the TLS files, by itself. Without it, SIGHUP and `fairlead config reload` do.",
		field: func(t *target) any { return &t.config.Watch },
	},
	{
		path: "virtual", form: formVirtual, example: "{reading: {tools: [{from: \"*\", names: [\"read_*\"]}]}}",
		doc:   "Servers made of chosen things of the upstreams, by name. Each is at /mcp/NAME, beside the upstreams, and the names of both together are different.",
		field: func(t *target) any { return &t.config.Virtual },
	},
	{
		path: "upgrade_grace", form: formDuration, def: "5m", example: "15m",
		doc:   "How long a process of the node that was replaced by \"fairlead upgrade\" goes on with the sessions, calls and questions that it has. Then its sessions end, and their clients open new ones.",
		field: func(t *target) any { return &t.config.UpgradeGrace },
	},
	{
		path: "upstreams", form: formUpstreams, example: "{files: {command: npx, args: [\"-y\", \"@modelcontextprotocol/server-filesystem@2025.8.21\", /srv/files]}}",
		doc:   "The MCP servers behind this node, by name. A name has up to 32 lower-case letters, digits, - and _, starts with a letter or digit, does not end with _ and has no __ in it: tools are offered as NAME__tool.",
		field: func(t *target) any { return &t.config.Upstreams },
	},
}

// tokenKeys are the keys of one entry of auth.tokens.
var tokenKeys = []key{
	{
		path: "name", form: formText, example: "laptop",
		doc:   "Who calls with this token, as logs and status show it. Required, and used once.",
		field: func(t *target) any { return &t.token.Name },
	},
	{
		path: "hash", form: formHash, example: "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
		doc:   "SHA-256 of the token. Required.",
		field: func(t *target) any { return &t.token.Hash },
	},
}

// upstreamKeys are the keys of one entry of upstreams.
var upstreamKeys = append([]key{
	{
		path: "command", form: formCommand, example: "npx",
		doc:   "Program to start, which speaks MCP on its standard input and output. A name is looked up in PATH; a relative path with a slash starts at cwd. Exactly one of command and url is set. Commands of this file run as they stand; those of an mcpServers file are shown and approved first.",
		field: func(t *target) any { return &t.upstream.Command },
	},
	{
		path: "args", form: formTexts, example: "[\"-y\", \"@modelcontextprotocol/server-filesystem@2025.8.21\", /srv/files]",
		doc:   "Arguments of the command, one by one: no shell reads them. They are shown when a command is approved, and other users of the machine can see them; secrets belong in env.",
		field: func(t *target) any { return &t.upstream.Args },
	},
	{
		path: "env", form: formEnv, example: "{GITHUB_TOKEN: \"${GITHUB_TOKEN}\"}",
		doc:   "Environment variables of the command. The values are never shown or logged.",
		field: func(t *target) any { return &t.upstream.Env },
	},
	{
		path: "env_pass", form: formNames, example: "[HTTPS_PROXY]",
		doc:   "Names of variables that the command gets from the environment of the node, where they are set. It gets no others besides PATH, HOME, LANG, TZ and TMPDIR, and FAIRLEAD_CHILD, by which the node knows what descends from it.",
		field: func(t *target) any { return &t.upstream.EnvPass },
	},
	{
		path: "cwd", form: formPath, defNote: "the directory the node was started in", example: "/srv/files",
		doc:   "Working directory of the command.",
		field: func(t *target) any { return &t.upstream.Dir },
	},
	{
		path: "url", form: formURL, example: "https://mcp.example.com/mcp",
		doc:   "Address of an MCP server that speaks Streamable HTTP. Exactly one of command and url is set.",
		field: func(t *target) any { return &t.upstream.URL },
	},
	{
		path: "headers", form: formHeaders, example: "{Authorization: \"Bearer ${EXAMPLE_TOKEN}\"}",
		doc:   "Headers that are sent to url with every request. The values are never shown or logged.",
		field: func(t *target) any { return &t.upstream.Headers },
	},
	{
		path: "era", form: formWord, words: []string{string(EraAuto), string(EraLegacy), string(EraModern)}, def: "auto", example: "legacy",
		doc:   "Revisions to speak: legacy for sessions (2025-11-25 and before), modern for 2026-07-28, auto to ask first.",
		field: func(t *target) any { return &t.upstream.Era },
	},
	{
		path: "tools.allow", form: formGlobs, example: "[\"read_*\", search]",
		doc:   "Tools that are offered, as patterns: * stands for any text, ? for one character. Without it, all are.",
		field: func(t *target) any { return &t.upstream.Tools.Allow },
	},
	{
		path: "tools.deny", form: formGlobs, example: "[\"*delete*\"]",
		doc:   "Tools that are not offered, even when tools.allow has them.",
		field: func(t *target) any { return &t.upstream.Tools.Deny },
	},
	{
		path: "tools.max_result", form: formSizes, example: "{\"search_*\": 32KiB}",
		doc:   "Largest results of tools, by pattern, in place of max_result. Of several patterns that match, the smallest size counts.",
		field: func(t *target) any { return &t.upstream.Tools.MaxResult },
	},
	{
		path: "start_timeout", form: formDuration, def: "30s", example: "2m",
		doc:   "Time the upstream gets from its start until it has answered for the first time. A command that installs itself needs longer.",
		field: func(t *target) any { return &t.upstream.StartTimeout },
	},
	{
		path: "critical", form: formBool, defNote: "false", example: "true",
		doc:   "Whether the node is of no use without this upstream: while it is unhealthy, /readyz says 503.",
		field: func(t *target) any { return &t.upstream.Critical },
	},
}, slices.Concat(lifeKeys, guardKeys, childKeys, manyKeys)...)
