package upstream

import (
	"bytes"
	"context"
	"fmt"
	"maps"

	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/mcp/jsonrpc"
)

// Catalogue is what an upstream offers, as it said so. It is immutable.
type Catalogue struct {
	Capabilities []byte // raw ServerCapabilities
	Instructions string
	Server       []byte // raw Implementation, or nil
	Tools        []Item
	Resources    []Item
	Templates    []Item
	Prompts      []Item

	versions []mcp.Version      // that it says it supports
	hints    map[Kind]mcp.Cache // of its lists, as it said
}

// Item is one entry of a list: its name (for resources the URI, for templates the
// URI template) and its raw JSON.
type Item struct {
	Name string
	Raw  []byte
}

// Kind names one list of a catalogue.
type Kind string

// The lists of a catalogue.
const (
	Tools     Kind = "tools"
	Resources Kind = "resources"
	Templates Kind = "resourceTemplates"
	Prompts   Kind = "prompts"
)

// Kinds lists the kinds. It returns a new slice.
func Kinds() []Kind { return []Kind{Tools, Resources, Templates, Prompts} }

// Method returns the method that lists the kind.
func (k Kind) Method() string {
	switch k {
	case Tools:
		return mcp.MethodListTools
	case Resources:
		return mcp.MethodListResources
	case Templates:
		return mcp.MethodListTemplates
	case Prompts:
		return mcp.MethodListPrompts
	}
	return ""
}

// key returns the member of an item that names it.
func (k Kind) key() string {
	switch k {
	case Resources:
		return "uri"
	case Templates:
		return "uriTemplate"
	}
	return "name"
}

// capability returns the capability that a server with such a list declares.
func (k Kind) capability() string {
	if k == Templates {
		return string(Resources)
	}
	return string(k)
}

// Items returns the list of a kind.
func (c *Catalogue) Items(k Kind) []Item {
	switch k {
	case Tools:
		return c.Tools
	case Resources:
		return c.Resources
	case Templates:
		return c.Templates
	case Prompts:
		return c.Prompts
	}
	return nil
}

func (c *Catalogue) set(k Kind, items []Item, hint mcp.Cache) {
	hints := maps.Clone(c.hints) // c may be a copy of one that others read
	if hints == nil {
		hints = make(map[Kind]mcp.Cache)
	}
	hints[k] = hint
	c.hints = hints
	switch k {
	case Tools:
		c.Tools = items
	case Resources:
		c.Resources = items
	case Templates:
		c.Templates = items
	case Prompts:
		c.Prompts = items
	}
}

// Has reports whether the upstream declared a capability, such as "tools".
func (c *Catalogue) Has(capability string) bool {
	return jsonrpc.Get(c.Capabilities, capability) != nil
}

// Subscribes reports whether the upstream says when a resource is updated.
func (c *Catalogue) Subscribes() bool {
	return string(jsonrpc.Get(jsonrpc.Get(c.Capabilities, "resources"), "subscribe")) == "true"
}

// version is the revision that the upstream is spoken to in, going by what it
// says: the newest, unless it has or is to be spoken to in a session.
func (c *Catalogue) version(era Era) mcp.Version {
	for _, v := range c.versions {
		if era != EraLegacy && v.Modern() {
			return mcp.LatestVersion
		}
	}
	for _, v := range c.versions {
		if v.Known() && !v.Modern() {
			return v
		}
	}
	return mcp.LatestVersion
}

const metaServerInfo = "io.modelcontextprotocol/serverInfo"

// fetch asks an upstream for everything that it offers.
func (u *Upstream) fetch(ctx context.Context, h mcp.Handler) (*Catalogue, error) {
	res, err := h.Handle(ctx, u.request(mcp.MethodDiscover, []byte(`{}`)), mcp.Discard)
	if err != nil {
		return nil, fmt.Errorf("discover: %w", err)
	}
	c := &Catalogue{
		Capabilities: bytes.Clone(jsonrpc.Get(res.Body, "capabilities")),
		Server:       bytes.Clone(jsonrpc.Get(jsonrpc.Get(res.Body, "_meta"), metaServerInfo)),
	}
	for raw := range jsonrpc.Elements(jsonrpc.Get(res.Body, "supportedVersions")) {
		if v, ok := jsonrpc.Unquote(raw); ok {
			c.versions = append(c.versions, mcp.Version(v))
		}
	}
	c.Instructions, _ = jsonrpc.Unquote(jsonrpc.Get(res.Body, "instructions"))
	for _, k := range Kinds() {
		if !c.Has(k.capability()) {
			continue
		}
		items, hint, err := u.fetchList(ctx, h, k)
		if err != nil {
			return nil, err
		}
		c.set(k, items, hint)
	}
	return c, nil
}

// fetchList asks for all pages of one list. A server that declares the capability
// but has no such method, as many do for templates, has an empty list.
func (u *Upstream) fetchList(ctx context.Context, h mcp.Handler, k Kind) (items []Item, hint mcp.Cache, err error) {
	var (
		size   int
		params = []byte(`{}`)
		seen   = make(map[string]bool) // cursors, since a server that repeats one would be asked for ever
	)
	for {
		res, err := h.Handle(ctx, u.request(k.Method(), params), mcp.Discard)
		if err != nil {
			if mcp.ErrorOf(err).Code == jsonrpc.CodeMethodNotFound {
				return nil, hint, nil
			}
			return nil, hint, fmt.Errorf("%s: %w", k.Method(), err)
		}
		if len(seen) == 0 {
			hint = res.Cache
		}
		hint = stricter(hint, res.Cache)
		for raw := range jsonrpc.Elements(jsonrpc.Get(res.Body, string(k))) {
			name, ok := jsonrpc.Unquote(jsonrpc.Get(raw, k.key()))
			if !ok || name == "" {
				return nil, hint, fmt.Errorf("%s: entry %d has no %s", k.Method(), len(items), k.key())
			}
			size += len(raw)
			if len(items) == u.opts.MaxItems || size > u.opts.MaxListBytes {
				return nil, hint, fmt.Errorf("%s: more than %d entries or %d bytes", k.Method(), u.opts.MaxItems, u.opts.MaxListBytes)
			}
			items = append(items, Item{Name: name, Raw: bytes.Clone(raw)})
		}
		cursor := jsonrpc.Get(res.Body, "nextCursor")
		if cursor == nil || string(cursor) == "null" {
			return items, hint, nil
		}
		if seen[string(cursor)] || len(seen) > u.opts.MaxItems {
			return nil, hint, fmt.Errorf("%s: the pages do not end", k.Method())
		}
		seen[string(cursor)] = true
		params = jsonrpc.Splice(nil, []byte(`{}`), jsonrpc.Member{Key: "cursor", Value: bytes.Clone(cursor)})
	}
}

// request makes a request of the node's own.
func (u *Upstream) request(method string, params []byte) *mcp.Request {
	return &mcp.Request{Method: method, Params: params, Meta: mcp.Meta{
		Version:      mcp.LatestVersion,
		ClientInfo:   u.clientInfo,
		Capabilities: []byte(`{}`),
	}}
}

// differences lists the kinds whose lists are not the same bytes.
func differences(a, b *Catalogue) []Kind {
	var kinds []Kind
	for _, k := range Kinds() {
		if !equal(a.Items(k), b.Items(k)) {
			kinds = append(kinds, k)
		}
	}
	return kinds
}

// same reports whether both say the same.
func (c *Catalogue) same(d *Catalogue) bool {
	return len(differences(c, d)) == 0 && bytes.Equal(c.Capabilities, d.Capabilities) &&
		bytes.Equal(c.Server, d.Server) && c.Instructions == d.Instructions && maps.Equal(c.hints, d.hints)
}

func equal(a, b []Item) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if !bytes.Equal(a[i].Raw, b[i].Raw) {
			return false
		}
	}
	return true
}
