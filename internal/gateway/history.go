package gateway

import (
	"crypto/rand"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
)

// remembered is how many calls a node remembers.
const remembered = 4096

// history remembers the last calls, to explain them.
type history struct {
	prefix string // of this run: an id of an earlier one is unknown, not another call
	last   atomic.Uint64

	mu   sync.Mutex
	ring [remembered]*Trace
	n    int // calls that were added
}

func newHistory() *history {
	return &history{prefix: strings.ToLower(rand.Text()[:6]) + "-"}
}

// next returns a new id.
func (h *history) next() string {
	return h.prefix + strconv.FormatUint(h.last.Add(1), 36)
}

func (h *history) add(t *Trace) {
	if len(t.Name) > 256 {
		t.Name = clip(t.Name) // callers choose names, and what is remembered is bounded
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ring[h.n%remembered] = t
	h.n++
}

// Recent returns the last calls that have ended, newest first, at most n.
func (g *Gateway) Recent(n int) []Trace {
	h := g.history
	h.mu.Lock()
	defer h.mu.Unlock()
	var list []Trace
	for i := h.n - 1; i >= max(0, h.n-remembered) && len(list) < n; i-- {
		list = append(list, *h.ring[i%remembered])
	}
	return list
}

// Find returns a call by its id. It reports false for one that has not ended, was
// forgotten, or never was.
func (g *Gateway) Find(id string) (Trace, bool) {
	h := g.history
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, t := range h.ring {
		if t != nil && t.ID == id {
			return *t, true
		}
	}
	return Trace{}, false
}
