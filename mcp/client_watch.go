package mcp

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/fairlead-mcp/fairlead/mcp/jsonrpc"
)

// The pauses before a lost subscription is opened again. One that has lasted
// for the longest pause starts anew with the shortest.
const (
	firstReopen   = 500 * time.Millisecond
	longestReopen = time.Minute
)

// WatchOptions changes the defaults of [Client.Watch].
type WatchOptions struct {
	// OnLost is called when the subscription is lost, with the reason (nil: the server
	// ended it in order), and with the error of each attempt to open it again that is
	// not the last. It is called between events, never concurrently.
	OnLost func(err error)
	// MaxAttempts bounds the attempts to open a lost subscription again. Zero means
	// as many as it takes.
	MaxAttempts int
}

// Watch is a subscription that is opened again when it is lost; see [Client.Watch].
type Watch struct {
	cancel context.CancelFunc
	done   chan struct{}
	err    error // valid once done is closed

	mu  sync.Mutex
	sub *Subscription // the last one
}

// Watch opens a subscription as [Client.Listen] does, and opens it again whenever
// the server, the connection or a slow onEvent has ended it (MCP 2026-07-28,
// basic/patterns/subscriptions, Cancellation), after a pause of up to a minute. What
// happened in between is unknown: each time it is open again, onEvent first gets an
// event for each list and resource of the filter, as if it had changed.
//
// It ends with [Watch.Close], with ctx, with an error that will not pass (the server
// does not know the method, or refuses the filter), and with MaxAttempts. The error
// of the first attempt is returned. A nil opts means the defaults.
func (c *Client) Watch(ctx context.Context, filter NotificationFilter, onEvent func(Event), opts *WatchOptions) (*Watch, error) {
	if opts == nil {
		opts = &WatchOptions{}
	}
	ctx, cancel := context.WithCancelCause(ctx)
	sub, err := c.listen(ctx, filter, onEvent, nil)
	if err != nil {
		cancel(nil)
		return nil, err
	}
	w := &Watch{cancel: func() { cancel(errUnsubscribed) }, done: make(chan struct{}), sub: sub}
	go w.run(ctx, opts, func() (*Subscription, error) { // until ctx ends or it gives up; Close waits for it
		return c.listen(ctx, filter, onEvent, filter.all())
	})
	return w, nil
}

// all returns the events of everything that a filter asks for.
func (f *NotificationFilter) all() []Event {
	var events []Event
	for method, wanted := range map[string]bool{
		NotificationToolsListChanged: f.ToolsListChanged, NotificationPromptsListChanged: f.PromptsListChanged,
		NotificationResourcesListChanged: f.ResourcesListChanged,
	} {
		if wanted {
			events = append(events, Event{Method: method})
		}
	}
	for _, uri := range f.ResourceSubscriptions {
		events = append(events, Event{Method: NotificationResourceUpdated, URI: uri})
	}
	for _, id := range f.TaskIDs {
		events = append(events, Event{Method: NotificationTask, TaskID: id})
	}
	return events
}

func (w *Watch) run(ctx context.Context, opts *WatchOptions, reopen func() (*Subscription, error)) {
	defer close(w.done)
	defer w.cancel()
	lost := opts.OnLost
	if lost == nil {
		lost = func(error) {}
	}
	sub, pauses := w.sub, 0
	for {
		opened := time.Now()
		<-sub.Done() // at the latest when ctx ends
		if ctx.Err() != nil {
			break
		}
		lost(sub.Err())
		if time.Since(opened) >= longestReopen {
			pauses = 0
		}
		for attempt := 1; ; attempt++ {
			if !sleep(ctx, backoff(pauses, firstReopen, longestReopen)) {
				break
			}
			pauses++
			var err error
			if sub, err = reopen(); err == nil {
				break
			}
			if ctx.Err() != nil {
				break
			}
			if willNotPass(err) || attempt == opts.MaxAttempts {
				w.err = err
				return
			}
			lost(err)
		}
		if ctx.Err() != nil {
			break
		}
		w.mu.Lock()
		w.sub = sub
		w.mu.Unlock()
	}
	if w.err = context.Cause(ctx); errors.Is(w.err, errUnsubscribed) {
		w.err = nil
	}
}

// willNotPass reports whether a server that refused a subscription with err will do
// so again.
func willNotPass(err error) bool {
	var e *Error
	if !errors.As(err, &e) {
		return false
	}
	switch e.Code {
	case jsonrpc.CodeMethodNotFound, jsonrpc.CodeInvalidParams, jsonrpc.CodeInvalidRequest, CodeMissingCapability, CodeUnsupportedVersion:
		return true
	}
	return false
}

// Acknowledged is what the server agreed to send, the last time that it did.
func (w *Watch) Acknowledged() NotificationFilter {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.sub.Acknowledged()
}

// Done is closed when the watch has ended and its functions are not called any more.
func (w *Watch) Done() <-chan struct{} { return w.done }

// Err says why the watch has ended: nil before Done is closed, and after Close.
func (w *Watch) Err() error {
	select {
	case <-w.done:
		return w.err
	default:
		return nil
	}
}

// Close ends the watch and waits until its functions are not called any more. It
// must not be called by them.
func (w *Watch) Close() {
	w.cancel()
	<-w.done
}
