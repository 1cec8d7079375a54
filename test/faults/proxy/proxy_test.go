package proxy_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/fairlead-mcp/fairlead/test/faults/proxy"
)

// TestFaults asks a server through each fault and looks at what comes of it.
func TestFaults(t *testing.T) {
	body := strings.Repeat("x", 2000)
	origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, body) }))
	defer origin.Close()
	p, err := proxy.Listen("127.0.0.1:0", origin.Listener.Addr().String(), 1)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	// get asks on a connection of its own, and gives up after a moment: silence is an outcome.
	get := func(patience time.Duration) (status int, got string, err error) {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.Addr(), nil)
		if err != nil {
			t.Fatal(err)
		}
		tr := &http.Transport{DisableKeepAlives: true}
		defer tr.CloseIdleConnections()
		res, err := tr.RoundTrip(req)
		if err != nil {
			return 0, "", err
		}
		defer res.Body.Close()
		b, err := io.ReadAll(res.Body)
		return res.StatusCode, string(b), err
	}
	silent := func(err error) bool { return errors.Is(err, context.DeadlineExceeded) || os.IsTimeout(err) }
	broken := func(err error) bool {
		return errors.Is(err, syscall.ECONNRESET) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
	}
	const long, short = 30 * time.Second, 200 * time.Millisecond
	for _, tc := range []struct {
		fault    proxy.Fault
		patience time.Duration
		want     func(status int, got string, err error) bool
	}{
		{proxy.Fault{}, long, func(s int, g string, err error) bool { return s == 200 && g == body }},
		{proxy.Fault{Kind: proxy.Delay, Wait: time.Millisecond}, long, func(s int, g string, err error) bool { return g == body }},
		{proxy.Fault{Kind: proxy.Loss, Share: 0.5, Wait: time.Millisecond}, long, func(s int, g string, err error) bool { return g == body }},
		{proxy.Fault{Kind: proxy.Rate, Bytes: 100_000}, long, func(s int, g string, err error) bool { return g == body }},
		{proxy.Fault{Kind: proxy.Reset}, long, func(_ int, _ string, err error) bool { return broken(err) }},
		{proxy.Fault{Kind: proxy.Half, Bytes: 500}, long, func(s int, g string, err error) bool { return s == 200 && broken(err) }},
		{proxy.Fault{Kind: proxy.Refuse}, long, func(_ int, _ string, err error) bool { return broken(err) }},
		{proxy.Fault{Kind: proxy.Answer, Raw: "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n"}, long, func(s int, g string, err error) bool { return s == 503 }},
		{proxy.Fault{Kind: proxy.Blackhole}, short, func(_ int, _ string, err error) bool { return silent(err) }},
		{proxy.Fault{Kind: proxy.HalfOpen}, short, func(_ int, _ string, err error) bool { return silent(err) }},
		{proxy.Fault{}, long, func(s int, g string, err error) bool { return s == 200 && g == body }},
	} {
		p.Set(tc.fault)
		if status, got, err := get(tc.patience); !tc.want(status, got, err) {
			t.Errorf("%+v: got %d, %d bytes, %v", tc.fault, status, len(got), err)
		}
	}
	if p.Asked("") != 1 || p.Asked("something") != 0 {
		t.Errorf("answered %d requests itself, want 1", p.Asked(""))
	}
}
