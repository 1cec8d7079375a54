package streamhttp_test

import (
	"bytes"
	"io"
	"net/http"
	"testing"

	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/mcp/jsonrpc"
	"github.com/fairlead-mcp/fairlead/mcp/mcptest"
	"github.com/fairlead-mcp/fairlead/mcp/streamhttp"
)

// roundTripper answers requests without a network.
type roundTripper func(*http.Request) *http.Response

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		_, _ = io.Copy(io.Discard, r.Body)
		_ = r.Body.Close()
	}
	return f(r), nil
}

// FuzzClientAnswer gives the client arbitrary answers. The first request has id 1.
func FuzzClientAnswer(f *testing.F) {
	f.Add(200, false, []byte(`{"jsonrpc":"2.0","id":1,"result":{"resultType":"complete","tools":[{"name":"a","inputSchema":{"x-mcp-header":"A"}}]}}`))
	f.Add(400, false, []byte(`{"jsonrpc":"2.0","id":null,"error":{"code":-32020,"message":"no"}}`))
	f.Add(200, true, []byte("data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\"params\":{\"progressToken\":1,\"progress\":1}}\n\n"+
		"data: {\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}\n\n"))
	f.Fuzz(func(t *testing.T, status int, stream bool, body []byte) {
		kind := "application/json"
		if stream {
			kind = "text/event-stream"
		}
		c := streamhttp.NewClient("http://server.example/mcp", &streamhttp.ClientOptions{
			Era:    streamhttp.EraModern,
			Limits: &jsonrpc.Limits{MaxBytes: 4096},
			HTTPClient: &http.Client{Transport: roundTripper(func(r *http.Request) *http.Response {
				return &http.Response{
					StatusCode: 200 + (status&0xffff)%300, Header: http.Header{"Content-Type": {kind}}, Request: r,
					Body: io.NopCloser(bytes.NewReader(body)), ProtoMajor: 1, ProtoMinor: 1, ContentLength: -1,
				}
			})},
		})
		defer func() { _ = c.Close(t.Context()) }()
		req := listTools()
		req.Meta.ProgressToken = []byte(`"mine"`)
		var sink mcptest.Recorder
		res, err := c.Handle(t.Context(), req, &sink)
		switch {
		case err != nil && (res.Body != nil || res.Type != ""):
			t.Fatalf("a result %s beside the error %v", res.Body, err)
		case err == nil && jsonrpc.Valid(res.Body, nil) != nil:
			t.Fatalf("result %q is not JSON", res.Body)
		}
		for _, n := range sink.Notes() {
			if n.Params != "" && jsonrpc.Valid([]byte(n.Params), nil) != nil {
				t.Fatalf("notification %q is not JSON", n.Params)
			}
			if n.Method == mcp.NotificationProgress && string(jsonrpc.Get([]byte(n.Params), "progressToken")) != `"mine"` {
				t.Fatalf("progress %s of somebody else", n.Params)
			}
		}
	})
}
