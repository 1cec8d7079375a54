package cli_test

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/fairlead-mcp/fairlead/internal/adminapi"
	"github.com/fairlead-mcp/fairlead/internal/cli"
)

// The scripts run the test binary under the name fairlead, children included.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"fairlead": func() { os.Exit(cli.Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) },
	})
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(env *testscript.Env) error {
			home := filepath.Join(env.WorkDir, "home")
			env.Setenv("HOME", home)
			env.Setenv("GORACE", "atexit_sleep_ms=0") // each command would end a second later
			return os.Mkdir(home, 0o700)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"ready": ready,
			"lacks": lacks,
			"term":  term,
			"hup":   hup,

			"without": without,
			"gone":    gone,
			"crash":   crash,
			"halt":    halt,
		},
	})
}

// ready DIR [UPSTREAM] waits until the node with this data directory has its
// upstreams ready, or the one named; another process has no event to wait for.
func ready(ts *testscript.TestScript, _ bool, args []string) {
	client := adminapi.NewClient(filepath.Join(ts.MkAbs(args[0]), "admin.sock"))
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(30 * time.Second); ; <-tick.C {
		st, err := client.Status(context.Background())
		if err == nil && st.Ready && allReady(st.Upstreams, args[1:]) {
			ts.Setenv("ENDPOINT", st.Endpoint)
			ts.Setenv("CHILD", strconv.Itoa(st.Upstreams[0].PID))
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("the node is not ready after 30 s: %v", err)
		}
	}
}

// without UPSTREAM DIR waits until the node with this data directory has it no more.
func without(ts *testscript.TestScript, _ bool, args []string) {
	client := adminapi.NewClient(filepath.Join(ts.MkAbs(args[1]), "admin.sock"))
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(30 * time.Second); ; <-tick.C {
		st, err := client.Status(context.Background())
		if err == nil && !slices.ContainsFunc(st.Upstreams, func(u adminapi.Upstream) bool { return u.Name == args[0] }) {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("the node still has %s after 30 s: %v", args[0], err)
		}
	}
}

func allReady(upstreams []adminapi.Upstream, only []string) bool {
	for _, u := range upstreams {
		if u.State != "ready" && (len(only) == 0 || slices.Contains(only, u.Name)) {
			return false
		}
	}
	return true
}

// lacks FILE TEXT fails when the file contains the text.
func lacks(ts *testscript.TestScript, _ bool, args []string) {
	if strings.Contains(ts.ReadFile(args[0]), args[1]) {
		ts.Fatalf("%s contains %q", args[0], args[1])
	}
}

// term sends SIGTERM to the background command that was started last.
func term(ts *testscript.TestScript, _ bool, _ []string) {
	cmds := ts.BackgroundCmds()
	ts.Check(cmds[len(cmds)-1].Process.Signal(syscall.SIGTERM))
}

// hup sends SIGHUP to the background command that was started last.
func hup(ts *testscript.TestScript, _ bool, _ []string) {
	cmds := ts.BackgroundCmds()
	ts.Check(cmds[len(cmds)-1].Process.Signal(syscall.SIGHUP))
}

// crash kills the background command that was started last, as kill -9 does.
func crash(ts *testscript.TestScript, _ bool, _ []string) {
	cmds := ts.BackgroundCmds()
	ts.Check(cmds[len(cmds)-1].Process.Kill())
}

// gone PID waits until there is no such process; a zombie counts as none, since
// the system's first process may be slow to collect it.
func gone(ts *testscript.TestScript, _ bool, args []string) {
	pid, err := strconv.Atoi(args[0])
	ts.Check(err)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(30 * time.Second); syscall.Kill(pid, 0) == nil; <-tick.C {
		stat, err := os.ReadFile("/proc/" + args[0] + "/stat")
		if err == nil && strings.Contains(string(stat), ") Z ") {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("process %d is still there after 30 s", pid)
		}
	}
}

// halt DIR ends the node with this data directory, whose process the script has not started.
func halt(ts *testscript.TestScript, _ bool, args []string) {
	client := adminapi.NewClient(filepath.Join(ts.MkAbs(args[0]), "admin.sock"))
	st, err := client.Status(context.Background())
	ts.Check(err)
	ts.Check(syscall.Kill(st.PID, syscall.SIGTERM))
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(30 * time.Second); ; <-tick.C {
		if _, err := client.Status(context.Background()); err != nil {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("the node has not ended")
		}
	}
}
