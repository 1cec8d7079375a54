// Inside the package: the schemas that matter here are more than any server of
// the scripts has.
package cli

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fairlead-mcp/fairlead/mcp"
)

func TestArguments(t *testing.T) {
	const schema = `{"type": "object", "properties": {
		"s": {"type": "string"}, "i": {"type": "integer"}, "n": {"type": "number"}, "b": {"type": "boolean"},
		"o": {"type": "object"}, "l": {"type": "array", "items": {"type": "string"}}, "m": {"type": "array", "items": {"type": "integer"}},
		"u": {"type": ["integer", "null"]}, "t": {"type": ["string", "null"]}, "any": {}, "odd": true, "ref": {"$ref": "#/$defs/x"}}}`
	for _, c := range []struct {
		name  string
		flags []string
		want  string // empty for an error
	}{
		{"none", nil, `{}`},
		{"string", []string{`s=a "b"`}, `{"s":"a \"b\""}`},
		{"string that looks like a number", []string{"s=1"}, `{"s":"1"}`},
		{"empty string", []string{"s="}, `{"s":""}`},
		{"integer, digit for digit", []string{"i=9007199254740993"}, `{"i":9007199254740993}`},
		{"integer with an exponent", []string{"i=1e3"}, `{"i":1e3}`},
		{"fraction for an integer", []string{"i=1.5"}, ""},
		{"text for an integer", []string{"i=one"}, ""},
		{"hex for an integer", []string{"i=0x10"}, ""},
		{"number", []string{"n=-1.50"}, `{"n":-1.50}`},
		{"boolean", []string{"b=true"}, `{"b":true}`},
		{"yes is no boolean", []string{"b=yes"}, ""},
		{"object", []string{`o={"a":1}`}, `{"o":{"a":1}}`},
		{"object with duplicate members", []string{`o={"a":1,"a":2}`}, ""},
		{"list of one", []string{"l=a"}, `{"l":["a"]}`},
		{"list, repeated", []string{"l=a", "s=x", "l=2"}, `{"l":["a","2"],"s":"x"}`},
		{"list as JSON", []string{`l=["a"]`}, `{"l":["a"]}`},
		{"list of numbers", []string{"m=1", "m=2"}, `{"m":[1,2]}`},
		{"list of numbers with a text", []string{"m=1", "m=b"}, ""},
		{"null or number", []string{"u=null"}, `{"u":null}`},
		{"null or text is text", []string{"t=null"}, `{"t":"null"}`},
		{"any type: JSON if it is", []string{"any=[1]"}, `{"any":[1]}`},
		{"any type: else text", []string{"any=a b"}, `{"any":"a b"}`},
		{"schema true", []string{"odd=1"}, `{"odd":1}`},
		{"reference", []string{"ref=x"}, `{"ref":"x"}`},
		{"not in the schema", []string{"more=1"}, `{"more":1}`},
		{"repeated, no list", []string{"s=a", "s=b"}, ""},
		{"no value", []string{"s"}, ""},
		{"no name", []string{"=a"}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := arguments(&mcp.Tool{Name: "tool", InputSchema: mcp.Raw(schema)}, c.flags)
			if c.want == "" {
				if err == nil || report(t.Output(), err) != exitUsage {
					t.Errorf("arguments(%q): got %s, %v; want wrong usage", c.flags, got, err)
				}
				return
			}
			if err != nil {
				t.Fatalf("arguments(%q): %v", c.flags, err)
			}
			if diff := cmp.Diff(c.want, string(got)); diff != "" {
				t.Errorf("arguments(%q) (-want +got):\n%s", c.flags, diff)
			}
		})
	}
}

func TestPrintable(t *testing.T) {
	for in, want := range map[string]string{
		"plain\ttext\n":         "plain\ttext\n",
		"\x1b]0;title\x07":      `\u001b]0;title\u0007`,
		"\u009b31m":             `\u009b31m`,
		"file\u202egnp.exe":     `file\u202egnp.exe`,
		"back\rover\b":          `back\u000dover\u0008`,
		"Grüße, 世界, \U0001f44b": "Grüße, 世界, \U0001f44b",
	} {
		if got := printable(in); got != want {
			t.Errorf("printable(%q): got %q, want %q", in, got, want)
		}
	}
}

func TestDidYouMean(t *testing.T) {
	known := []string{"demo__echo", "demo__slow"}
	for got, want := range map[string]string{
		"demo__ecko": `, did you mean "demo__echo"?`,
		"DEMO__SLOW": `, did you mean "demo__slow"?`,
		"xyz":        "",
		"":           "",
	} {
		if s := didYouMean(got, known); s != want {
			t.Errorf("didYouMean(%q): got %q, want %q", got, s, want)
		}
	}
}
