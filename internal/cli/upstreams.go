package cli

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/fairlead-mcp/fairlead/internal/adminapi"
)

type upstreamsCmd struct {
	Names  []string `arg:"" optional:"" name:"name" help:"Only these upstreams."`
	JSON   bool     `name:"json" help:"Print JSON."`
	Data   string   `placeholder:"DIR" help:"Data directory of the node."`
	Socket string   `placeholder:"PATH" help:"Admin socket of the node."`
}

func (*upstreamsCmd) Help() string {
	return "Shows of each upstream its state, since when and why, its connections, breaker, queue, limits and last error.\n\nExample:\n  fairlead upstreams files"
}

// Run shows all that the node knows of its upstreams.
func (cmd *upstreamsCmd) Run(ctx context.Context, a *app) error {
	st, err := a.admin(cmd.Data, cmd.Socket).Status(ctx)
	if err != nil {
		return err
	}
	list := st.Upstreams
	if len(cmd.Names) > 0 {
		list = nil
		for _, name := range cmd.Names {
			i := slices.IndexFunc(st.Upstreams, func(u adminapi.Upstream) bool { return u.Name == name })
			if i < 0 {
				return failed(`"fairlead status" lists the upstreams`, "the node has no upstream %q", name)
			}
			list = append(list, st.Upstreams[i])
		}
	}
	if cmd.JSON {
		return a.asJSON(slices.Concat([]adminapi.Upstream{}, list))
	}
	health := map[string]adminapi.Component{}
	for _, c := range st.Components {
		health[c.Name] = c
	}
	var errs []error
	for i, u := range list {
		if i > 0 {
			fmt.Fprintln(a.stdout)
		}
		errs = append(errs, a.asText(u.Name+" "+state(u)+" "+lasting(u.Since)), a.columns(upstreamRows(u, health["upstream "+u.Name])))
	}
	return errors.Join(errs...)
}

// lasting says how long something has been so.
func lasting(since time.Time) string {
	return "for " + time.Since(since).Round(time.Second).String()
}

// upstreamRows are the lines about one upstream, indented by an empty column. What
// there is nothing to say of is left out.
func upstreamRows(u adminapi.Upstream, health adminapi.Component) (rows [][]string) {
	add := func(what, text string) {
		if text != "" {
			rows = append(rows, []string{"", what, text})
		}
	}
	if health.State != "" {
		text := health.State + " " + lasting(health.Since)
		if health.Reason != "" {
			text += ": " + health.Reason
		}
		add("health", text)
	}
	add("last error", u.LastError)
	add("endpoint", u.Endpoint)
	if u.Version != "" {
		add("protocol", u.Version+", "+count(u.Tools, "tool"))
	}
	add("restarts", fmt.Sprint(u.Restarts))
	for _, c := range u.Connections {
		text := c.State
		if c.Own {
			text += ", of one caller"
			if c.Owner != "" {
				text = c.State + ", of " + c.Owner
			}
		}
		if c.PID != 0 {
			text += fmt.Sprintf(", pid %d", c.PID)
		}
		add("connection", fmt.Sprintf("%s, %s running, %s", text, count(c.Calls, "call"), count(c.Restarts, "restart")))
	}
	b := breaker(u.Breaker) + " " + lasting(u.Breaker.Since)
	if u.Breaker.Opened > 0 {
		b += fmt.Sprintf(", opened %d times", u.Breaker.Opened)
	}
	if len(u.Breaker.OpenTools) > 0 {
		b += ": " + strings.Join(u.Breaker.OpenTools, ", ")
	}
	add("breaker", b)
	add("calls", fmt.Sprintf("%d of %d running, %d of %d waiting, %d refused", u.Load.Running, u.Load.Max, u.Load.Queued, u.Load.Queue, u.Load.Refused))
	for _, l := range u.Limits {
		text := fmt.Sprintf("%s %s, by %s", l.Limit, l.Value, l.By)
		if n := u.LimitHits[l.Limit]; n > 0 {
			text += fmt.Sprintf(", reached %d times", n)
		}
		add("limit", text)
	}
	for _, what := range slices.Sorted(maps.Keys(u.Faults)) {
		add("fault", fmt.Sprintf("%s, %d times", what, u.Faults[what]))
	}
	return rows
}
