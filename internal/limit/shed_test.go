package limit_test

import (
	"math"
	"runtime"
	"runtime/debug"
	"testing"

	"github.com/fairlead-mcp/fairlead/internal/limit"
)

// TestSheddingOrder: the more room is taken the more is left undone, in the order that
// was decided, and never anything before what stands above it.
func TestSheddingOrder(t *testing.T) {
	order := []limit.Work{limit.NewStreams, limit.LogMessages, limit.ListWaits, limit.LowCalls, limit.NormalCalls}
	for name, share := range map[string]func(*float64) func(limit.Work, *limit.Shedder) bool{
		"calls": func(p *float64) func(limit.Work, *limit.Shedder) bool {
			return func(w limit.Work, s *limit.Shedder) bool { _, shed := s.Shed(w, *p); return shed }
		},
		"memory": func(p *float64) func(limit.Work, *limit.Shedder) bool {
			return func(w limit.Work, s *limit.Shedder) bool { _, shed := s.Shed(w, 0); return shed }
		},
	} {
		pressure := 0.0
		sheds := share(&pressure)
		memory := func() float64 { return 0 }
		if name == "memory" {
			memory = func() float64 { return pressure }
		}
		s := limit.NewShedder(memory)
		before := 0
		for ; pressure <= 1; pressure += 0.01 {
			shed := 0
			for i, w := range order {
				if sheds(w, s) {
					if shed != i {
						t.Errorf("%s at %.2f: %v is shed before what comes first", name, pressure, w)
					}
					shed++
				}
			}
			if shed < before || pressure < 0.79 && shed > 0 {
				t.Errorf("%s at %.2f: %d kinds are shed, %d before", name, pressure, shed, before)
			}
			before = shed
		}
		if before != len(order) {
			t.Errorf("%s: %d kinds are shed at the end", name, before)
		}
		for w, n := range s.Counts() {
			if n == 0 || w.String() == "" {
				t.Errorf("%s: %v is not counted", name, w)
			}
		}
	}
}

func TestMemoryShare(t *testing.T) {
	if share := limit.MemoryShare()(); share != 0 && debug.SetMemoryLimit(-1) == math.MaxInt64 {
		t.Errorf("without a limit the share is %v", share)
	}
	hold := make([]byte, 64<<20)
	runtime.GC()
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(128 << 20))
	share := limit.MemoryShare()()
	if share < 0.4 || share > 1 { // half of it is held, and the runtime has its part
		t.Errorf("share %v", share)
	}
	runtime.KeepAlive(hold)
}
