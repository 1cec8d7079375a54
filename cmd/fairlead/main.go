// Fairlead puts any MCP servers behind one endpoint. See "fairlead --help".
package main

import (
	"os"

	"github.com/fairlead-mcp/fairlead/internal/cli"
)

func main() { os.Exit(cli.Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }
