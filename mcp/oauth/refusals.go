package oauth

import (
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	refusalRest = 5 * time.Minute // for so long nobody is asked again for scopes that did not help
	maxRefusals = 64              // sets of scopes that are remembered
)

// refusals remembers for which scopes the user was asked in vain (MCP 2026-07-28,
// basic/authorization, Step-Up Authorization Flow). The zero value is empty.
type refusals struct {
	mu sync.Mutex
	at map[string]time.Time // set of scopes -> when asking for them did not help
}

// recent reports whether asking for the scopes did not help a short while ago.
func (r *refusals) recent(scopes []string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	at, ok := r.at[scopeSet(scopes)]
	return ok && time.Since(at) < refusalRest
}

// add remembers that asking for the scopes did not help.
func (r *refusals) add(scopes []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	key := scopeSet(scopes)
	if at, ok := r.at[key]; ok && time.Since(at) < refusalRest {
		return // the rest begins with the first refusal, or it would never end
	}
	if r.at == nil || len(r.at) >= maxRefusals {
		r.at = map[string]time.Time{} // a server that makes up scopes; renewals are bounded anyhow
	}
	r.at[key] = time.Now()
}

func scopeSet(scopes []string) string {
	return strings.Join(slices.Sorted(slices.Values(scopes)), " ")
}
