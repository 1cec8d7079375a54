package streamhttp_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/mcp/streamhttp"
)

// BenchmarkServeModern is what the edge adds to a call, without net/http.
func BenchmarkServeModern(b *testing.B) {
	res := mcp.Result{Body: []byte(`{"content":[{"type":"text","text":"ok"}]}`)}
	h := streamhttp.NewHandler(mcp.HandlerFunc(func(_ context.Context, _ *mcp.Request, _ mcp.Sink) (mcp.Result, error) {
		return res, nil
	}), nil)
	body, headers := callOf("echo")
	r := (&endpoint{url: "http://localhost"}).request(b, b.Context(), http.MethodPost, body, headers...)
	text := strings.NewReader(body)
	r.Body = io.NopCloser(text)
	w := &timed{sink{header: http.Header{}}}
	b.ReportAllocs()
	for b.Loop() {
		text.Reset(body)
		clear(w.header)
		h.ServeHTTP(w, r)
	}
}

// timed is a ResponseWriter with deadlines, as those of net/http are.
type timed struct{ sink }

func (*timed) SetReadDeadline(time.Time) error { return nil }

// BenchmarkServeSession is what the edge adds to a call of a session.
func BenchmarkServeSession(b *testing.B) {
	res := mcp.Result{Body: []byte(`{"content":[{"type":"text","text":"ok"}]}`)}
	h := streamhttp.NewHandler(mcp.HandlerFunc(func(context.Context, *mcp.Request, mcp.Sink) (mcp.Result, error) {
		return res, nil
	}), nil)
	e := &endpoint{url: "http://localhost"}
	w := &timed{sink{header: http.Header{}}}
	h.ServeHTTP(w, e.request(b, b.Context(), http.MethodPost, initializeOf("2025-11-25")))
	session := w.header.Get("Mcp-Session-Id")
	if session == "" {
		b.Fatal("no session")
	}
	body := legacyCall("1", "tools/call", `"name":"echo","arguments":{}`)
	r := e.request(b, b.Context(), http.MethodPost, body, "Mcp-Session-Id: "+session, "Mcp-Protocol-Version: 2025-11-25")
	text := strings.NewReader(body)
	r.Body = io.NopCloser(text)
	b.ReportAllocs()
	for b.Loop() {
		text.Reset(body)
		clear(w.header)
		h.ServeHTTP(w, r)
	}
}
