package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"
)

// app is what every command works with.
type app struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	lookup         func(name string) (string, bool) // the environment
	command        []string                         // what stood after --stdio
	kong           *kong.Kong
}

// Main runs the command line and returns the exit code.
func Main(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	a := &app{stdin: stdin, stdout: stdout, stderr: stderr, lookup: os.LookupEnv}
	return report(stderr, a.run(args))
}

// exited carries the exit code that kong asks for, after --help, up to run.
type exited int

func (a *app) run(args []string) (err error) {
	defer func() {
		switch v := recover().(type) {
		case nil:
		case exited:
			err = nil // only --help exits
		default:
			panic(v)
		}
	}()
	var table commands
	a.kong, err = kong.New(&table,
		kong.Name("fairlead"), kong.Description(description), kong.Writers(a.stdout, a.stderr),
		kong.Exit(func(code int) { panic(exited(code)) }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, NoExpandSubcommands: true, WrapUpperBound: 110}))
	if err != nil {
		return err
	}
	if len(args) == 0 {
		args = []string{"--help"}
	}
	args, a.command = splitCommand(args)
	parsed, err := a.kong.Parse(expandJSON(args))
	if err != nil {
		return a.misused(err)
	}
	if parsed.Selected() != nil && parsed.Selected().Name == "serve" {
		// A node takes its signals itself: the first drains, the second ends.
		parsed.BindTo(context.Background(), (*context.Context)(nil))
		return parsed.Run(a)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the program at once
	parsed.BindTo(ctx, (*context.Context)(nil))
	return parsed.Run(a)
}

// misused says what is wrong with the command line and where to read on.
func (a *app) misused(err error) error {
	hint := `"fairlead --help" lists the commands`
	var pe *kong.ParseError
	if errors.As(err, &pe) && pe.Context != nil && pe.Context.Selected() != nil {
		hint = fmt.Sprintf(`"fairlead %s --help" shows the flags`, pe.Context.Selected().Path())
		hint = strings.Replace(hint, "fairlead fairlead ", "fairlead ", 1)
	}
	return &failure{exitUsage, err, hint}
}

// splitCommand takes what follows --stdio away: it belongs to another program.
func splitCommand(args []string) (ours, command []string) {
	i := slices.Index(args, "--stdio")
	if i < 0 {
		return args, nil
	}
	return args[:i+1], args[i+1:]
}

// expandJSON writes "--json -" as the flags that it stands for: arguments from
// standard input and the result as JSON.
func expandJSON(args []string) []string {
	for i := 0; i+1 < len(args); i++ {
		if args[i] == "--json" && args[i+1] == "-" {
			return slices.Concat(args[:i], []string{"--json", "--input=-"}, args[i+2:])
		}
	}
	return args
}

// terminal reports whether v is a terminal, and a person can be asked.
func terminal(v any) bool {
	f, ok := v.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	if err != nil || info.Mode()&os.ModeCharDevice == 0 {
		return false
	}
	null, err := os.Stat(os.DevNull)
	return err == nil && !os.SameFile(info, null)
}
