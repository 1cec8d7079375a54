package oauth_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fairlead-mcp/fairlead/mcp/oauth"
	"github.com/google/go-cmp/cmp"
)

func sampleGrant() *oauth.Grant {
	return &oauth.Grant{
		Issuer: "https://as.example",
		Registration: oauth.Registration{
			Issuer: "https://as.example", ClientID: "client", ClientSecret: "S3CRET-client",
			AuthMethod: oauth.AuthBasic, Source: "dcr", SecretExpiry: time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC),
		},
		Token: oauth.Token{
			AccessToken: "S3CRET-access", TokenType: "DPoP", RefreshToken: "S3CRET-refresh", Key: "thumb",
			Expiry: time.Date(2029, 1, 2, 3, 4, 5, 0, time.UTC), Scopes: []string{"files:read", "files:write"},
		},
	}
}

// stores are the implementations that keep to one contract.
func stores(t *testing.T) map[string]oauth.Store {
	return map[string]oauth.Store{"memory": &oauth.MemoryStore{}, "file": openFileStore(t, t.TempDir())}
}

func openFileStore(t *testing.T, dir string) *oauth.FileStore {
	t.Helper()
	s, err := oauth.OpenFileStore(t.Context(), dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestStoreKeepsGrants(t *testing.T) {
	for name, s := range stores(t) {
		t.Run(name, func(t *testing.T) {
			ctx := t.Context()
			keys := []string{"", "https://mcp.example/mcp alice", "https://mcp.example/mcp bob", "../../etc/passwd\x00"}
			for i, key := range keys {
				if g, err := s.Load(ctx, key); g != nil || err != nil {
					t.Fatalf("Load(%q) of an empty store: got %v, %v", key, g, err)
				}
				g := sampleGrant()
				g.Token.AccessToken = fmt.Sprint(i)
				for range 2 { // the second replaces the first
					if err := s.Save(ctx, key, g); err != nil {
						t.Fatal(err)
					}
				}
				g.Token.Scopes[0] = "changed afterwards"
			}
			for i, key := range keys {
				want := sampleGrant()
				want.Token.AccessToken = fmt.Sprint(i)
				got, err := s.Load(ctx, key)
				if err != nil {
					t.Fatal(err)
				}
				if got.Token.AccessToken != want.Token.AccessToken || got.Token.RefreshToken != want.Token.RefreshToken {
					t.Errorf("Load(%q): got another token", key)
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("Load(%q): -want +got\n%s", key, diff)
				}
				got.Token.Scopes[0] = "changed afterwards"
			}
			for range 2 { // the second finds nothing
				if err := s.Delete(ctx, keys[1]); err != nil {
					t.Fatal(err)
				}
			}
			if g, err := s.Load(ctx, keys[1]); g != nil || err != nil {
				t.Errorf("Load of a deleted grant: got %v, %v", g, err)
			}
			if g, err := s.Load(ctx, keys[2]); g == nil || err != nil || g.Token.Scopes[0] != "files:read" {
				t.Errorf("Load of its neighbour: got %v, %v", g, err)
			}
		})
	}
}

func TestStoreLockIsExclusive(t *testing.T) {
	for name, s := range stores(t) {
		t.Run(name, func(t *testing.T) {
			held, total := 0, 0 // the race detector watches these
			var wg sync.WaitGroup
			for range 16 {
				wg.Go(func() {
					unlock, err := s.Lock(t.Context(), "key")
					if err != nil {
						t.Error(err)
						return
					}
					if held++; held != 1 {
						t.Errorf("%d hold the lock", held)
					}
					total++
					held--
					unlock()
				})
			}
			wg.Wait()
			if total != 16 {
				t.Errorf("%d of 16 got the lock", total)
			}
		})
	}
}

func TestStoreLockEndsWithContext(t *testing.T) {
	for name, s := range stores(t) {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				unlock, err := s.Lock(t.Context(), "key")
				if err != nil {
					t.Fatal(err)
				}
				other, err := s.Lock(t.Context(), "another key")
				if err != nil {
					t.Fatalf("lock of another key: %v", err)
				}
				other()
				ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
				defer cancel()
				if _, err := s.Lock(ctx, "key"); !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("lock while it is held: got %v, want the end of the context", err)
				}
				unlock()
				again, err := s.Lock(t.Context(), "key")
				if err != nil {
					t.Fatalf("lock after unlock: %v", err)
				}
				again()
			})
		})
	}
}

// TestNothingPrintsSecrets prints and logs what holds secrets with every verb.
func TestNothingPrintsSecrets(t *testing.T) {
	g := sampleGrant()
	var out strings.Builder
	log := slog.New(slog.NewJSONHandler(&out, nil))
	for _, v := range []any{g, *g, g.Token, &g.Token, g.Registration, &g.Registration, []oauth.Token{g.Token}, map[string]*oauth.Token{"a": &g.Token}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			fmt.Fprintf(&out, verb+"\n", v)
		}
	}
	log.Info("x", "token", g.Token, "pointer", &g.Token, "registration", g.Registration, "grant", *g, "pointer", g)
	for _, secret := range []string{"S3CRET", fmt.Sprintf("%x", "S3CRET")} {
		if strings.Contains(out.String(), secret) {
			t.Errorf("printed: %s", out.String())
		}
	}
	if want := "DPoP token until 2029-01-02T03:04:05Z for files:read files:write"; g.Token.String() != want {
		t.Errorf("String: got %q, want %q", g.Token.String(), want)
	}
}
