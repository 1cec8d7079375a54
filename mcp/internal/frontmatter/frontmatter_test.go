package frontmatter_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/fairlead-mcp/fairlead/mcp/internal/frontmatter"
	"github.com/fairlead-mcp/fairlead/mcp/jsonrpc"
	"github.com/google/go-cmp/cmp"
)

func file(yaml string) []byte { return []byte("---\n" + yaml + "\n---\n\n# Body\n---\n") }

// The values are those that a full YAML 1.2 parser (npm's yaml 2) gives for the same text.
func TestParse(t *testing.T) {
	for _, tt := range []struct{ name, yaml, want string }{
		{"plain", "name: a\ndescription: b c", `{"name":"a","description":"b c"}`},
		{"core schema", "a: 1\nb: 1.0\nc: 0x1F\nd: 0o17\ne: -007\nf: 1e3\ng: .5\nh: +1\ni: 1_000\nj: 2026-01-01\nk: yes\nl: True\nm: ~\nn: Null\no:\np: 1.2.3\nq: 1:30", `{"a":1,"b":1,"c":31,"d":15,"e":-7,"f":1000,"g":0.5,"h":1,"i":"1_000","j":"2026-01-01","k":"yes","l":true,"m":null,"n":null,"o":null,"p":"1.2.3","q":"1:30"}`},
		{"quoted", "a: 'it''s'\nb: \"x\\ty\\u00e4\\x41\"\nc: \"multi\n  line\n\n  text \\\n  joined\"\nd: 'multi\n  line\n\n\n  x'\ne: \"\"", `{"a":"it's","b":"x\tyäA","c":"multi line\ntext joined","d":"multi line\n\nx","e":""}`},
		{"blocks", "a: |\n  one\n   two\n\n  three\n\nb: >\n  folded\n  text\n\n  para\n    more\n  back\nc: |-\n  strip\n\nd: |+\n  keep\n\n\ne: >-\n  x\n  y", `{"a":"one\n two\n\nthree\n","b":"folded text\npara\n  more\nback\n","c":"strip","d":"keep\n\n\n","e":"x y"}`},
		{"folding", "a: >\n\n  lead\n  x\n\n\n  y\n   z\n\n   w\n  v", `{"a":"\nlead x\n\ny\n z\n\n w\nv\n"}`},
		{"given indentation", "a: |2\n    two more\n  x\nb: 1", `{"a":"  two more\nx\n","b":1}`},
		{"empty blocks", "a: |\n\nb: |+\n\nc: >-\n\nd: 1", `{"a":"","b":"\n","c":"","d":1}`},
		{"lists", "list:\n- a\n- b: 1\n  c: 2\n- - x\n  - y\n-\n  z: 1\n-\nafter: 1", `{"list":["a",{"b":1,"c":2},["x","y"],{"z":1},null],"after":1}`},
		{"comments", "a: x # c\nb: # c\n  d: 1\n# c\n  # d\n  e: a#b\nlist:\n  - a # c\n  # c\n  - \"c\" # d", `{"a":"x","b":{"d":1,"e":"a#b"},"list":["a","c"]}`},
		{"flow", "a: [1, two, 'three', {six: 7, eight: , nine}, ]\nb: {x: 1, y: [a, b], 'z': null}\nc: []\nd: {}\ne: [http://x, b:c]", `{"a":[1,"two","three",{"six":7,"eight":null,"nine":null}],"b":{"x":1,"y":["a","b"],"z":null},"c":[],"d":{},"e":["http://x","b:c"]}`},
		{"flow over lines", "a: [\n  1,\n  2 # c\n  ,\n  {b:\n    c}\n  ]\nd: 1", `{"a":[1,2,{"b":"c"}],"d":1}`},
		{"plain over lines", "a: plain text\n  continues\n\n  and here # comment\nb:\n  on the next\n  line", `{"a":"plain text continues\nand here","b":"on the next line"}`},
		{"names", "'q k': 1\n\"d k\": 2\nk with space: 3\n<<: 4\na : 5", `{"q k":1,"d k":2,"k with space":3,"<<":4,"a":5}`},
		{"text with colons", "a: http://x.y/z#w\nb: a:b\nc: -x\nd: ?x\ne: :x\nallowed-tools: Bash(git:*) Read", `{"a":"http://x.y/z#w","b":"a:b","c":"-x","d":"?x","e":":x","allowed-tools":"Bash(git:*) Read"}`},
		{"large integers stay whole", "a: 99999999999999999999", `{"a":99999999999999999999}`},
	} {
		for _, text := range [][]byte{file(tt.yaml), append([]byte("\ufeff"), file(strings.ReplaceAll(tt.yaml, "\n", "\r\n"))...)} {
			text = []byte(strings.Replace(string(text), "\ufeff---\n", "\ufeff---\r\n", 1))
			got, err := frontmatter.Parse(text)
			if err != nil {
				t.Errorf("%s: %v", tt.name, err)
				continue
			}
			if diff := cmp.Diff(tt.want, string(got)); diff != "" {
				t.Errorf("%s (-want +got):\n%s", tt.name, diff)
			}
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for _, tt := range []struct {
		name, yaml string
		line       int
	}{
		{"a name twice", "a: 1\na: 2", 3},
		{"a name twice in a flow mapping", "x: {a: 1, a: 2}", 2},
		{"an anchor", "a: &x y", 2},
		{"an alias", "a: 1\nb: *x", 3},
		{"a tag", "a: !!str 1", 2},
		{"a complex key", "? a\n: b", 2},
		{"a colon in a plain text", "a: b: c", 2},
		{"a colon in a continued text", "a: b\n  c: d", 3},
		{"a list on the line of its name", "a: - b", 2},
		{"a list at the top", "- a", 2},
		{"a text at the top", "hello", 2},
		{"nothing", "# only a comment", 2},
		{"a tab", "a:\n\tb: 1", 3},
		{"wrong indentation", "a: 1\n  b: 2", 3},
		{"outdented child", "a:\n    b: 1\n  c: 2", 4},
		{"an open quote", "a: 'x\nb: 1", 2},
		{"an open list", "a: [1", 2},
		{"text after a quote", `a: "x" y`, 2},
		{"an unknown escape", `a: "\q"`, 2},
		{"half a surrogate pair", `a: "\ud83d"`, 2},
		{"a document marker", "a: 1\n...", 3},
		{"a directive", "%YAML 1.2", 2},
		{"infinity", "a: .inf", 2},
		{"a huge number", "a: 1\nb: 1e999", 3},
		{"a control character", "a: 1\nb: \x01", 3},
		{"not UTF-8", "a: \xff", 1},
		{"too deep", strings.Repeat("- ", 40) + "x", 2},
		{"too deep in flow", "a: " + strings.Repeat("[", 40) + strings.Repeat("]", 40), 2},
		{"too deep by indentation", deep(40), 35},
		{"too long", "a: " + strings.Repeat("x", frontmatter.MaxBytes), 1},
	} {
		got, err := frontmatter.Parse(file(tt.yaml))
		var e *frontmatter.Error
		if !errors.As(err, &e) || e.Line != tt.line {
			t.Errorf("%s: %s, %v; want an error of line %d", tt.name, got, err, tt.line)
		}
	}
	for name, text := range map[string]string{
		"no delimiter": "name: x\n", "an open block": "---\nname: x\n", "nothing": "", "a delimiter alone": "---", "text before": "\n---\nname: x\n---\n",
	} {
		if _, err := frontmatter.Parse([]byte(text)); !errors.Is(err, frontmatter.ErrNone) {
			t.Errorf("%s: %v, want ErrNone", name, err)
		}
	}
}

func deep(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(strings.Repeat(" ", i) + "a:\n")
	}
	return b.String()
}

func FuzzParse(f *testing.F) {
	for _, yaml := range []string{
		"name: a\ndescription: >-\n  b\n  c", "a: [1, {b: c}]", "a:\n- b: 1\n  c:\n  - d", "a: \"\\x41\n  b\"", "a: |2+\n   x\n\n", "'a': 'b''c'", "a: {? b}", "- - - x", "a: x\n # c\n b",
	} {
		f.Add(file(yaml))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		got, err := frontmatter.Parse(text)
		if err != nil {
			if got != nil {
				t.Errorf("%q beside the error %v", got, err)
			}
			return
		}
		if err := jsonrpc.Valid(got, nil); err != nil || got[0] != '{' {
			t.Errorf("%q is not an object: %v", got, err)
		}
	})
}
