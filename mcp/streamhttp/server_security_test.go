package streamhttp_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/mcp/streamhttp"
)

func TestOriginAndHost(t *testing.T) {
	e := serve(t, &streamhttp.HandlerOptions{
		AllowedOrigins: []string{"https://App.example"},
		AllowedHosts:   []string{"mcp.example"},
	})
	for _, tc := range []struct {
		name    string
		headers []string
		ok      bool
	}{
		{"none", nil, true},
		{"loopback origin", []string{"Origin: http://localhost:6274"}, true},
		{"loopback address", []string{"Origin: http://127.0.0.1:1"}, true},
		{"loopback IPv6", []string{"Origin: http://[::1]:1"}, true},
		{"listed", []string{"Origin: https://app.example"}, true},
		{"foreign", []string{"Origin: https://evil.example"}, false},
		{"listed with another scheme", []string{"Origin: http://app.example"}, false},
		{"listed with a port", []string{"Origin: https://app.example:444"}, false},
		{"null", []string{"Origin: null"}, false},
		{"loopback as a prefix", []string{"Origin: http://localhost.evil.example"}, false},
		{"loopback as user", []string{"Origin: http://localhost@evil.example"}, false},
		{"no scheme", []string{"Origin: localhost"}, false},
		{"two origins", []string{"Origin: http://localhost", "Origin: https://evil.example"}, false},
		{"host localhost", []string{"Host: localhost:99"}, true},
		{"host IPv6", []string{"Host: [::1]:99"}, true},
		{"host bare IPv6", []string{"Host: [::1]"}, true},
		{"host listed", []string{"Host: MCP.example"}, true},
		{"host rebound", []string{"Host: evil.example:8080"}, false},
		{"host as a prefix", []string{"Host: 127.0.0.1.evil.example"}, false},
		{"host private", []string{"Host: 10.0.0.1"}, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for _, method := range []string{"GET", "POST", "DELETE", "OPTIONS", "PUT"} {
				got := e.do(t, method, `{}`, tc.headers...)
				if ok := got.status != http.StatusForbidden; ok != tc.ok {
					t.Errorf("%s: got %d, want admission to be %v", method, got.status, tc.ok)
				}
				if got.status == http.StatusForbidden && got.header.Get("Access-Control-Allow-Origin") != "" {
					t.Errorf("%s: a refused origin may read the answer", method)
				}
			}
		})
	}
}

func TestHostElsewhere(t *testing.T) {
	// Not on a loopback address: httptest's recorder has no local address.
	for _, tc := range []struct {
		opts         *streamhttp.HandlerOptions
		host, origin string
		refused      bool
	}{
		{nil, "anything.example", "", false},
		{nil, "anything.example", "http://localhost", true},
		{&streamhttp.HandlerOptions{AllowedHosts: []string{"mcp.example"}}, "mcp.example:443", "", false},
		{&streamhttp.HandlerOptions{AllowedHosts: []string{"mcp.example"}}, "other.example", "", true},
		{&streamhttp.HandlerOptions{AllowedHosts: []string{"mcp.example"}}, "localhost", "", true},
	} {
		r := httptest.NewRequest("PUT", "/mcp", nil)
		r.Host = tc.host
		if tc.origin != "" {
			r.Header.Set("Origin", tc.origin)
		}
		w := httptest.NewRecorder()
		streamhttp.NewHandler(newFixture(), tc.opts).ServeHTTP(w, r)
		if refused := w.Code == http.StatusForbidden; refused != tc.refused {
			t.Errorf("%+v: got %d", tc, w.Code)
		}
	}
}

func TestCORS(t *testing.T) {
	e := serve(t, nil)
	origin := "Origin: http://localhost:6274"
	got := e.do(t, "OPTIONS", "", origin, "Access-Control-Request-Method: POST",
		"Access-Control-Request-Headers: content-type, mcp-param-region, x-other, mcp-param-(bad")
	allow := got.header.Get("Access-Control-Allow-Headers")
	if got.status != 204 || got.header.Get("Access-Control-Allow-Origin") != "http://localhost:6274" ||
		!strings.Contains(allow, "Mcp-Method") || !strings.HasSuffix(allow, ", mcp-param-region") {
		t.Errorf("preflight: got %d %v", got.status, got.header)
	}
	if vary := strings.Join(got.header.Values("Vary"), ","); !strings.Contains(vary, "Origin") || !strings.Contains(vary, "Access-Control-Request-Headers") {
		t.Errorf("Vary is %q", vary)
	}
	got = e.callModern(t, "echo", origin)
	if got.status != 200 || !strings.Contains(got.header.Get("Access-Control-Expose-Headers"), "Mcp-Session-Id") || got.header.Get("Vary") != "Origin" {
		t.Errorf("call: got %d %v", got.status, got.header)
	}
	if got := e.callModern(t, "echo"); got.header.Get("Access-Control-Allow-Origin") != "" {
		t.Error("without an origin there is nothing to allow")
	}
}

func TestAuthenticate(t *testing.T) {
	e := serve(t, &streamhttp.HandlerOptions{Authenticate: ofAda})
	got := e.callModern(t, "who")
	if got.status != 401 || got.header.Get("Www-Authenticate") != "Bearer" || strings.Contains(got.body, "tokens") {
		t.Errorf("got %d %v %s", got.status, got.header, got.body)
	}
	if got := e.callModern(t, "who", "Authorization: Bearer good"); !strings.Contains(got.body, `"ada"`) {
		t.Errorf("got %s", got.body)
	}
	if got := e.callModern(t, "who", "Authorization: Bearer good", "Authorization: Bearer bad"); got.status != 400 {
		t.Errorf("two credentials: got %d", got.status)
	}
}

func ofAda(r *http.Request) (mcp.Principal, error) {
	if r.Header.Get("Authorization") != "Bearer good" {
		return mcp.Principal{}, errors.New("the token store says /var/lib/tokens is missing it")
	}
	return mcp.Principal{Subject: "ada"}, nil
}

// TestRefusedBody holds a stranger who sends slowly to the same time as everybody.
func TestRefusedBody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := serveInMemory(t, &streamhttp.HandlerOptions{Authenticate: ofAda, BodyTimeout: time.Second})
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		req := e.request(t, ctx, http.MethodPost, "")
		req.Body, req.ContentLength = stuck{strings.NewReader("{"), ctx}, 100
		before := time.Now()
		resp, err := e.client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = resp.Body.Close() }()
		if d := time.Since(before); resp.StatusCode != 401 || d > time.Second {
			t.Errorf("got %d after %v", resp.StatusCode, d)
		}
	})
}

func TestBodyLimit(t *testing.T) {
	opts := &streamhttp.HandlerOptions{}
	opts.Limits.MaxBytes = 1000
	e := serve(t, opts)
	body, headers := callOf("echo")
	fill := func(n int) string { return body + strings.Repeat(" ", n-len(body)) }
	for _, tc := range []struct {
		name    string
		size    int
		chunked bool
		status  int
	}{
		{"at the limit", 1000, false, 200},
		{"over it", 1001, false, 413},
		{"at the limit, chunked", 1000, true, 200},
		{"over it, chunked", 1001, true, 413},
		{"far over it, chunked", 100_000, true, 413},
	} {
		t.Run(tc.name, func(t *testing.T) {
			req := e.request(t, t.Context(), "POST", fill(tc.size), headers...)
			if tc.chunked {
				req.ContentLength = -1
			}
			got := e.send(t, req)
			if got.status != tc.status || tc.status == 413 && !strings.Contains(got.body, `"error"`) {
				t.Errorf("got %d %s, want %d", got.status, got.body, tc.status)
			}
		})
	}
}
