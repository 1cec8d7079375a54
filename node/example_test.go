package node_test

import (
	"context"
	"fmt"
	"log"
	"os"

	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/mcp/streamhttp"
	"github.com/fairlead-mcp/fairlead/node"
)

type sum struct {
	A int `json:"a"`
	B int `json:"b"`
}

// A server of your own as a node. Here the node is ready for one call and then
// ends; a program would end ctx on a signal.
func Example() {
	server := mcp.NewServer("math", "1.0.0", nil)
	err := mcp.AddTool(server, mcp.Tool{Name: "add"}, func(_ context.Context, _ *mcp.Call, in sum) (string, error) {
		return fmt.Sprint(in.A + in.B), nil
	})
	if err != nil {
		log.Fatal(err)
	}
	data, err := os.MkdirTemp("", "node")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(data)

	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	ready := make(chan node.Addresses, 1)
	ended := make(chan error, 1)
	go func() {
		ended <- node.Run(ctx, "math", server, &node.Options{
			Listen: "127.0.0.1:0", Admin: "127.0.0.1:0", Data: data,
			OnReady: func(at node.Addresses) { ready <- at },
		})
	}()
	at := <-ready
	client := mcp.NewClient("example", "1.0.0", streamhttp.NewClient(at.Endpoint, nil), nil)
	res, err := client.CallTool(ctx, "math__add", sum{A: 1, B: 2}, nil)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(res.Text())
	stop()
	fmt.Println(<-ended)
	// Output:
	// 3
	// <nil>
}

// Several servers, one of which the node cannot do without, beside the upstreams
// of a config file.
func ExampleNode_Add() {
	orders, stock := mcp.NewServer("orders", "1", nil), mcp.NewServer("stock", "1", nil)
	n := node.New(&node.Options{Config: "fairlead.yaml"})
	n.Add("orders", orders, &node.ServerOptions{Critical: true})
	n.Add("stock", stock, nil)
	if err := n.Run(context.Background()); err != nil {
		fmt.Println("the file does not exist")
	}
	// Output: the file does not exist
}
