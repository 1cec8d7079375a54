package upstream

import (
	"time"

	"github.com/fairlead-mcp/fairlead/mcp"
)

const (
	// madeUpTTL is the hint for lists of revisions that have none. It is half of the
	// time after which the node itself looks again, so a client is at most that much
	// later than the node.
	madeUpTTL = pollEvery / 2
	// pollLeast bounds how often a list is asked for again because of its hint.
	pollLeast = 5 * time.Second
)

// Hint says for how long and by whom a list of the catalogue may be kept from now
// on. What is only known from before says 0.
func (u *Upstream) Hint(k Kind) mcp.Cache {
	c := u.Catalogue()
	if c == nil {
		return mcp.Cache{Scope: mcp.CachePrivate}
	}
	u.mu.Lock()
	age, modern, stale := time.Since(u.looked), u.status.Version.Modern(), u.staleLocked()
	u.mu.Unlock()
	hint := mcp.Cache{TTL: madeUpTTL, Scope: mcp.CachePrivate}
	switch {
	case !c.Has(k.capability()): // an empty list that stays so, and tells nothing of anybody
		hint.Scope = mcp.CachePublic
	case modern:
		hint = c.hints[k]
	}
	switch {
	case stale:
		hint.TTL = 0
	case !c.tells(): // else a change would have been told, and the list is as if it had just come
		hint.TTL = max(0, hint.TTL-age)
	}
	if hint.Scope != mcp.CachePublic || !u.Shared() {
		hint.Scope = mcp.CachePrivate
	}
	return hint
}

// Shared reports whether all callers are one to the upstream: by the same
// connection, with the same credential. What it calls public is so only then.
func (u *Upstream) Shared() bool {
	return u.spec.Instances != InstancesPrincipal && u.spec.Instances != InstancesSession
}

// Stale reports whether the catalogue is only known from before: the upstream is
// away, or could not be listed again. False if there is no catalogue.
func (u *Upstream) Stale() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.Catalogue() != nil && u.staleLocked()
}

// staleLocked takes what sleeps at its last word: nobody has changed it.
func (u *Upstream) staleLocked() bool {
	return u.leader == nil && u.status.State != Idle || u.behind
}

// lookedNow notes how the last attempt to list everything ended.
func (u *Upstream) lookedNow(err error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.behind = err != nil; err == nil {
		u.looked = time.Now()
	}
}

// pollDelay is how long until an upstream that does not tell of changes is listed again.
func (u *Upstream) pollDelay() time.Duration {
	delay := pollEvery
	for _, hint := range u.Catalogue().hints {
		if hint.TTL > 0 {
			delay = min(delay, max(hint.TTL, pollLeast))
		}
	}
	return delay
}

// stricter is the hint for what is made of two parts.
func stricter(a, b mcp.Cache) mcp.Cache {
	a.TTL = min(a.TTL, b.TTL)
	if b.Scope != mcp.CachePublic {
		a.Scope = mcp.CachePrivate
	}
	return a
}
