package adminapi

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/go-json-experiment/json"
)

// ErrUnreachable reports that no node answers on the socket.
var ErrUnreachable = errors.New("no node answers")

// timeout bounds one request: a node answers from what it knows.
const timeout = 5 * time.Second

// maxAnswer bounds an answer, in bytes.
const maxAnswer = 16 << 20

// Client asks a node over its admin socket. It is safe for concurrent use.
type Client struct {
	socket string
	http   http.Client
}

// NewClient returns a client for the node whose admin socket is at path.
func NewClient(path string) *Client {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", path)
	}
	return &Client{socket: path, http: http.Client{
		Timeout: timeout,
		// One request, one connection: the client lives for one command.
		Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true, Proxy: nil},
	}}
}

// Status asks for the state of the node. A node that does not answer gives ErrUnreachable.
func (c *Client) Status(ctx context.Context) (*Status, error) {
	var st Status
	if err := c.get(ctx, PathStatus, &st); err != nil {
		return nil, err
	}
	return &st, nil
}

// ErrNotFound reports that the node does not know what was asked for.
var ErrNotFound = errors.New("not known to the node")

// Calls asks for the last calls, newest first.
func (c *Client) Calls(ctx context.Context) ([]Call, error) {
	var list []Call
	return list, c.get(ctx, PathCalls, &list)
}

// Call asks for one call. One that the node does not remember is ErrNotFound.
func (c *Client) Call(ctx context.Context, id string) (*Call, error) {
	call := new(Call)
	if err := c.get(ctx, PathCalls+"/"+url.PathEscape(id), call); err != nil {
		return nil, err
	}
	return call, nil
}

// Act does something to an upstream and returns what it then is. An upstream that
// there is not is ErrNotFound.
func (c *Client) Act(ctx context.Context, name string, action Action) (*Upstream, error) {
	u := new(Upstream)
	if err := c.do(ctx, http.MethodPost, PathUpstreams+"/"+url.PathEscape(name)+"/"+url.PathEscape(string(action)), u); err != nil {
		return nil, err
	}
	return u, nil
}

// Upgrade replaces the process of the node, which takes as long as the new one takes to
// be ready. If it fails the old one goes on, and the error is a [Refused].
func (c *Client) Upgrade(ctx context.Context, u Upgrade) (*Upgraded, error) {
	body, err := json.Marshal(&u)
	if err != nil {
		return nil, err
	}
	patient := *c
	patient.http.Timeout = 0 // ctx bounds it, and the node itself
	out := new(Upgraded)
	return out, patient.send(ctx, http.MethodPost, PathUpgrade, bytes.NewReader(body), out)
}

func (c *Client) get(ctx context.Context, path string, into any) error {
	return c.do(ctx, http.MethodGet, path, into)
}

func (c *Client) do(ctx context.Context, method, path string, into any) error {
	return c.send(ctx, method, path, nil, into)
}

func (c *Client) send(ctx context.Context, method, path string, with io.Reader, into any) error {
	req, err := http.NewRequestWithContext(ctx, method, "http://localhost"+path, with)
	if err != nil {
		return err
	}
	res, err := c.http.Do(req)
	if err != nil {
		return fmt.Errorf("%w on %s: %w", ErrUnreachable, c.socket, errors.Unwrap(err))
	}
	defer res.Body.Close()
	switch res.StatusCode {
	case http.StatusOK:
	case http.StatusNotFound:
		return ErrNotFound
	case http.StatusConflict, http.StatusUnprocessableEntity:
		refused := new(Refused)
		body, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
		if err == nil {
			err = json.Unmarshal(body, refused)
		}
		if err != nil {
			return fmt.Errorf("node at %s: %s %s: %w", c.socket, method, path, err)
		}
		return refused
	default:
		return fmt.Errorf("node at %s: %s %s: %s", c.socket, method, path, res.Status)
	}
	answer, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("node at %s: %s %s: %w", c.socket, method, path, err)
	}
	if err := json.Unmarshal(answer, into); err != nil {
		return fmt.Errorf("node at %s: %s %s: %w", c.socket, method, path, err)
	}
	return nil
}
