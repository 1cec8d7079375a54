package gateway_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/fairlead-mcp/fairlead/internal/gateway"
	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/mcp/jsonrpc"
	"github.com/fairlead-mcp/fairlead/mcp/mcptest"
)

func says(text string) *mcp.Server {
	return mcp.NewServer("s", "1", &mcp.ServerOptions{Instructions: text})
}

func TestInstructions(t *testing.T) {
	var members []*member
	for _, name := range []string{"a", "b", "c", "d", "e"} {
		members = append(members, &member{name: name, h: says(strings.Repeat("ä line of "+name+"\n", 1000))})
	}
	members = append([]*member{
		{name: "short", h: says("  # Mine\n\n  ## e\nI speak for e.\n")},
		{name: "silent", h: says("")},
		{name: "one-line", h: says(strings.Repeat("ä", 5000))},
	}, members...)
	opts := &gateway.Options{Virtual: []gateway.Virtual{
		{Name: "own", Instructions: "Just this.", Tools: []gateway.Pick{{From: []string{"a"}}}},
		{Name: "part", Tools: []gateway.Pick{{From: []string{"short"}}}},
	}}
	g, _ := newNode(t, opts, members...)
	read := func(h mcp.Handler, version mcp.Version) string {
		t.Helper()
		d, err := mcp.NewClient("c", "1", mcptest.Pair(t, h, version), nil).Discover(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return d.Instructions
	}
	all := read(g.Root(), mcp.LatestVersion)
	if !strings.HasPrefix(all, "## short\n\nNames of this upstream begin with short__.\n\n### Mine\n\n#### e\nI speak for e.\n\n## one-line\n") {
		t.Errorf("instructions begin with %q", all[:120])
	}
	if len(all) > 17<<10 || !utf8.ValidString(all) || strings.Contains(all, "silent") {
		t.Errorf("instructions have %d bytes", len(all))
	}
	if strings.Count(all, "[The rest is left out.]") != 3 || !strings.HasSuffix(all, "the instructions of c, d, e.]") || strings.Count(all, "\n## e\n") != 0 {
		t.Errorf("instructions end with %q", all[len(all)-200:])
	}
	if got := read(g.Root(), mcp.LatestLegacyVersion); got != all {
		t.Errorf("initialize says something else than discover:\n%s", cmp.Diff(all, got))
	}
	if got := read(one(t, g, "own"), mcp.LatestVersion); got != "Just this." {
		t.Errorf("of a virtual server = %q", got)
	}
	if got := read(one(t, g, "part"), mcp.LatestVersion); got != "## short\n\n### Mine\n\n#### e\nI speak for e." {
		t.Errorf("of a virtual server without its own = %q", got)
	}
}

// What a client was told in initialize stays true when a slow upstream appears.
func TestCapabilitiesNeverChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := &member{name: "slow", h: server("slow"), hang: true}
		g, stop := newNode(t, nil, slow, &member{name: "b", h: says("nothing but words")})
		defer stop()
		before := string(jsonrpc.Get([]byte(ask(t, g.Root(), request(mcp.MethodDiscover, `{}`))), "capabilities"))
		for _, capability := range []string{"tools", "prompts", "resources", "completions", "logging"} {
			if jsonrpc.Get([]byte(before), capability) == nil {
				t.Errorf("capabilities = %s", before)
			}
		}
		slow.mu.Lock()
		slow.hang = false
		slow.mu.Unlock()
		time.Sleep(5 * time.Minute) // the attempt that hangs is over, and another was made
		synctest.Wait()
		body := ask(t, g.Root(), request(mcp.MethodDiscover, `{}`))
		if after := string(jsonrpc.Get([]byte(body), "capabilities")); after != before || named(body, "io.fairlead/missing") != "" {
			t.Errorf("capabilities = %s, before %s (missing %s)", after, before, named(body, "io.fairlead/missing"))
		}
	})
}
