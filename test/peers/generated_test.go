package peers

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write docs/interop.md anew")

// TestGenerated compares documents with the tables, or writes them with -update.
func TestGenerated(t *testing.T) {
	for name, text := range map[string]string{"interop.md": interop(t), "translation.md": translation()} {
		path := "../../docs/" + name
		if *update {
			if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		have, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if string(have) != text {
			t.Errorf("docs/%s is not what the table says; run: make generate", name)
		}
	}
}

// TestLimits holds each limit to cover something that no other does.
func TestLimits(t *testing.T) {
	used := map[*limit]bool{}
	for _, u := range upstreams {
		for _, c := range clientsOf(u) {
			for _, f := range matrixFeatures() {
				for i := range limits {
					if limits[i].covers(way{c, u, f}) {
						used[&limits[i]] = true
						break
					}
				}
			}
		}
	}
	for i := range limits {
		if l := &limits[i]; !used[l] || l.why == "" {
			t.Errorf("limit %d covers nothing that another does not, or has no reason: %+v", i, *l)
		}
	}
}

// TestExceptions holds each exception to cover something, and to say why.
func TestExceptions(t *testing.T) {
	used := map[*exception]bool{}
	for _, c := range cells() {
		used[exceptionOf(c)] = true
	}
	for i := range exceptions {
		if e := &exceptions[i]; !used[e] || e.why == "" {
			t.Errorf("exception %d covers nothing that another does not, or has no reason: %+v", i, *e)
		}
	}
}

func cells() (all []cell) {
	for _, peer := range peerNames {
		for _, direction := range []string{ourClient, ourServer} {
			for _, transport := range transports {
				for _, revision := range revisions {
					for _, f := range features {
						all = append(all, cell{peer, direction, transport, revision, f})
					}
				}
			}
		}
	}
	return all
}

// interop is the whole document.
func interop(t *testing.T) string {
	var b strings.Builder
	b.WriteString(`# Interoperability

Our client with the servers of other SDKs, and their clients with our server, over stdio and Streamable HTTP, in every revision and for
every feature that both have. This page is generated from the table in test/peers (` + "`make generate`" + `); ` + "`make e2e`" + ` runs every cell, with real
processes. Each message of ours on the way is held against the JSON schema of its revision.

"yes" is both transports; "stdio" or "HTTP" is that one only; "-" is neither. Numbers are the reasons below a table. A cell that does
not work because of a fault of the peer runs too, and the test fails when the fault is gone.
`)
	versions := peerVersions(t)
	for _, peer := range peerNames {
		fmt.Fprintf(&b, "\n## %s %s\n", peer, versions[peer])
		if remark := remarks[peer]; remark != "" {
			fmt.Fprintf(&b, "\n%s\n", remark)
		}
		for _, direction := range []string{ourClient, ourServer} {
			writeTable(&b, peer, direction)
		}
	}
	return b.String()
}

func writeTable(b *strings.Builder, peer, direction string) {
	fmt.Fprintf(b, "\n### %s\n\n| | %s |\n|%s\n", strings.ToUpper(direction[:1])+direction[1:], strings.Join(revisions, " | "), strings.Repeat(" --- |", len(revisions)+1))
	var reasons []string
	for _, f := range features {
		fmt.Fprintf(b, "| %s |", f)
		for _, revision := range revisions {
			var works, notes []string
			for _, transport := range transports {
				e := exceptionOf(cell{peer, direction, transport, revision, f})
				if e == nil {
					works = append(works, map[string]string{"stdio": "stdio", "http": "HTTP"}[transport])
					continue
				}
				if !slices.Contains(reasons, e.why) {
					reasons = append(reasons, e.why)
				}
				if n := fmt.Sprint(slices.Index(reasons, e.why) + 1); !slices.Contains(notes, n) {
					notes = append(notes, n)
				}
			}
			text := "-"
			switch len(works) {
			case len(transports):
				text = "yes"
			case 1:
				text = works[0]
			}
			if len(notes) > 0 {
				text += " (" + strings.Join(notes, ", ") + ")"
			}
			fmt.Fprintf(b, " %s |", text)
		}
		b.WriteByte('\n')
	}
	b.WriteByte('\n')
	for i, why := range reasons {
		fmt.Fprintf(b, "%d. %s.\n", i+1, strings.ToUpper(why[:1])+why[1:])
	}
}

// peerVersions are those that the tests run with.
func peerVersions(t *testing.T) map[string]string {
	t.Helper()
	versions := map[string]string{}
	mod, err := os.ReadFile("go.mod")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(mod)) {
		fields := strings.Fields(line)
		if len(fields) < 2 {
			continue
		}
		switch fields[0] {
		case "github.com/modelcontextprotocol/go-sdk":
			versions["go-sdk"] = fields[1]
		case "github.com/mark3labs/mcp-go":
			versions["mcp-go"] = fields[1]
		}
	}
	text, err := os.ReadFile("../npm/package.json")
	if err != nil {
		t.Fatal(err)
	}
	var pkg struct{ Dependencies map[string]string }
	if err := json.Unmarshal(text, &pkg); err != nil {
		t.Fatal(err)
	}
	versions["TypeScript SDK v1"] = pkg.Dependencies["@modelcontextprotocol/sdk"]
	versions["TypeScript SDK v2"] = pkg.Dependencies["@modelcontextprotocol/client"]
	return versions
}
