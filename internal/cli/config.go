package cli

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/diff"

	"github.com/fairlead-mcp/fairlead/internal/adminapi"
	"github.com/fairlead-mcp/fairlead/internal/config"
)

// nodeFlags say which node a command is for.
type nodeFlags struct {
	JSON   bool   `name:"json" help:"Print JSON."`
	Data   string `placeholder:"DIR" help:"Data directory of the node."`
	Socket string `placeholder:"PATH" help:"Admin socket of the node."`
}

func (f *nodeFlags) admin(a *app) *adminapi.Client { return a.admin(f.Data, f.Socket) }

type configReloadCmd struct {
	nodeFlags
}

func (*configReloadCmd) Help() string {
	return "What is wrong with the config is said here, and the node goes on with what it had. Upstreams that are the same are not touched.\n\nExample:\n  fairlead config reload"
}

// Run has the node read its config again.
func (cmd *configReloadCmd) Run(ctx context.Context, a *app) error {
	change, err := cmd.admin(a).Reload(ctx)
	if err != nil {
		return err
	}
	return cmd.show(a, change)
}

type configRollbackCmd struct {
	Generation uint64 `arg:"" optional:"" help:"Generation to go back to; without one, that before the one that is served."`
	nodeFlags
}

func (*configRollbackCmd) Help() string {
	return "The node keeps to it, over restarts too, until its file changes or a reload is asked for: then the file counts again.\n\nExample:\n  fairlead config rollback 7"
}

// Run has the node serve an earlier config again.
func (cmd *configRollbackCmd) Run(ctx context.Context, a *app) error {
	change, err := cmd.admin(a).Rollback(ctx, cmd.Generation)
	if err != nil {
		return err
	}
	return cmd.show(a, change)
}

type configHistoryCmd struct {
	nodeFlags
}

func (*configHistoryCmd) Help() string { return "Example:\n  fairlead config history" }

// Run lists the generations that the node keeps.
func (cmd *configHistoryCmd) Run(ctx context.Context, a *app) error {
	list, err := cmd.admin(a).Generations(ctx)
	if err != nil {
		return err
	}
	if cmd.JSON {
		return a.asJSON(list)
	}
	rows := [][]string{{"GENERATION", "SINCE", "BY", "SHA256", "FILE", ""}}
	for _, g := range list {
		served := ""
		if g.Served {
			served = "served"
		}
		rows = append(rows, []string{strconv.FormatUint(g.Number, 10), g.At.Format(time.RFC3339), g.By, g.Hash[:min(12, len(g.Hash))], g.File, served})
	}
	return a.columns(rows)
}

type configDiffCmd struct {
	From *uint64 `arg:"" optional:"" help:"Generation; without one, that which is served is compared with the file."`
	To   *uint64 `arg:"" optional:"" help:"Generation; without one, that which is served."`
	nodeFlags
}

func (*configDiffCmd) Help() string {
	return "Texts are compared as they stand in the file: what ${...} stands for is not in them.\n\nExamples:\n  fairlead config diff        # what a reload would change\n  fairlead config diff 6      # from generation 6 to what is served\n  fairlead config diff 6 7"
}

// Run shows what is different. It prints nothing where nothing is.
func (cmd *configDiffCmd) Run(ctx context.Context, a *app) error {
	c := cmd.admin(a)
	var from, to uint64 // 0 is what is served
	if cmd.From != nil {
		from = *cmd.From
	}
	old, err := c.Generation(ctx, from)
	if err != nil {
		return err
	}
	var is *adminapi.Generation
	if cmd.From == nil {
		is, err = c.ConfigFile(ctx)
	} else {
		if cmd.To != nil {
			to = *cmd.To
		}
		is, err = c.Generation(ctx, to)
	}
	if err != nil {
		return err
	}
	if cmd.JSON {
		return a.asJSON(struct {
			From *adminapi.Generation `json:"from"`
			To   *adminapi.Generation `json:"to"`
		}{old, is})
	}
	text := string(diff.Diff(name(old), []byte(old.Text), name(is), []byte(is.Text)))
	if text == "" {
		return nil
	}
	return a.asText(text)
}

func name(g *adminapi.Generation) string {
	if g.Number == 0 {
		return g.File
	}
	return fmt.Sprintf("generation %d", g.Number)
}

// show says what a change has done.
func (f *nodeFlags) show(a *app, c *adminapi.ConfigChange) error {
	if f.JSON {
		return a.asJSON(c)
	}
	for _, n := range c.Notes {
		fmt.Fprintln(a.stderr, printable("note: "+configError(n).Error()))
	}
	var parts []string
	for _, p := range []struct {
		what  string
		names []string
	}{{"added", c.Added}, {"being replaced", c.Changed}, {"removed", c.Removed}} {
		if len(p.names) > 0 {
			parts = append(parts, p.what+": "+strings.Join(p.names, ", "))
		}
	}
	if len(parts) == 0 {
		parts = append(parts, "all upstreams stay as they are")
	}
	return a.asText(fmt.Sprintf("generation %d is served; %s", c.Generation, strings.Join(parts, "; ")))
}

func configError(f adminapi.Finding) *config.Error {
	return &config.Error{File: f.File, Line: f.Line, Column: f.Column, Path: f.Key, What: f.What, Hint: f.Hint}
}

// refusedConfig is what a node has found wrong with a config, as if it had been found here.
func refusedConfig(err error) error {
	refused, ok := errors.AsType[*adminapi.Refused](err)
	if !ok {
		return nil
	}
	var list config.Errors
	for _, f := range refused.Findings {
		list = append(list, configError(f))
	}
	return list
}
