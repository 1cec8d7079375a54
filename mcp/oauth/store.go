package oauth

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"
)

// Registration is a client as one authorization server knows it (MCP 2026-07-28,
// basic/authorization/client-registration). It is of use there only: credentials
// are keyed by issuer. Printed or logged it does not show the secret.
type Registration struct {
	// Issuer is the issuer identifier of the authorization server, as its metadata has it.
	Issuer string `json:"issuer"`
	// ClientID is what that server calls the client.
	ClientID string `json:"clientId"`
	// ClientSecret is empty for a public client and for one that signs assertions.
	ClientSecret string `json:"clientSecret,omitempty"`
	// AuthMethod is how the client proves itself at the token endpoint: none,
	// client_secret_basic, client_secret_post or private_key_jwt.
	AuthMethod string `json:"authMethod,omitempty"`
	// Source is where it comes from: preregistered, cimd or dcr.
	Source string `json:"source,omitempty"`
	// RedirectURI is the one that was registered, where the source is dcr.
	RedirectURI string `json:"redirectUri,omitempty"`
	// SecretExpiry is when the secret ends. Zero means that it does not.
	SecretExpiry time.Time `json:"secretExpiry,omitzero"`
}

// Format prints what is not secret, for every verb.
func (r Registration) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, r.String()) }

// String says which client at which server.
func (r Registration) String() string {
	return fmt.Sprintf("client %q at %s (%s)", r.ClientID, r.Issuer, r.Source)
}

// LogValue is String: no log shows a secret.
func (r Registration) LogValue() slog.Value { return slog.StringValue(r.String()) }

// Grant is what a client holds for one MCP server: who it is at the authorization
// server, and the newest token.
type Grant struct {
	Issuer       string       `json:"issuer"`
	Resource     string       `json:"resource"` // that the token is for, as its metadata spells it
	Registration Registration `json:"registration"`
	Token        Token        `json:"token"`
}

// Format prints what is not secret, for every verb.
func (g Grant) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, g.String()) }

// String says who has what, without the secrets.
func (g Grant) String() string { return g.Registration.String() + ": " + g.Token.String() }

// LogValue is String: a log that writes JSON would else write the fields.
func (g Grant) LogValue() slog.Value { return slog.StringValue(g.String()) }

// Store keeps grants. Keys are opaque, such as a resource and the name of an
// account. An implementation is safe for concurrent use, and gives and takes
// copies.
type Store interface {
	// Load returns the grant of a key; nil and no error when there is none. A grant
	// that cannot be read is an error, never absent.
	Load(ctx context.Context, key string) (*Grant, error)
	// Save replaces the grant of a key. When it returns the grant survives a crash
	// of the process.
	Save(ctx context.Context, key string, g *Grant) error
	// Delete removes the grant of a key. One that is not there is no error.
	Delete(ctx context.Context, key string) error
	// Lock waits until nobody else holds the lock of the key, in this process or
	// another that shares the store, or until ctx ends. A refresh token that
	// rotates can be spent once only: who refreshes takes the lock, loads the grant
	// again, and saves the new one before it unlocks. Load, Save and Delete do not
	// need the lock. The lock of a process that dies is free.
	Lock(ctx context.Context, key string) (unlock func(), err error)
}

// MemoryStore is a [Store] that ends with the process. The zero value is empty and
// ready.
type MemoryStore struct {
	locks keyLocks

	mu     sync.Mutex
	grants map[string]Grant // key -> grant
}

// Load implements [Store].
func (s *MemoryStore) Load(_ context.Context, key string) (*Grant, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	g, ok := s.grants[key]
	if !ok {
		return nil, nil
	}
	return g.clone(), nil
}

// Save implements [Store].
func (s *MemoryStore) Save(_ context.Context, key string, g *Grant) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.grants == nil {
		s.grants = map[string]Grant{}
	}
	s.grants[key] = *g.clone()
	return nil
}

// Delete implements [Store].
func (s *MemoryStore) Delete(_ context.Context, key string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.grants, key)
	return nil
}

// Lock implements [Store].
func (s *MemoryStore) Lock(ctx context.Context, key string) (unlock func(), err error) {
	return s.locks.lock(ctx, key)
}

func (g *Grant) clone() *Grant {
	c := *g
	c.Token.Scopes = append([]string(nil), g.Token.Scopes...)
	return &c
}

// keyLocks is one lock for each key that somebody holds or waits for.
type keyLocks struct {
	mu    sync.Mutex
	locks map[string]*keyLock // key -> its lock, while somebody uses it
}

type keyLock struct {
	turn  chan struct{} // holds one value while the lock is held
	users int           // who holds it or waits for it
}

func (l *keyLocks) lock(ctx context.Context, key string) (unlock func(), err error) {
	l.mu.Lock()
	k := l.locks[key]
	if k == nil {
		if l.locks == nil {
			l.locks = map[string]*keyLock{}
		}
		k = &keyLock{turn: make(chan struct{}, 1)}
		l.locks[key] = k
	}
	k.users++
	l.mu.Unlock()
	leave := func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if k.users--; k.users == 0 {
			delete(l.locks, key)
		}
	}
	select {
	case k.turn <- struct{}{}: // free, and ctx does not matter
	default:
		select {
		case k.turn <- struct{}{}:
		case <-ctx.Done():
			leave()
			return nil, fmt.Errorf("oauth: wait for the lock of a grant: %w", context.Cause(ctx))
		}
	}
	return sync.OnceFunc(func() { <-k.turn; leave() }), nil
}
