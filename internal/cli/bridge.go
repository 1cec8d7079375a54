package cli

import (
	"context"
	"fmt"

	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/mcp/jsonrpc"
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
	r, err := cmd.dial(a, cmd.URL, true, 0)
	if err != nil {
		return err
	}
	defer r.close(ctx) // the client has gone; its remote session still deserves an end
	return a.serveStdio(ctx, told{r, a})
}

// told is a handler that tells the person who runs it, and the client, why a server
// cannot be used without a login: clients show little of what goes wrong elsewhere.
type told struct {
	mcp.Handler
	a *app
}

// Handle implements [mcp.Handler].
func (t told) Handle(ctx context.Context, req *mcp.Request, sink mcp.Sink) (mcp.Result, error) {
	res, err := t.Handler.Handle(ctx, req, sink)
	if hint := loginHint(err); hint != "" {
		fmt.Fprintf(t.a.stderr, "fairlead: %s\nhint: %s\n", printable(err.Error()), hint)
		err = mcp.Errorf(jsonrpc.CodeInternalError, "%s; %s", printable(err.Error()), hint)
	}
	return res, err
}
