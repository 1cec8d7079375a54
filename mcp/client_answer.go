package mcp

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/fairlead-mcp/fairlead/mcp/jsonrpc"
	"github.com/go-json-experiment/json"
)

// question is a checked question of a server.
type question struct {
	key    string
	answer func(context.Context) (any, error) // nil: the client has no function for it
}

// Offer returns the capabilities of a client with these options: Capabilities, and
// what follows from the functions. It is for transports that open a session before
// the first request.
func (o *ClientOptions) Offer() ClientCapabilities {
	var caps ClientCapabilities
	if o.Capabilities != nil {
		caps = *o.Capabilities
	}
	if o.OnElicit != nil || o.OnPage != nil {
		var modes ElicitationCapability
		if caps.Elicitation != nil {
			modes = *caps.Elicitation
			if modes.URL == nil {
				modes.Form = &struct{}{} // what no mode means
			}
		}
		if o.OnElicit != nil {
			modes.Form = &struct{}{}
		}
		if o.OnPage != nil {
			modes.URL = &struct{}{}
		}
		caps.Elicitation = &modes
	}
	if o.OnSample != nil && caps.Sampling == nil {
		caps.Sampling = &SamplingCapability{}
	}
	if (o.Roots != nil || o.OnListRoots != nil) && caps.Roots == nil {
		caps.Roots = &ListCapability{ListChanged: o.OnListRoots != nil}
	}
	return caps
}

func (c *Client) hasRoots() bool { return c.opts.Roots != nil || c.opts.OnListRoots != nil }

// questions checks all questions of a round, before any is answered.
func (c *Client) questions(asked *InputRequiredResult) ([]question, error) {
	questions := make([]question, 0, len(asked.InputRequests))
	for key, q := range asked.InputRequests {
		answer, e := c.question(q)
		if e != nil {
			e.Question = key
			return nil, e
		}
		questions = append(questions, question{key, answer})
	}
	return questions, nil
}

// question checks what a server asks and says how it is answered.
func (c *Client) question(q InputRequest) (func(context.Context) (any, error), *ProtocolError) {
	if q.Params != nil && !isObject(q.Params) {
		return nil, violates(ViolationAskedMalformed, "", "params is not an object")
	}
	switch q.Method {
	case MethodElicit:
		return c.elicitation(q.Params)
	case MethodSample:
		return c.sampling(q.Params)
	case MethodListRoots:
		switch {
		case c.caps.Roots == nil:
			return nil, undeclared("roots")
		case !c.hasRoots():
			return nil, nil
		}
		return c.listRoots, nil
	}
	return nil, violates(ViolationAskedUnknown, "", "no server may ask %q", clip(q.Method))
}

func undeclared(capability string) *ProtocolError {
	return violates(ViolationAskedUndeclared, "", "the client has not declared %s", capability)
}

func (c *Client) elicitation(params Raw) (func(context.Context) (any, error), *ProtocolError) {
	p := new(ElicitParams)
	if json.Unmarshal(params, p) != nil || !isString(jsonrpc.Get(params, "message")) {
		return nil, violates(ViolationAskedMalformed, "", "not the params of %s", MethodElicit)
	}
	modes := c.caps.Elicitation
	switch {
	case p.Mode != "" && p.Mode != ElicitForm && p.Mode != ElicitURL:
		return nil, violates(ViolationAskedUnknown, "", "mode %q", clip(string(p.Mode)))
	case modes == nil:
		return nil, undeclared("elicitation")
	case p.Mode == ElicitURL:
		return c.page(p)
	case modes.Form == nil && modes.URL != nil:
		return nil, undeclared("elicitation.form")
	}
	p.Mode = ElicitForm
	form, err := readForm(p.RequestedSchema)
	if err == nil {
		_, err = p.Fields() // a client that shows them can rely on it
	}
	switch {
	case err != nil:
		return nil, violates(ViolationForm, "", "%v", err)
	case c.opts.OnElicit == nil:
		return nil, nil
	}
	return func(ctx context.Context) (any, error) {
		r, err := c.opts.OnElicit(ctx, p)
		if err != nil {
			return nil, err
		}
		return form.settle(r)
	}, nil
}

func (c *Client) page(p *ElicitParams) (func(context.Context) (any, error), *ProtocolError) {
	page := Page{Message: p.Message, URL: p.URL}
	if c.caps.Elicitation.URL == nil {
		return nil, undeclared("elicitation.url")
	}
	if err := page.check(); err != nil {
		return nil, violates(ViolationPage, "", "%s", err)
	}
	if c.opts.OnPage == nil {
		return nil, nil
	}
	return func(ctx context.Context) (any, error) {
		action, err := c.opts.OnPage(ctx, page)
		if err == nil && !action.valid() {
			err = fmt.Errorf("OnPage returned the action %q", action)
		}
		return &ElicitResult{Action: action}, err
	}, nil
}

func (c *Client) sampling(params Raw) (func(context.Context) (any, error), *ProtocolError) {
	p := new(SampleParams)
	if err := json.Unmarshal(params, p); err != nil {
		return nil, violates(ViolationAskedMalformed, "", "not the params of %s: %v", MethodSample, err)
	}
	switch {
	case c.caps.Sampling == nil:
		return nil, undeclared("sampling")
	case (len(p.Tools) > 0 || p.ToolChoice != nil) && c.caps.Sampling.Tools == nil:
		return nil, undeclared("sampling.tools")
	}
	if err := p.check(); err != nil {
		return nil, violates(ViolationSample, "", "%v", err)
	}
	if c.opts.OnSample == nil {
		return nil, nil
	}
	return func(ctx context.Context) (any, error) {
		r, err := c.opts.OnSample(ctx, p)
		switch {
		case err != nil:
			return nil, err
		case r == nil:
			return nil, errors.New("OnSample returned nothing")
		case r.Role != RoleAssistant && r.Role != RoleUser:
			return nil, fmt.Errorf("OnSample returned the role %q", r.Role)
		}
		return r, nil
	}, nil
}

func (c *Client) listRoots(ctx context.Context) (any, error) {
	if c.opts.OnListRoots == nil {
		return ListRootsResult{Roots: c.opts.Roots}, nil
	}
	roots, err := c.opts.OnListRoots(ctx)
	if err == nil {
		err = checkRoots(roots)
	}
	if roots == nil {
		roots = []Root{} // [] on the wire
	}
	return ListRootsResult{Roots: roots}, err
}

// checkRoots checks what a client says of its roots (MCP 2026-07-28, client/roots,
// Root and Security Considerations).
func checkRoots(roots []Root) error {
	for _, r := range roots {
		u, err := url.Parse(r.URI)
		if err != nil || u.Scheme != "file" || !strings.HasPrefix(u.Path, "/") || slices.Contains(strings.Split(u.Path, "/"), "..") {
			return fmt.Errorf("root %q is not a file:// URI of an absolute path that does not climb (..)", r.URI)
		}
	}
	return nil
}

func (a ElicitAction) valid() bool {
	return a == ElicitAccept || a == ElicitDecline || a == ElicitCancel
}

func isString(raw []byte) bool { return len(raw) > 0 && raw[0] == '"' }

// answer answers all questions of a round at the same time. The first error ends
// the others, and is the error of all when they have returned.
func (c *Client) answer(ctx context.Context, end time.Time, questions []question) (*Input, error) {
	ctx, stop := context.WithDeadline(ctx, end)
	defer stop()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	input := &Input{Responses: make(map[string]Raw, len(questions))}
	var mu sync.Mutex
	var first error
	one := func(q question) {
		raw, err := encodeAnswer(ctx, q.answer)
		mu.Lock()
		defer mu.Unlock()
		if err == nil {
			input.Responses[q.key] = raw
			return
		}
		if first == nil {
			first = fmt.Errorf("answer %q: %w", clip(q.key), err)
			cancel(first)
		}
	}
	if len(questions) == 1 {
		one(questions[0])
		return input, first
	}
	var running sync.WaitGroup
	for _, q := range questions {
		running.Go(func() { one(q) }) // until the client's function returns
	}
	running.Wait()
	return input, first
}

func encodeAnswer(ctx context.Context, answer func(context.Context) (any, error)) (Raw, error) {
	value, err := answer(ctx)
	if err != nil {
		return nil, err
	}
	return json.Marshal(value)
}

// answerOutside answers a question of a server that belongs to no call.
func (c *Client) answerOutside(ctx context.Context, q InputRequest) (Raw, error) {
	answer, e := c.question(q)
	switch {
	case e != nil && (e.Violation == ViolationAskedUnknown || e.Violation == ViolationAskedUndeclared):
		return nil, ErrMethodNotFound(clip(q.Method))
	case e != nil:
		return nil, ErrInvalidParams("%s", e.Detail)
	case c.bad != nil:
		return nil, c.bad
	case answer == nil:
		return nil, fmt.Errorf("no function of the client answers %s", q.Method)
	}
	ctx, cancel := context.WithTimeout(ctx, c.opts.MaxTimeout)
	defer cancel()
	return encodeAnswer(ctx, answer)
}

// RootsChanged tells a server of an old revision that the roots of the client have
// changed. Later servers ask whenever they need them. See [Asked].
func (c *Client) RootsChanged(ctx context.Context) error {
	a, ok := c.origin.(Asked)
	if !ok || !c.hasRoots() {
		return nil
	}
	return a.RootsChanged(ctx)
}
