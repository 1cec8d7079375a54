package history

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Era is how a caller speaks.
type Era string

// The eras.
const (
	Modern Era = "2026-07-28"
	Legacy Era = "2025-11-25"
)

// Caller is a client of a node that writes and reads the wire by hand, so that it
// sees what a library would hide: second answers, answers of others, what comes
// after the end. Its ids count from 1 and all its progress tokens are "t", as other
// callers' are. It is safe for concurrent use.
type Caller struct {
	name, url string
	era       Era
	token     string // bearer token; empty for none
	rec       *Recorder
	http      *http.Client
	last      atomic.Int64

	mu      sync.Mutex
	session string // of Legacy; empty before the first call and after it was lost
}

// NewCaller returns a caller of the endpoint at url. Its name is used once in a history.
func NewCaller(rec *Recorder, name, url string, era Era) *Caller {
	return &Caller{name: name, url: url, era: era, rec: rec, http: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}}
}

// Outcome is how a call ended.
type Outcome struct {
	End       Op
	Class     string // data.class of an error of the node, else what is known of the reason
	RetrySafe bool   // as the error says
	RetryMS   int    // likewise
	Text      string // of the result
	ID        string
	At        time.Time // of the end
	Took      time.Duration
}

// Call calls a tool with a nonce of its own and waits for the end. When ctx ends,
// the call is cancelled in the way of the era.
func (c *Caller) Call(ctx context.Context, tool string, args map[string]any) Outcome {
	id, nonce := c.next()
	all := map[string]any{"nonce": nonce}
	maps.Copy(all, args)
	return c.request(ctx, Event{ID: id, Nonce: nonce}, "tools/call", tool, map[string]any{"name": tool, "arguments": all})
}

// List asks for the tools and returns the raw result.
func (c *Caller) List(ctx context.Context) Outcome {
	id, _ := c.next()
	return c.request(ctx, Event{ID: id}, "tools/list", "", map[string]any{})
}

// Listen opens a subscription and returns when it has ended. opened, if not nil,
// is called when it is acknowledged. A session's is its GET stream.
func (c *Caller) Listen(ctx context.Context, opened func()) Outcome {
	if opened == nil {
		opened = func() {}
	}
	if c.era == Legacy {
		return c.get(ctx, opened)
	}
	id, _ := c.next()
	return c.exchange(ctx, Event{ID: id, Nonce: id, Stream: true}, "subscriptions/listen", "", map[string]any{"notifications": map[string]any{"toolsListChanged": true}}, opened)
}

func (c *Caller) next() (id, nonce string) {
	n := c.last.Add(1)
	return fmt.Sprint(n), fmt.Sprintf("%s-%d", c.name, n)
}

func (c *Caller) add(e Event) {
	e.Client = c.name
	c.rec.Add(e)
}

// request opens a session if there is none, and sends a request once.
func (c *Caller) request(ctx context.Context, sent Event, method, name string, params map[string]any) Outcome {
	return c.exchange(ctx, sent, method, name, params, func() {})
}

func (c *Caller) exchange(ctx context.Context, sent Event, method, name string, params map[string]any, opened func()) Outcome {
	start := time.Now()
	sent.Op, sent.Method, sent.Name = Sent, method, name
	session, err := c.initialize(ctx)
	c.add(sent)
	var out Outcome
	if err != nil {
		out = Outcome{End: Closed, Class: "no session: " + err.Error()}
		c.add(Event{ID: sent.ID, Op: out.End, Class: out.Class})
	} else {
		out = c.post(ctx, sent, session, method, name, params, opened)
	}
	out.ID, out.At = sent.ID, time.Now()
	out.Took = out.At.Sub(start)
	return out
}

func (c *Caller) post(ctx context.Context, sent Event, session, method, name string, params map[string]any, opened func()) Outcome {
	meta := map[string]any{}
	if method == "tools/call" {
		meta["progressToken"] = "t"
	}
	if c.era == Modern {
		meta["io.modelcontextprotocol/protocolVersion"] = string(Modern)
		meta["io.modelcontextprotocol/clientCapabilities"] = map[string]any{"elicitation": map[string]any{}}
		meta["io.modelcontextprotocol/clientInfo"] = map[string]any{"name": c.name, "version": "1"}
	}
	params["_meta"] = meta
	body, err := json.Marshal(map[string]any{"jsonrpc": "2.0", "id": json.RawMessage(sent.ID), "method": method, "params": params})
	if err != nil {
		panic(err) // made of maps and texts
	}
	// What ends a session's request is a message, after which its stream is read to the end.
	wire, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	defer context.AfterFunc(ctx, func() {
		if c.era == Modern {
			cut()
			return
		}
		time.AfterFunc(patience, cut)
		if c.notify(session, "notifications/cancelled", `{"requestId":`+sent.ID+`}`) == nil {
			c.add(Event{ID: sent.ID, Op: Cancelled})
		}
	})()
	res, err := c.do(wire, http.MethodPost, session, method, name, body)
	if err != nil {
		c.left(ctx, sent)
		return c.closed(sent, "no answer: "+cause(err))
	}
	defer res.Body.Close()
	if res.StatusCode == http.StatusNotFound && session != "" {
		c.forget(session)
	}
	end := c.read(res, sent, opened)
	if end.End == "" {
		c.left(ctx, sent)
		return c.closed(sent, fmt.Sprintf("http %d", res.StatusCode))
	}
	return end
}

// patience is how long the end of a cancelled request is waited for.
const patience = 30 * time.Second

// left notes that a modern caller has cancelled: it did so by not reading on.
func (c *Caller) left(ctx context.Context, sent Event) {
	if c.era == Modern && ctx.Err() != nil {
		c.add(Event{ID: sent.ID, Op: Cancelled})
	}
}

func (c *Caller) closed(sent Event, class string) Outcome {
	c.add(Event{ID: sent.ID, Op: Closed, Class: class})
	return Outcome{End: Closed, Class: class}
}

// cause is the last part of an error of net/http, without addresses that differ each time.
func cause(err error) string {
	s := err.Error()
	return s[strings.LastIndex(s, ": ")+1:]
}

func (c *Caller) do(ctx context.Context, httpMethod, session, method, name string, body []byte) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, httpMethod, c.url, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	set := func(name, value string) {
		if value != "" {
			req.Header.Set(name, value)
		}
	}
	set("Content-Type", "application/json")
	set("Accept", "application/json, text/event-stream")
	set("MCP-Protocol-Version", string(c.era))
	set("Mcp-Session-Id", session)
	if c.era == Modern {
		set("Mcp-Method", method)
		set("Mcp-Name", name)
	}
	if c.token != "" {
		set("Authorization", "Bearer "+c.token)
	}
	if httpMethod == http.MethodGet {
		req.Body, req.ContentLength = nil, 0
		req.Header.Set("Accept", "text/event-stream")
	}
	return c.http.Do(req)
}

// notify sends a notification of a session.
func (c *Caller) notify(session, method, params string) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	res, err := c.do(ctx, http.MethodPost, session, method, "", []byte(`{"jsonrpc":"2.0","method":"`+method+`","params":`+params+`}`))
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusAccepted {
		return fmt.Errorf("%s: %s", method, res.Status)
	}
	return nil
}

// initialize returns the session, opening one if there is none. Modern callers have none.
func (c *Caller) initialize(ctx context.Context) (string, error) {
	if c.era == Modern {
		return "", nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.session != "" {
		return c.session, nil
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	res, err := c.do(ctx, http.MethodPost, "", "initialize", "", []byte(`{"jsonrpc":"2.0","id":"init","method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"`+c.name+`","version":"1"}}}`))
	if err != nil {
		return "", fmt.Errorf("%s", cause(err))
	}
	defer res.Body.Close()
	session := res.Header.Get("Mcp-Session-Id")
	if res.StatusCode != http.StatusOK || session == "" {
		return "", fmt.Errorf("http %d", res.StatusCode)
	}
	if err := c.notify(session, "notifications/initialized", "{}"); err != nil {
		return "", err
	}
	c.session = session
	return session, nil
}

func (c *Caller) forget(session string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.session == session {
		c.session = ""
	}
}

// get reads the GET stream of a session.
func (c *Caller) get(ctx context.Context, opened func()) Outcome {
	sent := Event{ID: "get-" + fmt.Sprint(c.last.Add(1)), Op: Sent, Method: "GET", Stream: true}
	session, err := c.initialize(ctx)
	c.add(sent)
	if err != nil {
		return c.closed(sent, "no session: "+err.Error())
	}
	res, err := c.do(ctx, http.MethodGet, session, "", "", nil)
	if err != nil {
		return c.closed(sent, "no answer: "+cause(err))
	}
	defer res.Body.Close()
	if res.StatusCode == http.StatusOK {
		c.add(Event{ID: sent.ID, Op: Opened})
		opened()
		if end := c.read(res, sent, func() {}); end.End != "" {
			return end // an answer on this stream: the checker says that it belongs to nobody
		}
	}
	return c.closed(sent, fmt.Sprintf("http %d", res.StatusCode))
}

// Close gives connections and session back.
func (c *Caller) Close() {
	c.mu.Lock()
	session := c.session
	c.session = ""
	c.mu.Unlock()
	if session != "" {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if res, err := c.do(ctx, http.MethodDelete, session, "", "", nil); err == nil {
			res.Body.Close()
		}
	}
	c.http.CloseIdleConnections()
}
