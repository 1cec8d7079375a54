package mcp_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"unicode"

	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/mcp/jsonrpc"
	"github.com/go-json-experiment/json"
	"github.com/google/go-cmp/cmp"
)

// untouched fails the test when a function of the client is called.
func untouched(t *testing.T) *mcp.ClientOptions {
	return &mcp.ClientOptions{
		OnElicit: func(context.Context, *mcp.ElicitParams) (*mcp.ElicitResult, error) {
			t.Error("OnElicit was called")
			return nil, nil
		},
		OnPage: func(context.Context, mcp.Page) (mcp.ElicitAction, error) {
			t.Error("OnPage was called")
			return "", nil
		},
		OnSample: func(context.Context, *mcp.SampleParams) (*mcp.SampleResult, error) {
			t.Error("OnSample was called")
			return nil, nil
		},
		OnListRoots: func(context.Context) ([]mcp.Root, error) {
			t.Error("OnListRoots was called")
			return nil, nil
		},
	}
}

func form(schema string) string {
	return `"q":{"method":"elicitation/create","params":{"message":"m","requestedSchema":` + schema + `}}`
}

func page(url string) string {
	return `"q":{"method":"elicitation/create","params":{"mode":"url","message":"m","url":` + string(jsonrpc.AppendString(nil, url)) + `}}`
}

func sample(params string) string {
	return `"q":{"method":"sampling/createMessage","params":` + params + `}`
}

// A server that breaks the protocol is named, and nothing of what it asks is
// answered, not even what is right.
func TestClientRefusesWhatServersMustNotAsk(t *testing.T) {
	const user = `{"role":"user","content":{"type":"text","text":"?"}}`
	everything := func(*mcp.ClientOptions) {}
	nothing := func(o *mcp.ClientOptions) { *o = mcp.ClientOptions{} }
	for _, tt := range []struct {
		name string
		body string
		opts func(*mcp.ClientOptions)
		want mcp.Violation
	}{
		{"nothing", `{}`, everything, mcp.ViolationAskedNothing},
		{"no questions and no state", `{"inputRequests":{}}`, everything, mcp.ViolationAskedNothing},
		{"questions of another type", `{"inputRequests":[]}`, everything, mcp.ViolationAskedMalformed},
		{"null for questions", `{"inputRequests":null,"requestState":"s"}`, everything, mcp.ViolationAskedMalformed},
		{"a question of another type", asks("", `"q":"roots/list"`), everything, mcp.ViolationAskedMalformed},
		{"a method of another type", asks("", `"q":{"method":1}`), everything, mcp.ViolationAskedMalformed},
		{"params of another type", asks("", `"q":{"method":"roots/list","params":[]}`), everything, mcp.ViolationAskedMalformed},
		{"one key twice", asks("", askRoots, askRoots), everything, mcp.ViolationAskedMalformed},
		{"a state of another type", `{"requestState":{}}`, everything, mcp.ViolationAskedMalformed},
		{"null for the state", `{"requestState":null}`, everything, mcp.ViolationAskedMalformed},
		{"a flood", `{"inputRequests":{` + flood(65) + `}}`, everything, mcp.ViolationAskedTooMuch},

		{"a request of clients", asks("", askRoots, `"q":{"method":"tools/call","params":{"name":"rm"}}`), everything, mcp.ViolationAskedUnknown},
		{"no method", asks("", `"q":{}`), everything, mcp.ViolationAskedUnknown},
		{"an unknown mode", asks("", `"q":{"method":"elicitation/create","params":{"mode":"voice","message":"m"}}`), everything, mcp.ViolationAskedUnknown},

		{"undeclared elicitation", asks("", askName), nothing, mcp.ViolationAskedUndeclared},
		{"undeclared page", asks("", askPage), func(o *mcp.ClientOptions) { o.OnPage = nil }, mcp.ViolationAskedUndeclared},
		{"undeclared form", asks("", askName), func(o *mcp.ClientOptions) { o.OnElicit = nil }, mcp.ViolationAskedUndeclared},
		{"undeclared sampling", asks("", askSample), nothing, mcp.ViolationAskedUndeclared},
		{"undeclared roots", asks("", askRoots), nothing, mcp.ViolationAskedUndeclared},
		{"undeclared tools", asks("", sample(`{"messages":[`+user+`],"maxTokens":1,"tools":[{"name":"t","inputSchema":{"type":"object"}}]}`)), everything, mcp.ViolationAskedUndeclared},
		{"undeclared choice of tools", asks("", sample(`{"messages":[`+user+`],"maxTokens":1,"toolChoice":{"mode":"none"}}`)), everything, mcp.ViolationAskedUndeclared},

		{"elicitation without params", asks("", `"q":{"method":"elicitation/create"}`), everything, mcp.ViolationAskedMalformed},
		{"elicitation without a message", asks("", `"q":{"method":"elicitation/create","params":{"requestedSchema":{"type":"object","properties":{}}}}`), everything, mcp.ViolationAskedMalformed},
		{"no form", asks("", `"q":{"method":"elicitation/create","params":{"message":"m"}}`), everything, mcp.ViolationForm},
		{"a form that is none", asks("", form(`"object"`)), everything, mcp.ViolationForm},
		{"a form of another type", asks("", form(`{"type":"string"}`)), everything, mcp.ViolationForm},
		{"a form without fields", asks("", form(`{"type":"object"}`)), everything, mcp.ViolationForm},
		{"a nested form", asks("", form(`{"type":"object","properties":{"a":{"type":"object","properties":{}}}}`)), everything, mcp.ViolationForm},
		{"a reference", asks("", form(`{"type":"object","properties":{"a":{"$ref":"http://127.0.0.1:1/"}}}`)), everything, mcp.ViolationForm},
		{"a reference beside a type", asks("", form(`{"type":"object","properties":{"a":{"type":"string","$ref":"file:///etc/passwd"}}}`)), everything, mcp.ViolationForm},
		{"an array of anything", asks("", form(`{"type":"object","properties":{"a":{"type":"array","items":{"type":"string"}}}}`)), everything, mcp.ViolationForm},
		{"a field that is none", asks("", form(`{"type":"object","properties":{"a":true}}`)), everything, mcp.ViolationForm},
		{"a wrong keyword", asks("", form(`{"type":"object","properties":{"a":{"type":"string","minLength":"x"}}}`)), everything, mcp.ViolationForm},
		{"too many fields", asks("", form(`{"type":"object","properties":{`+fields(257)+`}}`)), everything, mcp.ViolationForm},
		{"choices that are none", asks("", form(`{"type":"object","properties":{"a":{"type":"string","enum":[1]}}}`)), everything, mcp.ViolationForm},
		{"a field that colours the log", asks("", form(`{"type":"object","properties":{"a":{"type":"string","\u001b[31m\u202e":1,"minLength":"\u001b[31m\u202e"}}}`)), everything, mcp.ViolationForm},
		{"a form without end", asks("", form(`{"type":"object","properties":{},"title":"`+strings.Repeat("a", 257<<10)+`"}`)), everything, mcp.ViolationForm},
		{"a pattern that is none", asks("", form(`{"type":"object","properties":{"a":{"type":"string","pattern":1}}}`)), everything, mcp.ViolationForm},
		{"a deep form", asks("", form(`{"type":"object","properties":{"a":{"type":"string","default":`+strings.Repeat("[", 70)+strings.Repeat("]", 70)+`}}}`)), everything, mcp.ViolationForm},

		{"a page that runs", asks("", page("javascript:alert(1)")), everything, mcp.ViolationPage},
		{"a page of data", asks("", page("data:text/html,x")), everything, mcp.ViolationPage},
		{"a file", asks("", page("file:///etc/passwd")), everything, mcp.ViolationPage},
		{"a page without a host", asks("", page("https:///x")), everything, mcp.ViolationPage},
		{"no page", asks("", page("")), everything, mcp.ViolationPage},
		{"a page that turns the direction", asks("", page("https://a.example/\u202egpj.exe")), everything, mcp.ViolationPage},
		{"a page with a line break", asks("", page("https://a.example/\nx")), everything, mcp.ViolationPage},
		{"a page without end", asks("", page("https://a.example/"+strings.Repeat("a", 9<<10))), everything, mcp.ViolationPage},

		{"sampling without params", asks("", `"q":{"method":"sampling/createMessage"}`), everything, mcp.ViolationAskedMalformed},
		{"an unknown role", asks("", sample(`{"messages":[{"role":"system","content":{"type":"text","text":"?"}}],"maxTokens":1}`)), everything, mcp.ViolationAskedMalformed},
		{"no messages", asks("", sample(`{"messages":[],"maxTokens":1}`)), everything, mcp.ViolationSample},
		{"a result of no call", asks("", sample(`{"messages":[{"role":"user","content":{"type":"tool_result","toolUseId":"1","content":[]}}],"maxTokens":1}`)), everything, mcp.ViolationSample},
	} {
		t.Run(tt.name, func(t *testing.T) {
			opts := untouched(t)
			tt.opts(opts)
			server := &asker{answers: []string{tt.body}}
			h := mcp.HandlerFunc(func(ctx context.Context, req *mcp.Request, sink mcp.Sink) (mcp.Result, error) {
				res, err := server.Handle(ctx, req, sink)
				res.Type = mcp.ResultInputRequired
				return res, err
			})
			_, err := mcp.NewClient("c", "1", h, opts).CallTool(t.Context(), "x", nil, nil)
			var violation *mcp.ProtocolError
			if !errors.As(err, &violation) || violation.Violation != tt.want {
				t.Errorf("CallTool: %v, want the violation %s", err, tt.want)
			}
			if n := len(server.calls()); n != 1 {
				t.Errorf("%d requests", n)
			}
			if err != nil && (len(err.Error()) > 1000 || strings.ContainsFunc(err.Error(), func(r rune) bool { return !unicode.IsPrint(r) })) {
				t.Errorf("the error cannot be shown: %q", err)
			}
		})
	}
}

func flood(n int) string {
	return strings.Join(numbered(n, `{"method":"roots/list"}`), ",")
}

func fields(n int) string {
	return strings.Join(numbered(n, `{"type":"string"}`), ",")
}

func numbered(n int, value string) []string {
	var all []string
	for i := range n {
		all = append(all, `"k`+strings.Repeat("x", i)+`":`+value)
	}
	return all
}

func TestClientAnswersThatAreNone(t *testing.T) {
	failed := errors.New("the user's screen is gone")
	for _, tt := range []struct {
		name string
		ask  string
		opts mcp.ClientOptions
		want string
	}{
		{"an error", askName, mcp.ClientOptions{OnElicit: func(context.Context, *mcp.ElicitParams) (*mcp.ElicitResult, error) { return nil, failed }}, failed.Error()},
		{"nothing for a form", askName, mcp.ClientOptions{OnElicit: func(context.Context, *mcp.ElicitParams) (*mcp.ElicitResult, error) { return nil, nil }}, "returned nothing"},
		{"no action", askName, mcp.ClientOptions{OnElicit: func(context.Context, *mcp.ElicitParams) (*mcp.ElicitResult, error) { return &mcp.ElicitResult{}, nil }}, "action"},
		{"not the form", askName, mcp.ClientOptions{OnElicit: func(context.Context, *mcp.ElicitParams) (*mcp.ElicitResult, error) {
			return &mcp.ElicitResult{Action: mcp.ElicitAccept}, nil
		}}, "/name: is required"},
		{"no action for a page", askPage, mcp.ClientOptions{OnPage: func(context.Context, mcp.Page) (mcp.ElicitAction, error) { return "yes", nil }}, "action"},
		{"nothing of a model", askSample, mcp.ClientOptions{OnSample: func(context.Context, *mcp.SampleParams) (*mcp.SampleResult, error) { return nil, nil }}, "returned nothing"},
		{"no role", askSample, mcp.ClientOptions{OnSample: func(context.Context, *mcp.SampleParams) (*mcp.SampleResult, error) { return &mcp.SampleResult{}, nil }}, "role"},
		{"a root elsewhere", askRoots, mcp.ClientOptions{OnListRoots: func(context.Context) ([]mcp.Root, error) { return []mcp.Root{{URI: "https://a.example"}}, nil }}, "file://"},
		{"a root that climbs", askRoots, mcp.ClientOptions{OnListRoots: func(context.Context) ([]mcp.Root, error) { return []mcp.Root{{URI: "file:///srv/../etc"}}, nil }}, "file://"},
		{"a root that climbs in disguise", askRoots, mcp.ClientOptions{OnListRoots: func(context.Context) ([]mcp.Root, error) { return []mcp.Root{{URI: "file:///srv/%2e%2e/etc"}}, nil }}, "file://"},
		{"a fixed root elsewhere", askRoots, mcp.ClientOptions{Roots: []mcp.Root{{URI: "srv"}}}, "file://"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			server := &asker{answers: []string{asks("s", tt.ask), done}}
			_, err := mcp.NewClient("c", "1", server, &tt.opts).CallTool(t.Context(), "x", nil, nil)
			if err == nil || !strings.Contains(err.Error(), tt.want) || len(server.calls()) > 1 {
				t.Errorf("after %d requests: %v, want one with %q", len(server.calls()), err, tt.want)
			}
			if tt.want == failed.Error() && !errors.Is(err, failed) {
				t.Errorf("%v hides why", err)
			}
		})
	}
}

// All questions of a round are answered at the same time; an error ends the others.
func TestClientAnswersInParallel(t *testing.T) {
	synctest.Test(t, answerInParallel) // where one that waits for ever is found
}

func answerInParallel(t *testing.T) {
	broken := errors.New("broken")
	var both sync.WaitGroup
	both.Add(2)
	meet := func() {
		both.Done()
		both.Wait()
	}
	server := &asker{answers: []string{asks("s", askName, askRoots), done}}
	_, err := mcp.NewClient("c", "1", server, &mcp.ClientOptions{
		OnElicit: func(ctx context.Context, _ *mcp.ElicitParams) (*mcp.ElicitResult, error) {
			meet()
			<-ctx.Done()
			if !errors.Is(context.Cause(ctx), broken) {
				t.Errorf("ended by %v", context.Cause(ctx))
			}
			return nil, ctx.Err()
		},
		OnListRoots: func(context.Context) ([]mcp.Root, error) {
			meet()
			return nil, broken
		},
	}).CallTool(t.Context(), "x", nil, nil)
	if !errors.Is(err, broken) {
		t.Errorf("CallTool: %v", err)
	}
}

func TestClientOffer(t *testing.T) {
	elicit := func(context.Context, *mcp.ElicitParams) (*mcp.ElicitResult, error) { return nil, nil }
	open := func(context.Context, mcp.Page) (mcp.ElicitAction, error) { return "", nil }
	ask := func(context.Context, *mcp.SampleParams) (*mcp.SampleResult, error) { return nil, nil }
	list := func(context.Context) ([]mcp.Root, error) { return nil, nil }
	for _, tt := range []struct {
		name string
		opts mcp.ClientOptions
		want string
	}{
		{"nothing", mcp.ClientOptions{}, `{}`},
		{"forms", mcp.ClientOptions{OnElicit: elicit}, `{"elicitation":{"form":{}}}`},
		{"pages", mcp.ClientOptions{OnPage: open}, `{"elicitation":{"url":{}}}`},
		{"all", mcp.ClientOptions{OnElicit: elicit, OnPage: open, OnSample: ask, OnListRoots: list}, `{"roots":{"listChanged":true},"sampling":{},"elicitation":{"form":{},"url":{}}}`},
		{"fixed roots", mcp.ClientOptions{Roots: []mcp.Root{}}, `{"roots":{}}`},
		{"tools by word", mcp.ClientOptions{OnSample: ask, Capabilities: &mcp.ClientCapabilities{Sampling: &mcp.SamplingCapability{Tools: &struct{}{}}}}, `{"sampling":{"tools":{}}}`},
		{"forms by word, as old revisions say it", mcp.ClientOptions{OnPage: open, Capabilities: &mcp.ClientCapabilities{Elicitation: &mcp.ElicitationCapability{}}}, `{"elicitation":{"form":{},"url":{}}}`},
		{"extensions stay", mcp.ClientOptions{OnElicit: elicit, Capabilities: &mcp.ClientCapabilities{Extensions: map[string]mcp.Raw{"a/b": mcp.Raw(`{}`)}}}, `{"elicitation":{"form":{}},"extensions":{"a/b":{}}}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var sent string
			h := mcp.HandlerFunc(func(_ context.Context, req *mcp.Request, _ mcp.Sink) (mcp.Result, error) {
				sent = string(req.Meta.Capabilities)
				return mcp.Result{Body: []byte(done)}, nil
			})
			if _, err := mcp.NewClient("c", "1", h, &tt.opts).CallTool(t.Context(), "x", nil, nil); err != nil {
				t.Fatal(err)
			}
			offer, err := json.Marshal(tt.opts.Offer())
			if err != nil || sent != tt.want || string(offer) != tt.want {
				t.Errorf("sent %s, Offer %s, %v; want %s", sent, offer, err, tt.want)
			}
		})
	}
	word := &mcp.ElicitationCapability{}
	o := mcp.ClientOptions{OnPage: open, Capabilities: &mcp.ClientCapabilities{Elicitation: word}}
	if o.Offer(); word.URL != nil || word.Form != nil {
		t.Error("Offer changed what the caller has given")
	}
}

// oldServer asks outside of calls.
type oldServer struct {
	mcp.HandlerFunc
	ask     mcp.Answerer
	changes int
}

func (s *oldServer) OnAsk(a mcp.Answerer) { s.ask = a }

func (s *oldServer) RootsChanged(context.Context) error { s.changes++; return nil }

func TestClientAnswersOutsideOfCalls(t *testing.T) {
	server := &oldServer{}
	c := mcp.NewClient("c", "1", server, &mcp.ClientOptions{Roots: []mcp.Root{{URI: "file:///srv"}}, OnElicit: all().OnElicit})
	for _, tt := range []struct {
		method, params string
		want           string // result, or
		code           int    // of the error
	}{
		{"roots/list", ``, `{"roots":[{"uri":"file:///srv"}]}`, 0},
		{"elicitation/create", `{"message":"m","requestedSchema":{"type":"object","properties":{"name":{"type":"string"},"n":{"type":"integer","default":3}}}}`, `{"action":"accept","content":{"name":"Ada","n":3}}`, 0},
		{"elicitation/create", `{"message":"m"}`, "", jsonrpc.CodeInvalidParams},
		{"sampling/createMessage", `{"messages":[{"role":"user","content":{"type":"text","text":"?"}}],"maxTokens":1}`, "", jsonrpc.CodeMethodNotFound},
		{"tools/call", `{}`, "", jsonrpc.CodeMethodNotFound},
	} {
		q := mcp.InputRequest{Method: tt.method}
		if tt.params != "" {
			q.Params = mcp.Raw(tt.params)
		}
		got, err := server.ask(t.Context(), q)
		if string(got) != tt.want || tt.code != 0 && mcp.ErrorOf(err).Code != tt.code || tt.code == 0 && err != nil {
			t.Errorf("%s %s: got %s, %v", tt.method, tt.params, got, err)
		}
	}
	if err := c.RootsChanged(t.Context()); err != nil || server.changes != 1 {
		t.Errorf("RootsChanged: %v, told %d times", err, server.changes)
	}

	silent := &oldServer{}
	c = mcp.NewClient("c", "1", silent, nil)
	if err := c.RootsChanged(t.Context()); err != nil || silent.changes != 0 || silent.ask != nil {
		t.Errorf("a client without roots: %v, told %d times", err, silent.changes)
	}
}

func TestPageWarnings(t *testing.T) {
	for _, tt := range []struct {
		url, domain string
		want        []string // a word of each warning
	}{
		{"https://a.example/x", "a.example", nil},
		{"http://localhost:8080/", "localhost", nil},
		{"http://127.0.0.1:8080/", "127.0.0.1", nil},
		{"http://a.example/", "a.example", []string{"encrypted"}},
		{"https://bank.example@evil.example/", "evil.example", []string{"user name"}},
		{"https://203.0.113.7/", "203.0.113.7", []string{"address"}},
		{"https://xn--80ak6aa92e.com/", "xn--80ak6aa92e.com", []string{"Punycode"}},
		{"https://аpple.com/", "аpple.com", []string{"Punycode"}},
		{"http://u@[2001:db8::1]/", "2001:db8::1", []string{"encrypted", "user name", "address"}},
		{"https://a b", "", []string{"parsed"}},
	} {
		p := mcp.Page{URL: tt.url}
		found := p.Warnings()
		for i, word := range tt.want {
			if i >= len(found) || !strings.Contains(found[i], word) {
				t.Errorf("%s: warnings %q, want %q", tt.url, found, tt.want)
				break
			}
		}
		if diff := cmp.Diff(len(tt.want), len(found)); diff != "" || p.Domain() != tt.domain {
			t.Errorf("%s: domain %q, warnings %q", tt.url, p.Domain(), found)
		}
	}
}
