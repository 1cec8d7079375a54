package gateway

import (
	"context"
	"strings"

	"github.com/fairlead-mcp/fairlead/internal/upstream"
	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/mcp/jsonrpc"
)

const (
	metaServerInfo = "io.modelcontextprotocol/serverInfo"
	// metaMissing is the _meta key of a list that names upstreams which are not in it yet.
	metaMissing = "io.fairlead/missing"
	tasksExt    = mcp.ExtensionTasks
)

// list answers tools/list, prompts/list, resources/list and resources/templates/list.
func (s *scope) list(ctx context.Context, kind upstream.Kind, req *mcp.Request) (mcp.Result, error) {
	s.await(ctx)
	if err := ctx.Err(); err != nil {
		return mcp.Result{}, err
	}
	missing := s.missing() // before the view: who comes in between is named and there
	body, err := s.current().lists[kind].page(kind, jsonrpc.Get(req.Params, "cursor"))
	if err != nil {
		return mcp.Result{}, err
	}
	return s.ours(body, missing), nil
}

// ours makes a result of the gateway's own. What is offered can change at any
// moment and differs between callers, so nobody is to keep it.
func (s *scope) ours(body []byte, missing []string) mcp.Result {
	var meta []jsonrpc.Member
	if info := s.info(); info != nil {
		meta = append(meta, jsonrpc.Member{Key: metaServerInfo, Value: info})
	}
	if len(missing) > 0 {
		names := []byte{'['}
		for i, name := range missing {
			if i > 0 {
				names = append(names, ',')
			}
			names = jsonrpc.AppendString(names, name)
		}
		meta = append(meta, jsonrpc.Member{Key: metaMissing, Value: append(names, ']')})
	}
	if meta != nil {
		body = jsonrpc.Splice(nil, body, jsonrpc.Member{Key: "_meta", Value: jsonrpc.Splice(nil, nil, meta...)})
	}
	return mcp.Result{Body: body, Cache: mcp.Cache{Scope: mcp.CachePrivate}}
}

// info returns the serverInfo of the scope: the node's, or that of the one upstream.
func (s *scope) info() []byte {
	if !s.alone() {
		return s.g.serverInfo
	}
	if c := s.upstreams[0].Catalogue(); c != nil {
		return c.Server
	}
	return nil
}

// discover answers server/discover. tasks says whether the caller's revision has the
// tasks that the gateway carries.
func (s *scope) discover(ctx context.Context, tasks bool) (mcp.Result, error) {
	versions := []byte{'['}
	for i, v := range mcp.Versions() {
		if i > 0 {
			versions = append(versions, ',')
		}
		versions = jsonrpc.AppendString(versions, string(v))
	}
	members := []jsonrpc.Member{{Key: "supportedVersions", Value: append(versions, ']')}}

	var instructions string
	var missing []string
	if !s.alone() {
		s.await(ctx)
		missing = s.missing()
		members = append(members, jsonrpc.Member{Key: "capabilities", Value: s.allCapabilities(tasks)})
		instructions = s.instructions()
	} else {
		u := s.upstreams[0]
		if u.Catalogue() == nil {
			if err := u.WaitReady(ctx); err != nil {
				return mcp.Result{}, err
			}
		}
		c := u.Catalogue()
		members = append(members, jsonrpc.Member{Key: "capabilities", Value: oneCapabilities(c.Capabilities, tasks)})
		instructions = c.Instructions
	}
	if err := ctx.Err(); err != nil {
		return mcp.Result{}, err
	}
	if instructions != "" {
		members = append(members, jsonrpc.Member{Key: "instructions", Value: jsonrpc.AppendString(nil, instructions)})
	}
	return s.ours(jsonrpc.Splice(nil, nil, members...), missing), nil
}

// superset is what Root can do with whatever upstreams come: what a client was
// told in initialize stays true when a slow upstream appears. Of extensions it has
// what passes through as it is: the pages of apps are resources.
const superset = `{"completions":{},"extensions":{"` + mcp.ExtensionApps + `":{"mimeTypes":["` + mcp.AppMIMEType + `"]}},"logging":{},"prompts":{"listChanged":true},"resources":{"listChanged":true,"subscribe":true},"tools":{"listChanged":true}}`

func (s *scope) allCapabilities(tasks bool) []byte {
	all := []byte(superset)
	if s.virtual != nil { // what it chooses from is in its config, so this too stays true
		var edits []jsonrpc.Member
		for _, capability := range []string{"completions", "prompts", "resources", "tools"} {
			if !s.virtual.has(capability) {
				edits = append(edits, jsonrpc.Member{Key: capability})
			}
		}
		all = jsonrpc.Splice(nil, all, edits...)
	}
	if !tasks {
		return all
	}
	ext := jsonrpc.Get(all, "extensions")
	return jsonrpc.Splice(nil, all, jsonrpc.Member{Key: "extensions", Value: jsonrpc.Splice(nil, ext, jsonrpc.Member{Key: tasksExt, Value: []byte(`{}`)})})
}

// oneCapabilities are an upstream's own, with the changes of lists that the
// gateway tells of by itself, and without what it does not carry.
func oneCapabilities(raw []byte, tasks bool) []byte {
	yes := jsonrpc.Member{Key: "listChanged", Value: []byte("true")}
	edits := []jsonrpc.Member{{Key: "tasks"}}
	for _, name := range []string{"prompts", "resources", "tools"} {
		if c := jsonrpc.Get(raw, name); c != nil {
			edits = append(edits, jsonrpc.Member{Key: name, Value: jsonrpc.Splice(nil, c, yes)})
		}
	}
	if ext := jsonrpc.Get(raw, "extensions"); ext != nil && !tasks {
		edits = append(edits, jsonrpc.Member{Key: "extensions", Value: jsonrpc.Splice(nil, ext, jsonrpc.Member{Key: tasksExt})})
	}
	return jsonrpc.Splice(nil, raw, edits...)
}

// instructions joins those of the upstreams, each under its name.
func (s *scope) instructions() string {
	if s.virtual != nil && s.virtual.Instructions != "" {
		return s.virtual.Instructions
	}
	var b strings.Builder
	for _, u := range s.upstreams {
		c := u.Catalogue()
		if c == nil || strings.TrimSpace(c.Instructions) == "" {
			continue
		}
		if b.Len() > 0 {
			b.WriteString("\n\n")
		}
		b.WriteString("## " + u.Name() + "\n\n")
		if s.prefixed {
			b.WriteString("Names of this upstream begin with " + u.Name() + separator + ".\n\n")
		}
		b.WriteString(strings.TrimSpace(c.Instructions))
	}
	return b.String()
}
