package limit

import (
	"context"
	"slices"
	"sync"
	"time"
)

// BulkheadOptions are the figures of a [Bulkhead]. The zero value lets 256 calls
// run, 256 wait, and those for 10 seconds.
type BulkheadOptions struct {
	Max   int           // that run at one time. Zero means 256.
	Queue int           // that wait beside them. Zero means 256, negative none.
	Wait  time.Duration // after which one that waits is refused. Zero means 10 s.
}

// Bulkhead bounds what runs at one time. What comes on top waits in a queue with a
// bound of its own: the calls of one party in the order they came, and the parties
// in turn, so that one that floods makes the others wait for one call and not for
// its thousands. A full queue takes a party that has less in it than another in
// place of the newest of the one that has most. It is safe for concurrent use.
type Bulkhead[P comparable] struct {
	opts BulkheadOptions

	mu      sync.Mutex
	running int
	queued  int
	lines   map[P]*line[P] // who waits -> their calls
	turns   []*line[P]     // the same, the next to be served first
	took    time.Duration  // moving average of how long one runs
	refused uint64
}

// line is what waits of one party.
type line[P comparable] struct {
	party   P
	waiting []*waiter // oldest first; never empty
}

// waiter is one that waits. gone is closed when it is let in, or put out.
type waiter struct {
	gone chan struct{}
	in   bool
}

// Refusal says why a [Bulkhead] has not let somebody in, and when to ask again.
type Refusal struct {
	Why        string
	RetryAfter time.Duration
}

func (r *Refusal) Error() string { return r.Why }

// NewBulkhead returns an empty bulkhead.
func NewBulkhead[P comparable](opts BulkheadOptions) *Bulkhead[P] {
	if opts.Max <= 0 {
		opts.Max = 256
	}
	if opts.Queue == 0 {
		opts.Queue = 256
	}
	if opts.Wait <= 0 {
		opts.Wait = 10 * time.Second
	}
	return &Bulkhead[P]{opts: opts, lines: make(map[P]*line[P])}
}

// Enter waits until there is room for one more of a party. Then leave must be called
// once, when it is over; waited says how long that took. The error is a [*Refusal],
// or the cause of ctx.
func (b *Bulkhead[P]) Enter(ctx context.Context, party P) (leave func(), waited time.Duration, err error) {
	b.mu.Lock()
	began := time.Now()
	if b.running < b.opts.Max { // then nobody waits
		b.running++
		b.mu.Unlock()
		return func() { b.leave(began) }, 0, nil
	}
	if b.queued >= b.opts.Queue && !b.displaceLocked(party) {
		b.refused++
		refusal := &Refusal{Why: "as many run as may, and as many wait", RetryAfter: b.hintLocked()}
		b.mu.Unlock()
		return nil, 0, refusal
	}
	w := b.joinLocked(party)
	b.mu.Unlock()

	timer := time.NewTimer(b.opts.Wait)
	defer timer.Stop()
	late := false
	select {
	case <-w.gone:
	case <-timer.C:
		late = true
	case <-ctx.Done():
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case w.in && ctx.Err() != nil: // both at once: it is too late to begin
		b.passOnLocked()
		return nil, time.Since(began), context.Cause(ctx)
	case w.in:
		entered := time.Now()
		return func() { b.leave(entered) }, entered.Sub(began), nil
	case !late && ctx.Err() != nil:
		b.quitLocked(party, w)
		return nil, time.Since(began), context.Cause(ctx)
	}
	refusal := &Refusal{Why: "others of the same caller fill the queue", RetryAfter: b.hintLocked()}
	if late {
		refusal.Why = "none of those that run has ended within " + b.opts.Wait.String()
	}
	b.quitLocked(party, w)
	b.refused++
	return nil, time.Since(began), refusal
}

// joinLocked puts one at the end of its party's line.
func (b *Bulkhead[P]) joinLocked(party P) *waiter {
	w := &waiter{gone: make(chan struct{})}
	l := b.lines[party]
	if l == nil {
		l = &line[P]{party: party}
		b.lines[party] = l
		b.turns = append(b.turns, l)
	}
	l.waiting = append(l.waiting, w)
	b.queued++
	return w
}

// quitLocked takes one out of the queue, if it is still there.
func (b *Bulkhead[P]) quitLocked(party P, w *waiter) {
	l := b.lines[party]
	if l == nil {
		return
	}
	i := slices.Index(l.waiting, w)
	if i < 0 {
		return
	}
	l.waiting = slices.Delete(l.waiting, i, i+1)
	b.queued--
	b.tidyLocked(l)
}

// tidyLocked forgets a line in which nobody waits any more.
func (b *Bulkhead[P]) tidyLocked(l *line[P]) {
	if len(l.waiting) > 0 {
		return
	}
	delete(b.lines, l.party)
	b.turns = slices.DeleteFunc(b.turns, func(o *line[P]) bool { return o == l })
}

// displaceLocked makes room in a full queue at the cost of the party that has most
// in it, if that is more than the one that comes would have.
func (b *Bulkhead[P]) displaceLocked(party P) bool {
	own := 0
	if l := b.lines[party]; l != nil {
		own = len(l.waiting)
	}
	var longest *line[P]
	for _, l := range b.turns {
		if longest == nil || len(l.waiting) > len(longest.waiting) {
			longest = l
		}
	}
	if longest == nil || len(longest.waiting) <= own+1 {
		return false
	}
	last := len(longest.waiting) - 1
	close(longest.waiting[last].gone)
	longest.waiting[last] = nil
	longest.waiting = longest.waiting[:last]
	b.queued--
	return true
}

// leave gives a place back.
func (b *Bulkhead[P]) leave(began time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.took += (time.Since(began) - b.took) / 8
	b.passOnLocked()
}

// passOnLocked gives a place to the next in turn.
func (b *Bulkhead[P]) passOnLocked() {
	if len(b.turns) == 0 {
		b.running--
		return
	}
	l := b.turns[0]
	w := l.waiting[0]
	l.waiting = slices.Delete(l.waiting, 0, 1)
	b.queued--
	copy(b.turns, b.turns[1:])
	b.turns[len(b.turns)-1] = l
	b.tidyLocked(l)
	w.in = true
	close(w.gone)
}

// hintLocked guesses when asking again makes sense: when those that wait have run.
func (b *Bulkhead[P]) hintLocked() time.Duration {
	const least, most = 100 * time.Millisecond, 30 * time.Second
	return min(max(b.took*time.Duration(b.queued+1)/time.Duration(b.opts.Max), least), most)
}

// BulkheadStatus is a [Bulkhead] at one moment.
type BulkheadStatus struct {
	Running, Max  int
	Queued, Queue int
	Refused       uint64 // since the start
}

// Status returns what runs and waits now.
func (b *Bulkhead[P]) Status() BulkheadStatus {
	b.mu.Lock()
	defer b.mu.Unlock()
	return BulkheadStatus{Running: b.running, Max: b.opts.Max, Queued: b.queued, Queue: max(b.opts.Queue, 0), Refused: b.refused}
}
