package gateway

import (
	"context"
	"time"

	"github.com/fairlead-mcp/fairlead/internal/upstream"
	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/mcp/jsonrpc"
)

const (
	metaServerInfo = "io.modelcontextprotocol/serverInfo"
	// metaMissing is the _meta key of a list that names upstreams which are not in it yet.
	metaMissing = "io.fairlead/missing"
	// metaStale is the _meta key of a list that names upstreams of which it has what was
	// last known: they are away, or could not be listed again.
	metaStale = "io.fairlead/stale"
	tasksExt  = mcp.ExtensionTasks
)

// list answers tools/list, prompts/list, resources/list and resources/templates/list
// from the last known catalogues; it never asks an upstream.
func (s *scope) list(ctx context.Context, kind upstream.Kind, req *mcp.Request) (mcp.Result, error) {
	s.await(ctx)
	if err := ctx.Err(); err != nil {
		return mcp.Result{}, err
	}
	// Before the view: who comes in between is named and there.
	missing, stale := s.missing(), s.stale()
	hint := s.hint(kind)
	body, err := s.current().lists[kind].page(kind, jsonrpc.Get(req.Params, "cursor"))
	if err != nil {
		return mcp.Result{}, err
	}
	if kind == upstream.Tools && req.Meta.Version.Has(mcp.FeatureTaskParam) {
		body = s.withExecution(body)
	}
	return s.ours(body, missing, stale, hint), nil
}

// hint says how long a list may be kept: as long as the part that may be kept
// shortest, and by others only if every part may.
func (s *scope) hint(kind upstream.Kind) mcp.Cache {
	hint := mcp.Cache{TTL: maxTTL, Scope: mcp.CachePublic}
	for _, u := range s.upstreams {
		part := u.Hint(kind)
		hint.TTL = min(hint.TTL, part.TTL)
		if part.Scope != mcp.CachePublic {
			hint.Scope = mcp.CachePrivate
		}
	}
	return hint
}

// maxTTL bounds how long the gateway has its lists kept: its config may change.
const maxTTL = 5 * time.Minute

// ours makes a result of the gateway's own.
func (s *scope) ours(body []byte, missing, stale []string, hint mcp.Cache) mcp.Result {
	var meta []jsonrpc.Member
	if info := s.info(); info != nil {
		meta = append(meta, jsonrpc.Member{Key: metaServerInfo, Value: info})
	}
	if len(missing) > 0 {
		meta = append(meta, jsonrpc.Member{Key: metaMissing, Value: stringArray(missing)})
	}
	if len(stale) > 0 {
		meta = append(meta, jsonrpc.Member{Key: metaStale, Value: stringArray(stale)})
	}
	if meta != nil {
		body = jsonrpc.Splice(nil, body, jsonrpc.Member{Key: "_meta", Value: jsonrpc.Splice(nil, nil, meta...)})
	}
	return mcp.Result{Body: body, Cache: hint}
}

func stringArray(list []string) []byte {
	out := []byte{'['}
	for i, s := range list {
		if i > 0 {
			out = append(out, ',')
		}
		out = jsonrpc.AppendString(out, s)
	}
	return append(out, ']')
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

// discover answers server/discover. tasks is what the caller is told of the extension.
func (s *scope) discover(ctx context.Context, tasks []byte) (mcp.Result, error) {
	var versions []string
	for _, v := range mcp.Versions() {
		versions = append(versions, string(v))
	}
	members := []jsonrpc.Member{{Key: "supportedVersions", Value: stringArray(versions)}}

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
		members = append(members, jsonrpc.Member{Key: "capabilities", Value: oneCapabilities(c.Capabilities, tasks, s.carriesRests())})
		instructions = c.Instructions
	}
	if err := ctx.Err(); err != nil {
		return mcp.Result{}, err
	}
	if instructions != "" {
		members = append(members, jsonrpc.Member{Key: "instructions", Value: jsonrpc.AppendString(nil, instructions)})
	}
	// The instructions change with what the upstreams say, and nothing tells of it.
	return s.ours(jsonrpc.Splice(nil, nil, members...), missing, nil, mcp.Cache{Scope: mcp.CachePrivate}), nil
}

// superset is what Root can do with whatever upstreams come: what a client was
// told in initialize stays true when a slow upstream appears. Of extensions it has
// what passes through as it is: the pages of apps are resources.
const superset = `{"completions":{},"extensions":{"` + mcp.ExtensionApps + `":{"mimeTypes":["` + mcp.AppMIMEType + `"]}},"logging":{},"prompts":{"listChanged":true},"resources":{"listChanged":true,"subscribe":true},"tools":{"listChanged":true}}`

func (s *scope) allCapabilities(tasks []byte) []byte {
	all := []byte(superset)
	if s.virtual != nil { // what it chooses from is in its config, so this too stays true
		var edits []jsonrpc.Member
		for _, capability := range []string{"completions", "prompts", "resources", "tools"} {
			if !s.virtual.has(capability) && (capability != "resources" || !s.carriesRests()) {
				edits = append(edits, jsonrpc.Member{Key: capability})
			}
		}
		all = jsonrpc.Splice(nil, all, edits...)
	}
	if tasks == nil {
		return all
	}
	ext := jsonrpc.Get(all, "extensions")
	return jsonrpc.Splice(nil, all, jsonrpc.Member{Key: "extensions", Value: jsonrpc.Splice(nil, ext, jsonrpc.Member{Key: tasksExt, Value: tasks})})
}

// oneCapabilities are an upstream's own, with the changes of lists that the
// gateway tells of by itself, and without what it does not carry.
func oneCapabilities(raw, tasks []byte, rests bool) []byte {
	yes := jsonrpc.Member{Key: "listChanged", Value: []byte("true")}
	edits := []jsonrpc.Member{{Key: "tasks"}}
	for _, name := range []string{"prompts", "resources", "tools"} {
		c := jsonrpc.Get(raw, name)
		if c == nil && rests && name == "resources" {
			c = []byte(`{}`) // what is left out of results can be read
		}
		if c != nil {
			edits = append(edits, jsonrpc.Member{Key: name, Value: jsonrpc.Splice(nil, c, yes)})
		}
	}
	if ext := jsonrpc.Get(raw, "extensions"); jsonrpc.Get(ext, tasksExt) != nil {
		edits = append(edits, jsonrpc.Member{Key: "extensions", Value: jsonrpc.Splice(nil, ext, jsonrpc.Member{Key: tasksExt, Value: tasks})})
	}
	return jsonrpc.Splice(nil, raw, edits...)
}
