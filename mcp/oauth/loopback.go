package oauth

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os/exec"
	"runtime"
	"sync/atomic"
	"time"
)

// Loopback receives the answers of authorization servers on this machine (RFC 8252,
// section 7.3), for programs that a person runs: its Authorize and RedirectURI are
// those of [Options]. The port is taken at once, so that the redirect URI is known;
// connections are accepted only while Authorize waits.
type Loopback struct {
	redirect *url.URL
	opts     LoopbackOptions
	show     func(authorizationURL string)
	turn     chan struct{} // holds one value while Authorize runs
	first    net.Listener  // for the first Authorize; nil afterwards
}

// LoopbackOptions changes the defaults of [ListenLoopback].
type LoopbackOptions struct {
	// RedirectURI is the one that the client is registered with: http on a loopback
	// host. No port means one that is free. Empty means http://127.0.0.1/callback.
	RedirectURI string
	// Open opens the URL in a browser, such as [OpenBrowser]. Its error is ignored:
	// the URL has been shown. Nil opens none.
	Open func(authorizationURL string) error
	// Timeout bounds the time that the user takes. Zero means 5 minutes.
	Timeout time.Duration
}

// ListenLoopback takes a port of this machine. show tells the user the URL to open;
// it is called once for each login. A nil opts means the defaults. Close it.
func ListenLoopback(show func(authorizationURL string), opts *LoopbackOptions) (*Loopback, error) {
	if show == nil {
		panic("oauth: ListenLoopback: show is nil")
	}
	l := &Loopback{show: show, turn: make(chan struct{}, 1)}
	if opts != nil {
		l.opts = *opts
	}
	if l.opts.RedirectURI == "" {
		l.opts.RedirectURI = "http://127.0.0.1/callback"
	}
	if l.opts.Timeout <= 0 {
		l.opts.Timeout = 5 * time.Minute
	}
	u, err := parseSecure(l.opts.RedirectURI)
	if err != nil {
		return nil, fmt.Errorf("oauth: redirect URI: %w", err)
	}
	if u.Scheme != "http" || u.RawQuery != "" {
		return nil, fmt.Errorf("oauth: redirect URI %q: it must be http, on a loopback host, without a query", l.opts.RedirectURI)
	}
	if u.Path == "" {
		u.Path = "/"
	}
	l.redirect = u
	if l.first, err = l.listen(); err != nil {
		return nil, err
	}
	u.Host = net.JoinHostPort(u.Hostname(), fmt.Sprint(l.first.Addr().(*net.TCPAddr).Port))
	return l, nil
}

func (l *Loopback) listen() (net.Listener, error) {
	host, port := l.redirect.Hostname(), l.redirect.Port()
	if net.ParseIP(host) == nil { // a name such as localhost is not looked up: whatever it is, only this machine may connect
		host = "127.0.0.1"
	}
	if port == "" {
		port = "0"
	}
	ln, err := net.Listen("tcp", net.JoinHostPort(host, port))
	if err != nil {
		return nil, fmt.Errorf("oauth: wait for the answer of the browser: %w", err)
	}
	return ln, nil
}

// RedirectURI is where the browser brings the answer.
func (l *Loopback) RedirectURI() string { return l.redirect.String() }

// Close gives the port back. It must not be called while Authorize runs.
func (l *Loopback) Close() error {
	if l.first == nil {
		return nil
	}
	return l.first.Close()
}

// Authorize shows an authorization URL and waits for the browser to bring the answer
// to it: it returns the redirect URI with the query that the browser asked for. It
// takes one answer, with the state of the authorization URL, and closes; what else
// asks is refused and does not end the wait. One Authorize runs at a time, others
// wait.
func (l *Loopback) Authorize(ctx context.Context, authorizationURL string) (redirected string, err error) {
	u, err := parseSecure(authorizationURL)
	if err != nil {
		return "", fmt.Errorf("oauth: authorization URL: %w", err)
	}
	state := u.Query().Get("state")
	if state == "" {
		return "", errors.New("oauth: the authorization URL has no state")
	}
	ctx, cancel := context.WithTimeoutCause(ctx, l.opts.Timeout, fmt.Errorf("nobody logged in within %s", l.opts.Timeout))
	defer cancel()
	select {
	case l.turn <- struct{}{}:
		defer func() { <-l.turn }()
	case <-ctx.Done():
		return "", fmt.Errorf("oauth: wait for another login: %w", context.Cause(ctx))
	}
	ln := l.first
	if l.first = nil; ln == nil {
		if ln, err = l.listen(); err != nil {
			return "", err
		}
	}
	answer := make(chan string, 1)
	srv := &http.Server{
		Handler:           l.handler(state, answer),
		ReadHeaderTimeout: 5 * time.Second,
		WriteTimeout:      5 * time.Second,
		MaxHeaderBytes:    32 << 10,
	}
	srv.SetKeepAlivesEnabled(false)
	served := make(chan error, 1)
	go func() { served <- srv.Serve(ln) }() // ends with Shutdown or Close below
	defer func() {
		// The page is still on its way to the browser; idle connections do not count.
		last, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = srv.Shutdown(last)
		_ = srv.Close()
		<-served
	}()
	l.show(u.String())
	if l.opts.Open != nil {
		_ = l.opts.Open(u.String()) // the user has the URL
	}
	select {
	case query := <-answer:
		redirected := *l.redirect
		redirected.RawQuery = query
		return redirected.String(), nil
	case err := <-served:
		served <- err
		return "", fmt.Errorf("oauth: wait for the answer of the browser: %w", err)
	case <-ctx.Done():
		return "", fmt.Errorf("oauth: wait for the answer of the browser: %w", context.Cause(ctx))
	}
}

// donePage says no more than is known: whether the answer is good is for the program
// to find out.
const donePage = `<!doctype html><meta charset="utf-8"><title>Login</title><p>The answer has arrived. You can close this page and go back to the program.`

// handler takes the one answer that has the state, and refuses everything else: any
// page in the browser and any program on this machine can ask.
func (l *Loopback) handler(state string, answer chan<- string) http.Handler {
	var taken atomic.Bool
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Cache-Control", "no-store")
		h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
		h.Set("Referrer-Policy", "no-referrer") // the URL holds the code
		h.Set("X-Content-Type-Options", "nosniff")
		q, err := url.ParseQuery(r.URL.RawQuery)
		switch {
		case r.Host != l.redirect.Host: // a name of somebody else that leads here
			http.Error(w, "not this host", http.StatusMisdirectedRequest)
		case r.URL.Path != l.redirect.Path:
			http.NotFound(w, r)
		case r.Method != http.MethodGet:
			h.Set("Allow", http.MethodGet)
			http.Error(w, "GET only", http.StatusMethodNotAllowed)
		case err != nil, subtle.ConstantTimeCompare([]byte(q.Get("state")), []byte(state)) != 1, !q.Has("code") && !q.Has("error"):
			http.Error(w, "not the answer that is waited for", http.StatusBadRequest)
		case !taken.CompareAndSwap(false, true):
			http.Error(w, "the answer has arrived already", http.StatusGone)
		default:
			answer <- r.URL.RawQuery // there is room: nobody else gets here
			h.Set("Content-Type", "text/html; charset=utf-8")
			_, _ = w.Write([]byte(donePage)) // the browser may have gone
		}
	})
}

// OpenBrowser opens an https URL, or an http one on loopback, in the user's browser.
// No shell sees it, and it is one argument that no program takes for an option. It
// returns when the browser's command has started.
func OpenBrowser(rawURL string) error {
	u, err := parseSecure(rawURL)
	if err != nil {
		return fmt.Errorf("oauth: open a browser: %w", err)
	}
	name, args := browserCommand(runtime.GOOS)
	cmd := exec.Command(name, append(args, u.String())...)
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("oauth: open a browser: %w", err)
	}
	go func() { _ = cmd.Wait() }() // reaps it; ends when the command does, which may be when the browser is closed
	return nil
}

func browserCommand(goos string) (name string, args []string) {
	switch goos {
	case "darwin":
		return "open", nil
	case "windows":
		return "rundll32", []string{"url.dll,FileProtocolHandler"}
	}
	return "xdg-open", nil
}
