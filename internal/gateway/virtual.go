package gateway

import (
	"net/url"
	"reflect"
	"slices"
	"strings"

	"github.com/fairlead-mcp/fairlead/internal/upstream"
	"github.com/fairlead-mcp/fairlead/mcp/jsonrpc"
)

// Virtual is a server made of chosen things of several upstreams.
type Virtual struct {
	Name         string
	Instructions string // empty for those of the upstreams
	Tools        []Pick
	Prompts      []Pick
	Resources    []Pick // and templates
	// ToolSearch lists find_tools and call_tool in place of the tools.
	ToolSearch bool
}

// Pick chooses things of upstreams. Of several picks the first that takes a thing
// has it, but for one that names it plainly: that one has it too, under another name.
type Pick struct {
	From        []string // names of upstreams
	Names       []string // patterns of names or URIs; empty for all
	As          string   // new name, where Names is one plain name
	Prefix      string   // before each name
	Title       string   // empty for the upstream's own
	Description string   // empty for the upstream's own
	// Defaults and Fixed hold raw JSON by argument. A default is used when a caller
	// gives nothing; what is fixed is used always, and no caller learns of it.
	Defaults, Fixed map[string][]byte
}

// picks are those for a kind. Templates are chosen with resources.
func (v *Virtual) picks(kind upstream.Kind) []Pick {
	switch kind {
	case upstream.Tools:
		return v.Tools
	case upstream.Prompts:
		return v.Prompts
	}
	return v.Resources
}

// upstreams are those that the virtual server chooses from.
func (v *Virtual) upstreams(all []*upstream.Upstream) (out []*upstream.Upstream) {
	for _, u := range all {
		if slices.ContainsFunc(slices.Concat(v.Tools, v.Prompts, v.Resources), func(p Pick) bool { return p.from(u) }) {
			out = append(out, u)
		}
	}
	return out
}

// equal reports whether both are the same to every caller.
func (v *Virtual) equal(w *Virtual) bool { return reflect.DeepEqual(v, w) }

func plain(pattern string) bool { return !strings.ContainsAny(pattern, "*?") }

// takes reports whether the pick has something of this name, and whether it names it plainly.
func (p *Pick) takes(name string) (ok, byName bool) {
	if len(p.Names) == 0 {
		return true, false
	}
	for _, pattern := range p.Names {
		if plain(pattern) && pattern == name {
			return true, true
		}
		ok = ok || !plain(pattern) && upstream.Match(pattern, name)
	}
	return ok, false
}

func (p *Pick) from(u *upstream.Upstream) bool { return slices.Contains(p.From, u.Name()) }

// has reports whether a capability can be of use with what the server chooses.
func (v *Virtual) has(capability string) bool {
	switch capability {
	case "tools":
		return len(v.Tools) > 0
	case "prompts":
		return len(v.Prompts) > 0
	case "resources":
		return len(v.Resources) > 0
	case "completions":
		return len(v.Prompts)+len(v.Resources) > 0
	}
	return true
}

// own returns what u, which has not been listed, would call something.
func (v *Virtual) own(u *upstream.Upstream, kind upstream.Kind, name string) (own string, ok bool) {
	picks := v.picks(kind)
	for i := range picks {
		p := &picks[i]
		switch {
		case !p.from(u):
		case p.As == name:
			return p.Names[0], true
		case p.As == "":
			own, ok := strings.CutPrefix(name, p.Prefix)
			if takes, _ := p.takes(own); ok && takes {
				return own, true
			}
		}
	}
	return "", false
}

// name is what something is called by the pick.
func (p *Pick) name(own string) string {
	if p.As != "" {
		return p.As
	}
	return p.Prefix + own
}

// offer is something of an upstream, as a scope would show it.
type offer struct {
	upstream *upstream.Upstream
	item     upstream.Item
	name     string // as the scope has it
	raw      []byte // as the scope has it
	args     *arguments
	problem  string // why it cannot be offered; empty if it can
}

// chosen lists what the virtual server chooses, in the order of its picks, and what
// picks found nothing although all that they choose from is known.
func (s *scope) chosen(v *view, kind upstream.Kind) (offers []offer) {
	taken := make(map[string]bool) // upstream, name
	picks := s.virtual.picks(kind)
	for i := range picks {
		p := &picks[i]
		for j, u := range s.upstreams {
			if v.built[j] == nil || !p.from(u) {
				continue
			}
			for _, item := range v.built[j].Items(kind) {
				ok, byName := p.takes(item.Name)
				key := u.Name() + " " + item.Name
				if !ok || taken[key] && !byName {
					continue
				}
				taken[key] = true
				offers = append(offers, s.exposeOffer(kind, p.offer(kind, u, item)))
			}
		}
	}
	return offers
}

// offer makes of something what the pick makes of it.
func (p *Pick) offer(kind upstream.Kind, u *upstream.Upstream, item upstream.Item) offer {
	o := offer{upstream: u, item: item, name: item.Name, raw: item.Raw}
	if kind != upstream.Tools && kind != upstream.Prompts {
		return o
	}
	o.name = p.name(item.Name)
	var edits []jsonrpc.Member
	for _, e := range []struct{ key, value string }{{"name", o.name}, {"title", p.Title}, {"description", p.Description}} {
		if e.value != "" && (e.key != "name" || o.name != item.Name) {
			edits = append(edits, jsonrpc.Member{Key: e.key, Value: jsonrpc.AppendString(nil, e.value)})
		}
	}
	if o.args = newArguments(p); o.args != nil {
		var edit jsonrpc.Member
		if kind == upstream.Tools {
			edit, o.problem = o.args.shapeTool(item.Raw)
		} else {
			edit, o.problem = o.args.shapePrompt(item.Raw)
		}
		edits = append(edits, edit)
	}
	if len(edits) > 0 {
		o.raw = jsonrpc.Splice(nil, item.Raw, edits...)
	}
	return o
}

// barren tells of plain names that no upstream has, once all that the pick chooses
// from have been listed: they are mostly misspelt.
func (s *scope) barren(v *view) {
	for _, kind := range []upstream.Kind{upstream.Tools, upstream.Prompts, upstream.Resources} {
		for _, p := range s.virtual.picks(kind) {
			for _, name := range p.Names {
				if !plain(name) || !s.nobodyHas(v, kind, &p, name) {
					continue
				}
				v.hidden = append(v.hidden, Hidden{Kind: kind, Virtual: s.virtual.Name, Upstream: strings.Join(p.From, ", "), Name: name, Reason: "there is no such thing there"})
			}
		}
	}
}

func (s *scope) nobodyHas(v *view, kind upstream.Kind, p *Pick, name string) bool {
	for j, u := range s.upstreams {
		if !p.from(u) {
			continue
		}
		if v.built[j] == nil {
			return false
		}
		has := func(item upstream.Item) bool { return item.Name == name }
		if slices.ContainsFunc(v.built[j].Items(kind), has) || kind == upstream.Resources && slices.ContainsFunc(v.built[j].Templates, has) {
			return false
		}
	}
	return true
}

// unlisted lists who may be asked for a resource that nobody lists: upstreams of
// which a pick takes the URI.
func (s *scope) unlisted(u *upstream.Upstream, uri string) bool {
	if s.virtual == nil {
		return true
	}
	if climbs(uri) {
		return false
	}
	for i := range s.virtual.Resources {
		p := &s.virtual.Resources[i]
		if ok, _ := p.takes(uri); ok && p.from(u) {
			return true
		}
	}
	return false
}

// climbs reports whether a URI has .. as a part of its path, however it is written:
// to a pattern it looks as if it were below something that it leaves.
func climbs(uri string) bool {
	for range 3 { // encoded twice is still understood by some
		if slices.ContainsFunc(strings.FieldsFunc(uri, func(r rune) bool { return r == '/' || r == '\\' }), func(part string) bool { return part == ".." }) {
			return true
		}
		next, err := url.PathUnescape(uri)
		if err != nil || next == uri {
			return false
		}
		uri = next
	}
	return true
}
