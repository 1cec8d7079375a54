package mcp_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/mcp/mcptest"
)

// curious has a tool that asks everything that a revision has, all at once, and then
// once more.
func curious(t *testing.T, v mcp.Version) *mcp.Server {
	t.Helper()
	s := mcp.NewServer("curious", "1", nil)
	err := mcp.AddTool(s, mcp.Tool{Name: "ask"}, func(ctx context.Context, call *mcp.Call, _ struct{}) (string, error) {
		questions := []mcp.Question{
			{Key: "roots", Roots: true},
			{Key: "sample", Sample: &mcp.SampleParams{
				Messages:  []mcp.SamplingMessage{{Role: mcp.RoleUser, Content: []mcp.Content{mcp.Text("2+2?")}}},
				MaxTokens: 9,
			}},
		}
		if v.Has(mcp.FeatureElicitation) {
			questions = append(questions, mcp.Question{Key: "form", Form: &mcp.Form{
				Message: "Who?",
				Schema:  mcp.Raw(`{"type":"object","properties":{"name":{"type":"string"},"age":{"type":"integer","default":36}},"required":["name"]}`),
			}})
		}
		if v.Has(mcp.FeatureElicitMode) {
			questions = append(questions, mcp.Question{Key: "page", Page: &mcp.Page{Message: "Log in", URL: "https://a.example/login"}})
		}
		answers, err := call.Ask(ctx, questions...)
		if err != nil {
			return "", err
		}
		again, err := call.Roots(ctx, "again")
		if err != nil {
			return "", err
		}
		text := fmt.Sprint(answers.Roots("roots")[0].URI, " ", answers.Sample("sample").Text(), " ", len(again))
		if r := answers.Elicit("form"); r != nil {
			text += fmt.Sprint(" ", string(r.Content))
		}
		if r := answers.Elicit("page"); r != nil {
			text += fmt.Sprint(" ", r.Action)
		}
		return text, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// The same client answers the same server in every revision.
func TestClientAnswersInEveryRevision(t *testing.T) {
	for _, v := range mcp.Versions() {
		t.Run(string(v), func(t *testing.T) {
			c := mcp.NewClient("c", "1", mcptest.Pair(t, curious(t, v), v), all())
			res, err := c.CallTool(t.Context(), "ask", nil, nil)
			if err != nil {
				t.Fatal(err)
			}
			want := "file:///srv 4 1"
			if v.Has(mcp.FeatureElicitation) {
				want += ` {"name":"Ada","age":36}`
			}
			if v.Has(mcp.FeatureElicitMode) {
				want += " accept"
			}
			if res.Text() != want || res.IsError {
				t.Errorf("got %s, want %s", res.Text(), want)
			}
			if err := c.RootsChanged(t.Context()); err != nil {
				t.Errorf("RootsChanged: %v", err)
			}
		})
	}
}

// A client that fails to answer ends the call at both ends, and the connection stays.
func TestClientFailsToAnswerInEveryRevision(t *testing.T) {
	for _, v := range mcp.Versions() {
		t.Run(string(v), func(t *testing.T) {
			failed := errors.New("nobody is here")
			opts := all()
			opts.OnSample = func(context.Context, *mcp.SampleParams) (*mcp.SampleResult, error) { return nil, failed }
			h := mcptest.Pair(t, curious(t, v), v)
			if _, err := mcp.NewClient("c", "1", h, opts).CallTool(t.Context(), "ask", nil, nil); !errors.Is(err, failed) {
				t.Errorf("CallTool: %v", err)
			}
			if tools, err := mcp.NewClient("c", "1", h, nil).ListTools(t.Context()); err != nil || len(tools) != 1 {
				t.Errorf("the connection is broken: %v, %v", tools, err)
			}
			// And one that cannot be asked fails at the server.
			res, err := mcp.NewClient("c", "1", h, nil).CallTool(t.Context(), "ask", nil, nil)
			if err == nil && !res.IsError || errors.Is(err, failed) {
				t.Errorf("a client that declares nothing: %v, %v", res, err)
			}
		})
	}
}
