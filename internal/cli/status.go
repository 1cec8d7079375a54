package cli

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/fairlead-mcp/fairlead/internal/adminapi"
)

type statusCmd struct {
	JSON   bool   `name:"json" help:"Print JSON."`
	Data   string `placeholder:"DIR" help:"Data directory of the node."`
	Socket string `placeholder:"PATH" help:"Admin socket of the node."`
}

// admin returns a client of the node with a data directory or socket.
func (a *app) admin(data, socket string) *adminapi.Client {
	if socket == "" {
		socket = a.socket(data)
	}
	return adminapi.NewClient(socket)
}

func (*statusCmd) Help() string { return "Example:\n  fairlead status --json" }

// Run shows the node that runs with the data directory.
func (cmd *statusCmd) Run(ctx context.Context, a *app) error {
	st, err := a.admin(cmd.Data, cmd.Socket).Status(ctx)
	if err != nil {
		return err
	}
	if cmd.JSON {
		return a.asJSON(st)
	}
	node := "not ready"
	switch {
	case st.Draining:
		node = "draining"
	case st.Ready:
		node = "ready"
	}
	if st.Health != "healthy" {
		node += ", " + st.Health
	}
	fmt.Fprintf(a.stdout, "node      %s, up %s, version %s, pid %d\n", node, time.Since(st.Started).Round(time.Second), st.Version, st.PID)
	fmt.Fprintf(a.stdout, "endpoint  %s\nadmin     %s\ncalls     %d running\n", st.Endpoint, st.Admin, st.Calls)
	if c := st.Config; c != nil {
		fmt.Fprintf(a.stdout, "config    %s, since %s by %s\n", printable(c.File), time.Since(c.Loaded).Round(time.Second), printable(c.By))
		if c.RolledBack != 0 {
			fmt.Fprintf(a.stdout, "          rolled back to generation %d; the file does not count until it changes, or a reload\n", c.RolledBack)
		}
		for _, name := range c.Changing {
			fmt.Fprintf(a.stdout, "          %s is being replaced\n", name)
		}
	}
	if r := st.Replaces; r != nil {
		fmt.Fprintf(a.stdout, "replaces  pid %d, which drains %d sessions and %d calls until %s at the latest\n", r.PID, r.Sessions, r.Calls, r.Until.Local().Format(time.TimeOnly))
	}
	fmt.Fprintln(a.stdout)
	rows := [][]string{{"UPSTREAM", "STATE", "SINCE", "TOOLS", "INSTANCES", "RESTARTS", "CALLS", "BREAKER", "PID", "PROTOCOL", "LAST ERROR"}}
	for _, u := range st.Upstreams {
		pid := "-"
		if u.PID != 0 {
			pid = strconv.Itoa(u.PID)
		}
		protocol := u.Version
		if protocol == "" {
			protocol = "-"
		}
		rows = append(rows, []string{u.Name, state(u), time.Since(u.Since).Round(time.Second).String(), strconv.Itoa(u.Tools), instances(u.Connections), strconv.Itoa(u.Restarts), load(u.Load), breaker(u.Breaker), pid, protocol, u.LastError})
	}
	if err := a.columns(rows); err != nil {
		return err
	}
	for _, l := range limits(st.Upstreams) {
		if err := a.asText(l); err != nil {
			return err
		}
	}
	for _, work := range slices.Sorted(maps.Keys(st.Shed)) {
		if n := st.Shed[work]; n > 0 {
			if err := a.asText(fmt.Sprintf("shed: %s, %d times", work, n)); err != nil {
				return err
			}
		}
	}
	for _, c := range st.Components {
		if c.State == "unhealthy" || c.State == "degraded" {
			if err := a.asText(c.Name + " is " + c.State + ": " + c.Reason); err != nil {
				return err
			}
		}
	}
	for _, h := range st.Hidden {
		if err := a.asText("hidden: " + h); err != nil {
			return err
		}
	}
	return nil
}

// instances says how many of the shared connections are ready, and how many callers have
// one of their own.
func instances(list []adminapi.Connection) string {
	ready, shared, own := 0, 0, 0
	for _, c := range list {
		switch {
		case c.Own:
			own++
		case c.State == "ready":
			ready++
			fallthrough
		default:
			shared++
		}
	}
	s := fmt.Sprintf("%d/%d", ready, shared)
	if own > 0 {
		s += fmt.Sprintf(" +%d", own)
	}
	return s
}

// state says how an upstream is, and whether it takes calls.
func state(u adminapi.Upstream) string {
	switch {
	case !u.Drained:
		return u.State
	case u.Load.Running > 0:
		return u.State + ", draining"
	}
	return u.State + ", drained"
}

// load says how many calls run of those that may, and how many wait.
func load(l adminapi.Load) string {
	s := fmt.Sprintf("%d/%d", l.Running, l.Max)
	if l.Queued > 0 {
		s += fmt.Sprintf(" +%d waiting", l.Queued)
	}
	return s
}

// limits says for each child which limits it has and who sees to them, once for
// those that have the same; and which were reached.
func limits(list []adminapi.Upstream) (lines []string) {
	names := map[string][]string{} // limits -> upstreams
	var order []string
	for _, u := range list {
		var parts []string
		for _, l := range u.Limits {
			parts = append(parts, fmt.Sprintf("%s %s (%s)", l.Limit, l.Value, l.By))
		}
		if text := strings.Join(parts, ", "); text != "" {
			if names[text] == nil {
				order = append(order, text)
			}
			names[text] = append(names[text], u.Name)
		}
	}
	for _, text := range order {
		lines = append(lines, fmt.Sprintf("limits of %s: %s", strings.Join(names[text], ", "), text))
	}
	for _, u := range list {
		for _, limit := range slices.Sorted(maps.Keys(u.LimitHits)) {
			lines = append(lines, fmt.Sprintf("%s has reached limits.%s, %d times", u.Name, limit, u.LimitHits[limit]))
		}
	}
	return lines
}
