// Echo is an MCP server with two typed tools. With -addr it serves HTTP at /mcp,
// without it stdin and stdout.
package main

import (
	"context"
	"errors"
	"flag"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"

	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/mcp/stdio"
	"github.com/fairlead-mcp/fairlead/mcp/streamhttp"
)

type echoIn struct {
	Text string `json:"text" jsonschema:"what to say"`
}

type addIn struct {
	A float64 `json:"a"`
	B float64 `json:"b"`
}

type addOut struct {
	Sum float64 `json:"sum"`
}

func newServer() (*mcp.Server, error) {
	s := mcp.NewServer("echo", "1.0.0", nil)
	return s, errors.Join(
		mcp.AddTool(s, mcp.Tool{Name: "echo", Description: "Say the text again"},
			func(_ context.Context, _ *mcp.Call, in echoIn) (string, error) { return in.Text, nil }),
		mcp.AddTool(s, mcp.Tool{Name: "add", Description: "Add two numbers"},
			func(_ context.Context, _ *mcp.Call, in addIn) (addOut, error) { return addOut{in.A + in.B}, nil }),
	)
}

func main() {
	addr := flag.String("addr", "", "serve HTTP on `HOST:PORT` instead of stdio")
	flag.Parse()
	s, err := newServer()
	if err != nil {
		log.Fatal(err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if *addr == "" {
		err = stdio.Serve(ctx, s, nil)
	} else {
		err = serveHTTP(ctx, *addr, s)
	}
	if err != nil && ctx.Err() == nil {
		log.Fatal(err)
	}
}

func serveHTTP(ctx context.Context, addr string, s *mcp.Server) error {
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.Handle("/mcp", streamhttp.NewHandler(s, nil))
	srv := streamhttp.NewServer(addr, mux)
	context.AfterFunc(ctx, func() { _ = srv.Close() })
	log.Printf("listening on http://%s/mcp", ln.Addr())
	return srv.Serve(ln)
}
