package daemon

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"net/http"
	"strings"
	"sync/atomic"

	"github.com/fairlead-mcp/fairlead/internal/config"
	"github.com/fairlead-mcp/fairlead/mcp"
)

// tokens are the static bearer tokens of a node, of which it knows the hashes only.
type tokens []config.Token

// auth says who may call, by the tokens that the config has at the moment.
type auth struct{ tokens atomic.Pointer[tokens] }

func (a *auth) set(list []config.Token) { a.tokens.Store((*tokens)(&list)) }

// needed reports whether callers need a token.
func (a *auth) needed() bool { return len(*a.tokens.Load()) > 0 }

// authenticate tells who makes a request. Without tokens everybody may, as nobody.
func (a *auth) authenticate(r *http.Request) (mcp.Principal, error) {
	if ts := *a.tokens.Load(); len(ts) > 0 {
		return ts.authenticate(r)
	}
	return mcp.Principal{}, nil
}

var errUnauthorized = errors.New("no valid bearer token")

// authenticate tells who makes a request (RFC 6750, section 2.1). Every hash is
// compared, in constant time, so that nothing is learned from how long it takes.
func (ts tokens) authenticate(r *http.Request) (mcp.Principal, error) {
	given := r.Header["Authorization"]
	if len(given) != 1 {
		return mcp.Principal{}, errUnauthorized
	}
	scheme, token, ok := strings.Cut(given[0], " ")
	if !ok || !strings.EqualFold(scheme, "Bearer") || token == "" {
		return mcp.Principal{}, errUnauthorized
	}
	sum := sha256.Sum256([]byte(token))
	found := -1
	for i := range ts {
		if subtle.ConstantTimeCompare(sum[:], ts[i].Hash[:]) == 1 {
			found = i
		}
	}
	if found < 0 {
		return mcp.Principal{}, errUnauthorized
	}
	return principal(ts[found].Name), nil
}
