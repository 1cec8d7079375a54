package mcp_test

import (
	"context"
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"

	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/mcp/jsonrpc"
)

// FuzzInputRequired lets a server answer a call with anything that asks for input.
// The call ends; a violation is named before any function of the client is called;
// and the retry brings the state as it came and an answer to each question.
func FuzzInputRequired(f *testing.F) {
	for _, folder := range []string{"InputRequiredResult", "ElicitRequest", "CreateMessageRequest", "ListRootsRequest"} {
		files, err := filepath.Glob(filepath.Join("testdata/spec/2026-07-28/examples", folder, "*.json"))
		if err != nil || len(files) == 0 {
			f.Fatalf("no examples of %s: %v", folder, err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				f.Fatal(err)
			}
			if folder != "InputRequiredResult" {
				text = []byte(asks("s", `"q":`+string(text)))
			}
			f.Add(text)
		}
	}
	f.Add([]byte(asks("s1", askName, askPage, askSample, askRoots)))
	f.Add([]byte(asks("", form(everyField))))
	f.Add([]byte(`{"requestState":"\ud800"}`))
	f.Add([]byte(`{"requestState":"a","requestState":"b"}`))
	f.Add([]byte(`{"inputRequests":{"a":{"method":"roots/list"},"\u0061":{"method":"roots/list"}}}`))

	f.Fuzz(func(t *testing.T, body []byte) {
		if jsonrpc.Valid(body, nil) != nil || len(body) == 0 || body[0] != '{' {
			t.Skip("no transport lets it pass")
		}
		synctest.Test(t, func(t *testing.T) { // for the pause before a retry, and goroutines that are left
			var retries [][]byte
			called := 0
			h := mcp.HandlerFunc(func(_ context.Context, req *mcp.Request, _ mcp.Sink) (mcp.Result, error) {
				state, responses := jsonrpc.Get(req.Params, "requestState"), jsonrpc.Get(req.Params, "inputResponses")
				if state == nil && responses == nil {
					return mcp.Result{Type: mcp.ResultInputRequired, Body: body}, nil
				}
				retries = append(retries, append([]byte(nil), req.Params...))
				return mcp.Result{Body: []byte(done)}, nil
			})
			_, err := mcp.NewClient("c", "1", h, counted(t, &called)).CallTool(context.Background(), "x", nil, nil)
			var violation *mcp.ProtocolError
			var misfit *mcp.AnswerError
			switch {
			case err == nil:
				if len(retries) != 1 {
					t.Fatalf("%d retries", len(retries))
				}
				checkRetry(t, body, retries[0])
			case len(retries) > 0:
				t.Fatalf("a retry and %v", err)
			case errors.As(err, &misfit): // a form that nothing fits but what the user must fill in
			case !errors.As(err, &violation):
				t.Fatalf("no violation: %v", err)
			case called > 0:
				t.Fatalf("%d functions were called before %v", called, err)
			}
		})
	})
}

// counted answers everything and checks what it is given.
func counted(t *testing.T, called *int) *mcp.ClientOptions {
	opts := all()
	opts.Capabilities = &mcp.ClientCapabilities{Sampling: &mcp.SamplingCapability{Tools: &struct{}{}}}
	gate := make(chan struct{}, 1) // questions are answered at the same time
	count := func() {
		gate <- struct{}{}
		*called++
		<-gate
	}
	elicit, page, sample := opts.OnElicit, opts.OnPage, opts.OnSample
	opts.OnElicit = func(ctx context.Context, p *mcp.ElicitParams) (*mcp.ElicitResult, error) {
		count()
		if _, err := p.Fields(); p.Mode != mcp.ElicitForm || err != nil {
			t.Errorf("a form %+v: %v", p, err)
		}
		r, err := elicit(ctx, p)
		r.Content = nil
		return r, err
	}
	opts.OnPage = func(ctx context.Context, p mcp.Page) (mcp.ElicitAction, error) {
		count()
		if u, err := url.Parse(p.URL); err != nil || u.Scheme != "http" && u.Scheme != "https" || p.Domain() == "" {
			t.Errorf("a page %+v", p)
		}
		p.Warnings()
		return page(ctx, p)
	}
	opts.OnSample = func(ctx context.Context, p *mcp.SampleParams) (*mcp.SampleResult, error) {
		count()
		if len(p.Messages) == 0 || p.MaxTokens <= 0 {
			t.Errorf("a conversation %+v", p)
		}
		return sample(ctx, p)
	}
	return opts
}

func checkRetry(t *testing.T, body, params []byte) {
	if err := jsonrpc.Valid(params, nil); err != nil {
		t.Fatalf("the retry %s: %v", params, err)
	}
	was, is := jsonrpc.Get(body, "requestState"), jsonrpc.Get(params, "requestState")
	before, _ := jsonrpc.Unquote(was)
	after, _ := jsonrpc.Unquote(is)
	if (was == nil) != (is == nil) || before != after {
		t.Errorf("state %s came back as %s", was, is)
	}
	questions, answers := 0, 0
	responses := jsonrpc.Get(params, "inputResponses")
	for key := range jsonrpc.Members(jsonrpc.Get(body, "inputRequests")) {
		questions++
		if jsonrpc.Get(responses, key) == nil {
			t.Errorf("no answer to %q", key)
		}
	}
	for range jsonrpc.Members(responses) {
		answers++
	}
	if questions != answers {
		t.Errorf("%d answers to %d questions", answers, questions)
	}
}

// FuzzElicitParamsComplete: what is complete stays as it is, and has all that the
// user has filled in.
func FuzzElicitParamsComplete(f *testing.F) {
	f.Add([]byte(everyField), []byte(`{}`))
	f.Add([]byte(everyField), []byte(`{"name":"Bob","titles":["p"],"step":5}`))
	f.Add([]byte(`{"type":"object","properties":{"a":{"type":"string","default":"\ud83d\ude00","pattern":"^.$"}}}`), []byte(`{}`))
	f.Add([]byte(`{"type":"object","properties":{"a/b~":{"type":"number","maximum":1e308,"default":1e309}},"required":["c"]}`), []byte(`{"a/b~":-0}`))
	f.Fuzz(func(t *testing.T, schema, content []byte) {
		p := &mcp.ElicitParams{RequestedSchema: schema}
		full, err := p.Complete(content)
		if err != nil {
			return
		}
		for key, value := range jsonrpc.Members(content) {
			if string(jsonrpc.Get(full, key)) != string(value) {
				t.Errorf("%s: %s became %s", key, value, jsonrpc.Get(full, key))
			}
		}
		if again, err := p.Complete(full); err != nil || string(again) != string(full) {
			t.Errorf("%s completed again: %s, %v", full, again, err)
		}
	})
}
