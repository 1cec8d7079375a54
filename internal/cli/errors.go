package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"

	"github.com/fairlead-mcp/fairlead/internal/adminapi"
	"github.com/fairlead-mcp/fairlead/internal/config"
	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/mcp/jsonrpc"
)

// The exit codes. "fairlead --help" documents them.
const (
	exitOK          = 0
	exitFailed      = 1 // what was asked for did not work
	exitUsage       = 2 // the command line is wrong
	exitUnreachable = 3 // the node or server cannot be reached
	exitToolError   = 4 // the tool ran and reported an error
)

// failure is an error with an exit code and the next step.
type failure struct {
	code int
	err  error
	hint string
}

func (f *failure) Error() string { return f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

func failed(hint, format string, args ...any) error {
	return &failure{exitFailed, fmt.Errorf(format, args...), hint}
}

func misused(hint, format string, args ...any) error {
	return &failure{exitUsage, fmt.Errorf(format, args...), hint}
}

func unreachable(hint, format string, args ...any) error {
	return &failure{exitUnreachable, fmt.Errorf(format, args...), hint}
}

// report prints err with its hint and returns the exit code.
func report(w io.Writer, err error) int {
	if err == nil {
		return exitOK
	}
	f := diagnose(err)
	var list config.Errors
	if errors.As(f.err, &list) {
		// Each line has its place and its own next step.
		fmt.Fprintln(w, printable(f.err.Error()))
	} else {
		fmt.Fprintf(w, "fairlead: %s\n", printable(f.err.Error()))
	}
	fmt.Fprintf(w, "hint: %s\n", f.hint)
	return f.code
}

// diagnose finds exit code and next step for errors that come without.
func diagnose(err error) *failure {
	var f *failure
	var list config.Errors
	var network net.Error
	var syscallErr *net.OpError
	switch {
	case errors.As(err, &f):
		return f
	case errors.As(err, &list):
		return &failure{exitFailed, err, `mend the lines above and run "fairlead check" again`}
	case errors.Is(err, context.Canceled):
		return &failure{exitFailed, errors.New("interrupted"), "run the command again to start over"}
	case loginHint(err) != "":
		return &failure{exitFailed, err, loginHint(err)}
	case refusedConfig(err) != nil:
		return &failure{exitFailed, refusedConfig(err), `nothing has changed; mend it and run "fairlead config reload" again`}
	case errors.Is(err, adminapi.ErrUnreachable):
		return &failure{exitUnreachable, err, `start a node with "fairlead serve", or name its data directory with --data`}
	case mcp.IsWireError(err):
		return &failure{exitFailed, err, wireHint(err)}
	case errors.Is(err, exec.ErrNotFound), errors.Is(err, os.ErrNotExist):
		return &failure{exitUnreachable, err, "check the path and the spelling"}
	case errors.Is(err, context.DeadlineExceeded):
		return &failure{exitUnreachable, err, "the server did not answer in time; raise --timeout if it needs longer"}
	case errors.As(err, &syscallErr), errors.As(err, &network), errors.Is(err, mcp.ErrClosed):
		return &failure{exitUnreachable, err, "check the address, and that the server is running"}
	default:
		return &failure{exitFailed, err, `"fairlead --help" lists the commands`}
	}
}

// wireHint says what to do about an error that the peer has sent. A node says in
// data.class what kind of failure it is (docs/errors.md).
func wireHint(err error) string {
	var e *mcp.Error
	if errors.As(err, &e) && jsonrpc.Valid(e.Data, nil) == nil {
		switch class, _ := jsonrpc.Unquote(jsonrpc.Get(e.Data, "class")); class {
		case "upstream_unavailable", "upstream_protocol_error":
			return `"fairlead status" shows how the upstream is; it may be back in a moment`
		case "overloaded":
			return "try again in a moment"
		case "timeout":
			return "the upstream may still be working on it; raise its timeout in the config if it needs longer"
		}
	}
	return `the server answered with this error; "fairlead tools" lists what it has`
}

// printable makes text from elsewhere safe to show on a terminal: control
// characters (escape sequences) and marks that turn the direction of writing
// are shown as they would stand in Go source.
func printable(s string) string {
	hostile := func(r rune) bool {
		return r < 0x20 && r != '\n' && r != '\t' || r >= 0x7f && r <= 0x9f ||
			r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069 || r == 0x200e || r == 0x200f || r == 0xfffd
	}
	if !strings.ContainsFunc(s, hostile) {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		if hostile(r) {
			fmt.Fprintf(&b, "\\u%04x", r)
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}
