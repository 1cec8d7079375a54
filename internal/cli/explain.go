package cli

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/fairlead-mcp/fairlead/internal/adminapi"
)

type explainCmd struct {
	ID     string `arg:"" optional:"" help:"Request id, as an error of the node or its log tells it; without one, the last calls."`
	JSON   bool   `help:"As JSON."`
	Data   string `placeholder:"DIR" help:"Data directory of the node."`
	Socket string `placeholder:"PATH" help:"Admin socket of the node."`
}

func (*explainCmd) Help() string { return "Example:\n  fairlead explain\n  fairlead explain k7wq2m-1f" }

// Run shows what each stage decided about a call.
func (cmd *explainCmd) Run(ctx context.Context, a *app) error {
	c := a.admin(cmd.Data, cmd.Socket)
	if cmd.ID == "" {
		list, err := c.Calls(ctx)
		if err != nil {
			return err
		}
		return cmd.list(a, list)
	}
	call, err := c.Call(ctx, cmd.ID)
	if errors.Is(err, adminapi.ErrNotFound) {
		return failed(`"fairlead explain" lists the calls that the node remembers`, "the node does not remember a call %q: it has not ended, or was long ago", cmd.ID)
	}
	if err != nil {
		return err
	}
	if cmd.JSON {
		return a.asJSON(call)
	}
	fmt.Fprintf(a.stdout, "call      %s %s\nrequest   %s, began %s, took %s\n", call.Method, printable(call.Name), call.ID, call.Began.Format(time.RFC3339), micros(call.TookMicros))
	if call.Principal != "" {
		fmt.Fprintf(a.stdout, "caller    %s\n", printable(call.Principal))
	}
	if call.Upstream != "" {
		fmt.Fprintf(a.stdout, "upstream  %s\n", call.Upstream)
	}
	fmt.Fprintf(a.stdout, "end       %s\n\n", printable(end(call)))
	rows := [][]string{{"STAGE", "DECISION", "TOOK", "RULE"}}
	for _, d := range call.Decisions {
		decision := "pass"
		if !d.OK {
			decision = "end"
		}
		rows = append(rows, []string{d.Stage, decision, micros(d.TookMicros), printable(d.Rule)})
	}
	return a.columns(rows)
}

func (cmd *explainCmd) list(a *app, list []adminapi.Call) error {
	if cmd.JSON {
		return a.asJSON(list)
	}
	rows := [][]string{{"REQUEST", "BEGAN", "TOOK", "METHOD", "NAME", "UPSTREAM", "END"}}
	for i := range list {
		c := &list[i]
		rows = append(rows, []string{c.ID, c.Began.Format(time.TimeOnly), micros(c.TookMicros), c.Method, printable(c.Name), c.Upstream, printable(end(c))})
	}
	return a.columns(rows)
}

func end(c *adminapi.Call) string {
	if c.Error == "" {
		return "answered"
	}
	return c.Error
}

func micros(n int64) string { return (time.Duration(n) * time.Microsecond).String() }

// breaker says in a few words what a breaker is.
func breaker(b adminapi.Breaker) string {
	text := b.State
	if b.Forced {
		text += " (forced)"
	}
	if n := len(b.OpenTools); n > 0 {
		text += ", " + strconv.Itoa(n) + " tools open"
	}
	return text
}
