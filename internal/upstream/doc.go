// Package upstream is the life of one upstream: a child process or a remote
// server that is connected to, asked what it offers, called, and connected to
// again when it goes away.
//
// It owns the connection, the catalogue, and the classes of failure that callers
// are told. It does not own names across upstreams or policy; those are the
// gateway's.
//
//	u := upstream.New("files", upstream.Spec{Command: "mcp-files"}, nil)
//	go u.Run(ctx)
//	res, err := u.Handle(ctx, req, sink) // waits for the connection
package upstream
