// Tour is a book shop on MCP: every feature of a server once, over stdin and stdout
// or over HTTP. docs/library.md walks through it.
//
//	tour                       # a child of your client
//	tour -http 127.0.0.1:8080  # for clients on the network
package main

import (
	"context"
	"flag"
	"log"
	"net/http"

	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/mcp/stdio"
	"github.com/fairlead-mcp/fairlead/mcp/streamhttp"
)

func main() {
	addr := flag.String("http", "", "serve on `HOST:PORT` at /mcp instead of stdin and stdout")
	flag.Parse()
	s, err := newServer(newShop())
	if err == nil {
		if *addr == "" {
			err = stdio.Serve(context.Background(), s, nil)
		} else {
			err = serveHTTP(s, *addr)
		}
	}
	if err != nil {
		log.Fatal(err)
	}
}

// serveHTTP serves clients of every revision at one endpoint, with limits on what
// a connection and a request may cost.
func serveHTTP(s *mcp.Server, addr string) error {
	mux := http.NewServeMux()
	mux.Handle("/mcp", streamhttp.NewHandler(s, nil))
	return streamhttp.NewServer(addr, mux).ListenAndServe()
}
