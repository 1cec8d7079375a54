package oauth

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// want is what a refused request needs.
type want struct {
	challenge Challenge
	used      *Token   // that was refused; nil if none was sent
	scopes    []string // of the challenge
	stepUp    bool     // the token is good, and lacks scopes
	fresh     bool     // a refresh has not helped
}

// asksMore reports whether the challenge names scopes that the token lacks.
func (w *want) asksMore() bool { return len(w.scopes) > 0 && !w.used.Has(w.scopes...) }

// renewal is a token for a refused request, and where it comes from.
type renewal struct {
	token     *Token
	refreshed bool     // by a refresh token
	issued    bool     // by this call; otherwise by somebody else's
	asked     bool     // without success, the user or the flow
	scopes    []string // that were asked for
}

// current returns the token to send: nil if there is none, and the server is to say
// what it wants. One that ends soon is renewed first.
func (t *Transport) current(ctx context.Context) (*Token, error) {
	t.mu.Lock()
	g, loaded := t.grant, t.loaded
	t.mu.Unlock()
	if !loaded {
		var err error
		if g, err = t.store.Load(ctx, t.key); err != nil {
			return nil, err
		}
		g = t.keepFirst(g)
	}
	if g == nil || !t.usable(&g.Token) {
		return nil, nil
	}
	if g.Token.Valid(time.Now(), expiryGap) {
		return &g.Token, nil
	}
	if g.Token.RefreshToken == "" {
		if g.Token.Valid(time.Now(), 0) {
			return &g.Token, nil
		}
		return nil, nil
	}
	token, err := t.renewEnding(ctx)
	if errors.Is(err, ErrUnsafeURL) && !t.isContacted() {
		return nil, nil // whether the address is one of the server's own kind shows with its first answer
	}
	if err != nil && g.Token.Valid(time.Now(), 0) && ctx.Err() == nil {
		return &g.Token, nil // still good; the authorization server may be back in time
	}
	return token, err
}

// usable reports whether a stored token can be sent: it is there, and its key is
// ours.
func (t *Transport) usable(token *Token) bool {
	if token.AccessToken == "" {
		return false
	}
	return token.Key == "" || t.opts.DPoP != nil && t.opts.DPoP.Thumbprint() == token.Key
}

// keepFirst makes what the store has the current grant, unless there is one by now,
// which is newer. It returns the current one.
func (t *Transport) keepFirst(g *Grant) *Grant {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.loaded {
		t.loaded, t.grant = true, g
	}
	return t.grant
}

// keep makes a grant the current one. It is not changed afterwards.
func (t *Transport) keep(g *Grant) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.loaded = true
	if g == nil || t.grant == nil || t.grant.Issuer != g.Issuer {
		t.asked = nil
	}
	t.grant = g
}

// save makes a grant the current one, here and in the store. Secrets that the
// options have do not go into the store.
func (t *Transport) save(ctx context.Context, g *Grant) error {
	t.keep(g)
	stored := *g
	if slices.ContainsFunc(t.opts.Registrations, func(r Registration) bool { return r.ClientID == g.Registration.ClientID }) {
		stored.Registration.ClientSecret = ""
	}
	// A refresh token that was rotated must not be lost because a caller went away.
	if err := t.store.Save(context.WithoutCancel(ctx), t.key, &stored); err != nil {
		return fmt.Errorf("oauth: the token is good, and cannot be stored: %w", err)
	}
	return nil
}

// exclusive runs do while nobody else gets a token for the server, in this process
// or another. It is given what the store has by then. Who waited while another
// failed shares the failure, so that a user is asked once.
func (t *Transport) exclusive(ctx context.Context, do func(*Grant) error) error {
	t.mu.Lock()
	failures := t.failures
	t.mu.Unlock()
	select {
	case t.turn <- struct{}{}:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	defer func() { <-t.turn }()
	t.mu.Lock()
	shared := t.failure
	if t.failures == failures {
		shared = nil
	}
	t.mu.Unlock()
	if shared != nil {
		return shared
	}
	err := t.locked(ctx, do)
	if err != nil && ctx.Err() == nil {
		t.mu.Lock()
		t.failures, t.failure = t.failures+1, err
		t.mu.Unlock()
	}
	return err
}

func (t *Transport) locked(ctx context.Context, do func(*Grant) error) error {
	unlock, err := t.store.Lock(ctx, t.key)
	if err != nil {
		return err
	}
	defer unlock()
	g, err := t.store.Load(ctx, t.key)
	if err != nil {
		return err
	}
	return do(g)
}

// renewEnding refreshes the token, which ends. Nil and no error means that it cannot be
// refreshed any more.
func (t *Transport) renewEnding(ctx context.Context) (token *Token, err error) {
	err = t.exclusive(ctx, func(g *Grant) error {
		if g == nil {
			t.keep(nil) // logged out elsewhere
			return nil
		}
		if t.usable(&g.Token) && g.Token.Valid(time.Now(), expiryGap) { // somebody else was faster
			t.keep(g)
			token = &g.Token
			return nil
		}
		m, err := t.issuerOf(ctx, g)
		if err != nil {
			return err
		}
		token, err = t.refresh(ctx, g, m)
		return err
	})
	return token, err
}

// refresh spends the refresh token of a grant. Nil and no error means that the
// server does not take it: the token is dropped, and the client stays registered.
func (t *Transport) refresh(ctx context.Context, g *Grant, m *ServerMetadata) (*Token, error) {
	s := t.server(m, g.Resource)
	var err error
	if s.Registration, err = t.registered(g, m); err == nil {
		var fresh *Token
		// A rotated token that is on its way must not be lost because a caller went
		// away.
		longer, done := linger(ctx)
		fresh, err = s.endpoint().refresh(longer, &g.Token, g.Resource, nil)
		done()
		if err == nil {
			next := *g
			next.Registration, next.Token = s.Registration, *fresh
			return fresh, t.save(ctx, &next)
		}
		if refused := (*TokenError)(nil); !errors.As(err, &refused) {
			return nil, err
		}
	}
	next := *g
	next.Token = Token{Scopes: g.Token.Scopes}
	if refused := (*TokenError)(nil); errors.As(err, &refused) && refused.Code == "invalid_client" && g.Registration.Source == SourceDynamic {
		next.Registration = Registration{} // the server has forgotten the client
	}
	return nil, t.save(ctx, &next)
}

// linger is ctx with 5 seconds more when it is cancelled.
func linger(ctx context.Context) (context.Context, func()) {
	longer, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(5*time.Second, cancel) })
	return longer, func() { stop(); cancel() }
}

// registered is the client of a grant, with its secret.
func (t *Transport) registered(g *Grant, m *ServerMetadata) (Registration, error) {
	if len(t.opts.Registrations) == 0 {
		return g.Registration, nil
	}
	r, err := t.opts.preregistered(m, g.Registration)
	if err == nil && r.ClientID != g.Registration.ClientID {
		err = errors.New("oauth: the token belongs to another client than the configured one")
	}
	return r, err
}

// renew gets a token for a refused request.
func (t *Transport) renew(ctx context.Context, w *want) (got renewal, err error) {
	err = t.exclusive(ctx, func(g *Grant) error {
		if g != nil && t.usable(&g.Token) && g.Token.Valid(time.Now(), 0) &&
			(w.used == nil || g.Token.AccessToken != w.used.AccessToken) && g.Token.Has(w.scopes...) {
			t.keep(g) // somebody else was faster
			got = renewal{token: &g.Token}
			return nil
		}
		got, err = t.authorize(ctx, w, g)
		return err
	})
	return got, err
}

// authorize finds out who issues tokens for the server and gets one: by the refresh
// token if that can help, by the flow otherwise.
func (t *Transport) authorize(ctx context.Context, w *want, g *Grant) (renewal, error) {
	if g == nil {
		g = &Grant{}
	}
	m, resource, offered, err := t.discover(ctx, w.challenge, g)
	if err != nil {
		return renewal{}, fmt.Errorf("oauth: %s: %w", originOf(t.endpoint), err)
	}
	same := g.Issuer == m.Issuer
	if same && !w.stepUp && !w.fresh && t.usable(&g.Token) && g.Token.RefreshToken != "" && (len(w.scopes) == 0 || g.Token.Has(w.scopes...)) {
		switch token, err := t.refresh(ctx, g, m); {
		case err != nil:
			return renewal{}, err
		case token != nil:
			return renewal{token: token, refreshed: true, issued: true}, nil
		}
		t.mu.Lock()
		g = t.grant
		t.mu.Unlock()
	}
	if t.flow == nil {
		return renewal{}, fmt.Errorf("%w: %s", ErrLoginRequired, originOf(t.endpoint))
	}
	s := t.server(m, resource)
	s.Scopes = w.scopes
	if len(s.Scopes) == 0 && (w.stepUp || !same || w.used == nil) {
		if s.Scopes = t.opts.Scopes; s.Scopes == nil || w.stepUp {
			s.Scopes = union(s.Scopes, offered...)
		}
		if w.stepUp && w.used.Has(s.Scopes...) { // the server does not say what is missing
			return renewal{}, &ScopeError{Description: plain(w.challenge.Params["error_description"])}
		}
	}
	if same { // what was asked for before is not lost (Step-Up Authorization Flow)
		s.Scopes = t.withAsked(g, s.Scopes)
	}
	if len(s.Scopes) > maxScopes {
		return renewal{}, fmt.Errorf("oauth: the server has asked for more than %d scopes", maxScopes)
	}
	if s.Registration, err = t.opts.register(ctx, t.http, m, g.Registration); err != nil {
		return renewal{}, err
	}
	next := &Grant{Issuer: m.Issuer, Resource: resource, Registration: s.Registration}
	if s.Registration.Source == SourceDynamic && s.Registration != g.Registration && g.Token.AccessToken == "" {
		if err := t.save(ctx, next); err != nil { // it is not made again because a user closes a window
			return renewal{}, err
		}
	}
	token, err := t.flow.Token(ctx, s)
	if err != nil {
		return renewal{asked: true}, t.forget(ctx, next, err)
	}
	if token == nil || !t.usable(token) {
		return renewal{asked: true}, errors.New("oauth: the flow returned no token, or one that is bound to another key than Options.DPoP")
	}
	next.Token = *token
	if next.Token.TokenType == "" {
		next.Token.TokenType = "Bearer"
	}
	if err := t.save(ctx, next); err != nil {
		return renewal{}, err
	}
	t.mu.Lock()
	t.asked = s.Scopes
	t.mu.Unlock()
	return renewal{token: &next.Token, issued: true, scopes: s.Scopes}, nil
}

// forget drops a dynamic registration that the server does not know any more; the
// next request registers anew. It returns err.
func (t *Transport) forget(ctx context.Context, g *Grant, err error) error {
	if refused := (*TokenError)(nil); errors.As(err, &refused) && refused.Code == "invalid_client" && g.Registration.Source == SourceDynamic {
		return errors.Join(err, t.save(ctx, &Grant{Issuer: g.Issuer, Resource: g.Resource}))
	}
	return err
}

// withAsked adds the scopes that were asked for and granted before. offline_access
// is not the resource's, and is added where a refresh token is wanted.
func (t *Transport) withAsked(g *Grant, scopes []string) []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	before := union(t.asked, g.Token.Scopes...)
	before = slices.DeleteFunc(before, func(s string) bool { return s == offlineAccess || !isScope(s) })
	return union(before, scopes...)
}

// server is what a flow works with.
func (t *Transport) server(m *ServerMetadata, resource string) *Server {
	return &Server{Metadata: m, Resource: resource, http: t.http, signer: t.opts.Signer, dpop: t.opts.DPoP}
}

// discover asks the MCP server who issues its tokens, and that server who it is.
// resource is what tokens are asked for, offered the scopes that the MCP server
// names.
func (t *Transport) discover(ctx context.Context, c Challenge, g *Grant) (m *ServerMetadata, resource string, offered []string, err error) {
	d := t.discovery()
	about, err := d.resourceMetadata(ctx, c)
	switch {
	case err != nil:
		return nil, "", nil, err
	case about == nil: // 2025-03-26
		resource = d.resource
		m, err = d.ownMetadata(ctx)
	default:
		resource, offered = about.Resource, about.ScopesSupported
		m, err = d.serverMetadata(ctx, t.choose(about.AuthorizationServers, g))
	}
	if err != nil {
		return nil, "", nil, err
	}
	t.mu.Lock()
	t.known = m
	t.mu.Unlock()
	return m, resource, offered, nil
}

func (t *Transport) discovery() *discovery {
	d := &discovery{http: t.http, endpoint: t.endpoint, resource: canonical(t.endpoint)}
	if t.opts.Resource != "" {
		u, _ := parseSecure(t.opts.Resource) // was checked
		d.resource, d.explicit = canonical(u), true
	}
	return d
}

// choose picks one of the authorization servers of a resource: the one that the
// grant is of, one that the client is registered at, or the first.
func (t *Transport) choose(issuers []string, g *Grant) string {
	if slices.Contains(issuers, g.Issuer) {
		return g.Issuer
	}
	for _, r := range t.opts.Registrations {
		if slices.Contains(issuers, r.Issuer) {
			return r.Issuer
		}
	}
	return issuers[0]
}

// issuerOf is the metadata of the server that issued a grant.
func (t *Transport) issuerOf(ctx context.Context, g *Grant) (*ServerMetadata, error) {
	t.mu.Lock()
	known := t.known
	t.mu.Unlock()
	if known != nil && known.Issuer == g.Issuer {
		return known, nil
	}
	d := t.discovery()
	m, err := d.serverMetadata(ctx, g.Issuer)
	if errors.Is(err, errAbsent) && strings.TrimSuffix(g.Issuer, "/") == originOf(t.endpoint) {
		m, err = d.ownMetadata(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("oauth: refresh: %w", err)
	}
	t.mu.Lock()
	t.known = m
	t.mu.Unlock()
	return m, nil
}
