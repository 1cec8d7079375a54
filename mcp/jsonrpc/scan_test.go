package jsonrpc_test

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/fairlead-mcp/fairlead/mcp/jsonrpc"
	"github.com/google/go-cmp/cmp"
)

// typicalCall is a tools/call as modern clients send it.
const typicalCall = `{"jsonrpc":"2.0","id":17,"method":"tools/call","params":{"name":"echo","arguments":{"text":"The quick brown fox jumps over the lazy dog.","times":3},` +
	`"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientInfo":{"name":"example","version":"1.0.0"},` +
	`"io.modelcontextprotocol/clientCapabilities":{"elicitation":{}},"progressToken":"t"}}}`

// examples returns the example messages of the specification, by file name.
func examples(t testing.TB) map[string][]byte {
	t.Helper()
	files, err := filepath.Glob("testdata/examples/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("no examples: %v", err)
	}
	all := map[string][]byte{}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		all[filepath.Base(file)] = data
	}
	return all
}

func TestScanExamples(t *testing.T) {
	for name, data := range examples(t) {
		want := jsonrpc.Request
		switch typ, _, _ := strings.Cut(name, "-"); {
		case strings.HasSuffix(typ, "Notification"):
			want = jsonrpc.Notification
		case strings.HasSuffix(typ, "Response"):
			want = jsonrpc.Response
		case strings.HasSuffix(typ, "Error"):
			want = jsonrpc.ErrorReply
		}
		msg, err := jsonrpc.Scan(data, nil)
		if err != nil || msg.Kind != want {
			t.Errorf("Scan(%s): kind %d, error %v, want kind %d", name, msg.Kind, err, want)
		}
		if want == jsonrpc.Request && (msg.ID == nil || msg.Method == "" || msg.Params == nil || msg.Meta == nil) {
			t.Errorf("Scan(%s): incomplete request: %+v", name, msg)
		}
	}
}

func TestScan(t *testing.T) {
	type message struct {
		Kind                                           jsonrpc.Kind
		Method                                         string
		ID, Params, Name, URI, Args, Meta, Result, Err string
	}
	tests := map[string]struct {
		in   string
		want message
	}{
		"request": {
			`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","uri":"b","arguments":[1],"_meta":{"k":1}}}`,
			message{
				Kind: jsonrpc.Request, Method: "tools/call", ID: "1", Name: `"a"`, URI: `"b"`, Args: "[1]", Meta: `{"k":1}`,
				Params: `{"name":"a","uri":"b","arguments":[1],"_meta":{"k":1}}`,
			},
		},
		"members in another order, white space": {
			" \r\n{ \"params\" : { } ,\t\"method\":\"ping\" , \"id\" : \"x\" , \"jsonrpc\" : \"2.0\" } \n",
			message{Kind: jsonrpc.Request, Method: "ping", ID: `"x"`, Params: "{ }"},
		},
		"id beyond float64": {
			`{"jsonrpc":"2.0","id":9007199254740993,"method":"x"}`,
			message{Kind: jsonrpc.Request, Method: "x", ID: "9007199254740993"},
		},
		"id beyond int64":  {`{"jsonrpc":"2.0","id":-123456789012345678901234567890,"method":"x"}`, message{Kind: jsonrpc.Request, Method: "x", ID: "-123456789012345678901234567890"}},
		"id with escapes":  {`{"jsonrpc":"2.0","id":"\u0031","method":"x"}`, message{Kind: jsonrpc.Request, Method: "x", ID: `"\u0031"`}},
		"id like a number": {`{"jsonrpc":"2.0","id":"1e5","method":"x"}`, message{Kind: jsonrpc.Request, Method: "x", ID: `"1e5"`}},
		"notification":     {`{"jsonrpc":"2.0","method":"notifications/progress"}`, message{Kind: jsonrpc.Notification, Method: "notifications/progress"}},
		"escaped method":   {`{"jsonrpc":"2.0","method":"a\/b\ud83d\ude00"}`, message{Kind: jsonrpc.Notification, Method: "a/b😀"}},
		"escaped key":      {`{"jsonrpc":"2.0","m\u0065thod":"a"}`, message{Kind: jsonrpc.Notification, Method: "a"}},
		"name of another type is the method's business": {
			`{"jsonrpc":"2.0","id":1,"method":"x","params":{"name":1,"uri":null}}`,
			message{Kind: jsonrpc.Request, Method: "x", ID: "1", Params: `{"name":1,"uri":null}`},
		},
		"response": {
			`{"jsonrpc":"2.0","id":1,"result":{"name":"a","Name":"b","_meta":{}}}`,
			message{Kind: jsonrpc.Response, ID: "1", Result: `{"name":"a","Name":"b","_meta":{}}`, Meta: "{}"},
		},
		"error": {
			`{"jsonrpc":"2.0","id":1,"error":{"code":-32601,"message":"no"}}`,
			message{Kind: jsonrpc.ErrorReply, ID: "1", Err: `{"code":-32601,"message":"no"}`},
		},
		"error with a null id":     {`{"jsonrpc":"2.0","id":null,"error":{"code":1,"message":""}}`, message{Kind: jsonrpc.ErrorReply, Err: `{"code":1,"message":""}`}},
		"error without an id":      {`{"jsonrpc":"2.0","error":{"code":1,"message":""}}`, message{Kind: jsonrpc.ErrorReply, Err: `{"code":1,"message":""}`}},
		"unknown members":          {`{"jsonrpc":"2.0","method":"x","extra":1,"methods":2,"i":3}`, message{Kind: jsonrpc.Notification, Method: "x"}},
		"known names deeper down":  {`{"jsonrpc":"2.0","method":"x","params":{"a":{"Name":1,"ID":2}}}`, message{Kind: jsonrpc.Notification, Method: "x", Params: `{"a":{"Name":1,"ID":2}}`}},
		"same names in two places": {`{"jsonrpc":"2.0","method":"x","params":{"method":{"method":1}}}`, message{Kind: jsonrpc.Notification, Method: "x", Params: `{"method":{"method":1}}`}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			m, err := jsonrpc.Scan([]byte(test.in), nil)
			if err != nil {
				t.Fatalf("Scan(%s): %v", test.in, err)
			}
			got := message{m.Kind, m.Method, string(m.ID), string(m.Params), string(m.Name), string(m.URI), string(m.Arguments), string(m.Meta), string(m.Result), string(m.Error)}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("Scan(%s) (-want +got):\n%s", test.in, diff)
			}
			if want := strings.Trim(test.in, " \t\r\n"); string(m.Data) != want {
				t.Errorf("Data: got %q, want %q", m.Data, want)
			}
		})
	}
}

func TestScanRefuses(t *testing.T) {
	const parse, invalid = jsonrpc.CodeParseError, jsonrpc.CodeInvalidRequest
	tests := []struct {
		name, in string
		code     int
		id       string // "" if it must not be returned
	}{
		{"empty", ``, parse, ""},
		{"blank", " \n", parse, ""},
		{"cut off", `{"jsonrpc":"2.0","id":1,"method":"x"`, parse, "1"},
		{"trailing comma", `{"jsonrpc":"2.0","id":1,"method":"x",}`, parse, "1"},
		{"trailing bytes", `{"jsonrpc":"2.0","id":1,"method":"x"}x`, parse, "1"},
		{"two messages", `{"jsonrpc":"2.0","id":1,"method":"x"}{}`, parse, "1"},
		{"trailing NUL", `{"jsonrpc":"2.0","id":1,"method":"x"}` + "\x00", parse, "1"},
		{"byte order mark", "\ufeff" + `{"jsonrpc":"2.0","id":1,"method":"x"}`, parse, ""},
		{"raw NUL in a string", `{"jsonrpc":"2.0","id":1,"method":"x` + "\x00" + `"}`, parse, "1"},
		{"raw newline in a string", `{"jsonrpc":"2.0","id":1,"method":"x` + "\n" + `"}`, parse, "1"},
		{"other white space", "{\v}", parse, ""},
		{"invalid UTF-8", `{"jsonrpc":"2.0","id":1,"method":"` + "\xff" + `"}`, parse, "1"},
		{"overlong UTF-8", `{"jsonrpc":"2.0","id":1,"method":"` + "\xc0\xaf" + `"}`, parse, "1"},
		{"surrogate in UTF-8", `{"jsonrpc":"2.0","id":1,"method":"` + "\xed\xa0\x80" + `"}`, parse, "1"},
		{"invalid UTF-8 in a key", `{"jsonrpc":"2.0","id":1,"method":"x","` + "\xc3" + `":1}`, parse, "1"},
		{"escaped high surrogate", `{"jsonrpc":"2.0","id":1,"method":"\ud83d"}`, parse, "1"},
		{"escaped low surrogate", `{"jsonrpc":"2.0","id":1,"method":"\ude00"}`, parse, "1"},
		{"two high surrogates", `{"jsonrpc":"2.0","id":1,"method":"\ud83d\ud83d"}`, parse, "1"},
		{"lone surrogate deep down", `{"jsonrpc":"2.0","id":1,"method":"x","params":{"a":[{"b":"\udfff"}]}}`, parse, "1"},
		{"escape of hex", `{"jsonrpc":"2.0","id":1,"method":"\x41"}`, parse, "1"},
		{"short escape", `{"jsonrpc":"2.0","id":1,"method":"\u00"}`, parse, "1"},
		{"leading zero", `{"jsonrpc":"2.0","id":01,"method":"x"}`, parse, ""},
		{"plus", `{"jsonrpc":"2.0","id":+1,"method":"x"}`, parse, ""},
		{"bare minus", `{"jsonrpc":"2.0","id":-,"method":"x"}`, parse, ""},
		{"no digits after the point", `{"jsonrpc":"2.0","id":1,"method":"x","a":1.}`, parse, "1"},
		{"no digits in the exponent", `{"jsonrpc":"2.0","id":1,"method":"x","a":1e}`, parse, "1"},
		{"NaN", `{"jsonrpc":"2.0","id":NaN,"method":"x"}`, parse, ""},
		{"comment", `{"jsonrpc":"2.0",/**/"id":1,"method":"x"}`, parse, ""},
		{"single quotes", `{'jsonrpc':'2.0'}`, parse, ""},
		{"unknown literal", `{"jsonrpc":"2.0","id":1,"method":"x","a":True}`, parse, "1"},
		{"batch cut off", `[{"jsonrpc":"2.0","id":1,"method":"x"}`, parse, ""},

		{"batch", `[{"jsonrpc":"2.0","id":1,"method":"x"}]`, invalid, ""},
		{"empty batch", `[]`, invalid, ""},
		{"string", `"x"`, invalid, ""},
		{"null", `null`, invalid, ""},
		{"nothing in it", `{}`, invalid, ""},
		{"no version", `{"id":1,"method":"x"}`, invalid, "1"},
		{"version 1.0", `{"jsonrpc":"1.0","id":1,"method":"x"}`, invalid, "1"},
		{"version as a number", `{"jsonrpc":2.0,"id":1,"method":"x"}`, invalid, "1"},
		{"version with an escape", `{"jsonrpc":"2\u002e0","id":1,"method":"x"}`, invalid, "1"},
		{"fraction in the id", `{"jsonrpc":"2.0","id":1.0,"method":"x"}`, invalid, ""},
		{"exponent in the id", `{"jsonrpc":"2.0","id":1e3,"method":"x"}`, invalid, ""},
		{"null id", `{"jsonrpc":"2.0","id":null,"method":"x"}`, invalid, ""},
		{"bool id", `{"jsonrpc":"2.0","id":true,"method":"x"}`, invalid, ""},
		{"object id", `{"jsonrpc":"2.0","id":{},"method":"x"}`, invalid, ""},
		{"bool id of an error", `{"jsonrpc":"2.0","id":false,"error":{"code":1,"message":""}}`, invalid, ""},
		{"method as a number", `{"jsonrpc":"2.0","id":1,"method":1}`, invalid, "1"},
		{"params as an array", `{"jsonrpc":"2.0","id":1,"method":"x","params":[]}`, invalid, "1"},
		{"params as null", `{"jsonrpc":"2.0","id":1,"method":"x","params":null}`, invalid, "1"},
		{"_meta as a string", `{"jsonrpc":"2.0","id":1,"method":"x","params":{"_meta":""}}`, invalid, "1"},
		{"_meta of a result as null", `{"jsonrpc":"2.0","id":1,"result":{"_meta":null}}`, invalid, "1"},
		{"result as a string", `{"jsonrpc":"2.0","id":1,"result":"x"}`, invalid, "1"},
		{"result without an id", `{"jsonrpc":"2.0","result":{}}`, invalid, ""},
		{"result with a null id", `{"jsonrpc":"2.0","id":null,"result":{}}`, invalid, ""},
		{"result and error", `{"jsonrpc":"2.0","id":1,"result":{},"error":{"code":1,"message":""}}`, invalid, "1"},
		{"method and result", `{"jsonrpc":"2.0","id":1,"method":"x","result":{}}`, invalid, "1"},
		{"method and error", `{"jsonrpc":"2.0","id":1,"method":"x","error":{"code":1,"message":""}}`, invalid, "1"},
		{"params and result", `{"jsonrpc":"2.0","id":1,"params":{},"result":{}}`, invalid, "1"},
		{"error without a code", `{"jsonrpc":"2.0","id":1,"error":{"message":""}}`, invalid, "1"},
		{"error without a message", `{"jsonrpc":"2.0","id":1,"error":{"code":1}}`, invalid, "1"},
		{"error code with a fraction", `{"jsonrpc":"2.0","id":1,"error":{"code":1.5,"message":""}}`, invalid, "1"},
		{"error code out of range", `{"jsonrpc":"2.0","id":1,"error":{"code":99999999999999999999999999,"message":""}}`, invalid, "1"},
		{"error message as an object", `{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":{}}}`, invalid, "1"},
		{"error as a string", `{"jsonrpc":"2.0","id":1,"error":"x"}`, invalid, "1"},
		{"the id comes last", `{"jsonrpc":"1.0","method":"x","params":[],"id":"a"}`, invalid, `"a"`},

		{"duplicate method", `{"jsonrpc":"2.0","id":1,"method":"x","method":"y"}`, invalid, "1"},
		{"duplicate id", `{"jsonrpc":"2.0","id":1,"method":"x","id":2}`, invalid, ""},
		{"duplicate by an escape", `{"jsonrpc":"2.0","id":1,"method":"x","meth\u006fd":"y"}`, invalid, "1"},
		{"duplicate unknown member", `{"jsonrpc":"2.0","id":1,"method":"x","a":1,"a":1}`, invalid, "1"},
		{"duplicate name", `{"jsonrpc":"2.0","id":1,"method":"x","params":{"name":"a","name":"b"}}`, invalid, "1"},
		{"duplicate deep down", `{"jsonrpc":"2.0","id":1,"method":"x","params":{"a":[{"b":{"c":1,"c":2}}]}}`, invalid, "1"},
		{"duplicate empty name", `{"jsonrpc":"2.0","id":1,"method":"x","params":{"":1,"":2}}`, invalid, "1"},

		// GO-2026-4569, CVE-2026-27896: decoders that fold case see another message than the policy did.
		{"METHOD", `{"jsonrpc":"2.0","id":1,"method":"x","METHOD":"y"}`, invalid, "1"},
		{"Method alone", `{"jsonrpc":"2.0","id":1,"Method":"x"}`, invalid, "1"},
		{"Id", `{"jsonrpc":"2.0","id":1,"Id":2,"method":"x"}`, invalid, "1"},
		{"JSONRPC", `{"jsonrpc":"2.0","JSONRPC":"2.0","id":1,"method":"x"}`, invalid, "1"},
		{"Params", `{"jsonrpc":"2.0","id":1,"method":"x","params":{},"Params":{"name":"y"}}`, invalid, "1"},
		{"Result", `{"jsonrpc":"2.0","id":1,"result":{},"Result":{}}`, invalid, "1"},
		{"eRROR", `{"jsonrpc":"2.0","id":1,"result":{},"eRROR":{}}`, invalid, "1"},
		{"U+017F in jsonrpc", `{"jsonrpc":"2.0","jſonrpc":"2.0","id":1,"method":"x"}`, invalid, "1"},
		{"U+017F in params", `{"jsonrpc":"2.0","id":1,"method":"x","paramſ":{}}`, invalid, "1"},
		{"U+017F escaped in result", `{"jsonrpc":"2.0","id":1,"result":{},"re\u017fult":{}}`, invalid, "1"},
		{"U+017F in arguments", `{"jsonrpc":"2.0","id":1,"method":"x","params":{"argumentſ":{}}}`, invalid, "1"},
		{"Name", `{"jsonrpc":"2.0","id":1,"method":"x","params":{"name":"a","Name":"b"}}`, invalid, "1"},
		{"URI", `{"jsonrpc":"2.0","id":1,"method":"x","params":{"URI":"b"}}`, invalid, "1"},
		{"Arguments", `{"jsonrpc":"2.0","id":1,"method":"x","params":{"Arguments":{}}}`, invalid, "1"},
		{"_META", `{"jsonrpc":"2.0","id":1,"method":"x","params":{"_META":{}}}`, invalid, "1"},
		// GO-2026-4770: a decoder that ignores NUL at the end of names.
		{"NUL after method", `{"jsonrpc":"2.0","id":1,"method":"x","method\u0000":"y"}`, invalid, "1"},
		{"NULs after Id", `{"jsonrpc":"2.0","id":1,"Id\u0000\u0000":2,"method":"x"}`, invalid, "1"},
		{"NUL after name", `{"jsonrpc":"2.0","id":1,"method":"x","params":{"name":"a","name\u0000":"b"}}`, invalid, "1"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			msg, err := jsonrpc.Scan([]byte(test.in), nil)
			if diff := cmp.Diff(jsonrpc.Message{}, msg); diff != "" {
				t.Errorf("a message beside the error (-want +got):\n%s", diff)
			}
			se, ok := errors.AsType[*jsonrpc.ScanError](err)
			if !ok {
				t.Fatalf("Scan(%q): got error %v, want a ScanError", test.in, err)
			}
			if se.Code != test.code || string(se.ID) != test.id {
				t.Errorf("Scan(%q): got code %d, id %s (%v), want %d, %s", test.in, se.Code, se.ID, se, test.code, test.id)
			}
			if se.Offset < 0 || se.Offset > len(test.in) || se.Reason == "" {
				t.Errorf("Scan(%q): offset %d, reason %q", test.in, se.Offset, se.Reason)
			}
		})
	}
}

// U+212A folds to k. None of the names that Scan reads has a k, so it makes no name a known one.
func TestScanKelvinSign(t *testing.T) {
	for _, in := range []string{
		`{"jsonrpc":"2.0","method":"x","K":1,"k":2}`,
		`{"jsonrpc":"2.0","method":"x","params":{"toKen":1,"token":2}}`,
	} {
		msg, err := jsonrpc.Scan([]byte(in), nil)
		if err != nil || msg.Method != "x" {
			t.Errorf("Scan(%s): method %q, error %v", in, msg.Method, err)
		}
	}
}

func TestScanErrorOwnsItsID(t *testing.T) {
	in := []byte(`{"jsonrpc":"2.0","id":"abc","method":1}`)
	_, err := jsonrpc.Scan(in, nil)
	clear(in)
	if se, ok := errors.AsType[*jsonrpc.ScanError](err); !ok || string(se.ID) != `"abc"` {
		t.Errorf("got %v, want a ScanError with id \"abc\"", err)
	}
}

func TestScanErrorOffset(t *testing.T) {
	tests := map[string]int{
		`{"a":1 "b":2}`:             7,
		`{"a":01}`:                  6,
		`{"a":1,"a":2}`:             7,
		`["abcdefghijkl` + "\x01":   14,
		`{"jsonrpc":"2.0","id":{}}`: 22,
	}
	for in, want := range tests {
		_, err := jsonrpc.Scan([]byte(in), nil)
		if se, ok := errors.AsType[*jsonrpc.ScanError](err); !ok || se.Offset != want {
			t.Errorf("Scan(%q): got %v, want an error at byte %d", in, err, want)
		}
	}
}

func TestLimits(t *testing.T) {
	nest := func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }
	tests := []struct {
		name string
		in   string
		lim  *jsonrpc.Limits
		ok   bool
	}{
		{"default depth", nest(128), nil, true},
		{"default depth + 1", nest(129), nil, false},
		{"much deeper", strings.Repeat("[", 1<<20), nil, false},
		{"objects", strings.Repeat(`{"a":`, 3) + "1" + strings.Repeat("}", 3), &jsonrpc.Limits{MaxDepth: 3}, true},
		{"objects + 1", strings.Repeat(`{"a":`, 4) + "1" + strings.Repeat("}", 4), &jsonrpc.Limits{MaxDepth: 3}, false},
		{"depth that was left again does not count", "[" + strings.Repeat("[[]],", 10) + "1]", &jsonrpc.Limits{MaxDepth: 3}, true},
		{"bytes", "123456", &jsonrpc.Limits{MaxBytes: 6}, true},
		{"bytes + 1", "1234567", &jsonrpc.Limits{MaxBytes: 6}, false},
		{"default bytes", `"` + strings.Repeat("x", jsonrpc.DefaultMaxBytes-2) + `"`, nil, true},
		{"default bytes + 1", `"` + strings.Repeat("x", jsonrpc.DefaultMaxBytes-1) + `"`, nil, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			err := jsonrpc.Valid([]byte(test.in), test.lim)
			if test.ok && err != nil {
				t.Fatalf("Valid: %v", err)
			}
			if se, ok := errors.AsType[*jsonrpc.ScanError](err); !test.ok && (!ok || se.Code != jsonrpc.CodeInvalidRequest) {
				t.Fatalf("Valid: got %v, want an invalid request", err)
			}
		})
	}
	// The envelope and params count as two.
	in := []byte(`{"jsonrpc":"2.0","method":"x","params":{"a":{}}}`)
	if _, err := jsonrpc.Scan(in, &jsonrpc.Limits{MaxDepth: 3}); err != nil {
		t.Errorf("depth 3: %v", err)
	}
	if _, err := jsonrpc.Scan(in, &jsonrpc.Limits{MaxDepth: 2}); err == nil {
		t.Error("depth 3 passed a limit of 2")
	}
}

// TestDuplicates crosses the sizes at which the check changes its method.
func TestDuplicates(t *testing.T) {
	object := func(n int, last string) string {
		var b strings.Builder
		b.WriteByte('{')
		for i := range n {
			b.WriteString(`"key` + strconv.Itoa(i) + `":{"a":1,"\u0062":{}},`)
		}
		return b.String() + last + "}"
	}
	for _, n := range []int{1, 15, 16, 17, 18, 63, 64, 65, 1000} {
		for _, first := range []int{0, n / 2, n - 1} {
			name := "key" + strconv.Itoa(first)
			for _, dup := range []string{`"` + name + `":1`, `"\u006b` + name[1:] + `":1`, `"k":{"x":1,"\u0078":2}`} {
				if err := jsonrpc.Valid([]byte(object(n, dup)), nil); err == nil {
					t.Errorf("%d members, then %s: accepted", n, dup)
				}
			}
		}
		if err := jsonrpc.Valid([]byte(object(n, `"KEY0":1,"\u006bey":2,"key":3`)), nil); err == nil {
			t.Errorf("%d members, then two that are the same unescaped: accepted", n)
		}
		if err := jsonrpc.Valid([]byte(object(n, `"KEY0":1,"\u006bey":2`)), nil); err != nil {
			t.Errorf("%d members: %v", n, err)
		}
	}
	// Many open objects that each have members before and after the next.
	deep := strings.Repeat(`{"a":1,"b":2,"\u0063":`, 100) + "{}" + strings.Repeat(`,"d":1}`, 100)
	if err := jsonrpc.Valid([]byte(deep), nil); err != nil {
		t.Errorf("nested: %v", err)
	}
	for _, name := range []string{"a", "b", "c"} {
		in := strings.Replace(deep, `"d"`, `"`+name+`"`, 1)
		if err := jsonrpc.Valid([]byte(in), nil); err == nil {
			t.Errorf("nested with a duplicate %s innermost: accepted", name)
		}
		i := strings.LastIndex(deep, `"d"`)
		if err := jsonrpc.Valid([]byte(deep[:i]+`"`+name+deep[i+2:]), nil); err == nil {
			t.Errorf("nested with a duplicate %s outermost: accepted", name)
		}
	}
}

func TestScanDoesNotAllocate(t *testing.T) {
	for name, in := range map[string]string{
		"tools/call": typicalCall,
		"response":   `{"jsonrpc":"2.0","id":"a","result":{"content":[{"type":"text","text":"é"}],"structuredContent":{"a":1.5e3},"_meta":{}}}`,
		"error":      `{"jsonrpc":"2.0","id":1,"error":{"code":-32602,"message":"m","data":{"a":[true,false,null]}}}`,
	} {
		data := []byte(in)
		if n := testing.AllocsPerRun(100, func() {
			if _, err := jsonrpc.Scan(data, nil); err != nil {
				t.Fatal(err)
			}
		}); n != 0 {
			t.Errorf("Scan of a %s allocates %v times", name, n)
		}
	}
	params := []byte(`{"a":"b","name":"x","n\u0061me2":{"b":[1]},"uri":7}`)
	if n := testing.AllocsPerRun(100, func() {
		if jsonrpc.Get(params, "uri") == nil || jsonrpc.Get(params, "name2") == nil || jsonrpc.Get(params, "no") != nil {
			t.Fatal("Get")
		}
	}); n != 0 {
		t.Errorf("Get allocates %v times", n)
	}
}

func BenchmarkScan(b *testing.B) {
	large := `{"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"text","text":"` + strings.Repeat("lorem ipsum ", 8000) + `"}]}}`
	for name, in := range map[string]string{"call": typicalCall, "100kB": large} {
		b.Run(name, func(b *testing.B) {
			data := []byte(in)
			b.SetBytes(int64(len(data)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := jsonrpc.Scan(data, nil); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
