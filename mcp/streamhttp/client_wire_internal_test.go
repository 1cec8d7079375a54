package streamhttp

// These tests are inside to give a client roots of certificates, and to see which
// of its two ways it takes.

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync/atomic"
	"testing"

	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/mcp/internal/http1"
)

func wireCall(method, name string) *mcp.Request {
	return &mcp.Request{Method: method, Name: name, Meta: mcp.Meta{Version: mcp.LatestVersion, Capabilities: []byte(`{}`)}}
}

// TestWireOrNetHTTP has a TLS server with and without HTTP/2: both answer, each by its way.
func TestWireOrNetHTTP(t *testing.T) {
	for _, http2 := range []bool{false, true} {
		var major atomic.Int64
		h := NewHandler(mcp.NewServer("s", "1", nil), nil)
		srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			major.Store(int64(r.ProtoMajor))
			h.ServeHTTP(w, r)
		}))
		srv.EnableHTTP2 = http2
		srv.StartTLS()
		defer srv.Close()
		roots := x509.NewCertPool()
		roots.AddCert(srv.Certificate())
		c := NewClient(srv.URL, nil)
		defer func() { _ = c.Close(context.Background()) }()
		config := &tls.Config{RootCAs: roots, ServerName: "example.com"}
		c.direct.conns = http1.New(srv.Listener.Addr().String(), &http1.Options{TLS: config})
		c.http.Transport.(*http.Transport).TLSClientConfig = config
		for range 2 {
			if _, err := c.Handle(t.Context(), wireCall(mcp.MethodDiscover, ""), mcp.Discard); err != nil {
				t.Fatalf("HTTP/2 %v: %v", http2, err)
			}
		}
		if (major.Load() == 2) != http2 || (c.wire() == nil) != http2 {
			t.Errorf("HTTP/2 %v: spoken HTTP/%d, own connections: %v", http2, major.Load(), c.wire() != nil)
		}
	}
}

// TestWireIsForPlainThings lists what only net/http does.
func TestWireIsForPlainThings(t *testing.T) {
	t.Setenv("HTTPS_PROXY", "") // what net/http has read of it once stays; there is none in tests
	for address, own := range map[string]bool{
		"http://a.example/mcp":       true,
		"https://a.example:8443?q=1": true,
		"http://[::1]:80/":           true,
		"http://user:pw@a.example/":  false,
		"http://b\u00fccher.example": false,
		"http://a.example:/":         false,
		"http://[fe80::1%25eth0]/":   false,
	} {
		u, err := url.Parse(address)
		if err != nil {
			t.Fatal(err)
		}
		if got := newWire(u, &ClientOptions{}) != nil; got != own {
			t.Errorf("%s: own connections %v, want %v", address, got, own)
		}
	}
	u := &url.URL{Scheme: "http", Host: "a.example"}
	for name, own := range map[string]bool{"Authorization": true, "X-Key": true, "Connection": false, "Host": false, "Mcp-Name": false, "Accept": false, "x-lower": false} {
		if got := newWire(u, &ClientOptions{Header: http.Header{name: {"v"}}}) != nil; got != own {
			t.Errorf("header %s: own connections %v, want %v", name, got, own)
		}
	}
	if newWire(u, &ClientOptions{Header: http.Header{"A": {"b\r\nC: d"}}}) != nil {
		t.Error("a header with a line break is taken")
	}
	if c := NewClient("http://a.example", &ClientOptions{HTTPClient: http.DefaultClient}); c.direct != nil {
		t.Error("who brings a client wants it used")
	}
}

// TestWireNeverCallsTwice has a server that takes a request on a kept connection and
// closes without an answer: a list is asked for again, a tool is not called again.
func TestWireNeverCallsTwice(t *testing.T) {
	for method, want := range map[string]int64{mcp.MethodListTools: 2, mcp.MethodCallTool: 1, mcp.MethodUpdateTask: 1, mcp.MethodCancelTask: 1} {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		var seen atomic.Int64
		go func() { // ends with the listener
			for conn := 0; ; conn++ {
				nc, err := ln.Accept()
				if err != nil {
					return
				}
				go func() { // ends with the connection
					defer nc.Close()
					r := bufio.NewReader(nc)
					for {
						req, err := http.ReadRequest(r)
						if err != nil {
							return
						}
						_, _ = io.Copy(io.Discard, req.Body)
						if req.Header.Get(headerMethod) != mcp.MethodDiscover {
							if seen.Add(1); conn == 0 {
								return
							}
						}
						const body = `{"jsonrpc":"2.0","id":null,"error":{"code":-32020,"message":"no"}}`
						_, _ = io.WriteString(nc, "HTTP/1.1 400 Bad\r\nContent-Type: application/json\r\nContent-Length: 66\r\n\r\n"+body)
					}
				}()
			}
		}()
		c := NewClient("http://"+ln.Addr().String(), nil)
		if _, err := c.Handle(t.Context(), wireCall(method, "x"), mcp.Discard); err == nil {
			t.Errorf("%s: no error", method)
		}
		if seen.Load() != want {
			t.Errorf("%s was sent %d times, want %d", method, seen.Load(), want)
		}
		_ = c.Close(context.Background())
	}
}
