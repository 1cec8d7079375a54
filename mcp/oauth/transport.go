package oauth

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
)

var (
	// ErrLoginRequired says that the server wants a token, and that there is neither
	// a usable one in the store nor a way to get one: set Options.Authorize or
	// Options.Flow.
	ErrLoginRequired = errors.New("oauth: the server requires a login")
	// ErrUnauthorized says that the server refuses a token that was issued for it a
	// moment ago.
	ErrUnauthorized = errors.New("oauth: the server refuses the token that its own authorization server issued")
)

// ScopeError says that a request needs scopes that the token does not get: it has
// been asked for them and not received them, or has them and is refused all the
// same.
type ScopeError struct {
	Scopes      []string // that the server wants for the request
	Description string   // of the server: printable ASCII, at most some hundred characters
}

func (e *ScopeError) Error() string {
	msg := "oauth: the server refuses the request for want of scope"
	if len(e.Scopes) > 0 {
		msg += " " + strings.Join(e.Scopes, " ")
	}
	if e.Description != "" {
		msg += ": " + e.Description
	}
	return msg + "; the authorization server did not grant it, or the user may not do this"
}

const (
	maxRenewals = 3                // of the token, for one request
	expiryGap   = 30 * time.Second // a token that ends sooner is renewed before it is sent
)

// Transport is an [http.RoundTripper] that authorizes the requests to one MCP
// server (MCP 2026-07-28, basic/authorization). It sends what it has, and answers a
// refusal: status 401 by discovery, registration and authorization, status 403 with
// insufficient_scope by authorization for the union of all scopes; then it sends the
// request again, for which a body needs GetBody. At most three tokens are tried for
// one request. Tokens are renewed before they end, under the store's lock.
//
// While one request gets a token the others wait, and share its failure. Waits end
// with the context of the request; a refresh that is on its way gets 5 seconds more.
//
// A token goes to the server's own origin, over https or to this machine, and never
// along a redirect. Requests to other origins, and those with an Authorization
// header of their own, pass as they are. Safe for concurrent use.
type Transport struct {
	endpoint *url.URL
	bad      error // what is wrong with the endpoint or the options
	opts     Options
	flow     Flow // nil if there is none
	base     http.RoundTripper
	store    Store
	key      string

	http  *http.Client // for metadata, registration and tokens
	guard *guard       // of http; nil if that is the user's

	turn chan struct{} // holds a value while somebody gets a token

	mu        sync.Mutex
	loaded    bool            // the store was asked
	grant     *Grant          // newest known; not changed, but replaced
	asked     []string        // scopes asked for at the issuer of grant
	known     *ServerMetadata // of the last issuer
	failures  int             // how often a turn failed
	failure   error           // of the last turn that failed
	contacted bool            // the guard has seen where the server is

	refusals refusals
}

// NewTransport returns a transport for the MCP server at an https URL, or an http
// one on this machine. It does no I/O; unusable arguments are the error of every
// request. A nil opts means the defaults.
func NewTransport(endpoint string, opts *Options) *Transport {
	t := &Transport{turn: make(chan struct{}, 1)}
	if opts != nil {
		t.opts = *opts
	}
	t.base, t.store, t.http = t.opts.Base, t.opts.Store, t.opts.HTTPClient
	if t.base == nil {
		t.base = &http.Transport{
			Proxy:               http.ProxyFromEnvironment,
			ForceAttemptHTTP2:   true,
			TLSClientConfig:     &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: t.opts.RootCAs},
			MaxIdleConnsPerHost: 64,
			IdleConnTimeout:     90 * time.Second,
			TLSHandshakeTimeout: 10 * time.Second,
			// A stream may be silent for hours; one whose server is gone must not be.
			HTTP2: &http.HTTP2Config{SendPingTimeout: 30 * time.Second, PingTimeout: 15 * time.Second},

			MaxResponseHeaderBytes: 256 << 10,
		}
	}
	if t.store == nil {
		t.store = &MemoryStore{}
	}
	if t.http == nil {
		t.guard = newGuard(&GuardOptions{RootCAs: t.opts.RootCAs})
		t.http = t.guard.client()
	}
	if t.flow = t.opts.Flow; t.flow == nil && t.opts.Authorize != nil {
		t.flow = &codeFlow{authorize: t.opts.Authorize, redirectURI: t.opts.RedirectURI}
	}
	t.endpoint, t.bad = t.opts.check(endpoint)
	if t.bad == nil {
		t.key = canonical(t.endpoint) + " " + t.opts.Account
	}
	return t
}

// check says what is wrong with the options.
func (o *Options) check(endpoint string) (*url.URL, error) {
	u, err := url.Parse(endpoint)
	if err != nil {
		return nil, errors.New("oauth: the server's URL cannot be parsed")
	}
	u.Fragment, u.RawFragment = "", ""
	if u, err = parseSecure(u.String()); err != nil {
		return nil, fmt.Errorf("oauth: the server's URL: %w: no token can be sent there", err)
	}
	if o.Resource != "" {
		if _, err := parseSecure(o.Resource); err != nil {
			return nil, fmt.Errorf("oauth: Options.Resource: %w", err)
		}
	}
	if o.Flow == nil && o.Authorize != nil {
		if r, err := parseSecure(o.RedirectURI); err != nil {
			return nil, fmt.Errorf("oauth: Options.RedirectURI, which Authorize needs: %w", err)
		} else if r.Query().Has("code") || r.Query().Has("state") || r.Query().Has("iss") || r.Query().Has("error") {
			return nil, errors.New("oauth: Options.RedirectURI has a query parameter that the authorization response uses")
		}
	}
	if o.ClientMetadataURL != "" {
		if d, err := parseSecure(o.ClientMetadataURL); err != nil || d.Scheme != "https" || len(d.Path) < 2 {
			return nil, errors.New("oauth: Options.ClientMetadataURL is not an https URL with a path and without user and fragment")
		}
	}
	if i := slices.IndexFunc(o.Scopes, func(s string) bool { return !isScope(s) }); i >= 0 {
		return nil, fmt.Errorf("oauth: Options.Scopes: %q is not a scope", o.Scopes[i])
	}
	return u, nil
}

// CloseIdleConnections closes connections that nobody uses, as
// [http.Client.CloseIdleConnections] asks for.
func (t *Transport) CloseIdleConnections() {
	for _, rt := range []http.RoundTripper{t.base, t.http.Transport} {
		if c, ok := rt.(interface{ CloseIdleConnections() }); ok {
			c.CloseIdleConnections()
		}
	}
}

// RoundTrip implements [http.RoundTripper].
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	switch {
	case t.bad != nil:
		closeBody(req)
		return nil, t.bad
	case originOf(req.URL) != originOf(t.endpoint), req.Header.Get("Authorization") != "":
		return t.base.RoundTrip(req)
	case req.Response != nil:
		return t.redirected(req)
	}
	token, err := t.current(req.Context())
	if err != nil {
		closeBody(req)
		return nil, err
	}
	tried := trial{}
	for {
		res, err := t.send(req, token, tried.sent)
		if err != nil {
			return nil, err
		}
		tried.sent = true
		next, err := t.react(req.Context(), res, token, &tried)
		if next == nil && err == nil {
			return res, nil
		}
		discard(res)
		if err != nil {
			return nil, err
		}
		if !repeatable(req) {
			return nil, errors.New("oauth: authorized, but the request cannot be sent again: its body has no GetBody; repeat it")
		}
		token = next
	}
}

// redirected sends a request that a redirect led to without a token: who answers a
// request may not send its token elsewhere, not even on its own host.
func (t *Transport) redirected(req *http.Request) (*http.Response, error) {
	res, err := t.base.RoundTrip(req)
	if err == nil && (res.StatusCode == http.StatusUnauthorized || res.StatusCode == http.StatusForbidden) {
		discard(res)
		u := *req.URL
		u.RawQuery, u.User = "", nil
		return nil, fmt.Errorf("oauth: the server redirects to %q, which wants a token, and tokens do not follow redirects; use that as the server's URL", plain(u.String()))
	}
	return res, err
}

// send makes one exchange, and a second where the server wants a nonce in the DPoP
// proof (RFC 9449, section 9). again says that the body is not the first.
func (t *Transport) send(req *http.Request, token *Token, again bool) (*http.Response, error) {
	for nonces := 0; ; nonces++ {
		out, used, err := t.prepare(req, token, again)
		if err != nil {
			if !again {
				closeBody(req)
			}
			return nil, err
		}
		res, err := t.base.RoundTrip(out)
		if err != nil || token == nil || token.Key == "" {
			return res, err
		}
		t.opts.DPoP.remember(req.URL.String(), res.Header)
		if res.StatusCode != http.StatusUnauthorized || nonces > 0 || t.opts.DPoP.nonceFor(req.URL.String()) == used {
			return res, nil
		}
		all, err := ParseChallenges(res.Header)
		c, ok := challengeOf(all, "dpop")
		if err != nil || !ok || c.Params["error"] != "use_dpop_nonce" || !repeatable(req) {
			return res, nil
		}
		discard(res)
		again = true
	}
}

// repeatable reports whether a request can be sent again.
func repeatable(req *http.Request) bool {
	return req.Body == nil || req.Body == http.NoBody || req.GetBody != nil
}

// prepare copies a request and gives it the token. nonce is the one in its proof.
func (t *Transport) prepare(req *http.Request, token *Token, again bool) (out *http.Request, nonce string, err error) {
	ctx := req.Context()
	out = req.WithContext(ctx)
	if t.guard != nil && !t.isContacted() {
		out = t.guard.observe(req)
	}
	out.Header = req.Header.Clone()
	if out.Header == nil {
		out.Header = http.Header{}
	}
	if again && req.GetBody != nil {
		if out.Body, err = req.GetBody(); err != nil {
			return nil, "", fmt.Errorf("oauth: the body of the request, again: %w", err)
		}
	}
	if token == nil {
		return out, "", nil
	}
	out.Header.Set("Authorization", token.TokenType+" "+token.AccessToken)
	if token.Key != "" {
		nonce = t.opts.DPoP.nonceFor(req.URL.String())
		proof, err := t.opts.DPoP.proof(req.Method, req.URL.String(), nonce, token.AccessToken)
		if err != nil {
			return nil, "", err
		}
		out.Header.Set("DPoP", proof)
	}
	return out, nonce, nil
}

func (t *Transport) isContacted() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.contacted
}

// trial is what was done for one request.
type trial struct {
	sent      bool
	renewals  int
	refreshed bool     // the token came from a refresh token
	issued    bool     // the token is fresh from the authorization server
	scopes    []string // that were asked for because of the request
}

// react decides what a response means: nil and no error that it is the answer.
func (t *Transport) react(ctx context.Context, res *http.Response, token *Token, tried *trial) (*Token, error) {
	t.mu.Lock()
	t.contacted = true
	t.mu.Unlock()
	if res.StatusCode != http.StatusUnauthorized && res.StatusCode != http.StatusForbidden {
		return nil, nil
	}
	// A header that cannot be read is not guessed at: the well-known places remain.
	all, unreadable := ParseChallenges(res.Header)
	c, ours := challengeOf(all, "bearer", "dpop")
	if token != nil && token.Key != "" {
		if d, ok := challengeOf(all, "dpop"); ok {
			c = d
		}
	}
	w := want{challenge: c, used: token, fresh: tried.refreshed}
	if res.StatusCode == http.StatusForbidden {
		if c.Params["error"] != "insufficient_scope" {
			return nil, nil
		}
		w.stepUp = true
	} else if len(all) > 0 && !ours {
		return nil, nil // another scheme than OAuth's
	}
	var err error
	if w.scopes, err = c.scopes(); err != nil {
		return nil, fmt.Errorf("oauth: challenge of the server: %w", err)
	}
	if tried.renewals++; tried.renewals > maxRenewals {
		return nil, t.giveUp(&w)
	}
	switch {
	case w.stepUp && (token.Has(w.scopes...) && len(w.scopes) > 0 || len(tried.scopes) > 0 && covers(tried.scopes, w.scopes) || t.refusals.recent(w.scopes)):
		return nil, t.giveUp(&w)
	case !w.stepUp && tried.issued && !tried.refreshed && !w.asksMore():
		return nil, t.giveUp(&w)
	}
	got, err := t.renew(ctx, &w)
	if err != nil {
		if w.stepUp && got.asked && ctx.Err() == nil {
			t.refusals.add(w.scopes)
		}
		if unreadable != nil {
			err = fmt.Errorf("%w (and the server's challenge is malformed: %w)", err, unreadable)
		}
		return nil, err
	}
	tried.refreshed, tried.issued = got.refreshed, got.issued
	if w.stepUp {
		tried.scopes = union(tried.scopes, got.scopes...)
	}
	return got.token, nil
}

// giveUp is the error of a request that no token helps.
func (t *Transport) giveUp(w *want) error {
	if w.stepUp {
		t.refusals.add(w.scopes)
		return &ScopeError{Scopes: w.scopes, Description: plain(w.challenge.Params["error_description"])}
	}
	if d := w.challenge.Params["error_description"]; d != "" {
		return fmt.Errorf("%w: %s", ErrUnauthorized, plain(d))
	}
	return ErrUnauthorized
}

// covers reports whether all of some scopes are in scopes.
func covers(scopes, some []string) bool {
	return !slices.ContainsFunc(some, func(s string) bool { return !slices.Contains(scopes, s) })
}

// discard ends a response that is not the answer. The connection is kept where the
// rest is short.
func discard(res *http.Response) {
	if res.ContentLength >= 0 && res.ContentLength <= 4096 {
		_, _ = io.CopyN(io.Discard, res.Body, res.ContentLength)
	}
	_ = res.Body.Close()
}

func closeBody(req *http.Request) {
	if req.Body != nil {
		_ = req.Body.Close()
	}
}
