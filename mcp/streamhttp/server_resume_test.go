package streamhttp_test

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/mcp/streamhttp"
)

// event is one event as a client sees it.
type event struct{ id, retry, data string }

// events reads a response; "EOF" is the data after the last event, comments are left out.
func events(resp *http.Response) func() event {
	lines := bufio.NewScanner(resp.Body)
	return func() event {
		var e event
		seen := false
		for lines.Scan() {
			name, value, _ := strings.Cut(lines.Text(), ": ")
			switch {
			case lines.Text() == "" && seen:
				return e
			case name == "id":
				e.id, seen = value, true
			case name == "retry":
				e.retry, seen = value, true
			case name == "data":
				e.data, seen = value, true
			}
		}
		return event{data: "EOF"}
	}
}

// slow is a server with a tool that goes on, step by step, when it is told to.
type slow struct {
	*endpoint
	step   chan struct{}
	detach chan time.Duration // makes the next step end the connection
	calls  chan error         // how the tool's calls ended
}

func serveSlow(t *testing.T, opts *streamhttp.HandlerOptions) *slow {
	t.Helper()
	s := &slow{step: make(chan struct{}), detach: make(chan time.Duration, 10), calls: make(chan error, 10)}
	server := mcp.NewServer("slow", "1", nil)
	if err := mcp.AddTool(server, mcp.Tool{Name: "slow"}, func(ctx context.Context, call *mcp.Call, _ struct{}) (out string, err error) {
		defer func() { s.calls <- err }()
		for i := range 3 {
			select {
			case d := <-s.detach:
				if !call.Detach(d) {
					return "", fmt.Errorf("not detached")
				}
			default:
			}
			if err := call.Progress(float64(i+1), 3, ""); err != nil {
				return "", err
			}
			select {
			case <-s.step:
			case <-ctx.Done():
				return "", ctx.Err()
			}
		}
		return "done", nil
	}); err != nil {
		t.Fatal(err)
	}
	s.endpoint = &endpoint{fixture: newFixture(), handler: streamhttp.NewHandler(server, opts)}
	srv := httptest.NewUnstartedServer(s.handler)
	srv.Config.ConnContext = streamhttp.ConnContext
	srv.Start()
	s.url, s.client = srv.URL, srv.Client()
	s.record(t)
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		_ = s.handler.Close(ctx)
		srv.CloseClientConnections()
		srv.Close()
	})
	return s
}

const callSlow = `"name":"slow","arguments":{},"_meta":{"progressToken":"t"}`

// call begins a call and returns its events, and what cuts the connection.
func (s *slow) call(t *testing.T, session string) (next func() event, cut func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	resp, err := s.client.Do(s.request(t, ctx, http.MethodPost, legacyCall("7", "tools/call", callSlow), session))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	return events(resp), cancel
}

// resume comes back after an event.
func (s *slow) resume(t *testing.T, session, after string) (int, func() event) {
	t.Helper()
	resp, err := s.client.Do(s.request(t, t.Context(), http.MethodGet, "", session, "Accept: text/event-stream", "Last-Event-ID: "+after))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	return resp.StatusCode, events(resp)
}

func progress(n int) string {
	return fmt.Sprintf(`{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":"t","progress":%d,"total":3}}`, n)
}

func isResponse(e event) bool { return strings.Contains(e.data, `"id":7,"result":`) }

func TestCallGoesOnAfterItsConnection(t *testing.T) {
	for _, version := range []string{"2025-03-26", "2025-06-18", "2025-11-25"} {
		t.Run(version, func(t *testing.T) {
			s := serveSlow(t, nil)
			session := s.session(t, version)
			next, cut := s.call(t, session)
			first := next()
			if version == "2025-11-25" { // the priming event; clients of before cannot parse one
				if first.id == "" || first.data != "" {
					t.Fatalf("the first event is %+v", first)
				}
				first = next()
			}
			if first.id == "" || first.data != progress(1) {
				t.Fatalf("got %+v", first)
			}
			cut() // which is no cancellation
			s.step <- struct{}{}
			s.step <- struct{}{}

			status, next := s.resume(t, session, first.id)
			if status != http.StatusOK {
				t.Fatalf("status %d", status)
			}
			ids := map[string]bool{first.id: true}
			for _, want := range []string{progress(2), progress(3)} {
				e := next()
				if e.data != want || e.id == "" || ids[e.id] {
					t.Errorf("got %+v, want %s with an id of its own", e, want)
				}
				ids[e.id] = true
			}
			s.step <- struct{}{} // the live rest
			last := next()
			if !isResponse(last) || ids[last.id] {
				t.Errorf("got %+v, want the response", last)
			}
			if e := next(); e.data != "EOF" {
				t.Errorf("after the response %+v", e)
			}
			if err := <-s.calls; err != nil {
				t.Errorf("the call ended with %v", err)
			}

			// What was lost on the way back comes again, what was got does not.
			if status, next = s.resume(t, session, first.id); status != http.StatusOK || next().data != progress(2) || next().data != progress(3) || !isResponse(next()) || next().data != "EOF" {
				t.Errorf("a second time: %d", status)
			}
			if status, next = s.resume(t, session, last.id); status == http.StatusOK {
				if e := next(); e.data != "EOF" {
					t.Errorf("after the last event: %+v", e)
				}
			}
		})
	}
}

func TestDetach(t *testing.T) {
	s := serveSlow(t, nil)
	session := s.session(t, "2025-11-25")
	next, _ := s.call(t, session)
	prime, first := next(), next()
	if prime.data != "" || first.data != progress(1) {
		t.Fatalf("got %+v, %+v", prime, first)
	}
	s.detach <- 20 * time.Millisecond
	s.step <- struct{}{}
	if e := next(); e.retry != "20" || e.data != "" {
		t.Errorf("before the end %+v", e)
	}
	if e := next(); e.data != "EOF" {
		t.Errorf("the connection goes on: %+v", e)
	}
	_, next = s.resume(t, session, first.id)
	if e := next(); e.data != progress(2) {
		t.Errorf("got %+v", e)
	}
	// Once more, on the connection that it came back on.
	s.detach <- 30 * time.Millisecond
	s.step <- struct{}{}
	if e := next(); e.retry != "30" {
		t.Errorf("got %+v", e)
	}
	if e := next(); e.data != "EOF" {
		t.Errorf("the connection goes on: %+v", e)
	}
	_, next = s.resume(t, session, first.id)
	if next().data != progress(2) || next().data != progress(3) {
		t.Error("the events between are not those of the call")
	}
	s.step <- struct{}{}
	if e := next(); !isResponse(e) {
		t.Errorf("got %+v", e)
	}
	if err := <-s.calls; err != nil {
		t.Error(err)
	}
}

func TestDetachNowhereElse(t *testing.T) {
	for _, version := range []string{"2024-11-05", "2025-06-18"} {
		s := serveSlow(t, nil)
		s.detach <- time.Second
		if got := s.do(t, http.MethodPost, legacyCall("7", "tools/call", callSlow), s.session(t, version)); !strings.Contains(got.body, "not detached") {
			t.Errorf("%s: got %s", version, got.body)
		}
	}
	s := serveSlow(t, nil)
	s.detach <- time.Second
	if got := s.callModern(t, "slow"); !strings.Contains(got.body, "not detached") {
		t.Errorf("stateless: got %s", got.body)
	}
}

func TestResumeIsRefused(t *testing.T) {
	s := serveSlow(t, &streamhttp.HandlerOptions{EventStore: streamhttp.NewMemoryStore(&streamhttp.MemoryStoreOptions{MaxEventsPerSession: 1})})
	session := s.session(t, "2025-11-25")
	next, cut := s.call(t, session)
	next()
	first := next()
	cut()
	s.step <- struct{}{}
	s.step <- struct{}{}
	s.step <- struct{}{}
	<-s.calls
	// Progress 2 is forgotten. A client that would wait for ever is told so.
	if status, _ := s.resume(t, session, first.id); status != http.StatusBadRequest {
		t.Errorf("of forgotten events: %d", status)
	}
	// Another session cannot have them.
	other := s.session(t, "2025-11-25")
	if status, _ := s.resume(t, other, first.id); status == http.StatusOK {
		t.Error("another session resumed the call")
	}
	for _, forged := range []string{"c999.1", "c1.999999", "c18446744073709551615.1"} {
		if status, next := s.resume(t, session, forged); status == http.StatusOK {
			if e := next(); strings.Contains(e.data, "jsonrpc") {
				t.Errorf("%s: got %+v", forged, e)
			}
		}
	}
	if got := s.do(t, http.MethodDelete, "", session); got.status != http.StatusNoContent {
		t.Errorf("DELETE: %d", got.status)
	}
	if status, _ := s.resume(t, session, first.id); status != http.StatusNotFound {
		t.Errorf("of an ended session: %d", status)
	}
}

func TestNoIDsIn20241105(t *testing.T) {
	s := serveSlow(t, nil)
	next, _ := s.call(t, s.session(t, "2024-11-05"))
	if e := next(); e.id != "" || e.data != progress(1) {
		t.Errorf("got %+v", e)
	}
	for range 3 {
		s.step <- struct{}{}
	}
	next()
	next()
	if e := next(); e.id != "" || !isResponse(e) {
		t.Errorf("got %+v", e)
	}
}

func TestGetStreamGoesOn(t *testing.T) {
	e := serve(t, nil)
	session := e.session(t, "2025-11-25")
	get := func(headers ...string) (func() event, context.CancelFunc) {
		ctx, cancel := context.WithCancel(t.Context())
		t.Cleanup(cancel)
		resp, err := e.client.Do(e.request(t, ctx, http.MethodGet, "", append(headers, session, "Accept: text/event-stream")...))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { resp.Body.Close() })
		if resp.StatusCode != http.StatusOK {
			t.Fatalf("status %d", resp.StatusCode)
		}
		return events(resp), cancel
	}
	next, cut := get()
	<-e.started
	prime := next()
	cut()
	e.mu.Lock()
	lists := e.sinks[0]
	e.mu.Unlock()
	// What comes while nobody reads, before the end of the connection is noticed and after it.
	for range 3 {
		_ = lists.Notify(mcp.NewNotification(mcp.NotificationToolsListChanged, nil))
	}
	next, _ = get("Last-Event-ID: " + prime.id)
	seen := map[string]bool{}
	for range 3 {
		if got := next(); !strings.Contains(got.data, "tools/list_changed") || seen[got.id] {
			t.Errorf("got %+v", got)
		} else {
			seen[got.id] = true
		}
	}
	_ = lists.Notify(mcp.NewNotification(mcp.NotificationPromptsListChanged, nil))
	if got := next(); !strings.Contains(got.data, "prompts/list_changed") {
		t.Errorf("got %+v", got)
	}
}

func TestMemoryStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := streamhttp.NewMemoryStore(&streamhttp.MemoryStoreOptions{MaxEventsPerSession: 3, MaxBytesPerSession: 3000, MaxBytes: 8000, MaxAge: time.Minute})
		put := func(session string, stream, seq uint64, size int) {
			s.Append(session, stream, streamhttp.StoredEvent{Seq: seq, Data: make([]byte, size)})
		}
		after := func(session string, stream, seq uint64) string {
			list, ok := s.After(session, stream, seq)
			var b strings.Builder
			for _, e := range list {
				fmt.Fprint(&b, e.Seq, " ")
			}
			return fmt.Sprintf("%s%v", b.String(), ok)
		}
		put("a", 1, 1, 10)
		put("a", 2, 1, 10)
		put("a", 1, 2, 10)
		for _, tt := range []struct {
			session     string
			stream, seq uint64
			want        string
		}{
			{"a", 1, 0, "1 2 true"},
			{"a", 1, 1, "2 true"},
			{"a", 1, 2, "true"},
			{"a", 2, 0, "1 true"},
			{"b", 1, 0, "true"},
		} {
			if got := after(tt.session, tt.stream, tt.seq); got != tt.want {
				t.Errorf("%+v: got %s", tt, got)
			}
		}
		put("a", 1, 3, 10) // one too many: the oldest goes
		if got := after("a", 1, 0); got != "2 3 false" {
			t.Errorf("by count: %s", got)
		}
		put("b", 1, 1, 2000)
		put("b", 1, 2, 2000) // too many bytes of one session
		if got := after("b", 1, 0); got != "2 false" {
			t.Errorf("by bytes: %s", got)
		}
		put("c", 1, 1, 2500)
		put("d", 1, 1, 2600) // too many of all: the oldest of all goes
		if got := after("a", 2, 0); got != "true" {
			t.Errorf("of all: %s", got)
		}
		time.Sleep(61 * time.Second)
		if got := after("d", 1, 0); got != "true" {
			t.Errorf("by age: %s", got)
		}
		put("e", 1, 1, 10)
		s.Forget("e")
		if got := after("e", 1, 0); got != "true" {
			t.Errorf("forgotten: %s", got)
		}
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() {
				for n := range uint64(200) {
					put(fmt.Sprint(i%4), 1, n+1, 100)
					_, _ = s.After(fmt.Sprint(i%4), 1, n)
					if n%50 == 0 {
						s.Forget(fmt.Sprint(i % 4))
					}
				}
			})
		}
		wg.Wait()
	})
}
