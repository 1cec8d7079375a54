package stdio

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/mcp/internal/legacy"
	"github.com/fairlead-mcp/fairlead/mcp/jsonrpc"
)

// probeExit reports that the server ended while its era was being found out.
type probeExit struct{ err error }

func (e *probeExit) Error() string { return "the server ended on the probe: " + e.err.Error() }
func (e *probeExit) Unwrap() error { return e.err }

// verdict is what an answer to server/discover says.
type verdict uint8

const (
	isLegacy verdict = iota + 1
	isModern
	isForeign // modern, but of no revision that we speak
)

// connect finds the server's era and does the handshake if it needs one (MCP
// 2026-07-28, basic/transports, stdio, Backward Compatibility):
//
//	server/discover ── result or modern error ───────> modern
//	       │ any other error ──> initialize ─────────> legacy
//	       └ silence ──────────> initialize, and still listening for both
func (c *Client) connect(ctx context.Context) error {
	if c.opts.Era == EraLegacy {
		session, err := c.handshake(ctx)
		if err != nil {
			return c.orExit(err)
		}
		c.settleLegacy(session)
		return nil
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // ends what lost

	discovered, err := c.discover(ctx)
	if err != nil {
		return c.orExit(err)
	}
	wait := time.NewTimer(c.opts.ProbeAfterStart - time.Since(c.born))
	defer wait.Stop()
	spoken := c.spoken
	var initialized chan handshaken // nil until initialize is sent
	for {
		select {
		case a := <-discovered:
			v, err := a.judge()
			switch {
			case v == isModern:
				c.era = EraModern
				c.sessionless.Store(true)
				return nil
			case v == isForeign || c.opts.Era == EraModern:
				return c.orExit(err)
			}
			discovered = nil
			if initialized == nil {
				initialized = c.tryHandshake(ctx)
			}
		case <-spoken:
			spoken = nil
			if left := c.opts.ProbeAfterStart - time.Since(c.born); left > c.opts.ProbeAfterOutput {
				wait.Reset(c.opts.ProbeAfterOutput)
			}
		case <-wait.C:
			if c.opts.Era == EraModern {
				return errors.New("the server does not answer server/discover")
			}
			if initialized == nil {
				initialized = c.tryHandshake(ctx)
			}
		case h := <-initialized:
			if h.err != nil {
				return c.orExit(h.err)
			}
			c.settleLegacy(h.session)
			return nil
		case <-c.done:
			return &probeExit{c.Err()}
		case <-ctx.Done():
			return fmt.Errorf("the server does not answer: %w", ctx.Err())
		}
	}
}

// orExit makes a probeExit of err if the server has ended, which explains it better.
func (c *Client) orExit(err error) error {
	select {
	case <-c.done:
		return &probeExit{c.Err()}
	default:
		return err
	}
}

func (c *Client) settleLegacy(session *legacy.Client) {
	c.era, c.proxy = EraLegacy, session
}

type handshaken struct {
	session *legacy.Client
	err     error
}

func (c *Client) tryHandshake(ctx context.Context) chan handshaken {
	done := make(chan handshaken, 1)
	go func() { // ends with ctx, which connect cancels
		session, err := c.handshake(ctx)
		done <- handshaken{session, err}
	}()
	return done
}

func (c *Client) handshake(ctx context.Context) (*legacy.Client, error) {
	session, err := legacy.Connect(ctx, wire{c}, legacy.Info{
		ClientInfo:   c.opts.info(),
		Capabilities: c.opts.Capabilities,
		Parking:      legacy.Parking{Time: c.opts.ParkTime, Max: c.opts.MaxParked, MaxPerPrincipal: c.opts.MaxParkedPerPrincipal},
		Opened:       c.session.Store,
	})
	if err != nil {
		return nil, err
	}
	if err := c.Err(); err != nil {
		session.Closed(err) // fail may have run before the session was stored
	}
	return session, nil
}

// discovery is the answer to the probe.
type discovery struct {
	res mcp.Result
	err error
}

func (c *Client) discover(ctx context.Context) (chan discovery, error) {
	req := &mcp.Request{Method: mcp.MethodDiscover, Meta: mcp.Meta{ClientInfo: c.opts.info(), Capabilities: c.opts.Capabilities}}
	k, err := c.ask(ctx, req, true)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	c.probe = k.id
	c.mu.Unlock()
	done := make(chan discovery, 1)
	go func() { // ends with ctx, which connect cancels
		res, err := c.await(ctx, k, mcp.Discard, false)
		c.mu.Lock()
		c.probe = 0
		c.mu.Unlock()
		done <- discovery{res, err}
	}()
	return done, nil
}

// judge says what the answer means. The error explains what is not modern.
func (d discovery) judge() (verdict, error) {
	var e *mcp.Error
	switch {
	case d.err == nil:
		versions := jsonrpc.Get(d.res.Body, "supportedVersions")
		if len(versions) == 0 || versions[0] != '[' {
			return isLegacy, errors.New("server/discover: the result has no supportedVersions")
		}
		return judgeVersions(versions)
	case !errors.As(d.err, &e) || !mcp.IsWireError(d.err):
		return isLegacy, fmt.Errorf("server/discover: %w", d.err)
	case e.Code == mcp.CodeUnsupportedVersion:
		return judgeVersions(jsonrpc.Get(e.Data, "supported"))
	case e.Code == mcp.CodeMissingCapability:
		return isModern, nil
	}
	return isLegacy, fmt.Errorf("server/discover: %w", d.err)
}

// judgeVersions picks from the revisions that a modern server supports. One that
// names only old revisions is met in those.
func judgeVersions(versions []byte) (verdict, error) {
	old := false
	for raw := range jsonrpc.Elements(versions) {
		s, _ := jsonrpc.Unquote(raw)
		v := mcp.Version(s)
		if v == mcp.LatestVersion {
			return isModern, nil
		}
		old = old || v.Known() && !v.Modern()
	}
	err := fmt.Errorf("the server supports protocol revisions %.200s, this client %v", versions, mcp.Versions())
	if old {
		return isLegacy, err
	}
	return isForeign, err
}
