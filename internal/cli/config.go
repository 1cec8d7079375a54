package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"

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
	return a.asText("taken over; " + strings.Join(parts, "; "))
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
