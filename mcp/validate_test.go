package mcp_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/mcp/jsonrpc"
)

// FuzzValidators compares the two validators: a schema that the fast one covers
// says the same when a keyword that means nothing sends it to the general one.
func FuzzValidators(f *testing.F) {
	schemas := []string{
		`"properties":{"a":{"type":"integer","minimum":-3,"exclusiveMaximum":10},"b":{"type":"string","minLength":2,"maxLength":4,"pattern":"^[a-z]"},"c":{"enum":["x",1,null,true]}},"required":["a"],"additionalProperties":false`,
		`"properties":{"l":{"type":"array","items":{"type":["number","null"]},"minItems":1,"maxItems":3},"o":{"type":"object","additionalProperties":{"type":"boolean"},"minProperties":1,"maxProperties":2}}`,
		`"required":["x","y"],"additionalProperties":{"const":"v"}`,
	}
	type pair struct{ fast, general *mcp.Server }
	var pairs []pair
	for _, schema := range schemas {
		add := func(schema string) *mcp.Server {
			s := mcp.NewServer("s", "1", nil)
			must(f, s.AddRawTool(mcp.Tool{Name: "t", InputSchema: mcp.Raw(schema)}, func(context.Context, *mcp.Call, []byte) (*mcp.ToolResult, error) { return nil, nil }))
			return s
		}
		pairs = append(pairs, pair{add(`{"type":"object",` + schema + `}`), add(`{"type":"object","allOf":[{}],` + schema + `}`)})
	}
	for _, seed := range []string{
		`{"a":1,"b":"ab","c":null}`, `{"a":1.0}`, `{"a":1e1}`, `{"a":"x","z":1}`, `{"a":9.5,"b":"\u00e4\u00f6"}`, `{"l":[1,null,2.5],"o":{"p":true}}`,
		`{"l":[],"o":{}}`, `{"x":"v","y":"v","z":"w"}`, `{ "x" : "\u0076" , "y" : "v" }`, `{"a":-0,"c":1.0}`, `{"a":1e400}`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, args string) {
		if len(args) == 0 || args[0] != '{' || jsonrpc.Valid([]byte(args), nil) != nil {
			return
		}
		for i, p := range pairs {
			verdict := func(s *mcp.Server) bool {
				res, err := s.Handle(t.Context(), &mcp.Request{Method: "tools/call", Name: "t", Arguments: []byte(args)}, mcp.Discard)
				if err != nil {
					t.Fatalf("schema %d, %s: %v", i, args, err)
				}
				return jsonrpc.Get(res.Body, "isError") == nil
			}
			// The general validator refuses numbers of a size that the fast one takes.
			if fast, general := verdict(p.fast), verdict(p.general); fast != general && !(fast && strings.ContainsAny(args, "eE")) && len(args) < 64 {
				t.Errorf("schema %d, %s: the fast validator says %v, the general one %v", i, args, fast, general)
			}
		}
	})
}

// Bytes that never passed the strict scan must not do more than fail.
func FuzzUnscannedArguments(f *testing.F) {
	for _, seed := range []string{`{`, `{"`, `{"text":"\`, `{"text":}`, `{"text":"a",}`, `{"n":--1}`, `{"n":1}}`, `{"text":[[[[`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, args string) {
		if !strings.HasPrefix(args, "{") {
			return
		}
		_, err := echoServer(t).Handle(t.Context(), &mcp.Request{Method: "tools/call", Name: "echo", Arguments: []byte(args)}, mcp.Discard)
		if err != nil && !errors.Is(err, &mcp.Error{Code: jsonrpc.CodeInvalidParams}) {
			t.Errorf("arguments %q: %v", args, err)
		}
	})
}

func TestHugeNumbersAreRefusedByTheGeneralValidator(t *testing.T) {
	s := mcp.NewServer("s", "1", nil)
	must(t, s.AddRawTool(mcp.Tool{Name: "t", InputSchema: mcp.Raw(`{"type":"object","allOf":[{"properties":{"a":{"type":"integer"}}}]}`)},
		func(context.Context, *mcp.Call, []byte) (*mcp.ToolResult, error) { return nil, nil }))
	for _, number := range []string{"1e999999999", "1E-0999999999", strings.Repeat("9", 65)} {
		got := handle(t, s, "tools/call", `{"name":"t","arguments":{"a":`+number+`}}`)
		if !strings.Contains(got, "too long or too large") {
			t.Errorf("%s: got %s", number, got)
		}
	}
	if got, want := handle(t, s, "tools/call", `{"name":"t","arguments":{"a":1e2,"b":"1e999999999"}}`), `{"content":[]}`; got != want {
		t.Errorf("100 and text: got %s, want %s", got, want)
	}
}
