package main

import (
	"context"
	"errors"
	"log"
	"net/http"

	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/mcp/stdio"
	"github.com/fairlead-mcp/fairlead/mcp/streamhttp"
)

func fairleadServer() *mcp.Server {
	s := mcp.NewServer("fairlead", "1", nil)
	err := errors.Join(
		mcp.AddTool(s, mcp.Tool{Name: "echo"}, func(_ context.Context, _ *mcp.Call, in echoIn) (echoOut, error) {
			return echoOut(in), nil
		}),
		mcp.AddTool(s, mcp.Tool{Name: "add"}, func(_ context.Context, _ *mcp.Call, in addIn) (addOut, error) {
			return addOut{in.A + in.B}, nil
		}),
	)
	if err != nil {
		log.Fatal(err)
	}
	return s
}

func fairleadHandler() http.Handler { return streamhttp.NewHandler(fairleadServer(), nil) }

func fairleadStdio() error { return stdio.Serve(context.Background(), fairleadServer(), nil) }
