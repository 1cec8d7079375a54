package mcptest_test

import (
	"context"
	"testing"

	"github.com/fairlead-mcp/fairlead/mcp"
)

// TestTasksOverEachTransport: a tool that asks, as a task where the revision has
// tasks for our client and as a call where it has not.
func TestTasksOverEachTransport(t *testing.T) {
	type answer struct {
		OK bool `json:"ok"`
	}
	newServer := func() *mcp.Server {
		s := mcp.NewServer("s", "1", &mcp.ServerOptions{Tasks: &mcp.TaskOptions{PollInterval: 1}})
		tool := mcp.Tool{Name: "t", Execution: &mcp.ToolExecution{TaskSupport: mcp.TaskOptional}}
		if err := mcp.AddTool(s, tool, func(ctx context.Context, call *mcp.Call, _ struct{}) (answer, error) {
			if !call.CanElicit() { // the sessions of these clients offer nothing
				return answer{OK: true}, nil
			}
			out, _, err := mcp.ElicitAs[answer](ctx, call, "sure", "Sure?")
			return out, err
		}); err != nil {
			t.Fatal(err)
		}
		return s
	}
	overEach(t, newServer, func(t *testing.T, s *mcp.Server, h mcp.Handler, version mcp.Version) {
		c := mcp.NewClient("c", "1", h, &mcp.ClientOptions{OnElicit: func(context.Context, *mcp.ElicitParams) (*mcp.ElicitResult, error) {
			return &mcp.ElicitResult{Action: mcp.ElicitAccept, Content: mcp.Raw(`{"ok":true}`)}, nil
		}})
		task, err := c.StartTool(t.Context(), "t", nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		if (task.ID() != "") != version.Modern() {
			t.Errorf("task %q in %s", task.ID(), version)
		}
		if res, err := task.Wait(t.Context()); err != nil || res.Text() != `{"ok":true}` {
			t.Errorf("got %v, %v", res, err)
		}
		if err := s.StopTasks(t.Context()); err != nil {
			t.Error(err)
		}
	})
}
