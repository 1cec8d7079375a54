package mcp

import (
	"encoding"
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/fairlead-mcp/fairlead/mcp/jsonrpc"
	"github.com/go-json-experiment/json"
)

// inferSchema writes the JSON Schema of a Go type as the JSON library encodes it,
// which is why it is not left to a library for another encoder: slices are never
// null, byte slices are base64, and a member is required unless omitted when empty
// or given a default.
func inferSchema(t reflect.Type) ([]byte, error) {
	in := &inference{}
	return in.schema(nil, t, tags{})
}

// inference writes one schema; its stack finds types that contain themselves.
type inference struct {
	stack []reflect.Type
}

// tags are the struct tags of one field that go into its schema.
type tags struct {
	lookup func(key string) (string, bool) // nil: no tags
}

// schemaTags lists the struct tags and the kinds of schema that each may stand on.
var schemaTags = [...]struct {
	key   string
	kinds kinds
	count bool // a count; otherwise number or text as told by the key
}{
	{"minimum", kindInteger | kindNumber, false},
	{"maximum", kindInteger | kindNumber, false},
	{"exclusiveMinimum", kindInteger | kindNumber, false},
	{"exclusiveMaximum", kindInteger | kindNumber, false},
	{"minLength", kindString, true},
	{"maxLength", kindString, true},
	{"pattern", kindString, false},
	{"format", kindString, false},
	{"minItems", kindArray, true},
	{"maxItems", kindArray, true},
}

var (
	typeTime          = reflect.TypeFor[time.Time]()
	typeDuration      = reflect.TypeFor[time.Duration]()
	typeMarshaler     = reflect.TypeFor[interface{ MarshalJSON() ([]byte, error) }]()
	typeMarshalerTo   = reflect.TypeFor[json.MarshalerTo]()
	typeTextMarshaler = reflect.TypeFor[encoding.TextMarshaler]()
)

func implements(t, iface reflect.Type) bool {
	return t.Implements(iface) || reflect.PointerTo(t).Implements(iface)
}

// schema appends the schema of t, with the tags of the field that has it.
func (in *inference) schema(dst []byte, t reflect.Type, tag tags) ([]byte, error) {
	if slices.Contains(in.stack, t) && t.Kind() != reflect.Interface {
		return nil, fmt.Errorf("type %s contains itself; write its schema by hand", t)
	}
	if len(in.stack) > maxSchemaDepth {
		return nil, errors.New("type is nested too deep")
	}
	in.stack = append(in.stack, t)
	defer func() { in.stack = in.stack[:len(in.stack)-1] }()

	nullable := false
	for t.Kind() == reflect.Pointer {
		nullable = true
		t = t.Elem()
		if t.Kind() != reflect.Pointer && slices.Contains(in.stack, t) {
			return nil, fmt.Errorf("type %s contains itself; write its schema by hand", t)
		}
	}
	if nullable {
		in.stack = append(in.stack, t)
		defer func() { in.stack = in.stack[:len(in.stack)-1] }()
	}
	typ := func(name string) []byte {
		if nullable {
			return append(append(append(dst, `{"type":["`...), name...), `","null"]`...)
		}
		return append(append(append(dst, `{"type":"`...), name...), '"')
	}
	finish := func(dst []byte, k kinds, err error) ([]byte, error) {
		if err != nil {
			return nil, err
		}
		if dst, err = in.annotate(dst, k, tag, nullable); err != nil {
			return nil, err
		}
		return append(dst, '}'), nil
	}
	switch {
	case t == typeTime:
		return finish(append(typ("string"), `,"format":"date-time"`...), kindString, nil)
	case t == typeDuration:
		return nil, errors.New("time.Duration has no JSON form; use a number or a string")
	case implements(t, typeMarshaler) || implements(t, typeMarshalerTo):
		return finish(append(dst, '{'), kindAny, nil) // it may be anything
	case implements(t, typeTextMarshaler):
		return finish(typ("string"), kindString, nil)
	}
	switch t.Kind() {
	case reflect.Bool:
		return finish(typ("boolean"), kindBoolean, nil)
	case reflect.Int, reflect.Int64:
		return finish(typ("integer"), kindInteger, nil)
	case reflect.Int8, reflect.Int16, reflect.Int32:
		limit := int64(1) << (t.Bits() - 1)
		dst = typ("integer")
		if !tag.has("minimum") && !tag.has("exclusiveMinimum") {
			dst = strconv.AppendInt(append(dst, `,"minimum":`...), -limit, 10)
		}
		if !tag.has("maximum") && !tag.has("exclusiveMaximum") {
			dst = strconv.AppendInt(append(dst, `,"maximum":`...), limit-1, 10)
		}
		return finish(dst, kindInteger, nil)
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		dst = typ("integer")
		if !tag.has("minimum") && !tag.has("exclusiveMinimum") {
			dst = append(dst, `,"minimum":0`...)
		}
		if t.Bits() <= 32 && !tag.has("maximum") && !tag.has("exclusiveMaximum") {
			dst = strconv.AppendUint(append(dst, `,"maximum":`...), 1<<t.Bits()-1, 10)
		}
		return finish(dst, kindInteger, nil)
	case reflect.Float32, reflect.Float64:
		return finish(typ("number"), kindNumber, nil)
	case reflect.String:
		return finish(typ("string"), kindString, nil)
	case reflect.Interface:
		return finish(append(dst, '{'), kindAny, nil)
	case reflect.Slice, reflect.Array:
		if t.Elem().Kind() == reflect.Uint8 {
			return finish(append(typ("string"), `,"contentEncoding":"base64"`...), kindString, nil)
		}
		dst = append(typ("array"), `,"items":`...)
		dst, err := in.schema(dst, t.Elem(), tag.forItems())
		if t.Kind() == reflect.Array {
			dst = fmt.Appendf(dst, `,"minItems":%d,"maxItems":%d`, t.Len(), t.Len())
		}
		return finish(dst, kindArray, err)
	case reflect.Map:
		if k := t.Key().Kind(); k != reflect.String {
			return nil, fmt.Errorf("type %s: the keys of a map must be strings", t)
		}
		if t.Elem().Kind() == reflect.Interface {
			return finish(typ("object"), kindObject, nil)
		}
		dst, err := in.schema(append(typ("object"), `,"additionalProperties":`...), t.Elem(), tags{})
		return finish(dst, kindObject, err)
	case reflect.Struct:
		dst, err := in.object(typ("object"), t)
		return finish(dst, kindObject, err)
	}
	return nil, fmt.Errorf("type %s has no JSON form", t)
}

// object appends the keywords of a struct.
func (in *inference) object(dst []byte, t reflect.Type) ([]byte, error) {
	fields, err := structFields(t, nil)
	if err != nil {
		return nil, err
	}
	var required []byte
	dst = append(dst, `,"properties":{`...)
	for i, f := range fields {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(jsonrpc.AppendString(dst, f.name), ':')
		typ := f.typ
		if f.quoted {
			typ = reflect.TypeFor[string]()
		}
		if dst, err = in.schema(dst, typ, tags{lookup: f.tag.Lookup}); err != nil {
			return nil, fmt.Errorf("%s: %w", f.name, err)
		}
		if _, fallback := f.tag.Lookup("default"); !f.optional && !fallback {
			if required != nil {
				required = append(required, ',')
			}
			required = jsonrpc.AppendString(required, f.name)
		}
	}
	dst = append(dst, '}')
	if required != nil {
		dst = append(append(append(dst, `,"required":[`...), required...), ']')
	}
	return append(dst, `,"additionalProperties":false`...), nil
}

// field is a member that a struct encodes to.
type field struct {
	name     string
	typ      reflect.Type
	tag      reflect.StructTag
	optional bool // left out when empty
	quoted   bool // a number as a string
}

// structFields lists the members of a struct by the rules of the JSON library.
func structFields(t reflect.Type, outer []reflect.Type) ([]field, error) {
	if slices.Contains(outer, t) {
		return nil, fmt.Errorf("type %s contains itself; write its schema by hand", t)
	}
	var fields []field
	for sf := range t.Fields() {
		tag, tagged := sf.Tag.Lookup("json")
		if tag == "-" || !sf.IsExported() && !sf.Anonymous {
			continue
		}
		name, options, _ := strings.Cut(tag, ",")
		opts := strings.Split(options, ",")
		if strings.HasPrefix(tag, "'") || slices.Contains(opts, "unknown") {
			return nil, fmt.Errorf("field %s: quoted names and unknown members are not supported in a schema", sf.Name)
		}
		typ := sf.Type
		if sf.Anonymous && name == "" || slices.Contains(opts, "inline") {
			if typ.Kind() == reflect.Pointer {
				typ = typ.Elem()
			}
			if typ.Kind() == reflect.Struct {
				inner, err := structFields(typ, append(outer, t))
				if err != nil {
					return nil, err
				}
				fields = append(fields, inner...)
				continue
			}
			if slices.Contains(opts, "inline") {
				return nil, fmt.Errorf("field %s: only structs can be inline in a schema", sf.Name)
			}
			typ = sf.Type
		}
		if !sf.IsExported() {
			continue
		}
		if name == "" || !tagged {
			name = sf.Name
		}
		if slices.ContainsFunc(fields, func(f field) bool { return f.name == name }) {
			return nil, fmt.Errorf("two fields are named %q", name)
		}
		fields = append(fields, field{
			name: name, typ: typ, tag: sf.Tag,
			optional: slices.Contains(opts, "omitempty") || slices.Contains(opts, "omitzero"),
			quoted:   slices.Contains(opts, "string"),
		})
	}
	return fields, nil
}

func (t tags) has(key string) bool {
	_, ok := t.get(key)
	return ok
}

func (t tags) get(key string) (string, bool) {
	if t.lookup == nil {
		return "", false
	}
	return t.lookup(key)
}

// itemTags stand on the items of a slice and not on the slice itself.
func isItemTag(key string) bool {
	switch key {
	case "jsonschema", "default", "x-mcp-header", "minItems", "maxItems":
		return false
	}
	return true
}

// forItems are the tags of a slice's field that speak of its items.
func (t tags) forItems() tags {
	if t.lookup == nil {
		return t
	}
	return tags{lookup: func(key string) (string, bool) {
		if !isItemTag(key) {
			return "", false
		}
		return t.lookup(key)
	}}
}

// annotate appends the keywords that come from struct tags to a schema of kind k.
func (in *inference) annotate(dst []byte, k kinds, tag tags, nullable bool) ([]byte, error) {
	if tag.lookup == nil {
		return dst, nil
	}
	add := func(key string, value []byte) {
		if dst[len(dst)-1] != '{' {
			dst = append(dst, ',')
		}
		dst = append(append(append(append(dst, '"'), key...), '"', ':'), value...)
	}
	for _, st := range schemaTags {
		text, ok := tag.get(st.key)
		if !ok || k == kindArray && isItemTag(st.key) {
			continue
		}
		if k&st.kinds == 0 {
			return nil, fmt.Errorf("tag %s does not apply to %s", st.key, k)
		}
		value, err := tagValue(st.key, text, st.kinds, st.count)
		if err != nil {
			return nil, fmt.Errorf("tag %s: %w", st.key, err)
		}
		add(st.key, value)
	}
	if text, ok := tag.get("enum"); ok && k != kindArray {
		list, err := enumValues(text, k, nullable)
		if err != nil {
			return nil, err
		}
		add("enum", list)
	}
	if text, ok := tag.get("jsonschema"); ok {
		add("description", jsonrpc.AppendString(nil, text))
	}
	if text, ok := tag.get("x-mcp-header"); ok {
		add("x-mcp-header", jsonrpc.AppendString(nil, text))
	}
	if text, ok := tag.get("default"); ok {
		value := []byte(text)
		if k == kindString {
			value = jsonrpc.AppendString(nil, text)
		}
		if err := jsonrpc.Valid(value, nil); err != nil {
			return nil, fmt.Errorf("tag default: %w", err)
		}
		add("default", value)
	}
	return dst, nil
}

// tagValue encodes the value of a tag that is a number, a count or a text.
func tagValue(key, text string, on kinds, count bool) ([]byte, error) {
	switch {
	case count:
		n, err := strconv.Atoi(text)
		if err != nil || n < 0 {
			return nil, fmt.Errorf("%q is not a count", text)
		}
		return strconv.AppendInt(nil, int64(n), 10), nil
	case on == kindString:
		if key == "pattern" {
			if _, err := regexp.Compile(text); err != nil {
				return nil, err
			}
		}
		return jsonrpc.AppendString(nil, text), nil
	}
	if _, err := strconv.ParseFloat(text, 64); err != nil || jsonrpc.Valid([]byte(text), nil) != nil {
		return nil, fmt.Errorf("%q is not a number", text)
	}
	return []byte(text), nil
}

// enumValues encodes a comma-separated list of choices.
func enumValues(text string, k kinds, nullable bool) ([]byte, error) {
	if k&(kindString|kindInteger|kindNumber) == 0 || k == kindAny {
		return nil, fmt.Errorf("tag enum does not apply to %s", k)
	}
	list := []byte{'['}
	for i, choice := range strings.Split(text, ",") {
		if i > 0 {
			list = append(list, ',')
		}
		if k == kindString {
			list = jsonrpc.AppendString(list, choice)
			continue
		}
		value, err := tagValue("enum", choice, k, false)
		if err != nil {
			return nil, fmt.Errorf("tag enum: %w", err)
		}
		list = append(list, value...)
	}
	if nullable {
		list = append(list, ",null"...)
	}
	return append(list, ']'), nil
}
