package gateway_test

import (
	"context"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fairlead-mcp/fairlead/internal/gateway"
	"github.com/fairlead-mcp/fairlead/internal/upstream"
	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/mcp/jsonrpc"
	"github.com/fairlead-mcp/fairlead/mcp/mcptest"
)

// files is an upstream with tools that have schemas worth changing.
func files() *mcp.Server {
	s := mcp.NewServer("files", "1", nil)
	for _, name := range []string{"read_file", "read_dir", "delete"} {
		must(s.AddRawTool(mcp.Tool{Name: name, Description: "original", InputSchema: mcp.Raw(`{"type":"object","properties":{` +
			`"root":{"type":"string","x-mcp-header":"Root"},"path":{"type":"string","x-mcp-header":"Path"},"limit":{"type":"integer","minimum":1}},` +
			`"required":["root","path","limit"],"additionalProperties":false}`)},
			func(_ context.Context, _ *mcp.Call, args []byte) (*mcp.ToolResult, error) {
				return &mcp.ToolResult{Content: []mcp.Content{mcp.Text(string(args))}}, nil
			}))
	}
	must(s.AddPrompt(mcp.Prompt{Name: "sum", Arguments: []mcp.PromptArgument{{Name: "style", Required: true}, {Name: "key", Required: true}}},
		func(_ context.Context, _ *mcp.Call, args map[string]string) (*mcp.PromptResult, error) {
			return &mcp.PromptResult{Description: args["style"] + " " + args["key"]}, nil
		}))
	read := func(_ context.Context, _ *mcp.Call, uri string) ([]mcp.ResourceContents, error) {
		return []mcp.ResourceContents{{URI: uri, Text: "content"}}, nil
	}
	for _, uri := range []string{"file:///srv/a", "file:///etc/passwd"} {
		must(s.AddResource(mcp.Resource{URI: uri, Name: uri}, read))
	}
	must(s.AddResourceTemplate(mcp.ResourceTemplate{URITemplate: "file:///{+path}", Name: "any"},
		func(ctx context.Context, c *mcp.Call, uri string, _ map[string]string) ([]mcp.ResourceContents, error) {
			return read(ctx, c, uri)
		}))
	return s
}

// review is a virtual server of parts of files and of all that other has.
func review() gateway.Virtual {
	return gateway.Virtual{
		Name: "review",
		Tools: []gateway.Pick{
			{
				From: []string{"files"}, Names: []string{"read_file"}, As: "read", Title: "Read", Description: "changed",
				Defaults: map[string][]byte{"limit": []byte("20")}, Fixed: map[string][]byte{"root": []byte(`"/srv"`)},
			},
			{From: []string{"files"}, Names: []string{"read_*"}},
			{From: []string{"other"}, Prefix: "o_"},
		},
		Prompts:   []gateway.Pick{{From: []string{"files"}, Defaults: map[string][]byte{"style": []byte(`"short"`)}, Fixed: map[string][]byte{"key": []byte(`"k"`)}}},
		Resources: []gateway.Pick{{From: []string{"files"}, Names: []string{"file:///srv/*"}}},
	}
}

// A virtual server offers what it chooses as it says, to clients of both eras, over each era of upstream.
func TestVirtual(t *testing.T) {
	for _, version := range []mcp.Version{mcp.LatestVersion, mcp.LatestLegacyVersion} {
		t.Run(string(version), func(t *testing.T) {
			m := &member{name: "files", h: mcptest.Pair(t, files(), version)}
			g, _ := newNode(t, &gateway.Options{Virtual: []gateway.Virtual{review()}}, m, &member{name: "other", h: server("other")}, &member{name: "third", h: server("third")})
			h := one(t, g, "review")
			list := ask(t, h, request(mcp.MethodListTools, `{}`))
			if diff := cmp.Diff([]string{"read", "read_dir", "o_echo"}, names(list, "tools", "name")); diff != "" {
				t.Fatalf("tools (-want +got):\n%s", diff)
			}
			var read []byte
			for tool := range jsonrpc.Elements(jsonrpc.Get([]byte(list), "tools")) {
				read = tool
				break
			}
			for member, want := range map[string]string{
				"title": `"Read"`, "description": `"changed"`,
				"inputSchema": `{"type":"object","properties":{"path":{"type":"string","x-mcp-header":"Path"},"limit":{"type":"integer","minimum":1,"default":20}},"required":["path"],"additionalProperties":false}`,
			} {
				if got := string(jsonrpc.Get(read, member)); got != want {
					t.Errorf("%s = %s, want %s", member, got, want)
				}
			}
			for args, want := range map[string]string{
				`{"path":"a"}`:                         `{"path":"a","limit":20,"root":"/srv"}`,
				`{"path":"a","limit":3}`:               `{"path":"a","limit":3,"root":"/srv"}`,
				`{"root":"/etc","path":"a","limit":3}`: `{"root":"/srv","path":"a","limit":3}`, // not to be overridden
			} {
				ask(t, h, call("read", args))
				got := m.last(t)
				sent := jsonrpc.Get(got.Params, "arguments")
				for _, key := range []string{"root", "path", "limit"} {
					if a, b := string(jsonrpc.Get(sent, key)), string(jsonrpc.Get([]byte(want), key)); a != b {
						t.Errorf("%s: upstream got %s = %s, want %s", args, key, a, b)
					}
				}
				if string(got.Arguments) != string(sent) || got.Name != "read_file" {
					t.Errorf("%s: upstream got %q with arguments %s beside params %s", args, got.Name, got.Arguments, got.Params)
				}
			}
			for _, c := range []mcp.Version{mcp.LatestVersion, mcp.LatestLegacyVersion} {
				res, err := mcp.NewClient("c", "1", mcptest.Pair(t, h, c), nil).CallTool(t.Context(), "read", map[string]any{"path": "a"}, nil)
				if err != nil || !strings.Contains(res.Text(), `"/srv"`) {
					t.Errorf("client of %s: %v, %v", c, res, err)
				}
			}
			if got := ask(t, h, request(mcp.MethodListPrompts, `{}`)); !strings.Contains(got, `"arguments":[{"name":"style","required":false}]`) {
				t.Errorf("prompts = %s", got)
			}
			if got := ask(t, h, request(mcp.MethodGetPrompt, `{"name":"sum"}`)); !strings.Contains(got, "short k") {
				t.Errorf("prompt = %s", got)
			}
			// What was not chosen does not exist, to the byte.
			for _, hidden := range []string{"delete", "read_file", "echo", "third__echo"} {
				e, none := refusal(t, h, call(hidden, `{}`)), refusal(t, h, call("nothing", `{}`))
				if e.Code != none.Code || e.Message != strings.Replace(none.Message, "nothing", hidden, 1) {
					t.Errorf("%s: %v; an unknown tool: %v", hidden, e, none)
				}
			}
		})
	}
}

// A mirrored header is checked by the schema that callers see.
func TestVirtualMirroredParameters(t *testing.T) {
	g, _ := newNode(t, &gateway.Options{Virtual: []gateway.Virtual{review()}}, &member{name: "files", h: files()}, &member{name: "other", h: server("other")})
	req := call("read", `{"path":"a"}`)
	req.Header = map[string][]string{"Mcp-Param-Path": {"a"}} // and none for root, which is fixed
	ask(t, one(t, g, "review"), req)
	req.Header = map[string][]string{"Mcp-Param-Path": {"b"}}
	if e := refusal(t, one(t, g, "review"), req); e.Code != mcp.CodeHeaderMismatch {
		t.Errorf("another path in the header: %v", e)
	}
}

// Resources of a virtual server are those that its patterns take, and nothing beside them.
func TestVirtualResources(t *testing.T) {
	g, _ := newNode(t, &gateway.Options{Virtual: []gateway.Virtual{review()}}, &member{name: "files", h: files()}, &member{name: "other", h: server("other")})
	h := one(t, g, "review")
	if diff := cmp.Diff([]string{"file:///srv/a"}, names(ask(t, h, request(mcp.MethodListResources, `{}`)), "resources", "uri")); diff != "" {
		t.Errorf("resources (-want +got):\n%s", diff)
	}
	for uri, ok := range map[string]bool{
		"file:///srv/a": true, "file:///srv/not/listed": true,
		"file:///etc/passwd": false, "test://other": false,
		"file:///srv/../etc/passwd": false, "file:///srv/%2e%2e/etc/passwd": false, "file:///srv/%252e%252e/etc/passwd": false, `file:///srv/..\etc`: false,
	} {
		req := request(mcp.MethodReadResource, string(jsonrpc.Splice(nil, nil, jsonrpc.Member{Key: "uri", Value: jsonrpc.AppendString(nil, uri)})))
		if ok {
			ask(t, h, req)
		} else if e := refusal(t, h, req); e.Code != jsonrpc.CodeInvalidParams || e.Message != "Resource not found" {
			t.Errorf("%s: %v", uri, e)
		}
	}
	capabilities := string(jsonrpc.Get([]byte(ask(t, h, request(mcp.MethodDiscover, `{}`))), "capabilities"))
	if !strings.Contains(capabilities, `"tools"`) || !strings.Contains(capabilities, `"resources"`) {
		t.Errorf("capabilities = %s", capabilities)
	}
}

// What cannot be offered is hidden, and status says why.
func TestVirtualHidden(t *testing.T) {
	pick := func(p gateway.Pick) gateway.Pick { p.From = []string{"files"}; return p }
	value := func(name, raw string) map[string][]byte { return map[string][]byte{name: []byte(raw)} }
	g, _ := newNode(t, &gateway.Options{Virtual: []gateway.Virtual{{Name: "v", Tools: []gateway.Pick{
		pick(gateway.Pick{Names: []string{"read_file"}, As: "a", Defaults: value("limit", `"many"`)}),
		pick(gateway.Pick{Names: []string{"read_file"}, As: "b", Fixed: value("limit", `"s3cr3t"`)}),
		pick(gateway.Pick{Names: []string{"read_file"}, As: "c", Fixed: value("rot", `"x"`)}),
		pick(gateway.Pick{Names: []string{"read_file"}, As: "d"}),
		pick(gateway.Pick{Names: []string{"read_dir"}, As: "d"}),
		pick(gateway.Pick{Names: []string{"raed_file"}}),
	}, Prompts: []gateway.Pick{pick(gateway.Pick{Defaults: value("style", `7`)})}}}}, &member{name: "files", h: files()})
	want := []gateway.Hidden{
		{upstream.Tools, "v", "files", "read_file", `the default of "limit" does not fit its schema: value`},
		{upstream.Tools, "v", "files", "read_file", `the fixed value of "limit" does not fit its schema`},
		{upstream.Tools, "v", "files", "read_file", `there is no argument "rot"`},
		{upstream.Tools, "v", "files", "read_dir", `the same is offered by files`},
		{upstream.Prompts, "v", "files", "sum", `the value of "style" is not a text, as arguments of prompts are`},
		{upstream.Tools, "v", "files", "raed_file", `there is no such thing there`},
	}
	got := g.Hidden()
	if len(got) != len(want) {
		t.Fatalf("hidden = %+v", got)
	}
	for i := range got {
		if !strings.HasPrefix(got[i].Reason, want[i].Reason) || strings.Contains(got[i].Reason, "s3cr3t") {
			t.Errorf("%s: reason %q, want %q", got[i].Name, got[i].Reason, want[i].Reason)
		}
		if got[i].Reason = want[i].Reason; got[i] != want[i] {
			t.Errorf("hidden %d = %+v, want %+v", i, got[i], want[i])
		}
	}
	if diff := cmp.Diff([]string{"d"}, names(ask(t, one(t, g, "v"), request(mcp.MethodListTools, `{}`)), "tools", "name")); diff != "" {
		t.Errorf("tools (-want +got):\n%s", diff)
	}
}
