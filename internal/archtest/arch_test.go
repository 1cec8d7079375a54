// Package archtest holds the import tables of both modules and fails when the
// code leaves them. docs/architecture.md shows the tables and is generated from them.
package archtest

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/fairlead-mcp/fairlead"

var update = flag.Bool("update", false, "write docs/architecture.md anew")

// layer is one row: a package, what it owns, which of our packages and which outside modules it may import.
type layer struct {
	pkg     string
	owns    string
	ours    []string
	outside []string
}

// layers stands in order, from the wire up. A package that is missing here fails
// the test, so adding one means deciding where it stands.
var layers = []layer{
	{"mcp/jsonrpc", "JSON-RPC 2.0 messages, raw ids, codes, strict scan, splice, newline framing with resynchronisation", nil, nil},
	{"mcp/internal/frontmatter", "the YAML at the top of a Markdown file, as JSON", []string{"mcp/jsonrpc"}, nil},
	{"mcp", "MCP types by spec page, `Handler`, `Server`, `Client`, interceptors, revisions", []string{"mcp/jsonrpc", "mcp/internal/frontmatter"}, []string{"github.com/go-json-experiment/json", "github.com/santhosh-tekuri/jsonschema/v6"}},
	{"mcp/internal/lifetime", "contexts of calls and streams that cost little", nil, nil},
	{"mcp/internal/http1", "exchanges over pooled connections of HTTP/1.1, read strictly; knows nothing of MCP", nil, nil},
	{"mcp/internal/legacy", "the session state machine of old revisions, both directions, free of transport", []string{"mcp", "mcp/jsonrpc", "mcp/internal/lifetime"}, []string{"github.com/go-json-experiment/json"}},
	{"mcp/stdio", "framed pipes and child processes", []string{"mcp", "mcp/jsonrpc", "mcp/internal/legacy"}, nil},
	{"mcp/streamhttp", "HTTP exchange to Handler and back, sessions, streams", []string{"mcp", "mcp/jsonrpc", "mcp/internal/http1", "mcp/internal/legacy", "mcp/internal/lifetime"}, nil},
	{"mcp/oauth", "client side of MCP authorization: discovery, registration, grants, tokens and their store", nil, []string{"github.com/go-json-experiment/json"}},
	{"mcp/mcptest/wirecheck", "recorded messages, held against the JSON schema of their revision", nil, []string{"github.com/santhosh-tekuri/jsonschema/v6"}},
	{"mcp/mcptest", "in-memory pair, scripted fakes, replay of handlers that ask", []string{"mcp", "mcp/jsonrpc", "mcp/mcptest/wirecheck", "mcp/stdio", "mcp/streamhttp"}, nil},
	{"internal/secret", "values that never print", nil, nil},
	{"internal/bundle", "MCP bundles: a zip file whose hash is pinned, unpacked where nothing can leave its directory", nil, nil},
	{"internal/config", "file to validated values, every key documented, `mcpServers` import; no behaviour", []string{"internal/bundle", "internal/secret"}, []string{"github.com/goccy/go-yaml"}},
	{"internal/approval", "commands that a person has approved", []string{"internal/config", "internal/secret"}, nil},
	{"internal/state", "durable small state: values with compare and set, watches, logs", nil, []string{"go.etcd.io/bbolt"}},
	{"internal/supervise", "restart policy, back-off, service tree, its events; knows nothing of MCP", nil, []string{"github.com/thejerf/suture/v4"}},
	{"internal/limit", "circuit breakers, bulkheads and budgets; knows nothing of MCP", nil, []string{"github.com/sony/gobreaker/v2"}},
	{"internal/sandbox", "the launcher of children, their limits, the mark that finds their descendants, the guard that ends what a killed node leaves", nil, nil},
	{"internal/upstream", "one upstream's life: connect, era, catalogue, calls, breakers", []string{"mcp", "mcp/jsonrpc", "mcp/stdio", "mcp/streamhttp", "internal/limit", "internal/sandbox", "internal/supervise"}, nil},
	{"internal/gateway", "many upstreams as one server: names, lists, subscriptions, the pipeline list", []string{"mcp", "mcp/jsonrpc", "internal/limit", "internal/upstream"}, nil},
	{"internal/health", "components, states, hysteresis, resources", nil, nil},
	{"internal/adminapi", "types of the control API and its client", nil, []string{"github.com/go-json-experiment/json"}},
	{"internal/sdnotify", "what systemd is told: ready, reloading, stopping, alive", nil, nil},
	{"internal/handover", "listeners and their process: inherited from the system, handed over to a new one", nil, []string{"github.com/go-json-experiment/json"}},
	{"internal/daemon", "the only wiring: `New`, `Run`, `Reload`, `Stop`, a named teardown stack", []string{"mcp", "mcp/jsonrpc", "mcp/stdio", "mcp/streamhttp", "internal/adminapi", "internal/approval", "internal/config", "internal/gateway", "internal/handover", "internal/health", "internal/sandbox", "internal/sdnotify", "internal/secret", "internal/state", "internal/supervise", "internal/upstream"}, []string{"github.com/go-json-experiment/json", "golang.org/x/sync", "golang.org/x/sys", "github.com/fsnotify/fsnotify"}},
	{"node", "options around `internal/daemon` for programs that bring their own `mcp.Server`", []string{"mcp", "internal/config", "internal/daemon"}, nil},
	{"internal/cli", "command table, output as text and JSON, hints", []string{"mcp", "mcp/jsonrpc", "mcp/stdio", "mcp/streamhttp", "mcp/oauth", "internal/adminapi", "internal/approval", "internal/config", "internal/daemon", "internal/handover", "internal/sdnotify", "internal/secret"}, []string{"github.com/alecthomas/kong", "github.com/go-json-experiment/json", "github.com/rogpeppe/go-internal/diff"}},
	{"cmd/fairlead", "main, three lines", []string{"internal/cli"}, nil},
}

// library is what examples and fixture programs may import.
var library = []string{"mcp", "mcp/jsonrpc", "mcp/oauth", "mcp/stdio", "mcp/streamhttp", "mcp/mcptest/wirecheck"}

func lookup(pkg string) (layer, bool) {
	switch {
	case strings.HasPrefix(pkg, "examples/"):
		return layer{pkg: pkg, ours: append([]string{"node"}, library...), outside: []string{"github.com/go-json-experiment/json"}}, true
	case strings.HasPrefix(pkg, "test/"):
		return layer{pkg: pkg, ours: library, outside: []string{"github.com/go-json-experiment/json"}}, true
	case pkg == "internal/archtest":
		return layer{pkg: pkg}, true
	}
	i := slices.IndexFunc(layers, func(l layer) bool { return l.pkg == pkg })
	if i < 0 {
		return layer{}, false
	}
	return layers[i], true
}

// TestImports holds every package of both modules against the table. Test imports
// are left out on purpose: tests may use mcptest and peers from anywhere.
func TestImports(t *testing.T) {
	std := stdlib(t)
	seen := map[string]bool{}
	for _, pattern := range []string{module + "/...", module + "/mcp/..."} {
		for line := range strings.Lines(goList(t, "-f", `{{.ImportPath}} {{join .Imports " "}}`, pattern)) {
			fields := strings.Fields(line)
			pkg := strings.TrimPrefix(fields[0], module+"/")
			seen[pkg] = true
			row, known := lookup(pkg)
			if !known {
				t.Errorf("%s: not in layers; say what it owns and what it may import", pkg)
				continue
			}
			for _, err := range check(row, fields[1:], std) {
				t.Error(err)
			}
		}
	}
	for _, l := range layers {
		if !seen[l.pkg] {
			t.Errorf("%s: in layers, but there is no such package", l.pkg)
		}
	}
}

// check says which imports the row does not allow.
func check(row layer, imports []string, std map[string]bool) (errs []error) {
	for _, imp := range imports {
		dep, ours := strings.CutPrefix(imp, module+"/")
		switch {
		case std[imp]:
		case ours && !slices.Contains(row.ours, dep):
			errs = append(errs, fmt.Errorf("%s imports %s, which the layout does not allow", row.pkg, dep))
		case !ours && !slices.ContainsFunc(row.outside, func(m string) bool { return imp == m || strings.HasPrefix(imp, m+"/") }):
			errs = append(errs, fmt.Errorf("%s imports %s: that module is not for this package", row.pkg, imp))
		}
	}
	return errs
}

// TestCheckRefuses is the broken twin: a wrong import is found.
func TestCheckRefuses(t *testing.T) {
	row := layer{pkg: "mcp/jsonrpc"}
	got := check(row, []string{"bytes", module + "/mcp", "github.com/goccy/go-yaml"}, map[string]bool{"bytes": true})
	if len(got) != 2 {
		t.Fatalf("check: got %v, want two errors", got)
	}
}

// TestImporterStaysSmall builds the module graph of a program that imports only
// the library, and counts it: importers do not inherit the daemon's modules.
func TestImporterStaysSmall(t *testing.T) {
	dir := t.TempDir()
	root := strings.TrimSpace(goList(t, "-m", "-f", "{{.Dir}}", module+"/mcp"))
	write := func(name, text string) {
		if err := os.WriteFile(dir+"/"+name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("go.mod", "module importer\n\ngo 1.26\n\nrequire "+module+"/mcp v0.0.0\n\nreplace "+module+"/mcp => "+root+"\n")
	write("main.go", "package main\n\nimport \""+module+"/mcp\"\n\nfunc main() { mcp.NewServer(\"a\", \"1\", nil) }\n")
	run := func(args ...string) string {
		cmd := exec.Command("go", args...)
		cmd.Dir, cmd.Env = dir, append(os.Environ(), "GOWORK=off", "GOFLAGS=-mod=mod")
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, out)
		}
		return string(out)
	}
	run("mod", "tidy")
	run("build", "-o", os.DevNull, ".")
	// The importer itself, the library, its three modules and what those need.
	if got := strings.Count(run("list", "-m", "all"), "\n"); got > 10 {
		t.Errorf("a program that imports the library has %d modules in its graph, want at most 10", got)
	}
}

func stdlib(t *testing.T) map[string]bool {
	set := map[string]bool{}
	for line := range strings.Lines(goList(t, "std")) {
		set[strings.TrimSpace(line)] = true
	}
	return set
}

func goList(t *testing.T, args ...string) string {
	t.Helper()
	out, err := exec.Command("go", append([]string{"list"}, args...)...).Output()
	if err != nil {
		t.Fatalf("go list %s: %v", strings.Join(args, " "), err)
	}
	return string(out)
}
