package peers

import (
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/fairlead-mcp/fairlead/mcp/mcptest/wirecheck"
)

// Front returns an address that passes everything on to the server at addr. What the
// side of ours sends is held against the schema of its revision at the end of the test;
// problems with one of the texts of but in them are known.
func Front(t *testing.T, addr string, ours wirecheck.Side, but ...string) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	tap := wirecheck.New()
	go tap.Forward(ln, addr) // until the test ends, or its last connection
	t.Cleanup(func() {
		_ = ln.Close()
		checked(t, tap, ours, but...)
	})
	return ln.Addr().String()
}

// checked reports what does not fit, and that there was something to look at.
func checked(t *testing.T, tap *wirecheck.Tap, side wirecheck.Side, but ...string) {
	t.Helper()
	report := tap.Check(side)
	for _, problem := range report.Problems {
		if !slices.ContainsFunc(but, func(known string) bool { return strings.Contains(problem, known) }) {
			t.Errorf("schema: %s", problem)
		}
	}
	if len(report.Seen) == 0 && !t.Failed() {
		t.Errorf("schema: the %s sent nothing that could be checked", side)
	}
}

// wireEnv names the file that a wrapped child records to.
const wireEnv = "FAIRLEAD_TEST_WIRE"

// WrapChild makes a stdio server one whose pipes are recorded: it returns the command,
// arguments and variable to start instead. What its client sends is held against the
// schema at the end of the test. The test's TestMain has to call [RunWrapped] first.
func WrapChild(t *testing.T, command string, args ...string) (wrapped string, wrappedArgs []string, env map[string]string) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	wire := filepath.Join(t.TempDir(), "wire")
	t.Cleanup(func() {
		tap, err := wirecheck.FromFile(wire)
		if err != nil {
			t.Errorf("schema: %v", err)
			return
		}
		checked(t, tap, wirecheck.Client)
	})
	return self, append([]string{command}, args...), map[string]string{wireEnv: wire}
}

// RunWrapped is the wrapped child, where this process is to be one: it does not
// return then.
func RunWrapped() {
	wire := os.Getenv(wireEnv)
	if wire == "" {
		return
	}
	tap, err := wirecheck.ToFile(wire)
	if err != nil {
		panic(err)
	}
	in, out := tap.Pipes(wirecheck.Server, os.Stdin, os.Stdout)
	cmd := exec.Command(os.Args[1], os.Args[2:]...)
	cmd.Stdout, cmd.Stderr = out, os.Stderr
	stdin, err := cmd.StdinPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		panic(err)
	}
	go func() { // until the client closes the pipe, or this process ends with the server
		_, _ = io.Copy(stdin, in)
		_ = stdin.Close()
	}()
	code := 0
	if err := cmd.Wait(); err != nil {
		code = 1
		if exit, ok := errors.AsType[*exec.ExitError](err); ok {
			code = max(exit.ExitCode(), 1)
		}
	}
	os.Exit(code)
}
