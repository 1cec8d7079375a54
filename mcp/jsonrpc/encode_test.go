package jsonrpc_test

import (
	"testing"

	"github.com/fairlead-mcp/fairlead/mcp/jsonrpc"
)

func TestAppendString(t *testing.T) {
	for in, want := range map[string]string{
		"":                  `""`,
		"plain é😀":          `"plain é😀"`,
		"\"\\/":             `"\"\\/"`,
		"\n\r\t\b\x00\x1f":  `"\n\r\t\u0008\u0000\u001f"`,
		"\x7f\u2028":        "\"\x7f\u2028\"",
		"a\xffb":            "\"a\uFFFDb\"",
		"\xe2\x82":          "\"\uFFFD\uFFFD\"",
		"\xed\xa0\x80":      "\"\uFFFD\uFFFD\uFFFD\"",
		"real \uFFFD stays": "\"real \uFFFD stays\"",
	} {
		if got := string(jsonrpc.AppendString(nil, in)); got != want {
			t.Errorf("AppendString(%q): got %s, want %s", in, got, want)
		}
		if got := string(jsonrpc.AppendString([]byte("x"), []byte(in))); got != "x"+want {
			t.Errorf("AppendString of bytes %q: got %s, want x%s", in, got, want)
		}
	}
	long := []byte("a longer text with é and \xff, so that conversions would show")
	dst := make([]byte, 0, 200)
	if n := testing.AllocsPerRun(100, func() { dst = jsonrpc.AppendString(dst[:0], long) }); n != 0 {
		t.Errorf("AppendString allocates %v times", n)
	}
}

func TestCompact(t *testing.T) {
	for in, want := range map[string]string{
		"":                            ``,
		"{\r\n  \"a\": [\n1,\r2 ]\n}": `{  "a": [1,2 ]}`,
		"{\"a\":\"\\n\"}\n":           `{"a":"\n"}`,
		"\r{}":                        `{}`,
	} {
		if got := string(jsonrpc.Compact([]byte(in))); got != want {
			t.Errorf("Compact(%q): got %q, want %q", in, got, want)
		}
	}
	b := []byte(`{"a":1}`)
	if got := jsonrpc.Compact(b); &got[0] != &b[0] {
		t.Error("Compact copied what it did not change")
	}
}

func TestAppendMessages(t *testing.T) {
	id := []byte("9007199254740993")
	tests := []struct {
		got  []byte
		want string
		kind jsonrpc.Kind
	}{
		{jsonrpc.AppendRequest(nil, id, "a\"b", []byte(`{"x":1}`)), `{"jsonrpc":"2.0","id":9007199254740993,"method":"a\"b","params":{"x":1}}`, jsonrpc.Request},
		{jsonrpc.AppendRequest(nil, []byte(`"\u0031"`), "ping", nil), `{"jsonrpc":"2.0","id":"\u0031","method":"ping"}`, jsonrpc.Request},
		{jsonrpc.AppendNotification(nil, "n", []byte(`{}`)), `{"jsonrpc":"2.0","method":"n","params":{}}`, jsonrpc.Notification},
		{jsonrpc.AppendNotification(nil, "n", nil), `{"jsonrpc":"2.0","method":"n"}`, jsonrpc.Notification},
		{jsonrpc.AppendResult(nil, id, []byte(`{"a":1}`)), `{"jsonrpc":"2.0","id":9007199254740993,"result":{"a":1}}`, jsonrpc.Response},
		{jsonrpc.AppendResult(nil, id, nil), `{"jsonrpc":"2.0","id":9007199254740993,"result":{}}`, jsonrpc.Response},
		{jsonrpc.AppendError(nil, id, -32601, "no \"x\"", []byte(`[1]`)), `{"jsonrpc":"2.0","id":9007199254740993,"error":{"code":-32601,"message":"no \"x\"","data":[1]}}`, jsonrpc.ErrorReply},
		{jsonrpc.AppendError(nil, nil, 0, "", nil), `{"jsonrpc":"2.0","error":{"code":0,"message":""}}`, jsonrpc.ErrorReply},
	}
	for _, test := range tests {
		if string(test.got) != test.want {
			t.Errorf("got %s, want %s", test.got, test.want)
		}
		if msg, err := jsonrpc.Scan(test.got, nil); err != nil || msg.Kind != test.kind {
			t.Errorf("Scan(%s): kind %d, error %v, want kind %d", test.got, msg.Kind, err, test.kind)
		}
	}
}
