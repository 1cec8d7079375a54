package mcp

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"

	"github.com/fairlead-mcp/fairlead/mcp/jsonrpc"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

// A validator checks values against one schema (MCP 2026-07-28, basic/index, JSON
// Schema Usage). One of its two halves is set.
type validator struct {
	fast    *node              // covers the keywords of nearly every tool
	general *jsonschema.Schema // covers all of JSON Schema
}

// check validates data, which has passed the strict scan. It returns data itself,
// or, if fill is set, a copy with absent defaults filled in. Data that is not JSON is a violation.
func (v *validator) check(data []byte, fill bool) ([]byte, []violation) {
	if v.fast == nil {
		return data, v.checkGeneral(data)
	}
	found, edits, malformed := v.fast.check(data, fill)
	switch {
	case malformed:
		return data, []violation{{"", "is not valid JSON"}}
	case len(found) > 0 || !fill || len(edits) == 0:
		return data, found
	}
	return applyEdits(data, edits), nil
}

func (v *validator) checkGeneral(data []byte) []violation {
	if hasHugeNumber(data) {
		return []violation{{"", "has a number that is too long or too large"}}
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
	if err != nil {
		return []violation{{"", "is not valid JSON"}}
	}
	err = v.general.Validate(value)
	var invalid *jsonschema.ValidationError
	if !errors.As(err, &invalid) {
		if err != nil {
			return []violation{{"", "does not fit the schema"}}
		}
		return nil
	}
	var found []violation
	var collect func(unit *jsonschema.OutputUnit)
	collect = func(unit *jsonschema.OutputUnit) {
		if len(unit.Errors) == 0 && unit.Error != nil && len(found) < maxViolations {
			found = append(found, violation{unit.InstanceLocation, unit.Error.String()})
		}
		for i := range unit.Errors {
			collect(&unit.Errors[i])
		}
	}
	collect(invalid.DetailedOutput())
	return found
}

// hasHugeNumber finds numbers of more than 64 digits or with an exponent of more
// than three. The general validator computes with exact fractions: the few bytes
// of 1e999999999 would keep it busy for minutes.
func hasHugeNumber(data []byte) bool {
	w := walk{data: data}
	for w.pos < len(data) {
		switch c := data[w.pos]; {
		case c == '"':
			w.token()
		case c == '-' || c >= '0' && c <= '9':
			number := w.token()
			if len(number) > 64 {
				return true
			}
			if e := bytes.IndexAny(number, "eE"); e >= 0 && len(bytes.TrimLeft(number[e+1:], "+-0")) > 3 {
				return true
			}
		default:
			w.pos++
		}
	}
	return false
}

// dialects are the values of $schema that are understood, without a trailing #.
const (
	dialect202012 = "https://json-schema.org/draft/2020-12/schema"
	dialect201909 = "https://json-schema.org/draft/2019-09/schema"
	dialect07     = "http://json-schema.org/draft-07/schema"
	dialect06     = "http://json-schema.org/draft-06/schema"
	dialect04     = "http://json-schema.org/draft-04/schema"
)

// compileHandwritten compiles a schema that somebody wrote. It must be valid in
// its dialect; references out of it are refused, never fetched.
func compileHandwritten(raw []byte) (*validator, error) {
	if err := jsonrpc.Valid(raw, &jsonrpc.Limits{MaxBytes: maxSchemaBytes, MaxDepth: maxSchemaDepth}); err != nil {
		return nil, err
	}
	raw = bytes.TrimSpace(raw)
	if !isObject(raw) {
		return nil, errors.New("schema is not an object")
	}
	if bytes.Count(raw, []byte{'{'}) > maxSchemaNodes {
		return nil, fmt.Errorf("schema has more than %d objects", maxSchemaNodes)
	}
	if dialect := jsonrpc.Get(raw, "$schema"); dialect != nil {
		name, _ := jsonrpc.Unquote(dialect)
		switch strings.TrimSuffix(name, "#") {
		case dialect202012, dialect201909, dialect07, dialect06, dialect04:
		default:
			return nil, fmt.Errorf("schema dialect %.80s is not supported; use %s", dialect, dialect202012)
		}
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
	if err != nil {
		return nil, err
	}
	const self = "schema:///self"
	c := jsonschema.NewCompiler()
	c.UseLoader(noLoader{})
	if err := c.AddResource(self, doc); err != nil {
		return nil, err
	}
	general, err := c.Compile(self)
	if err != nil {
		return nil, err
	}
	if fast, err := compileNode(raw, false); err == nil {
		return &validator{fast: fast}, nil
	}
	return &validator{general: general}, nil
}

// noLoader refuses references that leave the schema: following one would let a
// schema make this process read files or call hosts.
type noLoader struct{}

func (noLoader) Load(string) (any, error) {
	return nil, errors.New("references outside the schema are not followed")
}

// errNotCovered says that a schema needs the general validator.
var errNotCovered = errors.New("schema needs the general validator")

// compileNode compiles a valid schema, or returns errNotCovered. strict makes formats binding.
func compileNode(raw []byte, strict bool) (*node, error) {
	raw = bytes.TrimSpace(raw)
	if string(raw) == "true" {
		return nil, nil
	}
	if !isObject(raw) {
		return nil, errNotCovered
	}
	n := &node{
		kinds: kindAny, maxItems: -1, maxLength: -1, maxMembers: -1,
		minimum: math.Inf(-1), maximum: math.Inf(1), exclusiveMin: math.Inf(-1), exclusiveMax: math.Inf(1),
	}
	for key, value := range jsonrpc.Members(raw) {
		if err := n.keyword(key, value, strict); err != nil {
			return nil, err
		}
	}
	for _, name := range n.required {
		if n.properties[name] == nil {
			if n.closed {
				return nil, errNotCovered // can never be valid; the general validator says it better
			}
			n.addProperty(&property{name: name, node: n.additional})
		}
	}
	return n, nil
}

// keyword compiles one keyword of a schema object.
func (n *node) keyword(key string, value []byte, strict bool) (err error) {
	switch key {
	case "$schema", "$comment", "title", "description", "examples", "deprecated", "readOnly", "writeOnly", "default",
		"contentEncoding", "contentMediaType", "x-mcp-header":
	case "type":
		n.kinds, err = compileKinds(value)
	case "enum":
		if value[0] != '[' {
			return errNotCovered
		}
		var texts []string
		n.enum = [][]byte{}
		for choice := range jsonrpc.Elements(value) {
			canonical, ok := canonicalScalar(choice)
			if !ok {
				return errNotCovered
			}
			n.enum = append(n.enum, canonical)
			texts = append(texts, string(choice))
		}
		n.enumText = strings.Join(texts, ", ")
	case "const":
		return n.keyword("enum", append(append([]byte{'['}, value...), ']'), strict)
	case "properties":
		return n.compileProperties(value, strict)
	case "required":
		for item := range jsonrpc.Elements(value) {
			name, ok := jsonrpc.Unquote(item)
			if !ok {
				return errNotCovered
			}
			n.required = append(n.required, name)
		}
	case "additionalProperties":
		if n.closed = string(value) == "false"; !n.closed {
			n.additional, err = compileNode(value, strict)
		}
	case "items":
		n.items, err = compileNode(value, strict)
	case "minItems":
		n.minItems, err = compileCount(value)
	case "maxItems":
		n.maxItems, err = compileCount(value)
	case "minLength":
		n.minLength, err = compileCount(value)
	case "maxLength":
		n.maxLength, err = compileCount(value)
	case "minProperties":
		n.minMembers, err = compileCount(value)
	case "maxProperties":
		n.maxMembers, err = compileCount(value)
	case "pattern":
		text, _ := jsonrpc.Unquote(value)
		n.pattern, err = regexp.Compile(text)
	case "format":
		if strict {
			n.formatIs, _ = jsonrpc.Unquote(value)
			n.format = formatCheck(n.formatIs)
		}
	case "minimum":
		n.minimum, err = compileNumber(value)
	case "maximum":
		n.maximum, err = compileNumber(value)
	case "exclusiveMinimum":
		n.exclusiveMin, err = compileNumber(value)
	case "exclusiveMaximum":
		n.exclusiveMax, err = compileNumber(value)
	default:
		return errNotCovered
	}
	return err
}

func (n *node) compileProperties(value []byte, strict bool) error {
	if !isObject(value) {
		return errNotCovered
	}
	for name, schema := range jsonrpc.Members(value) {
		sub, err := compileNode(schema, strict)
		if err != nil {
			return err
		}
		p := &property{name: name, node: sub}
		if isObject(schema) {
			p.fallback = jsonrpc.Get(schema, "default")
		}
		n.addProperty(p)
		if p.fallback != nil {
			n.defaults = append(n.defaults, p)
		}
	}
	return nil
}

func (n *node) addProperty(p *property) {
	if n.properties == nil {
		n.properties = make(map[string]*property)
	}
	p.index = len(n.properties)
	n.properties[p.name] = p
}

func compileKinds(value []byte) (k kinds, err error) {
	list := [][]byte{value}
	if value[0] == '[' {
		list = list[:0]
		for item := range jsonrpc.Elements(value) {
			list = append(list, item)
		}
	}
	for _, item := range list {
		switch string(item) {
		case `"null"`:
			k |= kindNull
		case `"boolean"`:
			k |= kindBoolean
		case `"integer"`:
			k |= kindInteger
		case `"number"`:
			k |= kindNumber
		case `"string"`:
			k |= kindString
		case `"array"`:
			k |= kindArray
		case `"object"`:
			k |= kindObject
		default:
			return 0, errNotCovered
		}
	}
	return k, nil
}

func compileCount(value []byte) (int, error) {
	n, err := strconv.Atoi(string(value))
	if err != nil || n < 0 {
		return 0, errNotCovered
	}
	return n, nil
}

func compileNumber(value []byte) (float64, error) {
	f, err := strconv.ParseFloat(string(value), 64)
	if err != nil {
		return 0, errNotCovered
	}
	return f, nil
}

// canonicalScalar gives equal scalars one text; false for arrays and objects.
func canonicalScalar(raw []byte) ([]byte, bool) {
	switch raw[0] {
	case '[', '{':
		return nil, false
	case '"':
		s, ok := jsonrpc.Unquote(raw)
		return []byte(`"` + s + `"`), ok
	case 't', 'f', 'n':
		return raw, true
	}
	return canonicalNumber(raw), true
}
