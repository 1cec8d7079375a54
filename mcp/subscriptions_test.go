package mcp_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/google/go-cmp/cmp"
)

func subscribed(t *testing.T) *mcp.Server {
	s := mcp.NewServer("s", "1", nil)
	addOut(t, s, "t", "x")
	must(t, s.AddResource(mcp.Resource{URI: "x:1", Name: "1"}, func(context.Context, *mcp.Call, string) ([]mcp.ResourceContents, error) { return nil, nil }))
	return s
}

const ack = `{"jsonrpc":"2.0","method":"notifications/subscriptions/acknowledged","params":{"notifications":`

func TestServerListen(t *testing.T) {
	s := subscribed(t)
	sink := &recorder{}
	res, err := s.Handle(t.Context(), request(t, "subscriptions/listen",
		`{"notifications":{"toolsListChanged":true,"promptsListChanged":true,"resourceSubscriptions":["x:2","x:1","x:2"]}}`), sink)
	if err != nil || !res.Stream {
		t.Fatalf("listen: got %+v, %v, want a stream", res, err)
	}
	// No prompts are declared, so that is left out of what is honoured.
	if diff := cmp.Diff([]string{ack + `{"toolsListChanged":true,"resourceSubscriptions":["x:1","x:2"]}}}`}, sink.take()); diff != "" {
		t.Errorf("acknowledgement (-want +got):\n%s", diff)
	}
	s.ResourceUpdated("x:1")
	s.ResourceUpdated("x:3")
	s.RemoveResources("x:1") // not asked for
	addOut(t, s, "u", "x")
	s.RemoveTools("nobody")
	s.RemoveTools("t", "u")
	want := []string{
		`{"jsonrpc":"2.0","method":"notifications/resources/updated","params":{"uri":"x:1"}}`,
		`{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}`,
		`{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}`,
	}
	if diff := cmp.Diff(want, sink.take()); diff != "" {
		t.Errorf("notifications (-want +got):\n%s", diff)
	}

	s.Close()
	if len(sink.ended) != 1 || !strings.Contains(string(sink.ended[0].Body), mcp.MetaServerInfo) {
		t.Errorf("Close ended the stream with %+v", sink.ended)
	}
	s.ResourceUpdated("x:2")
	if notes := sink.take(); len(notes) > 0 {
		t.Errorf("notifications after the end: %v", notes)
	}
	res, err = s.Handle(t.Context(), request(t, "subscriptions/listen", `{"notifications":{}}`), sink)
	if err != nil || res.Stream || len(sink.take()) != 1 {
		t.Errorf("listen on a closed server: got %+v, %v, want an acknowledgement and a result", res, err)
	}
}

func TestListenEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := subscribed(t)
		sink := &recorder{}
		ctx, cancel := context.WithCancel(t.Context())
		if _, err := s.Handle(ctx, request(t, "subscriptions/listen", `{"notifications":{"toolsListChanged":true,"resourceSubscriptions":["x:1"]}}`), sink); err != nil {
			t.Fatal(err)
		}
		sink.take()
		cancel()
		synctest.Wait()
		addOut(t, s, "u", "x")
		s.ResourceUpdated("x:1")
		s.Close()
		if notes := sink.take(); len(notes) > 0 || len(sink.ended) > 0 {
			t.Errorf("a cancelled subscription got %v and %v", notes, sink.ended)
		}
	})
}

// changing is a Sink that changes the server while the acknowledgement is written.
type changing struct {
	recorder
	change func()
}

func (c *changing) Notify(n *mcp.Notification) error {
	err := c.recorder.Notify(n)
	if change := c.change; change != nil {
		c.change = nil
		change()
	}
	return err
}

func TestNoChangeIsLostBehindTheAcknowledgement(t *testing.T) {
	s := subscribed(t)
	sink := &changing{change: func() { s.ResourceUpdated("x:1") }}
	if _, err := s.Handle(t.Context(), request(t, "subscriptions/listen", `{"notifications":{"resourceSubscriptions":["x:1"]}}`), sink); err != nil {
		t.Fatal(err)
	}
	want := []string{
		ack + `{"resourceSubscriptions":["x:1"]}}}`,
		`{"jsonrpc":"2.0","method":"notifications/resources/updated","params":{"uri":"x:1"}}`,
	}
	if diff := cmp.Diff(want, sink.take()); diff != "" {
		t.Errorf("notifications (-want +got):\n%s", diff)
	}
}

func TestListenRefuses(t *testing.T) {
	s := subscribed(t)
	for _, params := range []string{
		`{}`, `{"notifications":1}`, `{"notifications":{"toolsListChanged":"yes"}}`, `{"notifications":{"resourceSubscriptions":[1]}}`,
		`{"notifications":{"resourceSubscriptions":["a"` + strings.Repeat(`,"a"`, 1024) + `]}}`,
	} {
		_, err := s.Handle(t.Context(), request(t, "subscriptions/listen", params), mcp.Discard)
		if !errors.Is(err, &mcp.Error{Code: -32602}) {
			t.Errorf("listen %.60s: got %v, want -32602", params, err)
		}
	}
}
