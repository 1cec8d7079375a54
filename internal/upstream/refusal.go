package upstream

import (
	"crypto/tls"
	"errors"
	"io/fs"
	"net/http"
	"os/exec"
	"sync"
	"time"

	"github.com/fairlead-mcp/fairlead/internal/supervise"
	"github.com/fairlead-mcp/fairlead/mcp/streamhttp"
)

const (
	// authWait is how long an upstream that has refused the node's credential is left
	// alone: it does not become a good one by being shown again.
	authWait = 10 * time.Minute
	// maxPause bounds how long an upstream can send the node away.
	maxPause = 5 * time.Minute
)

// pause is the time that an upstream wants to be left alone.
type pause struct {
	mu    sync.Mutex
	until time.Time
}

func (p *pause) left() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.until.IsZero() {
		return 0
	}
	return time.Until(p.until)
}

func (p *pause) atLeast(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if until := time.Now().Add(min(d, maxPause)); until.After(p.until) {
		p.until = until
	}
}

func (p *pause) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.until = time.Time{}
}

// refusal completes the failure of a call that a remote server has refused by an HTTP
// status. It reports false for other failures, and for statuses that say as little as
// a lost connection does.
func (u *Upstream) refusal(f *Failure) bool {
	status, ok := errors.AsType[*streamhttp.StatusError](f.Err)
	switch {
	case !ok:
		return false
	case status.Code == http.StatusTooManyRequests, status.Code == http.StatusServiceUnavailable && status.RetryAfter > 0:
		// It has not begun: that is what the statuses are for.
		f.Class, f.RetrySafe, f.Refused = RateLimited, true, true
		f.RetryAfter = min(max(status.RetryAfter, retryHint), maxPause)
		if status.RetryAfter > 0 {
			u.pause.atLeast(status.RetryAfter)
		}
		return true
	}
	f.Refused = status.Code < 500
	return false
}

// classify marks errors that an early new attempt does not mend.
func classify(err error) error {
	if errors.Is(err, exec.ErrNotFound) || errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		return supervise.Persistent(err)
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return supervise.Persistent(err)
	}
	status, ok := errors.AsType[*streamhttp.StatusError](err)
	switch {
	case !ok:
		return err
	case status.Code == http.StatusUnauthorized || status.Code == http.StatusForbidden:
		return supervise.NotBefore(supervise.Persistent(err), authWait)
	case status.RetryAfter > 0:
		return supervise.NotBefore(err, min(status.RetryAfter, maxPause))
	}
	return err
}
