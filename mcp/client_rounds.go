package mcp

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/fairlead-mcp/fairlead/mcp/jsonrpc"
	"github.com/go-json-experiment/json"
)

var (
	// ErrInputRequired reports that a server has asked and the client did not answer:
	// see [InputRequiredError].
	ErrInputRequired = errors.New("mcp: server asks for input")
	// ErrTooManyRounds reports that a server asked more often in the middle of one
	// call than ClientOptions.MaxRounds allows.
	ErrTooManyRounds = errors.New("mcp: server asks again and again")
)

// maxQuestions bounds the questions of one round: each takes a goroutine, and a
// person would not answer as many.
const maxQuestions = 64

// The pauses before a call is sent again whose server only asked for that.
const (
	firstRetry  = 100 * time.Millisecond
	longestWait = 10 * time.Second
)

// InputRequiredError is what a server asks in the middle of a call whose caller
// answers by hand ([CallOptions].ByHand), or has no function to answer with. The
// questions have been checked. errors.Is(err, ErrInputRequired) holds.
//
// The caller makes the same call again, with the answers:
//
//	var asked *mcp.InputRequiredError
//	for errors.As(err, &asked) {
//		answers := map[string]any{}
//		for key, question := range asked.Requests {
//			answers[key] = ask(question) // an *ElicitResult, *SampleResult or ListRootsResult
//		}
//		opts.Input, err = asked.Answer(answers)
//		...
//		res, err = client.CallTool(ctx, name, args, opts)
//	}
type InputRequiredError struct {
	Method string
	// Requests are the questions, by key. With none the server only asks to be
	// called again, after a pause.
	Requests map[string]InputRequest
	// State is the server's, opaque; nil: the retry has none.
	State *string
}

func (e *InputRequiredError) Error() string {
	return fmt.Sprintf("%s: %d questions without an answer", ErrInputRequired, len(e.Requests))
}

// Is reports whether target is ErrInputRequired.
func (e *InputRequiredError) Is(target error) bool { return target == ErrInputRequired }

// Answer makes the input of the next call of answers by key, each encoded to a JSON
// object. It does not check that they fit the questions; see [ElicitParams.Complete].
func (e *InputRequiredError) Answer(answers map[string]any) (*Input, error) {
	in := &Input{Responses: make(map[string]Raw, len(answers)), State: e.State}
	for key, answer := range answers {
		raw, err := json.Marshal(answer)
		if err == nil && !isObject(raw) {
			err = errors.New("not a JSON object")
		}
		if err != nil {
			return nil, fmt.Errorf("answer %q: %w", key, err)
		}
		in.Responses[key] = raw
	}
	return in, nil
}

// Input is what a call brings that is made again since its server has asked.
type Input struct {
	Responses map[string]Raw // results of what was asked, by key
	State     *string        // as it came; nil: none came
}

// into adds the input to the params of a request.
func (in *Input) into(params []byte) []byte {
	var responses, state []byte
	if in.Responses != nil {
		responses = []byte{'{'}
		for i, key := range slices.Sorted(maps.Keys(in.Responses)) {
			if i > 0 {
				responses = append(responses, ',')
			}
			responses = append(append(jsonrpc.AppendString(responses, key), ':'), in.Responses[key]...)
		}
		responses = append(responses, '}')
	}
	if in.State != nil {
		state = jsonrpc.AppendString(nil, *in.State)
	}
	return jsonrpc.Splice(nil, params,
		jsonrpc.Member{Key: memberResponses, Value: responses}, jsonrpc.Member{Key: memberState, Value: state})
}

// mayAsk reports whether a server may ask in the middle of method (MCP 2026-07-28,
// basic/patterns/mrtr, Supported Requests).
func mayAsk(method string) bool {
	return method == MethodCallTool || method == MethodGetPrompt || method == MethodReadResource
}

// complete makes a call with all its rounds, and returns the complete result.
func (c *Client) complete(ctx context.Context, method string, params []byte, opts *CallOptions) (Result, error) {
	end := time.Now().Add(c.opts.MaxTimeout)
	input := opts.Input
	for round := 0; ; round++ {
		res, asked, err := c.attempt(ctx, end, method, params, opts, input)
		if err != nil && round > 0 {
			c.abandon(input.State) // in case the answers are what was wrong
		}
		if err != nil || asked == nil {
			return res, err
		}
		questions, err := c.questions(asked)
		if err == nil && (opts.ByHand || slices.ContainsFunc(questions, func(q question) bool { return q.answer == nil })) {
			return Result{}, &InputRequiredError{Method: method, Requests: asked.InputRequests, State: asked.RequestState}
		}
		if err == nil && round == c.opts.MaxRounds {
			err = fmt.Errorf("%w: more than %d times", ErrTooManyRounds, round)
		}
		if err == nil {
			input, err = c.answer(ctx, end, questions)
		}
		if err != nil {
			c.abandon(asked.RequestState)
			return Result{}, fmt.Errorf("%s: %w", method, err)
		}
		input.State = asked.RequestState
	}
}

// attempt sends a request, and again as long as the server asks for nothing but
// that. It returns the complete result, or what the server asks.
func (c *Client) attempt(
	ctx context.Context, end time.Time, method string, params []byte, opts *CallOptions, input *Input,
) (Result, *InputRequiredResult, error) {
	ctx, l := c.limit(ctx, end, opts)
	defer l.stop()
	for retry := 0; ; retry++ {
		res, err := c.send(ctx, l, method, params, opts, input)
		if err != nil || res.Type == "" || res.Type == ResultComplete || opts.tasks && res.Type == ResultTask {
			if input != nil {
				res.Cache = Cache{} // not to be kept: it depends on more than the params (server/utilities/caching, Cache Key)
			}
			return res, nil, err
		}
		asked, err := readAsked(method, res)
		if err != nil {
			return Result{}, nil, fmt.Errorf("%s: %w", method, err)
		}
		if len(asked.InputRequests) > 0 || opts.ByHand {
			return Result{}, asked, nil
		}
		if !sleep(ctx, backoff(retry, firstRetry, longestWait)) {
			return Result{}, nil, fmt.Errorf("%s: the server asks to be called again: %w", method, l.why(ctx, ctx.Err()))
		}
		input = &Input{State: asked.RequestState}
	}
}

// readAsked reads a result that asks for input.
func readAsked(method string, res Result) (*InputRequiredResult, error) {
	switch {
	case res.Type != ResultInputRequired:
		return nil, violates(ViolationAskedMalformed, "", "unknown resultType %q", clip(string(res.Type)))
	case !mayAsk(method):
		return nil, violates(ViolationAskingMethod, "", "no server may ask in the middle of %s", method)
	}
	if raw := jsonrpc.Get(res.Body, memberRequests); raw != nil && !isObject(raw) {
		return nil, violates(ViolationAskedMalformed, "", "inputRequests is not an object")
	}
	if raw := jsonrpc.Get(res.Body, memberState); raw != nil {
		if _, ok := jsonrpc.Unquote(raw); !ok {
			return nil, violates(ViolationAskedMalformed, "", "requestState is not a string")
		}
	}
	asked := new(InputRequiredResult)
	if res.Body != nil {
		if err := json.Unmarshal(res.Body, asked); err != nil {
			return nil, violates(ViolationAskedMalformed, "", "%v", err)
		}
	}
	switch {
	case len(asked.InputRequests) > maxQuestions:
		return nil, violates(ViolationAskedTooMuch, "", "%d questions at once", len(asked.InputRequests))
	case len(asked.InputRequests) == 0 && asked.RequestState == nil:
		return nil, violates(ViolationAskedNothing, "", "neither inputRequests nor requestState")
	}
	return asked, nil
}
