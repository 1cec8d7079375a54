package mcp

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"github.com/fairlead-mcp/fairlead/mcp/jsonrpc"
	"github.com/go-json-experiment/json"
)

// A journal is what a handler has been told before it is called again: answers and
// values by key, each with the digest of what was asked. It travels as the sealed
// requestState.
type journal struct {
	entries   map[string]journalEntry
	asked     map[string]InputRequest // now, without an answer
	responses []byte                  // inputResponses of this request, or nil
}

type journalEntry struct {
	Digest []byte `json:"d"`
	Value  Raw    `json:"v"`
}

// onceDigest marks the value of an effect, which is no answer to a question.
var onceDigest = digestOf(InputRequest{Method: "once"})

func digestOf(q InputRequest) []byte {
	sum := sha256.Sum256(append(appendSized(nil, q.Method), q.Params...))
	return sum[:8]
}

// errChanged says that a handler asked something else than before under the same
// key: an answer to one question is no answer to another.
var errChanged = errors.New("the handler does not ask what it asked before under the same key: it must come to the same questions each time, or use Once")

func (j *journal) get(key string, digest []byte) (Raw, error) {
	e, ok := j.entries[key]
	switch {
	case !ok:
		return nil, nil
	case string(e.Digest) != string(digest):
		return nil, fmt.Errorf("key %q: %w", key, errChanged)
	}
	return e.Value, nil
}

func (j *journal) put(key string, digest []byte, value Raw) {
	j.entries[key] = journalEntry{digest, value}
}

// answer returns the answer to a question, from the journal or else from the client. Nil: there is none yet.
func (j *journal) answer(key string, q InputRequest) (Raw, error) {
	digest := digestOf(q)
	raw, err := j.get(key, digest)
	if raw != nil || err != nil {
		return raw, err
	}
	for k, value := range jsonrpc.Members(j.responses) {
		if k == key {
			raw = append(Raw(nil), value...)
			j.put(key, digest, raw)
		}
	}
	return raw, nil
}

const (
	statePurpose = "requestState"
	// maxInlineState bounds the state that travels with the client.
	maxInlineState = 64 << 10
	defaultLife    = 10 * time.Minute
)

// StateStore keeps states that are too large to travel with the client. Values are
// sealed. It must be safe for concurrent use and reachable by every process that
// may get the retry.
type StateStore interface {
	// Put keeps value under key, which is new and unguessable, for at least life.
	Put(ctx context.Context, key string, value []byte, life time.Duration) error
	// Get returns a value, or nil if it is gone.
	Get(ctx context.Context, key string) ([]byte, error)
}

// openJournal reads what the request brings, at the first question. c.mu is held.
func (c *Call) openJournal() error {
	if c.broken != nil {
		return c.broken
	}
	if c.journal != nil {
		return nil
	}
	j := &journal{entries: map[string]journalEntry{}, asked: map[string]InputRequest{}}
	if err := j.read(c); err != nil {
		c.broken = err
		return err
	}
	c.journal = j
	return nil
}

func (j *journal) read(c *Call) error {
	var state []byte
	for key, value := range jsonrpc.Members(c.req.Params) {
		switch key {
		case memberResponses:
			if !isObject(value) {
				return ErrInvalidParams("params.inputResponses is not an object")
			}
			j.responses = value
		case memberState:
			state = value
		}
	}
	if state == nil {
		return nil
	}
	sealed, ok := jsonrpc.Unquote(state)
	if !ok {
		return ErrInvalidParams("params.requestState is not a string")
	}
	plain, err := c.server.sealer.Open(BindRequest(statePurpose, c.req), sealed)
	if err == nil && len(plain) > 0 && plain[0] == stateStored {
		plain, err = c.server.loadState(c, string(plain[1:]))
	}
	if err != nil || len(plain) == 0 || plain[0] != stateInline || json.Unmarshal(plain[1:], &j.entries) != nil {
		return ErrInvalidParams("params.requestState is not valid for this request: send the request again without it")
	}
	return nil
}

// The first byte of a state says what follows.
const (
	stateInline = 'j' // the journal
	stateStored = 's' // the key of a StateStore
)

// seal encodes the journal for the retry.
func (c *Call) sealJournal(ctx context.Context) (string, error) {
	raw, err := json.Marshal(c.journal.entries)
	if err != nil {
		return "", err
	}
	s, binding := c.server, BindRequest(statePurpose, c.req)
	plain := append([]byte{stateInline}, raw...)
	if len(plain) > maxInlineState {
		if s.opts.StateStore == nil {
			return "", fmt.Errorf("the answers and values of the handler take %d bytes, more than %d: set ServerOptions.StateStore", len(plain), maxInlineState)
		}
		key := rand.Text()
		sealed := s.sealer.Seal(binding, plain, s.stateLife())
		if err := s.opts.StateStore.Put(ctx, key, []byte(sealed), s.stateLife()); err != nil {
			return "", fmt.Errorf("state store: %w", err)
		}
		plain = append([]byte{stateStored}, key...)
	}
	return s.sealer.Seal(binding, plain, s.stateLife()), nil
}

func (s *Server) stateLife() time.Duration {
	if s.opts.StateLife > 0 {
		return s.opts.StateLife
	}
	return defaultLife
}

func (s *Server) loadState(c *Call, key string) ([]byte, error) {
	if s.opts.StateStore == nil {
		return nil, errSealed
	}
	sealed, err := s.opts.StateStore.Get(context.Background(), key)
	if err != nil {
		return nil, err
	}
	return s.sealer.Open(BindRequest(statePurpose, c.req), string(sealed))
}

// settle makes the answer of a request whose handler may have asked.
func (c *Call) settle(ctx context.Context, kind, name string, res Result, err error) (Result, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ended = true
	if c.broken == nil && !c.asked {
		return res, err
	}
	what := fmt.Sprintf("%s %q", kind, name)
	var e *Error
	switch {
	case c.broken != nil:
		if errors.As(c.broken, &e) {
			return Result{}, e
		}
		return Result{}, fmt.Errorf("%s: %w", what, c.broken)
	case !errors.Is(err, ErrAsked):
		return Result{}, fmt.Errorf("%s asked the client and did not return the error of the question", what)
	}
	state, err := c.sealJournal(ctx)
	if err != nil {
		return Result{}, fmt.Errorf("%s: %w", what, err)
	}
	res, err = c.server.encode(&InputRequiredResult{InputRequests: c.journal.asked, RequestState: &state}, nil)
	res.Type = ResultInputRequired
	return res, err
}
