package health_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fairlead-mcp/fairlead/internal/health"
)

var errBad = errors.New("bad")

// play runs a component whose checks end as the letters say: g good, w warning, b
// bad. It returns the first letter of the state after each.
func play(t *testing.T, checks string) (states string, changes int) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		n := 0
		told := 0
		m := health.New([]health.Component{{Name: "c", Check: func(context.Context) error {
			c := checks[n]
			n++
			switch c {
			case 'b':
				return errBad
			case 'w':
				return health.Warn(errBad)
			}
			return nil
		}}}, &health.Options{OnChange: func(before health.State, now health.Status) {
			if told++; before == now.State {
				t.Errorf("told of a change from %s to itself", before)
			}
		}})
		done := make(chan struct{})
		go func() { m.Run(ctx); close(done) }()
		for range len(checks) {
			synctest.Wait()
			st := m.Snapshot()[0]
			states += string(st.State[0])
			if st.State != health.Healthy && st.Reason == "" {
				t.Errorf("%s with the reason %q", st.State, st.Reason)
			}
			if len(states) < len(checks) {
				time.Sleep(30 * time.Second)
			}
		}
		changes = m.Snapshot()[0].Changes
		if told != changes {
			t.Errorf("told of %d changes of %d", told, changes)
		}
		cancel()
		<-done
	})
	return states, changes
}

func TestStatesChangeSlowly(t *testing.T) {
	for _, tt := range []struct{ checks, want string }{
		{"gggg", "hhhh"},
		{"bbbb", "uuuu"}, // the first two u are unknown
		{"gbgbbg", "hhhhhh"},
		{"gbbbgg", "hhhuuh"},
		{"gbbbgbgg", "hhhuuuuh"},
		{"gwwg", "hddd"},
		{"gwgg", "hddh"},
		{"gbbbww", "hhhuud"},
	} {
		// u stands for unknown and unhealthy; which one is told by the test below.
		if got, _ := play(t, tt.checks); got != tt.want {
			t.Errorf("%s: got %s, want %s", tt.checks, got, tt.want)
		}
	}
	if _, changes := play(t, strings.Repeat("gb", 50)); changes != 1 {
		t.Errorf("a check that fails every other time changes the state %d times", changes)
	}
}

func TestUnknownAtFirst(t *testing.T) {
	m := health.New([]health.Component{{Name: "c", Check: func(context.Context) error { return nil }}}, nil)
	if st := m.Snapshot()[0]; st.State != health.Unknown || !st.Checked.IsZero() || m.Verdict() != health.Unknown {
		t.Errorf("before the first check %+v, verdict %s", st, m.Verdict())
	}
}

func TestChecksThatHangOrPanic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		release := make(chan struct{})
		var mu sync.Mutex
		asked := 0
		m := health.New([]health.Component{
			{Name: "deaf", Check: func(context.Context) error {
				mu.Lock()
				asked++
				mu.Unlock()
				<-release
				return nil
			}},
			{Name: "panics", Check: func(context.Context) error { panic("oops") }},
			{Name: "slow", Check: func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }},
			{Name: "well", Check: func(context.Context) error { return nil }},
		}, nil)
		done := make(chan struct{})
		go func() { m.Run(ctx); close(done) }()
		time.Sleep(70 * time.Second) // three checks of each
		synctest.Wait()
		want := []struct {
			state  health.State
			reason string
		}{{health.Unhealthy, "hangs"}, {health.Unhealthy, "panicked: oops"}, {health.Unhealthy, "within 5s"}, {health.Healthy, ""}}
		for i, st := range m.Snapshot() {
			if st.State != want[i].state || !strings.Contains(st.Reason, want[i].reason) {
				t.Errorf("%+v, want %+v", st, want[i])
			}
		}
		if asked != 1 {
			t.Errorf("a check that hangs was asked %d times", asked)
		}
		close(release)
		time.Sleep(90 * time.Second)
		synctest.Wait()
		if st := m.Snapshot()[0]; st.State != health.Healthy {
			t.Errorf("after it came back %+v", st)
		}
		cancel()
		<-done
	})
}

func TestWake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		bad := true
		m := health.New([]health.Component{{Name: "c", Check: func(context.Context) error {
			if bad {
				return errBad
			}
			return nil
		}}}, nil)
		done := make(chan struct{})
		go func() { m.Run(ctx); close(done) }()
		synctest.Wait()
		bad = false
		m.Wake("nobody")
		m.Wake("c")
		synctest.Wait()
		if st := m.Snapshot()[0]; st.State != health.Healthy || m.Verdict() != health.Healthy {
			t.Errorf("%+v", st)
		}
		cancel()
		<-done
	})
}

func TestVerdict(t *testing.T) {
	for _, tt := range []struct {
		states   string // h, d, u (unhealthy), C (critical and unhealthy), c (critical and healthy)
		want     health.State
		settling bool
	}{
		{states: "hhhh", want: health.Healthy},
		{states: "hhhd", want: health.Degraded},
		{states: "hhhu", want: health.Degraded},
		{states: "hhhhhhhC", want: health.Unhealthy},
		{states: "hhhhhhhcu", want: health.Degraded},
		{states: "hhhhhuuu", want: health.Degraded},
		{states: "hhhhhuuuu", want: health.Unhealthy},
		{states: "hdduu", want: health.Unhealthy}, // under half are healthy
		{states: "", want: health.Healthy},
	} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			var list []health.Component
			for i, s := range tt.states {
				c := health.Component{Name: fmt.Sprint(i), Critical: s == 'C' || s == 'c', Check: func(context.Context) error {
					switch s {
					case 'u', 'C':
						return errBad
					case 'd':
						return health.Warn(errBad)
					}
					return nil
				}}
				list = append(list, c)
			}
			m := health.New(list, nil)
			done := make(chan struct{})
			go func() { m.Run(ctx); close(done) }()
			time.Sleep(2 * time.Minute)
			synctest.Wait()
			if got := m.Verdict(); got != tt.want {
				t.Errorf("%s: %s, want %s", tt.states, got, tt.want)
			}
			cancel()
			<-done
		})
	}
}

func TestResource(t *testing.T) {
	for used, want := range map[uint64]string{0: "", 84: "", 85: "warn", 94: "warn", 95: "full", 100: "full"} {
		err := health.Resource("memory", 85, 95, func() (health.Usage, error) { return health.Usage{Used: used, Limit: 100, Of: "it"}, nil })(t.Context())
		got := ""
		if err != nil {
			got = "full"
			if fmt.Sprintf("%T", err) == "*health.warning" {
				got = "warn"
			}
		}
		if got != want {
			t.Errorf("%d %%: %v, want %s", used, err, want)
		}
	}
	if err := health.Resource("x", 1, 2, func() (health.Usage, error) { return health.Usage{Used: 5}, nil })(t.Context()); err != nil {
		t.Errorf("without a limit: %v", err)
	}
	if err := health.Resource("x", 1, 2, func() (health.Usage, error) { return health.Usage{}, errBad })(t.Context()); err == nil {
		t.Error("what cannot be read is well")
	}
}

// TestResourcesOfThisMachine reads what is there: the figures are real.
func TestResourcesOfThisMachine(t *testing.T) {
	for _, c := range health.Resources(t.TempDir()) {
		if err := c.Check(t.Context()); err != nil && strings.Contains(err.Error(), "cannot be read") {
			t.Errorf("%s: %v", c.Name, err)
		}
	}
}
