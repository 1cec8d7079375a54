package mcp

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/fairlead-mcp/fairlead/mcp/jsonrpc"
)

// catalogue is one list of a server: entries by key, in order of registration,
// with its pages encoded once per change (MCP 2026-07-28, server/utilities/pagination).
type catalogue[T any] struct {
	server   *Server
	member   string      // of the result that holds the entries
	declared atomic.Bool // an entry was registered, now or earlier

	mu      sync.RWMutex
	entries map[string]entry[T] // key -> entry
	order   []string            // keys
	pages   map[string][]byte   // cursor, "" for the first page -> result body; nil after a change
}

type entry[T any] struct {
	item    T
	encoded []byte // what the list shows
}

func newCatalogue[T any](s *Server, member string) *catalogue[T] {
	return &catalogue[T]{server: s, member: member, entries: make(map[string]entry[T])}
}

// put adds an entry or replaces the one with the same key at its place.
func (c *catalogue[T]) put(key string, item T, encoded []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.entries[key]; !ok {
		c.order = append(c.order, key)
	}
	c.entries[key] = entry[T]{item, encoded}
	c.pages = nil
	c.declared.Store(true)
}

// remove reports whether any of the keys was there.
func (c *catalogue[T]) remove(keys []string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	before := len(c.order)
	for _, key := range keys {
		delete(c.entries, key)
	}
	c.order = slices.DeleteFunc(c.order, func(key string) bool {
		_, ok := c.entries[key]
		return !ok
	})
	if len(c.order) == before {
		return false
	}
	c.pages = nil
	return true
}

// replace makes entries the whole list, in the given order. It keeps both.
func (c *catalogue[T]) replace(order []string, entries map[string]entry[T]) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.order, c.entries, c.pages = order, entries, nil
	c.declared.Store(true)
}

func (c *catalogue[T]) get(key string) (T, bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	e, ok := c.entries[key]
	return e.item, ok
}

// all returns the items in order.
func (c *catalogue[T]) all() []T {
	c.mu.RLock()
	defer c.mu.RUnlock()
	items := make([]T, len(c.order))
	for i, key := range c.order {
		items[i] = c.entries[key].item
	}
	return items
}

// page returns the result body for a cursor; false for one that is not of the
// list as it stands now.
func (c *catalogue[T]) page(cursor string, first bool) ([]byte, bool) {
	c.mu.RLock()
	pages := c.pages
	c.mu.RUnlock()
	if pages == nil {
		c.mu.Lock()
		if c.pages == nil {
			c.pages = c.encodeLocked()
		}
		pages = c.pages
		c.mu.Unlock()
	}
	if !first && cursor == "" {
		return nil, false // the key of the first page is not a cursor
	}
	body, ok := pages[cursor]
	return body, ok
}

// encodeLocked encodes all pages. A cursor is the page's number and a digest of
// the whole list: it stands for the same page on every replica with the same list,
// and for nothing once the list has changed.
func (c *catalogue[T]) encodeLocked() map[string][]byte {
	size := c.server.opts.PageSize
	hash := sha256.New()
	hash.Write([]byte(c.member))
	hash.Write(binary.BigEndian.AppendUint64(nil, uint64(size)))
	for _, key := range c.order {
		encoded := c.entries[key].encoded
		hash.Write(binary.BigEndian.AppendUint64(nil, uint64(len(encoded))))
		hash.Write(encoded)
	}
	digest := hash.Sum(nil)

	pages := make(map[string][]byte)
	cursor, keys := "", c.order
	for number := uint32(1); ; number++ {
		n := c.fitLocked(keys[:min(size, len(keys))])
		body := c.server.begin(nil, nil)
		body = append(append(append(body, `,"`...), c.member...), `":[`...)
		for i, key := range keys[:n] {
			if i > 0 {
				body = append(body, ',')
			}
			body = append(body, c.entries[key].encoded...)
		}
		body = append(body, ']')
		keys = keys[n:]
		if len(keys) == 0 {
			pages[cursor] = append(body, '}')
			return pages
		}
		next := base64.RawURLEncoding.EncodeToString(binary.BigEndian.AppendUint32(digest[:14:14], number))
		body = append(append(append(body, `,"nextCursor":"`...), next...), `"}`...)
		pages[cursor] = body
		cursor = next
	}
}

// maxPageBytes bounds a page of many large entries, such as skills with hundreds of
// files, so that it stays below what clients take for one message.
const maxPageBytes = 2 << 20

// fitLocked returns how many entries fit into one page: at least one, if there are any.
func (c *catalogue[T]) fitLocked(keys []string) int {
	size := 0
	for i, key := range keys {
		if size += len(c.entries[key].encoded); size > maxPageBytes && i > 0 {
			return i
		}
	}
	return len(keys)
}

// list answers a list request with a page. Lists are the same for all callers.
func (s *Server) list(req *Request, page func(cursor string, first bool) ([]byte, bool)) (Result, error) {
	var cursor string
	raw := jsonrpc.Get(req.Params, "cursor")
	if raw != nil {
		var ok bool
		if cursor, ok = jsonrpc.Unquote(raw); !ok {
			return Result{}, ErrInvalidParams("params.cursor is not a string")
		}
	}
	body, ok := page(cursor, raw == nil)
	if !ok {
		return Result{}, ErrInvalidParams("Invalid cursor")
	}
	return Result{Body: body, Cache: Cache{TTL: s.opts.ListTTL, Scope: CachePublic}}, nil
}
