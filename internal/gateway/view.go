package gateway

import (
	"encoding/base64"
	"encoding/binary"
	"hash/fnv"
	"slices"
	"sync"

	"github.com/fairlead-mcp/fairlead/internal/upstream"
	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/mcp/jsonrpc"
)

// Hidden is something of an upstream that the gateway does not offer.
type Hidden struct {
	Kind     upstream.Kind
	Virtual  string // the virtual server that does not offer it; empty for Root
	Upstream string
	Name     string // the upstream's own name for it
	Reason   string
}

// view is what a scope offers at one moment. It is immutable.
type view struct {
	built     []*upstream.Catalogue // what it was made of, per upstream
	targets   map[upstream.Kind]map[string]*target
	templates []ownedTemplate // most specific first, then in config order
	lists     map[upstream.Kind]*list
	hidden    []Hidden
	tools     [][]byte            // as listed; only with tool search
	search    func() *searchIndex // made when it is first needed
}

// target is one thing that can be called.
type target struct {
	upstream *upstream.Upstream
	name     string     // the upstream's own name for it
	allowed  bool       // a tool that is not is in no list, and calls of it are answered as if it did not exist
	rule     string     // why it is or is not allowed
	args     *arguments // what a virtual server gives for its callers; mostly nil
	// headers compiles the tool's mirrored parameters when they are first needed.
	headers func() (*mcp.HeaderParams, error)
	// repeatable says that to call it twice is to call it once: a tool that says so of itself.
	repeatable bool
	// structured says that a tool promises structured content.
	structured bool
}

type ownedTemplate struct {
	*template
	upstream *upstream.Upstream
}

// list is one list, encoded once.
type list struct {
	generation uint64   // hash of the content: the same content has the same cursors after a restart
	pages      [][]byte // whole result bodies; never empty
}

// maxPageBytes bounds a page, so that a list of huge schemas does not become one huge message.
const maxPageBytes = 4 << 20

// buildView merges what the upstreams of a scope offer. Earlier offers win.
func buildView(s *scope) *view {
	v := &view{targets: make(map[upstream.Kind]map[string]*target), lists: make(map[upstream.Kind]*list)}
	for _, u := range s.upstreams {
		v.built = append(v.built, u.Catalogue())
	}
	for _, kind := range upstream.Kinds() {
		v.targets[kind] = make(map[string]*target)
		var items [][]byte
		for _, o := range s.offers(v, kind) {
			if why := v.add(kind, &o); why != "" {
				v.hidden = append(v.hidden, Hidden{Kind: kind, Virtual: s.name(), Upstream: o.upstream.Name(), Name: o.item.Name, Reason: why})
			} else if v.targets[kind][o.name].allowed {
				items = append(items, o.raw)
			}
		}
		v.lists[kind] = newList(kind, items, s.g.opts.PageSize)
		if s.search && kind == upstream.Tools {
			v.tools = items
			v.search = sync.OnceValue(func() *searchIndex { return newSearchIndex(items) })
		}
	}
	if s.virtual != nil {
		s.barren(v)
	}
	slices.SortStableFunc(v.templates, func(a, b ownedTemplate) int { return b.literals - a.literals })
	return v
}

// offers lists what a scope would show of a kind, in order of precedence.
func (s *scope) offers(v *view, kind upstream.Kind) (offers []offer) {
	if s.virtual != nil {
		return s.chosen(v, kind)
	}
	for i, u := range s.upstreams {
		if v.built[i] == nil {
			continue
		}
		for _, item := range v.built[i].Items(kind) {
			o := offer{upstream: u, item: item, name: item.Name, raw: item.Raw}
			if s.prefixed && (kind == upstream.Tools || kind == upstream.Prompts) {
				o.name = exposed(u.Name(), item.Name)
				o.raw = jsonrpc.Splice(nil, item.Raw, jsonrpc.Member{Key: "name", Value: jsonrpc.AppendString(nil, o.name)})
			}
			offers = append(offers, s.exposeOffer(kind, o))
		}
	}
	return offers
}

// exposeOffer rewrites the URIs of an offer, where its upstream wants that.
func (s *scope) exposeOffer(kind upstream.Kind, o offer) offer {
	switch kind {
	case upstream.Tools:
		o.raw = s.exposeTool(o.upstream, o.raw)
	case upstream.Resources, upstream.Templates:
		if uri := s.exposedURI(o.upstream, o.item.Name); uri != o.item.Name {
			o.name = uri
			o.raw = s.exposeURI(o.upstream, o.raw, map[upstream.Kind]string{upstream.Resources: "uri", upstream.Templates: "uriTemplate"}[kind])
		}
	}
	return o
}

// add makes a target of an offer, or says why it is hidden.
func (v *view) add(kind upstream.Kind, o *offer) (hidden string) {
	t := &target{upstream: o.upstream, name: o.item.Name, args: o.args, allowed: true}
	if kind == upstream.Tools {
		t.rule, t.allowed = o.upstream.Allows(o.item.Name)
	}
	if winner, taken := v.targets[kind][o.name]; taken && (winner.allowed || !t.allowed) {
		return "the same is offered by " + winner.upstream.Name()
	}
	if o.problem != "" {
		return o.problem
	}
	if why := poisoned(kind, o.item.Name); why != "" {
		return why
	}
	switch kind {
	case upstream.Tools:
		schema := jsonrpc.Get(o.raw, "inputSchema")
		t.repeatable = repeatable(o.item.Raw)
		t.structured = jsonrpc.Get(o.item.Raw, "outputSchema") != nil
		t.headers = sync.OnceValues(func() (*mcp.HeaderParams, error) { return mcp.CompileHeaderParams(schema) })
	case upstream.Templates:
		compiled := compileTemplate(o.name)
		if compiled == nil {
			return "not a URI template"
		}
		v.templates = append(v.templates, ownedTemplate{compiled, o.upstream})
	}
	v.targets[kind][o.name] = t
	return ""
}

// repeatable reports whether a tool says that to call it twice is to call it once.
func repeatable(tool []byte) bool {
	hints := jsonrpc.Get(tool, "annotations")
	if len(hints) == 0 || hints[0] != '{' {
		return false
	}
	return string(jsonrpc.Get(hints, "idempotentHint")) == "true" || string(jsonrpc.Get(hints, "readOnlyHint")) == "true"
}

// fresh reports whether the upstreams still offer what the view was made of.
func (v *view) fresh(upstreams []*upstream.Upstream) bool {
	for i, u := range upstreams {
		if u.Catalogue() != v.built[i] {
			return false
		}
	}
	return true
}

// owner returns who is asked for a URI, and by what URI: who lists it, or who has the
// most specific template for it.
func (s *scope) owner(uri string) *target {
	v := s.current()
	if t := v.targets[upstream.Resources][uri]; t != nil {
		return resourceOf(t.upstream, t.name)
	}
	for _, t := range v.templates {
		if t.match(uri) {
			if own, ok := s.ownURI(t.upstream, uri); ok {
				return resourceOf(t.upstream, own)
			}
		}
	}
	return nil
}

func newList(kind upstream.Kind, items [][]byte, pageSize int) *list {
	hash := fnv.New64a()
	for _, raw := range items {
		hash.Write(raw)
		hash.Write([]byte{'\n'})
	}
	l := &list{generation: hash.Sum64()}
	for {
		page := append(jsonrpc.AppendString([]byte{'{'}, string(kind)), ":["...)
		n := 0
		for n < len(items) && n < pageSize && (n == 0 || len(page)+len(items[n]) <= maxPageBytes) {
			if n > 0 {
				page = append(page, ',')
			}
			page = append(page, items[n]...)
			n++
		}
		items = items[n:]
		page = append(page, ']')
		if len(items) > 0 {
			page = jsonrpc.AppendString(append(page, `,"nextCursor":`...), l.cursor(kind, len(l.pages)+1))
		}
		l.pages = append(l.pages, append(page, '}'))
		if len(items) == 0 {
			return l
		}
	}
}

// cursor names a page of this very content of the list.
func (l *list) cursor(kind upstream.Kind, page int) string {
	b := binary.BigEndian.AppendUint64(nil, l.generation)
	b = binary.BigEndian.AppendUint32(b, uint32(page))
	return base64.RawURLEncoding.EncodeToString(append(b, kind...))
}

// page returns the page that a cursor names. A cursor of other content is refused,
// since entries could be missed or seen twice.
func (l *list) page(kind upstream.Kind, raw []byte) ([]byte, error) {
	if raw == nil {
		return l.pages[0], nil
	}
	text, ok := jsonrpc.Unquote(raw)
	b, err := base64.RawURLEncoding.DecodeString(text)
	if !ok || err != nil || len(b) < 12 || string(b[12:]) != string(kind) {
		return nil, mcp.ErrInvalidParams("Invalid cursor")
	}
	page := binary.BigEndian.Uint32(b[8:])
	if binary.BigEndian.Uint64(b) != l.generation || page == 0 || int64(page) >= int64(len(l.pages)) {
		return nil, mcp.ErrInvalidParams("Invalid cursor: the list has changed, start again without a cursor")
	}
	return l.pages[page], nil
}
