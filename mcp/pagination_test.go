package mcp_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/mcp/jsonrpc"
)

// FuzzCursor: whatever a client sends as a cursor is a page or -32602.
func FuzzCursor(f *testing.F) {
	s := mcp.NewServer("s", "1", &mcp.ServerOptions{PageSize: 2})
	for i := range 5 {
		if err := mcp.AddTool(s, mcp.Tool{Name: fmt.Sprint("t", i)}, func(context.Context, *mcp.Call, struct{}) (string, error) { return "", nil }); err != nil {
			f.Fatal(err)
		}
	}
	first, err := s.Handle(f.Context(), &mcp.Request{Method: mcp.MethodListTools}, mcp.Discard)
	if err != nil {
		f.Fatal(err)
	}
	cursor, ok := jsonrpc.Unquote(jsonrpc.Get(first.Body, "nextCursor"))
	if !ok {
		f.Fatalf("no cursor in %s", first.Body)
	}
	f.Add(cursor)
	f.Add("")
	f.Add("AAAA")
	f.Add(cursor + "A")
	f.Fuzz(func(t *testing.T, cursor string) {
		params := jsonrpc.Splice(nil, nil, jsonrpc.Member{Key: "cursor", Value: jsonrpc.AppendString(nil, cursor)})
		res, err := s.Handle(t.Context(), &mcp.Request{Method: mcp.MethodListTools, Params: params}, mcp.Discard)
		switch {
		case err != nil && mcp.ErrorOf(err).Code != jsonrpc.CodeInvalidParams:
			t.Errorf("cursor %q: %v", cursor, err)
		case err == nil && jsonrpc.Valid(res.Body, nil) != nil:
			t.Errorf("cursor %q: %s", cursor, res.Body)
		}
	})
}
