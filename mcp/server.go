package mcp

import (
	"context"
	"fmt"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fairlead-mcp/fairlead/mcp/jsonrpc"
	"github.com/go-json-experiment/json"
)

// Server is a Handler made of typed tools, resources and prompts. All its methods
// are safe for concurrent use; what is offered may change while it serves.
type Server struct {
	opts    ServerOptions
	prefix  []byte // {"_meta":{"io.modelcontextprotocol/serverInfo":{...}  without the closing brace of _meta
	bare    []byte // prefix closed: a result with nothing else
	handler Handler
	sealer  *Sealer

	tools      *catalogue[*tool]
	resources  *catalogue[*resource]
	templates  *catalogue[*template]
	prompts    *catalogue[*prompt]
	completers completers
	tasks      tasks
	hub        hub

	skills    *catalogue[Skill]
	skillTree atomic.Pointer[skillTree] // nil until SetSkills
	skillsMu  sync.Mutex                // held by SetSkills
	apps      atomic.Bool               // an app was registered, now or earlier

	buffers sync.Pool // of *bytes.Buffer
}

// ServerOptions are the options of a Server. Nil and zero values are useful.
type ServerOptions struct {
	// Title is the server's name for people.
	Title string
	// Description says what the server is.
	Description string
	// WebsiteURL is the server's home page.
	WebsiteURL string
	// Icons are pictures of the server.
	Icons []Icon
	// Instructions tell a model how to use the server.
	Instructions string
	// PageSize bounds the entries of one page of a list. Zero means 100.
	PageSize int
	// ListTTL is how long callers may keep lists and the answer of
	// server/discover. Zero means that they are stale at once.
	ListTTL time.Duration
	// Logging declares the logging capability, without which Call.Log is an error.
	Logging bool
	// Capabilities are declared besides those that follow from what is
	// registered: for a server that registers its first tool later, and for extensions.
	Capabilities *ServerCapabilities
	// Interceptors wrap the server; the first sees a request first.
	Interceptors []Interceptor
	// Sealer seals what handlers have been told when they ask (see Call.Ask). Nil
	// means one with a key of its own, with which no other process can go on.
	Sealer *Sealer
	// StateLife bounds how long a client may take for one round of answers. Zero
	// means 10 minutes.
	StateLife time.Duration
	// StateStore keeps what is too large to travel with the client (64 KiB). Nil
	// makes that an internal error.
	StateStore StateStore
	// Tasks are the options of tools whose calls are tasks. Nil means the defaults.
	Tasks *TaskOptions
	// OnPanic is told of a panic in a handler and its stack, after which the
	// caller gets an internal error. Nil drops them.
	OnPanic func(value any, stack []byte)
}

const defaultPageSize = 100

// NewServer makes a Server that calls itself name and version.
func NewServer(name, version string, opts *ServerOptions) *Server {
	s := &Server{}
	if opts != nil {
		s.opts = *opts
	}
	if s.opts.PageSize <= 0 {
		s.opts.PageSize = defaultPageSize
	}
	info, err := json.Marshal(&Implementation{
		Name: name, Version: version, Title: s.opts.Title,
		Description: s.opts.Description, WebsiteURL: s.opts.WebsiteURL, Icons: s.opts.Icons,
	})
	if err != nil {
		panic(fmt.Sprintf("mcp.NewServer: %v", err)) // only invalid UTF-8 in a name
	}
	if s.sealer = s.opts.Sealer; s.sealer == nil {
		s.sealer = NewSealer()
	}
	s.prefix = slices.Concat([]byte(`{"_meta":{"`+MetaServerInfo+`":`), info)
	s.bare = slices.Concat(s.prefix, []byte("}}"))

	s.tools = newCatalogue[*tool](s, "tools")
	s.resources = newCatalogue[*resource](s, "resources")
	s.templates = newCatalogue[*template](s, "resourceTemplates")
	s.prompts = newCatalogue[*prompt](s, "prompts")
	s.tasks.server, s.tasks.opts = s, s.opts.Tasks.orDefaults()
	s.skills = newCatalogue[Skill](s, "skills")
	if c := s.opts.Capabilities; c != nil {
		s.tools.declared.Store(c.Tools != nil)
		s.prompts.declared.Store(c.Prompts != nil)
		s.resources.declared.Store(c.Resources != nil)
		s.opts.Logging = s.opts.Logging || c.Logging != nil
	}
	s.handler = Intercept(HandlerFunc(s.dispatch), s.opts.Interceptors...)
	return s
}

// Handle answers one request. A panic below it becomes an internal error to this
// one caller.
func (s *Server) Handle(ctx context.Context, req *Request, sink Sink) (res Result, err error) {
	defer func() {
		if value := recover(); value != nil {
			if s.opts.OnPanic != nil {
				s.opts.OnPanic(value, debug.Stack())
			}
			res, err = Result{}, Errorf(jsonrpc.CodeInternalError, "internal error")
		}
	}()
	return s.handler.Handle(ctx, req, sink)
}

// Close ends all open subscriptions with their completion result; later ones end
// at once. Requests are still answered.
func (s *Server) Close() { s.hub.close(Result{Body: s.bare}) }

// dispatch answers a request. Methods of a capability that is not declared do not exist.
func (s *Server) dispatch(ctx context.Context, req *Request, sink Sink) (Result, error) {
	switch req.Method {
	case MethodCallTool:
		if s.tools.declared.Load() {
			return s.callTool(ctx, req, sink)
		}
	case MethodListTools:
		if s.tools.declared.Load() {
			res, err := s.list(req, s.tools.page)
			if err == nil && s.tasks.declared.Load() && req.Meta.Version.Has(FeatureTaskParam) {
				res.Body = s.withExecution(res.Body)
			}
			return res, err
		}
	case MethodListResources:
		if s.offersResources() {
			return s.list(req, s.resources.page)
		}
	case MethodListTemplates:
		if s.offersResources() {
			return s.list(req, s.templates.page)
		}
	case MethodReadResource:
		if s.offersResources() {
			return s.readResource(ctx, req, sink)
		}
	case MethodListPrompts:
		if s.prompts.declared.Load() {
			return s.list(req, s.prompts.page)
		}
	case MethodGetPrompt:
		if s.prompts.declared.Load() {
			return s.getPrompt(ctx, req, sink)
		}
	case MethodComplete:
		if s.offersCompletion() {
			return s.complete(ctx, req, sink)
		}
	case MethodListSkills, MethodGetSkill, MethodReadDirectory:
		if s.skills.declared.Load() {
			return s.answerSkills(req)
		}
	case MethodDiscover:
		return s.discover()
	case MethodListen:
		return s.listen(ctx, req, sink)
	case MethodGetTask, MethodUpdateTask, MethodCancelTask:
		if s.tasks.declared.Load() {
			return s.serveTask(ctx, req)
		}
	case methodListTasks:
		if s.tasks.declared.Load() && req.Meta.Version.Has(FeatureTaskParam) {
			return s.listTasks(ctx, req)
		}
	}
	return Result{}, ErrMethodNotFound(clip(req.Method))
}

func (s *Server) offersResources() bool {
	return s.resources.declared.Load() || s.templates.declared.Load()
}

func (s *Server) offersCompletion() bool {
	c := s.opts.Capabilities
	return s.completers.any() || c != nil && c.Completions != nil
}

// encode makes a result of v, which marshals to an object without _meta.
func (s *Server) encode(v any, meta Raw) (Result, error) {
	b, err := json.Marshal(v, lenient, json.Deterministic(true))
	if err != nil {
		return Result{}, fmt.Errorf("encode result: %w", err)
	}
	body := s.begin(make([]byte, 0, len(s.prefix)+len(b)+len(meta)+8), meta)
	if rest, ok := objectRest(b); ok {
		return Result{Body: append(append(body, ','), rest...)}, nil
	}
	return Result{Body: append(body, '}')}, nil
}

// begin appends the start of a result: the _meta with the server's name and the
// members of meta. The caller appends a comma and members, or the closing brace.
func (s *Server) begin(dst []byte, meta Raw) []byte {
	dst = append(dst, s.prefix...)
	for key, value := range jsonrpc.Members(meta) {
		if key != MetaServerInfo {
			dst = appendMember(dst, key, value)
		}
	}
	return append(dst, '}')
}
