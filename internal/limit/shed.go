package limit

import (
	"math"
	"runtime/debug"
	"runtime/metrics"
	"sync"
	"sync/atomic"
	"time"
)

// Work is a kind of work that a node under pressure leaves undone.
type Work uint8

// The kinds of work, in the order in which they are shed.
const (
	NewStreams  Work = iota // subscriptions that are opened
	LogMessages             // of calls, to callers that want them
	ListWaits               // lists that wait for an upstream; they are answered with what is known
	LowCalls                // calls of upstreams of low priority
	NormalCalls             // calls of others but those of high priority

	works
)

// shedAt is the pressure from which each kind is shed.
var shedAt = [works]float64{NewStreams: 0.80, LogMessages: 0.85, ListWaits: 0.90, LowCalls: 0.90, NormalCalls: 0.97}

// String returns the name of the kind, as status shows it.
func (w Work) String() string {
	return [...]string{"new streams", "log messages", "waits of lists", "calls of low priority", "calls of normal priority"}[w]
}

// Shedder says which work to leave undone, by the share of a node's room that is
// taken, and counts it. It is safe for concurrent use.
type Shedder struct {
	memory func() float64
	counts [works]atomic.Uint64
}

// NewShedder returns a Shedder. memory says which share of the memory is taken; nil means
// [MemoryShare].
func NewShedder(memory func() float64) *Shedder {
	if memory == nil {
		memory = MemoryShare()
	}
	return &Shedder{memory: memory}
}

// Shed reports whether work of a kind is to be left undone, with why if it is, when calls
// take a share of what may run.
func (s *Shedder) Shed(w Work, calls float64) (why string, shed bool) {
	switch at := shedAt[w]; {
	case calls >= at:
		why = "as many calls run as the node can take"
	case s.memory() >= at:
		why = "the memory of the node is taken"
	default:
		return "", false
	}
	s.counts[w].Add(1)
	return why, true
}

// Counts returns how often work of each kind was shed.
func (s *Shedder) Counts() map[Work]uint64 {
	counts := make(map[Work]uint64, works)
	for w := range works {
		counts[w] = s.counts[w].Load()
	}
	return counts
}

// MemoryShare returns a function that says which share of GOMEMLIMIT is taken by what
// lives: 0 without a limit. What the collector has not collected yet does not count,
// since near the limit there is always some. It looks once a second.
func MemoryShare() func() float64 {
	const every = time.Second
	var (
		mu      sync.Mutex
		last    time.Time
		share   float64
		samples = []metrics.Sample{
			{Name: "/gc/heap/live:bytes"},
			{Name: "/memory/classes/total:bytes"},
			{Name: "/memory/classes/heap/objects:bytes"},
			{Name: "/memory/classes/heap/unused:bytes"},
			{Name: "/memory/classes/heap/free:bytes"},
			{Name: "/memory/classes/heap/released:bytes"},
		}
	)
	return func() float64 {
		mu.Lock()
		defer mu.Unlock()
		now := time.Now()
		if now.Sub(last) < every {
			return share
		}
		last, share = now, 0
		limit := debug.SetMemoryLimit(-1)
		if limit <= 0 || limit == math.MaxInt64 {
			return share
		}
		metrics.Read(samples)
		used := float64(samples[0].Value.Uint64()) + float64(samples[1].Value.Uint64())
		for _, s := range samples[2:] {
			used -= float64(s.Value.Uint64())
		}
		share = used / float64(limit)
		return share
	}
}
