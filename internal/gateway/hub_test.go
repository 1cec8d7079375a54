package gateway_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/mcp/jsonrpc"
	"github.com/google/go-cmp/cmp"
)

const (
	ack       = mcp.NotificationAcknowledged
	toolsMsg  = mcp.NotificationToolsListChanged + " "
	updatedAs = mcp.NotificationResourceUpdated + " "
)

func listen(t *testing.T, ctx context.Context, h mcp.Handler, filter string) *recorder {
	t.Helper()
	var r recorder
	res, err := h.Handle(ctx, request(mcp.MethodListen, `{"notifications":`+filter+`}`), &r)
	if err != nil || !res.Stream {
		t.Fatalf("listen %s: %+v, %v", filter, res, err)
	}
	return &r
}

func expect(t *testing.T, what string, r *recorder, want ...string) {
	t.Helper()
	synctest.Wait()
	if diff := cmp.Diff(want, r.take()); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

func TestSubscriptions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		alpha, beta := server("alpha"), server("beta")
		a := &member{name: "a", h: alpha}
		g, stop := newNode(t, nil, a, &member{name: "b", h: beta})
		defer stop()
		time.Sleep(time.Second) // past the changes of the first listing

		all := listen(t, t.Context(), g.Root(), `{"toolsListChanged":true,"resourceSubscriptions":["test://alpha","test://beta","test://nobody","test://alpha"]}`)
		expect(t, "acknowledgement", all, ack+` {"notifications":{"toolsListChanged":true,"resourceSubscriptions":["test://alpha","test://beta"]}}`)
		none := listen(t, t.Context(), one(t, g, "b"), `{}`)
		expect(t, "empty filter", none, ack+` {"notifications":{}}`)
		ctx, cancel := context.WithCancel(t.Context())
		short := listen(t, ctx, g.Root(), `{"resourceSubscriptions":["test://alpha"]}`)
		expect(t, "third stream", short, ack+` {"notifications":{"resourceSubscriptions":["test://alpha"]}}`)

		alpha.ResourceUpdated("test://alpha")
		expect(t, "update", all, updatedAs+`{"uri":"test://alpha"}`)
		expect(t, "update, third stream", short, updatedAs+`{"uri":"test://alpha"}`)
		cancel()
		synctest.Wait()
		alpha.ResourceUpdated("test://alpha")
		expect(t, "update with one left", all, updatedAs+`{"uri":"test://alpha"}`)
		expect(t, "after the end", short)

		// Changes of both upstreams within the window are one notification.
		alpha.RemoveTools("echo")
		beta.RemoveTools("echo")
		time.Sleep(time.Second)
		expect(t, "tools of both changed", all, toolsMsg)
		expect(t, "not asked for", none)

		a.cut()
		time.Sleep(time.Second)
		expect(t, "after a reconnection updates may be lost", all, updatedAs+`{"uri":"test://alpha"}`)
		alpha.ResourceUpdated("test://alpha")
		expect(t, "subscribed again", all, updatedAs+`{"uri":"test://alpha"}`)

		g.Close()
		if !all.ended || !none.ended || short.ended {
			t.Errorf("ended: %v %v %v; Close completes the open streams", all.ended, none.ended, short.ended)
		}
		if _, err := g.Root().Handle(t.Context(), request(mcp.MethodListen, `{"notifications":{}}`), mcp.Discard); err == nil {
			t.Error("a closed gateway takes a stream")
		}
	})
}

func TestListenFilterMustFit(t *testing.T) {
	g, _ := newNode(t, nil, &member{name: "a", h: server("alpha")})
	for _, params := range []string{
		`{}`, `{"notifications":7}`, `{"notifications":{"toolsListChanged":"yes"}}`,
		`{"notifications":{"resourceSubscriptions":"x"}}`, `{"notifications":{"resourceSubscriptions":[7]}}`,
	} {
		if e := refusal(t, g.Root(), request(mcp.MethodListen, params)); e.Code != jsonrpc.CodeInvalidParams {
			t.Errorf("%s: %v", params, e)
		}
	}
}
