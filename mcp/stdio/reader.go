package stdio

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/mcp/internal/legacy"
	"github.com/fairlead-mcp/fairlead/mcp/jsonrpc"
)

// Stats counts what a server did that is not as the protocol has it.
type Stats struct {
	BadLines             uint64 // lines that are no message
	LateAnswers          uint64 // answers to calls that are over, or second answers
	UnknownAnswers       uint64 // answers to calls that never were
	DroppedNotifications uint64 // for no call in flight, or more than a call could take
	RefusedRequests      uint64 // requests to the client that it refused at once
}

type counters struct{ badLines, lateAnswers, unknownAnswers, dropped, refused atomic.Uint64 }

func (c *counters) read() Stats {
	return Stats{
		BadLines:             c.badLines.Load(),
		LateAnswers:          c.lateAnswers.Load(),
		UnknownAnswers:       c.unknownAnswers.Load(),
		DroppedNotifications: c.dropped.Load(),
		RefusedRequests:      c.refused.Load(),
	}
}

// Fault names what [Stats] counts.
type Fault string

// The faults.
const (
	FaultBadLine             Fault = "line that is no message"
	FaultLateAnswer          Fault = "late or second answer"
	FaultUnknownAnswer       Fault = "answer to no call"
	FaultDroppedNotification Fault = "notification for no call"
	FaultRefusedRequest      Fault = "request that was refused"
)

// fault counts one thing.
func (c *Client) fault(f Fault, n *atomic.Uint64, err error) {
	n.Add(1)
	if c.opts.OnFault != nil {
		c.opts.OnFault(f, err)
	}
}

// read takes the server's messages until its output ends. It never waits for a
// sink or for the server to read; but it takes its time with one that floods it.
func (c *Client) read(r io.Reader) error {
	lines := jsonrpc.NewReader(r, c.opts.Limits)
	var window badWindow
	var flood pace
	for {
		line, err := lines.Next()
		c.wanted = false
		var long *jsonrpc.LineError
		var bad error
		switch {
		case errors.As(err, &long):
			bad = err
		case err != nil:
			return err
		default:
			bad = c.take(line)
		}
		if !c.wanted {
			c.wait(flood.spend(len(line), time.Now()))
		}
		if bad == nil {
			continue
		}
		c.fault(FaultBadLine, &c.stats.badLines, bad)
		if window.add(time.Now()) > c.opts.MaxBadLines {
			return fmt.Errorf("the server writes too many lines that are no message, such as: %w", bad)
		}
	}
}

// badWindow counts events of a minute.
type badWindow struct {
	since time.Time
	n     int
}

func (w *badWindow) add(now time.Time) int {
	if now.Sub(w.since) > time.Minute {
		w.since, w.n = now, 0
	}
	w.n++
	return w.n
}

// take handles one line. An error means that it is no message.
func (c *Client) take(line []byte) error {
	msg, err := jsonrpc.Scan(line, c.opts.Limits)
	if err != nil {
		var se *jsonrpc.ScanError
		if errors.As(err, &se) && se.ID != nil {
			// Whoever waits for this answer will get no better one.
			c.settle(se.ID, func() (mcp.Result, error) { return mcp.Result{}, fmt.Errorf("malformed answer: %w", err) })
		}
		return err
	}
	switch msg.Kind {
	case jsonrpc.Response, jsonrpc.ErrorReply:
		var bad error
		c.settle(msg.ID, func() (mcp.Result, error) {
			res, err := mcp.DecodeResponse(&msg)
			if err != nil && !mcp.IsWireError(err) {
				bad = err
			}
			return res, err
		})
		return bad
	case jsonrpc.Notification:
		c.notified(&msg)
	case jsonrpc.Request:
		c.requested(&msg)
	}
	return nil
}

// settle gives the call with this id its answer.
func (c *Client) settle(rawID []byte, decode func() (mcp.Result, error)) {
	id, ok := parseID(rawID)
	c.mu.Lock()
	if rawID == nil {
		// The server could not read the probe, not even its id.
		id, ok = c.probe, c.probe != 0
	}
	k, waiting := c.calls[id]
	known := ok && id <= c.lastID
	c.mu.Unlock()
	if ok && waiting {
		res, err := decode()
		if err != nil && !mcp.IsWireError(err) {
			err = fmt.Errorf("%s: %w", k.method, err)
		}
		c.mu.Lock()
		if _, waiting = c.calls[id]; waiting {
			delete(c.calls, id)
			k.res, k.err, k.answered = res, err, true
			c.wanted = true
			c.signalLocked(k)
		}
		c.mu.Unlock()
	}
	switch {
	case ok && waiting:
	case known:
		c.fault(FaultLateAnswer, &c.stats.lateAnswers, nil)
	default:
		c.fault(FaultUnknownAnswer, &c.stats.unknownAnswers, nil)
	}
}

// parseID reads an id of ours, which is a positive integer and comes back as it was sent.
func parseID(raw []byte) (uint64, bool) {
	if len(raw) == 0 || len(raw) > 18 || raw[0] == '0' {
		return 0, false
	}
	var n uint64
	for _, d := range raw {
		if d < '0' || d > '9' {
			return 0, false
		}
		n = n*10 + uint64(d-'0')
	}
	return n, true
}

// notified finds out whose a notification is.
func (c *Client) notified(msg *jsonrpc.Message) {
	switch msg.Method {
	case mcp.NotificationProgress:
		id, ok := parseID(jsonrpc.Get(msg.Params, mcp.MetaProgressToken))
		c.deliver(id, ok, func(k *call) *mcp.Notification {
			if k.token == nil {
				return nil
			}
			return mcp.NewNotification(msg.Method, jsonrpc.Splice(nil, msg.Params,
				jsonrpc.Member{Key: mcp.MetaProgressToken, Value: k.token}))
		})
		return
	case mcp.NotificationCancelled:
		// Only the server's way to end a stream (MCP 2026-07-28, basic/patterns/cancellation).
		id, ok := parseID(jsonrpc.Get(msg.Params, "requestId"))
		c.mu.Lock()
		k := c.calls[id]
		if ok && k != nil && k.method == mcp.MethodListen {
			delete(c.calls, id)
			k.answered = true
			c.signalLocked(k)
		}
		c.mu.Unlock()
		if session := c.session.Load(); session != nil {
			session.Notification(msg.Method, msg.Params) // of a question, then
		}
		return
	}
	if raw := jsonrpc.Get(msg.Meta, mcp.MetaSubscriptionID); raw != nil {
		id, ok := parseID(raw)
		c.deliver(id, ok, func(*call) *mcp.Notification { return mcp.NewNotification(msg.Method, msg.Params) })
		return
	}
	if msg.Method == mcp.NotificationMessage && c.opts.OneCaller {
		if id, ok := c.only(); ok {
			c.deliver(id, true, func(*call) *mcp.Notification { return mcp.NewNotification(msg.Method, msg.Params) })
			return
		}
	}
	if session := c.session.Load(); session != nil {
		session.Notification(msg.Method, msg.Params)
	}
	if c.opts.OnNotification != nil {
		c.opts.OnNotification(msg.Method, msg.Params)
	}
}

// only returns the one call in flight that is not a stream.
func (c *Client) only() (id uint64, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, k := range c.calls {
		if k.method == mcp.MethodListen {
			continue
		}
		if ok {
			return 0, false
		}
		id, ok = i, true
	}
	return id, ok
}

// deliver queues a notification for a call.
func (c *Client) deliver(id uint64, ok bool, make func(*call) *mcp.Notification) {
	c.mu.Lock()
	defer c.mu.Unlock()
	k := c.calls[id]
	if !ok || k == nil {
		c.fault(FaultDroppedNotification, &c.stats.dropped, nil)
		return
	}
	n := make(k)
	if n == nil {
		c.fault(FaultDroppedNotification, &c.stats.dropped, nil)
		return
	}
	switch {
	case k.sink != nil && len(k.queue) >= streamQueue:
		delete(c.calls, id)
		k.answered, k.err = true, errSlowStream
	case k.sink == nil && len(k.queue) >= callQueue:
		c.fault(FaultDroppedNotification, &c.stats.dropped, nil)
		k.queue = append(dropOldest(k.queue), n)
	default:
		k.queue = append(k.queue, n)
	}
	c.wanted = k.sink == nil // somebody waits for the call; a stream is of no call
	c.signalLocked(k)
}

// dropOldest removes the oldest progress, or the oldest of all.
func dropOldest(queue []*mcp.Notification) []*mcp.Notification {
	at := 0
	for i, n := range queue {
		if n.Method == mcp.NotificationProgress {
			at = i
			break
		}
	}
	return append(queue[:at], queue[at+1:]...)
}

// requested takes a request of the server. Only those of old revisions send any.
func (c *Client) requested(msg *jsonrpc.Message) {
	if c.sessionless.Load() {
		c.fault(FaultRefusedRequest, &c.stats.refused, nil)
		return
	}
	if msg.Method == "ping" {
		c.out.post(jsonrpc.AppendResult(nil, msg.ID, nil))
		return
	}
	refused := mcp.ErrMethodNotFound(msg.Method)
	if session := c.session.Load(); session != nil {
		x := c.asked()
		if x == nil || msg.Method == mcp.MethodListRoots && session.Answers() {
			refused = session.Requested(msg) // roots are the client's, whatever call is in flight
		} else {
			refused = x.Ask(msg)
		}
	}
	if refused != nil {
		c.fault(FaultRefusedRequest, &c.stats.refused, refused)
		c.out.post(jsonrpc.AppendError(nil, msg.ID, refused.Code, refused.Message, refused.Data))
	}
}

// asked returns the exchange of the call that a request of the server belongs to,
// nil if none explains it: over pipes nothing tells.
func (c *Client) asked() legacy.Exchange {
	c.mu.Lock()
	defer c.mu.Unlock()
	var found *call
	for _, k := range c.calls {
		switch k.method {
		case "initialize", "logging/setLevel", "resources/subscribe", "resources/unsubscribe":
			continue // ours
		case mcp.MethodCallTool, mcp.MethodGetPrompt, mcp.MethodReadResource, "tasks/result":
		default:
			if c.opts.OneCaller {
				continue // cannot be asked
			}
		}
		switch {
		case found == nil || c.opts.OneCaller && k.id > found.id:
			found = k
		case !c.opts.OneCaller:
			return nil
		}
	}
	if found == nil {
		return nil
	}
	return found.exchange
}

// heardReader calls heard for each read that brings something.
type heardReader struct {
	r     io.Reader
	heard func()
}

func (h *heardReader) Read(p []byte) (int, error) {
	n, err := h.r.Read(p)
	if n > 0 {
		h.heard()
	}
	return n, err
}

// maxStderrLine is where a line of standard error is cut.
const maxStderrLine = 8 << 10

// readLines gives each line of r to take, without its line break and cut if it is
// long. It reads to the end in any case, so that the writer does not stall, though
// slowly if it floods.
func (c *Client) readLines(r io.Reader, take func([]byte)) {
	var flood pace
	buf := make([]byte, 4<<10)
	var line []byte
	for {
		n, err := r.Read(buf)
		if n > 0 {
			c.heard()
			c.wait(flood.spend(n+paceLine*bytes.Count(buf[:n], []byte{'\n'}), time.Now()))
		}
		for rest := buf[:n]; take != nil && len(rest) > 0; {
			part, after, ended := bytes.Cut(rest, []byte{'\n'})
			line = append(line, part[:min(len(part), maxStderrLine-len(line))]...)
			if ended {
				take(bytes.TrimSuffix(line, []byte{'\r'}))
				line = line[:0]
			}
			rest = after
		}
		if err != nil {
			if len(line) > 0 {
				take(line)
			}
			return
		}
	}
}
