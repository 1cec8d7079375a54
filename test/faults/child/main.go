// Child is an MCP server that does everything wrong that a server can do, when it
// is asked to. It is written by hand on encoding/json, so that nothing keeps it from it.
//
//	child [-era modern|legacy|both] [-http HOST:PORT] [-face FACE [-while FILE]] [-journal FILE]
//	child -library          the same on the library, with tools that panic and never end
//	child -sleep            does nothing, for ever: somebody's grandchild
package main

import (
	"flag"
	"log"
	"os"
	"time"
)

func main() {
	s := &server{cancelled: map[string]chan struct{}{}}
	flag.StringVar(&s.era, "era", "both", "what it speaks: modern, legacy or both")
	flag.StringVar(&s.face, "face", "", "what it does wrong by itself: crash, silent, pages, banner")
	flag.StringVar(&s.while, "while", "", "it does so only while this `FILE` is there")
	flag.StringVar(&s.journal, "journal", "", "append to this `FILE` what was asked for")
	addr := flag.String("http", "", "serve HTTP on `HOST:PORT` instead of stdio")
	cert := flag.String("cert", "", "with -http: PEM `FILE` with certificate and key, for TLS")
	library := flag.Bool("library", false, "be a server of the library")
	sleep := flag.Bool("sleep", false, "do nothing")
	flag.Parse()
	log.SetFlags(0)
	if s.while != "" {
		if _, err := os.Stat(s.while); err != nil {
			s.face = ""
		}
	}
	var err error
	switch {
	case *sleep:
		time.Sleep(time.Hour) // nobody waits that long
	case s.face == "crash":
		log.Print("crashing, as asked to")
		os.Exit(1)
	case *library:
		err = serveLibrary()
	case *addr != "":
		err = s.serveHTTP(*addr, *cert)
	default:
		err = s.serveStdio()
	}
	if err != nil {
		log.Fatal(err)
	}
}
