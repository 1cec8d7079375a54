package gateway_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fairlead-mcp/fairlead/internal/gateway"
	"github.com/fairlead-mcp/fairlead/internal/upstream"
	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/mcp/jsonrpc"
	"github.com/fairlead-mcp/fairlead/mcp/mcptest"
)

// catalogue is an upstream with a hundred tools of no interest and some that one looks for.
func catalogue() *mcp.Server {
	s := mcp.NewServer("tools", "1", nil)
	add := func(name, title, description, schema string) {
		must(s.AddRawTool(mcp.Tool{Name: name, Title: title, Description: description, InputSchema: mcp.Raw(schema)},
			func(_ context.Context, _ *mcp.Call, args []byte) (*mcp.ToolResult, error) {
				return &mcp.ToolResult{Content: []mcp.Content{mcp.Text(name + " " + string(args))}}, nil
			}))
	}
	for i := range 100 {
		add(fmt.Sprintf("noise_%d", i), "", "Makes noise of many kinds, and is of no use with an issue.", `{"type":"object"}`)
	}
	add("createIssue", "", "Opens a ticket.", `{"type":"object","properties":{"repository":{"type":"string"}}}`)
	add("search_files", "Search files", "Looks for text.", `{"type":"object","properties":{"pattern":{"type":"string","x-mcp-header":"Pattern"}}}`)
	add("delete_files", "", "Removes files for good.", `{"type":"object"}`)
	add("weather", "", "Tells the weather.", `{"type":"object","properties":{"zip_code":{"type":"string"}}}`)
	return s
}

// found lists the names in an answer of find_tools.
func found(t *testing.T, c *mcp.Client, args string) (names []string, text string) {
	t.Helper()
	res, err := c.CallTool(t.Context(), "find_tools", mcp.Raw(args), nil)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(res.Text()) {
		if line[0] == '{' {
			name, _ := jsonrpc.Unquote(jsonrpc.Get([]byte(line), "name"))
			names = append(names, name)
		}
	}
	return names, res.Text()
}

func TestToolSearch(t *testing.T) {
	for _, version := range []mcp.Version{mcp.LatestVersion, mcp.LatestLegacyVersion} {
		t.Run(string(version), func(t *testing.T) {
			m := &member{name: "up", h: catalogue(), spec: upstream.Spec{Deny: []string{"delete_*"}}}
			g, _ := newNode(t, &gateway.Options{ToolSearch: true, Virtual: []gateway.Virtual{{Name: "v", Tools: []gateway.Pick{{From: []string{"up"}, Names: []string{"noise_1"}}}}}}, m)
			c := mcp.NewClient("c", "1", mcptest.Pair(t, g.Root(), version), nil)
			tools, err := c.ListTools(t.Context())
			if err != nil || len(tools) != 2 || tools[0].Name != "find_tools" || tools[1].Name != "call_tool" {
				t.Fatalf("tools = %+v, %v", tools, err)
			}
			for query, want := range map[string]string{
				"open an issue":             "up__createIssue", // a word of the name counts more than of a description
				"find files by a pattern":   "up__search_files",
				"which ZIP?":                "up__weather", // the name of a parameter
				"FILE":                      "up__search_files",
				"ticket in some repository": "up__createIssue",
			} {
				got, _ := found(t, c, fmt.Sprintf(`{"query":%q,"limit":1}`, query))
				if diff := cmp.Diff([]string{want}, got); diff != "" {
					t.Errorf("%s (-want +got):\n%s", query, diff)
				}
			}
			first, text := found(t, c, `{"query":"noise"}`)
			if diff := cmp.Diff([]string{"up__noise_0", "up__noise_1", "up__noise_2", "up__noise_3", "up__noise_4"}, first); diff != "" || !strings.Contains(text, "[95 more tools") {
				t.Errorf("equals are not in the order of the list (-want +got):\n%s%s", diff, text)
			}
			if got, text := found(t, c, `{"query":"delete"}`); got != nil || text != "No tool fits. Try other words." {
				t.Errorf("a tool that is denied was found: %s", text)
			}
			if _, text := found(t, c, `{"query":"pattern"}`); !strings.Contains(text, `"inputSchema":{"type":"object","properties":{"pattern"`) {
				t.Errorf("no schema in %s", text)
			}
			for _, args := range []string{`{}`, `{"query":" "}`, `{"query":"x","limit":0}`, `{"query":"x","limit":21}`, `{"query":"` + strings.Repeat("x", 2000) + `"}`} {
				if res, err := c.CallTool(t.Context(), "find_tools", mcp.Raw(args), nil); err != nil || !res.IsError {
					t.Errorf("%.40s: %v, %v", args, res, err)
				}
			}
			for name, args := range map[string]string{"call_tool": `{"name":"up__weather","arguments":{"zip_code":"1"}}`, "up__weather": `{"zip_code":"1"}`} {
				res, err := c.CallTool(t.Context(), name, mcp.Raw(args), nil)
				if err != nil || res.Text() != `weather {"zip_code":"1"}` {
					t.Errorf("%s = %v, %v", name, res, err)
				}
			}
			for _, args := range []string{`{}`, `{"name":"nothing"}`, `{"name":"up__delete_files"}`, `{"name":"up__weather","arguments":[]}`, `{"name":"call_tool"}`} {
				if res, err := c.CallTool(t.Context(), "call_tool", mcp.Raw(args), nil); !mcp.IsWireError(err) {
					t.Errorf("call_tool %s = %v, %v", args, res, err)
				}
			}
			// Other servers of the node are as they were.
			if got := names(ask(t, one(t, g, "v"), request(mcp.MethodListTools, `{}`)), "tools", "name"); len(got) != 1 {
				t.Errorf("tools of a virtual server = %q", got)
			}
			d, err := c.Discover(t.Context())
			if err != nil || !strings.Contains(d.Instructions, "find_tools") {
				t.Errorf("instructions = %q, %v", d.Instructions, err)
			}
		})
	}
}

// A call through call_tool is like any: a mirrored header is not asked for, questions are answered.
func TestCallToolIsACall(t *testing.T) {
	var traces []gateway.Trace
	g, _ := newNode(t, &gateway.Options{ToolSearch: true, OnCall: func(tr gateway.Trace) { traces = append(traces, tr) }}, &member{name: "up", h: catalogue()}, &member{name: "a", h: asker()})
	req := call("call_tool", `{"name":"up__search_files","arguments":{"pattern":"x"}}`)
	req.Header = map[string][]string{"Mcp-Name": {"call_tool"}}
	ask(t, g.Root(), req)
	if rule := traces[0].Decisions[0].Rule; rule != "by call_tool up__search_files, listed" || traces[0].Upstream != "up" {
		t.Errorf("explained as %q by %s", rule, traces[0].Upstream)
	}
	first := call("call_tool", `{"name":"a__ask","arguments":{"x":1}}`)
	res, err := g.Root().Handle(t.Context(), first, mcp.Discard)
	if err != nil || res.Type != mcp.ResultInputRequired {
		t.Fatalf("first call: %+v, %v", res, err)
	}
	state := jsonrpc.Get(res.Body, "requestState")
	retry := call("call_tool", `{"name":"a__ask","arguments":{"x":1}}`)
	retry.Params = jsonrpc.Splice(nil, retry.Params, jsonrpc.Member{Key: "requestState", Value: state}, jsonrpc.Member{Key: "inputResponses", Value: []byte(`{}`)})
	if body := ask(t, g.Root(), retry); !strings.Contains(body, "inner") {
		t.Errorf("retry = %s", body)
	}
	retry = call("call_tool", `{"name":"a__other","arguments":{"x":1}}`)
	retry.Params = jsonrpc.Splice(nil, retry.Params, jsonrpc.Member{Key: "requestState", Value: state})
	if e := refusal(t, g.Root(), retry); e.Code != jsonrpc.CodeInvalidParams {
		t.Errorf("the state of another tool's call: %v", e)
	}
}

// Without the setting nothing is different.
func TestNoToolSearch(t *testing.T) {
	g, _ := newNode(t, nil, &member{name: "a", h: server("alpha")})
	for _, name := range []string{"find_tools", "call_tool"} {
		if e := refusal(t, g.Root(), call(name, `{"query":"x","name":"a__echo"}`)); e.Message != "Unknown tool: "+name {
			t.Errorf("%s: %v", name, e)
		}
	}
	if got := names(ask(t, g.Root(), request(mcp.MethodListTools, `{}`)), "tools", "name"); len(got) != 1 {
		t.Errorf("tools = %q", got)
	}
}

// Tool search can be turned on while the gateway runs, and subscribers learn that the list is another.
func TestToolSearchIsTurnedOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u, stop := (&member{name: "a", h: server("alpha")}).run(t)
		defer stop()
		g := gateway.New([]*upstream.Upstream{u}, nil)
		defer g.Close()
		var sink recorder
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		if _, err := g.Root().Handle(ctx, request(mcp.MethodListen, `{"notifications":{"toolsListChanged":true,"promptsListChanged":true}}`), &sink); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		sink.take()
		g.Set(gateway.Shape{Upstreams: []*upstream.Upstream{u}, ToolSearch: true})
		time.Sleep(time.Second)
		synctest.Wait()
		if diff := cmp.Diff([]string{"find_tools", "call_tool"}, names(ask(t, g.Root(), request(mcp.MethodListTools, `{}`)), "tools", "name")); diff != "" {
			t.Errorf("tools (-want +got):\n%s", diff)
		}
		if got := strings.Join(sink.take(), "\n"); strings.Count(got, mcp.NotificationToolsListChanged) != 1 || strings.Contains(got, mcp.NotificationPromptsListChanged) {
			t.Errorf("told %q", got)
		}
	})
}
