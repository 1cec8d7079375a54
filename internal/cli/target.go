package cli

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/fairlead-mcp/fairlead/internal/adminapi"
	"github.com/fairlead-mcp/fairlead/internal/config"
	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/mcp/oauth"
	"github.com/fairlead-mcp/fairlead/mcp/stdio"
	"github.com/fairlead-mcp/fairlead/mcp/streamhttp"
)

// target says which server a command talks to.
type target struct {
	URL       string        `placeholder:"URL" help:"Talk to the server at this address instead of the local node."`
	Stdio     bool          `help:"Talk to the program that follows: --stdio CMD ARG..., at the end of the line."`
	Timeout   time.Duration `default:"60s" help:"Longest time for one request."`
	httpFlags `embed:""`
}

// httpFlags are the flags of whatever talks HTTP.
type httpFlags struct {
	Data       string   `placeholder:"DIR" help:"Data directory of the local node, and of logins."`
	Header     []string `sep:"none" placeholder:"NAME:VALUE" help:"Send this header; may be repeated."`
	TokenFile  string   `placeholder:"FILE" help:"Send the bearer token in this file."`
	loginFlags `embed:""`
}

// header returns the headers that the flags ask for.
func (f *httpFlags) header() (http.Header, error) {
	h := http.Header{}
	for _, line := range f.Header {
		name, value, ok := strings.Cut(line, ":")
		if name = strings.TrimSpace(name); !ok || name == "" || strings.ContainsAny(line, "\r\n") {
			return nil, misused(`write it as --header "Name: value"`, "--header %q is not a header", line)
		}
		h.Add(name, strings.TrimSpace(value))
	}
	if f.TokenFile != "" {
		token, err := os.ReadFile(f.TokenFile)
		if err != nil {
			return nil, failed("--token-file names a file with the token and nothing else", "read the token: %w", err)
		}
		h.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	}
	return h, nil
}

// remote is a server at an address.
type remote struct {
	mcp.Handler
	client   *streamhttp.Client
	loopback *oauth.Loopback // nil: nobody is asked to log in
	patience time.Duration   // that a request may take longer than the limit, because of a login
}

// dial makes a client of the server at address. limit bounds its requests; zero
// leaves that to whoever sends them. A server that was named may ask for a login;
// the local node knows its callers by tokens.
func (f *httpFlags) dial(a *app, address string, named bool, limit time.Duration) (*remote, error) {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, misused("write it as http://HOST:PORT/mcp", "%q is not the URL of a server", address)
	}
	opts := &streamhttp.ClientOptions{}
	if opts.Header, err = f.header(); err != nil {
		return nil, err
	}
	r := &remote{}
	p := &patience{limit: limit}
	if named && takesLogin(u) {
		var transport *oauth.Transport
		if transport, r.loopback, err = f.transport(a, a.dataDir(f.Data), address, p); err != nil {
			return nil, err
		}
		opts.HTTPClient = &http.Client{Transport: transport}
	}
	if r.loopback != nil {
		r.patience = loginTimeout
		opts.Timeout = time.Minute + loginTimeout
	}
	r.client = streamhttp.NewClient(address, opts)
	r.Handler = r.client
	if r.loopback != nil && limit > 0 {
		r.Handler = patient{r.client, p}
	}
	return r, nil
}

// close ends the connection. The command is over, maybe because ctx is: ending a
// session may still take a moment.
func (r *remote) close(ctx context.Context) {
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	_ = r.client.Close(end)
	if r.loopback != nil {
		_ = r.loopback.Close()
	}
}

// open connects to the server; done ends the connection.
func (t *target) open(ctx context.Context, a *app) (c *mcp.Client, done func(), err error) {
	if t.Timeout <= 0 {
		return nil, nil, misused("write it as 30s or 5m", "--timeout %v leaves no time", t.Timeout)
	}
	opts := &mcp.ClientOptions{Timeout: t.Timeout}
	if t.Stdio {
		if t.URL != "" {
			return nil, nil, misused("leave one of them out", "--url and --stdio name two servers")
		}
		if len(a.command) == 0 {
			return nil, nil, misused("as in: fairlead tools --stdio npx -y @modelcontextprotocol/server-everything", "--stdio needs the program to start after it")
		}
		starting, cancel := context.WithTimeout(ctx, t.Timeout)
		defer cancel()
		cmd := exec.Command(a.command[0], a.command[1:]...)
		cmd.Env = os.Environ() // whoever types a command wants it to run as typed
		child, err := stdio.Start(starting, cmd, &stdio.ClientOptions{
			OneCaller: true,
			Stderr:    func(line []byte) { fmt.Fprintln(a.stderr, printable(string(line))) },
		})
		if err != nil {
			hint := "check that the program is an MCP server that speaks on its standard output"
			if errors.Is(err, exec.ErrNotFound) || errors.Is(err, os.ErrNotExist) {
				hint = "check that the program is installed and in PATH"
			}
			return nil, nil, unreachable(hint, "start %s: %w", a.command[0], err)
		}
		return mcp.NewClient("fairlead", version(), child, opts), func() { _ = child.Close(context.WithoutCancel(ctx)) }, nil // Close has its own bound, StopWait
	}
	address := t.URL
	if address == "" {
		address = t.local(ctx, a)
	}
	r, err := t.dial(a, address, t.URL != "", t.Timeout)
	if err != nil {
		return nil, nil, err
	}
	opts.Timeout += r.patience
	return mcp.NewClient("fairlead", version(), r, opts), func() { r.close(ctx) }, nil
}

// local is the endpoint of the local node: the one it tells on its admin socket,
// else the default one.
func (t *target) local(ctx context.Context, a *app) string {
	st, err := adminapi.NewClient(a.socket(t.Data)).Status(ctx)
	if err != nil {
		return "http://" + config.Default(a.lookup).Listen + "/mcp"
	}
	return st.Endpoint
}

// socket is the admin socket of the node with this data directory.
func (a *app) socket(data string) string {
	if data == "" {
		return config.Default(a.lookup).AdminSocket
	}
	return filepath.Join(data, "admin.sock")
}

// explain adds what to do to an error of a request.
func (t *target) explain(what string, err error) error {
	err = fmt.Errorf("%s: %w", what, err)
	d := diagnose(err)
	if d.code == exitUnreachable && t.URL == "" && !t.Stdio && !errors.Is(err, context.DeadlineExceeded) {
		d = &failure{exitUnreachable, err, `start a node with "fairlead serve", or name a server with --url or --stdio`}
	}
	return d
}
