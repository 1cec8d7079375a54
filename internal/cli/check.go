package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/fairlead-mcp/fairlead/internal/approval"
	"github.com/fairlead-mcp/fairlead/internal/config"
)

// source is the file that a node is made from.
type source struct {
	cfg     *config.Config
	notes   []*config.Error // what was left out or changed
	foreign bool            // an mcpServers file
	text    []byte
}

// load reads a config or an mcpServers file.
func (a *app) load(path string, mcpServers bool) (*source, error) {
	text, err := config.Read(path, mcpServers)
	if err != nil {
		return nil, err
	}
	return a.parse(path, text, mcpServers)
}

// parse makes a source of a file that is already read.
func (a *app) parse(path string, text []byte, mcpServers bool) (*source, error) {
	if !mcpServers {
		cfg, err := config.Parse(path, text, a.lookup)
		return &source{cfg: cfg, text: text}, err
	}
	servers, err := config.ParseMCPServers(path, text, a.lookup)
	if err != nil {
		return nil, err
	}
	cfg := config.Default(a.lookup)
	cfg.Upstreams = servers.Upstreams
	return &source{cfg, slices.Concat(servers.Warnings, servers.Skipped), true, text}, nil
}

// loadAny tells by its name which of the two forms a file has.
func (a *app) loadAny(path string) (*source, error) {
	return a.load(path, strings.HasSuffix(path, ".json") || strings.HasSuffix(path, ".jsonc"))
}

type checkCmd struct {
	File string `arg:"" optional:"" default:"fairlead.yaml" help:"Config, or an mcpServers file when its name ends in .json."`
	JSON bool   `name:"json" help:"Print JSON."`
}

func (*checkCmd) Help() string { return "Example:\n  fairlead check fairlead.yaml" }

// finding is one thing that is wrong, for --json.
type finding struct {
	File   string `json:"file,omitzero"`
	Line   int    `json:"line,omitzero"`
	Column int    `json:"column,omitzero"`
	Key    string `json:"key,omitzero"`
	What   string `json:"what"`
	Hint   string `json:"hint,omitzero"`
}

// Run checks a file and the commands that it names. It starts nothing.
func (cmd *checkCmd) Run(_ context.Context, a *app) error {
	src, err := a.loadAny(cmd.File)
	if err == nil {
		err = commandsExist(src.cfg)
	}
	if cmd.JSON {
		return cmd.json(a, src, err)
	}
	if err != nil {
		return err
	}
	for _, n := range src.notes {
		if err := a.asText("note: " + n.Error()); err != nil {
			return err
		}
	}
	_, err = fmt.Fprintf(a.stdout, "%s is fine: %s\n", cmd.File, count(len(src.cfg.Upstreams), "upstream"))
	return err
}

func (cmd *checkCmd) json(a *app, src *source, problem error) error {
	out := struct {
		OK       bool      `json:"ok"`
		Findings []finding `json:"findings"`
		Notes    []finding `json:"notes"`
	}{problem == nil, []finding{}, []finding{}}
	var list config.Errors
	switch {
	case errors.As(problem, &list):
		out.Findings = findings(list)
	case problem != nil:
		out.Findings = append(out.Findings, finding{What: problem.Error()})
	default:
		out.Notes = findings(src.notes)
	}
	if err := a.asJSON(out); err != nil {
		return err
	}
	return problem
}

func findings(errs []*config.Error) []finding {
	out := []finding{}
	for _, e := range errs {
		out = append(out, finding{e.File, e.Line, e.Column, e.Path, e.What, e.Hint})
	}
	return out
}

// commandsExist reports the programs that cannot be found.
func commandsExist(cfg *config.Config) error {
	var list config.Errors
	for i := range cfg.Upstreams {
		u := &cfg.Upstreams[i]
		if u.Command == "" || u.BundleDir != "" && strings.HasPrefix(u.Command, u.BundleDir) { // not unpacked yet
			continue
		}
		if _, err := approval.Measure(u); err != nil {
			list = append(list, &config.Error{Path: "upstreams." + u.Name + ".command", What: err.Error(), Hint: "install the program, or write its full path"})
		}
	}
	if len(list) == 0 {
		return nil // a nil Errors would not be a nil error
	}
	return list
}

type configCmd struct {
	Init     configInitCmd     `cmd:"" help:"Write a commented config."`
	Show     configShowCmd     `cmd:"" help:"Show a config with every default filled in; secrets are not shown."`
	Schema   configSchemaCmd   `cmd:"" help:"Print the JSON schema of the config, for editors."`
	Reload   configReloadCmd   `cmd:"" help:"Have the running node read its config again."`
	History  configHistoryCmd  `cmd:"" help:"List what the running node has served."`
	Diff     configDiffCmd     `cmd:"" help:"Show what is different between two of these, or the file."`
	Rollback configRollbackCmd `cmd:"" help:"Have the running node serve an earlier config again."`
}

type configInitCmd struct {
	File string `arg:"" optional:"" default:"fairlead.yaml" help:"File to write; - for standard output."`
}

func (*configInitCmd) Help() string { return "Example:\n  fairlead config init fairlead.yaml" }

// Run writes the sample; it never replaces a file.
func (cmd *configInitCmd) Run(a *app) error {
	if cmd.File == "-" {
		_, err := fmt.Fprint(a.stdout, config.Sample())
		return err
	}
	f, err := os.OpenFile(cmd.File, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return failed("name another file, or - to print the sample", "%s exists and is not replaced", cmd.File)
	}
	if err != nil {
		return failed("name a file in a directory that you may write to", "write the config: %w", err)
	}
	_, err = f.WriteString(config.Sample())
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("write the config: %w", err)
	}
	_, err = fmt.Fprintf(a.stdout, "wrote %s; start it with: fairlead serve --config %s\n", cmd.File, cmd.File)
	return err
}

type configShowCmd struct {
	File string `arg:"" optional:"" default:"fairlead.yaml" help:"Config, or an mcpServers file when its name ends in .json."`
}

func (*configShowCmd) Help() string { return "Example:\n  fairlead config show fairlead.yaml" }

// Run shows what the node would run with.
func (cmd *configShowCmd) Run(a *app) error {
	src, err := a.loadAny(cmd.File)
	if err != nil {
		return err
	}
	return a.asJSON(src.cfg.Shown())
}

type configSchemaCmd struct{}

func (*configSchemaCmd) Help() string {
	return "Example:\n  fairlead config schema > fairlead.schema.json"
}

// Run prints the schema.
func (*configSchemaCmd) Run(a *app) error {
	_, err := fmt.Fprint(a.stdout, config.Schema())
	return err
}
