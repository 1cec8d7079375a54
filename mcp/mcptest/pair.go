// Package mcptest helps to test what speaks MCP: a client and a server joined in
// memory by the real framing, a server that follows a script, and a Sink that
// remembers.
//
//	client := mcptest.Pair(t, server, mcp.LatestVersion)
//	res, err := mcp.NewClient("test", "1", client, nil).CallTool(t.Context(), "greet", args, nil)
package mcptest

import (
	"bytes"
	"context"
	"io"
	"testing"

	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/mcp/mcptest/wirecheck"
	"github.com/fairlead-mcp/fairlead/mcp/stdio"
)

// Pair serves h over a pipe in memory, as package stdio does, and returns the
// client's end of it, which speaks the given revision. Both ends are closed at the
// end of the test. It works inside a synctest bubble. Handlers that ask are
// replayed ([Replay]), and messages that do not fit the JSON schema of the revision
// are errors of the test ([Tap]).
func Pair(t testing.TB, h mcp.Handler, version mcp.Version) mcp.Handler {
	t.Helper()
	return pair(t, h, version, Tap(t, wirecheck.Client, wirecheck.Server))
}

func pair(t testing.TB, h mcp.Handler, version mcp.Version, tap *wirecheck.Tap) mcp.Handler {
	t.Helper()
	fromClient, toServer := io.Pipe()
	fromServer, toClient := io.Pipe()

	served := make(chan error, 1)
	h = Replay(t, h)
	go func() { // until the client closes its end
		err := stdio.ServeConn(context.Background(), h, fromClient, toClient, nil)
		_ = toClient.Close()
		served <- err
	}()
	opts := &stdio.ClientOptions{
		Era: stdio.EraModern, OneCaller: true,
		// For a session; each request says what its own caller can be asked.
		Capabilities: []byte(`{"roots":{"listChanged":true},"sampling":{"tools":{},"context":{}},"elicitation":{"form":{},"url":{}}}`),
	}
	in, out := tap.Pipes(wirecheck.Client, fromServer, toServer)
	if !version.Modern() {
		opts.Era = stdio.EraLegacy
		out = &olderOffer{out, version}
	}
	client, err := stdio.NewClient(t.Context(), in, out, opts)
	if err != nil {
		_ = toServer.Close()
		<-served
		t.Fatalf("mcptest: %v", err)
	}
	t.Cleanup(func() {
		// The test's own context has ended.
		if err := client.Close(context.Background()); err != nil {
			t.Errorf("mcptest: close the client: %v", err)
		}
		if err := <-served; err != nil {
			t.Errorf("mcptest: serve: %v", err)
		}
	})
	return client
}

// olderOffer makes the client's initialize offer another revision than the newest
// with sessions, which the client would offer by itself.
type olderOffer struct {
	io.WriteCloser
	version mcp.Version
}

func (o *olderOffer) Write(p []byte) (int, error) {
	if !bytes.Contains(p, []byte(`"method":"initialize"`)) {
		return o.WriteCloser.Write(p)
	}
	// Revisions are all as long, so the count of bytes stays true.
	return o.WriteCloser.Write(bytes.Replace(p, []byte(mcp.LatestLegacyVersion), []byte(o.version), 1))
}
