package mcp_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/fairlead-mcp/fairlead/mcp"
)

type confirmation struct {
	Really bool `json:"really"`
}

// deleter has a tool that asks before it acts.
func deleter() *mcp.Server {
	s := mcp.NewServer("files", "1.0.0", nil)
	err := mcp.AddTool(s, mcp.Tool{Name: "delete"}, func(ctx context.Context, call *mcp.Call, _ struct{}) (string, error) {
		answer, action, err := mcp.ElicitAs[confirmation](ctx, call, "confirm", "Delete all files?")
		if err != nil {
			return "", err
		}
		return fmt.Sprintf("%s, %t", action, answer.Really), nil
	})
	if err != nil {
		panic(err)
	}
	return s
}

func ExampleClientOptions_onElicit() {
	c := mcp.NewClient("example", "1.0.0", deleter(), &mcp.ClientOptions{
		OnElicit: func(_ context.Context, p *mcp.ElicitParams) (*mcp.ElicitResult, error) {
			fmt.Println(p.Message)
			return &mcp.ElicitResult{Action: mcp.ElicitAccept, Content: mcp.Raw(`{"really":true}`)}, nil
		},
	})
	res, err := c.CallTool(context.Background(), "delete", nil, nil)
	fmt.Println(res.Text(), err)
	// Output:
	// Delete all files?
	// accept, true <nil>
}

func ExampleInputRequiredError() {
	// What is offered without a function is answered by hand.
	c := mcp.NewClient("example", "1.0.0", deleter(), &mcp.ClientOptions{
		Capabilities: &mcp.ClientCapabilities{Elicitation: &mcp.ElicitationCapability{Form: &struct{}{}}},
	})
	ctx, opts := context.Background(), &mcp.CallOptions{}
	res, err := c.CallTool(ctx, "delete", nil, opts)
	var asked *mcp.InputRequiredError
	for errors.As(err, &asked) {
		answers := map[string]any{}
		for key, question := range asked.Requests {
			fmt.Println(key, question.Method)
			answers[key] = &mcp.ElicitResult{Action: mcp.ElicitDecline}
		}
		if opts.Input, err = asked.Answer(answers); err == nil {
			res, err = c.CallTool(ctx, "delete", nil, opts)
		}
	}
	fmt.Println(res.Text(), err)
	// Output:
	// confirm elicitation/create
	// decline, false <nil>
}

func ExampleElicitParams_Complete() {
	p := &mcp.ElicitParams{RequestedSchema: mcp.Raw(`{
		"type": "object", "properties": {"age": {"type": "integer", "minimum": 18}, "unit": {"type": "string", "default": "cm"}}
	}`)}
	content, err := p.Complete(mcp.Raw(`{"age":30}`))
	fmt.Println(string(content), err)
	_, err = p.Complete(mcp.Raw(`{"age":3}`))
	fmt.Println(err)
	// Output:
	// {"age":30,"unit":"cm"} <nil>
	// the answer does not fit the form
	// - /age: must be at least 18
}
