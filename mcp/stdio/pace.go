package stdio

import "time"

// The pace of a server that talks of itself: what answers no call and reports on
// none. At 5000 lines a second it costs one core about one percent; what comes faster
// waits in the pipe, and so does the server. A burst of 10000 is a list of
// resources of which every one changed.
const (
	paceRate  = 5000 // lines a second
	paceBurst = 10_000
	paceLine  = 4 << 10 // bytes that count as one more line
	paceNap   = 10 * time.Millisecond
)

// pace is the budget of such lines. The zero pace is full.
type pace struct {
	used float64 // of paceBurst
	at   time.Time
}

// spend counts a line of n bytes and returns how long to wait before the next one.
func (p *pace) spend(n int, now time.Time) time.Duration {
	p.used = max(p.used-now.Sub(p.at).Seconds()*paceRate, 0) + 1 + float64(n/paceLine)
	p.at = now
	if over := p.used - paceBurst; over > 0 {
		return max(time.Duration(over/paceRate*float64(time.Second)), paceNap) // naps, not a wait for each line
	}
	return 0
}

// wait lets d pass, or the connection end.
func (c *Client) wait(d time.Duration) {
	if d <= 0 {
		return
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-c.done:
	case <-c.closing:
	case <-c.peer.gone(): // what is left is not much
	}
}
