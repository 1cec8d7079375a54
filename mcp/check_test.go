package mcp_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/fairlead-mcp/fairlead/mcp"
)

func TestCheckValue(t *testing.T) {
	const schema = `{"type":"object","properties":{"n":{"type":"integer","minimum":1},"s":{"$ref":"#/$defs/s"}},"$defs":{"s":{"enum":["a","b"]}}}`
	for _, tt := range []struct{ schema, value, want string }{
		{schema, `{"n":1,"s":"a"}`, ""},
		{schema, `{"n":0}`, "n"},
		{schema, `{"s":"c"}`, "s"},
		{schema, `{"n":`, "EOF"},
		{`{"$ref":"https://example.com/s"}`, `{}`, mcp.ErrSchema.Error()},
		{`[]`, `{}`, mcp.ErrSchema.Error()},
	} {
		err := mcp.CheckValue([]byte(tt.schema), []byte(tt.value))
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) && tt.want != "EOF" {
			t.Errorf("%s against %s: %v, want %q", tt.value, tt.schema, err, tt.want)
		}
		if errors.Is(err, mcp.ErrSchema) != (tt.want == mcp.ErrSchema.Error()) {
			t.Errorf("%s: ErrSchema: %v", tt.schema, err)
		}
	}
}
