package streamhttp

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/mcp/internal/http1"
	"github.com/fairlead-mcp/fairlead/mcp/jsonrpc"
)

// StatusError is an HTTP status that came without a JSON-RPC answer.
type StatusError struct {
	Code int
	// Authenticate has the WWW-Authenticate headers of the response. A transport
	// that logs in (ClientOptions.HTTPClient) sees them before.
	Authenticate []string
	// RetryAfter is how long the server wants to be left alone, as its header
	// Retry-After says. Zero if it does not.
	RetryAfter time.Duration
}

// retryAfter reads a header Retry-After: seconds, or a date (RFC 9110, 10.2.3).
func retryAfter(s string) time.Duration {
	const most = 24 * time.Hour // more is a slip, or means for ever
	if n, err := strconv.ParseUint(s, 10, 32); err == nil {
		return min(time.Duration(n)*time.Second, most)
	}
	if at, err := http.ParseTime(s); err == nil {
		return min(max(time.Until(at), 0), most)
	}
	return 0
}

func (e *StatusError) Error() string {
	return fmt.Sprintf("the server answered with HTTP status %d %s", e.Code, http.StatusText(e.Code))
}

// exchange is one HTTP request and its response: over our own connections, or by
// net/http.
type exchange struct {
	c      *Client
	ctx    context.Context
	status int
	kind   string // media type of the response
	body   io.Reader
	events *eventReader // of a response that is a stream

	own *http1.Response // nil by net/http

	resp   *http.Response          // nil over our own connections
	cancel context.CancelCauseFunc // ends ctx
	detach func()                  // makes ctx outlive the call
}

// send starts an exchange; body is nil for methods without one. It ends with ctx,
// with close or with finish.
func (c *Client) send(ctx context.Context, method string, header http.Header, body []byte) (*exchange, error) {
	if w := c.wire(); w != nil {
		if x, err := c.sendWire(ctx, &http1.Request{Head: w.head(method, header), Body: body, Beside: true}); x != nil || err != nil {
			return x, err
		}
	}
	return c.sendTo(ctx, c.url, method, header, body)
}

// sendTo is send to a URL of the same origin, by net/http.
func (c *Client) sendTo(ctx context.Context, url, method string, header http.Header, body []byte) (*exchange, error) {
	// finish reads on when the call, and with it ctx, is over.
	own, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	x := &exchange{c: c, ctx: own, cancel: cancel}
	left, closed := context.AfterFunc(ctx, func() { cancel(context.Cause(ctx)) }), context.AfterFunc(c.ctx, func() { cancel(mcp.ErrClosed) })
	x.detach = func() {
		left()
		closed()
	}

	var content io.Reader
	if body != nil {
		content = bytes.NewReader(body)
	}
	req, err := http.NewRequestWithContext(own, method, url, content)
	if err != nil {
		x.end(err)
		return nil, errors.New("the request cannot be made: the server's URL is unusable")
	}
	maps.Copy(req.Header, c.opts.Header)
	maps.Copy(req.Header, header)
	if x.resp, err = c.http.Do(req); err != nil {
		err = c.transportError(own, err)
		x.end(err)
		return nil, err
	}
	x.body = x.resp.Body
	x.began(x.resp.StatusCode, x.resp.Header.Get("Content-Type"))
	return x, nil
}

// began takes what the head of the response says.
func (x *exchange) began(status int, contentType string) {
	x.status, x.kind = status, mediaType(contentType)
	if x.kind == "text/event-stream" && status < 300 {
		x.events = newEventReader(x.body, x.c.maxBytes())
	}
}

// header returns a header of the response, by its name in lower case.
func (x *exchange) header(lower string) string {
	if x.own != nil {
		return string(x.own.Get(lower))
	}
	return x.resp.Header.Get(lower)
}

func (x *exchange) bareStatus() *StatusError {
	e := &StatusError{Code: x.status, RetryAfter: retryAfter(x.header("retry-after"))}
	if x.own != nil {
		e.Authenticate = x.own.Values("www-authenticate")
	} else {
		e.Authenticate = x.resp.Header.Values("WWW-Authenticate")
	}
	return e
}

// end ends the context of an exchange by net/http.
func (x *exchange) end(cause error) {
	x.detach()
	x.cancel(cause)
}

// postHeader is the header of all POST requests.
func postHeader() http.Header {
	return http.Header{
		"Content-Type": {"application/json"},
		"Accept":       {"application/json, text/event-stream"},
	}
}

func mediaType(contentType string) string {
	switch contentType {
	case "application/json", "text/event-stream":
		return contentType
	}
	t, _, err := mime.ParseMediaType(contentType)
	if err != nil {
		return ""
	}
	return t
}

func (c *Client) maxBytes() int {
	if c.opts.Limits != nil && c.opts.Limits.MaxBytes > 0 {
		return c.opts.Limits.MaxBytes
	}
	return jsonrpc.DefaultMaxBytes
}

// transportError says why there is no response: the context's reason if it ended,
// that no connection came about, or that one was lost. The URL, which net/http
// repeats, may hold secrets and is left out.
func (c *Client) transportError(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	var ue *url.Error
	if errors.As(err, &ue) {
		err = ue.Err
	}
	var op *net.OpError
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.As(err, &op) && op.Op != "dial" {
		return fmt.Errorf("%s: %w (%w)", c.origin, mcp.ErrClosed, err)
	}
	return fmt.Errorf("%s: %w", c.origin, err)
}

// close ends the exchange at once. On a stream this tells the server to stop.
func (x *exchange) close(cause error) {
	if x.own != nil {
		_ = x.own.Close()
		return
	}
	x.end(cause)
	_ = x.resp.Body.Close()
}

// drainTimeout bounds the wait for the end of a response that has said everything.
const drainTimeout = time.Second

// finish ends the exchange after its answer. What is left of a stream, as a rule
// only its end, is read elsewhere so that the connection can be used again.
func (x *exchange) finish() {
	if x.events == nil || x.own != nil && x.own.AtEnd() {
		x.close(nil)
		return
	}
	stop := func() { x.cancel(nil) }
	if x.own != nil {
		x.own.Detach()
		stop = x.own.Abort
	} else {
		x.detach()
	}
	x.c.running.Go(func() { // until the end of the body, the timer or Close
		defer context.AfterFunc(x.c.ctx, stop)()
		timer := time.AfterFunc(drainTimeout, stop)
		defer timer.Stop()
		_, _ = io.CopyN(io.Discard, x.events.r, 4096)
		x.close(nil)
	})
}

// reply waits for the response to the request id. Other messages of a stream go to
// other, whose error ends the wait. The message is valid until the exchange ends.
func (x *exchange) reply(id []byte, other func(*jsonrpc.Message) error) (jsonrpc.Message, error) {
	if x.events == nil {
		return x.single(id)
	}
	for {
		msg, err := x.next()
		if err != nil {
			return jsonrpc.Message{}, err
		}
		if msg.Kind == jsonrpc.Response || msg.Kind == jsonrpc.ErrorReply {
			return msg, checkID(&msg, id)
		}
		if err := other(&msg); err != nil {
			return jsonrpc.Message{}, err
		}
	}
}

// next returns the next message of a stream. Its end is [mcp.ErrClosed].
func (x *exchange) next() (jsonrpc.Message, error) {
	for {
		e, err := x.events.next()
		if err != nil {
			return jsonrpc.Message{}, x.bodyError(err)
		}
		if e.name != "" && e.name != "message" || len(e.data) == 0 {
			continue // an event without data has only an id, to resume from
		}
		msg, err := jsonrpc.Scan(e.data, x.c.opts.Limits)
		if err != nil {
			return jsonrpc.Message{}, fmt.Errorf("%s: message of the server: %w", x.c.origin, err)
		}
		return msg, nil
	}
}

func (x *exchange) bodyError(err error) error {
	switch {
	case x.ctx.Err() != nil:
		return context.Cause(x.ctx)
	case errors.Is(err, errEventTooLong), isMalformed(err):
		return fmt.Errorf("%s: %w", x.c.origin, err)
	}
	return fmt.Errorf("%s: %w (%w)", x.c.origin, mcp.ErrClosed, err)
}

// single reads a response that is one message.
func (x *exchange) single(id []byte) (jsonrpc.Message, error) {
	status := x.status
	if x.kind != "application/json" {
		if status >= 300 {
			return jsonrpc.Message{}, x.bareStatus()
		}
		return jsonrpc.Message{}, fmt.Errorf("%s: the server answered a request with status %d and content type %.64q", x.c.origin, status, x.kind)
	}
	limit := x.c.maxBytes()
	var body []byte
	var err error
	if x.own != nil {
		body, err = x.own.ReadAll(limit)
	} else {
		body, err = io.ReadAll(io.LimitReader(x.body, int64(limit)+1))
	}
	if err != nil {
		return jsonrpc.Message{}, x.bodyError(err)
	}
	msg, err := jsonrpc.Scan(body, x.c.opts.Limits) // also refuses what is over the limit
	switch {
	case status >= 300 && (err != nil || msg.Kind != jsonrpc.ErrorReply):
		return jsonrpc.Message{}, x.bareStatus()
	case err != nil:
		return jsonrpc.Message{}, fmt.Errorf("%s: answer of the server: %w", x.c.origin, err)
	case status >= 300 && msg.ID != nil && !bytes.Equal(msg.ID, id):
		return jsonrpc.Message{}, x.bareStatus() // an error, but not ours to repeat
	}
	return msg, checkID(&msg, id)
}

// checkID refuses an answer to something else. An error without id answers the one
// request of the exchange.
func checkID(msg *jsonrpc.Message, id []byte) error {
	if msg.Kind != jsonrpc.Response && msg.Kind != jsonrpc.ErrorReply {
		return errors.New("the server answered with something that is not a response")
	}
	if bytes.Equal(msg.ID, id) || msg.Kind == jsonrpc.ErrorReply && (msg.ID == nil || string(msg.ID) == "null") {
		return nil
	}
	return fmt.Errorf("the server answered another request: id %.64s instead of %s", msg.ID, id)
}
