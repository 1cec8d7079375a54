package gateway_test

import (
	"context"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fairlead-mcp/fairlead/internal/gateway"
	"github.com/fairlead-mcp/fairlead/internal/upstream"
	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/mcp/jsonrpc"
	"github.com/fairlead-mcp/fairlead/mcp/mcptest"
)

// shelf is an upstream that has URIs in every place that is rewritten, and in one that is not.
func shelf(name string) *mcp.Server {
	s := mcp.NewServer(name, "1", nil)
	read := func(_ context.Context, _ *mcp.Call, uri string) ([]mcp.ResourceContents, error) {
		return []mcp.ResourceContents{{URI: uri, Text: name + " has " + uri}}, nil
	}
	must(s.AddResource(mcp.Resource{URI: "x://a", Name: "a"}, read))
	must(s.AddResource(mcp.Resource{URI: "ui://page", Name: "page", MIMEType: "text/html;profile=mcp-app"}, read))
	must(s.AddResourceTemplate(mcp.ResourceTemplate{URITemplate: "x://{id}/more", Name: "more"},
		func(ctx context.Context, c *mcp.Call, uri string, _ map[string]string) ([]mcp.ResourceContents, error) {
			if strings.Contains(uri, "gone") {
				return nil, mcp.ErrResourceNotFound
			}
			return read(ctx, c, uri)
		}))
	must(s.CompleteTemplate("x://{id}/more", "id", func(context.Context, *mcp.Call, string, map[string]string) ([]string, error) {
		return []string{name}, nil
	}))
	blocks := []mcp.Content{
		mcp.Text("see x://a"), &mcp.ResourceLink{URI: "x://a", Name: "a"},
		&mcp.EmbeddedResource{Resource: mcp.ResourceContents{URI: "x://a", Text: "embedded"}},
	}
	must(s.AddRawTool(mcp.Tool{Name: "link", InputSchema: mcp.Raw(`{"type":"object"}`), Meta: mcp.Raw(`{"ui":{"resourceUri":"ui://page"},"ui/resourceUri":"ui://page"}`)},
		func(context.Context, *mcp.Call, []byte) (*mcp.ToolResult, error) {
			return &mcp.ToolResult{Content: blocks}, nil
		}))
	must(s.AddPrompt(mcp.Prompt{Name: "link"}, func(context.Context, *mcp.Call, map[string]string) (*mcp.PromptResult, error) {
		return &mcp.PromptResult{Messages: []mcp.PromptMessage{{Role: "user", Content: blocks[1]}, {Role: "user", Content: blocks[2]}}}, nil
	}))
	return s
}

// URIs have their upstream's name in every place of the list, and are the upstream's own on the way in.
func TestPrefixedURIs(t *testing.T) {
	spec := upstream.Spec{PrefixURIs: true}
	for _, version := range []mcp.Version{mcp.LatestVersion, mcp.LatestLegacyVersion} {
		t.Run(string(version), func(t *testing.T) {
			var servers []*mcp.Server
			var members []*member
			for _, name := range []string{"first", "my_2nd", "3rd"} {
				s := shelf(name)
				servers = append(servers, s)
				members = append(members, &member{name: name, h: mcptest.Pair(t, s, version), spec: spec})
			}
			members = append(members, &member{name: "plain", h: mcptest.Pair(t, shelf("plain"), version)})
			all := gateway.Virtual{Name: "v"}
			all.Resources = []gateway.Pick{{From: []string{"my_2nd"}, Names: []string{"x://*"}}}
			g, _ := newNode(t, &gateway.Options{Virtual: []gateway.Virtual{all}}, members...)
			if hidden := g.Hidden(); len(hidden) != 0 {
				t.Errorf("hidden = %+v", hidden)
			}
			want := []string{"first+x://a", "ui://first__page", "my.2nd+x://a", "ui://my_2nd__page", "n..3rd+x://a", "ui://3rd__page", "x://a", "ui://page"}
			if diff := cmp.Diff(want, names(ask(t, g.Root(), request(mcp.MethodListResources, `{}`)), "resources", "uri")); diff != "" {
				t.Errorf("resources (-want +got):\n%s", diff)
			}
			want = []string{"first+x://{id}/more", "my.2nd+x://{id}/more", "n..3rd+x://{id}/more", "x://{id}/more"}
			if diff := cmp.Diff(want, names(ask(t, g.Root(), request(mcp.MethodListTemplates, `{}`)), "resourceTemplates", "uriTemplate")); diff != "" {
				t.Errorf("templates (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff([]string{"x://a", "ui://page"}, names(ask(t, one(t, g, "first"), request(mcp.MethodListResources, `{}`)), "resources", "uri")); diff != "" {
				t.Errorf("resources of one (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff([]string{"my.2nd+x://a"}, names(ask(t, one(t, g, "v"), request(mcp.MethodListResources, `{}`)), "resources", "uri")); diff != "" {
				t.Errorf("resources of a virtual server (-want +got):\n%s", diff)
			}
			tools := ask(t, g.Root(), request(mcp.MethodListTools, `{}`))
			if !strings.Contains(tools, `"_meta":{"ui":{"resourceUri":"ui://my_2nd__page"},"ui/resourceUri":"ui://my_2nd__page"}`) || !strings.Contains(tools, `"resourceUri":"ui://page"`) {
				t.Errorf("tools = %s", tools)
			}
			for uri, text := range map[string]string{
				"my.2nd+x://a": "my_2nd has x://a", "n..3rd+x://a": "3rd has x://a", "x://a": "plain has x://a",
				"ui://first__page": "first has ui://page", "my.2nd+x://7/more": "my_2nd has x://7/more", "x://7/more": "plain has x://7/more",
			} {
				body := ask(t, g.Root(), request(mcp.MethodReadResource, `{"uri":"`+uri+`"}`))
				if !strings.Contains(body, `"`+text+`"`) || !strings.Contains(body, `"uri":"`+uri+`"`) {
					t.Errorf("%s = %s", uri, body)
				}
			}
			for _, uri := range []string{"first+ui://page", "second+x://a", "my.2nd+x://gone/more", "my.2nd+y://unlisted"} {
				e := refusal(t, g.Root(), request(mcp.MethodReadResource, `{"uri":"`+uri+`"}`))
				if got, _ := jsonrpc.Unquote(jsonrpc.Get(e.Data, "uri")); got != uri {
					t.Errorf("%s: %v %s", uri, e, e.Data)
				}
			}
			for _, tt := range []struct{ method, params string }{{mcp.MethodCallTool, `{"name":"my_2nd__link"}`}, {mcp.MethodGetPrompt, `{"name":"my_2nd__link"}`}} {
				body := ask(t, g.Root(), request(tt.method, tt.params))
				if got := strings.Count(body, `"uri":"my.2nd+x://a"`); got != 2 || tt.method == mcp.MethodCallTool && !strings.Contains(body, `"see x://a"`) {
					t.Errorf("%s = %s", tt.method, body)
				}
			}
			if body := ask(t, g.Root(), request(mcp.MethodComplete, `{"ref":{"type":"ref/resource","uri":"my.2nd+x://{id}/more"},"argument":{"name":"id","value":""}}`)); !strings.Contains(body, `"my_2nd"`) {
				t.Errorf("completion = %s", body)
			}
			// Updates.
			var mu sync.Mutex
			told := make(chan string, 10)
			sink := notifySink(func(n *mcp.Notification) {
				mu.Lock()
				defer mu.Unlock()
				if n.Method == mcp.NotificationResourceUpdated {
					uri, _ := jsonrpc.Unquote(jsonrpc.Get(n.Params, "uri"))
					told <- uri
				}
			})
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			if _, err := g.Root().Handle(ctx, request(mcp.MethodListen, `{"notifications":{"resourceSubscriptions":["my.2nd+x://a","first+ui://page"]}}`), sink); err != nil {
				t.Fatal(err)
			}
			servers[0].ResourceUpdated("x://a") // another's
			servers[1].ResourceUpdated("x://a")
			if got := <-told; got != "my.2nd+x://a" {
				t.Errorf("updated = %s", got)
			}
		})
	}
}

// notifySink hands what it gets to a function.
type notifySink func(*mcp.Notification)

func (f notifySink) Notify(n *mcp.Notification) error { f(n); return nil }
func (f notifySink) End(mcp.Result, error)            {}
