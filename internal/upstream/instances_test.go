package upstream_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fairlead-mcp/fairlead/internal/upstream"
	"github.com/fairlead-mcp/fairlead/mcp"
)

// fleet dials connections and counts them.
type fleet struct {
	mu     sync.Mutex
	dialed map[upstream.Whose]int
	open   map[upstream.Whose]*fake
	fail   error // of connections of callers
	block  chan struct{}
}

func newFleet() *fleet {
	return &fleet{dialed: map[upstream.Whose]int{}, open: map[upstream.Whose]*fake{}}
}

func (f *fleet) dial(ctx context.Context, w upstream.Whose) (*upstream.Conn, error) {
	f.mu.Lock()
	f.dialed[w]++
	n := f.dialed[w]
	fail, block := f.fail, f.block
	f.mu.Unlock()
	if w != (upstream.Whose{}) {
		if block != nil {
			select {
			case <-block:
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		}
		if fail != nil {
			return nil, fail
		}
	}
	c := newFake()
	f.mu.Lock()
	f.open[w] = c
	f.mu.Unlock()
	server := newServer()
	return &upstream.Conn{
		Done: c.done,
		Close: func() error {
			f.mu.Lock()
			defer f.mu.Unlock()
			if f.open[w] == c {
				delete(f.open, w)
			}
			return nil
		},
		Version: func() mcp.Version { return mcp.LatestLegacyVersion },
		Handler: mcp.HandlerFunc(func(ctx context.Context, req *mcp.Request, sink mcp.Sink) (mcp.Result, error) {
			if req.Name == "who" {
				return mcp.Result{Body: fmt.Appendf(nil, "%s %s %d", w.Principal.Subject, w.Capabilities, n)}, nil
			}
			return server.Handle(ctx, req, sink)
		}),
	}, nil
}

func (f *fleet) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.open)
}

// who calls as a principal, and returns whose connection answered.
func who(t *testing.T, u *upstream.Upstream, subject, caps string) (string, error) {
	t.Helper()
	req := callRequest("who", `{}`)
	req.Principal.Subject = subject
	req.Meta.Capabilities = []byte(caps)
	res, err := u.Handle(t.Context(), req, mcp.Discard)
	return string(res.Body), err
}

func TestInstancesOfPrincipals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet()
		u := upstream.New("u", upstream.Spec{Instances: upstream.InstancesPrincipal}, &upstream.Options{Dial: f.dial})
		if _, err := who(t, u, "alice", `{}`); class(err) != "upstream_unavailable" {
			t.Errorf("before Run: %v", err)
		}
		stop := run(t, u)
		<-u.Listed()
		for _, tt := range []struct{ subject, caps, want string }{
			{"alice", `{"elicitation":{}}`, `alice {"elicitation":{}} 1`},
			{"alice", `{"elicitation":{},"extensions":{"x":{}}}`, `alice {"elicitation":{}} 1`}, // the same answers
			{"bob", `{"elicitation":{}}`, `bob {"elicitation":{}} 1`},
			{"alice", `{}`, `alice  1`},
			{"", `{"roots":{}}`, ` {"roots":{}} 1`},
			{"alice", `{"elicitation":{}}`, `alice {"elicitation":{}} 1`},
		} {
			if got, err := who(t, u, tt.subject, tt.caps); got != tt.want || err != nil {
				t.Errorf("%s with %s reached %q, %v; want %q", tt.subject, tt.caps, got, err, tt.want)
			}
		}
		if n := u.Status().Instances; n != 4 || f.count() != 5 {
			t.Errorf("%d instances, %d connections", n, f.count())
		}

		// One dies: the next call of its owner opens another, the others do not notice.
		alice := upstream.Whose{Principal: mcp.Principal{Subject: "alice"}, Capabilities: `{"elicitation":{}}`}
		f.open[alice].cut()
		synctest.Wait()
		if got, err := who(t, u, "alice", `{"elicitation":{}}`); got != `alice {"elicitation":{}} 2` || err != nil {
			t.Errorf("after its end: %q, %v", got, err)
		}
		if got, _ := who(t, u, "bob", `{"elicitation":{}}`); got != `bob {"elicitation":{}} 1` {
			t.Errorf("bob reached %q", got)
		}

		time.Sleep(4 * time.Minute)
		_, _ = who(t, u, "bob", `{"elicitation":{}}`)
		time.Sleep(2 * time.Minute) // the others have been idle for 6
		synctest.Wait()
		if n := u.Status().Instances; n != 1 || f.count() != 2 {
			t.Errorf("after a while %d instances, %d connections", n, f.count())
		}
		stop()
		if f.count() != 0 {
			t.Errorf("%d connections are left", f.count())
		}
		if _, err := who(t, u, "bob", `{}`); class(err) != "upstream_unavailable" {
			t.Errorf("after Run: %v", err)
		}
	})
}

func TestWhoMayBeAsked(t *testing.T) {
	for _, tt := range []struct {
		spec upstream.Spec
		caps string
		want bool
	}{
		{upstream.Spec{}, `{"elicitation":{}}`, false}, // a shared child
		{upstream.Spec{Instances: upstream.InstancesShared, URL: "http://x"}, `{"elicitation":{}}`, false},
		{upstream.Spec{URL: "http://x"}, `{"elicitation":{}}`, true}, // a session of the caller's own
		{upstream.Spec{URL: "http://x"}, `{}`, false},                // nothing that could be asked
		{upstream.Spec{Instances: upstream.InstancesPrincipal}, `{"roots":{}}`, true},
		{upstream.Spec{Instances: upstream.InstancesPrincipal}, `{}`, false}, // nobody, who can be asked nothing
	} {
		synctest.Test(t, func(t *testing.T) {
			f := newFleet()
			u := upstream.New("u", tt.spec, &upstream.Options{Dial: f.dial})
			defer run(t, u)()
			<-u.Listed()
			req := callRequest("who", `{}`)
			req.Meta.Capabilities = []byte(tt.caps)
			if got := u.MayAsk(req); got != tt.want {
				t.Errorf("%+v with %s: %v", tt.spec, tt.caps, got)
			}
			if _, err := u.Handle(t.Context(), req, mcp.Discard); err != nil {
				t.Error(err)
			}
			want := 1
			if tt.want {
				want = 2
			}
			if f.count() != want {
				t.Errorf("%+v with %s: %d connections, want %d", tt.spec, tt.caps, f.count(), want)
			}
		})
	}
}

func TestInstancesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet()
		u := upstream.New("u", upstream.Spec{Instances: upstream.InstancesPrincipal}, &upstream.Options{Dial: f.dial})
		defer run(t, u)()
		<-u.Listed()
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var busy sync.WaitGroup
		for i := range 64 {
			busy.Go(func() {
				req := callRequest("hang", `{}`)
				req.Principal.Subject = fmt.Sprint(i)
				_, _ = u.Handle(ctx, req, mcp.Discard)
			})
		}
		synctest.Wait()
		if _, err := who(t, u, "one more", `{}`); class(err) != "overloaded" {
			t.Errorf("the 65th: %v", err)
		}
		cancel()
		busy.Wait()
		if _, err := who(t, u, "one more", `{}`); err != nil { // an idle one makes room
			t.Error(err)
		}
		synctest.Wait()
		if n := u.Status().Instances; n != 64 || f.count() != 65 {
			t.Errorf("%d instances, %d connections", n, f.count())
		}
	})
}

func TestInstanceThatCannotBeOpened(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet()
		f.fail = errors.New("no room")
		u := upstream.New("u", upstream.Spec{Instances: upstream.InstancesPrincipal, StartTimeout: 5 * time.Second}, &upstream.Options{Dial: f.dial})
		defer run(t, u)()
		<-u.Listed()
		alice := upstream.Whose{Principal: mcp.Principal{Subject: "alice"}}
		for range 1000 { // a crowd of callers within a second
			if _, err := who(t, u, "alice", `{}`); class(err) != "upstream_unavailable" {
				t.Fatal(err)
			}
			time.Sleep(time.Millisecond)
		}
		f.mu.Lock()
		tries := f.dialed[alice]
		f.mu.Unlock()
		if tries < 2 || tries > 4 {
			t.Errorf("a second of calls tried %d times", tries)
		}
		f.mu.Lock()
		f.fail, f.block = nil, make(chan struct{})
		f.mu.Unlock()
		time.Sleep(time.Minute)
		if _, err := who(t, u, "alice", `{}`); class(err) != "upstream_unavailable" {
			t.Errorf("while it hangs: %v", err)
		}
		f.mu.Lock()
		f.block = nil
		f.mu.Unlock()
		time.Sleep(time.Minute)
		if _, err := who(t, u, "alice", `{}`); err != nil {
			t.Errorf("when it is well again: %v", err)
		}
	})
}

func TestInstancesOfSessions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet()
		u := upstream.New("u", upstream.Spec{Instances: upstream.InstancesSession}, &upstream.Options{Dial: f.dial})
		stop := run(t, u)
		defer stop()
		<-u.Listed()
		first, second := &mcp.Session{}, &mcp.Session{}
		reach := func(s *mcp.Session, tool string) (upstream.Whose, error) {
			req := callRequest(tool, `{}`)
			req.Session = s
			req.Principal.Subject = "alice"
			_, err := u.Handle(t.Context(), req, mcp.Discard)
			return upstream.Whose{Principal: req.Principal, Session: s}, err
		}
		windows := []upstream.Whose{}
		for _, s := range []*mcp.Session{first, second, nil} { // two windows of one user, and one whose requests stand alone
			for range 2 {
				w, err := reach(s, "who")
				if err != nil {
					t.Fatal(err)
				}
				windows = append(windows, w)
			}
		}
		for _, w := range windows {
			if f.dialed[w] != 1 {
				t.Errorf("%d connections for %+v", f.dialed[w], w)
			}
		}
		if n := u.Status().Instances; n != 3 {
			t.Errorf("%d instances, want 3", n)
		}
		time.Sleep(6 * time.Minute) // what a window relies on is kept; the other is not
		synctest.Wait()
		if n := u.Status().Instances; n != 2 || f.count() != 3 {
			t.Errorf("%d instances and %d connections after a while", n, f.count())
		}
		// The child ends with its session, and with it the calls that run.
		var ended error
		var busy sync.WaitGroup
		busy.Go(func() { _, ended = reach(first, "hang") })
		synctest.Wait()
		first.End()
		busy.Wait()
		synctest.Wait()
		if ended == nil || u.Status().Instances != 1 || f.count() != 2 {
			t.Errorf("after the end of a session: %v, %d instances, %d connections", ended, u.Status().Instances, f.count())
		}
		if _, err := reach(first, "who"); err == nil || f.count() != 2 {
			t.Errorf("a call of a session that has ended: %v, %d connections", err, f.count())
		}
		stop()
		if f.count() != 0 {
			t.Errorf("%d connections are left", f.count())
		}
	})
}
