package cli

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/fairlead-mcp/fairlead/internal/config"
	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/mcp/oauth"
)

// loginTimeout is how long a person may take to log in.
const loginTimeout = 5 * time.Minute

// loginFlags say how to log in to servers that ask for it.
type loginFlags struct {
	Login            *bool  `negatable:"" help:"Log in by the browser when the server asks for it; the default on a terminal. Otherwise only what an earlier login left is used."`
	Browser          bool   `help:"Open the login page in a browser, beside printing its address."`
	ClientID         string `placeholder:"ID" help:"Client that is registered at the authorization server, where it takes no registrations."`
	ClientSecretFile string `placeholder:"FILE" help:"File with the secret of --client-id, if it has one."`
	RedirectURI      string `placeholder:"URI" help:"Redirect URI of --client-id: http on 127.0.0.1 or localhost; any free port where it names none."`
	CA               string `name:"ca" placeholder:"FILE" help:"Trust the certificates in this PEM file, instead of the system's."`
}

// transport authorizes the requests to a server, and reads and writes tokens in the
// data directory. loopback is nil where nobody is asked to log in.
func (f *loginFlags) transport(a *app, data, address string, p *patience) (t *oauth.Transport, loopback *oauth.Loopback, err error) {
	opts := &oauth.Options{ClientName: "Fairlead", Store: &lazyStore{dir: filepath.Join(data, "oauth")}}
	if f.CA != "" {
		text, err := os.ReadFile(f.CA)
		if err != nil {
			return nil, nil, failed("--ca names a file with certificates", "read the certificates: %w", err)
		}
		opts.RootCAs = x509.NewCertPool()
		if !opts.RootCAs.AppendCertsFromPEM(text) {
			return nil, nil, failed("it should have BEGIN CERTIFICATE in it", "%s holds no certificate in PEM", f.CA)
		}
	}
	if f.ClientID != "" {
		r := oauth.Registration{ClientID: f.ClientID}
		if f.ClientSecretFile != "" {
			text, err := os.ReadFile(f.ClientSecretFile)
			if err != nil {
				return nil, nil, failed("--client-secret-file names a file with the secret and nothing else", "read the client secret: %w", err)
			}
			r.ClientSecret = strings.TrimSpace(string(text))
		}
		opts.Registrations = []oauth.Registration{r}
	}
	if f.asks(a) {
		browser := &oauth.LoopbackOptions{RedirectURI: f.RedirectURI, Timeout: loginTimeout}
		if f.Browser {
			browser.Open = oauth.OpenBrowser
		}
		loopback, err = oauth.ListenLoopback(func(link string) {
			fmt.Fprintf(a.stderr, "The server asks for a login. Open this address in a browser on this machine:\n\n  %s\n\n", link)
		}, browser)
		if err != nil {
			return nil, nil, failed("leave --redirect-uri out, or free its port", "%w", err)
		}
		opts.RedirectURI = loopback.RedirectURI()
		opts.Authorize = func(ctx context.Context, link string) (string, error) {
			p.pause()
			defer p.resume()
			return loopback.Authorize(ctx, link)
		}
	}
	return oauth.NewTransport(address, opts), loopback, nil
}

// asks reports whether a person is there to log in.
func (f *loginFlags) asks(a *app) bool {
	if f.Login != nil {
		return *f.Login
	}
	return terminal(a.stderr)
}

// takesLogin reports whether tokens may be sent to u at all: other servers are
// reached without.
func takesLogin(u *url.URL) bool {
	host := u.Hostname()
	local := host == "localhost" || net.ParseIP(host).IsLoopback()
	return u.User == nil && (u.Scheme == "https" || u.Scheme == "http" && local)
}

// dataDir is the data directory, which the flag may name.
func (a *app) dataDir(flag string) string {
	if flag != "" {
		return flag
	}
	return config.Default(a.lookup).Data
}

// lazyStore is the store of grants in a directory, which is made when a server first
// asks for a login.
type lazyStore struct {
	dir string

	mu    sync.Mutex
	store *oauth.FileStore
}

func (s *lazyStore) open(ctx context.Context) (*oauth.FileStore, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.store == nil {
		store, err := oauth.OpenFileStore(ctx, s.dir, nil)
		if err != nil {
			return nil, err
		}
		s.store = store
	}
	return s.store, nil
}

func (s *lazyStore) Load(ctx context.Context, key string) (*oauth.Grant, error) {
	if _, err := os.Stat(s.dir); errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	store, err := s.open(ctx)
	if err != nil {
		return nil, err
	}
	return store.Load(ctx, key)
}

func (s *lazyStore) Save(ctx context.Context, key string, g *oauth.Grant) error {
	store, err := s.open(ctx)
	if err != nil {
		return err
	}
	return store.Save(ctx, key, g)
}

func (s *lazyStore) Delete(ctx context.Context, key string) error {
	store, err := s.open(ctx)
	if err != nil {
		return err
	}
	return store.Delete(ctx, key)
}

func (s *lazyStore) Lock(ctx context.Context, key string) (func(), error) {
	store, err := s.open(ctx)
	if err != nil {
		return nil, err
	}
	return store.Lock(ctx, key)
}

// patience is a time limit for requests that stands still while a person logs in.
type patience struct {
	limit time.Duration

	mu      sync.Mutex
	logins  int                      // under way
	running map[*time.Timer]struct{} // of the requests under way
}

// patient is a handler whose requests have the limit.
type patient struct {
	mcp.Handler
	*patience
}

// Handle implements [mcp.Handler].
func (p patient) Handle(ctx context.Context, req *mcp.Request, sink mcp.Sink) (mcp.Result, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	done := p.begin(func() { cancel(context.DeadlineExceeded) })
	defer done()
	return p.Handler.Handle(ctx, req, sink)
}

// begin calls over at the limit, unless done is called before.
func (p *patience) begin(over func()) (done func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	timer := time.AfterFunc(p.limit, over)
	if p.logins > 0 {
		timer.Stop()
	}
	if p.running == nil {
		p.running = map[*time.Timer]struct{}{}
	}
	p.running[timer] = struct{}{}
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		timer.Stop()
		delete(p.running, timer)
	}
}

func (p *patience) pause() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.logins++
	for timer := range p.running {
		timer.Stop()
	}
}

// resume starts the limits anew: a login is no reason to have less time.
func (p *patience) resume() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.logins--; p.logins > 0 {
		return
	}
	for timer := range p.running {
		timer.Reset(p.limit)
	}
}

// loginHint says what to do about an error of authorization; "" if err is none.
func loginHint(err error) string {
	var refused *oauth.TokenError
	var unregistered *oauth.RegistrationError
	var scope *oauth.ScopeError
	switch {
	case errors.Is(err, oauth.ErrLoginRequired):
		return `log in once with "fairlead tools --url URL --login", or give a token with --token-file`
	case errors.Is(err, oauth.ErrNoRegistration), errors.As(err, &unregistered):
		return "give a token with --token-file, or register a client at the authorization server and name it with --client-id"
	case errors.As(err, &scope):
		return "ask whoever runs the server for the permission"
	case errors.Is(err, oauth.ErrUnsafeURL):
		return "the server's metadata leads to an address that is not public; give a token with --token-file if you trust it"
	case errors.Is(err, oauth.ErrUnauthorized), errors.As(err, &refused):
		return "run the command again to log in anew, or give a token with --token-file"
	}
	return ""
}
