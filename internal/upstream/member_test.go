package upstream_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fairlead-mcp/fairlead/internal/upstream"
	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/mcp/jsonrpc"
	"github.com/google/go-cmp/cmp"
)

// litter dials children that say which they are, as servers of one program do.
type litter struct {
	server *mcp.Server // whose lists they all have

	mu    sync.Mutex
	born  int
	alive map[int]*fake
	dead  bool // new ones are not born
}

func newLitter() *litter { return &litter{server: newServer(), alive: map[int]*fake{}} }

func (l *litter) dial(context.Context, upstream.Whose) (*upstream.Conn, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.born++
	if l.dead {
		return nil, errors.New("stillborn")
	}
	n, f := l.born, newFake()
	l.alive[n] = f
	return &upstream.Conn{
		Done: f.done, PID: 1000 + n,
		Close: func() error {
			l.mu.Lock()
			defer l.mu.Unlock()
			delete(l.alive, n)
			return nil
		},
		Handler: mcp.HandlerFunc(func(ctx context.Context, req *mcp.Request, sink mcp.Sink) (mcp.Result, error) {
			state, _ := jsonrpc.Unquote(jsonrpc.Get(req.Params, "requestState"))
			switch {
			case req.Name == "who":
				return mcp.Result{Body: fmt.Appendf(nil, `{"n":%d}`, n)}, nil
			case req.Name == "ask" && state == "":
				return mcp.Result{Type: mcp.ResultInputRequired, Body: fmt.Appendf(nil, `{"requestState":"of %d","inputRequests":{}}`, n)}, nil
			case req.Name == "ask":
				return mcp.Result{Body: fmt.Appendf(nil, `{"n":%d,"state":%q}`, n, state)}, nil
			case req.Name == "task":
				return mcp.Result{Type: mcp.ResultTask, Body: fmt.Appendf(nil, `{"taskId":"task of %d"}`, n)}, nil
			case req.Method == mcp.MethodGetTask:
				return mcp.Result{Body: fmt.Appendf(nil, `{"n":%d,"id":%q,"in":%s}`, n, req.Name, jsonrpc.Get(req.Params, "taskId"))}, nil
			}
			return l.server.Handle(ctx, req, sink)
		}),
	}, nil
}

// living are the numbers of those that live, in order.
func (l *litter) living() []int {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []int
	for n := range l.alive {
		out = append(out, n)
	}
	slices.Sort(out)
	return out
}

func (l *litter) kill(n int) {
	l.mu.Lock()
	f := l.alive[n]
	l.mu.Unlock()
	f.cut()
	synctest.Wait()
}

func body(t *testing.T, u *upstream.Upstream, req *mcp.Request) []byte {
	t.Helper()
	res, err := u.Handle(t.Context(), req, mcp.Discard)
	if err != nil {
		t.Fatalf("%s %s: %v", req.Method, req.Name, err)
	}
	return res.Body
}

func which(t *testing.T, u *upstream.Upstream) string {
	return string(jsonrpc.Get(body(t, u, callRequest("who", `{}`)), "n"))
}

func TestCallsAreSpread(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLitter()
		u := upstream.New("u", upstream.Spec{Size: 3}, &upstream.Options{Dial: l.dial})
		defer run(t, u)()
		synctest.Wait()
		if st := u.Status(); st.State != upstream.Ready || st.Alive != 3 || st.Tools != 2 {
			t.Fatalf("status %+v", st)
		}
		// Calls that run: each of the first three has a child to itself.
		ctx, cancel := context.WithCancel(t.Context())
		var busy sync.WaitGroup
		hang := func() {
			busy.Go(func() { _, _ = u.Handle(ctx, callRequest("hang", `{}`), mcp.Discard) })
			synctest.Wait()
		}
		for range 3 {
			hang()
		}
		if diff := cmp.Diff([]int{1, 1, 1}, calls(u)); diff != "" {
			t.Errorf("three calls (-want +got):\n%s", diff)
		}
		hang()
		counts := calls(u)
		if slices.Max(counts) != 2 || counts[0]+counts[1]+counts[2] != 4 {
			t.Errorf("four calls: %v", counts)
		}
		cancel()
		busy.Wait()
		// Of equals all get calls.
		seen := map[string]bool{}
		for range 6 {
			seen[which(t, u)] = true
		}
		if len(seen) != 3 {
			t.Errorf("six calls reached %v", seen)
		}
	})
}

func calls(u *upstream.Upstream) []int {
	var out []int
	for _, c := range u.Connections() {
		out = append(out, c.Calls)
	}
	return out
}

// TestOneOfManyDies: no call fails while another child lives, and what the others see
// of the upstream goes on.
func TestOneOfManyDies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLitter()
		u := upstream.New("u", upstream.Spec{Size: 2}, &upstream.Options{Dial: l.dial})
		defer run(t, u)()
		synctest.Wait()
		var mu sync.Mutex
		var changes []upstream.Change
		defer u.Watch(func(c upstream.Change) {
			mu.Lock()
			defer mu.Unlock()
			changes = append(changes, c)
		})()
		stopURI, _ := u.Subscribe("test://r")
		defer stopURI()
		synctest.Wait()
		before := u.Catalogue()
		l.mu.Lock()
		l.dead = true
		l.mu.Unlock()

		for _, c := range u.Connections() {
			if c.Leads {
				l.kill(c.PID - 1000)
			}
		}
		other := l.living()
		if len(other) != 1 {
			t.Fatalf("%v live", other)
		}
		for range 20 {
			if got := which(t, u); got != fmt.Sprint(other[0]) {
				t.Errorf("reached %s", got)
			}
		}
		if st := u.Status(); st.State != upstream.Ready || st.Alive != 1 || st.LastError == "" {
			t.Errorf("status %+v", st)
		}
		if err := u.Probe(t.Context()); err != nil {
			t.Errorf("probe: %v", err)
		}
		if u.Catalogue() != before {
			t.Error("the catalogue was made anew though nothing has changed")
		}
		l.server.ResourceUpdated("test://r") // the other leads now
		synctest.Wait()
		if diff := cmp.Diff([]upstream.Change{{Gap: true}, {URI: "test://r"}}, changes); diff != "" {
			t.Errorf("changes (-want +got):\n%s", diff)
		}

		// The broken twin: with none alive calls do fail, and the state says so.
		l.kill(other[0])
		if _, err := u.Handle(t.Context(), callRequest("who", `{}`), mcp.Discard); class(err) != "upstream_unavailable" {
			t.Errorf("with none alive: %v", err)
		}
		if st := u.Status(); st.State == upstream.Ready || st.Alive != 0 {
			t.Errorf("status with none alive %+v", st)
		}
		l.mu.Lock()
		l.dead = false
		l.mu.Unlock()
		time.Sleep(5 * time.Minute)
		if st := u.Status(); st.State != upstream.Ready || st.Alive != 2 {
			t.Errorf("status after a while %+v", st)
		}
	})
}

// TestAnswersGoToWhoAsked: of several children only one knows what a word means.
func TestAnswersGoToWhoAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLitter()
		u := upstream.New("u", upstream.Spec{Size: 3}, &upstream.Options{Dial: l.dial})
		defer run(t, u)()
		synctest.Wait()
		retry := func(state []byte) []byte {
			req := callRequest("ask", `{}`)
			req.Params = jsonrpc.Splice(nil, req.Params, jsonrpc.Member{Key: "requestState", Value: state})
			return body(t, u, req)
		}
		poll := func(id []byte) []byte {
			name, _ := jsonrpc.Unquote(id)
			return body(t, u, &mcp.Request{Method: mcp.MethodGetTask, Name: name, Params: fmt.Appendf(nil, `{"taskId":%s}`, id), Meta: mcp.Meta{Version: mcp.LatestVersion}})
		}
		for range 9 {
			state := jsonrpc.Get(body(t, u, callRequest("ask", `{}`)), "requestState")
			if got := retry(state); string(jsonrpc.Get(got, "state")) != `"of `+string(jsonrpc.Get(got, "n"))+`"` {
				t.Errorf("state %s was answered with %s", state, got)
			}
			id := jsonrpc.Get(body(t, u, callRequest("task", `{}`)), "taskId")
			got := poll(id)
			if want := `"task of ` + string(jsonrpc.Get(got, "n")) + `"`; string(jsonrpc.Get(got, "id")) != want || string(jsonrpc.Get(got, "in")) != want {
				t.Errorf("task %s was answered with %s", id, got)
			}
		}
		// Who asked is gone: another one gets its own word, and says what it thinks of it.
		state := jsonrpc.Get(body(t, u, callRequest("ask", `{}`)), "requestState")
		asker := string(jsonrpc.Get(retry(state), "n"))
		var n int
		_, _ = fmt.Sscan(asker, &n)
		l.kill(n)
		if got := retry(state); string(jsonrpc.Get(got, "n")) == asker || string(jsonrpc.Get(got, "state")) != `"of `+asker+`"` {
			t.Errorf("after its end %s was answered with %s", state, got)
		}
	})
}

func TestSleepAndWake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLitter()
		u := upstream.New("u", upstream.Spec{Size: 2, Lazy: true, IdleStop: 10 * time.Minute}, &upstream.Options{Dial: l.dial})
		stop := run(t, u)
		defer stop()
		time.Sleep(time.Hour)
		if st := u.Status(); st.State != upstream.Idle || l.born != 0 || u.Probe(t.Context()) != nil {
			t.Fatalf("status before it is needed %+v, %d born", st, l.born)
		}
		which(t, u)
		synctest.Wait()
		if st := u.Status(); st.State != upstream.Ready || st.Alive != 2 {
			t.Errorf("status after a call %+v", st)
		}
		time.Sleep(9 * time.Minute)
		which(t, u) // not idle yet
		time.Sleep(9 * time.Minute)
		if len(l.living()) != 2 {
			t.Errorf("stopped though it was needed: %v live", l.living())
		}
		// A call that runs keeps it awake, whatever the time.
		ctx, cancel := context.WithCancel(t.Context())
		var busy sync.WaitGroup
		busy.Go(func() { _, _ = u.Handle(ctx, callRequest("hang", `{}`), mcp.Discard) })
		time.Sleep(time.Hour)
		if len(l.living()) != 2 {
			t.Errorf("stopped under a call: %v live", l.living())
		}
		cancel()
		busy.Wait()
		time.Sleep(21 * time.Minute)
		st := u.Status()
		if st.State != upstream.Idle || len(l.living()) != 0 || st.Restarts != 0 || st.LastError != "" || u.Catalogue() == nil || u.Probe(t.Context()) != nil {
			t.Errorf("status when idle %+v, %v live", st, l.living())
		}
		// Subscriptions wake it, and keep it.
		stopURI, _ := u.Subscribe("test://r")
		synctest.Wait()
		if len(l.living()) != 2 {
			t.Errorf("a subscription has started %v", l.living())
		}
		time.Sleep(time.Hour)
		if len(l.living()) != 2 {
			t.Errorf("stopped under a subscription: %v live", l.living())
		}
		stopURI()
		time.Sleep(21 * time.Minute)
		if len(l.living()) != 0 {
			t.Errorf("after the subscription %v live", l.living())
		}
		// A crowd of calls wakes it once.
		born := l.born
		for range 50 {
			busy.Go(func() { which(t, u) })
		}
		busy.Wait()
		synctest.Wait()
		if l.born != born+2 {
			t.Errorf("%d were started for a crowd", l.born-born)
		}
		stop()
		if st := u.Status(); st.State != upstream.Stopped || len(l.living()) != 0 {
			t.Errorf("status at the end %+v, %v live", st, l.living())
		}
	})
}

// TestSleeperThatCannotStart: who wakes it is told, and it does not sleep on.
func TestSleeperThatCannotStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLitter()
		l.dead = true
		u := upstream.New("u", upstream.Spec{Lazy: true, IdleStop: time.Minute}, &upstream.Options{Dial: l.dial})
		defer run(t, u)()
		synctest.Wait()
		if _, err := u.Handle(t.Context(), callRequest("who", `{}`), mcp.Discard); class(err) != "upstream_unavailable" {
			t.Errorf("call: %v", err)
		}
		if st := u.Status(); st.State != upstream.Restarting || u.Probe(t.Context()) == nil {
			t.Errorf("status %+v", st)
		}
		l.mu.Lock()
		l.dead = false
		l.mu.Unlock()
		time.Sleep(time.Minute)
		if _, err := u.Handle(t.Context(), callRequest("who", `{}`), mcp.Discard); err != nil {
			t.Errorf("call when it can: %v", err)
		}
	})
}

// TestChildrenShare does it with real processes: each is killed in turn.
func TestChildrenShare(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	moved := make(chan struct{}, 1)
	u := upstream.New("child", upstream.Spec{Command: exe, Env: append(os.Environ(), "CHILD=1"), Size: 2}, &upstream.Options{
		OnEvent: func(upstream.Status) {
			select {
			case moved <- struct{}{}:
			default: // one token is enough
			}
		},
	})
	stop := run(t, u)
	await := func(alive int) {
		for u.Status().Alive != alive {
			select {
			case <-moved:
			case <-time.After(30 * time.Second):
				t.Fatalf("%d children do not come: %+v", alive, u.Status())
			}
		}
	}
	for range 2 {
		await(2)
		victims := u.Connections()
		must(syscall.Kill(victims[0].PID, syscall.SIGKILL))
		for u.Connections()[0].PID == victims[0].PID { // until it is noticed
			<-moved
		}
		for range 20 {
			res, err := u.Handle(t.Context(), callRequest("echo", `{"text":"still here"}`), mcp.Discard)
			if err != nil || !strings.Contains(string(res.Body), "still here") {
				t.Fatalf("call: %s, %v", res.Body, err)
			}
		}
	}
	await(2)
	pids := u.Connections()
	stop()
	for _, c := range pids {
		if err := syscall.Kill(c.PID, 0); !errors.Is(err, syscall.ESRCH) {
			t.Errorf("child %d after stop: %v", c.PID, err)
		}
	}
}
