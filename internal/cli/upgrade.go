package cli

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/fairlead-mcp/fairlead/internal/adminapi"
)

type upgradeCmd struct {
	Program string        `arg:"" optional:"" placeholder:"PATH" help:"The new program; without one, what now is at the path of the running one."`
	Wait    time.Duration `help:"Longest time for the new process to be ready; without it, half a minute more than an upstream may take."`
	Now     bool          `help:"End a process that still drains since the last upgrade first."`
	JSON    bool          `name:"json" help:"As JSON."`
	Data    string        `placeholder:"DIR" help:"Data directory of the node."`
	Socket  string        `placeholder:"PATH" help:"Admin socket of the node."`
}

func (*upgradeCmd) Help() string {
	return "The new process reads the config, starts its upstreams, and takes over when they are ready. Until then, and if that fails, the running one serves.\n\nExamples:\n  fairlead upgrade\n  fairlead upgrade /opt/fairlead-2.1/fairlead"
}

// Run replaces the process of the node that runs with the data directory.
func (cmd *upgradeCmd) Run(ctx context.Context, a *app) error {
	u := adminapi.Upgrade{WaitMillis: cmd.Wait.Milliseconds(), Now: cmd.Now}
	if cmd.Program != "" {
		path, err := filepath.Abs(cmd.Program)
		if err != nil {
			return err
		}
		u.Program = path
	}
	out, err := a.admin(cmd.Data, cmd.Socket).Upgrade(ctx, u)
	if _, refused := errors.AsType[*adminapi.Refused](err); refused {
		return failed("the running process goes on as it was; mend this and try again", "not upgraded: %w", err)
	}
	if err != nil {
		return err
	}
	if cmd.JSON {
		return a.asJSON(out)
	}
	return a.asText(fmt.Sprintf("upgraded: process %d, version %s; process %d drains until %s at the latest", out.PID, out.Version, out.Replaced, out.Until.Local().Format(time.TimeOnly)))
}
