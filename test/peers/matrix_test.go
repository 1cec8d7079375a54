package peers

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/fairlead-mcp/fairlead/mcp/mcptest"
	"github.com/fairlead-mcp/fairlead/mcp/mcptest/wirecheck"
)

// aNode is a running `fairlead serve` in front of the upstreams of the matrix.
type aNode struct{ bin, addr, front string }

// TestMatrix runs every feature from clients of every revision to upstreams of
// every revision, through a node, over every transport.
func TestMatrix(t *testing.T) {
	needE2E(t)
	needNode(t)
	n := startNode(t)
	var walks sync.WaitGroup
	for _, u := range upstreams {
		walks.Go(func() { // not t.Parallel: they wait more than they compute
			t.Run(u.name(), func(t *testing.T) {
				for _, c := range clientsOf(u) { // one after the other: nobody says whose an old child's question is
					t.Run(c.name(), func(t *testing.T) { n.walk(t, c, u) })
				}
			})
		})
	}
	walks.Wait()
}

// token is that of all clients: a child of an old revision asks whoever it belongs to.
const token = "of the matrix"

// startNode runs a node in front of all upstreams.
func startNode(t *testing.T) *aNode {
	t.Helper()
	world := buildWorld(t)
	n := &aNode{bin: build(t, "../..", "./cmd/fairlead"), addr: freeAddr(t)}
	admin := freeAddr(t)
	var cfg strings.Builder
	fmt.Fprintf(&cfg, "listen: %s\nadmin: %s\ndata: %q\nauth: {tokens: [{name: matrix, hash: \"sha256:%x\"}]}\nupstreams:\n", n.addr, admin, t.TempDir(), sha256.Sum256([]byte(token)))
	for _, u := range upstreams {
		command := serverOf(t, world, u.peer)
		if u.transport == "http" {
			addr := freeAddr(t)
			start(t, command[0], append(command[1:], "-addr", addr)...)
			wait(t, u.name(), listening(addr))
			fmt.Fprintf(&cfg, "  %s: {url: %q}\n", u.name(), asOf(t, addr, u.revision))
			continue
		}
		if u.revision != "2026-07-28" {
			command = append([]string{world, "-revision", u.revision}, command...)
		}
		args, err := json.Marshal(command[1:])
		if err != nil {
			t.Fatal(err)
		}
		// What a child asks, it asks whoever it belongs to; what it tells, it tells all who share it.
		fmt.Fprintf(&cfg, "  %s: {command: %q, args: %s, instances: principal}\n", u.name(), command[0], args)
		fmt.Fprintf(&cfg, "  %s-shared: {command: %q, args: %s, instances: shared}\n", u.name(), command[0], args)
	}
	file := filepath.Join(t.TempDir(), "fairlead.yaml")
	if err := os.WriteFile(file, []byte(cfg.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	start(t, n.bin, "serve", "--config", file)
	n.front = behind(t, n.addr, func(r *http.Request, body []byte) ([]byte, error) {
		r.Header.Set("Authorization", "Bearer "+token)
		return body, nil
	})
	wait(t, "the node", func() bool {
		res, err := http.Get("http://" + admin + "/startupz")
		if err != nil {
			return false
		}
		res.Body.Close()
		return res.StatusCode == http.StatusOK
	})
	return n
}

// serverOf is the command that runs a peer's server.
func serverOf(t *testing.T, world, peer string) []string {
	t.Helper()
	script, err := filepath.Abs(filepath.Join(npmDir, "server.mjs"))
	if err != nil {
		t.Fatal(err)
	}
	interpreter, err := filepath.Abs(node())
	if err != nil {
		t.Fatal(err)
	}
	return map[string][]string{
		us:                  {world, "-kind", "fairlead"},
		"go-sdk":            {world, "-kind", "gosdk"},
		"mcp-go":            {world, "-kind", "mcpgo"},
		"TypeScript SDK v1": {interpreter, script, "v1"},
		"TypeScript SDK v2": {interpreter, script, "v2"},
	}[peer]
}

// asOf puts a proxy before an HTTP server that makes it one of an older revision:
// initialize reaches it with that revision, and it knows no server/discover.
func asOf(t *testing.T, addr, revision string) string {
	t.Helper()
	path := "/mcp"
	if revision == "2024-11-05" {
		path = "/sse"
	}
	front := behind(t, addr, func(r *http.Request, body []byte) ([]byte, error) {
		switch {
		case revision == "2026-07-28":
			return body, nil
		case bytes.Contains(body, []byte(`"method":"server/discover"`)):
			return nil, errors.New("no session")
		}
		return offering(body, revision), nil
	})
	// What the node sends to its upstreams is held against the schema.
	return "http://" + tapped(t, front, wirecheck.Client) + path
}

// tapped puts a recorder before an HTTP server and returns its address. What one side
// has sent is checked in the end.
func tapped(t *testing.T, addr string, side wirecheck.Side) string {
	t.Helper()
	tap := mcptest.Tap(t, side)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go tap.Forward(l, addr) // ends with l and the connections to it
	t.Cleanup(func() { _ = l.Close() })
	return l.Addr().String()
}

// behind puts a proxy before an HTTP server, that changes requests or refuses them,
// and returns its address.
func behind(t *testing.T, addr string, change func(r *http.Request, body []byte) ([]byte, error)) string {
	t.Helper()
	proxy := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: addr})
	proxy.FlushInterval = -1
	proxy.ErrorLog = log.New(io.Discard, "", 0) // clients leave
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// In whole, also where nothing changes: net/http closes the body when the answer
		// comes before it was read to its end, and the transport then breaks the stream.
		body, err := io.ReadAll(r.Body)
		if err == nil {
			body, err = change(r, body)
		}
		if err != nil {
			http.Error(w, "Bad Request: "+err.Error(), http.StatusBadRequest)
			return
		}
		r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
		proxy.ServeHTTP(w, r)
	})}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go server.Serve(l) // ends with Close
	t.Cleanup(func() { _ = server.Close() })
	return l.Addr().String()
}

// walk tries every feature with one client.
func (n *aNode) walk(t *testing.T, c, u end) {
	// What the node sends to its clients is held against the schema.
	base := "http://" + tapped(t, n.front, wirecheck.Server)
	run := n.connect(t, c, base, u.name())
	if u.transport == "stdio" {
		shared := n.connect(t, c, base, u.name()+"-shared")
		run[listChanged], run[subscribe] = shared[listChanged], shared[subscribe]
	}
	h := &hand{url: base + "/mcp/" + u.name(), revision: c.revision}
	for f, try := range map[feature]func(context.Context, *hand) error{
		batch: batched, hints: hinted, notFound: missed, trace: traced, mirror: mirrored,
	} {
		run[f] = func(ctx context.Context) error { return try(ctx, h) }
	}
	for _, f := range matrixFeatures() {
		tried(t, way{c, u, f}, run[f])
	}
}

// connect opens the connection of a client and says what it can do.
func (n *aNode) connect(t *testing.T, c end, base, name string) map[feature]func(context.Context) error {
	t.Helper()
	var command []string
	address := base + "/mcp/" + name
	switch {
	case c.transport == "stdio":
		command, address = []string{n.bin, "bridge", address}, ""
	case c.revision == "2024-11-05":
		address = base + "/sse/" + name
	}
	if c.peer != us {
		return theirClients[c.peer](t, command, address, c.revision)
	}
	run := map[feature]func(context.Context) error{}
	o := connectOurs(t, command, address, c.revision)
	for f, try := range ourFeatures {
		run[f] = func(ctx context.Context) error { return try(ctx, o) }
	}
	run[pagination] = func(ctx context.Context) error { return everyPage(ctx, o) }
	return run
}

// tried compares what came of a way with the table.
func tried(t *testing.T, w way, run func(context.Context) error) {
	t.Helper()
	t.Run(string(w.feature), func(t *testing.T) {
		why, idle := passes(w)
		switch {
		case run == nil && why == "":
			t.Errorf("%+v: nothing to run, and the table does not say why", w)
		case run == nil || idle:
			t.Skip(why)
		case why != "":
			if try(t, featureTimeout, run) == nil {
				t.Errorf("works, but the table says: %s", why)
			}
		default:
			var err error
			for attempt := range attempts {
				if err = try(t, featureTimeout, run); err == nil {
					return
				}
				t.Logf("attempt %d: %v", attempt+1, err)
			}
			t.Error(err)
		}
	})
}

// everyPage: a node has pages of its own, with everything of the upstream's on them.
func everyPage(ctx context.Context, o *ours) error {
	tools, err := o.c.ListTools(ctx)
	if err != nil {
		return err
	}
	names := map[string]bool{}
	for _, tool := range tools {
		names[tool.Name] = true
	}
	if len(names) < 3*pageSize || len(names) != len(tools) || !names["touch"] || !names["content"] {
		return fmt.Errorf("%d tools, %d names", len(tools), len(names))
	}
	return nil
}
