package mcp_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/mcp/jsonrpc"
	"github.com/fairlead-mcp/fairlead/mcp/mcptest"
	"github.com/google/go-cmp/cmp"
)

const weatherPage = "<!DOCTYPE html><html><title>Weather</title></html>"

// dashboard is the example of the specification.
func dashboard() mcp.App {
	border := true
	return mcp.App{
		URI: "ui://weather-server/dashboard-template", Name: "weather_dashboard", Description: "Interactive weather dashboard view", HTML: weatherPage,
		Settings: mcp.AppSettings{
			CSP:           &mcp.AppCSP{ConnectDomains: []string{"https://api.openweathermap.org"}, ResourceDomains: []string{"https://cdn.jsdelivr.net"}},
			PrefersBorder: &border,
		},
	}
}

// newAppServer has the tools of the specification's examples: one for all, one for pages alone.
func newAppServer(t testing.TB) *mcp.Server {
	t.Helper()
	s := mcp.NewServer("weather-server", "1", nil)
	uri := dashboard().URI
	err := errors.Join(
		s.AddApp(dashboard()),
		mcp.AddTool(s, mcp.Tool{Name: "get_weather", Meta: mcp.ToolUI{ResourceURI: uri, Visibility: []mcp.Visibility{mcp.VisibleToModel, mcp.VisibleToApp}}.Meta()},
			func(_ context.Context, call *mcp.Call, _ struct{}) (string, error) {
				if call.CanShowApps() {
					return "sunny, as the page shows", nil
				}
				return "sunny", nil
			}),
		mcp.AddTool(s, mcp.Tool{Name: "refresh_dashboard", Meta: mcp.ToolUI{ResourceURI: uri, Visibility: []mcp.Visibility{mcp.VisibleToApp}}.Meta()},
			func(context.Context, *mcp.Call, struct{}) (string, error) { return "", nil }),
		mcp.AddTool(s, mcp.Tool{Name: "plain"}, func(context.Context, *mcp.Call, struct{}) (string, error) { return "", nil }),
	)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestAppsOverEachRevision(t *testing.T) {
	const (
		settings = `{"csp":{"connectDomains":["https://api.openweathermap.org"],"resourceDomains":["https://cdn.jsdelivr.net"]},"prefersBorder":true}`
		links    = `{"ui":{"resourceUri":"ui://weather-server/dashboard-template","visibility":["model","app"]}}`
	)
	for _, version := range mcp.Versions() {
		t.Run(string(version), func(t *testing.T) {
			c := mcp.NewClient("host", "1", mcptest.Pair(t, newAppServer(t), version), nil)
			d, err := c.Discover(t.Context())
			if err != nil || string(d.Capabilities.Extensions[mcp.ExtensionApps]) != `{"mimeTypes":["text/html;profile=mcp-app"]}` {
				t.Errorf("capabilities = %+v, %v", d, err)
			}
			tools, err := c.ListTools(t.Context())
			if err != nil || len(tools) != 3 {
				t.Fatalf("tools = %+v, %v", tools, err)
			}
			if string(tools[0].Meta) != links || tools[2].Meta != nil {
				t.Errorf("_meta of the tools = %s, %s", tools[0].Meta, tools[2].Meta)
			}
			got := []bool{tools[0].VisibleTo(mcp.VisibleToModel), tools[1].VisibleTo(mcp.VisibleToModel), tools[1].VisibleTo(mcp.VisibleToApp), tools[2].VisibleTo(mcp.VisibleToModel)}
			if diff := cmp.Diff([]bool{true, false, true, true}, got); diff != "" {
				t.Errorf("who sees which tool (-want +got):\n%s", diff)
			}
			res, err := c.ReadResource(t.Context(), tools[0].UI().ResourceURI, nil)
			if err != nil {
				t.Fatal(err)
			}
			want := []mcp.ResourceContents{{URI: dashboard().URI, MIMEType: mcp.AppMIMEType, Text: weatherPage, Meta: mcp.Raw(`{"ui":` + settings + `}`)}}
			if diff := cmp.Diff(want, res.Contents); diff != "" {
				t.Errorf("page (-want +got):\n%s", diff)
			}
			if a, err := mcp.AppSettingsOf(res.Contents[0].Meta); err != nil || a.CSP.ConnectDomains[0] != "https://api.openweathermap.org" || !*a.PrefersBorder {
				t.Errorf("settings = %+v, %v", a, err)
			}
		})
	}
}

func TestCanShowApps(t *testing.T) {
	s := newAppServer(t)
	for settings, want := range map[string]string{
		`{"mimeTypes":["text/html;profile=mcp-app"]}`: "sunny, as the page shows",
		`{"mimeTypes":["text/html"]}`:                 "sunny",
		`{}`:                                          "sunny",
		`true`:                                        "sunny",
	} {
		c := mcp.NewClient("c", "1", s, &mcp.ClientOptions{Capabilities: &mcp.ClientCapabilities{Extensions: map[string]mcp.Raw{mcp.ExtensionApps: mcp.Raw(settings)}}})
		if r, err := c.CallTool(t.Context(), "get_weather", nil, nil); err != nil || r.Text() != want {
			t.Errorf("%s: %+v, %v", settings, r, err)
		}
	}
}

func TestAppReads(t *testing.T) {
	s := mcp.NewServer("s", "1", nil)
	text := weatherPage
	if err := s.AddApp(mcp.App{URI: "ui://a", Read: func(context.Context, *mcp.Call) (string, error) { return text, nil }}); err != nil {
		t.Fatal(err)
	}
	c := mcp.NewClient("c", "1", s, nil)
	if res, err := c.ReadResource(t.Context(), "ui://a", nil); err != nil || res.Contents[0].Text != weatherPage || res.Contents[0].Meta != nil {
		t.Errorf("page = %+v, %v", res, err)
	}
	text = "oops"
	if res, err := c.ReadResource(t.Context(), "ui://a", nil); err == nil {
		t.Errorf("a text that is no page = %+v", res)
	}
	if list, err := c.ListResources(t.Context()); err != nil || list[0].Name != "ui://a" || list[0].MIMEType != mcp.AppMIMEType {
		t.Errorf("resources = %+v, %v", list, err)
	}
}

func TestAppsRefused(t *testing.T) {
	for name, change := range map[string]func(*mcp.App){
		"another scheme": func(a *mcp.App) { a.URI = "https://x/y" },
		"no name":        func(a *mcp.App) { a.URI = "ui://" },
		"no page":        func(a *mcp.App) { a.HTML = "" },
		"two pages": func(a *mcp.App) {
			a.Read = func(context.Context, *mcp.Call) (string, error) { return weatherPage, nil }
		},
		"a fragment of HTML":      func(a *mcp.App) { a.HTML = "<p>hello" },
		"an origin with a path":   func(a *mcp.App) { a.Settings.CSP.ConnectDomains = []string{"https://x/y"} },
		"an origin without host":  func(a *mcp.App) { a.Settings.CSP.FrameDomains = []string{"https://"} },
		"any origin":              func(a *mcp.App) { a.Settings.CSP.ResourceDomains = []string{"*"} },
		"a wildcard in the end":   func(a *mcp.App) { a.Settings.CSP.ResourceDomains = []string{"https://example.*"} },
		"a directive":             func(a *mcp.App) { a.Settings.CSP.BaseURIDomains = []string{"https://x; script-src *"} },
		"a keyword of the policy": func(a *mcp.App) { a.Settings.CSP.ResourceDomains = []string{"'unsafe-eval'"} },
	} {
		a := dashboard()
		change(&a)
		if err := mcp.NewServer("s", "1", nil).AddApp(a); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	for _, origin := range []string{"https://x.example.com", "wss://x:8443", "https://*.example.com", "http://localhost:*"} {
		a := dashboard()
		a.Settings.CSP.ConnectDomains = []string{origin}
		if err := mcp.NewServer("s", "1", nil).AddApp(a); err != nil {
			t.Errorf("%s: %v", origin, err)
		}
	}
	if _, err := mcp.AppSettingsOf(mcp.Raw(`{"ui":{"csp":{"connectDomains":["https://x; default-src *"]}}}`)); err == nil {
		t.Error("a directive in the settings of a page was accepted")
	}
	if _, err := mcp.AppSettingsOf(mcp.Raw(`{"ui":1}`)); err == nil {
		t.Error("settings that are no object were accepted")
	}
}

func TestToolsOfApps(t *testing.T) {
	nothing := func(context.Context, *mcp.Call, struct{}) (string, error) { return "", nil }
	for meta, want := range map[string]string{
		`{"ui":{"resourceUri":"ui://weather-server/missing"}}`: "call AddApp first",
		`{"ui":{"resourceUri":"https://x"}}`:                   "ui://",
		`{"ui":{"visibility":["everybody"]}}`:                  "visibility",
		`{"ui":{"resourceUri":1}}`:                             "_meta.ui",
		`{"ui":"x"}`:                                           "_meta.ui",
	} {
		err := mcp.AddTool(newAppServer(t), mcp.Tool{Name: "t", Meta: mcp.Raw(meta)}, nothing)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v; want an error with %q", meta, err, want)
		}
	}
	s := mcp.NewServer("s", "1", nil)
	if err := s.AddResourceTemplate(mcp.ResourceTemplate{URITemplate: "ui://made/{name}", Name: "made", MIMEType: mcp.AppMIMEType},
		func(context.Context, *mcp.Call, string, map[string]string) ([]mcp.ResourceContents, error) {
			return nil, nil
		}); err != nil {
		t.Fatal(err)
	}
	for _, meta := range []string{`{"ui":{"resourceUri":"ui://made/x"}}`, `{"ui":{"visibility":["model"]}}`, `{"x":1}`} {
		if err := mcp.AddTool(s, mcp.Tool{Name: "t", Meta: mcp.Raw(meta)}, nothing); err != nil {
			t.Errorf("%s: %v", meta, err)
		}
	}
	old := mcp.Tool{Meta: mcp.Raw(`{"ui/resourceUri":"ui://a"}`)}
	if got := old.UI().ResourceURI; got != "ui://a" {
		t.Errorf("the old form of the link = %q", got)
	}
	if bad := (&mcp.Tool{Meta: mcp.Raw(`{"ui":{"visibility":"app"}}`)}); !bad.VisibleTo(mcp.VisibleToModel) || jsonrpc.Get(bad.Meta, "ui") == nil {
		t.Error("a visibility that cannot be read hides the tool")
	}
}
