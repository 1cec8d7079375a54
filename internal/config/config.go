// Package config turns a file into checked values, and nothing more: it starts,
// opens and connects nothing. Every key stands in one table (keys.go) from which
// the reader, docs/config.md, the sample file and the JSON schema are made.
//
//	cfg, err := config.Load("fairlead.yaml", os.LookupEnv)
//
// A failed Load returns Errors: everything that is wrong with the file at once,
// each with file, line, column, what is wrong and what to write instead.
// LoadMCPServers reads the file of an MCP client instead.
package config

import (
	"log/slog"
	"path/filepath"
	"time"

	"github.com/fairlead-mcp/fairlead/internal/secret"
)

// Config is the configuration of a node, with every default filled in.
// docs/config.md says what each value means.
type Config struct {
	Listen         string // host:port
	Admin          string // host:port
	AdminSocket    string // path
	Data           string // directory
	Log            Log
	TLS            TLS
	Auth           Auth
	AllowedOrigins []string
	Limits         Limits
	ShutdownDelay  time.Duration // from not ready to no more connections
	ShutdownGrace  time.Duration
	UpgradeGrace   time.Duration // of a process that was replaced
	Watch          bool          // whether changes of the file are taken over by themselves
	Upstreams      []Upstream    // in the order of the file, which decides collisions
	Virtual        []Virtual
	ToolSearch     bool // at /mcp
}

// Log says what is logged and how.
type Log struct {
	Level  slog.Level
	Format string // "text" or "json"
}

// TLS names the certificate of the MCP listener; both empty for plain HTTP.
type TLS struct {
	Cert string // path of a PEM file
	Key  string // path of a PEM file
}

// Auth says who may call.
type Auth struct {
	Tokens []Token
}

// Token is a bearer token of which only the hash is known.
type Token struct {
	Name string // of the principal
	Hash Hash
}

// Limits bound what one node takes on.
type Limits struct {
	Body        ByteSize      // of one message
	Sessions    int           // of old revisions, at one time
	SessionIdle time.Duration // after which a session ends
	CallTimeout time.Duration // of a call, from accept to result
	MaxCalls    int           // in flight at one time
	Starts      int           // of commands at one time; zero for the default
	Cache       ByteSize      // of results that are kept
}

// Era says which revisions an upstream is spoken to in.
type Era string

// The eras: found out by asking, session-based (2025-11-25 and before), or
// stateless (2026-07-28).
const (
	EraAuto   Era = "auto"
	EraLegacy Era = "legacy"
	EraModern Era = "modern"
)

// Upstream is one MCP server: a program that is started, or a URL.
type Upstream struct {
	Name         string
	Command      string // name looked up in PATH, or an absolute path; empty when URL is set
	Args         []string
	Env          map[string]secret.Text
	EnvPass      []string // names taken over from the environment of the node
	Dir          string   // working directory; empty for the node's own
	URL          string   // empty when Command is set
	Headers      map[string]secret.Text
	Era          Era
	Tools        Tools
	Labels       []string
	ServerJSON   string                 // file that command or url came from; empty for none
	ServerFrom   string                 // which part of it: npm, pypi, oci or remote; empty for the first that can be used
	Inputs       map[string]secret.Text // what ServerJSON asks for
	Bundle       string                 // file of an MCP bundle that Command came from; empty for none
	BundleHash   Hash                   // of Bundle
	BundleDir    string                 // where it is unpacked to
	Foreign      string                 // file of somebody else that Command came from; empty for none
	URIs         string                 // original or prefixed
	MaxResult    ByteSize               // of a tool; zero for no bound
	Timeout      time.Duration          // of one call
	Timeouts     []Timeout              // of some calls, in the order of the file
	TimeoutMax   time.Duration          // of a call with progress; zero where progress does not count
	StartTimeout time.Duration          // until the upstream has answered its first request
	Roots        []string               // absolute paths and file: URIs that the program is told of
	Instances    string                 // who shares a connection: auto, shared, principal, session, or how many children share the work
	Start        string                 // eager or lazy; empty is eager
	IdleStop     time.Duration          // after which what nobody needs is stopped; zero is never
	Priority     string                 // low, normal or high; empty is normal
	Concurrent   int                    // calls that may run at one time; zero for the default
	QueueLength  int                    // calls that may wait; zero for the default
	QueueWait    time.Duration          // of a call; zero for the default
	Critical     bool                   // without it the node is not ready
	Added        bool                   // by an operator: it stands in no file
	Limits       ChildLimits            // of the command
	RestartAfter int                    // probes that the command may leave unanswered; zero for the default
	Setuid       bool                   // the command may gain privileges
}

// Tools says which tools of an upstream are offered. In a pattern, * stands for
// any text and ? for one character. A tool is offered when a pattern of Allow
// matches it, or Allow is empty, and none of Deny does.
type Tools struct {
	Allow []string
	Deny  []string
	// MaxResult bounds results in bytes, by pattern; of several that match the smallest counts.
	MaxResult map[string]ByteSize
}

// Load reads the YAML file at path. lookup is the environment, os.LookupEnv
// but for tests; nil is an empty one. Relative paths in the file start at its directory.
// The error is an Errors. Files of more than 256 KiB are refused.
func Load(path string, lookup func(name string) (string, bool)) (*Config, error) {
	data, err := readRegular(path, maxYAML)
	if err != nil {
		return nil, Errors{{What: err.Error(), Hint: `write a first file with "fairlead config init"`}}
	}
	return Parse(path, []byte(data), lookup)
}

// Parse is Load for a file that is already read; path serves messages and
// relative paths.
func Parse(path string, data []byte, lookup func(name string) (string, bool)) (*Config, error) {
	d := newDecoder(path, lookup)
	root := d.parseYAML(data)
	if len(d.errs) > 0 {
		return nil, d.errs.sorted()
	}
	if root == nil {
		root = &node{}
	}
	d.duplicates(root, "")
	cfg := d.config(root)
	if len(d.errs) == 0 {
		d.rules(cfg.problems())
	}
	if len(d.errs) > 0 {
		return nil, d.errs.sorted()
	}
	return cfg, nil
}

// Default returns the configuration of an empty file.
func Default(lookup func(name string) (string, bool)) *Config {
	return newDecoder("", lookup).config(&node{})
}

// Check holds cfg against the rules that span several keys, for a Config that
// was changed after Load, by flags for example. The error is an Errors without places.
func (c *Config) Check() error {
	var d decoder
	d.rules(c.problems())
	return d.errs.sorted()
}

// dataDir is where state lives on this machine.
func dataDir(lookup func(string) (string, bool)) string {
	if dir, _ := lookup("XDG_STATE_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "fairlead")
	}
	if home, _ := lookup("HOME"); filepath.IsAbs(home) {
		return filepath.Join(home, ".local", "state", "fairlead")
	}
	return "."
}
