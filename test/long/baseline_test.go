package long

import (
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/fairlead-mcp/fairlead/test/internal/peers"
)

// baseline is what a node holds while nobody uses it.
type baseline struct{ Goroutines, Descriptors, Children int }

// grown says what is held after that was not held before.
func grown(before, after baseline) (problems []string) {
	for _, c := range []struct {
		what          string
		before, after int
	}{
		{"goroutines", before.Goroutines, after.Goroutines},
		{"descriptors", before.Descriptors, after.Descriptors},
		{"children", before.Children, after.Children},
	} {
		if c.after > c.before {
			problems = append(problems, fmt.Sprintf("the node had %d %s before and has %d after", c.before, c.what, c.after))
		}
	}
	return problems
}

func TestGrown(t *testing.T) {
	before := baseline{10, 20, 3}
	if got := grown(before, baseline{9, 20, 3}); got != nil {
		t.Errorf("no more than before: %q", got)
	}
	for _, after := range []baseline{{11, 20, 3}, {10, 21, 3}, {10, 20, 4}} {
		if got := grown(before, after); len(got) != 1 {
			t.Errorf("%+v: %q", after, got)
		}
	}
}

// settled is what the node holds once it holds no more than limit, or, without
// one, once it has held the same for a while; the last figures after two minutes.
// Connections and sessions end by themselves, but not at once.
func (s *soak) settled(t *testing.T, limit *baseline) (now baseline) {
	t.Helper()
	same := 0
	for range 1200 {
		st, err := s.admin.Status(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		pid := s.node.Process.Pid
		files, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
		if err != nil {
			t.Skipf("descriptors cannot be counted here: %v", err)
		}
		last := now
		now = baseline{st.Goroutines, len(files), len(peers.Children(pid))}
		if same++; now != last {
			same = 0
		}
		if limit != nil && len(grown(*limit, now)) == 0 || limit == nil && same > 70 { // longer than a session's idle time
			return now
		}
		time.Sleep(100 * time.Millisecond) // nothing tells that the last one has gone
	}
	return now
}
