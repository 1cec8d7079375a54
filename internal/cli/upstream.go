package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/go-json-experiment/json"

	"github.com/fairlead-mcp/fairlead/internal/adminapi"
	"github.com/fairlead-mcp/fairlead/internal/config"
)

type upstreamCmd struct {
	Add     upstreamAddCmd     `cmd:"" help:"Serve one more upstream, without a file."`
	Remove  upstreamRemoveCmd  `cmd:"" help:"End an upstream that was added; its calls finish first."`
	Restart upstreamRestartCmd `cmd:"" help:"End its connection or process and start anew."`
	Drain   upstreamDrainCmd   `cmd:"" help:"Take no new calls; those that run finish."`
	Undrain upstreamUndrainCmd `cmd:"" help:"Take calls again, as restart does."`
	Open    upstreamOpenCmd    `cmd:"" help:"Have its breaker refuse all calls."`
	Close   upstreamCloseCmd   `cmd:"" help:"Have its breaker let all calls pass, whatever happens."`
	Auto    upstreamAutoCmd    `cmd:"" help:"Let its breaker decide for itself again."`
}

// named is a command about one upstream.
type named struct {
	Name string `arg:"" help:"Name of the upstream."`
	nodeFlags
}

func (cmd *named) act(ctx context.Context, a *app, action adminapi.Action) error {
	u, err := cmd.admin(a).Act(ctx, cmd.Name, action)
	if err != nil {
		return cmd.unknown(err)
	}
	return cmd.showUpstream(a, u)
}

// unknown says what to do about an upstream that there is not.
func (cmd *named) unknown(err error) error {
	if errors.Is(err, adminapi.ErrNotFound) {
		return failed(`"fairlead status" lists the upstreams`, "the node has no upstream %q", cmd.Name)
	}
	return err
}

func (f *nodeFlags) showUpstream(a *app, u *adminapi.Upstream) error {
	if f.JSON {
		return a.asJSON(u)
	}
	return a.asText(u.Name + ": " + state(*u) + ", breaker " + breaker(u.Breaker))
}

type (
	upstreamRestartCmd struct{ named }
	upstreamDrainCmd   struct{ named }
	upstreamUndrainCmd struct{ named }
	upstreamOpenCmd    struct{ named }
	upstreamCloseCmd   struct{ named }
	upstreamAutoCmd    struct{ named }
	upstreamRemoveCmd  struct{ named }
)

func (*upstreamRestartCmd) Help() string { return "Example:\n  fairlead upstream restart files" }
func (*upstreamDrainCmd) Help() string {
	return "Its tools stay listed, its connection stays open, and its calls are refused as unavailable.\n\nExample:\n  fairlead upstream drain files"
}
func (*upstreamUndrainCmd) Help() string { return "Example:\n  fairlead upstream undrain files" }
func (*upstreamOpenCmd) Help() string    { return "Example:\n  fairlead upstream open files" }
func (*upstreamCloseCmd) Help() string   { return "Example:\n  fairlead upstream close files" }
func (*upstreamAutoCmd) Help() string    { return "Example:\n  fairlead upstream auto files" }
func (*upstreamRemoveCmd) Help() string {
	return "An upstream of the config is removed there.\n\nExample:\n  fairlead upstream remove files"
}

// Run restarts an upstream.
func (cmd *upstreamRestartCmd) Run(ctx context.Context, a *app) error {
	return cmd.act(ctx, a, adminapi.ActionRestart)
}

// Run takes an upstream out of service.
func (cmd *upstreamDrainCmd) Run(ctx context.Context, a *app) error {
	return cmd.act(ctx, a, adminapi.ActionDrain)
}

// Run takes it into service again.
func (cmd *upstreamUndrainCmd) Run(ctx context.Context, a *app) error {
	return cmd.act(ctx, a, adminapi.ActionUndrain)
}

// Run opens a breaker.
func (cmd *upstreamOpenCmd) Run(ctx context.Context, a *app) error {
	return cmd.act(ctx, a, adminapi.ActionOpen)
}

// Run closes a breaker.
func (cmd *upstreamCloseCmd) Run(ctx context.Context, a *app) error {
	return cmd.act(ctx, a, adminapi.ActionClose)
}

// Run leaves a breaker to itself.
func (cmd *upstreamAutoCmd) Run(ctx context.Context, a *app) error {
	return cmd.act(ctx, a, adminapi.ActionAuto)
}

// Run ends an upstream that was added.
func (cmd *upstreamRemoveCmd) Run(ctx context.Context, a *app) error {
	if err := cmd.admin(a).Remove(ctx, cmd.Name); err != nil {
		return cmd.unknown(err)
	}
	return a.asText(cmd.Name + ": removed")
}

type upstreamAddCmd struct {
	named
	Command string            `placeholder:"PROGRAM" xor:"what" required:"" help:"Program to start; its arguments follow --."`
	URL     string            `name:"url" placeholder:"URL" xor:"what" required:"" help:"Address of a remote server."`
	Args    []string          `arg:"" optional:"" help:"Arguments of the program, after --."`
	Env     map[string]string `placeholder:"NAME=VALUE" mapsep:"none" help:"Environment variable of the program. Write a secret as \"$${VAR}\" or \"$${file:PATH}\": it then is not kept."`
	Header  map[string]string `placeholder:"NAME=VALUE" mapsep:"none" help:"Header for the remote server; secrets as for --env."`
	Cwd     string            `placeholder:"DIR" help:"Working directory of the program."`
	Yes     bool              `help:"Approve the program without asking."`
}

func (*upstreamAddCmd) Help() string {
	return "The node serves it over restarts too, beside what stands in its file. A program is shown and approved first, once.\n\nExamples:\n  fairlead upstream add files --command npx -- -y @modelcontextprotocol/server-filesystem /srv\n  fairlead upstream add search --url https://mcp.example.com/mcp --header 'Authorization=Bearer ${SEARCH_TOKEN}'"
}

// Run has the node serve one more upstream.
func (cmd *upstreamAddCmd) Run(ctx context.Context, a *app) error {
	keys, err := cmd.keys()
	if err != nil {
		return err
	}
	c := cmd.admin(a)
	if cmd.Command != "" {
		st, err := c.Status(ctx)
		if err != nil {
			return err
		}
		u, err := config.ParseUpstream(cmd.Name, keys, st.Data, a.lookup)
		if err != nil {
			return err
		}
		cfg := config.Default(a.lookup)
		cfg.Data, cfg.Upstreams = st.Data, []config.Upstream{*u}
		if _, err := a.approve(cfg, "upstream add "+cmd.Name, cmd.Yes); err != nil {
			return err
		}
	}
	u, err := c.Add(ctx, adminapi.NewUpstream{Name: cmd.Name, Keys: keys})
	if err != nil {
		return err
	}
	return cmd.showUpstream(a, u)
}

// keys are the flags as keys of the config. Paths start where the command was typed.
func (cmd *upstreamAddCmd) keys() ([]byte, error) {
	absolute := func(path string) (string, error) {
		if path == "" || strings.HasPrefix(path, "~") || strings.Contains(path, "${") {
			return path, nil
		}
		return filepath.Abs(path)
	}
	keys := map[string]any{}
	set := func(name, value string) {
		if value != "" {
			keys[name] = value
		}
	}
	dir, err := absolute(cmd.Cwd)
	if err != nil {
		return nil, err
	}
	program := cmd.Command
	if strings.Contains(program, string(os.PathSeparator)) {
		if program, err = absolute(program); err != nil {
			return nil, err
		}
	}
	set("command", program)
	set("url", cmd.URL)
	set("cwd", dir)
	if len(cmd.Args) > 0 {
		keys["args"] = cmd.Args
	}
	if len(cmd.Env) > 0 {
		keys["env"] = cmd.Env
	}
	if len(cmd.Header) > 0 {
		keys["headers"] = cmd.Header
	}
	raw, err := json.Marshal(keys, json.Deterministic(true))
	if err != nil {
		return nil, fmt.Errorf("upstream: %w", err)
	}
	return raw, nil
}
