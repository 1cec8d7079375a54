// Command world is one server with a little of every feature, written on each Go
// SDK. The interoperability tests hold our client against the others, and their
// clients against ours.
//
//	world -kind fairlead|gosdk|mcpgo [-addr HOST:PORT]
//	world -revision 2025-03-26 COMMAND [ARGS...]
//
// With -addr it serves HTTP at /mcp, and HTTP+SSE at /sse, without it stdio. With
// -revision it runs another server on stdio as one of that revision.
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
	handler func() (mcp, sse http.Handler)
	stdio   func() error
}

// grown counts what the tool grow has added: each is a tool of another name.
var grown atomic.Int64

func grow() string { return fmt.Sprint("grown", grown.Add(1)) }

var peers = map[string]peer{
	"fairlead": {fairleadHandler, fairleadStdio},
	"gosdk":    {goSDKHandler, goSDKStdio},
	"mcpgo":    {mcpGoHandler, mcpGoStdio},
}

func main() {
	kind := flag.String("kind", "fairlead", "fairlead, gosdk or mcpgo")
	addr := flag.String("addr", "", "serve HTTP here; empty means stdio")
	flag.StringVar(&wire, "wire", "", "record what passes on stdio to this file; only for fairlead")
	revision := flag.String("revision", "", "run the command that follows as a server of this revision")
	flag.Parse()
	if *revision != "" {
		if err := speak(*revision, flag.Args()); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
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
		streamable, sse := p.handler()
		mux.Handle("/mcp", streamable)
		mux.Handle("/sse", sse)
		mux.Handle("/message", sse) // where mcp-go's clients post to
		err = http.ListenAndServe(*addr, mux)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
