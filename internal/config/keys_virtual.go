package config

// virtualKeys are the keys of one entry of virtual.
var virtualKeys = []key{
	{
		path: "instructions", form: formText, example: "Start with search.",
		doc:   "What the server says of itself to models. Without it, the instructions of the upstreams that are chosen from, each under its name.",
		field: func(t *target) any { return &t.virtual.Instructions },
	},
	{
		path: "tools", form: formPicks, example: "[{from: github, names: [\"search_*\"]}, {from: files, names: [read_file], as: read, fixed: {root: /srv}}]",
		doc:   "Tools to offer. They keep their own names; of two with one name the first is offered and the other is shown as hidden. The first entry that names a tool has it: a pattern with * or ? in a later entry leaves it out.",
		field: func(t *target) any { return &t.virtual.Tools },
	},
	{
		path: "prompts", form: formPicks, example: "[{from: \"label:code\"}]",
		doc:   "Prompts to offer, chosen like tools. Values of their arguments are texts.",
		field: func(t *target) any { return &t.virtual.Prompts },
	},
	{
		path: "resources", form: formResourcePicks, example: "[{from: files, names: [\"file:///srv/*\"]}]",
		doc:   "Resources and resource templates to offer, by URI. A resource that is not listed can be read if a template that is offered matches its URI, or a pattern does.",
		field: func(t *target) any { return &t.virtual.Resources },
	},
	{
		path: "tool_search", form: formBool, defNote: "false", example: "true",
		doc:   "Whether find_tools and call_tool are listed in place of the tools, as tool_search does at /mcp.",
		field: func(t *target) any { return &t.virtual.ToolSearch },
	},
}

// fromKeys are the keys that every pick has.
var fromKeys = []key{
	{
		path: "from", form: formFrom, example: "[files, \"label:code\"]",
		doc:   "Upstreams to choose from: names, patterns of names, or label:NAME for those with a label. Required.",
		field: func(t *target) any { return &t.pick.From },
	},
	{
		path: "names", form: formNamePatterns, example: "[\"read_*\"]",
		doc:   "What to choose, by the upstream's own names or URIs: * stands for any text, ? for one character. Without it, all.",
		field: func(t *target) any { return &t.pick.Names },
	},
}

// resourcePickKeys are the keys of one entry of virtual.NAME.resources.
var resourcePickKeys = fromKeys

// pickKeys are the keys of one entry of virtual.NAME.tools and virtual.NAME.prompts.
var pickKeys = append(fromKeys[:len(fromKeys):len(fromKeys)], []key{
	{
		path: "as", form: formText, example: "read",
		doc:   "New name. Only where names is one plain name.",
		field: func(t *target) any { return &t.pick.As },
	},
	{
		path: "prefix", form: formText, example: "gh_",
		doc:   "Text before each name.",
		field: func(t *target) any { return &t.pick.Prefix },
	},
	{
		path: "title", form: formText, example: "Read a file",
		doc:   "New title. Only where names is one plain name.",
		field: func(t *target) any { return &t.pick.Title },
	},
	{
		path: "description", form: formText, example: "Reads a file of the project.",
		doc:   "New description. Only where names is one plain name.",
		field: func(t *target) any { return &t.pick.Description },
	},
	{
		path: "defaults", form: formValues, example: "{encoding: utf-8, limit: 20}",
		doc:   "Values of arguments that are used when a caller gives none. They stand in the schema as defaults, and the arguments are no longer required.",
		field: func(t *target) any { return &t.pick.Defaults },
	},
	{
		path: "fixed", form: formValues, example: "{root: /srv}",
		doc:   "Values of arguments that are used in every call. They are neither in the schema nor shown or logged, and whatever a caller gives for them is replaced.",
		field: func(t *target) any { return &t.pick.Fixed },
	},
}...)
