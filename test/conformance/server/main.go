// Command server is the fixture that the official conformance suite tests: every
// tool, resource and prompt that its server scenarios name, on one URL for all
// revisions.
//
//	server -addr HOST:PORT
package main

import (
	"context"
	"errors"
	"flag"
	"log"
	"net/http"

	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/mcp/stdio"
	"github.com/fairlead-mcp/fairlead/mcp/streamhttp"
)

func main() {
	addr := flag.String("addr", "127.0.0.1:3000", "HOST:PORT to listen on, with the endpoint /mcp; empty for stdin and stdout")
	flag.Parse()
	s := mcp.NewServer("fairlead-conformance", "1.0.0", &mcp.ServerOptions{Logging: true})
	if err := errors.Join(addTools(s), addDiagnostics(s), addAsking(s), addTasks(s), addResources(s), addPrompts(s), addSkills(s), addReconnection(s)); err != nil {
		log.Fatal(err)
	}
	if *addr == "" {
		if err := stdio.Serve(context.Background(), s, nil); err != nil {
			log.Fatal(err)
		}
		return
	}
	mux := http.NewServeMux()
	mux.Handle("/mcp", streamhttp.NewHandler(s, nil))
	srv := streamhttp.NewServer(*addr, mux)
	log.Fatal(srv.ListenAndServe())
}

// pause waits as a scenario asks for between two notifications.
func pause(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-after():
		return nil
	}
}
