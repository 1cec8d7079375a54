package legacy

import (
	"context"
	"sync"

	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/mcp/jsonrpc"
)

// Method names that only revisions with sessions have.
const (
	methodInitialize  = "initialize"
	methodPing        = "ping"
	methodSetLevel    = "logging/setLevel"
	methodSubscribe   = "resources/subscribe"
	methodUnsubscribe = "resources/unsubscribe"
)

// IsInitialize reports whether msg is the request that opens a session (MCP 2025-11-25, basic/lifecycle).
func IsInitialize(msg *jsonrpc.Message) bool {
	return msg.Kind == jsonrpc.Request && msg.Method == methodInitialize
}

// Session is what one client of a revision with sessions has said so far. It is
// safe for concurrent use, holds no goroutine, and must be closed.
type Session struct {
	handler      mcp.Handler
	version      mcp.Version
	principal    mcp.Principal
	clientInfo   []byte
	capabilities []byte
	tasks        bool // the client may ask for tasks
	life         mcp.Session

	mu     sync.Mutex
	closed bool
	level  mcp.LogLevel       // what the client wants to be told
	calls  calls              // in flight
	out    mcp.Sink           // takes what belongs to no request; nil while detached
	lists  *listen            // changes of lists; nil while detached
	uris   map[string]*listen // resource URI -> its updates; nil without subscriptions

	asked     map[int64]chan answer // questions to the client that wait; nil when none do
	lastAsked int64                 // id of the newest question

	asking   map[string]*asker             // task id -> who asks what it asks; nil when nobody does
	lastTurn int64                         // of the newest tasks/result
	ended    []*ended                      // tasks that were over when they were made
	watched  map[string]context.CancelFunc // task id -> ends the stream of its states; nil when none are
}

// New answers an initialize request: it returns the session and the
// InitializeResult. A client that asks for a revision without sessions, or an
// unknown one, is offered the latest with them (MCP 2025-11-25, basic/lifecycle,
// Version Negotiation). msg is not kept. The error is for the client.
func New(ctx context.Context, h mcp.Handler, msg *jsonrpc.Message, p mcp.Principal) (*Session, []byte, *mcp.Error) {
	requested, ok := jsonrpc.Unquote(jsonrpc.Get(msg.Params, "protocolVersion"))
	if !ok {
		return nil, nil, mcp.ErrInvalidParams("Missing params.protocolVersion")
	}
	info, caps := jsonrpc.Get(msg.Params, "clientInfo"), jsonrpc.Get(msg.Params, "capabilities")
	if !isObject(caps) && caps != nil || !isObject(info) && info != nil {
		return nil, nil, mcp.ErrInvalidParams("params.capabilities or params.clientInfo is not an object")
	}
	s := &Session{handler: h, version: mcp.Version(requested), principal: p, level: mcp.LogInfo}
	if !s.version.Has(mcp.FeatureSession) {
		s.version = mcp.LatestLegacyVersion
	}
	s.version = known(s.version)
	s.clientInfo = append([]byte(nil), info...)
	s.capabilities = askable(s.version, caps)

	res, err := h.Handle(ctx, &mcp.Request{
		Method:    mcp.MethodDiscover,
		Meta:      s.meta(""),
		ID:        msg.ID,
		Principal: p,
		Session:   &s.life,
	}, mcp.Discard)
	if err != nil {
		return nil, nil, mcp.ErrorOf(err)
	}
	s.tasks = offersTasks(s.version, jsonrpc.Get(res.Body, "capabilities"))
	return s, s.initializeResult(res.Body), nil
}

// known returns the constant equal to v, so that a session does not keep the message alive.
func known(v mcp.Version) mcp.Version {
	for _, k := range mcp.Versions() {
		if k == v {
			return k
		}
	}
	return mcp.LatestLegacyVersion
}

// initializeResult makes an InitializeResult of a DiscoverResult.
func (s *Session) initializeResult(discovered []byte) []byte {
	var capabilities, instructions, meta []byte
	for key, value := range jsonrpc.Members(discovered) {
		switch key {
		case "capabilities":
			capabilities = value
		case "instructions":
			instructions = value
		case "_meta":
			meta = value
		}
	}
	info := jsonrpc.Get(meta, mcp.MetaServerInfo)
	if info == nil {
		info = []byte(`{"name":"unnamed","version":"0"}`) // both are required of the result
	}
	dst := append(make([]byte, 0, len(discovered)+64), `{"protocolVersion":`...)
	dst = jsonrpc.AppendString(dst, s.version)
	dst = append(dst, `,"capabilities":`...)
	edits := []jsonrpc.Member{extensions(capabilities)}
	if s.tasks {
		edits = append(edits, jsonrpc.Member{Key: "tasks", Value: taskCapability(s.principal, capabilities)})
	}
	dst = jsonrpc.Splice(dst, capabilities, edits...)
	dst = append(append(dst, `,"serverInfo":`...), info...)
	if instructions != nil {
		dst = append(append(dst, `,"instructions":`...), instructions...)
	}
	return append(dst, '}')
}

// Version is the revision that the session speaks.
func (s *Session) Version() mcp.Version { return s.version }

// answer returns the result of a request.
func (s *Session) answer(ctx context.Context, msg *jsonrpc.Message, st Stream) ([]byte, *mcp.Error) {
	switch msg.Method {
	case methodInitialize:
		return nil, mcp.Errorf(jsonrpc.CodeInvalidRequest, "The session is initialized already")
	case methodPing:
		return nil, nil
	case methodSetLevel:
		return nil, s.setLevel(msg.Params)
	case methodSubscribe:
		return nil, s.subscribe(ctx, msg)
	case methodUnsubscribe:
		return nil, s.unsubscribe(msg)
	case mcp.MethodDiscover, mcp.MethodListen: // not part of the session's revision
		return nil, mcp.ErrMethodNotFound(msg.Method)
	case mcp.MethodGetTask, mcp.MethodUpdateTask, mcp.MethodCancelTask, methodTaskResult, methodListTasks:
		return s.task(ctx, msg, st)
	}
	req, problem := s.request(msg)
	if problem != nil {
		return nil, problem
	}
	demanded, problem := s.demandsTask(req)
	if problem != nil {
		return nil, problem
	}
	res, err := s.handle(ctx, req, st)
	if err != nil {
		e := mcp.ErrorOf(err)
		if needed := s.taskNeeded(req, e); needed != nil {
			return nil, needed
		}
		return nil, s.downgradeError(msg.Method, e)
	}
	if demanded {
		if res.Type == mcp.ResultTask {
			return s.created(ctx, res.Body)
		}
		body, problem := s.downgrade(msg.Method, res)
		if problem != nil {
			return nil, problem
		}
		task, ok := s.keepEnded(body)
		if !ok {
			return nil, mcp.Errorf(jsonrpc.CodeInternalError, "The result is too large to be kept as that of a task: call the tool without one")
		}
		return task, nil
	}
	return s.downgrade(msg.Method, res)
}

// meta is the metadata of a request of this session.
func (s *Session) meta(level mcp.LogLevel) mcp.Meta {
	return mcp.Meta{Version: s.version, ClientInfo: s.clientInfo, Capabilities: s.capabilities, LogLevel: level}
}

// request makes a stateless request of a request of this session.
func (s *Session) request(msg *jsonrpc.Message) (*mcp.Request, *mcp.Error) {
	s.mu.Lock()
	level := s.level
	s.mu.Unlock()

	req := &mcp.Request{Method: msg.Method, Params: msg.Params, ID: msg.ID, Principal: s.principal, Session: &s.life, Meta: s.meta(level)}
	if msg.Meta != nil {
		// Only these two: what an old client says of itself it said in initialize.
		said := mcp.PeekMeta(msg.Meta)
		req.Meta.ProgressToken, req.Meta.Raw = said.ProgressToken, said.Raw
	}
	var raw []byte
	member := "name"
	switch msg.Method {
	case mcp.MethodCallTool, mcp.MethodGetPrompt:
		raw = msg.Name
		if msg.Arguments != nil && !isObject(msg.Arguments) {
			return nil, mcp.ErrInvalidParams("params.arguments is not an object")
		}
		req.Arguments = msg.Arguments
	case mcp.MethodReadResource:
		raw, member = msg.URI, "uri"
	default:
		return req, nil
	}
	name, ok := jsonrpc.Unquote(raw)
	if !ok {
		return nil, mcp.ErrInvalidParams("params.%s is missing or not a string", member)
	}
	req.Name = name
	return req, nil
}

func (s *Session) setLevel(params []byte) *mcp.Error {
	text, _ := jsonrpc.Unquote(jsonrpc.Get(params, "level"))
	level := mcp.LogLevel(text)
	if !level.Valid() {
		return mcp.ErrInvalidParams("params.level is not a log level")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.level = level
	return nil
}

// Notified takes a notification of the client. notifications/cancelled ends the
// request that it names; the others ask for nothing.
func (s *Session) Notified(msg *jsonrpc.Message) {
	if msg.Method != mcp.NotificationCancelled {
		return
	}
	id := callID(jsonrpc.Get(msg.Params, "requestId"))
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.calls.find(id); c != nil {
		c.cancelled.Store(true)
		c.End(context.Canceled)
	}
}

// Close ends the session: its calls are cancelled, its subscriptions end.
func (s *Session) Close() {
	s.life.End()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	s.calls.each(func(c *running) { c.End(context.Canceled) })
	s.stopLocked(s.lists)
	for _, l := range s.uris {
		s.stopLocked(l)
	}
	for _, cancel := range s.watched {
		cancel()
	}
	s.lists, s.uris, s.out, s.watched, s.ended = nil, nil, nil, nil, nil
}
