package oauth_test

import (
	"context"
	"crypto/x509"
	"testing"
	"time"

	"github.com/fairlead-mcp/fairlead/mcp/oauth"
)

// expired is a store whose tokens have ended.
type expired struct{ oauth.Store }

func (s expired) Save(ctx context.Context, key string, g *oauth.Grant) error {
	old := *g
	old.Token.Expiry = time.Now().Add(-time.Hour)
	return s.Store.Save(ctx, key, &old)
}

// TestRenewalAtALocalServer starts anew, with a token that has ended. Before its
// first answer nothing is known of where the server is, and its authorization server
// is on this machine too.
func TestRenewalAtALocalServer(t *testing.T) {
	w, store := newWorld(t), &oauth.MemoryStore{}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(certificate(t, w.mcp.url)))
	guarded := func(s oauth.Store) *oauth.Transport {
		return w.transport(func(o *oauth.Options) { o.Base, o.HTTPClient, o.RootCAs, o.Store = nil, nil, roots, s })
	}
	first, next := guarded(expired{store}), guarded(store)
	t.Cleanup(first.CloseIdleConnections)
	t.Cleanup(next.CloseIdleConnections)
	w.mustCall(t, first, "login")
	w.mustCall(t, next, "again")
	if logins, refreshes := len(w.logins()), len(w.as.tokenRequests("refresh_token")); logins != 1 || refreshes != 1 {
		t.Errorf("%d logins and %d refreshes, want one of each", logins, refreshes)
	}
}
