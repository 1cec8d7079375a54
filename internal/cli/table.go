package cli

// commands is the table of commands. What each does is in the file of its name.
type commands struct {
	Serve      serveCmd      `cmd:"" group:"Node" help:"Run a node; without a config, with a demo server behind it."`
	Check      checkCmd      `cmd:"" group:"Node" help:"Check a config: its keys, values and commands."`
	Config     configCmd     `cmd:"" group:"Node" help:"Write, show, reload or roll back a config."`
	Status     statusCmd     `cmd:"" group:"Node" help:"Show the running node and its upstreams."`
	Upstreams  upstreamsCmd  `cmd:"" group:"Node" help:"Show all that the node knows of its upstreams."`
	Upgrade    upgradeCmd    `cmd:"" group:"Node" help:"Replace the program of the running node, without losing a request."`
	Upstream   upstreamCmd   `cmd:"" group:"Node" help:"Add, remove, restart or drain an upstream, or open and close its breaker."`
	Explain    explainCmd    `cmd:"" group:"Node" help:"Show what was decided about a call, and why."`
	Approve    approveCmd    `cmd:"" group:"Node" help:"Approve the commands of a config or mcpServers file."`
	Connect    connectCmd    `cmd:"" group:"Node" help:"Make an MCP client use this node."`
	Tools      toolsCmd      `cmd:"" group:"Client of any MCP server" help:"List tools."`
	Call       callCmd       `cmd:"" group:"Client of any MCP server" help:"Call a tool."`
	Read       readCmd       `cmd:"" group:"Client of any MCP server" help:"Read a resource."`
	Prompt     promptCmd     `cmd:"" group:"Client of any MCP server" help:"Get a prompt."`
	Bridge     bridgeCmd     `cmd:"" group:"Client of any MCP server" help:"Serve a remote server on stdin and stdout."`
	Version    versionCmd    `cmd:"" group:"Other" help:"Print the version."`
	Completion completionCmd `cmd:"" group:"Other" help:"Print a completion script for a shell."`
	DemoServer demoCmd       `cmd:"" hidden:"" help:"The demo server, on stdin and stdout."`
}

const description = `Fairlead puts any MCP servers behind one endpoint.

  fairlead serve                              start a node with a demo server
  fairlead call demo__echo --arg text=hello   call a tool through it

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 not reachable, 4 the tool reported an error.`
