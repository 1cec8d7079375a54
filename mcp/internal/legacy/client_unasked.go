package legacy

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/mcp/jsonrpc"
)

// maxUnasked bounds the requests that belong to no call and are being answered.
const maxUnasked = 16

// answererWait is how long after the handshake a request waits for somebody who
// answers: servers ask for roots at once, programs connect and then say who answers.
const answererWait = 2 * time.Second

// unasked answers requests of the server that belong to no call.
type unasked struct {
	wire    Wire
	born    time.Time // of the session
	running sync.WaitGroup

	mu     sync.Mutex
	answer mcp.Answerer  // nil: all are refused
	came   chan struct{} // closed when there is an answer
	closed bool
	open   map[string]context.CancelFunc // raw id -> ends the answering
}

func (u *unasked) init(w Wire, answer mcp.Answerer) {
	u.wire, u.born = w, time.Now()
	u.came, u.open = make(chan struct{}), make(map[string]context.CancelFunc)
	u.set(answer)
}

func (u *unasked) set(answer mcp.Answerer) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if answer != nil && u.answer == nil {
		close(u.came)
	}
	if answer == nil && u.answer != nil {
		u.came = make(chan struct{})
	}
	u.answer = answer
}

// Answer sets who answers requests of the server that belong to no call. Nil means
// that they are refused.
func (c *Client) Answer(a mcp.Answerer) { c.unasked.set(a) }

// Answers reports whether somebody answers requests that belong to no call.
func (c *Client) Answers() bool {
	c.unasked.mu.Lock()
	defer c.unasked.mu.Unlock()
	return c.unasked.answer != nil
}

// Requested takes a request of the server that no call explains. It does not block
// and keeps no bytes of msg. An error refuses the request: the transport answers
// with it. Otherwise the answer comes by Wire.Answer.
func (c *Client) Requested(msg *jsonrpc.Message) *mcp.Error {
	if e := refusal(c.server.Version, c.offered, msg.Method, msg.Params); e != nil {
		return e
	}
	u := &c.unasked
	u.mu.Lock()
	defer u.mu.Unlock()
	id := string(msg.ID)
	switch {
	case u.closed || u.answer == nil && time.Since(u.born) > answererWait:
		return errNoCall(msg.Method)
	case u.open[id] != nil:
		return mcp.Errorf(jsonrpc.CodeInvalidRequest, "The id %.64s is that of another request without an answer", id)
	case len(u.open) == maxUnasked:
		return mcp.Errorf(jsonrpc.CodeInternalError, "%d requests are being answered already; try again later", maxUnasked)
	}
	ctx, cancel := context.WithCancel(context.Background())
	u.open[id] = cancel
	q, version := newInquiry(msg), c.server.Version
	u.running.Go(func() { // until the answer, the server's cancellation or close
		defer cancel()
		reply := q.reply(version, func() (mcp.Raw, error) { return u.ask(ctx, q) })
		u.mu.Lock()
		_, wanted := u.open[id]
		delete(u.open, id)
		u.mu.Unlock()
		if wanted {
			ctx, cancel := context.WithTimeout(context.Background(), answerTimeout)
			defer cancel()
			_ = u.wire.Answer(ctx, reply) // who asked will notice
		}
	})
	return nil
}

func errNoCall(method string) *mcp.Error {
	return mcp.Errorf(jsonrpc.CodeInternalError, "The request belongs to no call that could be asked %s", method)
}

// ask asks who answers, once there is somebody.
func (u *unasked) ask(ctx context.Context, q *inquiry) (mcp.Raw, error) {
	u.mu.Lock()
	came := u.came
	u.mu.Unlock()
	timer := time.NewTimer(answererWait - time.Since(u.born))
	defer timer.Stop()
	select {
	case <-came:
	case <-timer.C:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	u.mu.Lock()
	answer := u.answer
	u.mu.Unlock()
	if answer == nil {
		return nil, errNoCall(q.method)
	}
	return answer(ctx, mcp.InputRequest{Method: q.method, Params: q.params})
}

func (q *inquiry) reply(v mcp.Version, ask func() (mcp.Raw, error)) []byte {
	raw, err := ask()
	var result []byte
	if err == nil {
		err = jsonrpc.Valid(raw, nil)
	}
	if err == nil {
		var wrong string
		if result, wrong = q.result(v, raw); wrong != "" {
			err = errors.New("the answer does not fit: " + wrong)
		}
	}
	if err != nil {
		e := mcp.ErrorOf(err)
		return jsonrpc.AppendError(nil, q.id, e.Code, e.Message, e.Data)
	}
	return jsonrpc.AppendResult(nil, q.id, result)
}

// withdraw ends the answering of a request that the server has cancelled.
func (u *unasked) withdraw(params []byte) {
	u.mu.Lock()
	defer u.mu.Unlock()
	id := string(jsonrpc.Get(params, "requestId"))
	if cancel := u.open[id]; cancel != nil {
		delete(u.open, id)
		cancel()
	}
}

func (u *unasked) close() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.closed = true
	for id, cancel := range u.open {
		delete(u.open, id)
		cancel()
	}
}
