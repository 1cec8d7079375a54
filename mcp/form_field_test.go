package mcp_test

import (
	"strings"
	"testing"

	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/google/go-cmp/cmp"
)

func TestFormFields(t *testing.T) {
	p := mcp.ElicitParams{RequestedSchema: mcp.Raw(`{"type":"object","properties":{
		"zip":{"type":"string","title":"ZIP","minLength":5,"default":"10115"},
		"colour":{"type":"string","enum":["r","g"],"enumNames":["Red"]},
		"size":{"type":"string","oneOf":[{"const":"s","title":"Small"}]},
		"days":{"type":"array","items":{"type":"string","enum":["Mon","Tue"]},"maxItems":1},
		"toppings":{"type":"array","items":{"anyOf":[{"const":"h","title":"Ham"}]}}
	},"required":["zip"]}`)}
	fields, err := p.Fields()
	if err != nil {
		t.Fatal(err)
	}
	type seen struct {
		Name     string
		Required bool
		Choices  []mcp.Choice
	}
	var got []seen
	for _, f := range fields {
		got = append(got, seen{f.Name, f.Required, f.Choices()})
	}
	want := []seen{
		{"zip", true, nil},
		{"colour", false, []mcp.Choice{{"r", "Red"}, {"g", "g"}}},
		{"size", false, []mcp.Choice{{"s", "Small"}}},
		{"days", false, []mcp.Choice{{"Mon", "Mon"}, {"Tue", "Tue"}}},
		{"toppings", false, []mcp.Choice{{"h", "Ham"}}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("fields (-want +got):\n%s", diff)
	}
	if zip := fields[0]; *zip.MinLength != 5 || string(zip.Default) != `"10115"` || zip.Title != "ZIP" {
		t.Errorf("zip: %+v", zip)
	}
}

func TestFormFieldsRefuses(t *testing.T) {
	for schema, want := range map[string]string{
		`{"type":"object","properties":{"a":{"type":"object"}}}`:                 `field "a"`,
		`{"type":"object","properties":{"a":{"type":"string","minLength":"x"}}}`: `field "a"`,
		`{"type":"object","properties":{"a":{"type":"string"}},"required":"a"}`:  "required",
		`{"type":"string"}`: "object",
	} {
		if _, err := (&mcp.ElicitParams{RequestedSchema: mcp.Raw(schema)}).Fields(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Fields of %s: %v, want an error with %q", schema, err, want)
		}
	}
	if fields, err := (&mcp.ElicitParams{Mode: mcp.ElicitURL}).Fields(); fields != nil || err != nil {
		t.Errorf("Fields in mode url: %v, %v", fields, err)
	}
}
