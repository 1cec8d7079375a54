package mcp

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/fairlead-mcp/fairlead/mcp/jsonrpc"
	"github.com/go-json-experiment/json"
)

const (
	// ExtensionApps is the identifier of MCP Apps (SEP-1865, revision 2026-01-26).
	ExtensionApps = "io.modelcontextprotocol/ui"
	// AppMIMEType is the MIME type of an app's page.
	AppMIMEType = "text/html;profile=mcp-app"

	appScheme = "ui://"
	memberUI  = "ui" // of _meta
)

// App is an interactive page that a host shows beside the results of tools
// (SEP-1865, UI Resource Format). The page is a resource; tools point to it by
// [ToolUI]. Hosts that know no apps see the tools' content alone, so that has to say
// enough.
type App struct {
	URI         string // ui://...
	Name        string // empty means the URI
	Title       string
	Description string
	// HTML is the page, a whole HTML5 document. Nothing is loaded from elsewhere but
	// from what Settings name.
	HTML string
	// Read makes the page instead, for each request.
	Read func(ctx context.Context, call *Call) (string, error)
	// Settings are what the page needs of the host.
	Settings AppSettings
}

// AppSettings are what a page needs of the host, as _meta.ui of a resource has them
// (SEP-1865, UIResourceMeta). The zero value asks for nothing.
type AppSettings struct {
	CSP         *AppCSP         `json:"csp,omitzero"`
	Permissions *AppPermissions `json:"permissions,omitzero"`
	// Domain asks for an origin of the page's own. Its form is the host's.
	Domain string `json:"domain,omitzero"`
	// PrefersBorder asks for a visible border. Nil leaves it to the host.
	PrefersBorder *bool `json:"prefersBorder,omitzero"`
}

// AppCSP lists the origins that a page needs, such as https://api.example.com or
// https://*.example.com. What is not listed is blocked.
type AppCSP struct {
	ConnectDomains  []string `json:"connectDomains,omitempty"`  // requests and sockets
	ResourceDomains []string `json:"resourceDomains,omitempty"` // scripts, styles, images, fonts, media
	FrameDomains    []string `json:"frameDomains,omitempty"`    // nested frames
	BaseURIDomains  []string `json:"baseUriDomains,omitempty"`  // base of the document
}

// AppPermissions are browser features that a page asks for. It may get none of them.
type AppPermissions struct {
	Camera         *struct{} `json:"camera,omitzero"`
	Microphone     *struct{} `json:"microphone,omitzero"`
	Geolocation    *struct{} `json:"geolocation,omitzero"`
	ClipboardWrite *struct{} `json:"clipboardWrite,omitzero"`
}

// ToolUI says which app shows the results of a tool, and who may call the tool
// (SEP-1865, Resource Discovery).
type ToolUI struct {
	// ResourceURI is the URI of an [App] of the same server, or empty for a tool that
	// only says who sees it.
	ResourceURI string `json:"resourceUri,omitzero"`
	// Visibility is who may call the tool. Empty means both.
	Visibility []Visibility `json:"visibility,omitempty"`
}

// Visibility is who may call a tool.
type Visibility string

// Who may call a tool.
const (
	VisibleToModel Visibility = "model"
	VisibleToApp   Visibility = "app" // pages of the same server
)

// Meta returns u as the _meta of a [Tool]:
//
//	mcp.Tool{Name: "weather", Meta: mcp.ToolUI{ResourceURI: "ui://weather/dashboard"}.Meta()}
func (u ToolUI) Meta() Raw {
	b, err := json.Marshal(map[string]ToolUI{memberUI: u}, lenient)
	if err != nil {
		panic(fmt.Sprintf("mcp: ToolUI: %v", err)) // strings alone cannot fail
	}
	return b
}

// UI returns what the tool's _meta says of apps; zero if it says nothing that can be
// read. An old form of the link, "ui/resourceUri", is understood.
func (t *Tool) UI() ToolUI {
	var u ToolUI
	if raw := jsonrpc.Get(t.Meta, memberUI); raw != nil {
		if json.Unmarshal(raw, &u) != nil {
			return ToolUI{}
		}
		return u
	}
	u.ResourceURI, _ = jsonrpc.Unquote(jsonrpc.Get(t.Meta, "ui/resourceUri"))
	return u
}

// VisibleTo reports whether the model, or pages of the same server, may call the tool.
func (t *Tool) VisibleTo(who Visibility) bool {
	v := t.UI().Visibility
	return len(v) == 0 || slices.Contains(v, who)
}

// AppSettingsOf returns what the _meta of a page's contents asks of the host.
func AppSettingsOf(meta Raw) (AppSettings, error) {
	var a AppSettings
	raw := jsonrpc.Get(meta, memberUI)
	if raw == nil {
		return a, nil
	}
	if err := json.Unmarshal(raw, &a); err != nil {
		return AppSettings{}, fmt.Errorf("_meta.ui: %w", err)
	}
	if err := a.check(); err != nil {
		return AppSettings{}, fmt.Errorf("_meta.ui: %w", err)
	}
	return a, nil
}

// CanShowApps reports whether the client shows apps. Without, the content of the
// result is all that the user sees.
func (c *Call) CanShowApps() bool {
	settings := jsonrpc.Get(jsonrpc.Get(c.req.Meta.Capabilities, "extensions"), ExtensionApps)
	for mimeType := range jsonrpc.Elements(jsonrpc.Get(settings, "mimeTypes")) {
		if s, _ := jsonrpc.Unquote(mimeType); s == AppMIMEType {
			return true
		}
	}
	return false
}

// AddApp registers the page of an app as a resource (SEP-1865). An app with the same
// URI is replaced. Tools that point to it are added after it.
func (s *Server) AddApp(a App) error {
	if err := a.check(); err != nil {
		return fmt.Errorf("app %q: %w", a.URI, err)
	}
	settings, err := json.Marshal(&a.Settings)
	if err != nil {
		return fmt.Errorf("app %q: %w", a.URI, err)
	}
	var meta Raw
	if string(settings) != "{}" {
		meta = jsonrpc.Splice(nil, nil, jsonrpc.Member{Key: memberUI, Value: settings})
	}
	r := Resource{URI: a.URI, Name: a.Name, Title: a.Title, Description: a.Description, MIMEType: AppMIMEType, Meta: meta}
	if r.Name == "" {
		r.Name = a.URI
	}
	s.apps.Store(true)
	return s.AddResource(r, func(ctx context.Context, call *Call, uri string) ([]ResourceContents, error) {
		page := a.HTML
		if a.Read != nil {
			var err error
			if page, err = a.Read(ctx, call); err != nil {
				return nil, err
			}
			if !isDocument(page) {
				return nil, fmt.Errorf("app %q: %w", a.URI, errNoDocument)
			}
		}
		return []ResourceContents{{URI: uri, MIMEType: AppMIMEType, Text: page, Meta: meta}}, nil
	})
}

var errNoDocument = errors.New("the page is not an HTML5 document, which begins with <!DOCTYPE html>")

func isDocument(page string) bool {
	const doctype = "<!doctype html"
	page = strings.TrimLeft(strings.TrimPrefix(page, "\ufeff"), " \t\r\n")
	return len(page) > len(doctype) && strings.EqualFold(page[:len(doctype)], doctype)
}

func (a *App) check() error {
	switch {
	case !validAppURI(a.URI):
		return errors.New("the URI is not ui:// and a name")
	case (a.HTML == "") == (a.Read == nil):
		return errors.New("give either HTML or Read")
	case a.Read == nil && !isDocument(a.HTML):
		return errNoDocument
	}
	return a.Settings.check()
}

func validAppURI(uri string) bool {
	u, err := url.Parse(uri)
	return err == nil && strings.HasPrefix(uri, appScheme) && u.Host != ""
}

// appOrigin is a source of a Content-Security-Policy. Hosts paste it into one, so
// nothing that could begin another directive is let through.
var appOrigin = regexp.MustCompile(`^(https?|wss?)://(\*\.)?[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?(:([0-9]{1,5}|\*))?$`)

func (a *AppSettings) check() error {
	if a.CSP == nil {
		return nil
	}
	for _, list := range [][]string{a.CSP.ConnectDomains, a.CSP.ResourceDomains, a.CSP.FrameDomains, a.CSP.BaseURIDomains} {
		for _, origin := range list {
			if !appOrigin.MatchString(origin) {
				return fmt.Errorf("csp: %q is not an origin such as https://api.example.com or https://*.example.com", clip(origin))
			}
		}
	}
	return nil
}

// checkUI refuses a tool that points to no app of the server.
func (s *Server) checkUI(t *Tool) error {
	raw := jsonrpc.Get(t.Meta, memberUI)
	if raw == nil {
		return nil
	}
	var u ToolUI
	if err := json.Unmarshal(raw, &u); err != nil {
		return fmt.Errorf("_meta.ui: %w", err)
	}
	for _, v := range u.Visibility {
		if v != VisibleToModel && v != VisibleToApp {
			return fmt.Errorf("_meta.ui: visibility %q is not %q or %q", clip(string(v)), VisibleToModel, VisibleToApp)
		}
	}
	if u.ResourceURI == "" {
		return nil
	}
	if !validAppURI(u.ResourceURI) {
		return fmt.Errorf("_meta.ui: %q is not the URI of an app, ui:// and a name", clip(u.ResourceURI))
	}
	if _, ok := s.resources.get(u.ResourceURI); ok {
		return nil
	}
	for _, template := range s.templates.all() {
		if _, ok := template.match.match(u.ResourceURI); ok {
			return nil
		}
	}
	return fmt.Errorf("_meta.ui: the server has no app %q; call AddApp first", clip(u.ResourceURI))
}
