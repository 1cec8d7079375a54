package mcp_test

import (
	"context"
	"net"
	"net/http"
	"testing"

	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/mcp/streamhttp"
)

// listSource serves a server with a tool at an address until it is stopped, with all
// that it knows of its clients forgotten.
func listSource(t *testing.T, addr string) (s *mcp.Server, at string, stop func()) {
	t.Helper()
	s = mcp.NewServer("source", "1", nil)
	addTool := func(name string) {
		if err := mcp.AddTool(s, mcp.Tool{Name: name}, func(context.Context, *mcp.Call, struct{}) (string, error) { return "", nil }); err != nil {
			t.Fatal(err)
		}
	}
	addTool("one")
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	web := &http.Server{Handler: streamhttp.NewHandler(s, nil)}
	served := make(chan error, 1)
	go func() { served <- web.Serve(l) }() // until stop
	return s, l.Addr().String(), func() {
		_ = web.Close()
		<-served
	}
}

// A watch over real connections comes back when the server does, tells of what may
// have changed, and hears what changes from then on.
func TestWatchOutlivesItsServer(t *testing.T) {
	for name, era := range map[string]streamhttp.Era{"modern": streamhttp.EraModern, "legacy": streamhttp.EraLegacy} {
		t.Run(name, func(t *testing.T) {
			_, addr, stop := listSource(t, "127.0.0.1:0")
			remote := streamhttp.NewClient("http://"+addr, &streamhttp.ClientOptions{Era: era})
			defer remote.Close(context.Background())
			c := mcp.NewClient("c", "1", remote, nil)
			events, lost := make(chan mcp.Event, 9), make(chan error, 99)
			w, err := c.Watch(t.Context(), mcp.NotificationFilter{ToolsListChanged: true},
				func(e mcp.Event) { events <- e }, &mcp.WatchOptions{OnLost: func(err error) { lost <- err }})
			if err != nil {
				t.Fatal(err)
			}
			defer w.Close()
			stop()
			s, _, stop := listSource(t, addr)
			defer stop()
			<-lost
			if e := <-events; e.Method != mcp.NotificationToolsListChanged {
				t.Errorf("event %+v", e)
			}
			if err := mcp.AddTool(s, mcp.Tool{Name: "two"}, func(context.Context, *mcp.Call, struct{}) (string, error) { return "", nil }); err != nil {
				t.Fatal(err)
			}
			<-events
			tools, err := c.ListTools(t.Context())
			if err != nil || len(tools) != 2 {
				t.Errorf("%d tools, %v", len(tools), err)
			}
		})
	}
}
