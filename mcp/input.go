package mcp

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/fairlead-mcp/fairlead/mcp/jsonrpc"
	"github.com/go-json-experiment/json"
)

// Members of the params of a request that is retried with input, and of the result
// that asks for it (MCP 2026-07-28, basic/patterns/mrtr).
const (
	memberResponses = "inputResponses"
	memberState     = "requestState"
	memberRequests  = "inputRequests"
)

// InputRequest is something that a server asks the client in the middle of a
// request: [MethodElicit], [MethodSample] or [MethodListRoots].
type InputRequest struct {
	Method string `json:"method"`
	Params Raw    `json:"params,omitzero"`
}

// InputRequiredResult is the result of a request that needs input and is then to
// be retried with it (MCP 2026-07-28, schema, InputRequiredResult).
type InputRequiredResult struct {
	InputRequests map[string]InputRequest `json:"inputRequests,omitempty"`
	RequestState  *string                 `json:"requestState,omitzero"` // opaque; nil: the retry has none
	Meta          Raw                     `json:"_meta,omitzero"`
}

// ErrAsked is returned by the asking methods of a [Call] when the answer is not
// there yet. The handler returns it, wrapped or not; it is called again, from the
// top, when the answer has come.
var ErrAsked = errors.New("mcp: the client has been asked; return this error")

// Question is one thing to ask the client; see [Call.Ask]. Key names it among the
// questions and [Once] effects of the handler. One of the other fields says what is asked.
type Question struct {
	Key    string
	Form   *Form         // the user, by a form
	Page   *Page         // the user, by a page in a browser
	Sample *SampleParams // the client's model
	Roots  bool          // the client's roots
}

// Page is what the user is asked to open in a browser (MCP 2026-07-28,
// client/elicitation, URL Mode). The answer says only that the user agreed to open
// it: what came of it the server learns from the page.
type Page struct {
	Message string
	URL     string // http or https; it must carry no secrets and need a login of its own
}

// Answers are the answers to the questions of one [Call.Ask], by key.
type Answers struct {
	values map[string]any
}

// Elicit returns the answer to a Form or Page.
func (a Answers) Elicit(key string) *ElicitResult { r, _ := a.values[key].(*ElicitResult); return r }

// Sample returns the answer to a Sample.
func (a Answers) Sample(key string) *SampleResult { r, _ := a.values[key].(*SampleResult); return r }

// Roots returns the answer to Roots.
func (a Answers) Roots(key string) []Root { r, _ := a.values[key].([]Root); return r }

// CanElicit reports whether the client shows forms.
func (c *Call) CanElicit() bool { return c.missing(Question{Form: &Form{}}) == nil }

// CanOpenPage reports whether the client lets the user open pages.
func (c *Call) CanOpenPage() bool { return c.missing(Question{Page: &Page{}}) == nil }

// CanSample reports whether the client lets servers ask its model.
func (c *Call) CanSample() bool { return c.missing(Question{Sample: &SampleParams{}}) == nil }

// CanListRoots reports whether the client says what its roots are.
func (c *Call) CanListRoots() bool { return c.missing(Question{Roots: true}) == nil }

// Elicit asks the user to fill in a form (MCP 2026-07-28, client/elicitation).
// Content of an accepted answer fits the form. See [Call.Ask].
func (c *Call) Elicit(ctx context.Context, key string, form Form) (*ElicitResult, error) {
	a, err := c.Ask(ctx, Question{Key: key, Form: &form})
	return a.Elicit(key), err
}

// Open asks the user to open a page (MCP 2026-07-28, client/elicitation, URL Mode). See [Call.Ask].
func (c *Call) Open(ctx context.Context, key string, page Page) (*ElicitResult, error) {
	a, err := c.Ask(ctx, Question{Key: key, Page: &page})
	return a.Elicit(key), err
}

// Sample asks the client's model (MCP 2026-07-28, client/sampling). See [Call.Ask].
//
// Deprecated in the protocol since 2026-07-28.
func (c *Call) Sample(ctx context.Context, key string, params *SampleParams) (*SampleResult, error) {
	a, err := c.Ask(ctx, Question{Key: key, Sample: params})
	return a.Sample(key), err
}

// Roots asks for the client's roots (MCP 2026-07-28, client/roots). See [Call.Ask].
//
// Deprecated in the protocol since 2026-07-28.
func (c *Call) Roots(ctx context.Context, key string) ([]Root, error) {
	a, err := c.Ask(ctx, Question{Key: key, Roots: true})
	return a.Roots(key), err
}

// ElicitAs asks the user to fill in a form with the fields of T ([FormOf]). The
// zero T comes with an action other than [ElicitAccept]. See [Call.Ask].
func ElicitAs[T any](ctx context.Context, c *Call, key, message string) (T, ElicitAction, error) {
	var out T
	r, err := c.Elicit(ctx, key, FormOf[T](message))
	if err != nil {
		return out, "", err
	}
	if r.Accepted() {
		err = r.Decode(&out)
	}
	return out, r.Action, err
}

// Ask asks the client several things at once (MCP 2026-07-28,
// basic/patterns/mrtr). It works in tools, prompts and resources, the same in all
// revisions.
//
// If the answers are not there, the error is [ErrAsked]: the handler returns it and
// is called again, from the top, when they are. So what a handler does before it
// asks happens again, unless it does it by [Once], and it must come to the same
// questions with the same texts. Earlier answers travel with the client, sealed
// (see [ServerOptions].Sealer).
//
// A client that cannot be asked has the error [CodeMissingCapability]; see CanElicit and the like.
func (c *Call) Ask(_ context.Context, questions ...Question) (Answers, error) {
	requests := make([]InputRequest, len(questions))
	for i, q := range questions {
		if e := c.missing(q); e != nil {
			return Answers{}, e
		}
		var err error
		if requests[i], err = q.request(c.req.Meta.Version); err != nil {
			return Answers{}, fmt.Errorf("ask %q: %w", q.Key, err)
		}
		if slices.ContainsFunc(questions[:i], func(o Question) bool { return o.Key == q.Key }) {
			return Answers{}, fmt.Errorf("ask %q: the key is used twice", q.Key)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.openJournal(); err != nil {
		return Answers{}, err
	}
	answers := Answers{values: make(map[string]any, len(questions))}
	for i, q := range questions {
		raw, err := c.journal.answer(q.Key, requests[i])
		if err == nil && raw != nil {
			answers.values[q.Key], err = q.decode(raw)
		}
		if err != nil {
			c.broken = err
			return Answers{}, err
		}
		if raw == nil {
			c.asked = true
			c.journal.asked[q.Key] = requests[i]
		}
	}
	if len(answers.values) < len(questions) {
		return Answers{}, ErrAsked
	}
	return answers, nil
}

// Once calls fn and keeps its value, encoded to JSON, for when the handler is called
// again: an effect that must not happen again because the handler asked. An error of
// fn is not kept. Key names it among the questions and effects of the handler. The
// value travels with the client, sealed.
func Once[T any](ctx context.Context, c *Call, key string, fn func(context.Context) (T, error)) (T, error) {
	var out T
	raw, err := c.once(key)
	if err != nil {
		return out, err
	}
	if raw != nil {
		if err := json.Unmarshal(raw, &out); err != nil {
			return out, fmt.Errorf("once %q: decode: %w", key, err)
		}
		return out, nil
	}
	if out, err = fn(ctx); err != nil {
		return out, err
	}
	if raw, err = json.Marshal(&out); err != nil {
		return out, fmt.Errorf("once %q: encode: %w", key, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.journal.put(key, onceDigest, raw)
	return out, nil
}

func (c *Call) once(key string) (Raw, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.openJournal(); err != nil {
		return nil, err
	}
	raw, err := c.journal.get(key, onceDigest)
	if err != nil {
		c.broken = err
	}
	return raw, err
}

// request encodes a question for a revision.
func (q *Question) request(v Version) (InputRequest, error) {
	var method string
	var params any
	switch {
	case q.Form != nil:
		p := ElicitParams{Mode: ElicitForm, Message: q.Form.Message, RequestedSchema: q.Form.Schema}
		if p.RequestedSchema == nil {
			p.RequestedSchema = Raw(`{"type":"object","properties":{}}`)
		}
		if err := checkForm(p.RequestedSchema); err != nil {
			return InputRequest{}, err
		}
		if !v.Has(FeatureElicitMode) {
			p.Mode = ""
		}
		method, params = MethodElicit, p
	case q.Page != nil:
		if err := checkPage(q.Page.URL); err != nil {
			return InputRequest{}, err
		}
		p := ElicitParams{Mode: ElicitURL, Message: q.Page.Message, URL: q.Page.URL}
		if v.Has(FeatureElicitationID) {
			p.ElicitationID = q.Key
		}
		method, params = MethodElicit, p
	case q.Sample != nil:
		if err := q.Sample.check(); err != nil {
			return InputRequest{}, err
		}
		method, params = MethodSample, q.Sample
	case q.Roots:
		// Peers have been seen that do not read a request without params.
		return InputRequest{Method: MethodListRoots, Params: Raw(`{}`)}, nil
	default:
		return InputRequest{}, errors.New("the question asks nothing")
	}
	raw, err := json.Marshal(params)
	return InputRequest{Method: method, Params: raw}, err
}

// decode checks an answer. The error is the client's.
func (q *Question) decode(raw Raw) (any, error) {
	wrong := func(why string) error {
		return ErrInvalidParams("inputResponses member %s: %s", clip(q.Key), why)
	}
	switch {
	case !isObject(raw):
		return nil, wrong("not an object")
	case q.Sample != nil:
		r := new(SampleResult)
		if err := json.Unmarshal(raw, r); err != nil {
			return nil, wrong("not a result of " + MethodSample)
		}
		return r, nil
	case q.Roots:
		var r ListRootsResult
		if err := json.Unmarshal(raw, &r); err != nil || !isArray(jsonrpc.Get(raw, "roots")) {
			return nil, wrong("not a result of " + MethodListRoots)
		}
		return r.Roots, nil
	}
	r := new(ElicitResult)
	if err := json.Unmarshal(raw, r); err != nil {
		return nil, wrong("not a result of " + MethodElicit)
	}
	switch r.Action {
	case ElicitAccept:
	case ElicitDecline, ElicitCancel:
		r.Content = nil
		return r, nil
	default:
		return nil, wrong("action is not accept, decline or cancel")
	}
	if q.Page != nil {
		r.Content = nil
		return r, nil
	}
	if r.Content == nil {
		r.Content = Raw(`{}`)
	}
	if q.Form.Schema != nil {
		form, err := compileHandwritten(q.Form.Schema)
		if err != nil {
			return nil, fmt.Errorf("ask %q: %w", q.Key, err)
		}
		if _, found := form.check(r.Content, false); len(found) > 0 {
			return nil, wrong(string(appendViolations(nil, "content does not fit the form:", found)))
		}
	}
	return r, nil
}

func isArray(raw []byte) bool { return len(raw) > 0 && raw[0] == '[' }

// missing says which capability the client lacks to be asked, or nil.
func (c *Call) missing(q Question) *Error {
	caps := c.req.Meta.Capabilities
	has := func(group, mode string) bool {
		g := jsonrpc.Get(caps, group)
		return isObject(g) && (mode == "" || isObject(jsonrpc.Get(g, mode)))
	}
	switch {
	case q.Form != nil:
		// elicitation without any mode means form.
		if has("elicitation", "form") || has("elicitation", "") && !has("elicitation", "url") {
			return nil
		}
		return ErrMissingCapability(`{"elicitation":{"form":{}}}`)
	case q.Page != nil:
		if has("elicitation", "url") {
			return nil
		}
		return ErrMissingCapability(`{"elicitation":{"url":{}}}`)
	case q.Sample != nil:
		switch {
		case !has("sampling", ""):
			return ErrMissingCapability(`{"sampling":{}}`)
		case (len(q.Sample.Tools) > 0 || q.Sample.ToolChoice != nil) && !has("sampling", "tools"):
			return ErrMissingCapability(`{"sampling":{"tools":{}}}`)
		case q.Sample.IncludeContext != "" && q.Sample.IncludeContext != IncludeNone &&
			c.req.Meta.Version.Has(FeatureSamplingTools) && !has("sampling", "context"):
			return ErrMissingCapability(`{"sampling":{"context":{}}}`)
		}
	case q.Roots:
		if !has("roots", "") {
			return ErrMissingCapability(`{"roots":{}}`)
		}
	}
	return nil
}

// ErrMissingCapability answers a client that has not declared what the request
// needs: a ClientCapabilities object with just that (MCP 2026-07-28, basic/index, error codes).
func ErrMissingCapability(required string) *Error {
	return &Error{
		Code: CodeMissingCapability, Message: "The client has not declared a capability that this request needs",
		Data: []byte(`{"requiredCapabilities":` + required + `}`),
	}
}
