package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/mcp/jsonrpc"
)

type toolsCmd struct {
	JSON   bool `name:"json" help:"Print JSON."`
	target `embed:""`
}

func (*toolsCmd) Help() string {
	return "Example:\n  fairlead tools --url http://127.0.0.1:8080/mcp"
}

// Run lists the tools of a server.
func (cmd *toolsCmd) Run(ctx context.Context, a *app) error {
	c, done, err := cmd.open(ctx, a)
	if err != nil {
		return err
	}
	defer done()
	tools, missing, err := listTools(ctx, c)
	if err != nil {
		return cmd.explain("list tools", err)
	}
	if len(missing) > 0 {
		fmt.Fprintf(a.stderr, "note: not listed yet: %s; \"fairlead status\" shows why\n", printable(strings.Join(missing, ", ")))
	}
	if cmd.JSON {
		return a.asJSON(map[string]any{"tools": append([]mcp.Tool{}, tools...)})
	}
	rows := make([][]string, len(tools))
	for i, t := range tools {
		rows[i] = []string{t.Name, t.Description}
	}
	return a.columns(rows)
}

// listTools returns all tools, and the names of the upstreams that a node could
// not list, which it names in _meta.
func listTools(ctx context.Context, c *mcp.Client) (tools []mcp.Tool, missing []string, err error) {
	const maxPages = 1000 // a server that always has one more page does not hold us for ever
	var cursor *string
	for range maxPages {
		page, err := c.ListToolsPage(ctx, cursor)
		if err != nil {
			return nil, nil, err
		}
		tools = append(tools, page.Tools...)
		if cursor == nil {
			for raw := range jsonrpc.Elements(jsonrpc.Get(page.Meta, "io.fairlead/missing")) {
				if name, ok := jsonrpc.Unquote(raw); ok {
					missing = append(missing, name)
				}
			}
		}
		if cursor = page.NextCursor; cursor == nil {
			return tools, missing, nil
		}
	}
	return nil, nil, fmt.Errorf("more than %d pages", maxPages)
}

type callCmd struct {
	Name   string   `arg:"" help:"Name of the tool."`
	Arg    []string `sep:"none" placeholder:"NAME=VALUE" help:"An argument, typed by the tool's schema; may be repeated. A list takes one --arg for each entry, or JSON."`
	Input  string   `placeholder:"FILE" help:"Read the arguments as a JSON object from FILE, or from standard input for -."`
	JSON   bool     `name:"json" help:"Print the result as JSON. \"--json -\" also reads the arguments from standard input."`
	target `embed:""`
}

func (*callCmd) Help() string {
	return "Progress and the server's messages go to standard error. Exit code 4 says that the tool reported an error.\n\n" +
		"Examples:\n  fairlead call demo__echo --arg text=hello\n  echo '{\"text\":\"hello\"}' | fairlead call echo --json - --stdio ./my-server"
}

// Run calls a tool.
func (cmd *callCmd) Run(ctx context.Context, a *app) error {
	if cmd.Input != "" && len(cmd.Arg) > 0 {
		return misused("put all of them into the JSON object", "--arg and --input both give arguments")
	}
	var args mcp.Raw
	var err error
	if cmd.Input != "" {
		if args, err = a.input(cmd.Input); err != nil {
			return err
		}
	}
	c, done, err := cmd.open(ctx, a)
	if err != nil {
		return err
	}
	defer done()
	if cmd.Input == "" {
		if args, err = cmd.typed(ctx, c); err != nil {
			return err
		}
	}
	res, err := c.CallTool(ctx, cmd.Name, args, &mcp.CallOptions{Progress: a.progress})
	if err != nil {
		return cmd.explain("call "+cmd.Name, err)
	}
	if cmd.JSON {
		err = a.asJSON(res)
	} else {
		err = a.toolResult(res)
	}
	if err == nil && res.IsError {
		err = &failure{exitToolError, fmt.Errorf("%s reported an error", cmd.Name), `the message above comes from the tool; "fairlead tools --json" shows what it expects`}
	}
	return err
}

// typed finds the tool, for the types of its parameters and a better message
// than the server's when there is no such tool.
func (cmd *callCmd) typed(ctx context.Context, c *mcp.Client) (mcp.Raw, error) {
	tools, err := c.ListTools(ctx)
	if err != nil {
		return nil, cmd.explain("list tools", err)
	}
	var names []string
	for i := range tools {
		if tools[i].Name == cmd.Name {
			return arguments(&tools[i], cmd.Arg)
		}
		names = append(names, tools[i].Name)
	}
	return nil, failed(`"fairlead tools" lists them`, "there is no tool %q%s", cmd.Name, didYouMean(cmd.Name, names))
}

func (a *app) progress(p mcp.Progress) {
	line := fmt.Sprintf("progress: %g", p.Progress)
	if p.Total != nil {
		line += fmt.Sprintf("/%g", *p.Total)
	}
	if p.Message != "" {
		line += " " + firstLine(p.Message)
	}
	fmt.Fprintln(a.stderr, printable(line))
}

func (a *app) toolResult(res *mcp.ToolResult) error {
	if len(res.Content) == 0 && res.Structured != nil {
		return a.asJSON(res.Structured)
	}
	return a.blocks(res.Content)
}

type readCmd struct {
	URI    string `arg:"" help:"URI of the resource."`
	JSON   bool   `name:"json" help:"Print the result as JSON."`
	target `embed:""`
}

func (*readCmd) Help() string {
	return "Bytes are written as they are when standard output is not a terminal.\n\nExample:\n  fairlead read demo://clock"
}

// Run reads a resource.
func (cmd *readCmd) Run(ctx context.Context, a *app) error {
	c, done, err := cmd.open(ctx, a)
	if err != nil {
		return err
	}
	defer done()
	res, err := c.ReadResource(ctx, cmd.URI, nil)
	if err != nil {
		return cmd.explain("read "+cmd.URI, err)
	}
	if cmd.JSON {
		return a.asJSON(res)
	}
	for i := range res.Contents {
		part := &res.Contents[i]
		if part.Blob != nil && !terminal(a.stdout) {
			_, err = a.stdout.Write(part.Blob)
		} else {
			err = a.contents(part)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

type promptCmd struct {
	Name   string   `arg:"" help:"Name of the prompt."`
	Arg    []string `sep:"none" placeholder:"NAME=VALUE" help:"An argument; may be repeated."`
	JSON   bool     `name:"json" help:"Print the result as JSON."`
	target `embed:""`
}

func (*promptCmd) Help() string { return "Example:\n  fairlead prompt demo__greeting --arg name=Ada" }

// Run gets a prompt.
func (cmd *promptCmd) Run(ctx context.Context, a *app) error {
	args := map[string]string{}
	for _, flag := range cmd.Arg {
		key, value, ok := strings.Cut(flag, "=")
		if _, twice := args[key]; !ok || key == "" || twice {
			return misused("write it once, as --arg name=value", "--arg %s has no name, no value, or was given before", flag)
		}
		args[key] = value
	}
	c, done, err := cmd.open(ctx, a)
	if err != nil {
		return err
	}
	defer done()
	res, err := c.GetPrompt(ctx, cmd.Name, args, nil)
	if err != nil {
		return cmd.explain("prompt "+cmd.Name, err)
	}
	if cmd.JSON {
		return a.asJSON(res)
	}
	var errs []error
	for _, m := range res.Messages {
		errs = append(errs, a.asText(string(m.Role)+":"), a.blocks([]mcp.Content{m.Content}))
	}
	return errors.Join(errs...)
}
