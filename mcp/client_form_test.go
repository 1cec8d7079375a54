package mcp_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/fairlead-mcp/fairlead/mcp"
)

const everyField = `{"type":"object","title":"t","additionalProperties":false,"properties":{
	"name":{"type":"string","title":"Name","minLength":2,"maxLength":5,"default":"Ada"},
	"mail":{"type":"string","format":"email"},
	"age":{"type":"integer","minimum":18,"default":30},
	"score":{"type":"number","maximum":100,"default":95.5},
	"ok":{"type":"boolean","default":true},
	"colour":{"type":"string","enum":["r","g"],"default":"g"},
	"titled":{"type":"string","oneOf":[{"const":"1","title":"One"},{"const":"2","title":"Two"}],"default":"2"},
	"named":{"type":"string","enum":["a","b"],"enumNames":["A","B"]},
	"several":{"type":"array","minItems":1,"maxItems":2,"items":{"type":"string","enum":["x","y","z"]},"default":["x"]},
	"titles":{"type":"array","items":{"anyOf":[{"const":"p","title":"P"},{"const":"q","title":"Q"}]}},
	"wrong":{"type":"string","enum":["a"],"default":"not one of them"},
	"ecma":{"type":"string","pattern":"^(?!x)"},
	"code":{"type":"string","pattern":"^[a-z]+$","default":"UPPER"},
	"step":{"type":"integer","multipleOf":5}
},"required":["name","age"]}`

const everyDefault = `"name":"Ada","age":30,"score":95.5,"ok":true,"colour":"g","titled":"2","several":["x"]`

func TestElicitParamsComplete(t *testing.T) {
	p := &mcp.ElicitParams{RequestedSchema: mcp.Raw(everyField)}
	for _, tt := range []struct{ content, want string }{
		{``, `{` + everyDefault + `}`},
		{`{}`, `{` + everyDefault + `}`},
		{` {"name":"Bob","age":18,"score":0,"ok":false,"colour":"r","titled":"1","several":["y","z"]}`, `{"name":"Bob","age":18,"score":0,"ok":false,"colour":"r","titled":"1","several":["y","z"]}`},
		{`{"mail":"a@b.example","named":"b","titles":["p","q"],"ecma":"x","code":"z","step":10}`, `{"mail":"a@b.example","named":"b","titles":["p","q"],"ecma":"x","code":"z","step":10,` + everyDefault + `}`},
	} {
		var content mcp.Raw
		if tt.content != "" {
			content = mcp.Raw(tt.content)
		}
		if got, err := p.Complete(content); err != nil || string(got) != tt.want {
			t.Errorf("Complete(%s): got %s, %v; want %s", tt.content, got, err, tt.want)
		}
	}
	for content, problem := range map[string]string{
		`[]`: "object", `{"name":1`: "object", `{"a":1,"a":2}`: "object", `null`: "object",
		`{"name":"A"}`: "/name", `{"name":"Adelaide"}`: "/name", `{"name":7}`: "/name", `{"name":null}`: "/name",
		`{"age":17}`: "/age", `{"age":18.5}`: "/age", `{"score":101}`: "/score", `{"ok":"true"}`: "/ok", `{"colour":"b"}`: "/colour",
		`{"titled":"One"}`: "/titled", `{"named":"A"}`: "/named", `{"several":[]}`: "/several", `{"several":["x","y","z"]}`: "/several",
		`{"several":["w"]}`: "/several", `{"titles":["P"]}`: "/titles", `{"step":7}`: "/step", `{"code":"A1"}`: "/code", `{"code":7}`: "/code", `{"other":1}`: "other",
	} {
		_, err := p.Complete(mcp.Raw(content))
		var wrong *mcp.AnswerError
		if !errors.As(err, &wrong) || !slices.ContainsFunc(wrong.Problems, func(s string) bool { return strings.Contains(s, problem) }) {
			t.Errorf("Complete(%s): %v, want a problem with %s", content, err, problem)
		}
	}
}

// A client shows a form that has more than the specification knows.
func TestFieldsOfPatientForm(t *testing.T) {
	fields, err := (&mcp.ElicitParams{RequestedSchema: mcp.Raw(everyField)}).Fields()
	if err != nil || len(fields) != 14 {
		t.Errorf("%d fields, %v", len(fields), err)
	}
}

// Formats bind where a form has nothing but what forms have.
func TestElicitParamsCompleteFormats(t *testing.T) {
	for format, values := range map[string][2]string{
		"email": {"a@b.example", "nobody"}, "uri": {"x://y", "y"}, "date": {"2026-07-28", "28.7.2026"}, "date-time": {"2026-07-28T00:00:00Z", "2026-07-28"},
	} {
		p := &mcp.ElicitParams{RequestedSchema: mcp.Raw(`{"type":"object","properties":{"v":{"type":"string","format":"` + format + `"},"t":{"type":"string","oneOf":[{"const":"1","title":"One"}]}}}`)}
		if _, err := p.Complete(mcp.Raw(`{"v":"` + values[0] + `"}`)); err != nil {
			t.Errorf("%s %s: %v", format, values[0], err)
		}
		if _, err := p.Complete(mcp.Raw(`{"v":"` + values[1] + `"}`)); err == nil {
			t.Errorf("%s %s: no error", format, values[1])
		}
	}
	if _, err := (&mcp.ElicitParams{}).Complete(nil); err == nil {
		t.Error("Complete without a form: no error")
	}
}
