package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"
)

// message is a request or a notification of the node.
type message struct {
	ID     json.RawMessage `json:"id"`
	Method string          `json:"method"`
	Params struct {
		Name      string          `json:"name"`
		Cursor    string          `json:"cursor"`
		RequestID json.RawMessage `json:"requestId"`
		Arguments arguments       `json:"arguments"`
		Meta      struct {
			Token   json.RawMessage `json:"progressToken"`
			Version string          `json:"io.modelcontextprotocol/protocolVersion"`
		} `json:"_meta"`
	} `json:"params"`
}

// modern reports whether the message is one of revision 2026-07-28.
func (m *message) modern() bool { return m.Params.Meta.Version != "" || m.Method == "server/discover" }

// wire is where a server writes: a pipe, or the answer to one POST.
type wire interface {
	send(msg string)  // one message
	raw(bytes []byte) // anything
}

type server struct {
	era, face, while, journal string

	mu        sync.Mutex
	cancelled map[string]chan struct{} // id of a running call -> closed when it is cancelled
}

// note appends a line to the journal. One write of a line this short is not torn.
func (s *server) note(format string, args ...any) {
	if s.journal == "" {
		return
	}
	f, err := os.OpenFile(s.journal, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		panic(err) // a test without its journal shows nothing
	}
	defer f.Close()
	fmt.Fprintf(f, format+"\n", args...)
}

// serveStdio serves until the node closes the pipe, as children do.
func (s *server) serveStdio() error {
	out := &pipe{w: os.Stdout}
	if s.face == "banner" {
		out.raw([]byte("Welcome to the best server of all!\n\x1b[1mListening...\x1b[0m\n\n{\"level\":\"info\"}\n"))
	}
	in := bufio.NewReaderSize(os.Stdin, 1<<16)
	for {
		line, err := in.ReadBytes('\n')
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		var m message
		if err := json.Unmarshal(line, &m); err != nil {
			return fmt.Errorf("the node wrote %.200q: %w", line, err)
		}
		if s.face == "silent" {
			continue
		}
		if m.Method == "tools/call" && m.Params.Name == "deaf" {
			out.send(said(&m))
			s.note("call %s", m.Params.Arguments.Nonce)
			select {} // reads no more
		}
		s.take(&m, out, nil)
	}
}

// take answers one message; done, if not nil, is called when the answer is complete.
func (s *server) take(m *message, out wire, done func()) {
	if done == nil {
		done = func() {}
	}
	if m.Method != "tools/call" {
		defer done()
		s.answer(m, out)
		return
	}
	cancelled := make(chan struct{})
	s.mu.Lock()
	s.cancelled[string(m.ID)] = cancelled
	s.mu.Unlock()
	go func() { // a tool ends by itself or with the process
		defer done()
		s.call(m, out, cancelled)
		s.mu.Lock()
		delete(s.cancelled, string(m.ID))
		s.mu.Unlock()
	}()
}

// answer does everything but calls.
func (s *server) answer(m *message, out wire) {
	switch {
	case m.Method == "notifications/cancelled":
		s.mu.Lock()
		c := s.cancelled[string(m.Params.RequestID)]
		delete(s.cancelled, string(m.Params.RequestID))
		s.mu.Unlock()
		if c != nil {
			close(c)
		}
	case m.ID == nil:
	case m.Method == "server/discover" && s.era != "legacy":
		out.send(result(m, `"supportedVersions":["2026-07-28"],"capabilities":{"tools":{"listChanged":true}},"ttlMs":0,"cacheScope":"private"`))
	case m.Method == "initialize" && s.era != "modern":
		out.send(result(m, `"protocolVersion":"2025-11-25","capabilities":{"tools":{"listChanged":true},"logging":{}},"serverInfo":{"name":"child","version":"1"}`))
	case m.Method == "ping" && !m.modern():
		out.send(result(m, ""))
	case m.Method == "tools/list" && s.face == "pages":
		out.send(result(m, fmt.Sprintf(`"tools":[],"nextCursor":"%sx","ttlMs":0,"cacheScope":"private"`, m.Params.Cursor)))
	case m.Method == "tools/list":
		out.send(result(m, `"tools":`+list()+`,"ttlMs":0,"cacheScope":"private"`))
	case m.Method == "subscriptions/listen":
		out.send(`{"jsonrpc":"2.0","method":"notifications/subscriptions/acknowledged","params":{"notifications":{"toolsListChanged":true},"_meta":{"io.modelcontextprotocol/subscriptionId":` + string(m.ID) + `}}}`)
	default:
		out.send(fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"error":{"code":-32601,"message":"Method not found"}}`, m.ID))
	}
}

// result is a response with these members.
func result(m *message, members string) string {
	if m.modern() {
		members = strings.TrimSuffix(`"resultType":"complete","_meta":{"io.modelcontextprotocol/serverInfo":{"name":"child","version":"1"}},`+members, ",")
	}
	return fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"result":{%s}}`, m.ID, members)
}

// list is the tools in the form of tools/list.
func list() string {
	var b strings.Builder
	for name, t := range tools {
		if b.Len() > 0 {
			b.WriteByte(',')
		}
		annotations := ""
		if t.repeatable {
			annotations = `,"annotations":{"readOnlyHint":true,"idempotentHint":true}`
		}
		fmt.Fprintf(&b, `{"name":%q,"description":%q,"inputSchema":{"type":"object"}%s}`, name, t.about, annotations)
	}
	return "[" + b.String() + "]"
}

// pipe is the child's standard output, or what is left of it.
type pipe struct {
	mu sync.Mutex
	w  io.Writer
}

func (p *pipe) send(msg string) { p.raw(append([]byte(msg), '\n')) }

func (p *pipe) raw(b []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, _ = p.w.Write(b) // a node that has gone is none of its business
}

// drip writes b slowly, and nobody else writes meanwhile.
func (p *pipe) drip(b []byte, pause time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range b {
		if _, err := p.w.Write(b[i : i+1]); err != nil {
			return
		}
		time.Sleep(pause)
	}
}
