package oauth_test

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fairlead-mcp/fairlead/mcp/oauth"
)

// TestRefresh: a token that ends is renewed before it is sent, with the newest
// refresh token, and without the user.
func TestRefresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorldWithoutNetwork()
		w.mcp.scopes = []string{"read"}
		rt := w.transport(nil)
		for range 4 {
			w.mustCall(t, rt, "x")
			time.Sleep(40 * time.Minute)
		}
		if got := len(w.logins()); got != 1 {
			t.Errorf("%d logins, want 1", got)
		}
		got := w.as.tokenRequests("refresh_token")
		if len(got) != 1 {
			t.Fatalf("%d refreshes, want 1: one at 80 minutes, another at 160", len(got))
		}
		if got[0].Get("resource") != w.mcp.url+"/mcp" || got[0].Has("scope") {
			t.Errorf("refresh %v", got[0])
		}
		for _, line := range w.mcp.seen("POST")[1:] {
			if !strings.Contains(line, "Bearer") {
				t.Errorf("a call went without a token: %q", line)
			}
		}
	})
}

// TestRefreshOfTwo: two processes with one store spend each refresh token once. The
// server refuses one that is spent, as it must.
func TestRefreshOfTwo(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		w := newWorldWithoutNetwork()
		open := func() *oauth.Transport {
			store := openFileStore(t, dir)
			return w.transport(func(o *oauth.Options) { o.Store = store })
		}
		one, two := open(), open()
		w.mustCall(t, one, "x")
		for range 5 {
			time.Sleep(2 * time.Hour)
			done := make(chan error, 2)
			for _, rt := range []*oauth.Transport{one, two} {
				go func() { _, err := w.call(t, rt, "x"); done <- err }()
			}
			if err := errors.Join(<-done, <-done); err != nil {
				t.Error(err)
			}
		}
		if got := len(w.logins()); got != 1 {
			t.Errorf("%d logins, want 1", got)
		}
		if got := len(w.as.tokenRequests("refresh_token")); got != 5 {
			t.Errorf("%d refreshes, want 5", got)
		}
	})
}

// TestRefreshAfterRestart: a process that finds an ended token in the store refreshes
// it, at the issuer that it is of.
func TestRefreshAfterRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorldWithoutNetwork()
		w.as.path = "/tenant1"
		store := &oauth.MemoryStore{}
		change := func(o *oauth.Options) { o.Store = store }
		w.mustCall(t, w.transport(change), "x")
		time.Sleep(2 * time.Hour)
		w.mcp.seen("")
		w.mustCall(t, w.transport(change), "x")
		if got := w.mcp.seen(""); len(got) != 1 || len(w.logins()) != 1 {
			t.Errorf("requests %q, %d logins", got, len(w.logins()))
		}
	})
}

// TestRefreshGoesToItsIssuer: when another process has moved on to another
// authorization server, the refresh token from there does not go to the old one.
func TestRefreshGoesToItsIssuer(t *testing.T) {
	w, next := newWorld(t), newWorld(t)
	store := &oauth.MemoryStore{}
	open := func() *oauth.Transport { return w.transport(func(o *oauth.Options) { o.Store = store }) }
	one := open()
	w.mustCall(t, one, "x")
	w.as.revoke()
	w.mcp.as, next.as.lifetime = next.as, 1
	w.mustCall(t, open(), "y")

	w.as.lifetime = 1
	g, err := store.Load(t.Context(), w.mcp.url+"/mcp ")
	if err != nil || g.Issuer != next.as.url {
		t.Fatalf("stored: %v, %v", g, err)
	}
	w.mustCall(t, one, "z")
	if got := w.as.tokenRequests("refresh_token"); len(got) > 0 {
		t.Errorf("the old server got %v", got)
	}
	w.mustCall(t, one, "z") // the token of the new one ends at once
	if old, fresh := w.as.tokenRequests("refresh_token"), next.as.tokenRequests("refresh_token"); len(old) > 0 || len(fresh) == 0 {
		t.Errorf("refreshes: %v at the old server, %v at the new one", old, fresh)
	}
}

// TestRefreshRefused: a refresh token that is not good any more leads to a login, and
// only one.
func TestRefreshRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorldWithoutNetwork()
		rt := w.transport(nil)
		w.mustCall(t, rt, "x")
		clear(w.as.refreshes)
		time.Sleep(2 * time.Hour)
		w.mustCall(t, rt, "y")
		if got := len(w.logins()); got != 2 {
			t.Errorf("%d logins, want 2", got)
		}
		if got := len(w.as.registrations); got != 1 {
			t.Errorf("%d registrations, want 1", got)
		}
	})
}

// TestRevoked: a token that the server ends early is renewed by the refresh token;
// when that does not help, by a login.
func TestRevoked(t *testing.T) {
	w := newWorld(t)
	rt := w.transport(nil)
	w.mustCall(t, rt, "x")
	w.as.revoke()
	w.mustCall(t, rt, "y")
	if logins, refreshes := len(w.logins()), len(w.as.tokenRequests("refresh_token")); logins != 1 || refreshes != 1 {
		t.Errorf("%d logins and %d refreshes, want 1 and 1", logins, refreshes)
	}
	// From here on a refreshed token is no good.
	logins := 1
	w.mcp.before = func(rw http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path == "/mcp" && len(w.logins()) == logins {
			rw.WriteHeader(http.StatusUnauthorized)
			return true
		}
		return false
	}
	w.mustCall(t, rt, "z")
	if got := len(w.logins()); got != 2 {
		t.Errorf("%d logins, want 2", got)
	}
}

// TestIssuerIsDown: a token that has not ended is used while it cannot be renewed;
// one that has ended is an error, and not thrown away.
func TestIssuerIsDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorldWithoutNetwork()
		rt := w.transport(nil)
		w.mustCall(t, rt, "x")
		down := true
		w.as.before = func(rw http.ResponseWriter, _ *http.Request) bool {
			if down {
				rw.WriteHeader(http.StatusBadGateway)
			}
			return down
		}
		time.Sleep(time.Hour - 10*time.Second)
		w.mustCall(t, rt, "y")
		time.Sleep(time.Minute)
		if _, err := w.call(t, rt, "z"); err == nil || !strings.Contains(err.Error(), "502") {
			t.Errorf("got %v", err)
		}
		down = false
		w.mustCall(t, rt, "z")
		if got := len(w.logins()); got != 1 {
			t.Errorf("%d logins, want 1", got)
		}
	})
}

// TestLoginElsewhere: a login of another process is used.
func TestLoginElsewhere(t *testing.T) {
	w := newWorld(t)
	store := &oauth.MemoryStore{}
	w.mustCall(t, w.transport(func(o *oauth.Options) { o.Store = store }), "x")
	bare := oauth.NewTransport(w.mcp.url+"/mcp", &oauth.Options{Store: store, HTTPClient: w.client, Base: w.client.Transport})
	w.mustCall(t, bare, "y")

	// It can refresh, and cannot log in.
	w.as.revoke()
	w.mustCall(t, bare, "y")
	w.as.revoke()
	clear(w.as.refreshes)
	if _, err := w.call(t, bare, "z"); !errors.Is(err, oauth.ErrLoginRequired) {
		t.Errorf("got %v, want ErrLoginRequired", err)
	}
	another := w.transport(func(o *oauth.Options) { o.Store, o.Account = store, "ada" })
	w.mustCall(t, another, "x")
	if got := len(w.logins()); got != 2 {
		t.Errorf("%d logins, want one for each account", got)
	}
}

// slowStore is one whose first Load takes until it is told to go on.
type slowStore struct {
	oauth.MemoryStore
	loads atomic.Int32
	goOn  chan struct{}
}

func (s *slowStore) Load(ctx context.Context, key string) (*oauth.Grant, error) {
	g, err := s.MemoryStore.Load(ctx, key)
	if s.loads.Add(1) == 1 {
		<-s.goOn
	}
	return g, err
}

// TestSlowStore: what the store had before a login does not replace the login.
func TestSlowStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorldWithoutNetwork()
		store := &slowStore{goOn: make(chan struct{})}
		rt := w.transport(func(o *oauth.Options) { o.Store = store })
		var calls sync.WaitGroup
		calls.Go(func() {
			if status, err := w.call(t, rt, "slow"); err != nil || status != http.StatusOK {
				t.Errorf("status %d, %v", status, err)
			}
		})
		synctest.Wait()
		calls.Go(func() {
			if status, err := w.call(t, rt, "x"); err != nil || status != http.StatusOK {
				t.Errorf("status %d, %v", status, err)
			}
		})
		synctest.Wait()
		close(store.goOn)
		calls.Wait()
		if got := w.mcp.seen("POST"); len(got) != 3 {
			t.Errorf("requests %q, want two for the login, and one with its token", got)
		}
	})
}

// flow is a [oauth.Flow] that counts.
type flow struct {
	got []*oauth.Server
	do  func(s *oauth.Server) (*oauth.Token, error)
}

func (f *flow) Token(ctx context.Context, s *oauth.Server) (*oauth.Token, error) {
	f.got = append(f.got, s)
	if f.do != nil {
		return f.do(s)
	}
	return s.Request(ctx, url.Values{"grant_type": {"client_credentials"}, "resource": {s.Resource}, "scope": {strings.Join(s.Scopes, " ")}})
}

// TestFlow: a program without a user gets its tokens by its own flow: at first, when
// they end, and when more scopes are needed.
func TestFlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorldWithoutNetwork()
		w.mcp.scopes, w.mcp.need = []string{"read"}, needsScope
		w.as.know("job", "s3cret")
		f := &flow{}
		rt := w.transport(func(o *oauth.Options) {
			o.Flow, o.Registrations = f, []oauth.Registration{{Issuer: w.as.url, ClientID: "job", ClientSecret: "s3cret"}}
		})
		w.mustCall(t, rt, "x")
		time.Sleep(2 * time.Hour)
		w.mustCall(t, rt, "x")
		w.mustCall(t, rt, "needs write")
		if len(f.got) != 3 || len(w.logins()) != 0 {
			t.Fatalf("the flow ran %d times, the user was asked %d times; want 3 and 0", len(f.got), len(w.logins()))
		}
		last := f.got[2]
		if last.Metadata.Issuer != w.as.url || last.Resource != w.mcp.url+"/mcp" || strings.Join(last.Scopes, " ") != "read write" || last.Registration.ClientID != "job" {
			t.Errorf("the flow got %+v", last)
		}
	})
}

// TestFlowFails: what a flow returns is checked.
func TestFlowFails(t *testing.T) {
	refused := errors.New("no")
	for name, row := range map[string]struct {
		token *oauth.Token
		err   error
		want  string
	}{
		"error":        {nil, refused, "no"},
		"nothing":      {nil, nil, "no token"},
		"empty":        {&oauth.Token{}, nil, "no token"},
		"another key":  {&oauth.Token{AccessToken: "x", TokenType: "DPoP", Key: "k"}, nil, "another key"},
		"header break": {&oauth.Token{AccessToken: "x\r\nEvil: 1"}, nil, "invalid header"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			f := &flow{do: func(*oauth.Server) (*oauth.Token, error) { return row.token, row.err }}
			_, err := w.call(t, w.transport(func(o *oauth.Options) { o.Flow = f }), "x")
			if err == nil || !strings.Contains(err.Error(), row.want) || row.err != nil && !errors.Is(err, row.err) {
				t.Errorf("got %v, want an error with %q", err, row.want)
			}
			if len(f.got) != 1 || len(w.as.registrations) > 0 {
				t.Errorf("the flow ran %d times, with %d registrations", len(f.got), len(w.as.registrations))
			}
		})
	}
}
