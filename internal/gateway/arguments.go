package gateway

import (
	"errors"
	"maps"
	"slices"
	"strconv"

	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/mcp/jsonrpc"
)

// arguments are values that a virtual server gives for its callers.
type arguments struct {
	defaults, fixed []jsonrpc.Member // by name
}

// newArguments returns nil for a pick without any.
func newArguments(p *Pick) *arguments {
	if len(p.Defaults)+len(p.Fixed) == 0 {
		return nil
	}
	members := func(values map[string][]byte) (out []jsonrpc.Member) {
		for _, name := range slices.Sorted(maps.Keys(values)) {
			out = append(out, jsonrpc.Member{Key: name, Value: values[name]})
		}
		return out
	}
	return &arguments{defaults: members(p.Defaults), fixed: members(p.Fixed)}
}

func isObject(raw []byte) bool { return len(raw) > 0 && raw[0] == '{' }

// put returns the arguments of a call as the upstream gets them.
func (a *arguments) put(args []byte) []byte {
	if !isObject(args) {
		args = nil
	}
	edits := slices.Clone(a.fixed)
	for _, d := range a.defaults {
		if jsonrpc.Get(args, d.Key) == nil {
			edits = append(edits, d)
		}
	}
	return jsonrpc.Splice(nil, args, edits...)
}

// shapeTool returns the input schema that callers see: without what is fixed, which
// takes a mirroring in headers with it, and with the defaults. A problem is why the
// tool cannot be offered.
func (a *arguments) shapeTool(tool []byte) (edit jsonrpc.Member, problem string) {
	schema := jsonrpc.Get(tool, "inputSchema")
	if !isObject(schema) {
		schema = []byte(`{"type":"object"}`)
	}
	properties := jsonrpc.Get(schema, "properties")
	if problem := a.unknown(schema, properties); problem != "" {
		return edit, problem
	}
	// Only what single arguments have to be: whether those of a call go together is seen when they are known.
	alone := jsonrpc.Splice(nil, nil,
		jsonrpc.Member{Key: "$schema", Value: jsonrpc.Get(schema, "$schema")}, jsonrpc.Member{Key: "$defs", Value: jsonrpc.Get(schema, "$defs")},
		jsonrpc.Member{Key: "definitions", Value: jsonrpc.Get(schema, "definitions")}, jsonrpc.Member{Key: "properties", Value: properties})
	for _, d := range a.defaults {
		if err := mcp.CheckValue(alone, jsonrpc.Splice(nil, nil, d)); err != nil && !errors.Is(err, mcp.ErrSchema) {
			return edit, "the default of " + strconv.Quote(d.Key) + " does not fit its schema: " + clip(err.Error())
		}
	}
	for _, f := range a.fixed {
		// What is wrong could hold the value, which is nobody's to see.
		if err := mcp.CheckValue(alone, jsonrpc.Splice(nil, nil, f)); err != nil && !errors.Is(err, mcp.ErrSchema) {
			return edit, "the fixed value of " + strconv.Quote(f.Key) + " does not fit its schema"
		}
	}
	var edits []jsonrpc.Member
	for _, f := range a.fixed {
		edits = append(edits, jsonrpc.Member{Key: f.Key})
	}
	for _, d := range a.defaults {
		property := jsonrpc.Get(properties, d.Key)
		if property != nil && !isObject(property) { // true or false
			continue
		}
		edits = append(edits, jsonrpc.Member{Key: d.Key, Value: jsonrpc.Splice(nil, property, jsonrpc.Member{Key: "default", Value: d.Value})})
	}
	shaped := []jsonrpc.Member{{Key: "required", Value: a.required(jsonrpc.Get(schema, "required"))}}
	if properties != nil || len(a.defaults) > 0 {
		shaped = append(shaped, jsonrpc.Member{Key: "properties", Value: jsonrpc.Splice(nil, properties, edits...)})
	}
	return jsonrpc.Member{Key: "inputSchema", Value: jsonrpc.Splice(nil, schema, shaped...)}, ""
}

// unknown tells of an argument that the tool does not have. A schema without
// properties may take any.
func (a *arguments) unknown(schema, properties []byte) string {
	closed := string(jsonrpc.Get(schema, "additionalProperties")) == "false"
	named := false
	for range jsonrpc.Members(properties) {
		named = true
		break
	}
	if !named && !closed {
		return ""
	}
	for _, m := range slices.Concat(a.defaults, a.fixed) {
		if jsonrpc.Get(properties, m.Key) == nil {
			return "there is no argument " + strconv.Quote(m.Key)
		}
	}
	return ""
}

// required leaves out what the virtual server gives; nil if nothing is left.
func (a *arguments) required(list []byte) []byte {
	out := []byte{'['}
	for raw := range jsonrpc.Elements(list) {
		name, _ := jsonrpc.Unquote(raw)
		given := func(m jsonrpc.Member) bool { return m.Key == name }
		if slices.ContainsFunc(a.fixed, given) || slices.ContainsFunc(a.defaults, given) {
			continue
		}
		if len(out) > 1 {
			out = append(out, ',')
		}
		out = append(out, raw...)
	}
	if len(out) == 1 {
		return nil
	}
	return append(out, ']')
}

// shapePrompt returns the arguments of a prompt that callers see. Their values are texts.
func (a *arguments) shapePrompt(prompt []byte) (edit jsonrpc.Member, problem string) {
	list := jsonrpc.Get(prompt, "arguments")
	has := make(map[string]bool)
	for raw := range jsonrpc.Elements(list) {
		name, _ := jsonrpc.Unquote(jsonrpc.Get(raw, "name"))
		has[name] = true
	}
	for _, m := range slices.Concat(a.defaults, a.fixed) {
		switch {
		case !has[m.Key]:
			return edit, "there is no argument " + strconv.Quote(m.Key)
		case m.Value[0] != '"':
			return edit, "the value of " + strconv.Quote(m.Key) + " is not a text, as arguments of prompts are"
		}
	}
	out := []byte{'['}
	for raw := range jsonrpc.Elements(list) {
		name, _ := jsonrpc.Unquote(jsonrpc.Get(raw, "name"))
		named := func(m jsonrpc.Member) bool { return m.Key == name }
		if slices.ContainsFunc(a.fixed, named) {
			continue
		}
		if len(out) > 1 {
			out = append(out, ',')
		}
		if slices.ContainsFunc(a.defaults, named) {
			raw = jsonrpc.Splice(nil, raw, jsonrpc.Member{Key: "required", Value: []byte("false")})
		}
		out = append(out, raw...)
	}
	return jsonrpc.Member{Key: "arguments", Value: append(out, ']')}, ""
}
