package mcp_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/fairlead-mcp/fairlead/mcp"
)

func prompting(t *testing.T) *mcp.Server {
	s := mcp.NewServer("s", "1", nil)
	must(t, s.AddPrompt(mcp.Prompt{Name: "review", Arguments: []mcp.PromptArgument{{Name: "code", Required: true}, {Name: "tone", Required: true}, {Name: "lang"}}},
		func(_ context.Context, _ *mcp.Call, args map[string]string) (*mcp.PromptResult, error) {
			if args["tone"] == "broken" {
				return nil, errors.New("/etc/secret")
			}
			return &mcp.PromptResult{Description: "d", Messages: []mcp.PromptMessage{{Role: mcp.RoleUser, Content: mcp.Text(args["code"] + "/" + args["lang"])}}}, nil
		}))
	must(t, s.AddResourceTemplate(mcp.ResourceTemplate{URITemplate: "x:{v}", Name: "t"}, func(context.Context, *mcp.Call, string, map[string]string) ([]mcp.ResourceContents, error) {
		return nil, nil
	}))
	return s
}

func TestGetPrompt(t *testing.T) {
	s := prompting(t)
	tests := []struct{ name, params, want string }{
		{"all", `{"name":"review","arguments":{"code":"a\nb","tone":"x","lang":"go"}}`, `{"description":"d","messages":[{"role":"user","content":{"type":"text","text":"a\nb/go"}}]}`},
		{"missing", `{"name":"review","arguments":{"lang":"go"}}`, errorText("-32602", "Missing required arguments: code, tone")},
		{"none", `{"name":"review"}`, errorText("-32602", "Missing required arguments: code, tone")},
		{"number", `{"name":"review","arguments":{"code":1}}`, errorText("-32602", `params.arguments: \"code\" is not a string`)},
		{"unknown", `{"name":"x"}`, errorText("-32602", "Unknown prompt: x")},
		{"broken", `{"name":"review","arguments":{"code":"","tone":"broken"}}`, errorText("-32603", "internal error")},
	}
	for _, tt := range tests {
		if got := handle(t, s, "prompts/get", tt.params); got != tt.want {
			t.Errorf("%s:\ngot  %s\nwant %s", tt.name, got, tt.want)
		}
	}
	const want = `{"prompts":[{"name":"review","arguments":[{"name":"code","required":true},{"name":"tone","required":true},{"name":"lang"}]}]}`
	if got := handle(t, s, "prompts/list", `{}`); got != want {
		t.Errorf("prompts/list: got %s, want %s", got, want)
	}
	s.RemovePrompts("review")
	if got, want := handle(t, s, "prompts/get", `{"name":"review"}`), errorText("-32602", "Unknown prompt: review"); got != want {
		t.Errorf("after it went: got %s, want %s", got, want)
	}
}

func TestComplete(t *testing.T) {
	s := prompting(t)
	must(t, s.CompletePrompt("review", "lang", func(_ context.Context, _ *mcp.Call, value string, resolved map[string]string) ([]string, error) {
		if value == "many" {
			return strings.Split(strings.Repeat("v ", 149)+"v", " "), nil
		}
		return []string{value + "thon", resolved["tone"]}, nil
	}))
	must(t, s.CompleteTemplate("x:{v}", "v", func(context.Context, *mcp.Call, string, map[string]string) ([]string, error) { return nil, nil }))
	tests := []struct{ name, params, want string }{
		{"values", `{"ref":{"type":"ref/prompt","name":"review"},"argument":{"name":"lang","value":"py"},"context":{"arguments":{"tone":"kind"}}}`, `{"completion":{"values":["python","kind"],"total":2,"hasMore":false}}`},
		{"no function", `{"ref":{"type":"ref/prompt","name":"review"},"argument":{"name":"code","value":""}}`, `{"completion":{"values":[],"total":0,"hasMore":false}}`},
		{"template", `{"ref":{"type":"ref/resource","uri":"x:{v}"},"argument":{"name":"v","value":""}}`, `{"completion":{"values":[],"total":0,"hasMore":false}}`},
		{"unknown prompt", `{"ref":{"type":"ref/prompt","name":"x"},"argument":{"name":"v","value":""}}`, errorText("-32602", "Unknown prompt: x")},
		{"unknown template", `{"ref":{"type":"ref/resource","uri":"y:{v}"},"argument":{"name":"v","value":""}}`, errorText("-32602", "Unknown resource template: y:{v}")},
		{"unknown type", `{"ref":{"type":"ref/x","name":"x"},"argument":{"name":"v","value":""}}`, errorText("-32602", "params.ref.type is neither ref/prompt nor ref/resource")},
		{"no argument", `{"ref":{"type":"ref/prompt","name":"review"}}`, errorText("-32602", "params.ref and params.argument are not both objects")},
		{"no value", `{"ref":{"type":"ref/prompt","name":"review"},"argument":{"name":"v"}}`, errorText("-32602", "Missing or invalid value of the completion's reference or argument")},
		{"no uri", `{"ref":{"type":"ref/resource","name":"review"},"argument":{"name":"v","value":""}}`, errorText("-32602", "Missing or invalid params.ref.uri")},
		{"bad context", `{"ref":{"type":"ref/prompt","name":"review"},"argument":{"name":"lang","value":""},"context":{"arguments":{"a":1}}}`, errorText("-32602", `params.context.arguments: \"a\" is not a string`)},
	}
	for _, tt := range tests {
		if got := handle(t, s, "completion/complete", tt.params); got != tt.want {
			t.Errorf("%s:\ngot  %s\nwant %s", tt.name, got, tt.want)
		}
	}
	got := handle(t, s, "completion/complete", `{"ref":{"type":"ref/prompt","name":"review"},"argument":{"name":"lang","value":"many"}}`)
	if strings.Count(got, `"v"`) != 100 || !strings.HasSuffix(got, `"total":150,"hasMore":true}}`) {
		t.Errorf("150 values: got %s", got)
	}
	none := func(context.Context, *mcp.Call, string, map[string]string) ([]string, error) { return nil, nil }
	for name, err := range map[string]error{
		"unknown prompt":   s.CompletePrompt("x", "lang", none),
		"unknown argument": s.CompletePrompt("review", "x", none),
		"unknown template": s.CompleteTemplate("y:{v}", "v", none),
		"unknown variable": s.CompleteTemplate("x:{v}", "w", none),
		"no function":      s.CompletePrompt("review", "lang", nil),
	} {
		if err == nil {
			t.Errorf("a completion for an %s was accepted", name)
		}
	}
}
