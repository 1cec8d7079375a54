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
	PathStatus = "/admin/v1/status"
)

// Status is the answer of PathStatus: the node as it is at this moment.
type Status struct {
	Version   string     `json:"version"`
	PID       int        `json:"pid"`
	Started   time.Time  `json:"started"`
	Ready     bool       `json:"ready"`
	Draining  bool       `json:"draining"`
	Endpoint  string     `json:"endpoint"` // URL of /mcp
	Admin     string     `json:"admin"`    // URL of the admin listener
	Calls     int        `json:"calls"`    // running now
	Hidden    []string   `json:"hidden"`   // names and URIs that lost a collision, and why
	Upstreams []Upstream `json:"upstreams"`
}

// Upstream is what a node knows of one upstream.
type Upstream struct {
	Name      string    `json:"name"`
	State     string    `json:"state"` // starting, ready, restarting, failed, stopped
	Since     time.Time `json:"since"` // when State began
	LastError string    `json:"lastError,omitzero"`
	Restarts  int       `json:"restarts"`
	PID       int       `json:"pid,omitzero"` // of the child
	Era       string    `json:"era"`
	Version   string    `json:"protocolVersion,omitzero"` // empty until the first connection
	Tools     int       `json:"tools"`
	Endpoint  string    `json:"endpoint"` // URL of /mcp/NAME
}

// Health is the answer of PathLive, PathReady and PathHealth.
type Health struct {
	Status string  `json:"status"` // ok, degraded or unavailable
	Checks []Check `json:"checks"`
}

// States of [Health] and [Check].
const (
	OK          = "ok"
	Degraded    = "degraded"
	Unavailable = "unavailable"
)

// Check is one thing that was looked at.
type Check struct {
	Name   string `json:"name"`
	Status string `json:"status"`
	Detail string `json:"detail,omitzero"`
}
