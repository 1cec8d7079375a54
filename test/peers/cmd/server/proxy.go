package main

import (
	"log"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"sync"
	"time"
)

// buffers is the pool of a tuned reverse proxy.
type buffers struct{ pool sync.Pool }

func (b *buffers) Get() []byte {
	if p, ok := b.pool.Get().(*[]byte); ok {
		return *p
	}
	return make([]byte, 32<<10)
}

func (b *buffers) Put(p []byte) { b.pool.Put(&p) }

// proxyHandler is httputil.ReverseProxy in front of the server at UPSTREAM, as fast
// as it can be made: kept connections for all callers, a pool of buffers, no log.
// It knows nothing of MCP.
func proxyHandler() http.Handler {
	target, err := url.Parse(os.Getenv("UPSTREAM"))
	if err != nil || target.Host == "" {
		log.Fatal("UPSTREAM is not the URL of a server")
	}
	return &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) },
		Transport: &http.Transport{
			MaxIdleConns: 4096, MaxIdleConnsPerHost: 4096, IdleConnTimeout: 90 * time.Second, DisableCompression: true,
		},
		BufferPool: &buffers{},
		ErrorLog:   log.New(os.Stderr, "", 0),
	}
}

func proxyStdio() error { log.Fatal("a proxy speaks HTTP"); return nil }
