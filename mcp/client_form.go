package mcp

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/fairlead-mcp/fairlead/mcp/jsonrpc"
)

// AnswerError says why an answer does not fit what was asked.
type AnswerError struct {
	// Problems are for people, one for each field that does not fit: its JSON
	// pointer and what is wrong, at most ten. There is at least one.
	Problems []string
}

func (e *AnswerError) Error() string {
	return strings.Join(append([]string{"the answer does not fit the form"}, e.Problems...), "\n- ")
}

// Complete returns what a user has filled into the form, a JSON object, with the
// form's defaults in the place of absent fields, or an *[AnswerError]. Nil content
// is an empty form. Clients do so with each accepted answer; it is for one that
// wants to show what is wrong while the user can still change it.
func (p *ElicitParams) Complete(content Raw) (Raw, error) {
	form, err := readForm(p.RequestedSchema)
	if err != nil {
		return nil, err
	}
	return form.complete(content)
}

// Bounds of a form, which is for a person to fill in, and keeps nobody's processor
// busy before.
const (
	maxFormBytes = 256 << 10
	maxFields    = 256
	maxPattern   = 4 << 10 // bytes of one that is checked here
)

// clientForm is a form as a client reads it.
type clientForm struct {
	fields   *validator
	patterns map[string]string // name of a field -> what its value matches
	defaults []jsonrpc.Member  // of fields that have one that fits
}

// plainForm checks the shape of a form that a server has sent, and returns its
// fields as plain JSON Schema, without patterns. It is stricter than JSON Schema, for
// a form is flat, and more patient than the server's own check: members of a form or
// field that no revision knows are kept and count as JSON Schema has them.
func plainForm(schema Raw) ([]jsonrpc.Member, error) {
	if err := jsonrpc.Valid(schema, &jsonrpc.Limits{MaxBytes: maxFormBytes, MaxDepth: maxSchemaDepth}); err != nil {
		return nil, err
	}
	properties := jsonrpc.Get(schema, "properties")
	if !isObject(schema) || string(jsonrpc.Get(schema, "type")) != `"object"` || !isObject(properties) {
		return nil, errors.New(`a form is a schema of "type": "object" with properties`)
	}
	var fields []jsonrpc.Member
	for name, field := range jsonrpc.Members(properties) {
		value, err := plainField(field)
		if err != nil {
			return nil, fmt.Errorf("field %q: %w", clip(name), err)
		}
		if fields = append(fields, jsonrpc.Member{Key: name, Value: value}); len(fields) > maxFields {
			return nil, fmt.Errorf("more than %d fields", maxFields)
		}
	}
	return fields, nil
}

// readForm compiles a form that a server has sent. Patterns wait until there is
// something to match: to compile one takes up to a second for a few kilobytes.
func readForm(schema Raw) (*clientForm, error) {
	plain, err := plainForm(schema)
	if err != nil {
		return nil, fmt.Errorf("requestedSchema: %w", err)
	}
	f := &clientForm{patterns: make(map[string]string)}
	for name, field := range jsonrpc.Members(jsonrpc.Get(schema, "properties")) {
		if pattern, ok := jsonrpc.Unquote(jsonrpc.Get(field, "pattern")); ok {
			f.patterns[name] = pattern
		}
	}
	var preset []jsonrpc.Member
	for _, m := range plain {
		if def := jsonrpc.Get(m.Value, "default"); def != nil {
			preset = append(preset, jsonrpc.Member{Key: m.Key, Value: def})
		}
	}
	schema = jsonrpc.Splice(nil, schema, jsonrpc.Member{Key: "properties", Value: jsonrpc.Splice(nil, nil, plain...)})
	if f.fields, err = compileForm(schema); err != nil || len(preset) == 0 {
		return f, err
	}
	each, err := compileForm(jsonrpc.Splice(nil, schema, jsonrpc.Member{Key: "required"}))
	if err != nil {
		return nil, err
	}
	for _, m := range preset {
		if _, found := each.check(jsonrpc.Splice(nil, nil, m), false); len(found) == 0 {
			f.defaults = append(f.defaults, m)
		}
	}
	return f, nil
}

// compileForm compiles a schema whose formats are binding, which they are in forms.
func compileForm(schema []byte) (*validator, error) {
	v, err := compileHandwritten(schema)
	if err != nil {
		return nil, err
	}
	if strict, err := compileNode(schema, true); err == nil {
		v.fast = strict
	}
	return v, nil
}

// plainField checks that a schema is one of a field, and rewrites what only forms
// have: choices with titles become an enum. The pattern is left out.
func plainField(field []byte) ([]byte, error) {
	if !isObject(field) {
		return nil, errors.New("its schema is not an object")
	}
	typ, _ := jsonrpc.Unquote(jsonrpc.Get(field, "type"))
	if _, known := formMembers[typ]; !known {
		return nil, errors.New("a field is a string, a number, a boolean or an array of choices")
	}
	edits := []jsonrpc.Member{{Key: "enumNames"}}
	if isString(jsonrpc.Get(field, "pattern")) {
		edits = append(edits, jsonrpc.Member{Key: "pattern"})
	}
	if choices := titledChoices(jsonrpc.Get(field, "oneOf")); choices != nil {
		edits = append(edits, jsonrpc.Member{Key: "oneOf"}, jsonrpc.Member{Key: "enum", Value: choices})
	}
	if typ == "array" {
		items := jsonrpc.Get(field, "items")
		if !isObject(items) || jsonrpc.Get(items, "enum") == nil && jsonrpc.Get(items, "anyOf") == nil {
			return nil, errors.New("an array is a choice of several: its items have enum or anyOf")
		}
		if choices := titledChoices(jsonrpc.Get(items, "anyOf")); choices != nil {
			items = jsonrpc.Splice(nil, items, jsonrpc.Member{Key: "anyOf"}, jsonrpc.Member{Key: "enum", Value: choices})
			edits = append(edits, jsonrpc.Member{Key: "items", Value: items})
		}
	}
	return jsonrpc.Splice(nil, field, edits...), nil
}

// titledChoices makes the array of an enum of [{"const", "title"}]; nil for anything else.
func titledChoices(choices []byte) []byte {
	if !isArray(choices) {
		return nil
	}
	enum := []byte{'['}
	for choice := range jsonrpc.Elements(choices) {
		value := jsonrpc.Get(choice, "const")
		if !isString(value) {
			return nil
		}
		for key := range jsonrpc.Members(choice) {
			if key != "const" && key != "title" && key != "description" {
				return nil
			}
		}
		if len(enum) > 1 {
			enum = append(enum, ',')
		}
		enum = append(enum, value...)
	}
	return append(enum, ']')
}

// complete fills defaults in and checks (MCP 2026-07-28, client/elicitation,
// Requested Schema and Form Mode Security).
func (f *clientForm) complete(content Raw) (Raw, error) {
	if content == nil {
		content = Raw(`{}`)
	}
	if err := jsonrpc.Valid(content, nil); err != nil || !isObject(trimSpace(content)) {
		return nil, &AnswerError{Problems: []string{"it is not a JSON object"}}
	}
	var absent []jsonrpc.Member
	for _, m := range f.defaults {
		if jsonrpc.Get(content, m.Key) == nil && f.matches(m.Key, m.Value) {
			absent = append(absent, m)
		}
	}
	content = jsonrpc.Splice(nil, trimSpace(content), absent...)
	_, found := f.fields.check(content, false)
	if len(found) == 0 {
		for name, value := range jsonrpc.Members(content) {
			if !f.matches(name, value) {
				path := string(appendPointer([]byte{'/'}, []byte(name)))
				found = append(found, violation{path, "must match the pattern " + clip(f.patterns[name])})
			}
		}
	}
	if len(found) == 0 {
		return content, nil
	}
	e := &AnswerError{}
	for _, v := range found {
		problem := v.problem
		if v.path != "" {
			problem = v.path + ": " + problem
		}
		e.Problems = append(e.Problems, printable(problem))
	}
	return nil, e
}

// matches reports whether a value fits the pattern of its field. One that is long or
// that this language cannot read is left to the server.
func (f *clientForm) matches(name string, value []byte) bool {
	pattern, ok := f.patterns[name]
	if !ok || len(pattern) > maxPattern || !isString(value) {
		return true
	}
	text, _ := jsonrpc.Unquote(value)
	re, err := regexp.Compile(pattern)
	return err != nil || re.MatchString(text)
}

// settle makes the result that goes to the server of what OnElicit has returned.
func (f *clientForm) settle(r *ElicitResult) (*ElicitResult, error) {
	switch {
	case r == nil:
		return nil, errors.New("OnElicit returned nothing")
	case !r.Action.valid():
		return nil, fmt.Errorf("OnElicit returned the action %q", r.Action)
	case r.Action != ElicitAccept:
		return &ElicitResult{Action: r.Action, Meta: r.Meta}, nil
	}
	content, err := f.complete(r.Content)
	if err != nil {
		return nil, err
	}
	return &ElicitResult{Action: r.Action, Content: content, Meta: r.Meta}, nil
}
