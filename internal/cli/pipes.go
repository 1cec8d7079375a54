package cli

import (
	"context"
	"errors"
	"os"

	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/mcp/stdio"
)

// serveStdio serves h on the command's standard streams until the client ends
// them or a person interrupts.
func (a *app) serveStdio(ctx context.Context, h mcp.Handler) error {
	var err error
	if a.stdin == os.Stdin && a.stdout == os.Stdout {
		err = stdio.Serve(ctx, h, nil) // which can be interrupted while it reads
	} else {
		err = stdio.ServeConn(ctx, h, a.stdin, a.stdout, nil)
	}
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}
