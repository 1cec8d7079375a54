package stdio_test

import (
	"bytes"
	"context"
	"testing"

	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/mcp/jsonrpc"
	"github.com/fairlead-mcp/fairlead/mcp/stdio"
)

// FuzzServe gives the server any input: it comes to its end, and all that it
// writes is messages, or batches of them in the revision that has these.
func FuzzServe(f *testing.F) {
	f.Add([]byte(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo","arguments":{},` + modernMeta + "}}\n"))
	f.Add([]byte(`{"jsonrpc":"2.0","id":1,"method":"subscriptions/listen","params":{"notifications":{},` + modernMeta + "}}\n" +
		`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}`))
	f.Add([]byte(`{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-03-26","capabilities":{},"clientInfo":{}}}` + "\n" +
		`{"jsonrpc":"2.0","method":"notifications/initialized"}` + "\n" +
		`[{"jsonrpc":"2.0","id":1,"method":"ping"},7,[],{"jsonrpc":"2.0","id":1,"method":"resources/subscribe","params":{"uri":"a"}}]` + "\n"))
	f.Add([]byte(`{"jsonrpc":"2.0","id":0,"method":"tools/call","params":{"name":"echo",` + modernMeta + "}}")) // no arguments
	f.Add([]byte("\n\r\n [\n{}\n\xff\x00\n"))
	f.Fuzz(func(t *testing.T, input []byte) {
		for _, tool := range []string{"wait", "hang", "die", "exit", "close", "long", "garbage", "strange", "duplicate"} {
			if bytes.Contains(input, []byte(tool)) {
				return // the fixture would do it
			}
		}
		var out bytes.Buffer
		h := mcp.HandlerFunc(func(ctx context.Context, req *mcp.Request, sink mcp.Sink) (mcp.Result, error) {
			if req.Method == mcp.MethodListen {
				return mcp.Result{Stream: true}, nil
			}
			return fixture{}.Handle(ctx, req, sink)
		})
		if err := stdio.ServeConn(t.Context(), h, bytes.NewReader(input), &out, nil); err != nil {
			t.Fatal(err)
		}
		for line := range bytes.Lines(out.Bytes()) {
			if line[0] == '[' {
				if err := jsonrpc.Valid(line, nil); err != nil {
					t.Errorf("%s: %v", line, err)
				}
				continue
			}
			if _, err := jsonrpc.Scan(line, nil); err != nil {
				t.Errorf("%s: %v", line, err)
			}
		}
	})
}
