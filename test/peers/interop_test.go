package peers

import (
	"context"
	"net"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/fairlead-mcp/fairlead/mcp/mcptest"
	"github.com/fairlead-mcp/fairlead/mcp/mcptest/wirecheck"
)

// featureTimeout bounds one feature of one cell. A broken one may need all of it.
const featureTimeout = 5 * time.Second

// hold compares what came of a cell with the table.
func hold(t *testing.T, c cell, run func(context.Context) error) {
	t.Helper()
	t.Run(string(c.feature), func(t *testing.T) {
		e := exceptionOf(c)
		switch {
		case run == nil && e == nil:
			t.Errorf("%+v: nothing to run, and the table does not say why", c)
			return
		case run == nil || e != nil && !e.broken:
			t.Skip(e.why)
		}
		if e != nil {
			if try(t, time.Second, run) == nil {
				t.Errorf("works, but the table says: %s", e.why)
			}
			return
		}
		var err error
		for attempt := range attempts {
			if err = try(t, featureTimeout, run); err == nil {
				return
			}
			t.Logf("attempt %d: %v", attempt+1, err)
		}
		t.Error(err)
	})
}

// attempts is how often a cell may be tried: peers lose a message now and then when
// a stream of theirs opens or ends. What we do wrong we do wrong each time.
const attempts = 3

func try(t *testing.T, timeout time.Duration, run func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	return run(ctx)
}

// TestInteropOurClient runs our client with every server, transport, revision and feature.
func TestInteropOurClient(t *testing.T) {
	needE2E(t)
	needNode(t)
	world := buildWorld(t)
	servers := map[string][]string{
		"go-sdk":            {world, "-kind", "gosdk"},
		"mcp-go":            {world, "-kind", "mcpgo"},
		"TypeScript SDK v1": {node(), filepath.Join(npmDir, "server.mjs"), "v1"},
		"TypeScript SDK v2": {node(), filepath.Join(npmDir, "server.mjs"), "v2"},
	}
	for peer, server := range servers {
		t.Run(peer, func(t *testing.T) {
			t.Parallel()
			addr := freeAddr(t)
			start(t, server[0], append(slices.Clone(server[1:]), "-addr", addr)...)
			wait(t, "the server", listening(addr))
			for _, transport := range transports {
				for _, revision := range revisions {
					t.Run(transport+" "+revision, func(t *testing.T) {
						c := cell{peer: peer, direction: ourClient, transport: transport, revision: revision}
						if none(c) {
							t.Skip("nothing in the table")
						}
						command, url := server, ""
						if transport == "http" {
							command, url = nil, "http://"+addr+"/mcp"
						}
						o := connectOurs(t, command, url, revision)
						for _, c.feature = range features {
							var run func(context.Context) error
							if f := ourFeatures[c.feature]; f != nil && (c.feature != resumption || o.cut != nil) {
								run = func(ctx context.Context) error { return f(ctx, o) }
							}
							hold(t, c, run)
						}
					})
				}
			}
		})
	}
}

// theirClients open a connection to our server and say what they can do.
var theirClients = map[string]func(t *testing.T, command []string, url, revision string) map[feature]func(context.Context) error{
	"go-sdk":            connectGoSDK,
	"mcp-go":            connectMCPGo,
	"TypeScript SDK v1": connectTypeScript("v1"),
	"TypeScript SDK v2": connectTypeScript("v2"),
}

// TestInteropOurServer runs every client, transport, revision and feature with our server.
func TestInteropOurServer(t *testing.T) {
	needE2E(t)
	needNode(t)
	world := buildWorld(t)
	for peer, connect := range theirClients {
		t.Run(peer, func(t *testing.T) {
			t.Parallel()
			for _, transport := range transports {
				for _, revision := range revisions {
					t.Run(transport+" "+revision, func(t *testing.T) {
						c := cell{peer: peer, direction: ourServer, transport: transport, revision: revision}
						if none(c) {
							t.Skip("nothing in the table")
						}
						command, url := serveWorld(t, world, transport)
						run := connect(t, command, url, revision)
						for _, c.feature = range features {
							hold(t, c, run[c.feature])
						}
					})
				}
			}
		})
	}
}

// serveWorld starts our server behind a recorder, or says how to start it, and
// checks in the end what it has sent.
func serveWorld(t *testing.T, world, transport string) (command []string, url string) {
	t.Helper()
	if transport == "stdio" {
		wire := filepath.Join(t.TempDir(), "wire")
		t.Cleanup(func() {
			tap, err := wirecheck.FromFile(wire)
			if err != nil {
				t.Error(err)
				return
			}
			for _, problem := range tap.Check(wirecheck.Server).Problems {
				t.Error(problem)
			}
		})
		return []string{world, "-kind", "fairlead", "-wire", wire}, ""
	}
	tap := mcptest.Tap(t, wirecheck.Server)
	addr := freeAddr(t)
	start(t, world, "-kind", "fairlead", "-addr", addr)
	wait(t, "the server", listening(addr))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go tap.Forward(l, addr) // ends with l and the connections to it
	t.Cleanup(func() { _ = l.Close() })
	return nil, "http://" + l.Addr().String() + "/mcp"
}

// none reports whether no feature is there, so that one need not connect.
func none(c cell) bool {
	for _, c.feature = range features {
		if e := exceptionOf(c); e == nil || e.broken {
			return false
		}
	}
	return true
}

func buildWorld(t *testing.T) string {
	t.Helper()
	bin := filepath.Join(t.TempDir(), "world")
	cmd := exec.Command("go", "build", "-o", bin, "./cmd/world")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return bin
}
