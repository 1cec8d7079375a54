package mcp

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/fairlead-mcp/fairlead/mcp/jsonrpc"
	"github.com/go-json-experiment/json"
)

// maxPendingEvents bounds what a slow event function may leave waiting. Equal
// events wait once, so only a flood of different resources gets there.
const maxPendingEvents = 1024

// errUnsubscribed is why a stream ends that its owner closed.
var errUnsubscribed = errors.New("mcp: subscription closed")

// Event is a notification of a subscription.
type Event struct {
	// Method is the notification's method, such as [NotificationToolsListChanged].
	Method string
	// URI is the resource of a [NotificationResourceUpdated].
	URI string
	// TaskID is the task of a [NotificationTask].
	TaskID string
}

// Subscription is an open subscriptions/listen stream.
type Subscription struct {
	acknowledged NotificationFilter
	onEvent      func(Event)
	cache        *cache // the client's
	cancel       context.CancelFunc
	acked        chan struct{} // closed with the acknowledgement
	ended        chan struct{} // closed when the server or the transport ends the stream
	wake         chan struct{} // holds a token while events wait
	done         chan struct{}

	mu      sync.Mutex
	pending []Event
	over    bool // no more events
	isAcked bool
	endErr  error
	err     error // valid once done is closed
}

// Listen opens a subscription (MCP 2026-07-28, basic/patterns/subscriptions) and
// returns when the server has acknowledged it. From then on onEvent is called with
// each event, never concurrently; equal events that wait for it are one. The
// subscription ends when ctx ends, with [Subscription.Close], or when the server or
// the connection ends it, and is not opened again by itself; see [Client.Watch].
func (c *Client) Listen(ctx context.Context, filter NotificationFilter, onEvent func(Event)) (*Subscription, error) {
	return c.listen(ctx, filter, onEvent, nil)
}

// listen is Listen that first gives onEvent events of its own.
func (c *Client) listen(ctx context.Context, filter NotificationFilter, onEvent func(Event), first []Event) (*Subscription, error) {
	params, err := json.Marshal(struct {
		Notifications NotificationFilter `json:"notifications"`
	}{filter})
	if err != nil {
		return nil, fmt.Errorf("%s: encode params: %w", MethodListen, err)
	}
	req, err := c.request(MethodListen, params, nil, nil)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", MethodListen, err)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	s := &Subscription{
		onEvent: onEvent,
		cache:   c.cache,
		cancel:  func() { cancel(errUnsubscribed) },
		acked:   make(chan struct{}),
		ended:   make(chan struct{}),
		wake:    make(chan struct{}, 1),
		done:    make(chan struct{}),
	}
	timeout := time.AfterFunc(c.opts.Timeout, func() { cancel(context.DeadlineExceeded) })
	defer timeout.Stop()

	res, err := c.handler.Handle(ctx, req, listenSink{s})
	if err == nil && !res.Stream {
		err = errors.New("the server ended the subscription at once")
	}
	if err == nil {
		select {
		case <-s.acked:
		case <-s.ended:
			if err = s.endErr; err == nil {
				err = errors.New("the server ended the subscription at once")
			}
		case <-ctx.Done():
			err = context.Cause(ctx)
		}
	}
	if err == nil && !timeout.Stop() {
		err = context.DeadlineExceeded // it fired between the acknowledgement and here
	}
	if err != nil {
		if cause := context.Cause(ctx); cause != nil && !IsWireError(err) {
			err = cause // a transport may know only that the context has ended
		}
		cancel(err)
		return nil, fmt.Errorf("%s: %w", MethodListen, err)
	}
	go func() { // until ctx or the stream ends; Close waits for it
		for _, e := range first {
			if s.cache.changed(e); ctx.Err() == nil {
				onEvent(e)
			}
		}
		s.run(ctx)
	}()
	return s, nil
}

// Acknowledged is what the server agreed to send.
func (s *Subscription) Acknowledged() NotificationFilter { return s.acknowledged }

// Done is closed when the subscription has ended and onEvent is not called any more.
func (s *Subscription) Done() <-chan struct{} { return s.done }

// Err says why the subscription has ended: nil before Done is closed, after Close,
// and when the server ended it in order.
func (s *Subscription) Err() error {
	select {
	case <-s.done:
		return s.err
	default:
		return nil
	}
}

// Close ends the subscription and waits until onEvent is not called any more. It
// must not be called by onEvent.
func (s *Subscription) Close() {
	s.cancel()
	<-s.done
}

func (s *Subscription) run(ctx context.Context) {
	defer close(s.done)
	defer s.cancel()
	for {
		select {
		case <-s.wake:
			s.deliver()
			continue
		case <-ctx.Done():
			s.stop()
		case <-s.ended:
			s.deliver()
		}
		break
	}
	// Transports end a stream whose context has ended: the context knows why.
	if s.err = context.Cause(ctx); s.err == nil {
		s.mu.Lock()
		s.err = s.endErr
		s.mu.Unlock()
	}
	if errors.Is(s.err, errUnsubscribed) {
		s.err = nil
	}
}

func (s *Subscription) deliver() {
	s.mu.Lock()
	events := s.pending
	s.pending = nil
	s.mu.Unlock()
	for _, e := range events {
		s.onEvent(e)
	}
}

func (s *Subscription) stop() {
	s.mu.Lock()
	s.over = true
	s.mu.Unlock()
}

// listenSink is a Subscription as its transport sees it.
type listenSink struct{ *Subscription }

// Notify does not block.
func (s listenSink) Notify(n *Notification) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over {
		return ErrSinkClosed
	}
	switch n.Method {
	case NotificationAcknowledged:
		if s.isAcked {
			return nil
		}
		raw := jsonrpc.Get(n.Params, "notifications")
		if raw != nil {
			if err := json.Unmarshal(raw, &s.acknowledged); err != nil {
				s.endLocked(fmt.Errorf("acknowledgement: %w", err))
				return ErrSinkClosed
			}
		}
		s.isAcked = true
		close(s.acked)
		return nil
	case NotificationToolsListChanged, NotificationPromptsListChanged, NotificationResourcesListChanged:
		return s.putLocked(Event{Method: n.Method})
	case NotificationResourceUpdated:
		uri, ok := jsonrpc.Unquote(jsonrpc.Get(n.Params, "uri"))
		if !ok {
			return nil
		}
		return s.putLocked(Event{Method: n.Method, URI: uri})
	case NotificationTask:
		id, ok := jsonrpc.Unquote(jsonrpc.Get(n.Params, "taskId"))
		if !ok {
			return nil
		}
		return s.putLocked(Event{Method: n.Method, TaskID: id})
	}
	return nil
}

func (s *Subscription) putLocked(e Event) error {
	s.cache.changed(e)
	if slices.Contains(s.pending, e) {
		return nil
	}
	if len(s.pending) == maxPendingEvents {
		// To leave one out would go unnoticed; an ended subscription does not.
		s.endLocked(errors.New("too many events wait for their function"))
		return ErrSinkClosed
	}
	s.pending = append(s.pending, e)
	select {
	case s.wake <- struct{}{}:
	default:
	}
	return nil
}

func (s listenSink) End(_ Result, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.endLocked(err)
}

func (s *Subscription) endLocked(err error) {
	if s.over {
		return
	}
	s.over = true
	s.endErr = err
	close(s.ended)
}
