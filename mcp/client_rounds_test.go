package mcp_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/mcp/jsonrpc"
	"github.com/google/go-cmp/cmp"
)

// asker is a server that answers the calls of a tool with the given texts in turn,
// the last one again and again: one with inputRequests or requestState asks for input.
type asker struct {
	answers []string

	mu     sync.Mutex
	params []string // of the calls so far
}

const done = `{"content":[{"type":"text","text":"done"}]}`

func (a *asker) Handle(_ context.Context, req *mcp.Request, _ mcp.Sink) (mcp.Result, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.params = append(a.params, string(req.Params))
	body := a.answers[min(len(a.params), len(a.answers))-1]
	res := mcp.Result{Body: []byte(body)}
	if strings.Contains(body, `"inputRequests"`) || strings.Contains(body, `"requestState"`) {
		res.Type = mcp.ResultInputRequired
	}
	return res, nil
}

func (a *asker) calls() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return append([]string(nil), a.params...)
}

// asks makes a result that asks, with a state unless it is empty.
func asks(state string, questions ...string) string {
	body := `{"inputRequests":{` + strings.Join(questions, ",") + `}`
	if state != "" {
		body += `,"requestState":` + string(jsonrpc.AppendString(nil, state))
	}
	return body + `}`
}

const (
	nameForm  = `{"method":"elicitation/create","params":{"message":"Who?","requestedSchema":{"type":"object","properties":{"name":{"type":"string"}},"required":["name"]}}}`
	askName   = `"name":` + nameForm
	askRoots  = `"roots":{"method":"roots/list"}`
	askPage   = `"page":{"method":"elicitation/create","params":{"mode":"url","message":"Log in","url":"https://a.example/login?x=1"}}`
	askSample = `"sample":{"method":"sampling/createMessage","params":{"messages":[{"role":"user","content":{"type":"text","text":"2+2?"}}],"maxTokens":9}}`
)

// all answers everything.
func all() *mcp.ClientOptions {
	return &mcp.ClientOptions{
		OnElicit: func(_ context.Context, p *mcp.ElicitParams) (*mcp.ElicitResult, error) {
			return &mcp.ElicitResult{Action: mcp.ElicitAccept, Content: mcp.Raw(`{"name":"Ada"}`)}, nil
		},
		OnPage: func(_ context.Context, p mcp.Page) (mcp.ElicitAction, error) {
			return mcp.ElicitAccept, nil
		},
		OnSample: func(_ context.Context, p *mcp.SampleParams) (*mcp.SampleResult, error) {
			return &mcp.SampleResult{
				SamplingMessage: mcp.SamplingMessage{Role: mcp.RoleAssistant, Content: []mcp.Content{&mcp.TextContent{Text: "4"}}},
				Model:           "m",
			}, nil
		},
		Roots: []mcp.Root{{URI: "file:///srv"}},
	}
}

func TestClientRounds(t *testing.T) {
	for _, tt := range []struct {
		name    string
		answers []string
		want    []string // params of the requests
	}{
		{
			"every kind at once",
			[]string{asks("s1", askName, askPage, askSample, askRoots), done},
			[]string{
				`{"name":"x"}`,
				`{"name":"x","inputResponses":{"name":{"action":"accept","content":{"name":"Ada"}},"page":{"action":"accept"},` +
					`"roots":{"roots":[{"uri":"file:///srv"}]},"sample":{"role":"assistant","content":{"type":"text","text":"4"},"model":"m"}},"requestState":"s1"}`,
			},
		},
		{
			"no state, none sent",
			[]string{asks("", askRoots), done},
			[]string{`{"name":"x"}`, `{"name":"x","inputResponses":{"roots":{"roots":[{"uri":"file:///srv"}]}}}`},
		},
		{
			"an empty state is one",
			[]string{`{"inputRequests":{` + askRoots + `},"requestState":""}`, done},
			[]string{`{"name":"x"}`, `{"name":"x","inputResponses":{"roots":{"roots":[{"uri":"file:///srv"}]}},"requestState":""}`},
		},
		{
			"a state of one round does not go into the next",
			[]string{asks("s1", askRoots), asks("", `"again":`+nameForm), asks("s3", askRoots), done},
			[]string{
				`{"name":"x"}`,
				`{"name":"x","inputResponses":{"roots":{"roots":[{"uri":"file:///srv"}]}},"requestState":"s1"}`,
				`{"name":"x","inputResponses":{"again":{"action":"accept","content":{"name":"Ada"}}}}`,
				`{"name":"x","inputResponses":{"roots":{"roots":[{"uri":"file:///srv"}]}},"requestState":"s3"}`,
			},
		},
		{
			"the state is not read",
			[]string{asks("{\"a\" : \"\u2028é\\n\x7f</\"}", askRoots), done},
			[]string{`{"name":"x"}`, `{"name":"x","inputResponses":{"roots":{"roots":[{"uri":"file:///srv"}]}},"requestState":` +
				string(jsonrpc.AppendString(nil, "{\"a\" : \"\u2028é\\n\x7f</\"}")) + `}`},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			server := &asker{answers: tt.answers}
			res, err := mcp.NewClient("c", "1", server, all()).CallTool(t.Context(), "x", nil, nil)
			if err != nil || res.Text() != "done" {
				t.Fatalf("CallTool: %v, %v", res, err)
			}
			if diff := cmp.Diff(tt.want, server.calls()); diff != "" {
				t.Errorf("requests (-want +got):\n%s", diff)
			}
		})
	}
}

func TestClientRoundsOfOtherMethods(t *testing.T) {
	ctx := t.Context()
	for _, tt := range []struct {
		method string
		done   string
		call   func(*mcp.Client) error
		can    bool
	}{
		{"prompts/get", `{"messages":[]}`, func(c *mcp.Client) error { _, err := c.GetPrompt(ctx, "p", nil, nil); return err }, true},
		{"resources/read", `{"contents":[]}`, func(c *mcp.Client) error { _, err := c.ReadResource(ctx, "x://1", nil); return err }, true},
		{"tools/list", `{"tools":[]}`, func(c *mcp.Client) error { _, err := c.ListTools(ctx); return err }, false},
		{"server/discover", `{}`, func(c *mcp.Client) error { _, err := c.Discover(ctx); return err }, false},
	} {
		calls := 0
		c := mcp.NewClient("c", "1", mcp.HandlerFunc(func(_ context.Context, req *mcp.Request, _ mcp.Sink) (mcp.Result, error) {
			if calls++; calls == 1 {
				return mcp.Result{Type: mcp.ResultInputRequired, Body: []byte(asks("s", askRoots))}, nil
			}
			return mcp.Result{Body: []byte(tt.done)}, nil
		}), all())
		err := tt.call(c)
		if tt.can && (err != nil || calls != 2) {
			t.Errorf("%s: %v after %d requests", tt.method, err, calls)
		}
		if !tt.can && (!errors.Is(err, &mcp.ProtocolError{Violation: mcp.ViolationAskingMethod}) || calls != 1) {
			t.Errorf("%s: %v after %d requests, want a violation", tt.method, err, calls)
		}
	}
}

// What one call is asked never reaches another that runs at the same time.
func TestClientRoundsDoNotLeak(t *testing.T) {
	const calls = 50
	server := mcp.HandlerFunc(func(_ context.Context, req *mcp.Request, _ mcp.Sink) (mcp.Result, error) {
		state, asked := jsonrpc.Unquote(jsonrpc.Get(req.Params, "requestState"))
		switch responses := jsonrpc.Get(req.Params, "inputResponses"); {
		case !asked && responses == nil:
			return mcp.Result{Type: mcp.ResultInputRequired, Body: []byte(asks("of "+req.Name, `"`+req.Name+`":`+nameForm))}, nil
		case state != "of "+req.Name || jsonrpc.Get(responses, req.Name) == nil:
			return mcp.Result{}, mcp.ErrInvalidParams("%s came with %s, %s", req.Name, state, responses)
		}
		return mcp.Result{Body: []byte(done)}, nil
	})
	c := mcp.NewClient("c", "1", server, all())
	var running sync.WaitGroup
	for i := range calls {
		running.Go(func() {
			if _, err := c.CallTool(t.Context(), fmt.Sprint("tool", i), nil, nil); err != nil {
				t.Error(err)
			}
		})
	}
	running.Wait()
}

func TestClientRoundsAreBounded(t *testing.T) {
	server := &asker{answers: []string{asks("s", askRoots)}}
	opts := all()
	opts.MaxRounds = 3
	_, err := mcp.NewClient("c", "1", server, opts).CallTool(t.Context(), "x", nil, nil)
	if !errors.Is(err, mcp.ErrTooManyRounds) || len(server.calls()) != 4 {
		t.Errorf("after %d requests: %v", len(server.calls()), err)
	}
}

func TestClientRetriesWhenOnlyTold(t *testing.T) {
	t.Run("with pauses", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			server := &asker{answers: []string{`{"requestState":"1"}`, `{"requestState":"2","inputRequests":{}}`, done}}
			start := time.Now()
			if _, err := mcp.NewClient("c", "1", server, nil).CallTool(t.Context(), "x", nil, nil); err != nil {
				t.Fatal(err)
			}
			want := []string{`{"name":"x"}`, `{"name":"x","requestState":"1"}`, `{"name":"x","requestState":"2"}`}
			if diff := cmp.Diff(want, server.calls()); diff != "" {
				t.Errorf("requests (-want +got):\n%s", diff)
			}
			if waited := time.Since(start); waited < 150*time.Millisecond || waited > 300*time.Millisecond {
				t.Errorf("waited %v for 2 retries", waited)
			}
		})
	})
	t.Run("until the call's time is over", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			server := &asker{answers: []string{`{"requestState":"1"}`}}
			start := time.Now()
			_, err := mcp.NewClient("c", "1", server, nil).CallTool(t.Context(), "x", nil, nil)
			if !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != time.Minute || len(server.calls()) > 25 {
				t.Errorf("after %v and %d requests: %v", time.Since(start), len(server.calls()), err)
			}
		})
	})
}

func TestClientRoundsInTime(t *testing.T) {
	slow := func(d time.Duration) *mcp.ClientOptions {
		return &mcp.ClientOptions{OnListRoots: func(ctx context.Context) ([]mcp.Root, error) {
			select {
			case <-time.After(d):
				return nil, nil
			case <-ctx.Done():
				return nil, context.Cause(ctx)
			}
		}}
	}
	t.Run("the time to answer is not the server's", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			server := &asker{answers: []string{asks("", askRoots), asks("", askRoots), done}}
			if _, err := mcp.NewClient("c", "1", server, slow(20*time.Minute)).CallTool(t.Context(), "x", nil, nil); err != nil {
				t.Error(err)
			}
		})
	})
	t.Run("but the call as a whole is bounded", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			server := &asker{answers: []string{asks("", askRoots)}}
			start := time.Now()
			_, err := mcp.NewClient("c", "1", server, slow(20*time.Minute)).CallTool(t.Context(), "x", nil, nil)
			if !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != time.Hour {
				t.Errorf("after %v: %v", time.Since(start), err)
			}
		})
	})
}

func TestClientByHand(t *testing.T) {
	for _, tt := range []struct {
		name string
		opts *mcp.ClientOptions
		call mcp.CallOptions
	}{
		{"wanted", all(), mcp.CallOptions{ByHand: true}},
		{"no function", &mcp.ClientOptions{Capabilities: &mcp.ClientCapabilities{Elicitation: &mcp.ElicitationCapability{}}}, mcp.CallOptions{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			server := &asker{answers: []string{asks("s1", askName), asks("s2", `"n2":`+nameForm), done}}
			c := mcp.NewClient("c", "1", server, tt.opts)
			opts := tt.call
			res, err := c.CallTool(t.Context(), "x", nil, &opts)
			var asked *mcp.InputRequiredError
			for errors.As(err, &asked) {
				if !errors.Is(err, mcp.ErrInputRequired) || asked.Method != mcp.MethodCallTool || len(asked.Requests) != 1 {
					t.Fatalf("%v, %+v", err, asked)
				}
				answers := map[string]any{}
				for key, q := range asked.Requests {
					if q.Method != mcp.MethodElicit {
						t.Fatalf("question %+v", q)
					}
					answers[key] = &mcp.ElicitResult{Action: mcp.ElicitDecline}
				}
				if opts.Input, err = asked.Answer(answers); err != nil {
					t.Fatal(err)
				}
				res, err = c.CallTool(t.Context(), "x", nil, &opts)
			}
			if err != nil || res.Text() != "done" {
				t.Fatalf("CallTool: %v, %v", res, err)
			}
			want := []string{
				`{"name":"x"}`, `{"name":"x","inputResponses":{"name":{"action":"decline"}},"requestState":"s1"}`,
				`{"name":"x","inputResponses":{"n2":{"action":"decline"}},"requestState":"s2"}`,
			}
			if diff := cmp.Diff(want, server.calls()); diff != "" {
				t.Errorf("requests (-want +got):\n%s", diff)
			}
		})
	}
	t.Run("told to call again", func(t *testing.T) {
		c := mcp.NewClient("c", "1", &asker{answers: []string{`{"requestState":"1"}`}}, nil)
		_, err := c.CallTool(t.Context(), "x", nil, &mcp.CallOptions{ByHand: true})
		var asked *mcp.InputRequiredError
		if !errors.As(err, &asked) || len(asked.Requests) != 0 || *asked.State != "1" {
			t.Errorf("%v", err)
		}
	})
	t.Run("what is no answer", func(t *testing.T) {
		asked := &mcp.InputRequiredError{}
		for _, answer := range []any{"text", nil, func() {}} {
			if _, err := asked.Answer(map[string]any{"a": answer}); err == nil {
				t.Errorf("Answer(%T): no error", answer)
			}
		}
		c := mcp.NewClient("c", "1", &asker{answers: []string{done}}, nil)
		if _, err := c.Raw(t.Context(), "tools/list", nil, &mcp.CallOptions{Input: &mcp.Input{}}); err == nil {
			t.Error("input for a method that asks for none: no error")
		}
	})
}

func TestClientProgressExtends(t *testing.T) {
	// ticks sends progress every 40 seconds for the given time.
	ticks := func(total time.Duration, value func(i int) float64) mcp.HandlerFunc {
		return func(ctx context.Context, req *mcp.Request, sink mcp.Sink) (mcp.Result, error) {
			for i := range int(total / (40 * time.Second)) {
				select {
				case <-time.After(40 * time.Second):
				case <-ctx.Done():
					return mcp.Result{}, ctx.Err()
				}
				params := fmt.Appendf(nil, `{"progressToken":%s,"progress":%v}`, req.Meta.ProgressToken, value(i))
				if err := sink.Notify(mcp.NewNotification(mcp.NotificationProgress, params)); err != nil {
					return mcp.Result{}, err
				}
			}
			return mcp.Result{Body: []byte(done)}, nil
		}
	}
	grows := func(i int) float64 { return float64(i) }
	for _, tt := range []struct {
		name  string
		total time.Duration
		value func(int) float64
		opts  mcp.CallOptions
		after time.Duration // the timeout; zero: the call succeeds
	}{
		{"not asked for", 10 * time.Minute, grows, mcp.CallOptions{Progress: func(mcp.Progress) {}}, time.Minute},
		{"extends", 10 * time.Minute, grows, mcp.CallOptions{ProgressExtends: true}, 0},
		{"never beyond the maximum", 10 * time.Hour, grows, mcp.CallOptions{ProgressExtends: true}, time.Hour},
		{"not without progress", 10 * time.Minute, func(int) float64 { return 1 }, mcp.CallOptions{ProgressExtends: true}, 100 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				_, err := mcp.NewClient("c", "1", ticks(tt.total, tt.value), nil).CallTool(t.Context(), "x", nil, &tt.opts)
				switch {
				case tt.after == 0 && err != nil:
					t.Error(err)
				case tt.after > 0 && (!errors.Is(err, context.DeadlineExceeded) || time.Since(start) != tt.after):
					t.Errorf("after %v: %v", time.Since(start), err)
				}
			})
		})
	}
}

// keeper is an asker that keeps something for a call between its rounds.
type keeper struct {
	asker
	abandoned []string
}

func (k *keeper) Abandon(state string) { k.abandoned = append(k.abandoned, state) }

func TestClientAbandons(t *testing.T) {
	failing := all()
	failing.OnListRoots = func(context.Context) ([]mcp.Root, error) { return nil, errors.New("no") }
	once := all()
	once.MaxRounds = 1
	for _, tt := range []struct {
		name    string
		opts    *mcp.ClientOptions
		answers []string
		want    string
	}{
		{"answered", all(), []string{asks("1", askRoots), done}, "[]"},
		{"no state", failing, []string{asks("", askRoots)}, "[]"},
		{"not answered", failing, []string{asks("1", askRoots)}, "[1]"},
		{"a violation", all(), []string{asks("1", askRoots), asks("2", page("javascript:"))}, "[2]"},
		{"too many rounds", once, []string{asks("1", askRoots), asks("2", askRoots)}, "[2]"},
		{"answers that are refused", all(), []string{asks("1", askRoots), `{"resultType":"no","requestState":1}`}, "[1]"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			server := &keeper{asker: asker{answers: tt.answers}}
			_, err := mcp.NewClient("c", "1", server, tt.opts).CallTool(t.Context(), "x", nil, nil)
			if got := fmt.Sprint(server.abandoned); got != tt.want || (err == nil) != (tt.name == "answered") {
				t.Errorf("abandoned %s, want %s; %v", got, tt.want, err)
			}
		})
	}
}
