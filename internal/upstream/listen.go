package upstream

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/mcp/jsonrpc"
)

const (
	// maxWatched bounds the URIs of one upstream stream: a request of at most a few 100 KB.
	maxWatched = 4096
	// ackTimeout is how long a server has to acknowledge a stream.
	ackTimeout = 10 * time.Second
	// reopenFirst and reopenMax bound the delay before a stream that ended is opened again.
	reopenFirst = 250 * time.Millisecond
	reopenMax   = 30 * time.Second
	// pollEvery is how often an upstream that does not tell of changes is listed again.
	pollEvery = time.Minute
)

// Subscribe asks the upstream for updates of a resource, which come as a Change
// with that URI, until stop is called. Subscriptions are counted per URI and
// outlive connections; an upstream that sleeps is started, and sleeps no more while
// there are any. It reports false when there are too many already.
func (u *Upstream) Subscribe(uri string) (stop func(), ok bool) {
	defer u.rouse() // what sleeps sees no change
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.watched[uri] == 0 {
		if len(u.watched) >= maxWatched {
			return nil, false
		}
		u.rewatch()
	}
	u.watched[uri]++
	return sync.OnceFunc(func() {
		u.mu.Lock()
		defer u.mu.Unlock()
		if u.watched[uri]--; u.watched[uri] == 0 {
			delete(u.watched, uri)
			u.rewatch()
		}
	}), true
}

// Settle waits until the upstream has been told of all subscriptions so far: from
// then on no update of theirs is missed. It does not wait for an upstream that is
// away; there a Change with Gap follows.
func (u *Upstream) Settle(ctx context.Context) {
	u.mu.Lock()
	wishes := u.wishes
	u.mu.Unlock()
	for {
		u.mu.Lock()
		done, settling, moved := u.settled >= wishes || u.leader == nil, u.settling, u.moved
		u.mu.Unlock()
		if done {
			return
		}
		select {
		case <-settling:
		case <-moved:
		case <-ctx.Done():
			return
		}
	}
}

// rewatch tells listen that the keys of watched changed; u.mu is held.
func (u *Upstream) rewatch() {
	u.wishes++
	close(u.watching)
	u.watching = make(chan struct{})
}

// listener is the part of a connection that keeps up with what changes upstream.
type listener struct {
	u       *Upstream
	l       *link
	ctx     context.Context
	wg      sync.WaitGroup // goroutines of streams
	current *stream
	delay   time.Duration
	refused bool // the upstream has no subscriptions

	mu    sync.Mutex
	dirty map[Kind]bool
	wake  chan struct{} // holds one token when dirty is not empty
}

// stream is one subscriptions/listen request to the upstream.
type stream struct {
	owner  *listener
	cancel context.CancelFunc
	acked  chan struct{}
	ack    func()
	ended  chan struct{} // closed by End or when the request has returned
	end    func(error)
	err    error // why, once ended is closed
}

// listen follows a connection until it is gone and returns why. Streams end before
// it returns. first says that there was no connection before.
func (u *Upstream) listen(l *link, first bool) error {
	ctx, cancel := context.WithCancel(l.ctx)
	ls := &listener{u: u, l: l, ctx: ctx, delay: reopenFirst, dirty: make(map[Kind]bool), wake: make(chan struct{}, 1)}
	defer ls.wg.Wait()
	defer cancel()

	reopen := time.NewTimer(0) // the first stream is opened like any that follows a gap
	defer reopen.Stop()
	poll := time.NewTimer(u.pollDelay())
	defer poll.Stop()
	var watching <-chan struct{}
	for {
		var ended chan struct{}
		if ls.current != nil {
			ended = ls.current.ended
		}
		select {
		case <-l.ctx.Done():
			return context.Cause(l.ctx)
		case err := <-l.broken:
			if probeErr := ls.renew(false); probeErr != nil {
				return err
			}
		case <-ls.wake:
			kinds, before := ls.takeDirty(), u.Catalogue()
			if err := ls.refresh(kinds); err != nil {
				u.log.Warn("catalogue not refreshed", "err", err)
			} else { // a server that cries wolf is heard by nobody
				kinds = differences(before, u.Catalogue())
			}
			u.tell(Change{Lists: kinds})
		case <-watching:
			watching = ls.open(reopen)
		case <-ended:
			ls.current = nil
			ls.later(reopen)
		case <-reopen.C:
			watching = ls.open(reopen)
			if ls.current != nil { // what happened before it is not known
				if err := ls.renew(!first); err != nil {
					u.log.Warn("catalogue not refreshed", "err", err)
				}
				first = false
			}
		case <-poll.C:
			if u.pause.left() > 0 {
				poll.Reset(u.pause.left())
				continue
			}
			if ls.refused || u.Stale() || !u.Catalogue().tells() {
				if err := ls.renew(false); err != nil {
					u.log.Debug("catalogue not refreshed", "err", err)
				}
			}
			poll.Reset(u.pollDelay())
		}
	}
}

// renew lists everything again and tells what is different.
func (ls *listener) renew(gap bool) error {
	before := ls.u.Catalogue()
	err := ls.refresh(Kinds())
	ls.u.tell(Change{Lists: differences(before, ls.u.Catalogue()), Gap: gap})
	return err
}

// tells reports whether the upstream says when any of its lists has changed.
func (c *Catalogue) tells() bool {
	for _, capability := range []string{"tools", "prompts", "resources"} {
		if raw := jsonrpc.Get(c.Capabilities, capability); raw != nil && string(jsonrpc.Get(raw, "listChanged")) != "true" {
			return false
		}
	}
	return true
}

func (ls *listener) later(reopen *time.Timer) {
	reopen.Reset(ls.delay)
	ls.delay = min(2*ls.delay, reopenMax)
}

// open opens a stream for what is wanted now, and only then ends the last one, so
// that no event falls between them. It returns the channel that tells of new wishes.
func (ls *listener) open(reopen *time.Timer) (watching <-chan struct{}) {
	u := ls.u
	u.mu.Lock()
	watching = u.watching
	wishes := u.wishes
	uris := slices.Sorted(maps.Keys(u.watched))
	u.mu.Unlock()
	defer func() {
		u.mu.Lock()
		defer u.mu.Unlock()
		u.settled = wishes
		close(u.settling)
		u.settling = make(chan struct{})
	}()
	c := u.Catalogue()
	if ls.refused {
		return watching
	}
	filter := filterFor(c, uris)
	last := ls.current
	ls.current = nil
	if filter != nil {
		ls.current = ls.start(filter)
		if err := ls.current.waitAck(); err != nil {
			ls.current.cancel()
			ls.current = nil
			switch {
			case ls.ctx.Err() != nil:
			case mcp.IsWireError(err) && mcp.ErrorOf(err).Code == jsonrpc.CodeMethodNotFound:
				ls.refused = true
			default:
				u.log.Debug("subscription not opened", "err", err)
				ls.later(reopen)
			}
		} else {
			ls.delay = reopenFirst
		}
	}
	if last != nil {
		last.cancel()
	}
	return watching
}

// filterFor asks for what the upstream has said it can do; nil means nothing.
func filterFor(c *Catalogue, uris []string) []byte {
	var members []jsonrpc.Member
	for _, m := range []struct{ capability, member string }{
		{"tools", "toolsListChanged"}, {"prompts", "promptsListChanged"}, {"resources", "resourcesListChanged"},
	} {
		if string(jsonrpc.Get(jsonrpc.Get(c.Capabilities, m.capability), "listChanged")) == "true" {
			members = append(members, jsonrpc.Member{Key: m.member, Value: []byte("true")})
		}
	}
	if len(uris) > 0 && c.Subscribes() {
		list := []byte{'['}
		for i, uri := range uris {
			if i > 0 {
				list = append(list, ',')
			}
			list = jsonrpc.AppendString(list, uri)
		}
		members = append(members, jsonrpc.Member{Key: "resourceSubscriptions", Value: append(list, ']')})
	}
	if members == nil {
		return nil
	}
	return jsonrpc.Splice(nil, nil, members...)
}

// start sends the request of a stream from a goroutine that ends with the stream.
func (ls *listener) start(filter []byte) *stream {
	ctx, cancel := context.WithCancel(ls.ctx)
	s := &stream{owner: ls, cancel: cancel, acked: make(chan struct{}), ended: make(chan struct{})}
	s.ack = sync.OnceFunc(func() { close(s.acked) })
	var once sync.Once
	s.end = func(err error) {
		once.Do(func() {
			s.err = err
			close(s.ended)
		})
	}
	req := ls.u.request(mcp.MethodListen, jsonrpc.Splice(nil, nil, jsonrpc.Member{Key: "notifications", Value: filter}))
	ls.wg.Go(func() {
		defer cancel()
		res, err := ls.l.conn.Handler.Handle(ctx, req, s)
		if err == nil && res.Stream {
			select {
			case <-ctx.Done():
			case <-s.ended:
			}
		}
		s.end(err)
	})
	return s
}

func (s *stream) waitAck() error {
	timer := time.NewTimer(ackTimeout)
	defer timer.Stop()
	select {
	case <-s.acked:
		return nil
	case <-s.ended:
		if s.err == nil {
			return errors.New("stream ended before it was acknowledged")
		}
		return s.err
	case <-timer.C:
		return errors.New("stream not acknowledged")
	case <-s.owner.ctx.Done():
		return context.Cause(s.owner.ctx)
	}
}

// Notify implements [mcp.Sink]. It is called by the reader of the connection and never blocks.
func (s *stream) Notify(n *mcp.Notification) error {
	select {
	case <-s.ended:
		return mcp.ErrSinkClosed
	default:
	}
	switch n.Method {
	case mcp.NotificationAcknowledged:
		s.ack()
	case mcp.NotificationToolsListChanged:
		s.owner.markDirty(Tools)
	case mcp.NotificationPromptsListChanged:
		s.owner.markDirty(Prompts)
	case mcp.NotificationResourcesListChanged:
		s.owner.markDirty(Resources, Templates)
	case mcp.NotificationResourceUpdated:
		if uri, ok := jsonrpc.Unquote(jsonrpc.Get(n.Params, "uri")); ok && uri != "" {
			s.owner.u.tell(Change{URI: uri})
		}
	}
	return nil
}

// End implements [mcp.Sink].
func (s *stream) End(_ mcp.Result, err error) { s.end(err) }

func (ls *listener) markDirty(kinds ...Kind) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	for _, k := range kinds {
		ls.dirty[k] = true
	}
	select {
	case ls.wake <- struct{}{}:
	default: // one token is enough
	}
}

func (ls *listener) takeDirty() []Kind {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	var kinds []Kind
	for _, k := range Kinds() {
		if ls.dirty[k] {
			kinds = append(kinds, k)
		}
	}
	clear(ls.dirty)
	return kinds
}

// refresh lists the given kinds again. On an error the catalogue stays as it was,
// and counts as stale until everything has been listed again.
func (ls *listener) refresh(kinds []Kind) (err error) {
	u := ls.u
	defer func() {
		if err != nil || len(kinds) == len(Kinds()) {
			u.lookedNow(err)
		}
	}()
	ctx, cancel := context.WithTimeout(ls.ctx, u.spec.StartTimeout)
	defer cancel()
	next := *u.Catalogue()
	if len(kinds) == len(Kinds()) { // look at everything, capabilities included
		all, err := u.fetch(ctx, ls.l.conn.Handler)
		if err != nil {
			return err
		}
		next = *all
	} else {
		for _, k := range kinds {
			items, hint, err := u.fetchList(ctx, ls.l.conn.Handler, k)
			if err != nil {
				return fmt.Errorf("refresh: %w", err)
			}
			next.set(k, items, hint)
		}
	}
	if next.same(u.Catalogue()) {
		return nil // what others have made of it stays good
	}
	u.update(func() {
		u.catalogue.Store(&next)
		u.describe()
	})
	return nil
}
