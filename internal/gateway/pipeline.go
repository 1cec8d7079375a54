package gateway

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"time"

	"github.com/fairlead-mcp/fairlead/internal/upstream"
	"github.com/fairlead-mcp/fairlead/mcp"
)

// Decision is what a stage decided about a call, and why.
type Decision struct {
	Stage string
	Rule  string        // what decided, in a few words
	OK    bool          // whether the call went on
	Took  time.Duration // for the last stage, the upstream's time
}

// Trace is a call that has ended, for those who explain or count calls.
type Trace struct {
	ID        string // by which the node remembers the call
	Began     time.Time
	Method    string
	Name      string // as the caller named it
	Upstream  string // empty if none was found
	Principal mcp.Principal
	Took      time.Duration
	Decisions []Decision // in the order of the stages; the last is not OK if a stage refused
	Err       error
}

// A stage decides whether and how a call goes on. It returns the rule by which it
// decided; an error ends the call and is what the caller gets.
type stage struct {
	name string
	run  func(ctx context.Context, c *call) (rule string, err error)
}

// stages is the way of every call.
func stages() []stage {
	return []stage{
		{"resolve", resolve},       // which upstream, and by what name there
		{"authorise", authorise},   // may the caller have it
		{"parameters", parameters}, // do mirrored headers say the same as the body
		{"admit", admit},           // is there room in the node
		{"cache", lookup},          // is there a fresh answer
		{"deadline", deadline},     // until when
		{"guard", guard},           // is there room at the upstream
		{"attempt", attempt},       // ask the upstream
	}
}

// Stages lists the names of the stages that calls pass, in order.
func Stages() []string {
	var names []string
	for _, s := range stages() {
		names = append(names, s.name)
	}
	return names
}

// call is one call on its way through the stages.
type call struct {
	began time.Time
	scope *scope
	req   *mcp.Request
	sink  mcp.Sink

	target  *target         // set by resolve: who is asked
	try     []*target       // set by resolve instead, for a URI that nobody lists: who is asked in turn
	unknown func() error    // set by resolve: the answer if there is no such thing, or it is not for this caller
	out     *mcp.Request    // set by resolve: the request as the upstream gets it, but for the name
	name    func(t *target) // set by resolve: writes the upstream's name into out
	after   []func()        // undone when the call has ended, the last one first
	room    [4]func()       // for after: most calls need no more
	// narrow, set by a stage, bounds the context of the stages after it.
	narrow     func(context.Context) (context.Context, func())
	progressed func()             // set by deadline where progress moves it
	result     mcp.Result         // set by attempt, or by cache
	answered   bool               // set by cache: there is nothing left to do
	keep       func(mcp.Result)   // set by cache: takes the result
	asked      *upstream.Upstream // set by attempt: who answered
	told       atomic.Bool        // the caller has got a notification
}

// call passes a request through the stages.
func (s *scope) call(ctx context.Context, req *mcp.Request, sink mcp.Sink) (mcp.Result, error) {
	began := time.Now()
	c := &call{began: began, scope: s, req: req, sink: sink}
	c.after = c.room[:0]
	defer func() { // also when a stage panics: what it has taken is given back
		for _, undo := range slices.Backward(c.after) {
			undo()
		}
	}()
	trace := Trace{ID: s.g.history.next(), Began: began, Method: req.Method, Name: req.Name, Principal: req.Principal}
	trace.Decisions = make([]Decision, 0, len(s.g.stages))
	last := began
	var err error
	for _, st := range c.scope.g.stages {
		var rule string
		rule, err = st.run(ctx, c)
		now := time.Now()
		trace.Decisions = append(trace.Decisions, Decision{Stage: st.name, Rule: rule, OK: err == nil, Took: now.Sub(last)})
		last = now
		if err != nil || c.answered {
			break
		}
		if c.narrow != nil {
			var undo func()
			ctx, undo = c.narrow(ctx)
			c.after, c.narrow = append(c.after, undo), nil
		}
	}
	if s.tooLate(err) {
		return mcp.Result{}, err // not the end of the call, so nothing to remember
	}
	if err == nil && c.keep != nil {
		c.keep(c.result)
	}
	switch {
	case c.asked != nil:
		trace.Upstream = c.asked.Name()
	case c.target != nil:
		trace.Upstream = c.target.upstream.Name()
	}
	trace.Took, trace.Err = last.Sub(began), err
	s.g.history.add(&trace)
	s.g.opts.OnCall(trace)
	if err != nil {
		if f, ok := errors.AsType[*upstream.Failure](err); ok {
			named := *f
			named.RequestID = trace.ID
			return mcp.Result{}, &named
		}
		return mcp.Result{}, err
	}
	return c.result, nil
}
