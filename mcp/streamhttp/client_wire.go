package streamhttp

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/mcp/internal/http1"
)

// wire is how a client reaches its server over connections of its own (docs/adr/0023).
type wire struct {
	conns  *http1.Client
	target string // path and query
	fields []byte // what every request carries
	post   []byte // the head of a POST of the latest revision, to which fields are added
}

// newWire returns nil for what only net/http does: proxies, users and international
// names in URLs, and headers that say something about the connection.
func newWire(u *url.URL, opts *ClientOptions) *wire {
	for i := range len(u.Host) {
		if u.Host[i] >= 0x80 || u.Host[i] == '%' {
			return nil
		}
	}
	if u.User != nil || strings.HasSuffix(u.Host, ":") || u.Opaque != "" {
		return nil
	}
	if proxy, err := http.ProxyFromEnvironment(&http.Request{URL: u}); proxy != nil || err != nil {
		return nil
	}
	port, over := u.Port(), &http1.Options{MaxConns: opts.MaxConns, MaxIdle: opts.MaxIdleConns}
	switch u.Scheme {
	case "https":
		over.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
		if port == "" {
			port = "443"
		}
	case "http":
		if port == "" {
			port = "80"
		}
	}
	w := &wire{target: u.RequestURI()}
	w.fields = []byte("Host: " + u.Host + "\r\nAccept-Encoding: identity\r\n")
	if len(opts.Header["User-Agent"]) == 0 {
		w.fields = append(w.fields, "User-Agent: Go-http-client/1.1\r\n"...) // as by net/http
	}
	for name, values := range opts.Header {
		canonical := http.CanonicalHeaderKey(name)
		if name != canonical || strings.HasPrefix(name, "Mcp-") || name == "Content-Type" || name == "Accept" {
			return nil // what the protocol sets itself would have to be left out
		}
		for _, value := range values {
			var ok bool
			if w.fields, ok = http1.AppendField(w.fields, name, strings.Trim(value, " \t")); !ok {
				return nil
			}
		}
	}
	w.post = w.head(http.MethodPost, postHeader())
	w.conns = http1.New(net.JoinHostPort(u.Hostname(), port), over)
	return w
}

// head is the head of a request.
func (w *wire) head(method string, header http.Header) []byte {
	head := append(make([]byte, 0, len(w.fields)+256), method...)
	head = append(append(append(head, ' '), w.target...), " HTTP/1.1\r\n"...)
	head = append(head, w.fields...)
	for name, values := range header {
		for _, value := range values {
			head, _ = http1.AppendField(head, name, value) // ours and the server's session id, which came in a field
		}
	}
	return head
}

// wire returns our own connections, if they are what the server can be reached by.
func (c *Client) wire() *wire {
	if c.notOwn.Load() {
		return nil
	}
	return c.direct
}

// sendWire starts an exchange over our own connections. Without exchange and error
// nothing has been done, and net/http is to do it.
func (c *Client) sendWire(ctx context.Context, req *http1.Request) (*exchange, error) {
	res, err := c.direct.conns.Do(ctx, req)
	switch {
	case errors.Is(err, http1.ErrHTTP2):
		c.notOwn.Store(true)
		return nil, nil
	case errors.Is(err, http1.ErrClosed):
		return nil, mcp.ErrClosed
	case isMalformed(err):
		return nil, fmt.Errorf("%s: %w", c.origin, err)
	case err != nil:
		return nil, c.transportError(ctx, err)
	}
	if to := string(res.Get("location")); to != "" && redirects(res.Status) {
		_ = res.Close()
		if err := c.mayFollow(to, res.Status, req.Body != nil); err != nil {
			return nil, fmt.Errorf("%s: %w", c.origin, err)
		}
		c.notOwn.Store(true) // the request was not carried out; net/http follows
		return nil, nil
	}
	x := &exchange{c: c, ctx: ctx, own: res, body: res}
	x.began(res.Status, contentType(res.Get("content-type")))
	return x, nil
}

func redirects(status int) bool {
	switch status {
	case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther, http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		return true
	}
	return false
}

// mayFollow is sameOrigin for a redirect that has come over our own connections.
func (c *Client) mayFollow(location string, status int, post bool) error {
	from, err := url.Parse(c.url)
	if err != nil {
		return err
	}
	to, err := from.Parse(location)
	if err != nil {
		return errors.New("the server redirects to what is no URL")
	}
	method := http.MethodPost
	if post && status != http.StatusTemporaryRedirect && status != http.StatusPermanentRedirect {
		method = http.MethodGet // as net/http would
	}
	return sameOrigin(&http.Request{URL: to, Method: method}, []*http.Request{{URL: from, Method: http.MethodPost}})
}

// contentType is a Content-Type; the usual ones cost no allocation.
func contentType(b []byte) string {
	switch string(b) {
	case "application/json":
		return "application/json"
	case "text/event-stream":
		return "text/event-stream"
	}
	return string(b)
}

func isMalformed(err error) bool {
	_, ok := errors.AsType[*http1.ErrMalformed](err)
	return ok
}

// sendCall sends a request of a session that is counted as a call.
func (c *Client) sendCall(ctx context.Context, method string, header http.Header, body []byte) (*exchange, error) {
	if w := c.wire(); w != nil {
		req := &http1.Request{Head: w.head(http.MethodPost, header), Body: body, Repeatable: repeatable(method)}
		if x, err := c.sendWire(ctx, req); x != nil || err != nil {
			return x, err
		}
	}
	return c.sendTo(ctx, c.url, http.MethodPost, header, body)
}

// repeatable reports whether a request may reach the server twice: it reads only.
func repeatable(method string) bool {
	switch method {
	case mcp.MethodDiscover, mcp.MethodListTools, mcp.MethodListResources, mcp.MethodListTemplates, mcp.MethodListPrompts,
		mcp.MethodReadResource, mcp.MethodGetPrompt, mcp.MethodComplete, mcp.MethodGetTask, "ping":
		return true
	}
	return false
}
