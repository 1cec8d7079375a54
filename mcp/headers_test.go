package mcp_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/google/go-cmp/cmp"
)

func TestHeaderValue(t *testing.T) {
	for _, tt := range []struct{ value, encoded string }{
		// The examples of the specification.
		{"us-west1", "us-west1"},
		{"Hello, 世界", "=?base64?SGVsbG8sIOS4lueVjA==?="},
		{" padded ", "=?base64?IHBhZGRlZCA=?="},
		{"line1\nline2", "=?base64?bGluZTEKbGluZTI=?="},
		{"=?base64?literal?=", "=?base64?PT9iYXNlNjQ/bGl0ZXJhbD89?="},
		// Edges.
		{"", ""},
		{"a\tb c", "a\tb c"},
		{"\ttab", "=?base64?CXRhYg==?="},
		{"=?BASE64?QQ==?=", "=?BASE64?QQ==?="},
		{"=?base64?open", "=?base64?open"},
		{"=?base64?=", "=?base64?PT9iYXNlNjQ/PQ==?="}, // the two sentinels share a character
		{"\x7f", "=?base64?fw==?="},
	} {
		if got := mcp.EncodeHeaderValue(tt.value); got != tt.encoded {
			t.Errorf("EncodeHeaderValue(%q) = %q, want %q", tt.value, got, tt.encoded)
		}
		if got, ok := mcp.DecodeHeaderValue(tt.encoded); !ok || got != tt.value {
			t.Errorf("DecodeHeaderValue(%q) = %q, %v, want %q", tt.encoded, got, ok, tt.value)
		}
	}
	for _, bad := range []string{"é", "a\nb", " a", "=?base64?=", "=?base64?QQ?=", "=?base64?Q Q=?=", "=?base64?QR==?=", "=?base64?Q\nQ==?="} {
		if got, ok := mcp.DecodeHeaderValue(bad); ok {
			t.Errorf("DecodeHeaderValue(%q) = %q, want it refused", bad, got)
		}
	}
}

func TestCompileHeaderParamsRefuses(t *testing.T) {
	for name, schema := range map[string]string{
		"empty":               `{"properties":{"a":{"type":"string","x-mcp-header":""}}}`,
		"not a string":        `{"properties":{"a":{"type":"string","x-mcp-header":1}}}`,
		"space":               `{"properties":{"a":{"type":"string","x-mcp-header":"A B"}}}`,
		"colon":               `{"properties":{"a":{"type":"string","x-mcp-header":"A:"}}}`,
		"line break":          `{"properties":{"a":{"type":"string","x-mcp-header":"A\r\nB"}}}`,
		"not ASCII":           `{"properties":{"a":{"type":"string","x-mcp-header":"é"}}}`,
		"twice":               `{"properties":{"a":{"type":"string","x-mcp-header":"A"},"b":{"type":"string","x-mcp-header":"a"}}}`,
		"number":              `{"properties":{"a":{"type":"number","x-mcp-header":"A"}}}`,
		"object":              `{"properties":{"a":{"type":"object","x-mcp-header":"A"}}}`,
		"array":               `{"properties":{"a":{"type":"array","x-mcp-header":"A"}}}`,
		"null":                `{"properties":{"a":{"type":"null","x-mcp-header":"A"}}}`,
		"no type":             `{"properties":{"a":{"x-mcp-header":"A"}}}`,
		"several types":       `{"properties":{"a":{"type":["string","number"],"x-mcp-header":"A"}}}`,
		"root":                `{"type":"string","x-mcp-header":"A"}`,
		"items":               `{"properties":{"a":{"type":"array","items":{"type":"string","x-mcp-header":"A"}}}}`,
		"properties of items": `{"properties":{"a":{"items":{"properties":{"b":{"type":"string","x-mcp-header":"A"}}}}}}`,
		"anyOf":               `{"anyOf":[{"properties":{"a":{"type":"string","x-mcp-header":"A"}}}]}`,
		"not":                 `{"not":{"properties":{"a":{"type":"string","x-mcp-header":"A"}}}}`,
		"then":                `{"then":{"properties":{"a":{"type":"string","x-mcp-header":"A"}}}}`,
		"definition":          `{"$defs":{"d":{"type":"string","x-mcp-header":"A"}}}`,
		"pattern":             `{"patternProperties":{"d":{"type":"string","x-mcp-header":"A"}}}`,
		"unknown keyword":     `{"x-other":[[{"x-mcp-header":"A"}]]}`,
		"not JSON":            `{"properties":`,
	} {
		if p, err := mcp.CompileHeaderParams([]byte(schema)); err == nil || p != nil {
			t.Errorf("%s: CompileHeaderParams(%s) = %v, %v, want an error", name, schema, p, err)
		}
	}
}

func TestCompileHeaderParamsWithout(t *testing.T) {
	for name, schema := range map[string]string{
		"no schema":           ``,
		"boolean":             `true`,
		"no annotation":       `{"type":"object","properties":{"a":{"type":"string"}}}`,
		"a property's name":   `{"properties":{"x-mcp-header":{"type":"string"}}}`,
		"a definition's name": `{"$defs":{"x-mcp-header":{"type":"string"}}}`,
		"data":                `{"default":{"x-mcp-header":1},"enum":[{"x-mcp-header":1}],"const":{"x-mcp-header":1}}`,
	} {
		if p, err := mcp.CompileHeaderParams([]byte(schema)); p != nil || err != nil {
			t.Errorf("%s: CompileHeaderParams(%s) = %v, %v, want nil", name, schema, p, err)
		}
	}
	var none *mcp.HeaderParams
	none.Each([]byte(`{}`), func(name, _ string) { t.Errorf("no parameters have the header %s", name) })
	if err := none.Check(map[string][]string{"Mcp-Param-A": {"x"}}, nil); err != nil {
		t.Errorf("Check without parameters: %v", err)
	}
}

const mirrored = `{"type":"object","properties":{
	"region":{"type":"string","x-mcp-header":"REGION"},
	"limit":{ "x-mcp-header":"row-limit", "type":"integer" },
	"dry":{"type":"boolean","x-mcp-header":"dry"},
	"where":{"type":"object","properties":{"zone":{"type":"string","x-mcp-header":"zone"}}},
	"query":{"type":"string"}}}`

func TestHeaderParamsEach(t *testing.T) {
	p, err := mcp.CompileHeaderParams([]byte(mirrored))
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, args string
		want       map[string]string
	}{
		{"all", `{"region":"us west","limit":-7,"dry":true,"where":{"zone":"ä"},"query":"q"}`, map[string]string{
			"Mcp-Param-Region": "us west", "Mcp-Param-Row-Limit": "-7", "Mcp-Param-Dry": "true", "Mcp-Param-Zone": "=?base64?w6Q=?=",
		}},
		{"null and absent", `{"region":null,"where":{}}`, map[string]string{}},
		{"no arguments", ``, map[string]string{}},
		{"not where expected", `{"where":"zone","zone":"x"}`, map[string]string{}},
		{"spaced", "{ \"region\" : \"a\" ,\n\"limit\":\t4 }", map[string]string{"Mcp-Param-Region": "a", "Mcp-Param-Row-Limit": "4"}},
		{"integers in other dress", `{"limit":4.20e1}`, map[string]string{"Mcp-Param-Row-Limit": "42"}},
		{"minus zero", `{"limit":-0.0}`, map[string]string{"Mcp-Param-Row-Limit": "0"}},
		{"empty string", `{"region":""}`, map[string]string{"Mcp-Param-Region": ""}},
		{"wrong types", `{"region":["a"],"limit":{},"dry":"yes"}`, map[string]string{"Mcp-Param-Dry": "yes"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := map[string]string{}
			p.Each([]byte(tt.args), func(name, value string) { got[name] = value })
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("headers of %s (-want +got):\n%s", tt.args, diff)
			}
		})
	}
}

func TestHeaderParamsCheck(t *testing.T) {
	p, err := mcp.CompileHeaderParams([]byte(mirrored))
	if err != nil {
		t.Fatal(err)
	}
	header := func(kv ...string) map[string][]string {
		h := map[string][]string{}
		for i := 0; i < len(kv); i += 2 {
			h[kv[i]] = append(h[kv[i]], kv[i+1])
		}
		return h
	}
	for _, tt := range []struct {
		name, args string
		header     map[string][]string
		ok         bool
	}{
		{"same", `{"region":"eu"}`, header("Mcp-Param-Region", "eu"), true},
		{"encoded without need", `{"region":"eu"}`, header("Mcp-Param-Region", "=?base64?ZXU=?="), true},
		{"unknown parameter", `{}`, header("Mcp-Param-Other", "x"), true},
		{"both absent", `{"region":null}`, nil, true},
		{"missing", `{"region":"eu"}`, nil, false},
		{"of a null", `{"region":null}`, header("Mcp-Param-Region", "null"), false},
		{"of nothing", ``, header("Mcp-Param-Region", ""), false},
		{"other value", `{"region":"eu"}`, header("Mcp-Param-Region", "us"), false},
		{"other case", `{"region":"eu"}`, header("Mcp-Param-Region", "EU"), false},
		{"twice", `{"region":"eu"}`, header("Mcp-Param-Region", "eu", "Mcp-Param-Region", "eu"), false},
		{"broken Base64", `{"region":"eu"}`, header("Mcp-Param-Region", "=?base64?ZXU?="), false},
		{"raw bytes", `{"region":"ä"}`, header("Mcp-Param-Region", "ä"), false},
		{"integer by value", `{"limit":42}`, header("Mcp-Param-Row-Limit", "42.0"), true},
		{"integer in the body by value", `{"limit":4.2e1}`, header("Mcp-Param-Row-Limit", "42"), true},
		{"string that looks like a number", `{"region":"42"}`, header("Mcp-Param-Region", "42.0"), false},
		{"leading zero", `{"limit":42}`, header("Mcp-Param-Row-Limit", "042"), false},
		{"other integer", `{"limit":42}`, header("Mcp-Param-Row-Limit", "43"), false},
		{"largest safe", `{"limit":9007199254740991}`, header("Mcp-Param-Row-Limit", "9007199254740991"), true},
		{"beyond safe", `{"limit":9007199254740992}`, header("Mcp-Param-Row-Limit", "9007199254740992"), false},
		{"huge", `{"limit":1e999999999}`, header("Mcp-Param-Row-Limit", "1e999999999"), false},
		{"boolean", `{"dry":false}`, header("Mcp-Param-Dry", "false"), true},
		{"boolean in other case", `{"dry":false}`, header("Mcp-Param-Dry", "False"), false},
		{"nested", `{"where":{"zone":"z"}}`, header("Mcp-Param-Zone", "z"), true},
		{"object is left to the schema", `{"region":{}}`, nil, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := p.Check(tt.header, []byte(tt.args))
			if (err == nil) != tt.ok {
				t.Fatalf("Check(%v, %s) = %v, want ok %v", tt.header, tt.args, err, tt.ok)
			}
			if err != nil && !errors.Is(err, &mcp.Error{Code: mcp.CodeHeaderMismatch}) {
				t.Errorf("Check: code %d, want %d", err.Code, mcp.CodeHeaderMismatch)
			}
		})
	}
}

func FuzzHeaderValue(f *testing.F) {
	for _, s := range []string{"", "plain", " x", "ä", "=?base64?QQ==?=", "=?base64?=", "a\r\nb", "\x00"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		encoded := mcp.EncodeHeaderValue(s)
		if strings.ContainsAny(encoded, "\r\n\x00") || strings.Trim(encoded, " \t") != encoded {
			t.Fatalf("EncodeHeaderValue(%q) = %q is no header value", s, encoded)
		}
		if got, ok := mcp.DecodeHeaderValue(encoded); !ok || got != s {
			t.Fatalf("DecodeHeaderValue(%q) = %q, %v, want %q", encoded, got, ok, s)
		}
		if got, ok := mcp.DecodeHeaderValue(s); !ok && got != "" {
			t.Fatalf("DecodeHeaderValue(%q) = %q with false", s, got)
		}
	})
}

func FuzzCompileHeaderParams(f *testing.F) {
	f.Add([]byte(mirrored), []byte(`{"region":"eu","limit":1,"where":{"zone":" z"}}`))
	f.Add([]byte(`{"items":{"x-mcp-header":"A"}}`), []byte(`{}`))
	f.Fuzz(func(t *testing.T, schema, args []byte) {
		p, err := mcp.CompileHeaderParams(schema)
		if err != nil || p == nil {
			return
		}
		// What a client makes of arguments is what a server accepts for them.
		header := map[string][]string{}
		p.Each(args, func(name, value string) { header[name] = append(header[name], value) })
		if err := p.Check(header, args); err != nil && !strings.Contains(err.Message, "safe range") {
			t.Fatalf("headers %v of %s: %v", header, args, err)
		}
	})
}
