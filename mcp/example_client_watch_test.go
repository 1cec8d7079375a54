package mcp_test

import (
	"context"
	"fmt"

	"github.com/fairlead-mcp/fairlead/mcp"
)

func ExampleClient_Watch() {
	s := mcp.NewServer("files", "1.0.0", nil)
	err := s.AddResource(mcp.Resource{URI: "file:///a", Name: "a"},
		func(_ context.Context, _ *mcp.Call, uri string) ([]mcp.ResourceContents, error) {
			return []mcp.ResourceContents{{URI: uri, Text: "new"}}, nil
		})
	if err != nil {
		panic(err)
	}
	// What the server allows to keep is kept until the watch says that it has changed.
	c := mcp.NewClient("example", "1.0.0", s, &mcp.ClientOptions{CacheBytes: 10 << 20})
	events := make(chan mcp.Event, 1)
	w, err := c.Watch(context.Background(), mcp.NotificationFilter{ResourceSubscriptions: []string{"file:///a"}},
		func(e mcp.Event) { events <- e },
		&mcp.WatchOptions{OnLost: func(err error) { fmt.Println("lost:", err) }})
	if err != nil {
		panic(err)
	}
	defer w.Close()
	s.ResourceUpdated("file:///a")
	fmt.Println((<-events).URI)
	// Output: file:///a
}
