package mcp

import (
	"fmt"

	"github.com/fairlead-mcp/fairlead/mcp/jsonrpc"
	"github.com/go-json-experiment/json"
)

// FormField is one thing that a form asks for, as a program that shows the form
// needs it (MCP 2026-07-28, schema, PrimitiveSchemaDefinition). Members that do not
// belong to its Type are zero.
type FormField struct {
	Type        string      `json:"type"` // string, number, integer, boolean, or array for a choice of several
	Title       string      `json:"title,omitzero"`
	Description string      `json:"description,omitzero"`
	Format      string      `json:"format,omitzero"` // email, uri, date or date-time
	Pattern     string      `json:"pattern,omitzero"`
	MinLength   *int        `json:"minLength,omitzero"` // characters
	MaxLength   *int        `json:"maxLength,omitzero"` // characters
	Minimum     *float64    `json:"minimum,omitzero"`
	Maximum     *float64    `json:"maximum,omitzero"`
	Enum        []string    `json:"enum,omitempty"`      // choices that show themselves
	EnumNames   []string    `json:"enumNames,omitempty"` // what Enum shows, until 2025-06-18
	OneOf       []Choice    `json:"oneOf,omitempty"`     // choices with titles
	Items       *FormChoice `json:"items,omitzero"`      // choices of an array
	MinItems    *int        `json:"minItems,omitzero"`
	MaxItems    *int        `json:"maxItems,omitzero"`
	Default     Raw         `json:"default,omitzero"`

	// Name and Required come from the form, see [ElicitParams.Fields].
	Name     string `json:"-"`
	Required bool   `json:"-"`
}

// FormChoice is what a field of type array chooses from.
type FormChoice struct {
	Type  string   `json:"type,omitzero"`
	Enum  []string `json:"enum,omitempty"`  // choices that show themselves
	AnyOf []Choice `json:"anyOf,omitempty"` // choices with titles
}

// Choice is a value and what a person sees for it.
type Choice struct {
	Value string `json:"const"`
	Title string `json:"title"`
}

// Choices returns what the field lets choose from, in whichever of its forms the
// schema says so; nil for a field that is not a choice.
func (f *FormField) Choices() []Choice {
	enum, choices := f.Enum, f.OneOf
	if f.Items != nil {
		enum, choices = f.Items.Enum, f.Items.AnyOf
	}
	if choices != nil {
		return choices
	}
	for i, value := range enum {
		title := value
		if i < len(f.EnumNames) {
			title = f.EnumNames[i]
		}
		choices = append(choices, Choice{value, title})
	}
	return choices
}

// Fields returns the fields of the form in the order of its schema. The error says
// which field is none that a form can have. In mode url there are none.
func (p *ElicitParams) Fields() ([]FormField, error) {
	if p.RequestedSchema == nil {
		return nil, nil
	}
	if _, err := plainForm(p.RequestedSchema); err != nil {
		return nil, fmt.Errorf("requestedSchema: %w", err)
	}
	var required []string
	if raw := jsonrpc.Get(p.RequestedSchema, "required"); raw != nil {
		if err := json.Unmarshal(raw, &required); err != nil {
			return nil, fmt.Errorf("requestedSchema: required: %w", err)
		}
	}
	var fields []FormField
	for name, raw := range jsonrpc.Members(jsonrpc.Get(p.RequestedSchema, "properties")) {
		f := FormField{Name: name}
		if err := json.Unmarshal(raw, &f); err != nil {
			return nil, fmt.Errorf("requestedSchema: field %q: %w", clip(name), err)
		}
		for _, r := range required {
			f.Required = f.Required || r == name
		}
		fields = append(fields, f)
	}
	return fields, nil
}
