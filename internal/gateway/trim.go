package gateway

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/mcp/jsonrpc"
)

// trim holds a tool's result to the bound that the config gives it. What is too much
// is kept for the caller as the pages of a resource, which the result names in words
// and as a link; the edge makes a text of the link for revisions without links.
//
// Structured content is whole or not there: half of it would not be what the tool
// promises. Where a tool promises some and it is too large, the result is an error
// that says so, since a client would refuse a result without it for no such reason.
func (c *call) trim(t *target, res *mcp.Result) (rule string) {
	most := t.upstream.MaxResult(t.name)
	if most == 0 || res.Type != "" && res.Type != mcp.ResultComplete {
		return ""
	}
	structured, content := jsonrpc.Get(res.Body, "structuredContent"), jsonrpc.Get(res.Body, "content")
	whole := len(structured) + len(content)
	if whole <= most {
		return ""
	}
	edits := []jsonrpc.Member{}
	left := most
	p := &pager{most: most}
	switch {
	case len(structured) <= most/2:
		left -= len(structured)
	default:
		p.text("application/json", string(structured))
		edits = append(edits, jsonrpc.Member{Key: "structuredContent"})
		if t.structured {
			edits = append(edits, jsonrpc.Member{Key: "isError", Value: []byte("true")})
		}
	}
	kept := []byte{'['}
	keep := func(block []byte) {
		if len(kept) > 1 {
			kept = append(kept, ',')
		}
		kept = append(kept, block...)
	}
	full := false
	for block := range jsonrpc.Elements(content) {
		switch {
		case !full && len(block) <= left:
			keep(block)
			left -= len(block)
		case !full:
			full = true
			head, tail := cutBlock(block, left)
			if head != nil {
				keep(head)
			}
			p.block(tail)
		default:
			p.block(block)
		}
	}
	uri := c.scope.g.rests.put(c.req.Principal, p)
	size := strconv.Itoa(p.size)
	what := "This result is cut: it has " + strconv.Itoa(whole) + " bytes, of which " + size + " are left out."
	if t.structured && len(structured) > most/2 {
		what = "The tool has run, but its structured result of " + strconv.Itoa(len(structured)) + " bytes is larger than this server passes on."
	}
	if uri == "" {
		what += " They are too many to be kept."
	} else {
		what += fmt.Sprintf(" Read them from the resource %s (%d pages, for %d minutes).", uri, len(p.pages), int(restLife.Minutes()))
	}
	keep(jsonrpc.Splice(nil, nil, jsonrpc.Member{Key: "type", Value: []byte(`"text"`)}, jsonrpc.Member{Key: "text", Value: jsonrpc.AppendString(nil, "["+what+"]")}))
	if uri != "" {
		keep(jsonrpc.Splice(nil, nil,
			jsonrpc.Member{Key: "type", Value: []byte(`"resource_link"`)},
			jsonrpc.Member{Key: "uri", Value: jsonrpc.AppendString(nil, uri)},
			jsonrpc.Member{Key: "name", Value: jsonrpc.AppendString(nil, "rest of the result of "+c.req.Name)},
			jsonrpc.Member{Key: "description", Value: jsonrpc.AppendString(nil, fmt.Sprintf("Page 1 of %d. Each page names the next.", len(p.pages)))},
			jsonrpc.Member{Key: "size", Value: []byte(size)}))
	}
	res.Body = jsonrpc.Splice(nil, res.Body, append(edits, jsonrpc.Member{Key: "content", Value: append(kept, ']')})...)
	return ", cut from " + strconv.Itoa(whole) + " to " + strconv.Itoa(most) + " bytes"
}

// cutBlock cuts a text block after about most bytes; other blocks have no half.
func cutBlock(block []byte, most int) (head, tail []byte) {
	const frame = 64 // the block without its text, mostly
	text, ok := jsonrpc.Unquote(jsonrpc.Get(block, "text"))
	if typ, _ := jsonrpc.Unquote(jsonrpc.Get(block, "type")); typ != "text" || !ok || most <= frame {
		return nil, block
	}
	n := cutText(text, most-frame)
	if n == 0 {
		return nil, block
	}
	with := func(s string) []byte {
		return jsonrpc.Splice(nil, block, jsonrpc.Member{Key: "text", Value: jsonrpc.AppendString(nil, s)})
	}
	return with(text[:n]), with(text[n:])
}

// cutText returns how much of s takes at most that many bytes as JSON. Where a line
// ends not much earlier, it is cut there.
func cutText(s string, most int) int {
	n := 0
	for n < len(s) {
		_, size := utf8.DecodeRuneInString(s[n:])
		cost := size
		switch c := s[n]; {
		case c == '"' || c == '\\' || c == '\n' || c == '\r' || c == '\t':
			cost = 2
		case c < ' ':
			cost = 6
		}
		if most -= cost; most < 0 {
			break
		}
		n += size
	}
	if n < len(s) {
		if line := strings.LastIndexByte(s[:n], '\n') + 1; line > n-n/4 {
			return line
		}
	}
	return n
}

// pager makes pages of content blocks: each is a list of what resources/read calls
// contents, but without the URI of the page.
type pager struct {
	most  int
	pages [][][]byte
	room  int // on the last page
	size  int // of all
}

func (p *pager) add(entry []byte) {
	if len(p.pages) == 0 || len(entry) > p.room {
		p.pages = append(p.pages, nil)
		p.room = p.most
	}
	last := len(p.pages) - 1
	p.pages[last] = append(p.pages[last], entry)
	p.room -= len(entry)
	p.size += len(entry)
}

func (p *pager) text(mime, s string) {
	const frame = 64
	for s != "" {
		room := p.room
		if room < p.most/4 || len(p.pages) == 0 {
			room = p.most
		}
		n := max(cutText(s, max(room, 2*frame)-frame), 1)
		p.add(jsonrpc.Splice(nil, nil,
			jsonrpc.Member{Key: "mimeType", Value: jsonrpc.AppendString(nil, mime)},
			jsonrpc.Member{Key: "text", Value: jsonrpc.AppendString(nil, s[:n])}))
		s = s[n:]
	}
}

func (p *pager) block(block []byte) {
	typ, _ := jsonrpc.Unquote(jsonrpc.Get(block, "type"))
	text, isText := jsonrpc.Unquote(jsonrpc.Get(block, "text"))
	data, resource := jsonrpc.Get(block, "data"), jsonrpc.Get(block, "resource")
	switch {
	case typ == "text" && isText:
		p.text("text/plain", text)
	case (typ == "image" || typ == "audio") && data != nil:
		p.add(jsonrpc.Splice(nil, nil,
			jsonrpc.Member{Key: "mimeType", Value: jsonrpc.Get(block, "mimeType")}, jsonrpc.Member{Key: "blob", Value: data}))
	case typ == "resource" && isObject(resource):
		p.add(resource) // it has a URI of its own
	default: // a link, or what is not known here
		p.text("application/json", string(block))
	}
}

// readRest answers resources/read of what was left out of a result. The handle says
// whose it is: what is somebody else's, or gone, does not exist.
func readRest(_ context.Context, c *call) (rule string, err error) {
	sealed, number, page, ok := c.scope.g.rests.page(c.req.Principal, c.req.Name)
	if !ok {
		return "no rest of a result of this caller", c.unknown()
	}
	list := []byte{'['}
	for i, entry := range page.entries {
		if i > 0 {
			list = append(list, ',')
		}
		if jsonrpc.Get(entry, "uri") == nil {
			entry = jsonrpc.Splice(nil, entry, jsonrpc.Member{Key: "uri", Value: jsonrpc.AppendString(nil, c.req.Name)})
		}
		list = append(list, entry...)
	}
	if number < page.of {
		next := restURI(sealed, number+1)
		list = append(append(list, ','), jsonrpc.Splice(nil, nil,
			jsonrpc.Member{Key: "uri", Value: jsonrpc.AppendString(nil, next)},
			jsonrpc.Member{Key: "mimeType", Value: []byte(`"text/plain"`)},
			jsonrpc.Member{Key: "text", Value: jsonrpc.AppendString(nil, fmt.Sprintf("[Page %d of %d ends here. The next one is the resource %s]", number, page.of, next))})...)
	}
	c.result = mcp.Result{
		Body:  jsonrpc.Splice(nil, nil, jsonrpc.Member{Key: "contents", Value: append(list, ']')}),
		Cache: mcp.Cache{TTL: page.left, Scope: mcp.CachePrivate},
	}
	c.answered = true
	return fmt.Sprintf("page %d of %d of what was left out of a result", number, page.of), nil
}

// carriesRests reports whether anything of the scope's upstreams may be cut.
func (s *scope) carriesRests() bool {
	for _, u := range s.upstreams {
		if spec := u.Spec(); spec.MaxResult > 0 || len(spec.MaxResults) > 0 {
			return true
		}
	}
	return false
}
