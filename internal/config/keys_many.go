package config

// manyKeys are the keys of one entry of upstreams about being one of many.
var manyKeys = []key{
	{
		path: "server_json", form: formFile, example: "/etc/fairlead/server.json",
		doc:   "File of an MCP registry that says how the server is run (npm, pypi and oci packages) or reached (streamable-http), in place of command and url. Its command is shown and approved before it runs. args are added at its end; env and headers are put over its own. Nothing in it is expanded.",
		field: func(t *target) any { return &t.upstream.ServerJSON },
	},
	{
		path: "server_from", form: formWord, words: []string{"npm", "pypi", "oci", "remote"}, defNote: "the first that can be used", example: "remote",
		doc:   "Which part of server_json to use.",
		field: func(t *target) any { return &t.upstream.ServerFrom },
	},
	{
		path: "bundle", form: formFile, example: "/etc/fairlead/server.mcpb",
		doc:   "MCP bundle (MCPB): a zip file with a server and a manifest.json that says how it is run, in place of command. It is unpacked in the data directory, and its command is shown and approved before it runs. What it asks the user for comes from inputs.",
		field: func(t *target) any { return &t.upstream.Bundle },
	},
	{
		path: "bundle_hash", form: formHash, example: "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
		doc:   "SHA-256 of the bundle. Required with it: another file is not unpacked.",
		field: func(t *target) any { return &t.upstream.BundleHash },
	},
	{
		path: "inputs", form: formInputs, example: "{tenant: \"${TENANT}\"}",
		doc:   "Values that server_json or bundle asks for, by name: arguments, variables, user_config (several of one separated by commas). The values are never shown or logged, but for those of arguments.",
		field: func(t *target) any { return &t.upstream.Inputs },
	},
	{
		path: "uris", form: formWord, words: []string{"original", "prefixed"}, defNote: "original", example: "prefixed",
		doc:   "How the URIs of its resources look beside those of other upstreams. original: as they are; of two upstreams with one URI the first has it. prefixed: with the name in front, as in files+file:///srv/a (and ui://files__page for pages of apps), in lists, templates, contents, links, embedded resources, completion and updates, but not inside of texts. At /mcp/NAME they are always original.",
		field: func(t *target) any { return &t.upstream.URIs },
	},
	{
		path: "labels", form: formLabels, example: "[code]",
		doc:   "Words by which virtual servers choose this upstream, as label:WORD.",
		field: func(t *target) any { return &t.upstream.Labels },
	},
	{
		path: "max_result", form: formSize, defNote: "limits.body", example: "100KiB",
		doc:   "Largest result of a tool that is passed on, from 1KiB. What is more can be read for 10 minutes, by the same caller, as pages of a resource that the result links to. Structured content is passed on whole or not at all.",
		field: func(t *target) any { return &t.upstream.MaxResult },
	},
}
