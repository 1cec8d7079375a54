// Command server is one tool server, written on each SDK: echo {text} -> {text}
// and add {a, b} -> {sum}. The comparison and the interoperability tests run it.
//
//	server -kind bare|gosdk|mcpgo|fairlead|proxy [-addr HOST:PORT]
//
// With -addr it serves HTTP at /mcp, without it stdio. SIGUSR1 prints one line of
// memory statistics to standard error, SIGUSR2 gives unused memory back to the kernel.
package main

import (
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"syscall"

	"github.com/fairlead-mcp/fairlead/mcp/streamhttp"
)

// peer is the server on one SDK.
type peer struct {
	handler func() http.Handler
	stdio   func() error
}

var peers = map[string]peer{
	"bare":     {bareHandler, bareStdio},
	"gosdk":    {goSDKHandler, goSDKStdio},
	"mcpgo":    {mcpGoHandler, mcpGoStdio},
	"fairlead": {fairleadHandler, fairleadStdio},
	"proxy":    {proxyHandler, proxyStdio},
}

func main() {
	kind := flag.String("kind", "fairlead", "bare, gosdk, mcpgo, fairlead or proxy")
	addr := flag.String("addr", "", "serve HTTP here; empty means stdio")
	flag.Parse()
	p, ok := peers[*kind]
	if !ok {
		fmt.Fprintf(os.Stderr, "unknown kind %q\n", *kind)
		os.Exit(2)
	}
	reportMemory()
	if err := serve(p, *addr); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func serve(p peer, addr string) error {
	if addr == "" {
		return p.stdio()
	}
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "listening %s\n", ln.Addr())
	mux := http.NewServeMux()
	mux.Handle("/mcp", p.handler())
	return (&http.Server{Handler: mux, ConnContext: streamhttp.ConnContext}).Serve(ln)
}

// reportMemory answers SIGUSR1 and SIGUSR2 for as long as the process lives.
func reportMemory() {
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGUSR1, syscall.SIGUSR2)
	go func() { // ends with the process
		for which := range c {
			if which == syscall.SIGUSR2 {
				debug.FreeOSMemory()
				fmt.Fprintln(os.Stderr, "freed")
				continue
			}
			runtime.GC()
			runtime.GC()
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			fmt.Fprintf(os.Stderr, "memory %d %d %d %d\n", m.Mallocs, m.TotalAlloc, m.HeapInuse+m.StackInuse, runtime.NumGoroutine())
		}
	}()
}
