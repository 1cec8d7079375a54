package upstream_test

import (
	"context"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/fairlead-mcp/fairlead/internal/upstream"
	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/mcp/streamhttp"
)

// TestRestartEndsRemoteCalls restarts remote servers of both eras in the middle of a
// call that nothing else would end: its caller is told.
func TestRestartEndsRemoteCalls(t *testing.T) {
	for _, era := range []upstream.Era{upstream.EraModern, upstream.EraLegacy} {
		server := newServer()
		began := make(chan struct{}, 1)
		release := make(chan struct{})
		h := mcp.HandlerFunc(func(ctx context.Context, req *mcp.Request, sink mcp.Sink) (mcp.Result, error) {
			if req.Method == mcp.MethodCallTool {
				began <- struct{}{}
				<-release // whether its client has gone or not
				return mcp.Result{}, nil
			}
			return server.Handle(ctx, req, sink)
		})
		handler := streamhttp.NewHandler(h, nil)
		srv := httptest.NewServer(handler)
		u := upstream.New("u", upstream.Spec{URL: srv.URL, Era: era}, nil)
		stop := run(t, u)
		<-u.Listed()
		got := make(chan error, 1)
		go func() { // ends with the call
			ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
			defer cancel()
			_, err := u.Handle(ctx, callRequest("echo", `{}`), mcp.Discard)
			got <- err
		}()
		<-began
		u.Restart()
		if err := <-got; class(err) != string(upstream.Unavailable) {
			t.Errorf("%s: %v", era, err)
		}
		close(release)
		stop()
		_ = handler.Close(t.Context())
		srv.Close()
	}
}
