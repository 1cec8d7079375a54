package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/fairlead-mcp/fairlead/mcp"
)

// promptFunc makes the messages of a prompt.
type promptFunc = func(context.Context, *mcp.Call, map[string]string) (*mcp.PromptResult, error)

func messages(blocks ...mcp.Content) promptFunc {
	return func(context.Context, *mcp.Call, map[string]string) (*mcp.PromptResult, error) {
		return prompt(blocks...), nil
	}
}

func prompt(blocks ...mcp.Content) *mcp.PromptResult {
	res := &mcp.PromptResult{}
	for _, b := range blocks {
		res.Messages = append(res.Messages, mcp.PromptMessage{Role: mcp.RoleUser, Content: b})
	}
	return res
}

func addPrompts(s *mcp.Server) error {
	return errors.Join(
		s.AddPrompt(mcp.Prompt{Name: "test_simple_prompt", Description: "No arguments"}, messages(mcp.Text("This is a simple prompt for testing."))),
		s.AddPrompt(mcp.Prompt{Name: "test_prompt_with_arguments", Description: "Two arguments", Arguments: []mcp.PromptArgument{
			{Name: "arg1", Description: "First test argument", Required: true},
			{Name: "arg2", Description: "Second test argument", Required: true},
		}}, func(_ context.Context, _ *mcp.Call, args map[string]string) (*mcp.PromptResult, error) {
			return prompt(mcp.Text(fmt.Sprintf("Prompt with arguments: arg1='%s', arg2='%s'", args["arg1"], args["arg2"]))), nil
		}),
		s.AddPrompt(mcp.Prompt{Name: "test_prompt_with_embedded_resource", Description: "Embeds a resource", Arguments: []mcp.PromptArgument{
			{Name: "resourceUri", Description: "URI of the resource to embed", Required: true},
		}}, func(_ context.Context, _ *mcp.Call, args map[string]string) (*mcp.PromptResult, error) {
			return prompt(embedded(args["resourceUri"], "text/plain", "Embedded resource content for testing."), mcp.Text("Please process the embedded resource above.")), nil
		}),
		s.AddPrompt(mcp.Prompt{Name: "test_prompt_with_image", Description: "Has an image"}, messages(&mcp.ImageContent{Data: png, MIMEType: "image/png"}, mcp.Text("Please analyze the image above."))),
		s.CompletePrompt("test_prompt_with_arguments", "arg1", func(context.Context, *mcp.Call, string, map[string]string) ([]string, error) {
			return []string{"paris", "park", "party"}, nil
		}),
	)
}
