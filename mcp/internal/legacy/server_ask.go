package legacy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/mcp/jsonrpc"
)

// Stream carries what belongs to one request of a client: notifications, and
// requests of the server, which revisions with sessions send on it.
type Stream interface {
	mcp.Sink
	// Send sends one message. An error means that the client cannot get it.
	Send(msg []byte) error
}

const (
	// maxRounds bounds how often one request may ask, as a handler that never has
	// enough would else keep it open for ever.
	maxRounds = 32
	// maxQuestions bounds the questions of one round.
	maxQuestions = 64
)

// answer is what the client says to a request of the server.
type answer struct {
	result []byte     // object
	err    *mcp.Error // what it answered instead
}

// askable returns the client's capabilities without what its revision does not
// know, and without tasks, which are offered to nobody here.
func askable(v mcp.Version, caps []byte) []byte {
	members := []jsonrpc.Member{{Key: "tasks"}, extensions(caps)}
	if !v.Has(mcp.FeatureElicitation) {
		members = append(members, jsonrpc.Member{Key: "elicitation"})
	} else if modes := jsonrpc.Get(caps, "elicitation"); isObject(modes) && !v.Has(mcp.FeatureElicitMode) {
		members = append(members, jsonrpc.Member{Key: "elicitation", Value: []byte(`{}`)})
	}
	if sampling := jsonrpc.Get(caps, "sampling"); isObject(sampling) && !v.Has(mcp.FeatureSamplingTools) {
		members = append(members, jsonrpc.Member{Key: "sampling", Value: []byte(`{}`)})
	}
	return jsonrpc.Splice(make([]byte, 0, len(caps)+2), caps, members...)
}

// handle answers a request by the handler, and asks the client what the handler
// asks: each round of questions becomes requests on the client's stream, and their
// answers the retry.
func (s *Session) handle(ctx context.Context, req *mcp.Request, st Stream) (mcp.Result, error) {
	var sink mcp.Sink = st
	if !s.version.Has(mcp.FeatureProgressMessage) {
		sink = plainProgress{sink}
	}
	if req.Meta.ProgressToken != nil {
		sink = &rising{Sink: sink}
	}
	res, err := s.handler.Handle(ctx, req, sink)
	if err != nil || res.Type != mcp.ResultInputRequired {
		return res, err
	}
	params := req.Params
	for round := 1; res.Type == mcp.ResultInputRequired; round++ {
		if round > maxRounds {
			return mcp.Result{}, fmt.Errorf("the handler asks for input for more than %d rounds", maxRounds)
		}
		responses, refused, err := s.ask(ctx, st, res.Body)
		if refused != nil && req.Method == mcp.MethodCallTool {
			return refusedResult(refused), nil
		}
		if refused != nil {
			return mcp.Result{}, refused
		}
		if err != nil {
			return mcp.Result{}, err
		}
		if responses == nil { // it wants only to be called again
			if err := pause(ctx, min(time.Duration(round)*100*time.Millisecond, time.Second)); err != nil {
				return mcp.Result{}, err
			}
		}
		retry := *req
		retry.Params = jsonrpc.Splice(nil, params,
			jsonrpc.Member{Key: "inputResponses", Value: responses},
			jsonrpc.Member{Key: "requestState", Value: jsonrpc.Get(res.Body, "requestState")})
		if res, err = s.handler.Handle(ctx, &retry, sink); err != nil {
			return mcp.Result{}, err
		}
	}
	return res, err
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// ask sends the questions of an InputRequiredResult and waits for all answers. It
// returns them as an InputResponses object; nil if nothing was asked. refused is
// the client's own error.
func (s *Session) ask(ctx context.Context, st Stream, body []byte) (responses []byte, refused *mcp.Error, err error) {
	var asked []question
	defer func() { s.forget(asked) }()
	for key, raw := range jsonrpc.Members(jsonrpc.Get(body, "inputRequests")) {
		if len(asked) == maxQuestions {
			return nil, nil, fmt.Errorf("the handler asks more than %d questions at once", maxQuestions)
		}
		method, params, err := s.question(key, raw)
		if err != nil {
			return nil, nil, fmt.Errorf("question %q: %w", key, err)
		}
		q := question{key: key, answer: make(chan answer, 1)}
		if q.id, err = s.expect(q.answer); err != nil {
			return nil, nil, err
		}
		asked = append(asked, q)
		msg := append([]byte(`{"jsonrpc":"2.0","id":`), strconv.FormatInt(q.id, 10)...)
		msg = jsonrpc.AppendString(append(msg, `,"method":`...), method)
		if params != nil {
			msg = append(append(msg, `,"params":`...), params...)
		}
		if err := st.Send(append(msg, '}')); err != nil {
			return nil, nil, fmt.Errorf("question %q: %w", key, err)
		}
	}
	if len(asked) == 0 {
		return nil, nil, nil
	}
	members := make([]jsonrpc.Member, 0, len(asked))
	for i, q := range asked {
		select {
		case r := <-q.answer:
			if r.err != nil {
				withdraw(st, asked[i+1:])
				return nil, r.err, nil
			}
			members = append(members, jsonrpc.Member{Key: q.key, Value: r.result})
		case <-ctx.Done():
			withdraw(st, asked[i:])
			return nil, nil, ctx.Err()
		}
	}
	return jsonrpc.Splice(nil, nil, members...), nil, nil
}

// A question is a request of the server that waits for its answer.
type question struct {
	key    string // of the handler
	id     int64
	answer chan answer
}

// expect enters a question into those that wait, under an id of its own.
func (s *Session) expect(to chan answer) (int64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return 0, errors.New("the session has ended")
	}
	if s.asked == nil {
		s.asked = make(map[int64]chan answer)
	}
	s.lastAsked++
	s.asked[s.lastAsked] = to
	return s.lastAsked, nil
}

func (s *Session) forget(asked []question) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, q := range asked {
		delete(s.asked, q.id)
	}
	if len(s.asked) == 0 {
		s.asked = nil
	}
}

// withdraw tells the client that nobody waits for the answers any more. It may be gone itself.
func withdraw(st Stream, asked []question) {
	for _, q := range asked {
		params := strconv.AppendInt([]byte(`{"requestId":`), q.id, 10)
		_ = st.Notify(mcp.NewNotification(mcp.NotificationCancelled, append(params, '}')))
	}
}

// Answered takes a response of the client. One that nobody waits for, or not any
// more, is dropped.
func (s *Session) Answered(msg *jsonrpc.Message) {
	id, err := strconv.ParseInt(string(msg.ID), 10, 64)
	if err != nil {
		return
	}
	s.mu.Lock()
	to := s.asked[id]
	delete(s.asked, id) // the first answer counts
	s.mu.Unlock()
	if to == nil {
		return
	}
	if msg.Kind == jsonrpc.Response {
		to <- answer{result: bytes.Clone(msg.Result)}
		return
	}
	_, err = mcp.DecodeResponse(msg)
	to <- answer{err: mcp.ErrorOf(err)}
}

// question makes a request in the session's revision of a member of inputRequests.
func (s *Session) question(key string, raw []byte) (method string, params []byte, err error) {
	if !isObject(raw) {
		return "", nil, errors.New("not an object")
	}
	method, _ = jsonrpc.Unquote(jsonrpc.Get(raw, "method"))
	if params = jsonrpc.Get(raw, "params"); params != nil && !isObject(params) {
		return "", nil, errors.New("params is not an object")
	}
	offered := func(group string) bool { return isObject(jsonrpc.Get(s.capabilities, group)) }
	switch {
	case method == mcp.MethodElicit && offered("elicitation"):
		params, err = s.elicitation(key, params)
	case method == mcp.MethodSample && offered("sampling"):
		params, err = s.sampling(params)
	case method == mcp.MethodListRoots && offered("roots"):
	case method == mcp.MethodElicit, method == mcp.MethodSample, method == mcp.MethodListRoots:
		err = fmt.Errorf("the client has not declared what %s needs", method)
	default:
		err = fmt.Errorf("%.64q is nothing that a client is asked", method)
	}
	return method, params, err
}

func (s *Session) elicitation(key string, params []byte) ([]byte, error) {
	page := string(jsonrpc.Get(params, "mode")) == `"url"`
	switch {
	case page && !s.version.Has(mcp.FeatureElicitMode):
		return nil, errors.New("the client's revision has no elicitation by a page")
	case page && s.version.Has(mcp.FeatureElicitationID) && jsonrpc.Get(params, "elicitationId") == nil:
		return jsonrpc.Splice(nil, params, jsonrpc.Member{Key: "elicitationId", Value: jsonrpc.AppendString(nil, key)}), nil
	case !s.version.Has(mcp.FeatureElicitMode):
		return jsonrpc.Splice(nil, params, jsonrpc.Member{Key: "mode"}), nil
	}
	return params, nil
}

// sampling gives each block a message of its own for revisions in which a message
// has one, and replaces blocks that the revision does not know.
func (s *Session) sampling(params []byte) ([]byte, error) {
	if s.version.Has(mcp.FeatureSamplingTools) {
		return params, nil
	}
	if jsonrpc.Get(params, "tools") != nil || jsonrpc.Get(params, "toolChoice") != nil {
		return nil, errors.New("the client's revision has no sampling with tools")
	}
	list := []byte{'['}
	put := func(message []byte) {
		if len(list) > 1 {
			list = append(list, ',')
		}
		list = append(list, message...)
	}
	changed := false
	for message := range jsonrpc.Elements(jsonrpc.Get(params, "messages")) {
		blocks := jsonrpc.Get(message, "content")
		if blocks == nil {
			put(message)
			continue
		}
		single := blocks[0] != '['
		if single {
			blocks = slices.Concat([]byte{'['}, blocks, []byte{']'})
		}
		for block := range jsonrpc.Elements(blocks) {
			now := s.block(0, block, false)
			if single && now == nil {
				put(message)
				continue
			}
			changed = true
			if now == nil {
				now = block
			}
			put(jsonrpc.Splice(nil, message, jsonrpc.Member{Key: "content", Value: now}))
		}
	}
	if !changed {
		return params, nil
	}
	return jsonrpc.Splice(nil, params, jsonrpc.Member{Key: "messages", Value: append(list, ']')}), nil
}

// refusedResult tells a model that the client refused what the tool asked.
func refusedResult(e *mcp.Error) mcp.Result {
	text := fmt.Sprintf("The client refused what the tool asked: %s (code %d)", e.Message, e.Code)
	body := jsonrpc.AppendString([]byte(`{"content":[{"type":"text","text":`), text)
	return mcp.Result{Body: append(body, `}],"isError":true}`...)}
}

// rising is a Sink whose progress rises although the handler, called again, begins anew.
type rising struct {
	mcp.Sink
	mu   sync.Mutex
	last float64
	sent bool
}

// Unwrap returns the Sink of the request.
func (r *rising) Unwrap() mcp.Sink { return r.Sink }

func (r *rising) Notify(n *mcp.Notification) error {
	if n.Method == mcp.NotificationProgress {
		r.mu.Lock()
		defer r.mu.Unlock() // while it is sent: two that overtook each other would fall
		p, err := strconv.ParseFloat(string(jsonrpc.Get(n.Params, "progress")), 64)
		if err != nil || r.sent && p <= r.last {
			return nil
		}
		r.last, r.sent = p, true
	}
	return r.Sink.Notify(n)
}
