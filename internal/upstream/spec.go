package upstream

import (
	"context"
	"log/slog"
	"time"

	"github.com/fairlead-mcp/fairlead/internal/sandbox"
	"github.com/fairlead-mcp/fairlead/internal/supervise"
	"github.com/fairlead-mcp/fairlead/mcp"
)

// Era says which family of revisions an upstream is spoken to in.
type Era string

// The eras. The empty Era is EraAuto.
const (
	EraAuto   Era = "auto"   // found out by asking
	EraLegacy Era = "legacy" // 2025-11-25 and older: initialize and sessions
	EraModern Era = "modern" // 2026-07-28 and newer
)

// Spec says what an upstream is: a program to start (Command) or an address (URL).
type Spec struct {
	Command string
	Args    []string
	Env     []string // the child's whole environment, as KEY=VALUE; nil means what a program needs to run at all
	Dir     string   // empty means the node's own

	URL    string
	Header map[string][]string // sent with every request to URL

	Era Era

	// Allow and Deny are patterns over the upstream's own tool names, in which *
	// stands for any text and ? for one character. A tool is offered when Allow is
	// empty or matches it, and Deny does not.
	Allow, Deny []string

	// PrefixURIs says that beside others the upstream's name stands in its URIs.
	PrefixURIs bool

	// MaxResult bounds a tool's result in bytes, and MaxResults those of tools by pattern;
	// of several that match the smallest counts. Zero means no bound but that of messages.
	MaxResult  int
	MaxResults map[string]int

	// CallTimeout bounds one call, from its acceptance to its result, time in the
	// queue included. Zero means 5 minutes.
	CallTimeout time.Duration
	// Timeouts are other deadlines for some calls.
	Timeouts []TimeoutRule
	// MaxTimeout, where it is more than the deadline of a call, bounds the call in its
	// place: each progress notification then gives it as long again. Zero means that
	// progress does not count.
	MaxTimeout time.Duration
	// StartTimeout bounds connecting and the first listing, and how long a call
	// waits for them. Zero means 30 seconds.
	StartTimeout time.Duration
	// StopTimeout is how long a child may take to end after its stdin was closed,
	// and again after SIGTERM. Zero means 2 seconds.
	StopTimeout time.Duration
	// RestartAfter is how many probes in a row a program may leave unanswered before it
	// is started again. Zero means 3.
	RestartAfter int
	// Limits bound the program and what it starts, where there is a sandbox.
	Limits sandbox.Limits
	// Roots are what a program of a revision with sessions is told when it asks for the
	// roots of its client, as URIs. Nil leaves that to the caller whose connection it is.
	Roots []string
	// Instances says who shares a connection. Empty means InstancesAuto.
	Instances Instances
	// Size is how many shared connections there are, for programs: children among
	// which calls are spread. Zero means 1.
	Size int
	// Lazy starts the upstream when it is first needed, and not with Run.
	Lazy bool
	// IdleStop is how long nobody has to need the upstream until it is stopped. A call
	// or a subscription starts it again. Zero means never.
	IdleStop time.Duration
	// Priority says whose calls a node under pressure refuses first. Empty means PriorityNormal.
	Priority Priority
	// MaxConcurrent bounds the calls that run at the same time. Zero means DefaultMaxConcurrent.
	MaxConcurrent int
	// Queue bounds the calls that wait beside them, and QueueWait how long one does.
	// Zero means 256, and 10 seconds; a negative Queue means that none waits.
	Queue     int
	QueueWait time.Duration
}

// Priority is how much the calls of an upstream count when not all can be carried.
type Priority string

// The priorities. Calls of high priority are refused only when no more calls fit at all.
const (
	PriorityLow    Priority = "low"
	PriorityNormal Priority = "normal"
	PriorityHigh   Priority = "high"
)

// DefaultMaxConcurrent is the bound of the calls of one upstream that run at the same time.
const DefaultMaxConcurrent = 256

func (s Spec) withDefaults() Spec {
	if s.Era == "" {
		s.Era = EraAuto
	}
	if s.Instances == "" {
		s.Instances = InstancesAuto
	}
	if s.CallTimeout == 0 {
		s.CallTimeout = 5 * time.Minute
	}
	if s.StartTimeout == 0 {
		s.StartTimeout = 30 * time.Second
	}
	if s.Size < 1 {
		s.Size = 1
	}
	if s.RestartAfter == 0 {
		s.RestartAfter = 3
	}
	if s.StopTimeout == 0 {
		s.StopTimeout = 2 * time.Second
	}
	if s.MaxConcurrent == 0 {
		s.MaxConcurrent = DefaultMaxConcurrent
	}
	return s
}

// allows returns the rule that decides over a tool, and the decision.
func (s *Spec) allows(tool string) (rule string, ok bool) {
	for _, p := range s.Deny {
		if Match(p, tool) {
			return "deny " + p, false
		}
	}
	if len(s.Allow) == 0 {
		return "allow all", true
	}
	for _, p := range s.Allow {
		if Match(p, tool) {
			return "allow " + p, true
		}
	}
	return "not in allow", false
}

// maxResult is the bound of a tool's result; zero for none.
func (s *Spec) maxResult(tool string) int {
	most, found := s.MaxResult, false
	for p, n := range s.MaxResults {
		if Match(p, tool) && (!found || n < most) {
			most, found = n, true
		}
	}
	return most
}

// Options are the optional settings of an [Upstream].
type Options struct {
	// Logger gets the upstream's life and the child's stderr. Nil means discard.
	Logger *slog.Logger
	// OnEvent is told of every change of state. It must not block.
	OnEvent func(Status)
	// ClientName and ClientVersion are how the node introduces itself. Empty means "fairlead" and "0".
	ClientName, ClientVersion string
	// Policy says when the upstream is connected to again. Nil means the defaults
	// of package supervise, without a budget for remote servers.
	Policy *supervise.Policy
	// Permit is asked directly before each start of the program, restarts included;
	// an error means that it is not started. Nil permits it.
	Permit func() error
	// Starts bounds the programs that start at the same time. Nil means no bound.
	Starts *Starts
	// Sandbox starts the program. Nil starts it without any protection of the node.
	Sandbox *sandbox.Sandbox
	// Dial replaces the connection that Spec describes: for servers compiled in. It
	// is called concurrently where callers have connections of their own.
	Dial func(ctx context.Context, whose Whose) (*Conn, error)
	// MaxItems bounds each list of the catalogue. Zero means 10,000.
	MaxItems int
	// MaxListBytes bounds the bytes of each list of the catalogue. Zero means 16 MiB.
	MaxListBytes int
}

// Conn is an open connection to an upstream.
type Conn struct {
	// Handler carries the calls.
	Handler mcp.Handler
	// Done is closed when the connection can carry no more calls. Nil means that
	// it cannot break as a whole; then failed calls make the upstream look again.
	Done <-chan struct{}
	// Err says why Done was closed. It may be nil.
	Err func() error
	// Close ends the connection and returns when nothing of it is left. It may be nil.
	Close func() error
	// Ends says that Close ends the calls at once, so that nobody else has to.
	Ends bool
	// Version tells the revision that the upstream is spoken to in. Nil means that
	// what it says of itself decides.
	Version func() mcp.Version
	// PID is the child's process id, or 0.
	PID int
}
