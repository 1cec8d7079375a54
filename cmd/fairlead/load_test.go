package main

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/fairlead-mcp/fairlead/mcp/jsonrpc"
	"github.com/fairlead-mcp/fairlead/mcp/streamhttp"
)

// load are clients that call the node one call after the other, half of them in each
// era, over connections that they keep for as long as the node lets them. They
// forgive nothing: there is no second try, as clients in other languages have none.
type load struct {
	host    string
	stop    chan struct{}
	paused  atomic.Bool // as when a balancer sends nothing more
	running sync.WaitGroup

	calls, refused, unknown atomic.Int64 // answered right, connection refused, session not known any more
	mu                      sync.Mutex
	lost                    []error // anything else
}

var (
	errRefused = errors.New("connection refused")
	errUnknown = errors.New("session not found")
)

func startLoad(t *testing.T, endpoint string, clients int) *load {
	t.Helper()
	u, err := url.Parse(endpoint)
	if err != nil {
		t.Fatal(err)
	}
	l := &load{host: u.Host, stop: make(chan struct{})}
	for i := range clients {
		l.running.Go(func() { l.run(i) }) // ends with stop
	}
	t.Cleanup(l.end)
	eventually(t, "the load", func() bool { return l.calls.Load() > int64(10*clients) })
	return l
}

func (l *load) end() {
	select {
	case <-l.stop:
	default:
		close(l.stop)
	}
	l.running.Wait()
}

func (l *load) run(no int) {
	c := &caller{host: l.host, era: eras()[no%2]}
	defer c.close()
	for i := 0; ; i++ {
		select {
		case <-l.stop:
			return
		default:
		}
		if l.paused.Load() {
			return
		}
		switch err := c.call(fmt.Sprintf("%d-%d", no, i)); {
		case err == nil:
			l.calls.Add(1)
		case errors.Is(err, errRefused):
			l.refused.Add(1)
			return
		case errors.Is(err, errUnknown):
			l.unknown.Add(1)
		default:
			l.mu.Lock()
			l.lost = append(l.lost, fmt.Errorf("%s client %d, call %d: %w", c.era, no, i, err))
			l.mu.Unlock()
			return
		}
	}
}

// none fails the test for each call that was lost.
func (l *load) none(t *testing.T) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, err := range l.lost {
		t.Errorf("lost: %v", err)
	}
}

// caller is one of the clients, with its connection and session.
type caller struct {
	host    string
	era     streamhttp.Era
	session string
	header  string // sent with every request, in lines
	conn    net.Conn
	reader  *bufio.Reader
}

// call calls echo and checks the answer.
func (c *caller) call(word string) error {
	if c.era == streamhttp.EraModern {
		res, _, err := c.post(modernCall("one__echo", fmt.Sprintf(`{"text":%q}`, word), ""), "2026-07-28", "Mcp-Method: tools/call\r\nMcp-Name: one__echo\r\n")
		return expect(word, res, err)
	}
	if c.session == "" {
		_, header, err := c.post(`{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"load","version":"1"}}}`, "", "")
		if err != nil {
			return fmt.Errorf("initialize: %w", err)
		}
		c.session = header.Get("Mcp-Session-Id")
		if _, _, err := c.post(`{"jsonrpc":"2.0","method":"notifications/initialized"}`, "2025-11-25", "Mcp-Session-Id: "+c.session+"\r\n"); err != nil {
			return fmt.Errorf("initialized: %w", err)
		}
	}
	res, _, err := c.post(fmt.Sprintf(`{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"one__echo","arguments":{"text":%q}}}`, word), "2025-11-25", "Mcp-Session-Id: "+c.session+"\r\n")
	if errors.Is(err, errUnknown) {
		c.session = ""
	}
	return expect(word, res, err)
}

// modernCall is a tools/call of 2026-07-28; more are members of params.
func modernCall(tool, arguments, more string) string {
	return fmt.Sprintf(`{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":%q,"arguments":%s,"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{"elicitation":{"form":{}}}}%s}}`, tool, arguments, more)
}

func expect(word string, res []byte, err error) error {
	if err != nil {
		return err
	}
	if !bytes.Contains(jsonrpc.Get(res, "result"), []byte(`"`+word+`"`)) {
		return fmt.Errorf("answer: %s", res)
	}
	return nil
}

// post sends one message and reads the response. An error before the request was
// sent on a new connection is errRefused; any other one means that it is lost.
func (c *caller) post(body, version, header string) ([]byte, http.Header, error) {
	if c.conn == nil {
		conn, err := net.Dial("tcp", c.host)
		if err != nil {
			return nil, nil, errors.Join(errRefused, err)
		}
		c.conn, c.reader = conn, bufio.NewReader(conn)
	}
	header += c.header
	if version != "" {
		header += "MCP-Protocol-Version: " + version + "\r\n"
	}
	_, err := fmt.Fprintf(c.conn, "POST /mcp HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nAccept: application/json, text/event-stream\r\n%sContent-Length: %d\r\n\r\n%s", c.host, header, len(body), body)
	if err != nil {
		return nil, nil, fmt.Errorf("send: %w", err)
	}
	res, err := http.ReadResponse(c.reader, nil)
	if err != nil {
		return nil, nil, fmt.Errorf("response: %w", err)
	}
	answer, err := io.ReadAll(res.Body)
	_ = res.Body.Close()
	if res.Close {
		c.close()
	}
	switch {
	case err != nil:
		return nil, nil, fmt.Errorf("body: %w", err)
	case res.StatusCode == http.StatusNotFound && c.session != "":
		return nil, nil, errUnknown
	case res.StatusCode != http.StatusOK && res.StatusCode != http.StatusAccepted:
		return nil, nil, fmt.Errorf("status %d: %s", res.StatusCode, answer)
	}
	if strings.HasPrefix(res.Header.Get("Content-Type"), "text/event-stream") {
		_, answer, _ = bytes.Cut(answer, []byte("data: {"))
		answer, _, _ = bytes.Cut(append([]byte("{"), answer...), []byte("\n"))
	}
	return answer, res.Header, nil
}

// sum is the hash of a token.
func sum(token string) string { return fmt.Sprintf("%x", sha256.Sum256([]byte(token))) }

func (c *caller) close() {
	if c.conn != nil {
		_ = c.conn.Close()
		c.conn = nil
	}
}
