package mcptest

import (
	"context"
	"sync"
	"testing"

	"github.com/fairlead-mcp/fairlead/mcp"
)

// Step is one request that a [Script] expects, and what it answers.
type Step struct {
	// Method and Name are those of the request. An empty Name is not compared.
	Method, Name string
	// Notify goes to the sink before the answer.
	Notify []*mcp.Notification
	// Hold delays the answer until it is closed or the context ends, whose error
	// is then the answer. Nil delays nothing.
	Hold <-chan struct{}
	// Body is the result object; empty means {}.
	Body string
	// Result is the rest of the result.
	Result mcp.Result
	// Err is the answer if it is not nil.
	Err error
}

// Script is a server that expects requests in a given order. It is an mcp.Handler.
type Script struct {
	t testing.TB

	mu       sync.Mutex
	steps    []Step
	requests []*mcp.Request
}

// NewScript returns a server for the steps. A request that no step expects is an
// error of the test, and so is a step that no request has reached at its end.
func NewScript(t testing.TB, steps ...Step) *Script {
	s := &Script{t: t, steps: steps}
	t.Cleanup(func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, step := range s.steps {
			t.Errorf("mcptest: no request for step %s %s", step.Method, step.Name)
		}
	})
	return s
}

// Requests returns copies of the requests so far.
func (s *Script) Requests() []*mcp.Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]*mcp.Request(nil), s.requests...)
}

// Handle answers as the next step says.
func (s *Script) Handle(ctx context.Context, req *mcp.Request, sink mcp.Sink) (mcp.Result, error) {
	step, ok := s.next(req)
	if !ok {
		return mcp.Result{}, mcp.ErrMethodNotFound(req.Method)
	}
	for _, n := range step.Notify {
		if err := sink.Notify(n); err != nil {
			return mcp.Result{}, err
		}
	}
	if step.Hold != nil {
		select {
		case <-step.Hold:
		case <-ctx.Done():
			return mcp.Result{}, ctx.Err()
		}
	}
	if step.Err != nil {
		return mcp.Result{}, step.Err
	}
	res := step.Result
	if step.Body != "" {
		res.Body = []byte(step.Body)
	}
	return res, nil
}

func (s *Script) next(req *mcp.Request) (Step, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests = append(s.requests, req.Clone())
	if len(s.steps) == 0 {
		s.t.Errorf("mcptest: request %s %s after the last step", req.Method, req.Name)
		return Step{}, false
	}
	step := s.steps[0]
	if step.Method != req.Method || step.Name != "" && step.Name != req.Name {
		s.t.Errorf("mcptest: request %s %s, the script expects %s %s", req.Method, req.Name, step.Method, step.Name)
		return Step{}, false
	}
	s.steps = s.steps[1:]
	return step, true
}
