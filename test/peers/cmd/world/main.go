// Command world is one server with a little of every feature, written on each Go
// SDK. The interoperability tests hold our client against the others, and their
// clients against ours.
//
//	world -kind fairlead|gosdk|mcpgo [-addr HOST:PORT]
//
// With -addr it serves HTTP at /mcp, without it stdio.
package main

import (
	"flag"
	"fmt"
	"net/http"
	"os"
	"sync/atomic"
	"time"
)

// What the servers have in common.
const (
	noteURI   = "test://note"
	blobURI   = "test://blob"
	itemURI   = "test://item/{id}"
	pageSize  = 4
	helpText  = "Look around."
	pageToSee = "https://example.com/sign-in"
)

var bytesOf = []byte{0, 1, 254, 255}

// begun and ended count the calls of the tool hang, and those that were cancelled.
var begun, ended atomic.Int64

// hung is what the tool ended says.
func hung() string { return fmt.Sprint(begun.Load(), " ", ended.Load()) }

var wire string // where to record

// settle lets notifications arrive before the result that follows: mcp-go's server
// sends them from another goroutine, so that the result would overtake them, and the
// TypeScript SDK's client forgets a call's progress that it reads together with its result.
func settle() { time.Sleep(50 * time.Millisecond) }

type peer struct {
	handler func() http.Handler
	stdio   func() error
}

var peers = map[string]peer{
	"fairlead": {fairleadHandler, fairleadStdio},
	"gosdk":    {goSDKHandler, goSDKStdio},
	"mcpgo":    {mcpGoHandler, mcpGoStdio},
}

func main() {
	kind := flag.String("kind", "fairlead", "fairlead, gosdk or mcpgo")
	addr := flag.String("addr", "", "serve HTTP here; empty means stdio")
	flag.StringVar(&wire, "wire", "", "record what passes on stdio to this file; only for fairlead")
	flag.Parse()
	p, ok := peers[*kind]
	if !ok {
		fmt.Fprintf(os.Stderr, "unknown kind %q\n", *kind)
		os.Exit(2)
	}
	var err error
	if *addr == "" {
		err = p.stdio()
	} else {
		mux := http.NewServeMux()
		mux.Handle("/mcp", p.handler())
		err = http.ListenAndServe(*addr, mux)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
