package mcp_test

import (
	"context"
	"fmt"

	"github.com/fairlead-mcp/fairlead/mcp"
)

type numbers struct {
	A int `json:"a"`
	B int `json:"b"`
}

type total struct {
	Sum int `json:"sum"`
}

func ExampleClient_CallTool() {
	s := mcp.NewServer("calculator", "1.0.0", nil)
	err := mcp.AddTool(s, mcp.Tool{Name: "add"}, func(_ context.Context, call *mcp.Call, in numbers) (total, error) {
		return total{in.A + in.B}, call.Progress(1, 1, "added")
	})
	if err != nil {
		panic(err)
	}
	// Any Handler will do: a child process, a remote server, one in this program.
	c := mcp.NewClient("example", "1.0.0", s, nil)
	res, err := c.CallTool(context.Background(), "add", numbers{1, 2}, &mcp.CallOptions{
		Progress: func(p mcp.Progress) { fmt.Println("progress:", p.Message) },
	})
	fmt.Println(string(res.Structured), err)
	// Output:
	// progress: added
	// {"sum":3} <nil>
}

func ExampleCallToolAs() {
	s := mcp.NewServer("calculator", "1.0.0", nil)
	err := mcp.AddTool(s, mcp.Tool{Name: "add"}, func(_ context.Context, _ *mcp.Call, in numbers) (total, error) {
		return total{in.A + in.B}, nil
	})
	if err != nil {
		panic(err)
	}
	c := mcp.NewClient("example", "1.0.0", s, nil)
	out, err := mcp.CallToolAs[total](context.Background(), c, "add", numbers{1, 2}, nil)
	fmt.Println(out.Sum, err)
	// Output: 3 <nil>
}

func ExampleClient_Listen() {
	s := mcp.NewServer("files", "1.0.0", nil)
	err := s.AddResource(mcp.Resource{URI: "file:///a", Name: "a"},
		func(_ context.Context, _ *mcp.Call, uri string) ([]mcp.ResourceContents, error) {
			return []mcp.ResourceContents{{URI: uri, Text: "new"}}, nil
		})
	if err != nil {
		panic(err)
	}
	c := mcp.NewClient("example", "1.0.0", s, nil)
	events := make(chan mcp.Event, 1)
	sub, err := c.Listen(context.Background(), mcp.NotificationFilter{ResourceSubscriptions: []string{"file:///a"}},
		func(e mcp.Event) { events <- e })
	if err != nil {
		panic(err)
	}
	s.ResourceUpdated("file:///a")
	fmt.Println((<-events).URI)
	sub.Close()
	// Output: file:///a
}
