package gateway_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/mcp/jsonrpc"
	"github.com/fairlead-mcp/fairlead/mcp/mcptest"
)

// A caller's trace context reaches upstreams of every revision, and what is not valid stops here.
func TestTraceReachesUpstreams(t *testing.T) {
	want := mcp.Trace{Parent: "00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01", State: "a=1", Baggage: "b=2"}
	for _, version := range mcp.Versions() {
		t.Run(string(version), func(t *testing.T) {
			var got mcp.Trace
			s := mcp.NewServer("s", "1", nil)
			must(mcp.AddTool(s, mcp.Tool{Name: "look"}, func(_ context.Context, call *mcp.Call, _ struct{}) (string, error) {
				got = call.Trace()
				return "", nil
			}))
			g, _ := newNode(t, nil, &member{name: "up", h: mcptest.Pair(t, s, version)})
			for name, h := range map[string]mcp.Handler{"up__look": g.Root(), "look": one(t, g, "up")} {
				c := mcp.NewClient("c", "1", mcptest.Pair(t, h, mcp.LatestVersion), nil)
				if _, err := c.CallTool(mcp.ContextWithTrace(t.Context(), want), name, nil, nil); err != nil || got != want {
					t.Errorf("%s: trace = %+v, %v", name, got, err)
				}
				if _, err := c.CallTool(t.Context(), name, nil, &mcp.CallOptions{Meta: mcp.Raw(`{"traceparent":"00-1","baggage":"b=2"}`)}); err != nil || got != (mcp.Trace{Baggage: "b=2"}) {
					t.Errorf("%s: trace beside one that is not valid = %+v, %v", name, got, err)
				}
			}
		})
	}
}

// Tools and pages of an app arrive as the upstream has them: byte for byte at its own
// address, and with nothing but the name changed beside others.
func TestAppsPassThrough(t *testing.T) {
	const (
		toolMeta = `{"ui":{"visibility":["app"],"resourceUri":"ui://up/page","x-unknown":[1.50,"\u00e4"]},"ui/resourceUri":"ui://up/page"}`
		tool     = `{"name":"show","inputSchema":{"type":"object"},"_meta":` + toolMeta + `}`
		page     = `{"uri":"ui://up/page","name":"page","mimeType":"text/html;profile=mcp-app","_meta":{"ui":{"csp":{"connectDomains":["https://a.example"]},"prefersBorder":true}}}`
		contents = `[{"uri":"ui://up/page","mimeType":"text/html;profile=mcp-app","text":"<!DOCTYPE html><html>\u2028 </html>","_meta":{"ui":{"permissions":{"camera":{}},"domain":"a.example"}}}]`
		result   = `[{"type":"text","text":"done"}],"structuredContent":{"a":1.0},"_meta":{"timestamp":"now"}`
		ext      = `{"io.modelcontextprotocol/ui":{"mimeTypes":["text/html;profile=mcp-app"]}}`
	)
	var offered string
	h := mcp.HandlerFunc(func(_ context.Context, req *mcp.Request, _ mcp.Sink) (mcp.Result, error) {
		switch req.Method {
		case mcp.MethodDiscover:
			return mcp.Result{Body: []byte(`{"supportedVersions":["2026-07-28"],"capabilities":{"tools":{},"resources":{},"extensions":` + ext + `}}`)}, nil
		case mcp.MethodListTools:
			return mcp.Result{Body: []byte(`{"tools":[` + tool + `]}`)}, nil
		case mcp.MethodListResources:
			return mcp.Result{Body: []byte(`{"resources":[` + page + `]}`)}, nil
		case mcp.MethodReadResource:
			return mcp.Result{Body: []byte(`{"contents":` + contents + `}`)}, nil
		case mcp.MethodCallTool:
			offered = string(jsonrpc.Get(req.Meta.Capabilities, "extensions"))
			return mcp.Result{Body: []byte(`{"content":` + result + `}`)}, nil
		case mcp.MethodListTemplates:
			return mcp.Result{Body: []byte(`{"resourceTemplates":[]}`)}, nil
		}
		return mcp.Result{}, mcp.ErrMethodNotFound(req.Method)
	})
	for _, version := range []mcp.Version{mcp.LatestVersion, mcp.LatestLegacyVersion} {
		t.Run(string(version), func(t *testing.T) {
			g, _ := newNode(t, nil, &member{name: "up", h: mcptest.Pair(t, h, version)}, &member{name: "other", h: server("other")})
			for _, tt := range []struct {
				scope      mcp.Handler
				name, tool string
			}{
				{one(t, g, "up"), "show", tool},
				{g.Root(), "up__show", strings.Replace(tool, `"show"`, `"up__show"`, 1)},
			} {
				if got := ask(t, tt.scope, request(mcp.MethodListTools, `{}`)); !strings.Contains(got, tt.tool) {
					t.Errorf("tools = %s, want %s", got, tt.tool)
				}
				if got := ask(t, tt.scope, request(mcp.MethodListResources, `{}`)); !strings.Contains(got, page) {
					t.Errorf("resources = %s, want %s", got, page)
				}
				if got := ask(t, tt.scope, request(mcp.MethodReadResource, `{"uri":"ui://up/page"}`)); string(jsonrpc.Get([]byte(got), "contents")) != contents {
					t.Errorf("page = %s, want %s", got, contents)
				}
				discovered := []byte(ask(t, tt.scope, request(mcp.MethodDiscover, `{}`)))
				// What all upstreams together may have includes tasks.
				extensions := jsonrpc.Splice(nil, jsonrpc.Get(jsonrpc.Get(discovered, "capabilities"), "extensions"), jsonrpc.Member{Key: mcp.ExtensionTasks})
				if got := string(extensions); got != ext {
					t.Errorf("%s: extensions = %s, want %s", tt.name, got, ext)
				}
				req := call(tt.name, `{}`)
				req.Meta.Capabilities = []byte(`{"extensions":` + ext + `}`)
				got := []byte(ask(t, tt.scope, req))
				for member, want := range map[string]string{"content": `[{"type":"text","text":"done"}]`, "structuredContent": `{"a":1.0}`} {
					if got := string(jsonrpc.Get(got, member)); got != want {
						t.Errorf("%s = %s, want %s", member, got, want)
					}
				}
				if got := string(jsonrpc.Get(jsonrpc.Get(got, "_meta"), "timestamp")); got != `"now"` {
					t.Errorf("_meta.timestamp = %s", got)
				}
				if version.Modern() && offered != ext {
					t.Errorf("the upstream was offered %s, want %s", offered, ext)
				}
			}
		})
	}
}

// The skills of an upstream are served at its own address; beside others only their
// files are, as resources.
func TestSkillsOfOne(t *testing.T) {
	s := mcp.NewServer("s", "1", nil)
	must(s.SetSkills(fstest.MapFS{"x/SKILL.md": {Data: []byte("---\nname: x\ndescription: d\n---\n")}, "x/y/f": {Data: []byte("f")}}))
	g, _ := newNode(t, nil, &member{name: "up", h: mcptest.Pair(t, s, mcp.LatestVersion)}, &member{name: "other", h: server("other")})
	skills, err := mcp.NewClient("c", "1", mcptest.Pair(t, one(t, g, "up"), mcp.LatestVersion), nil).Skills(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	list, err := skills.List(t.Context())
	if err != nil || len(list) != 1 {
		t.Fatalf("List = %+v, %v", list, err)
	}
	loaded, err := skills.Load(t.Context(), &list[0])
	if err != nil {
		t.Fatal(err)
	}
	if b, err := loaded.Read(t.Context(), "y/f"); err != nil || string(b) != "f" {
		t.Errorf("Read = %q, %v", b, err)
	}
	if children, err := skills.Directory(t.Context(), "skill://x"); err != nil || len(children) != 2 {
		t.Errorf("Directory = %+v, %v", children, err)
	}
	for _, h := range []mcp.Handler{g.Root(), one(t, g, "other")} {
		if e := refusal(t, h, request(mcp.MethodListSkills, `{}`)); e.Code != jsonrpc.CodeMethodNotFound {
			t.Errorf("skills/list = %v", e)
		}
		if _, err := mcp.NewClient("c", "1", h, nil).Skills(t.Context()); !errors.Is(err, mcp.ErrNoSkills) {
			t.Errorf("Skills = %v", err)
		}
	}
	if got := ask(t, g.Root(), request(mcp.MethodReadResource, `{"uri":"skill://x/y/f"}`)); !strings.Contains(got, `"text":"f"`) {
		t.Errorf("a file beside others = %s", got)
	}
}
