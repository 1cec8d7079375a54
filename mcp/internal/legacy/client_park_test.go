package legacy_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/mcp/internal/legacy"
	"github.com/fairlead-mcp/fairlead/mcp/jsonrpc"
	"github.com/fairlead-mcp/fairlead/mcp/mcptest"
)

// askingWire is a server that the test plays: calls wait for what it does.
type askingWire struct {
	fakeWire
	trips chan *trip
	stuck bool // answers cannot be sent
}

// trip is a call that has reached the server.
type trip struct {
	params string
	legacy.Exchange
	answer chan string // its result
	ended  chan error  // how its context ended
}

func (w *askingWire) RoundTrip(ctx context.Context, method string, params []byte, x legacy.Exchange) ([]byte, error) {
	if method == "initialize" {
		return w.fakeWire.RoundTrip(ctx, method, params, x)
	}
	t := &trip{string(params), x, make(chan string, 1), make(chan error, 1)}
	w.trips <- t
	select {
	case result := <-t.answer:
		return []byte(result), nil
	case <-ctx.Done():
		w.note(mcp.NotificationCancelled)
		t.ended <- context.Cause(ctx)
		return nil, ctx.Err()
	}
}

func (w *askingWire) Answer(ctx context.Context, response []byte) error {
	if w.stuck {
		return errors.New("pipe broken")
	}
	return w.fakeWire.Answer(ctx, response)
}

const (
	allOf  = `{"elicitation":{"form":{},"url":{}},"sampling":{"tools":{}},"roots":{"listChanged":true},"tasks":{}}`
	form   = `{"message":"name?","requestedSchema":{"type":"object","properties":{}}}`
	sample = `{"messages":[],"maxTokens":1}`
)

// asking connects to a server that the test plays.
func asking(t *testing.T, version string, info legacy.Info) (*askingWire, *legacy.Client) {
	t.Helper()
	w := &askingWire{trips: make(chan *trip, 300)}
	w.answers = map[string]string{"initialize": `{"protocolVersion":"` + version + `","capabilities":{},"serverInfo":{"name":"s","version":"1"}}`}
	if info.Capabilities == nil {
		info.Capabilities = []byte(allOf)
	}
	c, err := legacy.Connect(t.Context(), w, info)
	if err != nil {
		t.Fatal(err)
	}
	w.asked()
	return w, c
}

func end(c *legacy.Client) {
	c.Closed(mcp.ErrClosed)
	c.Wait()
}

// request is what the server sends.
func request(t *testing.T, id, method, params string) *jsonrpc.Message {
	t.Helper()
	if params != "" {
		params = `,"params":` + params
	}
	msg, err := jsonrpc.Scan([]byte(`{"jsonrpc":"2.0","id":`+id+`,"method":"`+method+`"`+params+`}`), nil)
	if err != nil {
		t.Fatal(err)
	}
	return &msg
}

// must asks what must not be refused.
func (tr *trip) must(t *testing.T, id, method, params string) {
	t.Helper()
	if e := tr.Ask(request(t, id, method, params)); e != nil {
		t.Fatalf("%s was refused: %v", method, e)
	}
}

func toolCall(params string) *mcp.Request {
	return &mcp.Request{
		Method: mcp.MethodCallTool, Name: "t", Params: []byte(params),
		Principal: mcp.Principal{Subject: "ann"},
		Meta:      mcp.Meta{Version: mcp.LatestVersion, Capabilities: []byte(allOf)},
	}
}

// retry is a call again, with answers and the handle of res.
func retry(req *mcp.Request, res mcp.Result, responses string) *mcp.Request {
	again := *req
	again.Params = jsonrpc.Splice(nil, req.Params,
		jsonrpc.Member{Key: "inputResponses", Value: []byte(responses)},
		jsonrpc.Member{Key: "requestState", Value: jsonrpc.Get(res.Body, "requestState")})
	return &again
}

type outcome struct {
	res mcp.Result
	err error
}

// start makes a call whose end the test waits for.
func start(ctx context.Context, c *legacy.Client, req *mcp.Request, sink mcp.Sink) chan outcome {
	done := make(chan outcome, 1)
	go func() { // ends with the call
		res, err := c.Handle(ctx, req, sink)
		done <- outcome{res, err}
	}()
	return done
}

// round makes a call that must come back with questions.
func round(t *testing.T, c *legacy.Client, req *mcp.Request, sink mcp.Sink) mcp.Result {
	t.Helper()
	res, err := c.Handle(t.Context(), req, sink)
	if err != nil || res.Type != mcp.ResultInputRequired {
		t.Fatalf("Handle: %s %s, %v, want questions", res.Type, res.Body, err)
	}
	return res
}

func wantCode(t *testing.T, err error, code int) {
	t.Helper()
	if !errors.Is(err, &mcp.Error{Code: code}) {
		t.Errorf("error %v, want code %d", err, code)
	}
}

// asks has the server ask a form in a call of req, and returns both ends.
func asks(t *testing.T, w *askingWire, c *legacy.Client, req *mcp.Request) (*trip, mcp.Result) {
	t.Helper()
	done := start(t.Context(), c, req, mcp.Discard)
	tr := <-w.trips
	tr.must(t, "1", mcp.MethodElicit, form)
	got := <-done
	if got.err != nil || got.res.Type != mcp.ResultInputRequired {
		t.Fatalf("Handle: %+v, want questions", got)
	}
	return tr, got.res
}

func inputRequests(res mcp.Result) string { return string(jsonrpc.Get(res.Body, "inputRequests")) }

const accept = `{"q1":{"action":"accept","content":{"name":"Ann"}}}`

func TestParkedCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, c := asking(t, "2025-11-25", legacy.Info{})
		defer end(c)
		req := toolCall(`{"name":"t","_meta":{"progressToken":1}}`)
		req.Meta.ProgressToken, req.Meta.Raw = []byte(`1`), []byte(`{"progressToken":1}`)
		progress := func(tr *trip, n int) {
			if err := tr.Notify(mcp.NewNotification(mcp.NotificationProgress, fmt.Appendf(nil, `{"progressToken":1,"progress":%d}`, n))); err != nil {
				t.Error(err)
			}
		}
		var first, second mcptest.Recorder
		done := start(t.Context(), c, req, &first)
		tr := <-w.trips
		progress(tr, 1)
		tr.must(t, `"a"`, mcp.MethodElicit, form)
		tr.must(t, `7`, mcp.MethodListRoots, "") // at once: the same round
		got := <-done
		want := `{"q1":{"method":"elicitation/create","params":` + form + `},"q2":{"method":"roots/list","params":{}}}`
		if got.err != nil || got.res.Type != mcp.ResultInputRequired || inputRequests(got.res) != want {
			t.Fatalf("first round: %+v, %s", got, got.res.Body)
		}

		// While nobody waits: the newest progress is kept, messages are lost, asks queue.
		progress(tr, 2)
		_ = tr.Notify(mcp.NewNotification(mcp.NotificationMessage, []byte(`{"level":"error","data":1}`)))
		progress(tr, 3)
		tr.must(t, `8`, mcp.MethodSample, sample)

		again := retry(req, got.res, `{"q1":{"action":"accept","content":{"name":"Ann"}},"q2":{"roots":[]},"other":1}`)
		again.Meta.ProgressToken = []byte(`"new"`)
		res := round(t, c, again, &second)
		if want := `{"q3":{"method":"sampling/createMessage","params":` + sample + `}}`; inputRequests(res) != want {
			t.Errorf("second round %s, want %s", res.Body, want)
		}
		if diff := cmp.Diff([]string{
			`{"jsonrpc":"2.0","id":"a","result":{"action":"accept","content":{"name":"Ann"}}}`,
			`{"jsonrpc":"2.0","id":7,"result":{"roots":[]}}`,
		}, w.asked()); diff != "" {
			t.Error("answers (-want +got)\n" + diff)
		}

		last := retry(req, res, `{"q3":{"role":"assistant","model":"m","content":[{"type":"text","text":"x"}],"resultType":"complete"}}`)
		last.Meta.ProgressToken = nil
		done = start(t.Context(), c, last, &second)
		synctest.Wait()
		progress(tr, 4) // which this retry does not want
		tr.answer <- `{"content":[]}`
		if got := <-done; got.err != nil || got.res.Type != mcp.ResultComplete || string(got.res.Body) != `{"content":[]}` {
			t.Errorf("result %+v", got)
		}
		if diff := cmp.Diff([]string{
			`{"jsonrpc":"2.0","id":8,"result":{"role":"assistant","model":"m","content":[{"type":"text","text":"x"}]}}`,
		}, w.asked()); diff != "" {
			t.Error("answers (-want +got)\n" + diff)
		}
		if diff := cmp.Diff([]mcptest.Note{{Method: mcp.NotificationProgress, Params: `{"progressToken":1,"progress":1}`}}, first.Notes()); diff != "" {
			t.Error("first sink (-want +got)\n" + diff)
		}
		if diff := cmp.Diff([]mcptest.Note{{Method: mcp.NotificationProgress, Params: `{"progressToken":"new","progress":3}`}}, second.Notes()); diff != "" {
			t.Error("second sink (-want +got)\n" + diff)
		}
		if len(w.trips) != 0 {
			t.Error("a retry reached the server as a call")
		}
		if !strings.HasPrefix(tr.params, `{"name":"t","_meta":{"progressToken":`) {
			t.Errorf("params %s", tr.params)
		}
	})
}

func TestParkedRetryThatDoesNotFit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, c := asking(t, "2025-11-25", legacy.Info{})
		defer end(c)
		req := toolCall(`{"name":"t","arguments":{"a":1}}`)
		tr, res := asks(t, w, c, req)

		for name, change := range map[string]func(r *mcp.Request){
			"another principal": func(r *mcp.Request) { r.Principal.Subject = "bob" },
			"another method":    func(r *mcp.Request) { r.Method = mcp.MethodGetPrompt },
			"other arguments": func(r *mcp.Request) {
				r.Params = []byte(strings.Replace(string(r.Params), `"a":1`, `"a":2`, 1))
			},
			"another handle": func(r *mcp.Request) {
				r.Params = jsonrpc.Splice(nil, r.Params, jsonrpc.Member{Key: "requestState", Value: []byte(`"x"`)})
			},
			"no string": func(r *mcp.Request) {
				r.Params = jsonrpc.Splice(nil, r.Params, jsonrpc.Member{Key: "requestState", Value: []byte(`7`)})
			},
			"answers are no object": func(r *mcp.Request) {
				r.Params = jsonrpc.Splice(nil, r.Params, jsonrpc.Member{Key: "inputResponses", Value: []byte(`[]`)})
			},
			"an answer is no object": func(r *mcp.Request) {
				r.Params = jsonrpc.Splice(nil, r.Params, jsonrpc.Member{Key: "inputResponses", Value: []byte(`{"q1":1}`)})
			},
			"an answer does not fit": func(r *mcp.Request) {
				r.Params = jsonrpc.Splice(nil, r.Params, jsonrpc.Member{Key: "inputResponses", Value: []byte(`{"q1":{"action":"maybe"}}`)})
			},
		} {
			bad := retry(req, res, accept)
			change(bad)
			if _, err := c.Handle(t.Context(), bad, mcp.Discard); !errors.Is(err, &mcp.Error{Code: jsonrpc.CodeInvalidParams}) {
				t.Errorf("%s: %v", name, err)
			}
		}
		if sent := w.asked(); len(sent) != 0 {
			t.Errorf("the server was told %q", sent)
		}

		// The call is still there. What is missing is asked again, under a new handle.
		second := round(t, c, retry(req, res, `{}`), mcp.Discard)
		if inputRequests(second) != inputRequests(res) {
			t.Errorf("asked again: %s, want %s", second.Body, res.Body)
		}
		_, err := c.Handle(t.Context(), retry(req, res, accept), mcp.Discard)
		wantCode(t, err, jsonrpc.CodeInvalidParams)
		done := start(t.Context(), c, retry(req, second, accept), mcp.Discard)
		tr.answer <- `{}`
		if got := <-done; got.err != nil {
			t.Error(got.err)
		}
	})
}

// TestOneRetryWins sends the same retry many times at once.
func TestOneRetryWins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, c := asking(t, "2025-11-25", legacy.Info{})
		defer end(c)
		req := toolCall(`{"name":"t"}`)
		tr, res := asks(t, w, c, req)
		var all []chan outcome
		for range 8 {
			all = append(all, start(t.Context(), c, retry(req, res, accept), mcp.Discard))
		}
		synctest.Wait()
		tr.answer <- `{}`
		won := 0
		for _, done := range all {
			if got := <-done; got.err == nil {
				won++
			} else {
				wantCode(t, got.err, jsonrpc.CodeInvalidParams)
			}
		}
		if won != 1 || len(w.asked()) != 1 {
			t.Errorf("%d retries won", won)
		}
	})
}

func TestParkedCallExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, c := asking(t, "2025-11-25", legacy.Info{Parking: legacy.Parking{Time: time.Minute}})
		defer end(c)
		req := toolCall(`{"name":"t"}`)
		tr, res := asks(t, w, c, req)
		time.Sleep(time.Minute - time.Second)
		synctest.Wait()
		if sent := w.asked(); len(sent) != 0 {
			t.Fatalf("before the time: %q", sent)
		}
		res = round(t, c, retry(req, res, `{}`), mcp.Discard) // begins anew
		time.Sleep(time.Minute - time.Second)
		synctest.Wait()
		if sent := w.asked(); len(sent) != 0 {
			t.Fatalf("before the time: %q", sent)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		<-tr.ended
		if diff := cmp.Diff([]string{
			mcp.NotificationCancelled,
			`{"jsonrpc":"2.0","id":1,"error":{"code":-32603,"message":"The call that this request belongs to is over"}}`,
		}, w.asked()); diff != "" {
			t.Error("(-want +got)\n" + diff)
		}
		_, err := c.Handle(t.Context(), retry(req, res, accept), mcp.Discard)
		wantCode(t, err, jsonrpc.CodeInvalidParams)
		if e := tr.Ask(request(t, "2", mcp.MethodElicit, form)); e == nil {
			t.Error("a call that is over was asked")
		}
	})
}

// TestParkedCallIsNotCancelled ends the contexts of the callers: after the questions
// that means nothing, while somebody waits it ends the call.
func TestParkedCallIsNotCancelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, c := asking(t, "2025-11-25", legacy.Info{})
		defer end(c)
		req := toolCall(`{"name":"t"}`)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		done := start(ctx, c, req, mcp.Discard)
		tr := <-w.trips
		tr.must(t, "1", mcp.MethodElicit, form)
		res := (<-done).res
		cancel()
		synctest.Wait()
		if len(tr.ended) != 0 {
			t.Fatal("the parked call was cancelled")
		}
		ctx, cancel = context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		done = start(ctx, c, retry(req, res, accept), mcp.Discard)
		if got := <-done; !errors.Is(got.err, context.DeadlineExceeded) {
			t.Errorf("error %v", got.err)
		}
		<-tr.ended
	})
}

// TestParkedResultFirst gets the result while nobody waits.
func TestParkedResultFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, c := asking(t, "2025-11-25", legacy.Info{})
		defer end(c)
		req := toolCall(`{"name":"t"}`)
		tr, res := asks(t, w, c, req)
		tr.answer <- `{"content":[],"late":true}`
		synctest.Wait()
		w.asked() // the question is refused, which its server does not wait for
		got, err := c.Handle(t.Context(), retry(req, res, accept), mcp.Discard)
		if err != nil || got.Type != mcp.ResultComplete || string(got.Body) != `{"content":[],"late":true}` {
			t.Errorf("%s, %v", got.Body, err)
		}
		if sent := w.asked(); len(sent) != 0 {
			t.Errorf("answered all the same: %q", sent)
		}
	})
}

// TestServerWithdraws has the server cancel one of its two requests.
func TestServerWithdraws(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, c := asking(t, "2025-11-25", legacy.Info{})
		defer end(c)
		req := toolCall(`{"name":"t"}`)
		done := start(t.Context(), c, req, mcp.Discard)
		tr := <-w.trips
		tr.must(t, "1", mcp.MethodElicit, form)
		tr.must(t, "2", mcp.MethodListRoots, "")
		c.Notification(mcp.NotificationCancelled, []byte(`{"requestId":1}`))
		c.Notification(mcp.NotificationCancelled, []byte(`{"requestId":99}`))
		got := <-done
		if want := `{"q2":{"method":"roots/list","params":{}}}`; inputRequests(got.res) != want {
			t.Errorf("asked %s, want %s", got.res.Body, want)
		}
		c.Notification(mcp.NotificationCancelled, []byte(`{"requestId":2}`))
		done = start(t.Context(), c, retry(req, got.res, `{"q2":{"roots":[]}}`), mcp.Discard)
		synctest.Wait()
		tr.answer <- `{}`
		if got := <-done; got.err != nil || len(w.asked()) != 0 {
			t.Errorf("%+v", got)
		}
	})
}

func TestParkedBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, c := asking(t, "2025-11-25", legacy.Info{Parking: legacy.Parking{Max: 3, MaxPerPrincipal: 2}})
		defer end(c)
		of := func(who string) *mcp.Request {
			req := toolCall(`{"name":"t"}`)
			req.Principal.Subject = who
			return req
		}
		id := 0
		ask := func(tr *trip) *mcp.Error {
			id++
			return tr.Ask(request(t, fmt.Sprint(id), mcp.MethodElicit, form))
		}
		begin := func(who string) (*trip, chan outcome) {
			done := start(t.Context(), c, of(who), mcp.Discard)
			return <-w.trips, done
		}
		first, firstDone := begin("ann")
		second, secondDone := begin("ann")
		third, thirdDone := begin("ann")
		for _, tr := range []*trip{first, second} {
			if e := ask(tr); e != nil {
				t.Fatal(e)
			}
		}
		if e := ask(third); e == nil || !strings.Contains(e.Message, "Too many calls") {
			t.Errorf("third call of one caller: %v", e)
		}
		fourth, fourthDone := begin("bob")
		if e := ask(fourth); e != nil {
			t.Fatal(e)
		}
		fifth, fifthDone := begin("eve")
		if e := ask(fifth); e == nil {
			t.Error("fourth call of all was asked")
		}
		if e := ask(first); e != nil {
			t.Errorf("a call that is asked already: %v", e)
		}
		// One that is over makes room.
		done := start(t.Context(), c, retry(of("ann"), (<-secondDone).res, `{"q1":{"action":"cancel"}}`), mcp.Discard)
		second.answer <- `{}`
		<-done
		if e := ask(third); e != nil {
			t.Errorf("after another was over: %v", e)
		}
		for n := 2; n < 64; n++ {
			if e := ask(first); e != nil {
				t.Fatal(e)
			}
		}
		if e := ask(first); e == nil || !strings.Contains(e.Message, "64") {
			t.Errorf("65th question of a call: %v", e)
		}
		if e := first.Ask(request(t, "1", mcp.MethodListRoots, "")); e == nil || e.Code != jsonrpc.CodeInvalidRequest {
			t.Errorf("an id twice: %v", e)
		}
		big := `{"message":"` + strings.Repeat("x", 30<<20) + `","requestedSchema":{}}`
		msg, err := jsonrpc.Scan([]byte(`{"jsonrpc":"2.0","id":"big","method":"elicitation/create","params":`+big+`}`), &jsonrpc.Limits{MaxBytes: 64 << 20})
		if err != nil {
			t.Fatal(err)
		}
		var last *mcp.Error
		for n := range 3 {
			one := msg
			one.ID = fmt.Appendf(nil, `"big%d"`, n)
			last = third.Ask(&one)
		}
		if last == nil || !strings.Contains(last.Message, "Too much") {
			t.Errorf("90 MB of questions: %v", last)
		}
		fifth.answer <- `{}`
		for _, done := range []chan outcome{firstDone, thirdDone, fourthDone, fifthDone} {
			<-done
		}
	})
}

// TestClosedEndsParkedCalls closes with a parked call, one that is asked, and one that waits.
func TestClosedEndsParkedCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, c := asking(t, "2025-11-25", legacy.Info{})
		req := toolCall(`{"name":"t"}`)
		parked, res := asks(t, w, c, req)
		done := start(t.Context(), c, req, mcp.Discard)
		waiting := <-w.trips
		c.Leave(mcp.ErrClosed)
		<-parked.ended
		_, err := c.Handle(t.Context(), retry(req, res, accept), mcp.Discard)
		if !errors.Is(err, mcp.ErrClosed) {
			t.Errorf("retry: %v", err)
		}
		if e := waiting.Ask(request(t, "9", mcp.MethodElicit, form)); e == nil {
			t.Error("asked after the end")
		}
		synctest.Wait()
		if len(waiting.ended) != 0 {
			t.Error("a call that is not parked ended")
		}
		c.Closed(mcp.ErrClosed)
		if got := <-done; !errors.Is(got.err, mcp.ErrClosed) {
			t.Errorf("call: %v", got.err)
		}
		if _, err := c.Handle(t.Context(), req, mcp.Discard); !errors.Is(err, mcp.ErrClosed) {
			t.Errorf("new call: %v", err)
		}
		c.Wait()
	})
}

func TestAnswerThatCannotBeSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, c := asking(t, "2025-11-25", legacy.Info{})
		defer end(c)
		req := toolCall(`{"name":"t"}`)
		tr, res := asks(t, w, c, req)
		w.stuck = true
		_, err := c.Handle(t.Context(), retry(req, res, accept), mcp.Discard)
		if err == nil || !strings.Contains(err.Error(), "pipe broken") {
			t.Errorf("error %v", err)
		}
		<-tr.ended
	})
}

func TestAnswersOutsideOfCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, c := asking(t, "2025-11-25", legacy.Info{})
		take := func(id, method, params string) *mcp.Error { return c.Requested(request(t, id, method, params)) }

		// Just after the handshake a request waits for somebody who answers.
		if e := take(`"early"`, mcp.MethodListRoots, ""); e != nil {
			t.Fatal(e)
		}
		release := make(chan string)
		answer := func(ctx context.Context, q mcp.InputRequest) (mcp.Raw, error) {
			select {
			case s := <-release:
				if s == "" {
					return nil, mcp.ErrInvalidParams("no %s", q.Method)
				}
				return mcp.Raw(s), nil
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		}
		time.Sleep(time.Second)
		c.Answer(answer)
		release <- `{"roots":[]}`
		synctest.Wait()
		for id, result := range map[string]string{"1": `{"roots":[{}]}`, "2": ``, "3": `{"roots":7}`, "5": `{"roots":`} {
			if e := take(id, mcp.MethodListRoots, ""); e != nil {
				t.Fatal(e)
			}
			release <- result
			synctest.Wait()
		}
		if e := take("4", mcp.MethodListRoots, ""); e != nil {
			t.Fatal(e)
		}
		if e := take("4", mcp.MethodListRoots, ""); e == nil {
			t.Error("an id was taken twice")
		}
		c.Notification(mcp.NotificationCancelled, []byte(`{"requestId":4}`))
		synctest.Wait()
		got := w.asked()
		slices.Sort(got)
		if diff := cmp.Diff([]string{
			`{"jsonrpc":"2.0","id":"early","result":{"roots":[]}}`,
			`{"jsonrpc":"2.0","id":1,"result":{"roots":[{}]}}`,
			`{"jsonrpc":"2.0","id":2,"error":{"code":-32602,"message":"no roots/list"}}`,
			`{"jsonrpc":"2.0","id":3,"error":{"code":-32603,"message":"internal error"}}`,
			`{"jsonrpc":"2.0","id":5,"error":{"code":-32603,"message":"internal error"}}`,
		}, got); diff != "" {
			t.Error("(-want +got)\n" + diff)
		}
		for n := range 17 {
			if e := take(fmt.Sprint(10+n), mcp.MethodListRoots, ""); (e == nil) != (n < 16) {
				t.Errorf("request %d: %v", n, e)
			}
		}
		if e := take("99", "tools/list", ""); e == nil || e.Code != jsonrpc.CodeMethodNotFound {
			t.Errorf("a request that no client knows: %v", e)
		}
		end(c)
		if len(w.asked()) != 0 {
			t.Error("answered after the end")
		}
		if e := take("100", mcp.MethodListRoots, ""); e == nil {
			t.Error("taken after the end")
		}
	})
}

func TestNobodyAnswersOutsideOfCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, c := asking(t, "2025-11-25", legacy.Info{})
		defer end(c)
		if e := c.Requested(request(t, "1", mcp.MethodListRoots, "")); e != nil {
			t.Fatal(e)
		}
		time.Sleep(time.Minute)
		if diff := cmp.Diff([]string{
			`{"jsonrpc":"2.0","id":1,"error":{"code":-32603,"message":"The request belongs to no call that could be asked roots/list"}}`,
		}, w.asked()); diff != "" {
			t.Error("(-want +got)\n" + diff)
		}
		if e := c.Requested(request(t, "2", mcp.MethodListRoots, "")); e == nil {
			t.Error("nobody answers, and still it was taken")
		}
	})
}
