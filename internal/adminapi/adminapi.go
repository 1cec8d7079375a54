// Package adminapi is the control API of a node as others see it: its types and
// its client. What serves it is internal/daemon.
//
//	st, err := adminapi.NewClient(socket).Status(ctx)
package adminapi

import "time"

// Paths of the admin listener and socket.
const (
	PathLive   = "/livez"
	PathReady  = "/readyz"
	PathHealth = "/healthz"
	// PathStartup is unavailable until every upstream has had its first attempt.
	PathStartup = "/startupz"
	PathStatus  = "/admin/v1/status"
	// PathCalls lists the last calls, newest first, and PathCalls/ID is one of them.
	PathCalls = "/admin/v1/calls"
	// PathUpstreams/NAME/ACTION, by POST, does something to an upstream. A POST to
	// PathUpstreams adds one, and a DELETE of PathUpstreams/NAME takes that away; both
	// need a token on the admin listener.
	PathUpstreams = "/admin/v1/upstreams"
	// PathUpgrade, by POST on the admin socket, replaces the process of the node.
	PathUpgrade = "/admin/v1/upgrade"
)

// Action is something that an operator does to an upstream.
type Action string

// The actions.
const (
	ActionRestart Action = "restart" // end the connection and start anew
	ActionOpen    Action = "open"    // the breaker refuses all calls
	ActionClose   Action = "close"   // the breaker lets all calls pass
	ActionAuto    Action = "auto"    // the breaker decides for itself again
	ActionDrain   Action = "drain"   // no new calls; those that run finish
	ActionUndrain Action = "undrain" // calls again
)

// Call is a call that has ended, and why it ended so.
type Call struct {
	ID         string     `json:"id"`
	Began      time.Time  `json:"began"`
	Method     string     `json:"method"`
	Name       string     `json:"name,omitzero"` // as the caller named it
	Upstream   string     `json:"upstream,omitzero"`
	Principal  string     `json:"principal,omitzero"`
	TookMicros int64      `json:"tookMicros"`
	Error      string     `json:"error,omitzero"` // for operators; empty if the upstream answered
	Decisions  []Decision `json:"decisions"`
}

// Decision is what a stage of the pipeline decided about a call.
type Decision struct {
	Stage      string `json:"stage"`
	Rule       string `json:"rule"`
	OK         bool   `json:"ok"` // the call went on
	TookMicros int64  `json:"tookMicros"`
}

// Upgrade says how the process of a node is replaced by a new one.
type Upgrade struct {
	Program    string `json:"program,omitzero"`    // path; empty means the one that runs
	WaitMillis int64  `json:"waitMillis,omitzero"` // for the new process to be ready; zero means half a minute more than an upstream may take
	Now        bool   `json:"now,omitzero"`        // an earlier process that still drains is ended first
}

// Upgraded is what a successful upgrade answers.
type Upgraded struct {
	PID      int       `json:"pid"` // of the new process
	Version  string    `json:"version"`
	Replaced int       `json:"replaced"` // process id of the old one
	Until    time.Time `json:"until"`    // when the old one ends at the latest
}

// Replaced is the process that the node's has replaced, while it still drains.
type Replaced struct {
	PID      int       `json:"pid"`
	Sessions int       `json:"sessions"`
	Calls    int       `json:"calls"`
	Until    time.Time `json:"until"` // when it ends at the latest
}

// Status is the answer of PathStatus: the node as it is at this moment.
type Status struct {
	Version   string     `json:"version"`
	PID       int        `json:"pid"`
	Started   time.Time  `json:"started"`
	Ready     bool       `json:"ready"`
	Replaces  *Replaced  `json:"replaces,omitzero"`
	Draining  bool       `json:"draining"`
	Health    string     `json:"health"`   // healthy, degraded, unhealthy, unknown
	Endpoint  string     `json:"endpoint"` // URL of /mcp
	Admin     string     `json:"admin"`    // URL of the admin listener
	Data      string     `json:"data"`     // data directory
	Calls     int        `json:"calls"`    // running now
	Hidden    []string   `json:"hidden"`   // names and URIs that lost a collision, and why
	Upstreams []Upstream `json:"upstreams"`
	// Goroutines is how many the process has: a leak shows here first.
	Goroutines int `json:"goroutines"`
	// Shed is what the node has left undone for want of room, and how often.
	Shed map[string]uint64 `json:"shed"`
	// Components are what is watched, upstreams included.
	Components []Component `json:"components"`
	Config     *Config     `json:"config,omitzero"` // nil for a node without a file
}

// Upstream is what a node knows of one upstream.
type Upstream struct {
	Name      string    `json:"name"`
	State     string    `json:"state"` // idle, starting, ready, restarting, failed, stopped
	Since     time.Time `json:"since"` // when State began
	LastError string    `json:"lastError,omitzero"`
	Restarts  int       `json:"restarts"`
	PID       int       `json:"pid,omitzero"` // of the child
	Era       string    `json:"era"`
	Version   string    `json:"protocolVersion,omitzero"` // empty until the first connection
	Tools     int       `json:"tools"`
	Instances int       `json:"instances"` // connections of single callers
	// Connections are the shared ones, then those of single callers.
	Connections []Connection   `json:"connections"`
	Load        Load           `json:"load"`
	Limits      []Limit        `json:"limits,omitempty"`    // of the child
	LimitHits   map[string]int `json:"limitHits,omitempty"` // limit -> how often a child has reached it
	// Faults counts what a child has done that the protocol does not have, by what it was.
	Faults        map[string]uint64 `json:"faults,omitempty"`
	StderrDropped uint64            `json:"stderrDropped,omitzero"` // lines of children's standard error that were not logged
	Breaker       Breaker           `json:"breaker"`
	Drained       bool              `json:"drained"`  // takes no new calls
	Endpoint      string            `json:"endpoint"` // URL of /mcp/NAME
}

// Connection is one connection of an upstream, and with it a child or a session.
type Connection struct {
	Owner    string `json:"owner,omitzero"` // subject of the one caller whose it is
	Own      bool   `json:"own"`            // it is one caller's
	State    string `json:"state"`          // as of upstreams
	PID      int    `json:"pid,omitzero"`
	Calls    int    `json:"calls"` // running
	Restarts int    `json:"restarts"`
}

// Load is what an upstream has to do.
type Load struct {
	Running int    `json:"running"` // calls
	Max     int    `json:"max"`     // that may run at one time
	Queued  int    `json:"queued"`  // calls that wait for one of them to end
	Queue   int    `json:"queue"`   // that may wait
	Refused uint64 `json:"refused"` // calls, since the start
}

// Limit is a limit of a child, and who sees to it.
type Limit struct {
	Limit string `json:"limit"` // as in the config, such as memory
	Value string `json:"value"`
	By    string `json:"by"` // cgroup v2, cgroup v1, rlimit, watched, or nothing: REASON
}

// Breaker is the circuit breaker of an upstream.
type Breaker struct {
	State     string    `json:"state"` // closed, open, half-open
	Since     time.Time `json:"since"`
	Forced    bool      `json:"forced"` // by an operator
	Opened    int       `json:"opened"` // how often it has opened by itself
	OpenTools []string  `json:"openTools,omitempty"`
}

// Health is the answer of PathLive, PathReady, PathStartup and PathHealth.
type Health struct {
	Status     string      `json:"status"` // ok, degraded or unavailable
	Reason     string      `json:"reason,omitzero"`
	Components []Component `json:"components"`
}

// Component is something that a node watches.
type Component struct {
	Name     string    `json:"name"`
	State    string    `json:"state"` // healthy, degraded, unhealthy, unknown
	Since    time.Time `json:"since"`
	Critical bool      `json:"critical,omitzero"`
	Reason   string    `json:"reason,omitzero"` // only in PathStatus
}

// States of [Health].
const (
	OK          = "ok"
	Degraded    = "degraded"
	Unavailable = "unavailable"
)
