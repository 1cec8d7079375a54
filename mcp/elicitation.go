package mcp

import (
	"errors"
	"fmt"
	"net/url"
	"reflect"
	"slices"

	"github.com/fairlead-mcp/fairlead/mcp/jsonrpc"
	"github.com/go-json-experiment/json"
)

// ElicitMode is how an elicitation reaches the user (MCP 2026-07-28, client/elicitation).
type ElicitMode string

// The modes.
const (
	ElicitForm ElicitMode = "form" // the client shows a form; what a missing mode means
	ElicitURL  ElicitMode = "url"  // the user opens a page, whose contents the client never sees
)

// ElicitParams are the params of elicitation/create (MCP 2026-07-28, schema,
// ElicitRequestParams).
type ElicitParams struct {
	Mode    ElicitMode `json:"mode,omitzero"`
	Message string     `json:"message"`
	// RequestedSchema is the form: an object schema whose properties are
	// strings, numbers, booleans and choices. Nil in mode url.
	RequestedSchema Raw `json:"requestedSchema,omitzero"`
	// URL is the page to open in mode url.
	URL string `json:"url,omitzero"`
	// ElicitationID names the elicitation in mode url of 2025-11-25, which alone has it.
	ElicitationID string `json:"elicitationId,omitzero"`
	Meta          Raw    `json:"_meta,omitzero"`
}

// ElicitAction is what the user did with an elicitation.
type ElicitAction string

// The actions.
const (
	ElicitAccept  ElicitAction = "accept"  // submitted the form, or agreed to open the page
	ElicitDecline ElicitAction = "decline" // said no
	ElicitCancel  ElicitAction = "cancel"  // turned away without an answer
)

// ElicitResult is the answer to an elicitation (MCP 2026-07-28, schema, ElicitResult).
type ElicitResult struct {
	Action ElicitAction `json:"action"`
	// Content is the form's object, only with ElicitAccept and mode form.
	Content Raw `json:"content,omitzero"`
	Meta    Raw `json:"_meta,omitzero"`
}

// Accepted reports whether the user said yes.
func (r *ElicitResult) Accepted() bool { return r.Action == ElicitAccept }

// Decode decodes the form's object into v.
func (r *ElicitResult) Decode(v any) error {
	if r.Content == nil {
		return fmt.Errorf("elicitation was answered %q without content", r.Action)
	}
	return json.Unmarshal(r.Content, v)
}

// A Form is what an elicitation asks for: a message and the fields of an answer.
type Form struct {
	Message string
	// Schema is an object schema whose properties are strings, numbers, booleans
	// and choices, or nil for a question with nothing to fill in. See [FormOf].
	Schema Raw
}

// FormOf makes a form with the fields of the struct T, of types string, number,
// bool and []string, with the same struct tags as the arguments of a tool
// ([AddTool]); enum makes a choice, and of a []string a multiple choice. It panics
// if T cannot be a form, which depends on nothing but the type.
func FormOf[T any](message string) Form {
	schema, err := inferForm(reflect.TypeFor[T]())
	if err != nil {
		panic(fmt.Sprintf("mcp.FormOf: %v", err))
	}
	return Form{Message: message, Schema: schema}
}

func inferForm(t reflect.Type) (Raw, error) {
	if t.Kind() != reflect.Struct {
		return nil, fmt.Errorf("type %s is not a struct", t)
	}
	schema, err := inferSchema(t)
	if err != nil {
		return nil, err
	}
	// A form says nothing of members beyond its fields.
	schema = jsonrpc.Splice(nil, schema, jsonrpc.Member{Key: "additionalProperties"})
	return schema, checkForm(schema)
}

// formMembers lists what the schema of a field may have (MCP 2026-07-28, client/elicitation, Requested Schema).
var formMembers = map[string][]string{
	"string":  {"minLength", "maxLength", "pattern", "format", "enum", "enumNames", "oneOf"},
	"number":  {"minimum", "maximum"},
	"integer": {"minimum", "maximum"},
	"boolean": {},
	"array":   {"minItems", "maxItems", "items"},
}

// checkForm checks that a schema is one of those that clients can show as a form.
func checkForm(schema []byte) error {
	if err := jsonrpc.Valid(schema, &jsonrpc.Limits{MaxBytes: maxSchemaBytes, MaxDepth: maxSchemaDepth}); err != nil {
		return err
	}
	if !isObject(schema) || string(jsonrpc.Get(schema, "type")) != `"object"` {
		return errors.New(`a form is a schema of "type": "object"`)
	}
	properties := jsonrpc.Get(schema, "properties")
	if !isObject(properties) {
		return errors.New("a form has properties")
	}
	for key := range jsonrpc.Members(schema) {
		switch key {
		case "$schema", "type", "properties", "required", "title", "description":
		default:
			return fmt.Errorf("a form cannot have %q", key)
		}
	}
	for name, field := range jsonrpc.Members(properties) {
		if err := checkField(field); err != nil {
			return fmt.Errorf("field %q: %w", name, err)
		}
	}
	return nil
}

func checkField(field []byte) error {
	if !isObject(field) {
		return errors.New("its schema is not an object")
	}
	typ, _ := jsonrpc.Unquote(jsonrpc.Get(field, "type"))
	members, known := formMembers[typ]
	if !known {
		return errors.New("a field is a string, a number, a boolean or an array of choices")
	}
	for key := range jsonrpc.Members(field) {
		switch key {
		case "type", "title", "description", "default":
			continue
		}
		if !slices.Contains(members, key) {
			return fmt.Errorf("a field of type %s cannot have %q", typ, key)
		}
	}
	if typ != "array" {
		return nil
	}
	items := jsonrpc.Get(field, "items")
	if !isObject(items) || jsonrpc.Get(items, "enum") == nil && jsonrpc.Get(items, "anyOf") == nil {
		return errors.New("an array is a choice of several: its items have enum or anyOf")
	}
	return nil
}

// checkPage checks the URL of an elicitation in mode url.
func checkPage(page string) error {
	u, err := url.Parse(page)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" {
		return errors.New("the page to open is not an http or https URL")
	}
	return nil
}
