package legacy

import (
	"bytes"
	"context"
	"strconv"
	"sync"
	"time"

	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/mcp/jsonrpc"
)

// call is one request to the server, over all its retries.
type call struct {
	p         *parking
	version   mcp.Version
	offered   []byte // capabilities of the session
	principal mcp.Principal
	cancel    context.CancelCauseFunc // ends the round trip
	wake      chan struct{}           // one token when something has changed

	sending  sync.Mutex // held while sink is used, so that it is taken away only between
	sink     mcp.Sink   // of the caller; nil while parked
	token    []byte     // the caller's progress token, raw; nil if it wants none
	progress *mcp.Notification

	// The rest is guarded by parking.mu.
	caps     []byte     // of the caller
	asked    []*inquiry // in the order in which they came
	lastKey  int
	counted  bool
	handle   string // while parked
	binding  string // of the request that parked it
	expiry   *time.Timer
	finished bool
	kept     int // bytes of a result that waits for the retry
	body     []byte
	err      error
	failed   error // why we ended the call
}

// inquiry is a request of the server that has no answer yet.
type inquiry struct {
	id     []byte // raw
	call   *call
	key    string // in inputRequests
	method string
	params []byte
	url    bool // elicitation by a page
	shown  bool // the caller has been told
}

func (q *inquiry) size() int { return len(q.id) + len(q.params) }

// Ask takes a request of the server in the middle of k; see [Exchange].
func (k *call) Ask(msg *jsonrpc.Message) *mcp.Error {
	if e := refusal(k.version, k.offered, msg.Method, msg.Params); e != nil {
		return e
	}
	q := newInquiry(msg)
	q.call = k
	p := k.p
	p.mu.Lock()
	defer p.mu.Unlock()
	_, wanted := p.calls[k]
	switch {
	case p.closed != nil || !wanted || k.failed != nil:
		return errOver
	case p.inquiries[string(q.id)] != nil:
		return mcp.Errorf(jsonrpc.CodeInvalidRequest, "The id %.64s is that of another request without an answer", q.id)
	case refusal(k.version, k.caps, msg.Method, msg.Params) != nil:
		return mcp.Errorf(jsonrpc.CodeInternalError, "Who sent the request that this belongs to cannot be asked %s", msg.Method)
	case len(k.asked) == maxAsked:
		return mcp.Errorf(jsonrpc.CodeInternalError, "The call has %d requests without an answer already", maxAsked)
	case p.bytes+q.size() > maxAskedBytes:
		return mcp.Errorf(jsonrpc.CodeInternalError, "Too much has been asked that has no answer yet")
	case !k.counted && (p.total >= p.limits.Max || p.held[k.principal] >= p.limits.MaxPerPrincipal):
		return mcp.Errorf(jsonrpc.CodeInternalError, "Too many calls wait for answers already; try again later")
	}
	if !k.counted {
		k.counted = true
		p.total++
		p.held[k.principal]++
	}
	for q.key == "" || k.hasKeyLocked(q.key) {
		k.lastKey++
		q.key = "q" + strconv.Itoa(k.lastKey)
	}
	p.inquiries[string(q.id)] = q
	p.bytes += q.size()
	k.asked = append(k.asked, q)
	k.signal()
	return nil
}

func (k *call) hasKeyLocked(key string) bool {
	for _, q := range k.asked {
		if q.key == key {
			return true
		}
	}
	return false
}

// answersLocked makes messages of the answers that a retry brings, and forgets
// their questions. Those without an answer stay. After an error all do.
func (k *call) answersLocked(responses []byte) (answers [][]byte, problem *mcp.Error) {
	if responses != nil && !isObject(responses) {
		return nil, mcp.ErrInvalidParams("params.inputResponses is not an object")
	}
	var answered, left []*inquiry
	for _, q := range k.asked {
		raw := jsonrpc.Get(responses, q.key)
		if raw == nil || !q.shown {
			left = append(left, q)
			continue
		}
		result, why := q.result(k.version, raw)
		if why != "" {
			return nil, mcp.ErrInvalidParams("params.inputResponses: member %q: %s", q.key, why)
		}
		answered = append(answered, q)
		answers = append(answers, jsonrpc.AppendResult(nil, q.id, result))
	}
	for _, q := range answered {
		k.p.dropLocked(q)
	}
	k.asked = left
	return answers, nil
}

// fail ends the round trip because of err, unless it has another reason already.
func (k *call) fail(err error) {
	k.p.mu.Lock()
	defer k.p.mu.Unlock()
	k.failLocked(err)
}

func (k *call) failLocked(err error) {
	if k.failed == nil {
		k.failed = err
	}
	k.cancel(err)
}

func (k *call) signal() {
	select {
	case k.wake <- struct{}{}:
	default:
	}
}

// attach gives the call to the sink of a request, with the progress that it has missed.
func (k *call) attach(req *mcp.Request, sink mcp.Sink) {
	k.sending.Lock()
	defer k.sending.Unlock()
	k.sink, k.token = levelSink{sink, req.Meta.LogLevel}, bytes.Clone(req.Meta.ProgressToken)
	if missed := k.progress; missed != nil {
		k.progress = nil
		_ = k.notify(missed) // a caller that has gone is told by its context
	}
}

func (k *call) detach() {
	k.sending.Lock()
	k.sink = nil
	k.sending.Unlock()
}

// Notify passes a notification on to the caller. While there is none the newest
// progress is kept, and the rest lost.
func (k *call) Notify(n *mcp.Notification) error {
	k.sending.Lock()
	defer k.sending.Unlock()
	return k.notify(n)
}

// notify is Notify with sending held.
func (k *call) notify(n *mcp.Notification) error {
	progress := n.Method == mcp.NotificationProgress
	switch {
	case k.sink == nil:
		if progress && len(n.Params) <= maxKeptProgress {
			k.progress = n
		}
		return nil
	case progress && k.token == nil:
		return nil
	case progress && !bytes.Equal(jsonrpc.Get(n.Params, mcp.MetaProgressToken), k.token):
		n = mcp.NewNotification(n.Method, jsonrpc.Splice(nil, n.Params, jsonrpc.Member{Key: mcp.MetaProgressToken, Value: k.token}))
	}
	return k.sink.Notify(n)
}

// End does nothing: calls are not streams.
func (k *call) End(mcp.Result, error) {}
