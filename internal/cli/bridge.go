package cli

import (
	"context"
	"time"
)

type bridgeCmd struct {
	URL       string `arg:"" help:"Address of the server, as in http://127.0.0.1:8080/mcp."`
	httpFlags `embed:""`
}

func (*bridgeCmd) Help() string {
	return "For clients that only start programs: they start this one, and reach the server at URL, whatever revision each of them speaks.\n\nExample:\n  fairlead bridge http://127.0.0.1:8080/mcp"
}

// Run serves standard input and output until the input ends.
func (cmd *bridgeCmd) Run(ctx context.Context, a *app) error {
	remote, err := cmd.dial(cmd.URL)
	if err != nil {
		return err
	}
	err = a.serveStdio(ctx, remote)
	// The client has gone; its remote session still deserves an end.
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	_ = remote.Close(end)
	return err
}
