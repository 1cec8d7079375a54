package gateway_test

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fairlead-mcp/fairlead/internal/gateway"
	"github.com/fairlead-mcp/fairlead/internal/upstream"
	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/mcp/jsonrpc"
	"github.com/fairlead-mcp/fairlead/mcp/mcptest"
)

// talker is an upstream with tools that say much.
func talker(text string) *mcp.Server {
	s := mcp.NewServer("talker", "1", nil)
	raw := func(name, output string, res *mcp.ToolResult) {
		tool := mcp.Tool{Name: name, InputSchema: mcp.Raw(`{"type":"object"}`)}
		if output != "" {
			tool.OutputSchema = mcp.Raw(output)
		}
		must(s.AddRawTool(tool,
			func(context.Context, *mcp.Call, []byte) (*mcp.ToolResult, error) { return res, nil }))
	}
	structured := mcp.Raw(jsonrpc.Splice(nil, nil, jsonrpc.Member{Key: "t", Value: jsonrpc.AppendString(nil, text)}))
	raw("text", "", &mcp.ToolResult{Content: []mcp.Content{mcp.Text("head"), mcp.Text(text), &mcp.ImageContent{Data: []byte("image"), MIMEType: "image/png"}}})
	raw("short", "", &mcp.ToolResult{Content: []mcp.Content{mcp.Text("short")}})
	raw("promised", `{"type":"object"}`, &mcp.ToolResult{Content: []mcp.Content{mcp.Text("see it")}, Structured: structured})
	raw("loose", "", &mcp.ToolResult{Content: []mcp.Content{mcp.Text("see it")}, Structured: structured})
	raw("small", `{"type":"object"}`, &mcp.ToolResult{Content: []mcp.Content{mcp.Text(text)}, Structured: mcp.Raw(`{"t":"small"}`)})
	return s
}

var restLink = regexp.MustCompile(`fairlead://result/[A-Za-z0-9_-]+\?page=\d+`)

// readRests follows the pages from what a result says, and returns the texts and blobs of all.
func readRests(t *testing.T, c *mcp.Client, said string) (text, blobs string, pages int) {
	t.Helper()
	for uri := restLink.FindString(said); uri != ""; pages++ {
		res, err := c.ReadResource(t.Context(), uri, nil)
		if err != nil {
			t.Fatalf("page %d: %v", pages+1, err)
		}
		next := ""
		for _, content := range res.Contents {
			if content.URI != uri {
				next = content.URI
				if !strings.Contains(content.Text, next) {
					t.Errorf("the note of the next page says %q", content.Text)
				}
				continue
			}
			if len(content.Text) > 2048 {
				t.Errorf("page %d has %d bytes", pages+1, len(content.Text))
			}
			text += content.Text
			blobs += string(content.Blob)
		}
		uri = next
	}
	return text, blobs, pages
}

// What is cut from a result can be read, to the byte, by clients of every revision.
func TestTrim(t *testing.T) {
	var long strings.Builder
	for i := range 1000 {
		fmt.Fprintf(&long, "line %d \"äöü\" \u2028 \\ \t end\n", i)
	}
	spec := upstream.Spec{MaxResult: 2048, MaxResults: map[string]int{"sho*": 1 << 20}}
	for _, version := range mcp.Versions() {
		t.Run(string(version), func(t *testing.T) {
			m := &member{name: "up", h: talker(long.String()), spec: spec}
			g, _ := newNode(t, nil, m, &member{name: "other", h: server("other")})
			h := one(t, g, "up")
			c := mcp.NewClient("c", "1", mcptest.Pair(t, h, version), nil)
			discovered := ask(t, h, request(mcp.MethodDiscover, `{}`))
			if jsonrpc.Get(jsonrpc.Get([]byte(discovered), "capabilities"), "resources") == nil {
				t.Errorf("a server whose results may be cut does not declare resources: %s", discovered)
			}
			res, err := c.CallTool(t.Context(), "text", nil, nil)
			if err != nil || res.IsError {
				t.Fatalf("%+v, %v", res, err)
			}
			said := res.Text()
			if len(said) > 3072 || !strings.HasPrefix(said, "head") || !strings.Contains(said, "This result is cut") {
				t.Errorf("text has %d bytes: %q", len(said), said)
			}
			rest, blobs, pages := readRests(t, c, said)
			kept := res.Content[1].(*mcp.TextContent).Text
			if kept+rest != long.String() || blobs != "image" || pages < 10 {
				t.Errorf("%d bytes kept and %d of %d pages are not the %d of the whole, with %q", len(kept), len(rest), pages, long.Len(), blobs)
			}
			if !strings.HasSuffix(kept, "\n") {
				t.Errorf("cut in the middle of a line: %q", kept[len(kept)-20:])
			}
			_, links := res.Content[len(res.Content)-1].(*mcp.ResourceLink)
			if links != version.Has(mcp.FeatureResourceLink) {
				t.Errorf("the last block is a link: %v", links)
			}
			if res, err := c.CallTool(t.Context(), "short", nil, nil); err != nil || res.Text() != "short" {
				t.Errorf("short = %v, %v", res, err)
			}
		})
	}
}

// Structured content is whole or not there, and the result says so.
func TestTrimStructured(t *testing.T) {
	g, _ := newNode(t, nil, &member{name: "up", h: talker(strings.Repeat("x", 5000)), spec: upstream.Spec{MaxResult: 2048}})
	for _, tt := range []struct {
		tool             string
		isError, hasData bool
		says             string
	}{
		{"promised", true, false, "The tool has run, but"},
		{"loose", false, false, "This result is cut"},
		{"small", false, true, "This result is cut"},
	} {
		// The client holds structured content against the schema, as hosts do.
		c := mcp.NewClient("c", "1", one(t, g, "up"), nil)
		res, err := c.CallTool(t.Context(), tt.tool, nil, nil)
		if err != nil {
			t.Errorf("%s: %v", tt.tool, err)
			continue
		}
		if res.IsError != tt.isError || (res.Structured != nil) != tt.hasData || !strings.Contains(res.Text(), tt.says) {
			t.Errorf("%s: error %v, structured %s, %q", tt.tool, res.IsError, res.Structured, res.Text())
		}
		rest, _, _ := readRests(t, c, res.Text())
		if want := `{"t":"` + strings.Repeat("x", 5000) + `"}`; !tt.hasData && rest != want {
			t.Errorf("%s: the rest is %d bytes, want %d", tt.tool, len(rest), len(want))
		}
	}
}

// The rest of a result is its caller's alone, for ten minutes, and what it takes is bounded for each.
func TestTrimmedIsTheCallersOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, stop := newNode(t, &gateway.Options{RestBytes: 100_000}, &member{name: "up", h: talker(strings.Repeat("x", 20_000)), spec: upstream.Spec{MaxResult: 2048}})
		defer stop()
		as := func(who string, req *mcp.Request) *mcp.Request {
			req.Principal = mcp.Principal{Issuer: "token", Subject: who}
			return req
		}
		cut := func(who string) string { return restLink.FindString(ask(t, g.Root(), as(who, call("up__text", `{}`)))) }
		read := func(uri string) *mcp.Request {
			return request(mcp.MethodReadResource, fmt.Sprintf(`{"uri":%q}`, uri))
		}
		first := cut("ann")
		ask(t, g.Root(), as("ann", read(first)))
		ask(t, one(t, g, "up"), as("ann", read(first)))
		want := refusal(t, g.Root(), as("bob", read("x://nothing")))
		for name, req := range map[string]*mcp.Request{
			"somebody else's": as("bob", read(first)),
			"forged":          as("ann", read(strings.Replace(first, "result/", "result/A", 1))),
			"no such page":    as("ann", read(strings.Replace(first, "page=1", "page=99", 1))),
			"page 0":          as("ann", read(strings.Replace(first, "page=1", "page=0", 1))),
			"no page":         as("ann", read(strings.Replace(first, "?page=1", "", 1))),
		} {
			if e := refusal(t, g.Root(), req); e.Code != want.Code || e.Message != want.Message {
				t.Errorf("%s: %v, want what an unknown resource gets", name, e)
			}
		}
		others := cut("bob")
		for range 10 {
			cut("ann") // pushes out her own
		}
		ask(t, g.Root(), as("bob", read(others)))
		refusal(t, g.Root(), as("ann", read(first)))
		last := cut("ann")
		time.Sleep(9 * time.Minute)
		ask(t, g.Root(), as("ann", read(last)))
		time.Sleep(2 * time.Minute)
		refusal(t, g.Root(), as("ann", read(last)))
	})
	// What can never be kept is said to be lost.
	g, _ := newNode(t, &gateway.Options{RestBytes: 1000}, &member{name: "up", h: talker(strings.Repeat("x", 20_000)), spec: upstream.Spec{MaxResult: 2048}})
	if got := ask(t, g.Root(), call("up__text", `{}`)); !strings.Contains(got, "too many to be kept") || strings.Contains(got, "fairlead://") {
		t.Errorf("a rest that cannot be kept: %.300s", got[max(0, len(got)-300):])
	}
}
