// Package cli is the command line: a table of commands (table.go), one file a
// command, output for people and as JSON, and errors that end with the next step.
//
//	os.Exit(cli.Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
package cli
