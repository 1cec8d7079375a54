package mcp_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/mcp/jsonrpc"
	"github.com/google/go-cmp/cmp"
)

type place struct {
	City string `json:"city" minLength:"1" maxLength:"5"`
	Zip  string `json:"zip,omitempty" pattern:"^[0-9]+$"`
}

type everything struct {
	Name  string            `json:"name" jsonschema:"who to greet"`
	Level string            `json:"level" enum:"low,high" default:"low"`
	Count int               `json:"count" minimum:"1" maximum:"9" default:"3"`
	Ratio float64           `json:"ratio,omitempty" exclusiveMinimum:"0" exclusiveMaximum:"1"`
	Small int8              `json:"small,omitempty"`
	Size  uint              `json:"size,omitempty"`
	When  time.Time         `json:"when,omitzero"`
	Mail  string            `json:"mail,omitempty" format:"email"`
	Tags  []string          `json:"tags,omitempty" enum:"a,b" maxItems:"2"`
	Blob  []byte            `json:"blob,omitempty"`
	Label map[string]string `json:"label,omitempty"`
	Any   any               `json:"any,omitempty"`
	Maybe *int              `json:"maybe,omitempty"`
	Place *place            `json:"place,omitempty"`
	On    bool              `json:"on,omitempty"`
	_     int
}

// register adds a tool that returns its decoded input, and gives the text of a call's result.
func echoing[In any](t *testing.T) func(args string) string {
	t.Helper()
	s := mcp.NewServer("s", "1", nil)
	must(t, mcp.AddTool(s, mcp.Tool{Name: "t"}, func(_ context.Context, _ *mcp.Call, in In) (string, error) {
		b, err := json.Marshal(in)
		return string(b), err
	}))
	return func(args string) string {
		t.Helper()
		body := handle(t, s, "tools/call", `{"name":"t","arguments":`+args+`}`)
		var r mcp.ToolResult
		must(t, r.UnmarshalJSON([]byte(body)))
		if r.IsError {
			return "error: " + r.Text()
		}
		return r.Text()
	}
}

func TestInferredSchema(t *testing.T) {
	s := mcp.NewServer("s", "1", nil)
	must(t, mcp.AddTool(s, mcp.Tool{Name: "t", Title: "T"}, func(context.Context, *mcp.Call, everything) ([]place, error) { return nil, nil }))
	const input = `{"type":"object","properties":{` +
		`"name":{"type":"string","description":"who to greet"},` +
		`"level":{"type":"string","enum":["low","high"],"default":"low"},` +
		`"count":{"type":"integer","minimum":1,"maximum":9,"default":3},` +
		`"ratio":{"type":"number","exclusiveMinimum":0,"exclusiveMaximum":1},` +
		`"small":{"type":"integer","minimum":-128,"maximum":127},` +
		`"size":{"type":"integer","minimum":0},` +
		`"when":{"type":"string","format":"date-time"},` +
		`"mail":{"type":"string","format":"email"},` +
		`"tags":{"type":"array","items":{"type":"string","enum":["a","b"]},"maxItems":2},` +
		`"blob":{"type":"string","contentEncoding":"base64"},` +
		`"label":{"type":"object","additionalProperties":{"type":"string"}},` +
		`"any":{},` +
		`"maybe":{"type":["integer","null"]},` +
		`"place":{"type":["object","null"],"properties":{"city":{"type":"string","minLength":1,"maxLength":5},"zip":{"type":"string","pattern":"^[0-9]+$"}},"required":["city"],"additionalProperties":false},` +
		`"on":{"type":"boolean"}},"required":["name"],"additionalProperties":false}`
	const output = `{"type":"array","items":{"type":"object","properties":{"city":{"type":"string","minLength":1,"maxLength":5},"zip":{"type":"string","pattern":"^[0-9]+$"}},"required":["city"],"additionalProperties":false}}`
	want := `{"tools":[{"name":"t","title":"T","inputSchema":` + input + `,"outputSchema":` + output + `}]}`
	if diff := cmp.Diff(want, handle(t, s, "tools/list", `{}`)); diff != "" {
		t.Errorf("tools/list (-want +got):\n%s", diff)
	}
}

func TestTypedValidation(t *testing.T) {
	call := echoing[everything](t)
	const bad = "error: Invalid arguments for tool t:\n- "
	tests := []struct{ name, args, want string }{
		{"defaults", `{"name":"x"}`, `"name":"x","level":"low","count":3`},
		{"defaults beside given ones", `{"count":4, "name":"x"}`, `"name":"x","level":"low","count":4`},
		{"escaped name of a member", `{"n\u0061me":"x"}`, `"name":"x"`},
		{"required", `{}`, bad + "/name: is required"},
		{"several", `{"level":"mid","count":10}`, bad + `/level: must be one of "low", "high"` + "\n- /count: must be at most 9\n- /name: is required"},
		{"wrong type", `{"name":1}`, bad + "/name: must be string, is integer"},
		{"null", `{"name":null}`, bad + "/name: must be string, is null"},
		{"null allowed", `{"name":"x","maybe":null,"place":null}`, `"name":"x"`},
		{"nullable", `{"name":"x","maybe":"y"}`, bad + "/maybe: must be null or integer, is string"},
		{"unknown member", `{"name":"x","NAME":"y"}`, bad + "/NAME: is not a known property"},
		{"below minimum", `{"name":"x","count":0}`, bad + "/count: must be at least 1"},
		{"exclusive bounds", `{"name":"x","ratio":1}`, bad + "/ratio: must be less than 1"},
		{"exclusive lower bound", `{"name":"x","ratio":0}`, bad + "/ratio: must be greater than 0"},
		{"fraction for an integer", `{"name":"x","count":1.5}`, bad + "/count: must be integer, is number"},
		{"integer written as 2.0", `{"name":"x","count":2.0}`, `"count":2`},
		{"integer written as 2e0 before a default", `{"count":2e0,"name":"x"}`, `"level":"low","count":2`},
		{"range of a Go type", `{"name":"x","small":128}`, bad + "/small: must be at most 127"},
		{"beyond every integer", `{"name":"x","size":99999999999999999999}`, bad + "/size: has a value that this tool cannot take"},
		{"unsigned", `{"name":"x","size":-1}`, bad + "/size: must be at least 0"},
		{"time", `{"name":"x","when":"2026-01-02T03:04:05Z"}`, `"when":"2026-01-02T03:04:05Z"`},
		{"bad time", `{"name":"x","when":"yesterday"}`, bad + "/when: must be a valid date-time"},
		{"format", `{"name":"x","mail":"a@"}`, bad + "/mail: must be a valid email"},
		{"items", `{"name":"x","tags":["a","c"]}`, bad + `/tags/1: must be one of "a", "b"`},
		{"too many items", `{"name":"x","tags":["a","b","a"]}`, bad + "/tags: must have at most 2 items"},
		{"escapes in a choice", `{"name":"x","tags":["\u0061"]}`, `"tags":["a"]`},
		{"base64", `{"name":"x","blob":"aGk="}`, `"blob":"aGk="`},
		{"bad base64", `{"name":"x","blob":"*"}`, bad + "/blob: has a value that this tool cannot take"},
		{"map", `{"name":"x","label":{"a/b":1}}`, bad + "/label/a~1b: must be string, is integer"},
		{"nested", `{"name":"x","place":{"zip":"a"}}`, bad + "/place/zip: must match the pattern ^[0-9]+$\n- /place/city: is required"},
		{"length in characters", `{"name":"x","place":{"city":"äöüßé"}}`, `"city":"äöüßé"`},
		{"too long", `{"name":"x","place":{"city":"123456"}}`, bad + "/place/city: must be at most 5 characters long"},
		{"too short", `{"name":"x","place":{"city":""}}`, bad + "/place/city: must be at least 1 characters long"},
		{"anything", `{"name":"x","any":[{"a":[]}]}`, `"any":[{"a":[]}]`},
		{"boolean", `{"name":"x","on":"true"}`, bad + "/on: must be boolean, is string"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := call(tt.args)
			if strings.HasPrefix(tt.want, "error") && got != tt.want || !strings.Contains(got, tt.want) {
				t.Errorf("call(%s):\ngot  %s\nwant %s", tt.args, got, tt.want)
			}
		})
	}
}

func TestAtMostTenViolations(t *testing.T) {
	got := echoing[struct{}](t)(`{"a":1,"b":1,"c":1,"d":1,"e":1,"f":1,"g":1,"h":1,"i":1,"j":1,"k":1,"l":1}`)
	if n := strings.Count(got, "\n"); n != 10 {
		t.Errorf("%d violations reported: %s", n, got)
	}
}

func TestManyRequired(t *testing.T) {
	schema, args := `{"type":"object","properties":{`, `{`
	var required strings.Builder
	for i := range 70 {
		schema += fmt.Sprintf(`"p%d":{"type":"integer"},`, i)
		required.WriteString(fmt.Sprintf(`"p%d",`, i))
		args += fmt.Sprintf(`"p%d":1,`, i)
	}
	schema = strings.TrimSuffix(schema, ",") + `},"required":[` + strings.TrimSuffix(required.String(), ",") + `]}`
	s := mcp.NewServer("s", "1", nil)
	must(t, s.AddRawTool(mcp.Tool{Name: "t", InputSchema: mcp.Raw(schema)}, func(context.Context, *mcp.Call, []byte) (*mcp.ToolResult, error) { return nil, nil }))
	if got, want := handle(t, s, "tools/call", `{"name":"t","arguments":`+strings.TrimSuffix(args, ",")+`}}`), `{"content":[]}`; got != want {
		t.Errorf("all given: got %s, want %s", got, want)
	}
	args = strings.Replace(args, `"p69":1,`, "", 1)
	if got := handle(t, s, "tools/call", `{"name":"t","arguments":`+strings.TrimSuffix(args, ",")+`}}`); !strings.Contains(got, "/p69: is required") {
		t.Errorf("one missing: got %s", got)
	}
}

type (
	cycle  struct{ Next *cycle }
	cycle2 struct{ List []cycle2 }
	cycle3 struct{ M map[string]*cycle3 }
)

func TestToolsThatAreRefused(t *testing.T) {
	s := mcp.NewServer("s", "1", nil)
	raw := func(schema string) error {
		return s.AddRawTool(mcp.Tool{Name: "t", InputSchema: mcp.Raw(schema)}, func(context.Context, *mcp.Call, []byte) (*mcp.ToolResult, error) { return nil, nil })
	}
	tests := []struct {
		name string
		err  error
		want string
	}{
		{"no name", addIn[struct{}](s, ""), "tool name"},
		{"space in a name", addIn[struct{}](s, "a b"), "tool name"},
		{"long name", addIn[struct{}](s, strings.Repeat("a", 129)), "tool name"},
		{"number as input", addIn[int](s, "t"), "not a struct or a map"},
		{"time as input", addIn[time.Time](s, "t"), "does not encode to an object"},
		{"cycle", addIn[cycle](s, "t"), "contains itself"},
		{"cycle through a slice", addIn[cycle2](s, "t"), "contains itself"},
		{"cycle through a map", addIn[cycle3](s, "t"), "contains itself"},
		{"channel", addIn[struct{ C chan int }](s, "t"), "no JSON form"},
		{"duration", addIn[struct{ D time.Duration }](s, "t"), "time.Duration"},
		{"map of integers", addIn[map[int]string](s, "t"), "must be strings"},
		{"minimum of a string", addIn[struct {
			S string `minimum:"1"`
		}](s, "t"), "tag minimum does not apply to string"},
		{"minimum that is no number", addIn[struct {
			S int `minimum:"x"`
		}](s, "t"), "not a number"},
		{"bad pattern", addIn[struct {
			S string `pattern:"("`
		}](s, "t"), "tag pattern"},
		{"default that is no choice", addIn[struct {
			S string `enum:"a,b" default:"c"`
		}](s, "t"), "default of S"},
		{"default that is no JSON", addIn[struct {
			S int `default:"c"`
		}](s, "t"), "tag default"},
		{"header of a number", addIn[struct {
			S float64 `x-mcp-header:"S"`
		}](s, "t"), "x-mcp-header"},
		{"same name twice", addIn[struct {
			place
			City int `json:"city"`
		}](s, "t"), "two fields"},
		{"no schema", raw(``), "input"},
		{"no JSON", raw(`{`), "input"},
		{"duplicate member", raw(`{"type":"object","type":"object"}`), "input"},
		{"not an object", raw(`[]`), "not an object"},
		{"no type", raw(`{}`), "root"},
		{"array at the root", raw(`{"type":"array"}`), "root"},
		{"invalid schema", raw(`{"type":"object","minProperties":-1}`), "input"},
		{"unknown dialect", raw(`{"$schema":"https://example.com/s","type":"object"}`), "dialect"},
		{"file reference", raw(`{"type":"object","$ref":"file:///etc/passwd"}`), "not followed"},
		{"network reference", raw(`{"type":"object","properties":{"a":{"$ref":"http://127.0.0.1/s"}}}`), "not followed"},
		{"relative reference", raw(`{"type":"object","$ref":"other.json"}`), "not followed"},
		{"too deep", raw(`{"type":"object","properties":` + strings.Repeat(`{"a":`, 100) + `{}` + strings.Repeat(`}`, 100) + `}`), "input"},
	}
	for _, tt := range tests {
		if tt.err == nil || !strings.Contains(tt.err.Error(), tt.want) {
			t.Errorf("%s: got error %v, want one with %q", tt.name, tt.err, tt.want)
		}
	}
}

func addIn[In any](s *mcp.Server, name string) error {
	return mcp.AddTool(s, mcp.Tool{Name: name}, func(context.Context, *mcp.Call, In) (string, error) { return "", nil })
}

func TestHandwrittenSchemas(t *testing.T) {
	tests := []struct{ name, schema, args, want string }{
		{"draft 7 tuple", `{"$schema":"http://json-schema.org/draft-07/schema#","type":"object","properties":{"a":{"type":"array","items":[{"type":"string"}]}}}`, `{"a":[1]}`, "/a/0: got number, want string"},
		{"2020-12 tuple", `{"type":"object","properties":{"a":{"type":"array","prefixItems":[{"type":"string"}]}}}`, `{"a":[1]}`, "/a/0: got number, want string"},
		{"oneOf", `{"type":"object","oneOf":[{"required":["a"]},{"required":["b"]}]}`, `{"a":1}`, ""},
		{"oneOf fails", `{"type":"object","oneOf":[{"required":["a"]},{"required":["b"]}]}`, `{"a":1,"b":1}`, "oneOf"},
		{"local reference", `{"type":"object","properties":{"a":{"$ref":"#/$defs/n"}},"$defs":{"n":{"type":"integer"}}}`, `{"a":"x"}`, "/a: got string, want integer"},
		{"recursive", `{"type":"object","properties":{"next":{"$ref":"#"}},"additionalProperties":false}`, `{"next":{"next":{"x":1}}}`, "/next/next"},
		{"refers to itself", `{"type":"object","$ref":"#"}`, `{}`, "cycle"},
		{"format is an annotation", `{"type":"object","properties":{"a":{"type":"string","format":"email"}}}`, `{"a":"x"}`, ""},
		{"default is an annotation", `{"type":"object","properties":{"a":{"type":"string","default":"d"}}}`, `{}`, ""},
		{"const", `{"type":"object","properties":{"a":{"const":1}}}`, `{"a":1.0}`, ""},
		{"const fails", `{"type":"object","properties":{"a":{"const":1}}}`, `{"a":2}`, "/a: must be one of 1"},
		{"closed", `{"type":"object","additionalProperties":false}`, `{"a":2}`, "/a: is not a known property"},
		{"required elsewhere", `{"type":"object","required":["a"]}`, `{"b":2}`, "/a: is required"},
		{"counts", `{"type":"object","minProperties":1,"maxProperties":1}`, `{}`, "at least 1 properties"},
		{"uniqueItems", `{"type":"object","properties":{"a":{"type":"array","uniqueItems":true}}}`, `{"a":[1,1]}`, "/a: "},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := mcp.NewServer("s", "1", nil)
			var seen string
			must(t, s.AddRawTool(mcp.Tool{Name: "t", InputSchema: mcp.Raw(tt.schema)}, func(_ context.Context, _ *mcp.Call, args []byte) (*mcp.ToolResult, error) {
				seen = string(args)
				return &mcp.ToolResult{Content: []mcp.Content{mcp.Text("called")}}, nil
			}))
			var r mcp.ToolResult
			must(t, r.UnmarshalJSON([]byte(handle(t, s, "tools/call", `{"name":"t","arguments":`+tt.args+`}`))))
			if r.IsError != (tt.want != "") || !strings.Contains(r.Text(), tt.want) {
				t.Errorf("got isError %v %q, want %q", r.IsError, r.Text(), tt.want)
			}
			if !r.IsError && seen != tt.args {
				t.Errorf("the function got %s, want %s", seen, tt.args)
			}
			list := jsonrpc.Get([]byte(handle(t, s, "tools/list", `{}`)), "tools")
			if !strings.Contains(string(list), tt.schema) {
				t.Errorf("the schema is not verbatim in %s", list)
			}
		})
	}
}

func TestCallToolErrors(t *testing.T) {
	s := mcp.NewServer("s", "1", nil)
	fail := func(name string, err error) {
		must(t, mcp.AddTool(s, mcp.Tool{Name: name}, func(context.Context, *mcp.Call, any) (string, error) { return "", err }))
	}
	fail("plain", errors.New(`no "disk"`))
	fail("wire", fmt.Errorf("wrapped: %w", &mcp.Error{Code: -31000, Message: "denied", Data: []byte(`{"a":1}`)}))
	tests := []struct{ name, params, want string }{
		{"unknown", `{"name":"x"}`, errorText("-32602", "Unknown tool: x")},
		{"long unknown", `{"name":"` + strings.Repeat("x", 200) + `"}`, errorText("-32602", "Unknown tool: "+strings.Repeat("x", 128)+"...")},
		{"plain", `{"name":"plain"}`, `{"content":[{"type":"text","text":"no \"disk\""}],"isError":true}`},
		{"wire", `{"name":"wire"}`, `{"jsonrpc":"2.0","id":1,"error":{"code":-31000,"message":"denied","data":{"a":1}}}`},
	}
	for _, tt := range tests {
		if got := handle(t, s, "tools/call", tt.params); got != tt.want {
			t.Errorf("%s: got %s, want %s", tt.name, got, tt.want)
		}
	}
	req := request(t, "tools/call", `{"name":"plain"}`)
	req.Arguments = []byte(`[]`)
	if _, err := s.Handle(t.Context(), req, mcp.Discard); !errors.Is(err, &mcp.Error{Code: jsonrpc.CodeInvalidParams}) {
		t.Errorf("array as arguments: got %v, want -32602", err)
	}
}

func TestCancelledToolIsAnError(t *testing.T) {
	s := mcp.NewServer("s", "1", nil)
	must(t, mcp.AddTool(s, mcp.Tool{Name: "t"}, func(ctx context.Context, _ *mcp.Call, _ any) (string, error) {
		<-ctx.Done()
		return "", fmt.Errorf("query: %w", ctx.Err())
	}))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Handle(ctx, request(t, "tools/call", `{"name":"t"}`), mcp.Discard); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
}

func TestOutputs(t *testing.T) {
	s := mcp.NewServer("s", "1", nil)
	addOut(t, s, "text", "a\nb")
	addOut(t, s, "nothing", struct{}{})
	addOut(t, s, "struct", place{City: "Bonn"})
	addOut(t, s, "invalid", place{City: ""})
	addOut(t, s, "slice", []int(nil))
	addOut(t, s, "map", map[string]int{"b": 1, "a": 2, "c": 3})
	addOut(t, s, "stray-byte", echoOut{"a\xffb"})
	addOut(t, s, "not-a-number", math.NaN())
	addOut(t, s, "hole", &mcp.ToolResult{Content: []mcp.Content{nil}})
	addOut(t, s, "number", 4.5)
	addOut[any](t, s, "any", map[string]bool{"a": true})
	addOut(t, s, "full", &mcp.ToolResult{
		Content:    []mcp.Content{mcp.Text("x"), &mcp.ImageContent{Data: []byte("hi"), MIMEType: "image/png"}},
		Structured: mcp.Raw(`[1]`), Meta: mcp.Raw(`{"com.example/k":1}`),
	})
	addOut(t, s, "broken", &mcp.ToolResult{Structured: mcp.Raw(`[1`)})
	addOut[*mcp.ToolResult](t, s, "nil", nil)
	addOut(t, s, "failed", mcp.ErrorResult("no"))
	tests := []struct{ tool, want string }{
		{"text", `{"content":[{"type":"text","text":"a\nb"}]}`},
		{"nothing", `{"content":[]}`},
		{"struct", `{"content":[{"type":"text","text":"{\"city\":\"Bonn\"}"}],"structuredContent":{"city":"Bonn"}}`},
		{"invalid", `{"content":[{"type":"text","text":"Tool invalid returned an invalid result:\n- /city: must be at least 1 characters long"}],"isError":true}`},
		{"slice", `{"content":[{"type":"text","text":"[]"}],"structuredContent":[]}`},
		{"map", `{"content":[{"type":"text","text":"{\"a\":2,\"b\":1,\"c\":3}"}],"structuredContent":{"a":2,"b":1,"c":3}}`},
		{"stray-byte", "{\"content\":[{\"type\":\"text\",\"text\":\"{\\\"text\\\":\\\"a\ufffdb\\\"}\"}],\"structuredContent\":{\"text\":\"a\ufffdb\"}}"},
		{"not-a-number", `{"content":[{"type":"text","text":"Tool not-a-number returned a result that JSON cannot hold"}],"isError":true}`},
		{"hole", `{"content":[{"type":"text","text":"Tool hole returned a result that JSON cannot hold"}],"isError":true}`},
		{"number", `{"content":[{"type":"text","text":"4.5"}],"structuredContent":4.5}`},
		{"any", `{"content":[{"type":"text","text":"{\"a\":true}"}],"structuredContent":{"a":true}}`},
		{"full", `{"content":[{"type":"text","text":"x"},{"type":"image","data":"aGk=","mimeType":"image/png"}],"structuredContent":[1]}`},
		{"broken", `{"content":[{"type":"text","text":"Tool broken returned structured content that is not valid JSON"}],"isError":true}`},
		{"nil", `{"content":[]}`},
		{"failed", `{"content":[{"type":"text","text":"no"}],"isError":true}`},
	}
	for _, tt := range tests {
		if got := handle(t, s, "tools/call", `{"name":"`+tt.tool+`"}`); got != tt.want {
			t.Errorf("%s:\ngot  %s\nwant %s", tt.tool, got, tt.want)
		}
	}
	res, err := s.Handle(t.Context(), request(t, "tools/call", `{"name":"full"}`), mcp.Discard)
	if err != nil || string(jsonrpc.Get(jsonrpc.Get(res.Body, "_meta"), "com.example/k")) != "1" {
		t.Errorf("the result's own _meta is lost: %s, %v", res.Body, err)
	}
}

func addOut[Out any](t *testing.T, s *mcp.Server, name string, out Out) {
	t.Helper()
	must(t, mcp.AddTool(s, mcp.Tool{Name: name}, func(context.Context, *mcp.Call, struct{}) (Out, error) { return out, nil }))
}

func TestHeaderParameters(t *testing.T) {
	s := mcp.NewServer("s", "1", nil)
	type in struct {
		Region string `json:"region" x-mcp-header:"Region"`
	}
	must(t, mcp.AddTool(s, mcp.Tool{Name: "t"}, func(_ context.Context, _ *mcp.Call, in in) (string, error) { return in.Region, nil }))
	for _, tt := range []struct {
		name   string
		header map[string][]string
		code   int
	}{
		{"another transport", nil, 0},
		{"same", map[string][]string{"Mcp-Param-Region": {"eu"}}, 0},
		{"different", map[string][]string{"Mcp-Param-Region": {"us"}}, mcp.CodeHeaderMismatch},
		{"missing", map[string][]string{}, mcp.CodeHeaderMismatch},
	} {
		req := request(t, "tools/call", `{"name":"t","arguments":{"region":"eu"}}`)
		req.Header = tt.header
		_, err := s.Handle(t.Context(), req, mcp.Discard)
		if tt.code == 0 && err != nil || tt.code != 0 && !errors.Is(err, &mcp.Error{Code: tt.code}) {
			t.Errorf("%s: got %v, want code %d", tt.name, err, tt.code)
		}
	}
}

type echoIn struct {
	Text string `json:"text" jsonschema:"what to say" minLength:"1" maxLength:"1000"`
	N    int    `json:"n" minimum:"1" maximum:"9" default:"3"`
}

type echoOut struct {
	Text string `json:"text"`
}

func echoServer(t testing.TB) *mcp.Server {
	s := mcp.NewServer("echo", "1.0.0", nil)
	must(t, mcp.AddTool(s, mcp.Tool{Name: "echo"}, func(_ context.Context, _ *mcp.Call, in echoIn) (string, error) { return in.Text, nil }))
	must(t, mcp.AddTool(s, mcp.Tool{Name: "struct"}, func(_ context.Context, _ *mcp.Call, in echoIn) (echoOut, error) { return echoOut{in.Text}, nil }))
	return s
}

// TestCallAllocations keeps the hot path small: a bound, not a goal.
func TestCallAllocations(t *testing.T) {
	s := echoServer(t)
	for tool, limit := range map[string]float64{"echo": 8, "struct": 10} {
		req := request(t, "tools/call", `{"name":"`+tool+`","arguments":{"text":"hello, world","n":5}}`)
		n := testing.AllocsPerRun(200, func() {
			if _, err := s.Handle(t.Context(), req, mcp.Discard); err != nil {
				t.Fatal(err)
			}
		})
		if n > limit {
			t.Errorf("%s: %.0f allocations per call, want at most %.0f", tool, n, limit)
		}
	}
}

func BenchmarkTypedEcho(b *testing.B) {
	s := echoServer(b)
	for _, tool := range []string{"echo", "struct"} {
		b.Run(tool, func(b *testing.B) {
			req := request(b, "tools/call", `{"name":"`+tool+`","arguments":{"text":"hello, world","n":5}}`)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := s.Handle(b.Context(), req, mcp.Discard); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
