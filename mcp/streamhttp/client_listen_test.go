package streamhttp_test

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/mcp/mcptest"
	"github.com/fairlead-mcp/fairlead/mcp/streamhttp"
	"github.com/google/go-cmp/cmp"
)

const (
	subscriptionMeta = `"_meta":{"io.modelcontextprotocol/subscriptionId":ID}`
	ack              = `{"jsonrpc":"2.0","method":"notifications/subscriptions/acknowledged","params":{` + subscriptionMeta + `,"notifications":{"toolsListChanged":true}}}`
	toolsChanged     = `{"jsonrpc":"2.0","method":"notifications/tools/list_changed","params":{` + subscriptionMeta + `}}`
	listenEnd        = `{"jsonrpc":"2.0","id":ID,"result":{"resultType":"complete",` + subscriptionMeta + `}}`
)

func listenRequest() *mcp.Request {
	return request("subscriptions/listen", "", `{"notifications":{"toolsListChanged":true}}`)
}

func TestClientListen(t *testing.T) {
	more := make(chan string)
	url := fake(t, modern(func(x *exchange) {
		x.stream(
			toolsChanged, // too early
			ack,
			`{"jsonrpc":"2.0","method":"notifications/tools/list_changed","params":{"_meta":{"io.modelcontextprotocol/subscriptionId":999}}}`,
			`{"jsonrpc":"2.0","id":1,"method":"ping"}`,
			ack, // once is enough
		)
		for e := range more {
			x.stream(e)
		}
	}))
	var sink mcptest.Recorder
	res, err := dial(t, url, nil).Handle(t.Context(), listenRequest(), &sink)
	if err != nil || !res.Stream {
		t.Fatalf("Handle = %+v, %v", res, err)
	}
	acked := mcptest.Note{Method: "notifications/subscriptions/acknowledged", Params: `{"notifications":{"toolsListChanged":true}}`}
	if diff := cmp.Diff(acked, sink.Notes()[0]); diff != "" {
		t.Errorf("acknowledgement before Handle returns (-want +got):\n%s", diff)
	}
	more <- toolsChanged
	more <- listenEnd
	close(more)
	if _, err := sink.WaitEnd(t.Context()); err != nil {
		t.Errorf("end: %v", err)
	}
	if diff := cmp.Diff([]mcptest.Note{acked, {Method: "notifications/tools/list_changed"}}, sink.Notes()); diff != "" {
		t.Errorf("notifications (-want +got):\n%s", diff)
	}
}

func TestClientListenEnds(t *testing.T) {
	for _, tt := range []struct {
		name string
		end  func(cancel func(), c *streamhttp.Client, server chan bool)
		want error
	}{
		{"context", func(cancel func(), _ *streamhttp.Client, _ chan bool) { cancel() }, context.Canceled},
		{"Close", func(_ func(), c *streamhttp.Client, _ chan bool) { _ = c.Close(context.Background()) }, mcp.ErrClosed},
		{"lost", func(_ func(), _ *streamhttp.Client, server chan bool) { close(server) }, mcp.ErrClosed},
	} {
		t.Run(tt.name, func(t *testing.T) {
			server := make(chan bool)
			url := fake(t, modern(func(x *exchange) {
				x.stream(ack)
				select {
				case <-server:
				case <-x.r.Context().Done():
				}
			}))
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			c := dial(t, url, nil)
			var sink mcptest.Recorder
			if _, err := c.Handle(ctx, listenRequest(), &sink); err != nil {
				t.Fatal(err)
			}
			tt.end(cancel, c, server)
			if _, err := sink.WaitEnd(t.Context()); !errors.Is(err, tt.want) {
				t.Errorf("end %v, want %v", err, tt.want)
			}
		})
	}
}

func TestClientListenRefused(t *testing.T) {
	for name, answer := range map[string]func(x *exchange){
		"error":                    func(x *exchange) { x.fail(404, -32601, `null`) },
		"status":                   func(x *exchange) { x.WriteHeader(500) },
		"end before the beginning": func(x *exchange) { x.stream(toolsChanged) },
	} {
		var sink mcptest.Recorder
		res, err := dial(t, fake(t, modern(answer)), nil).Handle(t.Context(), listenRequest(), &sink)
		if err == nil || res.Stream || len(sink.Notes()) > 0 {
			t.Errorf("%s: %+v, %v, %v", name, res, err, sink.Notes())
		}
	}
	// A result instead of a stream is an end at once.
	res, err := dial(t, fake(t, modern(func(x *exchange) { x.stream(listenEnd) })), nil).Handle(t.Context(), listenRequest(), mcp.Discard)
	if err != nil || res.Stream {
		t.Errorf("ended at once: %+v, %v", res, err)
	}
	// No acknowledgement comes.
	c := dial(t, fake(t, modern(func(x *exchange) { x.stream(); x.ResponseWriter.(http.Flusher).Flush(); x.gone() })),
		&streamhttp.ClientOptions{Timeout: 50 * time.Millisecond})
	if _, err := c.Handle(t.Context(), listenRequest(), mcp.Discard); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("no acknowledgement: %v", err)
	}
}
