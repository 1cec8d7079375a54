package main

import (
	"context"
	"errors"

	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/mcp/stdio"
)

// serveLibrary is a server of the library with handlers that do what none should.
func serveLibrary() error {
	type in struct {
		Nonce string `json:"nonce"`
	}
	s := mcp.NewServer("library", "1", nil)
	var errs []error
	add := func(name string, do func(nonce string) string) {
		errs = append(errs, mcp.AddTool(s, mcp.Tool{Name: name}, func(_ context.Context, _ *mcp.Call, in in) (string, error) { return do(in.Nonce), nil }))
	}
	add("echo", func(nonce string) string { return nonce })
	add("panic", func(string) string { panic("as asked to") })
	add("crash", func(string) string {
		go panic("in a goroutine that nobody watches")
		select {}
	})
	add("block", func(string) string { select {} })
	if err := errors.Join(errs...); err != nil {
		return err
	}
	return stdio.Serve(context.Background(), s, nil)
}
