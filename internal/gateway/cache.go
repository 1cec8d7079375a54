package gateway

import (
	lru "container/list"
	"context"
	"strings"
	"sync"
	"time"

	"github.com/fairlead-mcp/fairlead/internal/upstream"
	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/mcp/jsonrpc"
)

const (
	// maxKept bounds how long a result is kept, whatever its server says.
	maxKept = 24 * time.Hour
	// entryBytes is what an entry costs beside its key and body.
	entryBytes = 256
	// entryShare is the part of the cache that one result may take.
	entryShare = 8
)

// cache keeps results of resources/read for as long as the upstream says (MCP
// 2026-07-28, server/utilities/caching). Lists are not in it: they come from the
// catalogues, which are such a cache themselves. It forgets what was used longest ago.
type cache struct {
	max int64

	mu      sync.Mutex
	size    int64
	entries map[cacheKey]*lru.Element
	used    lru.List                      // of *cached, the last used first
	epochs  map[*upstream.Upstream]uint64 // grows when something of it becomes stale: what was asked for before is not kept
}

// cacheKey tells results apart. Who may share one has the same key: the principal
// is zero for a public result.
type cacheKey struct {
	door      *door // since results differ between them
	upstream  *upstream.Upstream
	principal mcp.Principal
	params    string // without _meta, and the capabilities, which can change an answer
}

type cached struct {
	key   cacheKey
	uri   string // the upstream's own
	res   mcp.Result
	until time.Time
}

func (e *cached) size() int64 {
	return int64(len(e.key.params)+len(e.uri)+len(e.res.Body)) + entryBytes
}

func newCache(max int64) *cache {
	return &cache{max: max, entries: make(map[cacheKey]*lru.Element), epochs: make(map[*upstream.Upstream]uint64)}
}

// lookup is the stage that answers from the cache.
func lookup(_ context.Context, c *call) (rule string, err error) {
	switch {
	case c.req.Method != mcp.MethodReadResource:
		return "only what is read is kept", nil
	case c.target == nil:
		return "not for what nobody lists", nil
	case jsonrpc.Get(c.req.Params, "requestState") != nil || jsonrpc.Get(c.req.Params, "inputResponses") != nil:
		return "not for answers to questions", nil
	case !plainMeta(c.req.Meta.Raw):
		return "not with _meta that the node does not know", nil
	}
	u := c.target.upstream
	key := cacheKey{door: c.scope.door, upstream: u, params: cacheParams(c.req)}
	k := c.scope.g.cache
	res, ok := mcp.Result{}, false
	if u.Shared() {
		res, ok = k.get(key)
	}
	if !ok {
		key.principal = c.req.Principal
		if res, ok = k.get(key); !ok {
			epoch := k.epoch(u)
			c.keep = func(res mcp.Result) { k.put(key, c.target.name, res, epoch) }
			return "miss", nil
		}
	}
	c.result, c.answered = res, true
	return "hit, " + string(res.Cache.Scope) + ", fresh for " + res.Cache.TTL.Round(time.Millisecond).String(), nil
}

// plainMeta reports whether nothing in _meta could change an answer.
func plainMeta(meta []byte) bool {
	for key := range jsonrpc.Members(meta) {
		switch key {
		case mcp.MetaProgressToken, "traceparent", "tracestate", "baggage":
		default:
			if !strings.HasPrefix(key, "io.modelcontextprotocol/") {
				return false
			}
		}
	}
	return true
}

func cacheParams(req *mcp.Request) string {
	params := jsonrpc.Splice(nil, req.Params, jsonrpc.Member{Key: "_meta"})
	return string(params) + " " + string(req.Meta.Capabilities)
}

func (k *cache) epoch(u *upstream.Upstream) uint64 {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.epochs[u]
}

// get returns a fresh result, with what is left of its time.
func (k *cache) get(key cacheKey) (mcp.Result, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	el := k.entries[key]
	if el == nil {
		return mcp.Result{}, false
	}
	e := el.Value.(*cached)
	left := time.Until(e.until)
	if left <= 0 {
		k.dropLocked(el)
		return mcp.Result{}, false
	}
	k.used.MoveToFront(el)
	res := e.res
	res.Cache.TTL = left
	return res, true
}

// put keeps a result that was asked for in an epoch. key has the principal, which a
// result that is public is kept without; it is public only where all callers are one
// to the upstream.
func (k *cache) put(key cacheKey, uri string, res mcp.Result, epoch uint64) {
	if res.Cache.TTL <= 0 || res.Type != "" && res.Type != mcp.ResultComplete {
		return
	}
	if res.Cache.Scope == mcp.CachePublic && key.upstream.Shared() {
		key.principal = mcp.Principal{}
	} else {
		res.Cache.Scope = mcp.CachePrivate
	}
	e := &cached{key: key, uri: uri, res: res, until: time.Now().Add(min(res.Cache.TTL, maxKept))}
	k.mu.Lock()
	defer k.mu.Unlock()
	if epoch != k.epochs[key.upstream] || e.size() > k.max/entryShare {
		return
	}
	if old := k.entries[key]; old != nil {
		k.dropLocked(old)
	}
	k.entries[key] = k.used.PushFront(e)
	for k.size += e.size(); k.size > k.max; {
		k.dropLocked(k.used.Back())
	}
}

func (k *cache) dropLocked(el *lru.Element) {
	e := k.used.Remove(el).(*cached)
	delete(k.entries, e.key)
	k.size -= e.size()
}

// changed forgets what a change of an upstream makes stale: the resource that was
// updated and those that it is a part of, or everything after a gap and when the
// list of resources has changed.
func (k *cache) changed(u *upstream.Upstream, c upstream.Change) {
	all := c.Gap
	for _, kind := range c.Lists {
		all = all || kind == upstream.Resources || kind == upstream.Templates
	}
	if !all && c.URI == "" {
		return
	}
	k.drop(func(e *cached) bool { return e.key.upstream == u && (all || covers(e.uri, c.URI)) }, u)
}

func (k *cache) drop(stale func(*cached) bool, u *upstream.Upstream) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.epochs[u]++
	for el := k.used.Front(); el != nil; {
		next := el.Next()
		if stale(el.Value.(*cached)) {
			k.dropLocked(el)
		}
		el = next
	}
}

// forget drops all that there is of an upstream that is gone.
func (k *cache) forget(u *upstream.Upstream) {
	k.drop(func(e *cached) bool { return e.key.upstream == u }, u)
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.epochs, u)
}
