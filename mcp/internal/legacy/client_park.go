package legacy

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/mcp/jsonrpc"
)

// Parking bounds the calls that wait for answers to what their server has asked.
type Parking struct {
	// Time is how long a call waits for the retry that brings the answers. Zero means 5 minutes.
	Time time.Duration
	// Max bounds the calls that have been asked and are not over. Zero means 256.
	Max int
	// MaxPerPrincipal bounds those of one caller. Zero means 16.
	MaxPerPrincipal int
}

func (l Parking) withDefaults() Parking {
	if l.Time <= 0 {
		l.Time = 5 * time.Minute
	}
	if l.Max <= 0 {
		l.Max = 256
	}
	if l.MaxPerPrincipal <= 0 {
		l.MaxPerPrincipal = 16
	}
	return l
}

const (
	// maxAsked bounds the questions of one call that have no answer.
	maxAsked = 64
	// maxAskedBytes bounds the questions of all calls, and the results of those that
	// were answered while nobody waited: four messages of the largest default size.
	maxAskedBytes = 64 << 20
	// maxKeptProgress bounds the progress that is kept for the retry.
	maxKeptProgress = 16 << 10
	// gatherWait is how long a round of questions waits for more, since a server
	// that asks several things at once sends them one by one.
	gatherWait = 10 * time.Millisecond
	// answerTimeout bounds the refusal of questions whose call is over.
	answerTimeout = 5 * time.Second
)

var (
	errExpired = errors.New("nobody has answered the server's question in time")
	errOver    = mcp.Errorf(jsonrpc.CodeInternalError, "The call that this request belongs to is over")
)

// errState answers a retry that finds no call. It does not say why: the handle may
// be somebody else's.
func errState() *mcp.Error {
	return mcp.ErrInvalidParams("params.requestState is not valid for this request: send the request again without it")
}

// parking has the calls whose server may ask in the middle of them. A question
// becomes an input_required result, and the call waits, parked, for the retry.
//
//	Handle ── call ──> RoundTrip (a goroutine of its own)
//	  │ wait <──────────── Ask: the server's request
//	  └─ park: input_required, with a handle
//	Handle ── resume ─> Answer: the server goes on
//	  │ wait <──────────── finish: its result
//	  └─ settle
type parking struct {
	wire    Wire
	limits  Parking
	running sync.WaitGroup // round trips and refusals

	mu        sync.Mutex
	closed    error
	calls     map[*call]struct{}    // until settled, expired or closed
	parked    map[string]*call      // handle -> call that waits for its retry
	inquiries map[string]*inquiry   // raw id -> request of the server without an answer
	held      map[mcp.Principal]int // caller -> calls that have been asked
	total     int                   // sum of held
	bytes     int                   // of inquiries and of results that wait
}

func (p *parking) init(w Wire, l Parking) {
	p.wire, p.limits = w, l.withDefaults()
	p.calls = make(map[*call]struct{})
	p.parked = make(map[string]*call)
	p.inquiries = make(map[string]*inquiry)
	p.held = make(map[mcp.Principal]int)
}

// call sends a request whose server may ask, and waits for its result or for the first question.
func (c *Client) call(ctx context.Context, req *mcp.Request, sink mcp.Sink) (mcp.Result, error) {
	// The round trip outlives this request when it is parked.
	own, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	p := &c.parking
	k := &call{
		p: p, version: c.server.Version, offered: c.offered, principal: req.Principal,
		cancel: cancel, wake: make(chan struct{}, 1), caps: bytes.Clone(req.Meta.Capabilities),
	}
	k.attach(req, sink)
	method, params := req.Method, requestParams(req)
	p.mu.Lock()
	if p.closed != nil {
		defer p.mu.Unlock()
		cancel(nil)
		return mcp.Result{}, p.closed
	}
	p.calls[k] = struct{}{}
	p.running.Go(func() { // until the transport has the result, or cancel
		body, err := p.wire.RoundTrip(own, method, params, k)
		p.finish(k, body, err)
		cancel(nil)
	})
	p.mu.Unlock()
	return c.wait(ctx, k, req)
}

// resume continues a parked call with the answers that its retry brings.
func (c *Client) resume(ctx context.Context, req *mcp.Request, sink mcp.Sink, state []byte) (mcp.Result, error) {
	handle, ok := jsonrpc.Unquote(state)
	if !ok {
		return mcp.Result{}, mcp.ErrInvalidParams("params.requestState is not a string")
	}
	binding := string(mcp.BindRequest("parked", req))
	p := &c.parking
	p.mu.Lock()
	k := p.parked[handle]
	switch {
	case p.closed != nil:
		defer p.mu.Unlock()
		return mcp.Result{}, p.closed
	case k == nil || k.binding != binding:
		p.mu.Unlock()
		return mcp.Result{}, errState()
	}
	answers, problem := k.answersLocked(jsonrpc.Get(req.Params, "inputResponses"))
	if problem != nil {
		p.mu.Unlock()
		return mcp.Result{}, problem // still parked
	}
	p.unparkLocked(k)
	k.caps = bytes.Clone(req.Meta.Capabilities)
	p.mu.Unlock()

	k.attach(req, sink)
	for _, answer := range answers {
		if err := p.wire.Answer(ctx, answer); err != nil {
			k.fail(fmt.Errorf("answer to the server: %w", err))
			break
		}
	}
	k.signal()
	return c.wait(ctx, k, req)
}

// wait waits for the result of k, or parks it with what its server asks.
func (c *Client) wait(ctx context.Context, k *call, req *mcp.Request) (mcp.Result, error) {
	done := ctx.Done()
	var gathered <-chan time.Time
	for {
		select {
		case <-k.wake:
			k.p.mu.Lock()
			finished, asked := k.finished, len(k.asked) > 0
			k.p.mu.Unlock()
			if finished {
				return c.settle(ctx, k, req)
			}
			if asked && gathered == nil {
				gathered = time.After(gatherWait)
			}
		case <-gathered:
			gathered = nil
			if done == nil {
				continue
			}
			if res, ok := k.p.park(k, req); ok {
				k.detach()
				return res, nil
			}
		case <-done:
			done = nil // the round trip ends soon, and says how
			k.fail(fmt.Errorf("%s: %w", req.Method, context.Cause(ctx)))
		}
	}
}

// settle takes the result of a call that is over.
func (c *Client) settle(ctx context.Context, k *call, req *mcp.Request) (mcp.Result, error) {
	p := k.p
	p.mu.Lock()
	body, err, failed := k.body, k.err, k.failed
	p.leaveLocked(k)
	p.mu.Unlock()
	if err == nil {
		return complete(body), nil
	}
	if failed != nil && errors.Is(err, context.Canceled) {
		err = failed // why, rather than that
	}
	return c.refused(req, err)
}

// park makes the input_required result of the questions of k. It reports false if
// none is left, or the call is over.
func (p *parking) park(k *call, req *mcp.Request) (mcp.Result, bool) {
	binding := string(mcp.BindRequest("parked", req))
	p.mu.Lock()
	defer p.mu.Unlock()
	if k.finished || len(k.asked) == 0 || p.closed != nil {
		return mcp.Result{}, false
	}
	handle := rand.Text()
	k.handle, k.binding = handle, binding
	p.parked[handle] = k
	k.expiry = time.AfterFunc(p.limits.Time, func() { p.expire(k, handle) })
	for _, q := range k.asked {
		q.shown = true
	}
	return inputRequired(k.asked, handle), true
}

// unparkLocked makes the handle of a parked call useless.
func (p *parking) unparkLocked(k *call) {
	if k.handle != "" {
		delete(p.parked, k.handle)
		k.handle, k.binding = "", ""
		k.expiry.Stop()
	}
}

// expire ends a call whose retry has not come.
func (p *parking) expire(k *call, handle string) {
	p.mu.Lock()
	if k.handle != handle {
		p.mu.Unlock()
		return // the retry was first
	}
	p.leaveLocked(k)
	p.mu.Unlock()
	k.fail(errExpired)
}

// leaveLocked forgets a call, though its round trip may not have ended yet.
func (p *parking) leaveLocked(k *call) {
	if _, here := p.calls[k]; !here {
		return
	}
	delete(p.calls, k)
	p.unparkLocked(k)
	p.bytes -= k.kept
	k.kept, k.body = 0, nil
	if k.counted {
		p.total--
		if p.held[k.principal]--; p.held[k.principal] == 0 {
			delete(p.held, k.principal)
		}
	}
}

// finish takes the end of a round trip.
func (p *parking) finish(k *call, body []byte, err error) {
	p.mu.Lock()
	left := k.asked
	k.asked = nil
	for _, q := range left {
		p.dropLocked(q)
	}
	k.finished, k.body, k.err = true, body, err
	_, wanted := p.calls[k]
	switch {
	case !wanted:
		k.body = nil
	case k.handle != "" && p.bytes+len(body) > maxAskedBytes:
		k.body, k.err = nil, errors.New("the result came before the answers and could not be kept for them")
	case k.handle != "":
		k.kept = len(body)
		p.bytes += k.kept
	}
	closed := p.closed != nil
	p.mu.Unlock()
	k.signal()
	if closed {
		return
	}
	// The server may still wait for an answer, above all if the call was given up.
	ctx, cancel := context.WithTimeout(context.Background(), answerTimeout)
	defer cancel()
	for _, q := range left {
		if p.wire.Answer(ctx, jsonrpc.AppendError(nil, q.id, errOver.Code, errOver.Message, nil)) != nil {
			return
		}
	}
}

// close ends all calls with err. No new ones begin.
func (p *parking) close(err error) {
	p.leave(err)
	p.mu.Lock()
	defer p.mu.Unlock()
	for k := range p.calls {
		k.failLocked(err)
	}
}

// leave ends the parked calls with err, and lets no others be asked.
func (p *parking) leave(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed == nil {
		p.closed = err
	}
	for k := range p.calls {
		if k.handle != "" { // nobody waits for it
			p.leaveLocked(k)
			k.failLocked(err)
		}
	}
}

// withdraw forgets a request that the server has cancelled.
func (p *parking) withdraw(params []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if q := p.inquiries[string(jsonrpc.Get(params, "requestId"))]; q != nil {
		p.dropLocked(q)
		for i, other := range q.call.asked {
			if other == q {
				q.call.asked = append(q.call.asked[:i:i], q.call.asked[i+1:]...)
				break
			}
		}
	}
}

func (p *parking) dropLocked(q *inquiry) {
	delete(p.inquiries, string(q.id))
	p.bytes -= q.size()
}
