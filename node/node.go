// Package node runs your own [mcp.Server] as a fully operated node: what the
// fairlead daemon does for the servers that it starts or calls, it does for one
// that is compiled into your program.
//
//	server := mcp.NewServer("orders", "1.0.0", nil)
//	// ... mcp.AddTool(server, ...)
//	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
//	defer stop()
//	err := node.Run(ctx, "orders", server, nil)
//
// Clients of every revision find its tools at http://127.0.0.1:8080/mcp/orders under
// their own names, and at /mcp as orders__NAME, beside those of other servers
// ([Node.Add]) and of the config's upstreams ([Options.Config]). Limits, deadlines,
// circuit breakers, health, readiness and the admin API come with it; the commands
// status, upstreams and explain of fairlead work on it with --data.
//
// A panic in a handler is an internal error to its one caller, and one that ignores
// its context does not keep its caller waiting beyond the deadline. A handler's own
// goroutines are the program's: a panic in one of them ends it.
package node

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/fairlead-mcp/fairlead/internal/config"
	"github.com/fairlead-mcp/fairlead/internal/daemon"
	"github.com/fairlead-mcp/fairlead/mcp"
)

// Options are the options of a [Node]. Nil and zero values are useful.
type Options struct {
	// Config is the path of a config file, as docs/config.md describes it. Its
	// upstreams stand beside the servers of the program. Empty means the defaults:
	// loopback addresses, no tokens, no upstreams.
	Config string
	// Listen and Admin are the addresses of the MCP and the admin listener, HOST:PORT.
	// Empty means those of the config, 127.0.0.1:8080 and 127.0.0.1:9090 by default.
	Listen, Admin string
	// Data is the directory of what the node keeps, with its admin socket. Empty
	// means that of the config and, without one, a directory named like the program
	// beside that of fairlead.
	Data string
	// ShutdownGrace is how long running calls may take to finish when Run's context
	// has ended. Zero means that of the config, 30 s by default.
	ShutdownGrace time.Duration
	// Version is what the node says of itself. Empty means "0".
	Version string
	// Logger gets what an operator wants to know. Nil means discard.
	Logger *slog.Logger
	// OnReady is called once, when the node listens.
	OnReady func(Addresses)
}

// ServerOptions are the options of one server of a node. Nil and zero values are useful.
type ServerOptions struct {
	// CallTimeout bounds one call. Zero means the config's limits.call_timeout, 60 s by default.
	CallTimeout time.Duration
	// MaxConcurrent bounds the calls that run at the same time. Zero means 256.
	MaxConcurrent int
	// Critical says that the node is not ready while the server is unhealthy.
	Critical bool
}

// Addresses are where a node listens.
type Addresses struct {
	Endpoint string // URL of /mcp; a server's own is Endpoint + "/" + its name
	Admin    string // URL of the admin listener
	Socket   string // path of the admin socket
}

// Node is a node of your own servers. It runs once.
type Node struct {
	opts    Options
	servers []daemon.Server
}

// New makes a node without servers; opts may be nil. It reads and opens nothing before Run.
func New(opts *Options) *Node {
	n := &Node{}
	if opts != nil {
		n.opts = *opts
	}
	return n
}

// Add makes server part of the node under a name: up to 32 lower-case letters,
// digits, - and _. Where servers have a URI in common, the one added first has it.
// opts may be nil. Run says what is wrong with a name. Add panics without a
// server, and must not be called once Run has been.
func (n *Node) Add(name string, server mcp.Handler, opts *ServerOptions) {
	if server == nil {
		panic("node: Add needs a server")
	}
	s := daemon.Server{Name: name, Handler: server}
	if opts != nil {
		s.CallTimeout, s.MaxConcurrent, s.Critical = opts.CallTimeout, opts.MaxConcurrent, opts.Critical
	}
	n.servers = append(n.servers, s)
}

// Run serves until ctx ends, and then drains: the node is not ready any more, new
// connections are refused, running calls finish within the grace and are then ended
// with an error. It returns nil after a clean end. No goroutine started by Run
// outlives it, but that of a handler which ignores its context.
//
// It takes no signals: end ctx on them, as with [os/signal.NotifyContext].
func (n *Node) Run(ctx context.Context) error {
	cfg, err := n.config()
	if err != nil {
		return err
	}
	d, err := daemon.New(cfg, &daemon.Options{
		Logger: n.opts.Logger, Version: n.opts.Version, Servers: n.servers,
		OnReady: func(at daemon.Addresses) {
			if n.opts.OnReady != nil {
				n.opts.OnReady(Addresses(at))
			}
		},
	})
	if err != nil {
		return fmt.Errorf("node: %w", err)
	}
	return d.Run(ctx)
}

// Run runs server as a node until ctx ends: [New], [Node.Add] and [Node.Run] in one.
func Run(ctx context.Context, name string, server mcp.Handler, opts *Options) error {
	n := New(opts)
	n.Add(name, server, nil)
	return n.Run(ctx)
}

// config is the file's, or the default one, with the options over it.
func (n *Node) config() (*config.Config, error) {
	cfg := config.Default(os.LookupEnv)
	if n.opts.Config != "" {
		var err error
		if cfg, err = config.Load(n.opts.Config, os.LookupEnv); err != nil {
			return nil, err
		}
	} else if n.opts.Data == "" {
		n.opts.Data = filepath.Join(filepath.Dir(cfg.Data), strings.TrimSuffix(filepath.Base(os.Args[0]), ".exe"))
	}
	if n.opts.Listen != "" {
		cfg.Listen = n.opts.Listen
	}
	if n.opts.Admin != "" {
		cfg.Admin = n.opts.Admin
	}
	if n.opts.Data != "" {
		data, err := filepath.Abs(n.opts.Data)
		if err != nil {
			return nil, fmt.Errorf("node: data directory: %w", err)
		}
		cfg.Data, cfg.AdminSocket = data, filepath.Join(data, "admin.sock")
	}
	if n.opts.ShutdownGrace != 0 {
		cfg.ShutdownGrace = n.opts.ShutdownGrace
	}
	return cfg, nil
}
