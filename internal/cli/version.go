package cli

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/fairlead-mcp/fairlead/mcp"
)

type versionCmd struct {
	JSON bool `name:"json" help:"Print JSON."`
}

func (*versionCmd) Help() string { return "Example:\n  fairlead version --json" }

// Run prints what this binary is.
func (cmd *versionCmd) Run(a *app) error {
	info := struct {
		Version   string        `json:"version"`
		Revision  string        `json:"revision"`
		Go        string        `json:"go"`
		Platform  string        `json:"platform"`
		Protocols []mcp.Version `json:"protocols"`
	}{version(), revision(), runtime.Version(), runtime.GOOS + "/" + runtime.GOARCH, mcp.Versions()}
	if cmd.JSON {
		return a.asJSON(info)
	}
	_, err := fmt.Fprintf(a.stdout, "fairlead %s\nrevision %s\n%s %s\nprotocols %v\n", info.Version, info.Revision, info.Go, info.Platform, info.Protocols)
	return err
}

// version is the module version that the Go tool has written into the binary.
func version() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(devel)"
}

func revision() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				return s.Value
			}
		}
	}
	return "unknown"
}
