package http1_test

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"testing"

	"github.com/fairlead-mcp/fairlead/mcp/internal/http1"
)

// answering is a server that answers each read of a request with the same response.
// It allocates nothing, so that what a benchmark counts is the client's.
func answering(b *testing.B) string {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = ln.Close() })
	answer := []byte("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nDate: Tue, 01 Dec 2026 00:00:00 GMT\r\nContent-Length: 200\r\n\r\n")
	answer = append(answer, bytes.Repeat([]byte("x"), 200)...)
	go func() { // ends with the listener
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func() { // ends with the connection
				defer c.Close()
				buf := make([]byte, 16<<10)
				for {
					if _, err := c.Read(buf); err != nil {
						return
					}
					if _, err := c.Write(answer); err != nil {
						return
					}
				}
			}()
		}
	}()
	return ln.Addr().String()
}

// BenchmarkExchange is one exchange over a kept connection.
func BenchmarkExchange(b *testing.B) {
	c := http1.New(answering(b), nil)
	defer c.Close()
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	req := request(string(bytes.Repeat([]byte("y"), 200)))
	b.ReportAllocs()
	for b.Loop() {
		res, err := c.Do(ctx, req)
		if err != nil {
			b.Fatal(err)
		}
		if body, err := res.ReadAll(1 << 20); err != nil || len(body) != 200 {
			b.Fatal(len(body), err)
		}
		_ = res.Close()
	}
}

// BenchmarkNetHTTP is the same by net/http.
func BenchmarkNetHTTP(b *testing.B) {
	url := "http://" + answering(b)
	client := http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	text := bytes.Repeat([]byte("y"), 200)
	b.ReportAllocs()
	for b.Loop() {
		req, _ := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(text))
		res, err := client.Do(req)
		if err != nil {
			b.Fatal(err)
		}
		if body, err := io.ReadAll(res.Body); err != nil || len(body) != 200 {
			b.Fatal(len(body), err)
		}
		_ = res.Body.Close()
	}
}
