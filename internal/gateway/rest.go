package gateway

import (
	lru "container/list"
	"crypto/rand"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/fairlead-mcp/fairlead/mcp"
)

const (
	// restScheme begins the URIs of what was left out of results.
	restScheme = "fairlead://result/"
	// restLife is how long a caller has to read it.
	restLife    = 10 * time.Minute
	restPurpose = "rest of a result"
	// restShare is the part of the store that one caller may take: beyond it the caller's
	// own oldest go, and nobody else's.
	restShare = 4
)

// rests keeps what was left out of results, for their callers and for some time.
type rests struct {
	max    int
	sealer *mcp.Sealer

	mu      sync.Mutex
	size    int
	held    map[mcp.Principal]int   // bytes
	entries map[string]*lru.Element // id -> *rest
	order   lru.List                // the oldest first
}

type rest struct {
	id    string
	whose mcp.Principal
	pages [][][]byte
	size  int
	until time.Time
}

// restPage is one page, without its own URI in it.
type restPage struct {
	entries [][]byte
	of      int
	left    time.Duration
}

func newRests(max int, sealer *mcp.Sealer) *rests {
	return &rests{max: max, sealer: sealer, held: make(map[mcp.Principal]int), entries: make(map[string]*lru.Element)}
}

func restURI(sealed string, page int) string {
	return restScheme + sealed + "?page=" + strconv.Itoa(page)
}

// put keeps the pages and returns the URI of the first; empty if they are too large.
func (r *rests) put(whose mcp.Principal, p *pager) (uri string) {
	if p.size > r.max/restShare || len(p.pages) == 0 {
		return ""
	}
	e := &rest{id: rand.Text(), whose: whose, pages: p.pages, size: p.size, until: time.Now().Add(restLife)}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.expireLocked()
	for el := r.order.Front(); el != nil && r.held[whose]+e.size > r.max/restShare; {
		next := el.Next()
		if el.Value.(*rest).whose == whose {
			r.dropLocked(el)
		}
		el = next
	}
	for r.size+e.size > r.max {
		r.dropLocked(r.order.Front())
	}
	r.entries[e.id] = r.order.PushBack(e)
	r.size += e.size
	r.held[whose] += e.size
	return restURI(r.sealer.Seal(mcp.BindPrincipal(restPurpose, whose), []byte(e.id), restLife), 1)
}

// page finds a page by its URI.
func (r *rests) page(whose mcp.Principal, uri string) (sealed string, number int, page restPage, ok bool) {
	sealed, query, _ := strings.Cut(strings.TrimPrefix(uri, restScheme), "?")
	values, err := url.ParseQuery(query)
	if err != nil {
		return "", 0, page, false
	}
	if number, err = strconv.Atoi(values.Get("page")); err != nil {
		return "", 0, page, false
	}
	id, err := r.sealer.Open(mcp.BindPrincipal(restPurpose, whose), sealed)
	if err != nil {
		return "", 0, page, false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.expireLocked()
	el := r.entries[string(id)]
	if el == nil {
		return "", 0, page, false
	}
	e := el.Value.(*rest)
	if number < 1 || number > len(e.pages) {
		return "", 0, page, false
	}
	return sealed, number, restPage{entries: e.pages[number-1], of: len(e.pages), left: time.Until(e.until)}, true
}

func (r *rests) expireLocked() {
	for el := r.order.Front(); el != nil && !time.Now().Before(el.Value.(*rest).until); el = r.order.Front() {
		r.dropLocked(el)
	}
}

func (r *rests) dropLocked(el *lru.Element) {
	e := r.order.Remove(el).(*rest)
	delete(r.entries, e.id)
	r.size -= e.size
	if r.held[e.whose] -= e.size; r.held[e.whose] == 0 {
		delete(r.held, e.whose)
	}
}
