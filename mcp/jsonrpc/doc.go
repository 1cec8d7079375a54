// Package jsonrpc reads and writes JSON-RPC 2.0 messages as MCP restricts them.
//
// It owns the strict scan of one message, raw request ids, error codes, splicing
// of members without re-encoding, and newline framing. It knows nothing of MCP
// methods and decodes nothing into Go types.
//
//	msg, err := jsonrpc.Scan(line, nil)
//	if err != nil {
//		var se *jsonrpc.ScanError
//		errors.As(err, &se) // se.Code, se.Offset, se.ID
//	}
//	switch msg.Kind {
//	case jsonrpc.Request:
//		out = jsonrpc.AppendResult(out, msg.ID, []byte(`{}`))
//	}
//
// One pass over the bytes finds the envelope and refuses what two parsers could
// read differently: duplicate members, keys in the wrong case, invalid UTF-8,
// trailing bytes, excess depth and size.
package jsonrpc
