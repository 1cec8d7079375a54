package limit

import "sync"

// Budget allows extra work in proportion to the work that is asked for: retries up
// to a share of calls. It is safe for concurrent use; the zero Budget allows nothing.
type Budget struct {
	share, most float64

	mu   sync.Mutex
	left float64
}

// NewBudget allows one extra for each 1/share calls, and at once most of them.
func NewBudget(share float64, most int) *Budget {
	return &Budget{share: share, most: float64(most), left: float64(most)}
}

// Earn counts one call.
func (b *Budget) Earn() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.left = min(b.left+b.share, b.most)
}

// Spend reports whether there is something left for one extra, and takes it.
func (b *Budget) Spend() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.left < 1 {
		return false
	}
	b.left--
	return true
}
