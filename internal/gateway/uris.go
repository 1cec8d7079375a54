package gateway

import (
	"errors"
	"slices"
	"strings"

	"github.com/fairlead-mcp/fairlead/internal/upstream"
	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/mcp/jsonrpc"
)

// URIs of an upstream with uris: prefixed have its name in them beside others. They
// are rewritten at these places and no others: entries of resources and templates,
// contents that are read, resource links and embedded resources in results of tools
// and prompts, the pages of apps that tools name, references of completions, and
// updates. Text and structured content stay as they are.

// uiScheme is that of pages of apps, which hosts know them by, so it stays in front.
const uiScheme = "ui://"

// uriPrefix is what stands before a URI of an upstream. It keeps what follows a URI:
// a scheme has letters, digits, +, - and ., and begins with a letter. The names of
// upstreams have _ and no dot, and no two _ in a row.
func uriPrefix(name string) string {
	prefix := strings.ReplaceAll(name, "_", ".") + "+"
	if '0' <= name[0] && name[0] <= '9' {
		prefix = "n.." + prefix
	}
	return prefix
}

// exposedURI is what the scope calls a URI of an upstream, or a template of URIs.
func (s *scope) exposedURI(u *upstream.Upstream, uri string) string {
	if s.alone() || !u.Spec().PrefixURIs {
		return uri
	}
	if rest, ok := strings.CutPrefix(uri, uiScheme); ok {
		return uiScheme + u.Name() + separator + rest
	}
	return uriPrefix(u.Name()) + uri
}

// ownURI undoes exposedURI; false if it cannot be a URI of the upstream.
func (s *scope) ownURI(u *upstream.Upstream, uri string) (own string, ok bool) {
	if s.alone() || !u.Spec().PrefixURIs {
		return uri, true
	}
	if rest, ok := strings.CutPrefix(uri, uiScheme+u.Name()+separator); ok {
		return uiScheme + rest, true
	}
	own, ok = strings.CutPrefix(uri, uriPrefix(u.Name()))
	return own, ok && !strings.HasPrefix(own, uiScheme) // one URI has one form
}

// exposeURI rewrites the member of an object that holds a URI.
func (s *scope) exposeURI(u *upstream.Upstream, obj []byte, member string) []byte {
	uri, ok := jsonrpc.Unquote(jsonrpc.Get(obj, member))
	if !ok {
		return obj
	}
	return jsonrpc.Splice(nil, obj, jsonrpc.Member{Key: member, Value: jsonrpc.AppendString(nil, s.exposedURI(u, uri))})
}

// exposeTool rewrites the page of an app that a tool names.
func (s *scope) exposeTool(u *upstream.Upstream, tool []byte) []byte {
	meta := jsonrpc.Get(tool, "_meta")
	if s.alone() || !u.Spec().PrefixURIs || !isObject(meta) {
		return tool
	}
	const plain = "ui/resourceUri" // an old form of the link
	now := s.exposeURI(u, meta, plain)
	if ui := jsonrpc.Get(meta, "ui"); isObject(ui) {
		now = jsonrpc.Splice(nil, now, jsonrpc.Member{Key: "ui", Value: s.exposeURI(u, ui, "resourceUri")})
	}
	return jsonrpc.Splice(nil, tool, jsonrpc.Member{Key: "_meta", Value: now})
}

// exposeResult rewrites a result.
func (s *scope) exposeResult(u *upstream.Upstream, method string, body []byte) []byte {
	if s.alone() || !u.Spec().PrefixURIs {
		return body
	}
	switch method {
	case mcp.MethodReadResource:
		return eachIn(body, "contents", func(c []byte) []byte { return s.exposeURI(u, c, "uri") })
	case mcp.MethodCallTool:
		return eachIn(body, "content", func(b []byte) []byte { return s.exposeBlock(u, b) })
	case mcp.MethodGetPrompt:
		return eachIn(body, "messages", func(m []byte) []byte {
			block := jsonrpc.Get(m, "content")
			if !isObject(block) {
				return m
			}
			return jsonrpc.Splice(nil, m, jsonrpc.Member{Key: "content", Value: s.exposeBlock(u, block)})
		})
	case mcp.MethodGetTask: // only tools have tasks
		if result := jsonrpc.Get(body, "result"); isObject(result) {
			return jsonrpc.Splice(nil, body, jsonrpc.Member{Key: "result", Value: s.exposeResult(u, mcp.MethodCallTool, result)})
		}
	}
	return body
}

func (s *scope) exposeBlock(u *upstream.Upstream, block []byte) []byte {
	switch string(jsonrpc.Get(block, "type")) {
	case `"resource_link"`:
		return s.exposeURI(u, block, "uri")
	case `"resource"`:
		if resource := jsonrpc.Get(block, "resource"); isObject(resource) {
			return jsonrpc.Splice(nil, block, jsonrpc.Member{Key: "resource", Value: s.exposeURI(u, resource, "uri")})
		}
	}
	return block
}

// exposeError rewrites the URI of a resource that the upstream says it does not have.
func (s *scope) exposeError(u *upstream.Upstream, err error) error {
	e, ok := errors.AsType[*mcp.Error](err)
	if !ok || s.alone() || !u.Spec().PrefixURIs || !isObject(e.Data) {
		return err
	}
	if _, ok := errors.AsType[*upstream.Failure](err); ok {
		return err // the node's own
	}
	now := *e
	now.Data = s.exposeURI(u, e.Data, "uri")
	return &now
}

// eachIn replaces the elements of a list in an object.
func eachIn(obj []byte, member string, change func([]byte) []byte) []byte {
	elements := jsonrpc.Get(obj, member)
	if len(elements) == 0 || elements[0] != '[' {
		return obj
	}
	list := append(make([]byte, 0, len(elements)+64), '[')
	for e := range jsonrpc.Elements(elements) {
		if len(list) > 1 {
			list = append(list, ',')
		}
		if isObject(e) {
			e = change(e)
		}
		list = append(list, e...)
	}
	return jsonrpc.Splice(nil, obj, jsonrpc.Member{Key: member, Value: append(list, ']')})
}

// askable lists who may be asked for a resource that nobody lists, in config order.
func (s *scope) askable(uri string) (list []*target) {
	for _, u := range s.upstreams {
		own, ok := s.ownURI(u, uri)
		if !ok || !s.unlisted(u, own) {
			continue
		}
		if cat := u.Catalogue(); cat != nil && cat.Has("resources") && u.Status().State == upstream.Ready {
			list = append(list, resourceOf(u, own))
		}
	}
	// A URI with the prefix of one is that one's, whatever others make of it.
	if i := slices.IndexFunc(list, func(t *target) bool { return t.name != uri }); i >= 0 {
		return list[i : i+1]
	}
	return list
}

// owner is nil for a nil target.
func (t *target) owner() *upstream.Upstream {
	if t == nil {
		return nil
	}
	return t.upstream
}

func resourceOf(u *upstream.Upstream, own string) *target {
	return &target{upstream: u, name: own, allowed: true, rule: "no rules for resources"}
}
