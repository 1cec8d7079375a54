package cli

import (
	"bufio"
	"context"
	"fmt"

	"github.com/fairlead-mcp/fairlead/internal/approval"
	"github.com/fairlead-mcp/fairlead/internal/config"
)

type approveCmd struct {
	File string `arg:"" optional:"" help:"Config or mcpServers file; without it, what is approved is listed."`
	Yes  bool   `help:"Approve what is shown without asking."`
	Data string `placeholder:"DIR" help:"Data directory of the node."`
	JSON bool   `name:"json" help:"Print what is approved as JSON."`
}

func (*approveCmd) Help() string {
	return "A file with commands is a program: nothing in it runs before a person has seen it in full.\n\nExample:\n  fairlead approve ~/.cursor/mcp.json"
}

// Run shows the commands of a file that are not approved yet, and asks.
func (cmd *approveCmd) Run(_ context.Context, a *app) error {
	if cmd.File == "" {
		return cmd.list(a)
	}
	src, err := a.loadAny(cmd.File)
	if err != nil {
		return err
	}
	if cmd.Data != "" {
		src.cfg.Data = cmd.Data
	}
	asked, err := a.approve(src.cfg, cmd.File, cmd.Yes)
	if err != nil {
		return err
	}
	if asked == 0 {
		return a.asText("all commands of " + cmd.File + " are approved")
	}
	return a.asText(fmt.Sprintf("approved %d", asked))
}

func (cmd *approveCmd) list(a *app) error {
	data := cmd.Data
	if data == "" {
		data = config.Default(a.lookup).Data
	}
	store, err := approval.Open(data, nil)
	if err != nil {
		return err
	}
	entries, err := store.List()
	if err != nil {
		return err
	}
	if cmd.JSON {
		return a.asJSON(append([]approval.Entry{}, entries...))
	}
	if len(entries) == 0 {
		return a.asText("nothing is approved")
	}
	rows := [][]string{{"KEY", "UPSTREAM", "APPROVED", "COMMAND"}}
	for _, e := range entries {
		rows = append(rows, []string{e.Key[:min(12, len(e.Key))], e.Upstream, e.Approved.Format("2006-01-02"), fmt.Sprintf("%q", e.Argv)})
	}
	return a.columns(rows)
}

// approve shows the commands of cfg that nobody has approved yet, asks on the
// terminal and remembers a yes. It returns how many it approved.
func (a *app) approve(cfg *config.Config, file string, yes bool) (int, error) {
	if err := cfg.Unpack(); err != nil {
		return 0, err
	}
	store, err := approval.Open(cfg.Data, nil)
	if err != nil {
		return 0, failed("check the data directory, or name another with --data", "open the approvals: %w", err)
	}
	pending, err := store.Pending(cfg)
	if err != nil {
		return 0, failed("install the program, or write its full path", "%w", err)
	}
	if len(pending) == 0 {
		return 0, nil
	}
	fmt.Fprint(a.stderr, approval.Prompt(pending))
	if !yes {
		if !terminal(a.stdin) {
			fmt.Fprintln(a.stderr)
			return 0, failed("look at it and run: fairlead approve "+file, "%s of %s not approved, and there is no terminal to ask on", count(len(pending), "command"), file)
		}
		line, err := bufio.NewReader(a.stdin).ReadString('\n')
		if err != nil || !approval.Accepted(line) {
			return 0, failed("nothing was started; run the command again to decide anew", "not approved")
		}
	} else {
		fmt.Fprintln(a.stderr, "yes (--yes)")
	}
	if err := store.Approve(pending...); err != nil {
		return 0, failed("check the data directory, or name another with --data", "remember the approval: %w", err)
	}
	return len(pending), nil
}
