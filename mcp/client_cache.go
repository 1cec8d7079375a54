package mcp

import (
	"container/list"
	"context"
	"strings"
	"sync"
	"time"

	"github.com/fairlead-mcp/fairlead/mcp/jsonrpc"
)

const (
	// maxTTL bounds how long a server may have a result kept: who says a year has
	// made a mistake that a restart should not be needed for.
	maxTTL = 24 * time.Hour
	// entryBytes is what an entry costs beside its key and body.
	entryBytes = 256
)

// cache keeps results for as long as the server says (MCP 2026-07-28,
// server/utilities/caching). It belongs to one client, so that what is private
// stays with the credentials that it was got with. A nil cache keeps nothing.
type cache struct {
	max int64

	mu      sync.Mutex
	size    int64
	epoch   uint64 // grows when something becomes stale: what was asked for before is not kept
	entries map[string]*list.Element
	used    list.List // of *cachedResult, the last used first
}

type cachedResult struct {
	key    string
	method string
	uri    string // of resources/read
	res    Result
	until  time.Time
}

func (e *cachedResult) size() int64 { return int64(len(e.key)+len(e.res.Body)) + entryBytes }

func newCache(max int64) *cache {
	if max <= 0 {
		return nil
	}
	return &cache{max: max, entries: make(map[string]*list.Element)}
}

// cached is complete with the cache before it.
func (c *Client) cached(ctx context.Context, method string, params []byte, opts *CallOptions) (Result, error) {
	key, ok := c.cache.key(method, params, opts)
	if !ok {
		res, err := c.complete(ctx, method, params, opts)
		c.cache.failed(method, err)
		return res, err
	}
	res, epoch, fresh := c.cache.get(key)
	if fresh && !opts.Fresh {
		return res, nil
	}
	res, err := c.complete(ctx, method, params, opts)
	if err != nil {
		c.cache.failed(method, err)
		return res, err
	}
	c.cache.put(key, method, params, res, epoch)
	return res, nil
}

// key is what tells results apart: the method and all of its params. False if the
// request is none whose result is kept.
func (c *cache) key(method string, params []byte, opts *CallOptions) (string, bool) {
	if c == nil || !cacheable(method) || opts.Input != nil || opts.Meta != nil {
		return "", false
	}
	return method + " " + string(params), true
}

// get returns a fresh result, and the epoch for put.
func (c *cache) get(key string) (res Result, epoch uint64, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	el := c.entries[key]
	if el == nil {
		return Result{}, c.epoch, false
	}
	e := el.Value.(*cachedResult)
	if !time.Now().Before(e.until) {
		c.dropLocked(el)
		return Result{}, c.epoch, false
	}
	c.used.MoveToFront(el)
	return e.res, c.epoch, true
}

// put keeps a complete result that was asked for in an epoch.
func (c *cache) put(key, method string, params []byte, res Result, epoch uint64) {
	if res.Cache.TTL <= 0 {
		return
	}
	e := &cachedResult{key: key, method: method, res: res, until: time.Now().Add(min(res.Cache.TTL, maxTTL))}
	if method == MethodReadResource {
		e.uri, _ = jsonrpc.Unquote(jsonrpc.Get(params, "uri"))
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if epoch != c.epoch || e.size() > c.max {
		return
	}
	if old := c.entries[key]; old != nil {
		c.dropLocked(old)
	}
	c.entries[key] = c.used.PushFront(e)
	for c.size += e.size(); c.size > c.max; {
		c.dropLocked(c.used.Back())
	}
}

func (c *cache) dropLocked(el *list.Element) {
	e := c.used.Remove(el).(*cachedResult)
	delete(c.entries, e.key)
	c.size -= e.size()
}

// drop makes results stale.
func (c *cache) drop(stale func(*cachedResult) bool) {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.epoch++
	for el := c.used.Front(); el != nil; {
		next := el.Next()
		if stale(el.Value.(*cachedResult)) {
			c.dropLocked(el)
		}
		el = next
	}
}

// changed drops what an event makes stale.
func (c *cache) changed(event Event) {
	switch event.Method {
	case NotificationToolsListChanged:
		c.drop(func(e *cachedResult) bool { return e.method == MethodListTools })
	case NotificationPromptsListChanged:
		c.drop(func(e *cachedResult) bool { return e.method == MethodListPrompts })
	case NotificationResourcesListChanged:
		c.drop(func(e *cachedResult) bool { return e.method == MethodListResources || e.method == MethodListTemplates })
	case NotificationResourceUpdated:
		// The event may name a part of what was read.
		c.drop(func(e *cachedResult) bool {
			return e.method == MethodReadResource && strings.HasPrefix(event.URI, e.uri)
		})
	}
}

// failed drops what an error of the server makes doubtful: the pages of a list whose
// cursor it does not know, and the list that named what it does not know.
func (c *cache) failed(method string, err error) {
	if c == nil || !IsWireError(err) {
		return
	}
	switch method {
	case MethodCallTool:
		method = MethodListTools
	case MethodGetPrompt:
		method = MethodListPrompts
	case MethodReadResource:
		method = MethodListResources
	}
	switch ErrorOf(err).Code {
	case jsonrpc.CodeInvalidParams, jsonrpc.CodeMethodNotFound, CodeHeaderMismatch:
		c.drop(func(e *cachedResult) bool { return e.method == method })
	}
}

// DropCache forgets all results that the client has kept (ClientOptions.CacheBytes).
// A program whose requests go on with the credentials of somebody else must do so,
// or make a new client.
func (c *Client) DropCache() { c.cache.drop(func(*cachedResult) bool { return true }) }
