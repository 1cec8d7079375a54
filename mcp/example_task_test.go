package mcp_test

import (
	"context"
	"fmt"
	"log"

	"github.com/fairlead-mcp/fairlead/mcp"
)

// A tool whose calls are tasks: the function is that of any tool.
func ExampleClient_StartTool() {
	s := mcp.NewServer("library", "1.0.0", nil)
	tool := mcp.Tool{
		Name:      "index",
		Execution: &mcp.ToolExecution{TaskSupport: mcp.TaskOptional},
	}
	err := mcp.AddTool(s, tool, func(ctx context.Context, call *mcp.Call, _ struct{}) (string, error) {
		return "3 books", call.Progress(3, 3, "all read")
	})
	if err != nil {
		log.Fatal(err)
	}

	client := mcp.NewClient("reader", "1.0.0", s, nil)
	task, err := client.StartTool(context.Background(), "index", nil, nil)
	if err != nil {
		log.Fatal(err)
	}
	// task.ID() is worth keeping: client.ToolTask goes on with it, from another process too.
	res, err := task.Wait(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(res.Text())
	// Output: 3 books
}

// A server whose tasks survive it.
func ExampleServer_ResumeTasks() {
	store, err := mcp.OpenDirTasks("/var/lib/library/tasks", nil)
	if err != nil {
		log.Fatal(err)
	}
	var key mcp.SealKey // from where secrets are kept: the same after a restart
	s := mcp.NewServer("library", "1.0.0", &mcp.ServerOptions{
		Sealer: mcp.NewSealer(key),
		Tasks:  &mcp.TaskOptions{Store: store},
	})
	// ... AddTool ...
	if err := s.ResumeTasks(context.Background()); err != nil {
		log.Print(err) // what could not be taken up; the rest is
	}
	// ... serve until the end ...
	if err := s.StopTasks(context.Background()); err != nil {
		log.Print(err)
	}
}
