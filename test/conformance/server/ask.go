package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/fairlead-mcp/fairlead/mcp"
)

type person struct {
	Name string `json:"name"`
}

type confirmation struct {
	OK bool `json:"ok"`
}

// asks lists what a tool with all three kinds of questions asks.
var (
	askName    = mcp.FormOf[person]("What is your name?")
	askCapital = sample("What is the capital of France?", 100)
)

func sample(text string, maxTokens int64) *mcp.SampleParams {
	return &mcp.SampleParams{
		Messages:  []mcp.SamplingMessage{{Role: mcp.RoleUser, Content: []mcp.Content{mcp.Text(text)}}},
		MaxTokens: maxTokens,
	}
}

// addAsking adds the tools and the prompt that ask the client.
func addAsking(s *mcp.Server) error {
	return errors.Join(
		addOldAsking(s),
		ask(s, "test_input_required_result_elicitation", func(ctx context.Context, call *mcp.Call) (string, error) {
			who, action, err := mcp.ElicitAs[person](ctx, call, "user_name", "What is your name?")
			if err != nil || action != mcp.ElicitAccept {
				return "Hello, whoever you are!", err
			}
			return "Hello, " + who.Name + "!", nil
		}),
		ask(s, "test_input_required_result_sampling", func(ctx context.Context, call *mcp.Call) (string, error) {
			r, err := call.Sample(ctx, "capital_question", askCapital)
			if err != nil {
				return "", err
			}
			return r.Text(), nil
		}),
		ask(s, "test_input_required_result_list_roots", func(ctx context.Context, call *mcp.Call) (string, error) {
			roots, err := call.Roots(ctx, "client_roots")
			if err != nil {
				return "", err
			}
			return fmt.Sprintf("Roots: %v", roots), nil
		}),
		ask(s, "test_input_required_result_request_state", confirm("state-ok")),
		ask(s, "test_input_required_result_tampered_state", confirm("done")),
		ask(s, "test_input_required_result_multiple_inputs", func(ctx context.Context, call *mcp.Call) (string, error) {
			a, err := call.Ask(ctx,
				mcp.Question{Key: "user_name", Form: &askName},
				mcp.Question{Key: "greeting", Sample: sample("Generate a greeting", 50)},
				mcp.Question{Key: "client_roots", Roots: true})
			if err != nil {
				return "", err
			}
			return fmt.Sprintf("%s %s, with %d roots", a.Sample("greeting").Text(), a.Elicit("user_name").Content, len(a.Roots("client_roots"))), nil
		}),
		ask(s, "test_input_required_result_multi_round", func(ctx context.Context, call *mcp.Call) (string, error) {
			who, _, err := mcp.ElicitAs[person](ctx, call, "step1", "Step 1: What is your name?")
			if err != nil {
				return "", err
			}
			favourite, _, err := mcp.ElicitAs[struct {
				Color string `json:"color"`
			}](ctx, call, "step2", "Step 2: What is your favorite color?")
			if err != nil {
				return "", err
			}
			return who.Name + " likes " + favourite.Color, nil
		}),
		ask(s, "test_input_required_result_capabilities", func(ctx context.Context, call *mcp.Call) (string, error) {
			var questions []mcp.Question
			if call.CanElicit() {
				questions = append(questions, mcp.Question{Key: "user_name", Form: &askName})
			}
			if call.CanSample() {
				questions = append(questions, mcp.Question{Key: "capital_question", Sample: askCapital})
			}
			_, err := call.Ask(ctx, questions...)
			return "asked all that the client can answer", err
		}),
		ask(s, "test_streaming_elicitation", func(ctx context.Context, call *mcp.Call) (string, error) {
			if err := call.Progress(0.5, 1, "about to ask"); err != nil {
				return "", err
			}
			_, err := call.Elicit(ctx, "user_name", askName)
			return "asked", err
		}),
		s.AddPrompt(mcp.Prompt{Name: "test_input_required_result_prompt", Description: "Asks for its context"},
			func(ctx context.Context, call *mcp.Call, _ map[string]string) (*mcp.PromptResult, error) {
				in, _, err := mcp.ElicitAs[struct {
					Context string `json:"context"`
				}](ctx, call, "user_context", "What context should the prompt use?")
				if err != nil {
					return nil, err
				}
				return prompt(mcp.Text("Use this context: " + in.Context)), nil
			}),
	)
}

// confirm asks for a confirmation, and after it says what it is given.
func confirm(text string) func(context.Context, *mcp.Call) (string, error) {
	return func(ctx context.Context, call *mcp.Call) (string, error) {
		_, err := call.Elicit(ctx, "confirm", mcp.FormOf[confirmation]("Please confirm"))
		return text, err
	}
}

// ask adds a tool without arguments.
func ask(s *mcp.Server, name string, fn func(context.Context, *mcp.Call) (string, error)) error {
	return mcp.AddTool(s, mcp.Tool{Name: name, Description: "Asks the client"}, func(ctx context.Context, call *mcp.Call, _ none) (string, error) {
		return fn(ctx, call)
	})
}

const (
	defaultsForm = `{"type":"object","properties":{
		"name":{"type":"string","default":"John Doe"},
		"age":{"type":"integer","default":30},
		"score":{"type":"number","default":95.5},
		"status":{"type":"string","enum":["active","inactive","pending"],"default":"active"},
		"verified":{"type":"boolean","default":true}}}`
	enumsForm = `{"type":"object","properties":{
		"untitledSingle":{"type":"string","enum":["option1","option2","option3"]},
		"titledSingle":{"type":"string","oneOf":[{"const":"value1","title":"First Option"},{"const":"value2","title":"Second Option"},{"const":"value3","title":"Third Option"}]},
		"legacyEnum":{"type":"string","enum":["opt1","opt2","opt3"],"enumNames":["Option One","Option Two","Option Three"]},
		"untitledMulti":{"type":"array","items":{"type":"string","enum":["option1","option2","option3"]}},
		"titledMulti":{"type":"array","items":{"anyOf":[{"const":"value1","title":"First Choice"},{"const":"value2","title":"Second Choice"},{"const":"value3","title":"Third Choice"}]}}}}`
)

// addOldAsking adds the tools that the scenarios of the revisions with sessions call.
func addOldAsking(s *mcp.Server) error {
	form := func(schema string) func(context.Context, *mcp.Call) (string, error) {
		return func(ctx context.Context, call *mcp.Call) (string, error) {
			r, err := call.Elicit(ctx, "form", mcp.Form{Message: "Please fill in the form", Schema: mcp.Raw(schema)})
			if err != nil {
				return "", err
			}
			return fmt.Sprintf("Elicitation completed: action=%s, content=%s", r.Action, r.Content), nil
		}
	}
	return errors.Join(
		ask(s, "test_elicitation_sep1034_defaults", form(defaultsForm)),
		ask(s, "test_elicitation_sep1330_enums", form(enumsForm)),
		mcp.AddTool(s, mcp.Tool{Name: "test_elicitation", Description: "Asks the user"}, func(ctx context.Context, call *mcp.Call, in struct {
			Message string `json:"message"`
		},
		) (string, error) {
			type user struct {
				Username string `json:"username" jsonschema:"User's response"`
				Email    string `json:"email" jsonschema:"User's email address"`
			}
			r, err := call.Elicit(ctx, "user", mcp.FormOf[user](in.Message))
			if err != nil {
				return "", err
			}
			return fmt.Sprintf("User response: action=%s, content=%s", r.Action, r.Content), nil
		}),
		mcp.AddTool(s, mcp.Tool{Name: "test_sampling", Description: "Asks the client's model"}, func(ctx context.Context, call *mcp.Call, in struct {
			Prompt string `json:"prompt"`
		},
		) (string, error) {
			r, err := call.Sample(ctx, "prompt", sample(in.Prompt, 100))
			if err != nil {
				return "", err
			}
			return "LLM response: " + r.Text(), nil
		}),
	)
}
