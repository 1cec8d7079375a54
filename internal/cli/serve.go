package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"

	"github.com/fairlead-mcp/fairlead/internal/adminapi"
	"github.com/fairlead-mcp/fairlead/internal/approval"
	"github.com/fairlead-mcp/fairlead/internal/config"
	"github.com/fairlead-mcp/fairlead/internal/daemon"
	"github.com/fairlead-mcp/fairlead/internal/handover"
	"github.com/fairlead-mcp/fairlead/internal/sdnotify"
)

type serveCmd struct {
	Config     string `placeholder:"FILE" xor:"source" help:"Config of the node."`
	MCPServers string `name:"mcp-servers" placeholder:"FILE" xor:"source" help:"Serve what is in an mcpServers file (Claude, Cursor, VS Code)."`
	Yes        bool   `help:"Approve the commands of the file without asking."`
	Listen     string `placeholder:"HOST:PORT" help:"Address of the MCP listener, instead of the config's."`
	Admin      string `placeholder:"HOST:PORT" help:"Address of the admin listener, instead of the config's."`
	Data       string `placeholder:"DIR" help:"Data directory, instead of the config's."`
}

func (*serveCmd) Help() string {
	return "SIGTERM or SIGINT lets running calls finish first; a second one ends at once. SIGHUP reads the config again.\n\nExamples:\n  fairlead serve\n  fairlead serve --mcp-servers ~/.cursor/mcp.json\n  fairlead serve --config fairlead.yaml"
}

// Run runs a node until it is told to stop.
func (cmd *serveCmd) Run(ctx context.Context, a *app) error {
	inherited, err := handover.Inherit(a.lookup)
	if err != nil {
		return failed("start the node without LISTEN_FDS in its environment", "descriptors: %w", err)
	}
	manager, err := sdnotify.Open(a.lookup)
	if err != nil {
		return failed("start the node without NOTIFY_SOCKET in its environment", "%w", err)
	}
	defer manager.Close()
	err = cmd.serve(ctx, a, inherited, manager)
	inherited.Fail(err)
	return err
}

func (cmd *serveCmd) serve(ctx context.Context, a *app, inherited *handover.Inherited, manager *sdnotify.Notifier) error {
	cfg, file, text, err := cmd.load(a)
	if err != nil {
		return err
	}
	if err := cmd.override(cfg); err != nil {
		return err
	}
	if err := cfg.Check(); err != nil {
		return err
	}
	demo := file == ""
	var back uint64
	if !demo {
		if cfg, text, back, err = cmd.rolledBack(a, cfg, file, text); err != nil {
			return err
		}
	}
	var from *daemon.Source
	if !demo {
		from = cmd.source(a, file, text)
		from.RolledBack = back
	}
	// A config was written for this node; a client's file names commands that were
	// not, and that other programs may add to.
	var approvals *approval.Store
	foreign := cfg.Foreign()
	if cmd.Config == "" && !demo {
		foreign = cfg
	}
	if len(foreign.Upstreams) > 0 && !demo {
		if _, err := a.approve(foreign, file, cmd.Yes); err != nil {
			return err
		}
	}
	if !demo { // also with nothing to ask about: another config may follow
		if approvals, err = approval.Open(cfg.Data, nil); err != nil {
			return failed("check the data directory, or name another with --data", "open the approvals: %w", err)
		}
	}
	d, err := daemon.New(cfg, &daemon.Options{
		Logger: a.logger(cfg.Log), Version: version(), Lookup: a.lookup, Approvals: approvals, ForeignOnly: cmd.Config != "", Source: from,
		Inherited: inherited, Program: a.program(), Notify: manager,
		OnReady: func(at daemon.Addresses) {
			if inherited.From == nil { // else it has been said, to a terminal that may be gone
				a.announce(at, demo)
			}
		},
	})
	if err != nil {
		return err
	}
	stop := stopOnSignal(d)
	if !demo {
		defer reloadOnSignal(d)()
	}
	defer stop()
	return listenHint(d.Run(ctx))
}

// load makes the config; file is empty for the built-in demo.
func (cmd *serveCmd) load(a *app) (cfg *config.Config, file string, text []byte, err error) {
	switch {
	case cmd.Config != "":
		src, err := a.load(cmd.Config, false)
		if err != nil {
			return nil, "", nil, err
		}
		return src.cfg, cmd.Config, src.text, nil
	case cmd.MCPServers != "":
		src, err := a.load(cmd.MCPServers, true)
		if err != nil {
			return nil, "", nil, err
		}
		for _, n := range src.notes {
			fmt.Fprintln(a.stderr, printable("note: "+n.Error()))
		}
		return src.cfg, cmd.MCPServers, src.text, nil
	}
	self, err := os.Executable()
	if err != nil {
		return nil, "", nil, fmt.Errorf("find the demo server: %w", err)
	}
	cfg = config.Default(a.lookup)
	cfg.Upstreams = []config.Upstream{{
		Name: "demo", Command: self, Args: []string{"demo-server"}, Era: config.EraAuto,
		Timeout: cfg.Limits.CallTimeout,
	}}
	return cfg, "", nil, nil
}

// rolledBack returns the config and the text of the generation that an operator has
// gone back to, if the file still is the one that they went back from.
func (cmd *serveCmd) rolledBack(a *app, cfg *config.Config, file string, text []byte) (*config.Config, []byte, uint64, error) {
	older, to, err := daemon.RolledBack(cfg.Data, text)
	if err != nil || older == nil {
		return cfg, text, 0, err
	}
	fmt.Fprintln(a.stderr, printable(fmt.Sprintf(`note: %s is not served: it was rolled back to generation %d; change it, or run "fairlead config reload", to serve it`, file, to)))
	cfg, notes, err := cmd.source(a, file, older).Parse(older)
	if err != nil {
		return nil, nil, 0, fmt.Errorf("generation %d: %w", to, err)
	}
	for _, n := range notes {
		fmt.Fprintln(a.stderr, printable("note: "+n.Error()))
	}
	return cfg, older, to, nil
}

// source is how the node reads its file again: with the flags over it, as at its start.
func (cmd *serveCmd) source(a *app, file string, text []byte) *daemon.Source {
	foreign := cmd.MCPServers != ""
	return &daemon.Source{
		Path: file, Text: text,
		Read: func() ([]byte, error) { return config.Read(file, foreign) },
		Parse: func(text []byte) (*config.Config, []*config.Error, error) {
			src, err := a.parse(file, text, foreign)
			if err != nil {
				return nil, nil, err
			}
			if err := cmd.override(src.cfg); err != nil {
				return nil, nil, err
			}
			return src.cfg, src.notes, src.cfg.Check()
		},
	}
}

// override puts the flags over the config.
func (cmd *serveCmd) override(cfg *config.Config) error {
	for _, f := range []struct {
		flag, value string
		into        *string
	}{{"--listen", cmd.Listen, &cfg.Listen}, {"--admin", cmd.Admin, &cfg.Admin}} {
		if f.value == "" {
			continue
		}
		if _, port, err := net.SplitHostPort(f.value); err != nil || port == "" {
			return misused("write it as HOST:PORT, as in 127.0.0.1:8080", "%s %q is not an address", f.flag, f.value)
		}
		*f.into = f.value
	}
	if cmd.Data != "" {
		data, err := filepath.Abs(cmd.Data)
		if err != nil {
			return err
		}
		cfg.Data, cfg.AdminSocket = data, filepath.Join(data, "admin.sock")
	}
	return nil
}

func (a *app) logger(l config.Log) *slog.Logger {
	opts := &slog.HandlerOptions{Level: l.Level}
	if l.Format == "json" {
		return slog.New(slog.NewJSONHandler(a.stderr, opts))
	}
	return slog.New(slog.NewTextHandler(a.stderr, opts))
}

// announce says where the node listens and prints one command to try, as it can
// be typed on this machine.
func (a *app) announce(at daemon.Addresses, demo bool) {
	self := "fairlead"
	if _, err := exec.LookPath(self); err != nil {
		self = os.Args[0]
	}
	try := self + " tools"
	if demo {
		try = self + " call demo__echo --arg text=hello"
	}
	if at.Endpoint != "http://"+config.Default(a.lookup).Listen+"/mcp" {
		try += " --url " + at.Endpoint
	}
	fmt.Fprintf(a.stdout, "MCP endpoint  %s\nhealth        %s/healthz\ntry           %s\n", at.Endpoint, at.Admin, try)
}

// program is how this process was started, for the one that replaces it: by the name
// that it was called by, since that may lead to a newer program by then.
func (a *app) program() handover.Program {
	path, err := exec.LookPath(os.Args[0])
	if err == nil {
		path, err = filepath.Abs(path)
	}
	if err != nil {
		if path, err = os.Executable(); err != nil {
			return handover.Program{} // there will be no upgrade
		}
	}
	return handover.Program{Path: path, Args: os.Args[1:], Env: os.Environ()}
}

// stopOnSignal drains d at the first SIGTERM or SIGINT and ends it at the
// second; SIGUSR2 replaces it. The returned function undoes it.
func stopOnSignal(d *daemon.Daemon) (undo func()) {
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGUSR2)
	quit := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() { // ends with undo
		actions := []func(){d.Stop, d.Kill, func() {}}
		for {
			select {
			case s := <-signals:
				if s == syscall.SIGUSR2 {
					wg.Go(func() { // ends with the upgrade, or with d; the node logs what comes of it
						_, _ = d.Upgrade(context.Background(), adminapi.Upgrade{})
					})
					continue
				}
				actions[0]()
				actions = actions[min(1, len(actions)-1):]
			case <-quit:
				return
			}
		}
	})
	return func() {
		signal.Stop(signals)
		close(quit)
		wg.Wait()
	}
}

// reloadOnSignal has d read its config again at each SIGHUP. The returned function
// undoes it.
func reloadOnSignal(d *daemon.Daemon) (undo func()) {
	signals := make(chan os.Signal, 1) // one that comes during a reload makes another
	signal.Notify(signals, syscall.SIGHUP)
	quit := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() { // ends with undo
		for {
			select {
			case <-signals:
				_, _ = d.Reload("sighup") // it is in the log and in the status
			case <-quit:
				return
			}
		}
	})
	return func() {
		signal.Stop(signals)
		close(quit)
		wg.Wait()
	}
}

// listenHint says what to do about an address that cannot be used.
func listenHint(err error) error {
	var le *daemon.ListenError
	if !errors.As(err, &le) {
		return err
	}
	flag := map[string]string{"listen": "--listen", "admin": "--admin", "admin_socket": "--data"}[le.Key]
	hint := "check the address given with " + flag
	switch {
	case le.Key == "admin_socket" && le.InUse():
		hint = `another node runs with this data directory ("fairlead status" shows it); stop it, or use another with --data DIR`
	case le.InUse():
		hint = fmt.Sprintf("stop that program, or choose another port, as in %s 127.0.0.1:0 for any free one", flag)
	}
	return failed(hint, "%w", err)
}
