package upstream

import (
	"maps"
	"sync"

	"github.com/fairlead-mcp/fairlead/mcp/stdio"
)

// faults counts what a child does that is not as the protocol has it. Each kind is
// named in the log once: a child that babbles would else fill it.
type faults struct {
	mu sync.Mutex
	n  map[stdio.Fault]uint64
}

// faulted takes one of them. It is called by the reader of a connection.
func (u *Upstream) faulted(f stdio.Fault, err error) {
	u.faults.mu.Lock()
	if u.faults.n == nil {
		u.faults.n = make(map[stdio.Fault]uint64)
	}
	u.faults.n[f]++
	first := u.faults.n[f] == 1
	u.faults.mu.Unlock()
	if !first {
		return
	}
	switch f {
	case stdio.FaultLateAnswer, stdio.FaultDroppedNotification: // calls that were cancelled bring some
		u.log.Debug("upstream not as the protocol has it", "what", string(f))
	default:
		u.log.Warn("upstream not as the protocol has it; more of it is only counted", "what", string(f), "err", err)
	}
}

// Faults returns how often a child has done what the protocol does not have, by what it was.
func (u *Upstream) Faults() map[stdio.Fault]uint64 {
	u.faults.mu.Lock()
	defer u.faults.mu.Unlock()
	return maps.Clone(u.faults.n)
}
