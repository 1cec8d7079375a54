package jsonrpc_test

import (
	"strconv"
	"strings"
	"testing"

	"github.com/fairlead-mcp/fairlead/mcp/jsonrpc"
	"github.com/google/go-cmp/cmp"
)

func TestMembers(t *testing.T) {
	type member struct{ Key, Value string }
	tests := map[string]struct {
		in   string
		want []member
	}{
		"nil":         {"", nil},
		"empty":       {" { } ", nil},
		"no object":   {`["a"]`, nil},
		"scalars":     {`{"name":"x","b":-1.5e3,"c":true,"d":null}`, []member{{"name", `"x"`}, {"b", "-1.5e3"}, {"c", "true"}, {"d", "null"}}},
		"white space": {"\t{ \"a\" : 1 , \"b\" :\n[ ] } ", []member{{"a", "1"}, {"b", "[ ]"}}},
		"nesting":     {`{"a":{"b":[{}],"c":"}"},"d":[[1,2],"]"]}`, []member{{"a", `{"b":[{}],"c":"}"}`}, {"d", `[[1,2],"]"]`}}},
		"escapes":     {`{"a\"":"\"","\u00e9\ud83d\ude00":"\\","":"\\\""}`, []member{{`a"`, `"\""`}, {"é😀", `"\\"`}, {"", `"\\\""`}}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			var got []member
			for key, value := range jsonrpc.Members([]byte(test.in)) {
				got = append(got, member{key, string(value)})
				if v := jsonrpc.Get([]byte(test.in), key); string(v) != string(value) {
					t.Errorf("Get(%q): got %s, want %s", key, v, value)
				}
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("Members(%s) (-want +got):\n%s", test.in, diff)
			}
		})
	}
	for range jsonrpc.Members([]byte(`{"a":1,"b":2}`)) {
		break // must not go on
	}
}

func TestGet(t *testing.T) {
	obj := []byte(`{"a":1,"\u0062":2,"c\\d":3,"\ud83d\ude00":4,"A":5}`)
	for key, want := range map[string]string{"a": "1", "b": "2", `c\d`: "3", "😀": "4", "A": "5", `\u0062`: "", "": "", "ab": "", `c\\d`: ""} {
		if got := jsonrpc.Get(obj, key); string(got) != want {
			t.Errorf("Get(%q): got %q, want %q", key, got, want)
		}
	}
	if got := jsonrpc.Get(nil, "a"); got != nil {
		t.Errorf("Get(nil): got %q", got)
	}
}

func TestElements(t *testing.T) {
	for in, want := range map[string][]string{
		"":                                     nil,
		"{}":                                   nil,
		" [ ] ":                                nil,
		`[1]`:                                  {"1"},
		" [ 1 , \"a,]\" ,{\"b\":[]},\n[[]] ] ": {"1", `"a,]"`, `{"b":[]}`, "[[]]"},
	} {
		var got []string
		for e := range jsonrpc.Elements([]byte(in)) {
			got = append(got, string(e))
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("Elements(%s) (-want +got):\n%s", in, diff)
		}
	}
	for range jsonrpc.Elements([]byte(`[1,2]`)) {
		break
	}
}

func TestSplice(t *testing.T) {
	set := func(key, value string) jsonrpc.Member { return jsonrpc.Member{Key: key, Value: []byte(value)} }
	remove := func(key string) jsonrpc.Member { return jsonrpc.Member{Key: key} }
	tests := []struct {
		name, in string
		edits    []jsonrpc.Member
		want     string
	}{
		{"nil", "", nil, `{}`},
		{"nil, append", "", []jsonrpc.Member{set("a", "1"), set("b", "2")}, `{"a":1,"b":2}`},
		{"nil, remove", "", []jsonrpc.Member{remove("a")}, `{}`},
		{"no edits", `{ "a" : 1.0 ,"b":"\u0041" }`, nil, `{ "a" : 1.0 ,"b":"\u0041" }`},
		{"replace", `{"a": 1 , "b":2}`, []jsonrpc.Member{set("a", `"x"`)}, `{"a": "x" , "b":2}`},
		{"replace last", `{"a":1,"b":2 }`, []jsonrpc.Member{set("b", "{}")}, `{"a":1,"b":{} }`},
		{"append", `{"a":1}`, []jsonrpc.Member{set("b", "2")}, `{"a":1,"b":2}`},
		{"append to empty", ` { } `, []jsonrpc.Member{set("b", "2")}, `{"b":2}`},
		{"remove first", `{"a":1, "b":2}`, []jsonrpc.Member{remove("a")}, `{ "b":2}`},
		{"remove last", `{"a":1,"b":2}`, []jsonrpc.Member{remove("b")}, `{"a":1}`},
		{"remove middle", `{"a":1,"b":[1,2],"c":3}`, []jsonrpc.Member{remove("b")}, `{"a":1,"c":3}`},
		{"remove all", `{"a":1,"b":2}`, []jsonrpc.Member{remove("b"), remove("a")}, `{}`},
		{"remove all and append", `{"a":1}`, []jsonrpc.Member{remove("a"), set("b", "2")}, `{"b":2}`},
		{"escaped key in place", `{"\u0061":1}`, []jsonrpc.Member{set("a", "2")}, `{"\u0061":2}`},
		{"key that needs escapes", `{}`, []jsonrpc.Member{set("a\"\n", "2")}, `{"a\"\n":2}`},
		{"digits stay", `{"n":9007199254740993,"m":1}`, []jsonrpc.Member{set("m", "2")}, `{"n":9007199254740993,"m":2}`},
		{"last edit of a key in place", `{"a":1}`, []jsonrpc.Member{set("a", "2"), set("a", "3")}, `{"a":3}`},
		{"last edit of a key appended", `{}`, []jsonrpc.Member{set("a", "2"), set("b", "0"), set("a", "3")}, `{"a":3,"b":0}`},
		{"removed again", `{}`, []jsonrpc.Member{set("a", "2"), remove("a")}, `{}`},
		{"only the outer object", `{"x":{"a":1},"a":2}`, []jsonrpc.Member{remove("a")}, `{"x":{"a":1}}`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var obj []byte
			if test.in != "" {
				obj = []byte(test.in)
			}
			got := jsonrpc.Splice([]byte("> "), obj, test.edits...)
			if string(got) != "> "+test.want {
				t.Errorf("got %s, want > %s", got, test.want)
			}
			if string(obj) != test.in {
				t.Errorf("the object was changed: %s", obj)
			}
		})
	}
}

func TestSpliceManyEdits(t *testing.T) {
	var edits []jsonrpc.Member
	var want strings.Builder
	want.WriteString(`{"k0":0`)
	for i := range 200 {
		n := strconv.Itoa(i)
		edits = append(edits, jsonrpc.Member{Key: "k" + n, Value: []byte(n)})
		if i > 0 {
			want.WriteString(`,"k` + n + `":` + n)
		}
	}
	if diff := cmp.Diff(want.String()+"}", string(jsonrpc.Splice(nil, []byte(`{"k0":"old"}`), edits...))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestUnquote(t *testing.T) {
	for raw, want := range map[string]string{
		`""`:                          "",
		`"a\"\\\/\b\f\n\r\t"`:         "a\"\\/\b\f\n\r\t",
		`"\u0000\u00E9\uD83D\uDE00é"`: "\x00é😀é",
	} {
		if got, ok := jsonrpc.Unquote([]byte(raw)); !ok || got != want {
			t.Errorf("Unquote(%s): got %q, %v, want %q", raw, got, ok, want)
		}
	}
	for _, raw := range []string{"", `"`, `a`, `"a`, `"a"b`, `"a" `, ` "a"`, `1`, `"\`, `"\"`, `"\x"`, `"\ud800"`, "\"\n\"", "\"\xff\""} {
		if got, ok := jsonrpc.Unquote([]byte(raw)); ok || got != "" {
			t.Errorf("Unquote(%q): got %q, true", raw, got)
		}
	}
}

func BenchmarkSplice(b *testing.B) {
	msg, err := jsonrpc.Scan([]byte(typicalCall), nil)
	if err != nil {
		b.Fatal(err)
	}
	name, meta := []byte(`"other"`), []byte(`{"progressToken":7}`)
	var dst []byte
	b.ReportAllocs()
	for b.Loop() {
		dst = jsonrpc.Splice(dst[:0], msg.Params, jsonrpc.Member{Key: "name", Value: name}, jsonrpc.Member{Key: "_meta", Value: meta})
	}
}
