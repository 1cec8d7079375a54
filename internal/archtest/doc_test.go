package archtest

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestGeneratedArchitecture holds docs/architecture.md to the tables; -update writes it.
func TestGeneratedArchitecture(t *testing.T) {
	const path = "../../docs/architecture.md"
	want := architecture()
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Errorf("%s is stale; run: make generate", path)
	}
}

func architecture() string {
	var b strings.Builder
	b.WriteString(`# Architecture

Two modules in one repository: the library in mcp/, which importers take without the daemon's modules, and the daemon in the root.
Imports point one way: wire, protocol, transports, runtime, daemon, command line. This page is generated from the tables in
internal/archtest, which fail when the code leaves them.

## The way of a call

` + "```" + `
client (any revision)
  | HTTP POST, old session, stdio
  v
mcp/streamhttp, mcp/stdio      limits, Origin and Host, credentials from headers, strict scan, era, headers = body
  |                            mcp/internal/legacy turns old revisions into stateless requests here, and answers back
  v
internal/gateway               the pipeline: resolve -> authorise -> admit -> cache -> guard -> attempt; each stage a file, each decision a value
  v
internal/upstream              one upstream's life; waits for a restarting child, ends calls when it dies
  v
mcp/stdio child | mcp/streamhttp remote      own request id and progress token, own era, legacy again at this edge
` + "```" + `

Everything between the two edges is an mcp.Handler that answers one request of revision 2026-07-28.

## Packages, from the wire up

| package | owns | may import (of ours) | may import (outside the standard library) |
| --- | --- | --- | --- |
`)
	for _, l := range layers {
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", l.pkg, l.owns, list(l.ours), list(l.outside))
	}
	b.WriteString(`
The programs under test/ import the library only, those under examples/ the library and node. Only internal/daemon wires; nothing registers itself.
`)
	return b.String()
}

func list(names []string) string {
	if len(names) == 0 {
		return "-"
	}
	return "`" + strings.Join(names, "` `") + "`"
}

// TestCoverage holds docs/spec-coverage.md to the tests: each test that a row
// names exists, and each row names one.
func TestCoverage(t *testing.T) {
	text, err := os.ReadFile("../../docs/spec-coverage.md")
	if err != nil {
		t.Fatal(err)
	}
	have := testNames(t)
	named := regexp.MustCompile("`((?:Test|Fuzz|Example|Benchmark)[A-Za-z0-9_]*)`")
	rows := 0
	for line := range strings.Lines(string(text)) {
		if !strings.HasPrefix(line, "| ") || strings.HasPrefix(line, "| ---") || strings.HasPrefix(line, "| requirement") {
			continue
		}
		rows++
		tests := named.FindAllStringSubmatch(line, -1)
		if len(tests) == 0 && !strings.Contains(line, "scenario ") {
			t.Errorf("no test in row: %s", line)
		}
		for _, m := range tests {
			if !slices.Contains(have, m[1]) {
				t.Errorf("%s does not exist, named in row: %s", m[1], line)
			}
		}
	}
	if rows == 0 {
		t.Error("docs/spec-coverage.md has no rows")
	}
}

func testNames(t *testing.T) (names []string) {
	t.Helper()
	decl := regexp.MustCompile(`(?m)^func ((?:Test|Fuzz|Example|Benchmark)[A-Za-z0-9_]*)\(`)
	err := filepath.WalkDir("../..", func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == "node_modules" || d.Name() == ".git") {
			return filepath.SkipDir
		}
		if !strings.HasSuffix(path, "_test.go") {
			return nil
		}
		src, err := os.ReadFile(path)
		for _, m := range decl.FindAllSubmatch(src, -1) {
			names = append(names, string(m[1]))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}
