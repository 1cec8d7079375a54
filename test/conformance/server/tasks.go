package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/fairlead-mcp/fairlead/mcp"
)

var (
	asTask   = &mcp.ToolExecution{TaskSupport: mcp.TaskOptional}
	onlyTask = &mcp.ToolExecution{TaskSupport: mcp.TaskRequired}
)

// addTasks adds the tools that the scenarios of the tasks extension call.
func addTasks(s *mcp.Server) error {
	type file struct {
		Filename string `json:"filename,omitempty"`
	}
	type work struct {
		Seconds float64 `json:"seconds" minimum:"0"`
		Label   string  `json:"label,omitempty"`
	}
	type confirmed struct {
		Confirm bool `json:"confirm"`
	}
	return errors.Join(
		mcp.AddTool(s, mcp.Tool{Name: "greet", Description: "Greets"}, func(_ context.Context, _ *mcp.Call, in person) (string, error) {
			return "Hello, " + in.Name + "!", nil
		}),
		mcp.AddTool(s, mcp.Tool{Name: "slow_compute", Description: "Takes its time", Execution: asTask}, func(ctx context.Context, _ *mcp.Call, in work) (string, error) {
			return "Computed " + in.Label, sleep(ctx, time.Duration(in.Seconds*float64(time.Second)))
		}),
		mcp.AddTool(s, mcp.Tool{Name: "failing_job", Description: "Fails after a second", Execution: onlyTask}, func(ctx context.Context, _ *mcp.Call, _ none) (string, error) {
			if err := sleep(ctx, time.Second); err != nil {
				return "", err
			}
			return "", errors.New("the job failed")
		}),
		mcp.AddTool(s, mcp.Tool{Name: "protocol_error_job", Description: "Panics", Execution: asTask}, func(context.Context, *mcp.Call, none) (string, error) {
			panic("as the scenario asks")
		}),
		mcp.AddTool(s, mcp.Tool{Name: "confirm_delete", Description: "Asks before it deletes", Execution: asTask}, func(ctx context.Context, call *mcp.Call, in file) (string, error) {
			answer, action, err := mcp.ElicitAs[confirmed](ctx, call, "confirm", "Delete "+in.Filename+"?")
			if err != nil {
				return "", err
			}
			return fmt.Sprintf("%s: %s, %t", in.Filename, action, answer.Confirm), nil
		}),
		mcp.AddTool(s, mcp.Tool{Name: "multi_input", Description: "Asks two things at once", Execution: asTask}, func(ctx context.Context, call *mcp.Call, _ none) (string, error) {
			confirm := mcp.FormOf[confirmed]("Are you sure?")
			a, err := call.Ask(ctx, mcp.Question{Key: "name", Form: &askName}, mcp.Question{Key: "confirm", Form: &confirm})
			if err != nil {
				return "", err
			}
			return fmt.Sprintf("%s %s", a.Elicit("name").Content, a.Elicit("confirm").Content), nil
		}),
		mcp.AddTool(s, mcp.Tool{
			Name: "test_tool_with_task", Description: "Asks, and is a task only then",
			Execution: &mcp.ToolExecution{TaskSupport: mcp.TaskRequired, OnDemand: true},
		}, func(ctx context.Context, call *mcp.Call, _ none) (string, error) {
			who, _, err := mcp.ElicitAs[person](ctx, call, "user_name", "What is your name?")
			if err != nil {
				return "", err
			}
			if err := call.BeginTask(ctx); err != nil {
				return "", err
			}
			return "Worked for " + who.Name, nil
		}),
	)
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
