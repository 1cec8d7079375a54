package mcp

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"reflect"

	"github.com/fairlead-mcp/fairlead/mcp/jsonrpc"
	"github.com/go-json-experiment/json"
)

// Tool describes a tool (MCP 2026-07-28, server/tools, Tool).
type Tool struct {
	Name        string `json:"name"`
	Title       string `json:"title,omitzero"`
	Description string `json:"description,omitzero"`
	// InputSchema is a JSON Schema with type object.
	InputSchema Raw `json:"inputSchema"`
	// OutputSchema is a JSON Schema of the structured content, or nil.
	OutputSchema Raw              `json:"outputSchema,omitzero"`
	Annotations  *ToolAnnotations `json:"annotations,omitzero"`
	// Execution says whether calls of the tool are tasks. Nil means that they are not.
	Execution *ToolExecution `json:"execution,omitzero"`
	Icons     []Icon         `json:"icons,omitempty"`
	Meta      Raw            `json:"_meta,omitzero"`
}

// ToolAnnotations are hints about what a tool does (MCP 2026-07-28, schema,
// ToolAnnotations). They are claims, not facts.
type ToolAnnotations struct {
	Title           string `json:"title,omitzero"`
	ReadOnlyHint    bool   `json:"readOnlyHint,omitzero"`
	DestructiveHint *bool  `json:"destructiveHint,omitzero"` // nil means true
	IdempotentHint  bool   `json:"idempotentHint,omitzero"`
	OpenWorldHint   *bool  `json:"openWorldHint,omitzero"` // nil means true
}

// ListToolsResult is a page of tools.
type ListToolsResult struct {
	Tools      []Tool  `json:"tools"`
	NextCursor *string `json:"nextCursor,omitzero"` // nil on the last page; empty is a cursor
	Meta       Raw     `json:"_meta,omitzero"`
}

// tool is a registered tool.
type tool struct {
	name    string
	headers *HeaderParams // nil: no parameter is mirrored

	execution  ToolExecution // the zero value: never a task
	repeatable bool          // it may run twice where once was meant

	call func(ctx context.Context, call *Call, args []byte) (Result, error)
}

// AddTool registers a typed tool (MCP 2026-07-28, server/tools). A tool with the
// same name is replaced.
//
// The input schema is inferred from In: a struct, a map with string keys, or any
// for an arbitrary object. Struct tags add to it: jsonschema:"description",
// enum:"a,b", minimum, maximum, exclusiveMinimum, exclusiveMaximum, minLength,
// maxLength, minItems, maxItems, pattern, format, default:"value" and
// x-mcp-header:"Name". Arguments are always validated, and absent ones with a
// default are filled in, before fn is called.
//
// Out says what the result is: a string is text; a *[ToolResult] is sent as it is;
// struct{} is no content; anything else is structured content, with an inferred
// output schema, and the same as JSON text.
//
// An error of fn is a result with isError and the error's text, for the model to
// read; only an *[Error] is a protocol error.
func AddTool[In, Out any](s *Server, t Tool, fn func(ctx context.Context, call *Call, in In) (Out, error)) error {
	if fn == nil {
		return fmt.Errorf("tool %q: no function", t.Name)
	}
	if t.InputSchema != nil {
		return fmt.Errorf("tool %q: the input schema is inferred from %s; use AddRawTool for a hand-written one", t.Name, reflect.TypeFor[In]())
	}
	input, err := inferInput(&t, reflect.TypeFor[In]())
	if err != nil {
		return fmt.Errorf("tool %q: input: %w", t.Name, err)
	}
	encode, err := outputOf[Out](s, &t)
	if err != nil {
		return fmt.Errorf("tool %q: output: %w", t.Name, err)
	}
	return s.addTool(t, input, true, func(ctx context.Context, call *Call, args []byte) (Result, error) {
		var in In
		if err := json.Unmarshal(args, &in); err != nil {
			return s.toolFailure(decodeProblem(t.Name, err)), nil
		}
		out, err := fn(ctx, call, in)
		if err != nil {
			return s.toolError(ctx, err)
		}
		return encode(&out)
	})
}

// AddRawTool registers a tool whose schemas are written by hand and kept
// verbatim. The input schema must have type object at its root; the output schema
// may be nil. Dialects are JSON Schema 2020-12, the default, and by $schema
// 2019-09 and drafts 7, 6 and 4. References out of a schema are refused. args is
// valid for the input schema; defaults are not filled in.
func (s *Server) AddRawTool(t Tool, fn func(ctx context.Context, call *Call, args []byte) (*ToolResult, error)) error {
	if fn == nil {
		return fmt.Errorf("tool %q: no function", t.Name)
	}
	input, err := compileHandwritten(t.InputSchema)
	if err == nil && string(jsonrpc.Get(t.InputSchema, "type")) != `"object"` {
		err = errors.New(`schema has no "type": "object" at its root`)
	}
	if err != nil {
		return fmt.Errorf("tool %q: input: %w", t.Name, err)
	}
	encode, err := outputOf[*ToolResult](s, &t)
	if err != nil {
		return fmt.Errorf("tool %q: output: %w", t.Name, err)
	}
	return s.addTool(t, input, false, func(ctx context.Context, call *Call, args []byte) (Result, error) {
		out, err := fn(ctx, call, args)
		if err != nil {
			return s.toolError(ctx, err)
		}
		return encode(&out)
	})
}

// RemoveTools takes tools away. Names that are not there are ignored.
func (s *Server) RemoveTools(names ...string) {
	if s.tools.remove(names) {
		s.toolsChanged()
	}
}

// addTool registers a tool whose arguments are validated by input.
func (s *Server) addTool(t Tool, input *validator, fill bool, fn func(context.Context, *Call, []byte) (Result, error)) error {
	if !validToolName(t.Name) {
		return fmt.Errorf("tool name %q is not 1 to 128 letters, digits, underscores, hyphens and dots", t.Name)
	}
	headers, err := CompileHeaderParams(t.InputSchema)
	if err != nil {
		return fmt.Errorf("tool %q: %w", t.Name, err)
	}
	execution, err := t.takeExecution()
	if err != nil {
		return fmt.Errorf("tool %q: %w", t.Name, err)
	}
	if err := s.checkUI(&t); err != nil {
		return fmt.Errorf("tool %q: %w", t.Name, err)
	}
	encoded, err := json.Marshal(&t)
	if err != nil {
		return fmt.Errorf("tool %q: %w", t.Name, err)
	}
	name := t.Name
	a := t.Annotations
	repeatable := a != nil && (a.IdempotentHint || a.ReadOnlyHint)
	s.tools.put(name, &tool{name: name, headers: headers, execution: execution, repeatable: repeatable, call: func(ctx context.Context, call *Call, args []byte) (Result, error) {
		args, found := input.check(args, fill)
		if len(found) > 0 {
			return s.toolFailure(appendViolations(nil, "Invalid arguments for tool "+name+":", found)), nil
		}
		return fn(ctx, call, args)
	}}, encoded)
	if execution.TaskSupport != "" {
		s.tasks.declared.Store(true)
	}
	s.toolsChanged()
	return nil
}

func validToolName(name string) bool {
	if len(name) == 0 || len(name) > 128 {
		return false
	}
	for i := range len(name) {
		switch c := name[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '_', c == '-', c == '.':
		default:
			return false
		}
	}
	return true
}

// callTool answers tools/call (MCP 2026-07-28, server/tools, Calling Tools).
func (s *Server) callTool(ctx context.Context, req *Request, sink Sink) (Result, error) {
	t, ok := s.tools.get(req.Name)
	if !ok {
		return Result{}, ErrInvalidParams("Unknown tool: %s", clip(req.Name))
	}
	args := req.Arguments
	if args == nil {
		args = []byte(`{}`)
	}
	if !isObject(args) {
		return Result{}, ErrInvalidParams("params.arguments is not an object")
	}
	if t.headers != nil && req.Header != nil {
		if err := t.headers.Check(req.Header, args); err != nil {
			return Result{}, err
		}
	}
	if t.execution.TaskSupport != "" {
		return s.callTaskTool(ctx, t, req, sink, args)
	}
	if req.Meta.Version == Version20251125 && declaresTasks(req.Meta.Capabilities) { // it demands a task
		return Result{}, Errorf(jsonrpc.CodeMethodNotFound, "Tool %s cannot be called as a task: call it without task", t.name)
	}
	call := s.newCall(req, sink)
	defer call.end()
	res, err := t.call(ctx, call, args)
	return call.settle(ctx, "tool", t.name, res, err)
}

// toolError makes a result of a tool's error. It stays an error if it is one of
// the protocol, stands for a question, or says that the call itself was cancelled or ran out of time.
func (s *Server) toolError(ctx context.Context, err error) (Result, error) {
	var e *Error
	if errors.As(err, &e) || errors.Is(err, ErrAsked) || errors.Is(err, ErrTaskBegun) || ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		return Result{}, err
	}
	return s.toolFailure([]byte(err.Error())), nil
}

// toolFailure is a result with isError (MCP 2026-07-28, server/tools, Error Handling).
func (s *Server) toolFailure(text []byte) Result {
	body := append(s.begin(make([]byte, 0, len(s.prefix)+len(text)+96), nil), `,"content":[`...)
	body = append(appendText(body, text), `}],"isError":true}`...)
	return Result{Body: body}
}

// decodeProblem says in the caller's terms why valid arguments do not fit the Go type.
func decodeProblem(name string, err error) []byte {
	v := violation{problem: "has a value that this tool cannot take"}
	var semantic *json.SemanticError
	if errors.As(err, &semantic) {
		v.path = string(semantic.JSONPointer)
	}
	return appendViolations(nil, "Invalid arguments for tool "+name+":", []violation{v})
}

// inferInput infers and compiles the input schema of a tool.
func inferInput(t *Tool, in reflect.Type) (*validator, error) {
	for in.Kind() == reflect.Pointer {
		in = in.Elem()
	}
	var err error
	switch in.Kind() {
	case reflect.Interface:
		t.InputSchema = Raw(`{"type":"object"}`)
	case reflect.Struct, reflect.Map:
		t.InputSchema, err = inferSchema(in)
	default:
		err = fmt.Errorf("type %s is not a struct or a map", in)
	}
	if err != nil {
		return nil, err
	}
	if string(jsonrpc.Get(t.InputSchema, "type")) != `"object"` {
		return nil, fmt.Errorf("type %s does not encode to an object", in)
	}
	return compileInferred(t.InputSchema)
}

// compileInferred compiles an inferred schema and checks that its defaults fit it.
func compileInferred(schema []byte) (*validator, error) {
	n, err := compileNode(schema, true)
	if err != nil {
		return nil, err
	}
	if err := n.checkDefaults(); err != nil {
		return nil, err
	}
	return &validator{fast: n}, nil
}

func (n *node) checkDefaults() error {
	if n == nil {
		return nil
	}
	for _, p := range n.properties {
		if p.fallback != nil && p.node != nil {
			if found, _, _ := p.node.check(p.fallback, false); len(found) > 0 {
				return fmt.Errorf("default of %s: %s", p.name, found[0].problem)
			}
		}
		if err := p.node.checkDefaults(); err != nil {
			return err
		}
	}
	if err := n.items.checkDefaults(); err != nil {
		return err
	}
	return n.additional.checkDefaults()
}

// outputOf says how an Out becomes a result, and completes the tool's output schema.
func outputOf[Out any](s *Server, t *Tool) (func(*Out) (Result, error), error) {
	typ := reflect.TypeFor[Out]()
	var output *validator
	var err error
	switch any((*Out)(nil)).(type) {
	case *string, *struct{}:
		if t.OutputSchema != nil {
			return nil, fmt.Errorf("a tool that returns %s has no structured content", typ)
		}
	case **ToolResult:
		if t.OutputSchema != nil {
			output, err = compileHandwritten(t.OutputSchema)
		}
	default:
		switch {
		case t.OutputSchema != nil:
			output, err = compileHandwritten(t.OutputSchema)
		case typ.Kind() != reflect.Interface:
			if t.OutputSchema, err = inferSchema(typ); err == nil {
				output, err = compileInferred(t.OutputSchema)
			}
		}
	}
	if err != nil {
		return nil, err
	}
	return func(out *Out) (Result, error) {
		switch out := any(out).(type) {
		case *string:
			body := append(s.begin(make([]byte, 0, len(s.prefix)+len(*out)+len(*out)/8+64), nil), `,"content":[`...)
			return Result{Body: append(appendText(body, *out), "}]}"...)}, nil
		case *struct{}:
			return Result{Body: append(s.begin(nil, nil), `,"content":[]}`...)}, nil
		case **ToolResult:
			return s.encodeToolResult(t.Name, *out, output)
		default:
			return s.encodeStructured(t.Name, out, output)
		}
	}, nil
}

// encodeToolResult makes a result of one that the tool composed itself.
func (s *Server) encodeToolResult(name string, r *ToolResult, output *validator) (Result, error) {
	if r == nil {
		r = &ToolResult{}
	}
	if r.Structured != nil && jsonrpc.Valid(r.Structured, nil) != nil {
		return s.toolFailure([]byte("Tool " + name + " returned structured content that is not valid JSON")), nil
	}
	if output != nil && !r.IsError {
		if r.Structured == nil {
			return s.toolFailure([]byte("Tool " + name + " returned no structured content")), nil
		}
		if _, found := output.check(r.Structured, false); len(found) > 0 {
			return s.toolFailure(appendViolations(nil, "Tool "+name+" returned an invalid result:", found)), nil
		}
	}
	body, err := r.appendMembers(append(s.begin(nil, r.Meta), ','))
	if err != nil {
		return s.toolFailure([]byte("Tool " + name + " returned a result that JSON cannot hold")), nil
	}
	return Result{Body: append(body, '}')}, nil
}

// encodeStructured makes a result of a Go value: structured content, and the same
// as text for clients that know no structured content.
func (s *Server) encodeStructured(name string, out any, output *validator) (Result, error) {
	buf, _ := s.buffers.Get().(*bytes.Buffer)
	if buf == nil {
		buf = new(bytes.Buffer)
	}
	defer func() {
		if buf.Cap() <= maxPooledBuffer {
			buf.Reset()
			s.buffers.Put(buf)
		}
	}()
	if err := json.MarshalWrite(buf, out, lenient, json.Deterministic(true)); err != nil {
		return s.toolFailure([]byte("Tool " + name + " returned a result that JSON cannot hold")), nil
	}
	value := buf.Bytes()
	if output != nil {
		if _, found := output.check(value, false); len(found) > 0 {
			return s.toolFailure(appendViolations(nil, "Tool "+name+" returned an invalid result:", found)), nil
		}
	}
	body := append(s.begin(make([]byte, 0, len(s.prefix)+2*len(value)+len(value)/4+96), nil), `,"content":[`...)
	body = append(appendText(body, value), `}],"structuredContent":`...)
	return Result{Body: append(append(body, value...), '}')}, nil
}

// maxPooledBuffer bounds the buffers that are kept between calls.
const maxPooledBuffer = 64 << 10
