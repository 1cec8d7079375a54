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

func bareStatus(resp *http.Response) *StatusError {
	return &StatusError{resp.StatusCode, resp.Header.Values("WWW-Authenticate"), retryAfter(resp.Header)}
}

// retryAfter reads the header Retry-After: seconds, or a date (RFC 9110, 10.2.3).
func retryAfter(h http.Header) time.Duration {
	const most = 24 * time.Hour // more is a slip, or means for ever
	s := h.Get("Retry-After")
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

// exchange is one HTTP request and its response.
type exchange struct {
	c      *Client
	ctx    context.Context
	cancel context.CancelCauseFunc // ends ctx
	detach func() bool             // makes ctx outlive the call
	resp   *http.Response
	events *eventReader // of a response that is a stream
}

// send starts an exchange; body is nil for methods without one. It ends with ctx,
// with close or with finish.
func (c *Client) send(ctx context.Context, method string, header http.Header, body []byte) (*exchange, error) {
	return c.sendTo(ctx, c.url, method, header, body)
}

// sendTo is send to a URL of the same origin.
func (c *Client) sendTo(ctx context.Context, url, method string, header http.Header, body []byte) (*exchange, error) {
	// finish reads on when the call, and with it ctx, is over.
	own, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	x := &exchange{c: c, ctx: own, cancel: cancel}
	x.detach = context.AfterFunc(ctx, func() { cancel(context.Cause(ctx)) })

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
	if mediaType(x.resp.Header) == "text/event-stream" && x.resp.StatusCode < 300 {
		x.events = newEventReader(x.resp.Body, c.maxBytes())
	}
	return x, nil
}

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

func mediaType(h http.Header) string {
	t, _, err := mime.ParseMediaType(h.Get("Content-Type"))
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
	x.end(cause)
	_ = x.resp.Body.Close()
}

// drainTimeout bounds the wait for the end of a response that has said everything.
const drainTimeout = time.Second

// finish ends the exchange after its answer. What is left of a stream, as a rule
// only its end, is read elsewhere so that the connection can be used again.
func (x *exchange) finish() {
	if x.events == nil {
		x.close(nil)
		return
	}
	x.detach()
	x.c.running.Go(func() { // until the end of the body, the timer or Close
		defer context.AfterFunc(x.c.ctx, func() { x.cancel(nil) })()
		timer := time.AfterFunc(drainTimeout, func() { x.cancel(nil) })
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
	case errors.Is(err, errEventTooLong):
		return fmt.Errorf("%s: %w", x.c.origin, err)
	}
	return fmt.Errorf("%s: %w (%w)", x.c.origin, mcp.ErrClosed, err)
}

// single reads a response that is one message.
func (x *exchange) single(id []byte) (jsonrpc.Message, error) {
	status := x.resp.StatusCode
	if kind := mediaType(x.resp.Header); kind != "application/json" {
		if status >= 300 {
			return jsonrpc.Message{}, bareStatus(x.resp)
		}
		return jsonrpc.Message{}, fmt.Errorf("%s: the server answered a request with status %d and content type %.64q", x.c.origin, status, kind)
	}
	limit := x.c.maxBytes()
	body, err := io.ReadAll(io.LimitReader(x.resp.Body, int64(limit)+1))
	if err != nil {
		return jsonrpc.Message{}, x.bodyError(err)
	}
	msg, err := jsonrpc.Scan(body, x.c.opts.Limits) // also refuses what is over the limit
	switch {
	case status >= 300 && (err != nil || msg.Kind != jsonrpc.ErrorReply):
		return jsonrpc.Message{}, bareStatus(x.resp)
	case err != nil:
		return jsonrpc.Message{}, fmt.Errorf("%s: answer of the server: %w", x.c.origin, err)
	case status >= 300 && msg.ID != nil && !bytes.Equal(msg.ID, id):
		return jsonrpc.Message{}, bareStatus(x.resp) // an error, but not ours to repeat
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
