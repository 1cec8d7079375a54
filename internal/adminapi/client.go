package adminapi

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
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

func (c *Client) get(ctx context.Context, path string, into any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://localhost"+path, nil)
	if err != nil {
		return err
	}
	res, err := c.http.Do(req)
	if err != nil {
		return fmt.Errorf("%w on %s: %w", ErrUnreachable, c.socket, errors.Unwrap(err))
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("node at %s: GET %s: %s", c.socket, path, res.Status)
	}
	body, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("node at %s: GET %s: %w", c.socket, path, err)
	}
	if err := json.Unmarshal(body, into); err != nil {
		return fmt.Errorf("node at %s: GET %s: %w", c.socket, path, err)
	}
	return nil
}
