package wirecheck

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// message is a message and where it passed.
type message struct {
	from Side
	text []byte

	conversation string // connection, session or exchange: where ids have a meaning
	exchange     int    // of HTTP; 0 on pipes
	header       string // MCP-Protocol-Version of the request
}

// messages takes what was recorded apart into messages.
func (t *Tap) messages() []message {
	t.mu.Lock()
	defer t.mu.Unlock()
	type streams map[Side]*bytes.Buffer
	web, lines := map[int]streams{}, map[int]streams{}
	var order []int // of HTTP connections
	var all []message
	for _, p := range t.pieces {
		conns := lines
		if p.HTTP {
			conns = web
		}
		if conns[p.Conn] == nil {
			conns[p.Conn] = streams{Client: new(bytes.Buffer), Server: new(bytes.Buffer)}
			if p.HTTP {
				order = append(order, p.Conn)
			}
		}
		buf := conns[p.Conn][p.From]
		buf.Write(p.Text)
		if p.HTTP {
			continue
		}
		for {
			line, rest, complete := bytes.Cut(buf.Bytes(), []byte{'\n'})
			if !complete {
				break
			}
			if line = bytes.Clone(bytes.TrimSpace(line)); len(line) > 0 {
				all = append(all, message{from: p.From, text: line, conversation: fmt.Sprint("pipe ", p.Conn)})
			}
			buf.Next(buf.Len() - len(rest))
		}
	}
	var exchanges []*exchange
	for _, id := range order {
		exchanges = append(exchanges, readExchanges(web[id][Client], web[id][Server])...)
	}
	return append(all, join(exchanges)...)
}

// exchange is a request of HTTP with its response.
type exchange struct {
	req      *http.Request
	body     []byte
	res      *http.Response // nil: none came
	answer   []byte
	complete bool // the whole answer came
}

// readExchanges reads a connection up to where it broke.
func readExchanges(client, server io.Reader) (all []*exchange) {
	in, out := bufio.NewReader(client), bufio.NewReader(server)
	for {
		req, err := http.ReadRequest(in)
		if err != nil {
			return all
		}
		x := &exchange{req: req}
		if x.body, err = io.ReadAll(req.Body); err != nil {
			return all
		}
		all = append(all, x)
		for x.res == nil || x.res.StatusCode < 200 {
			if x.res, err = http.ReadResponse(out, req); err != nil {
				x.res = nil
				break
			}
		}
		if x.res == nil {
			continue // what the client sent on, it sent
		}
		x.answer, err = io.ReadAll(x.res.Body)
		x.complete = err == nil
	}
}

const sessionHeader = "Mcp-Session-Id"

// join finds out what belongs together: a session by its header, a session of
// HTTP+SSE (2024-11-05) by the endpoint that its stream names, else an exchange.
func join(exchanges []*exchange) (all []message) {
	endpoints := map[string]bool{} // request URIs that are endpoints of HTTP+SSE
	for _, x := range exchanges {
		if uri := x.endpoint(); uri != "" {
			endpoints[uri] = true
		}
	}
	for i, x := range exchanges {
		m := message{conversation: fmt.Sprint("exchange ", i), exchange: i + 1, header: x.req.Header.Get("Mcp-Protocol-Version")}
		session := x.req.Header.Get(sessionHeader)
		if session == "" && x.res != nil {
			session = x.res.Header.Get(sessionHeader)
		}
		switch uri := x.endpoint(); {
		case session != "":
			m.conversation = "session " + session
		case uri != "":
			m.conversation = "endpoint " + uri
		case endpoints[x.req.URL.RequestURI()]:
			m.conversation = "endpoint " + x.req.URL.RequestURI()
		}
		add := func(from Side, text []byte) {
			if text = bytes.TrimSpace(text); len(text) > 0 {
				m.from, m.text = from, text
				all = append(all, m)
			}
		}
		if x.speaksMCP() {
			add(Client, x.body)
		}
		if x.res == nil {
			continue
		}
		switch kind, _, _ := strings.Cut(x.res.Header.Get("Content-Type"), ";"); kind {
		case "application/json":
			if x.complete && x.speaksMCP() {
				add(Server, x.answer)
			}
		case "text/event-stream":
			for _, e := range x.events() {
				if e.typ != "endpoint" {
					add(Server, e.data)
				}
			}
		}
	}
	return all
}

// speaksMCP tells a message from a request to an authorization server.
func (x *exchange) speaksMCP() bool {
	return x.req.Method == http.MethodPost &&
		(strings.Contains(x.req.Header.Get("Accept"), "text/event-stream") || bytes.Contains(x.body, []byte(`"jsonrpc"`)))
}

type event struct {
	typ  string
	data []byte
}

// events are the whole events of a stream.
func (x *exchange) events() (all []event) {
	var e event
	text := bytes.ReplaceAll(x.answer, []byte("\r\n"), []byte("\n"))
	for {
		line, rest, complete := bytes.Cut(text, []byte{'\n'})
		if !complete {
			return all
		}
		text = rest
		field, value, _ := strings.Cut(string(line), ":")
		value = strings.TrimPrefix(value, " ")
		switch {
		case len(line) == 0:
			if len(e.data) > 0 {
				all = append(all, e)
			}
			e = event{}
		case field == "event":
			e.typ = value
		case field == "data":
			e.data = append(append(e.data, value...), '\n')
		}
	}
}

// endpoint is the request URI that a stream of HTTP+SSE tells, or "".
func (x *exchange) endpoint() string {
	if x.res == nil || !strings.HasPrefix(x.res.Header.Get("Content-Type"), "text/event-stream") || x.req.Method != http.MethodGet {
		return ""
	}
	for _, e := range x.events() {
		if e.typ != "endpoint" {
			continue
		}
		if u, err := url.Parse(strings.TrimSpace(string(e.data))); err == nil {
			return x.req.URL.ResolveReference(u).RequestURI()
		}
	}
	return ""
}
