package jsonrpc_test

import (
	"bytes"
	"errors"
	"io"
	"maps"
	"strings"
	"testing"
	"testing/iotest"
	"unicode/utf8"

	"github.com/fairlead-mcp/fairlead/mcp/jsonrpc"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/go-cmp/cmp"
)

// FuzzScan: the verdict on JSON is that of an independent strict parser; a message that is
// accepted has the same meaning after it was taken apart, encoded and scanned again; nothing
// comes with an error.
func FuzzScan(f *testing.F) {
	for _, data := range examples(f) {
		f.Add(data)
	}
	for _, seed := range []string{
		typicalCall,
		`{"jsonrpc":"2.0","id":9007199254740993,"method":"x","Method":"y"}`,
		`{"jsonrpc":"2.0","id":null,"error":{"code":-1,"message":"\ud83d\ude00"}}`,
		`{"a":{"\u0062":1,"b":2}}`,
		`[1,-0.5e+7,"\ud800",true,false,null]`,
		`{"jsonrpc":"2.0","id":1,"method":"x","id\u0000":2}`,
		`{"0":0,"1":0,"2":0,"3":0,"4":0,"5":0,"6":0,"7":0,"8":0,"9":0,"a":0,"b":0,"c":0,"d":0,"e":0,"f":0,"g":0,"\u0030":0}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		orig := bytes.Clone(data)
		validErr := jsonrpc.Valid(data, nil)
		if want := jsontext.Value(data).IsValid(); want != (validErr == nil) {
			if !want || !strings.Contains(validErr.Error(), "deeply") {
				t.Fatalf("Valid(%q): %v, jsontext says %v", data, validErr, want)
			}
		}
		msg, err := jsonrpc.Scan(data, nil)
		if !bytes.Equal(orig, data) {
			t.Fatal("Scan changed its input")
		}
		if err != nil {
			checkRefusal(t, data, msg, err)
			return
		}
		if validErr != nil {
			t.Fatalf("Scan accepted %q, Valid: %v", data, validErr)
		}
		if got := jsonrpc.Splice(nil, msg.Data); !bytes.Equal(got, msg.Data) {
			t.Fatalf("Splice without edits: got %q, want %q", got, msg.Data)
		}
		for _, again := range [][]byte{encode(msg), jsonrpc.Compact(msg.Data)} {
			msg2, err := jsonrpc.Scan(again, nil)
			if err != nil {
				t.Fatalf("Scan(%q) of what was accepted as %q: %v", again, data, err)
			}
			if diff := cmp.Diff(meaning(t, msg), meaning(t, msg2)); diff != "" {
				t.Fatalf("%q became %q (-want +got):\n%s", data, again, diff)
			}
		}
	})
}

func checkRefusal(t *testing.T, data []byte, msg jsonrpc.Message, err error) {
	t.Helper()
	if diff := cmp.Diff(jsonrpc.Message{}, msg); diff != "" {
		t.Fatalf("a message beside the error (-want +got):\n%s", diff)
	}
	se, ok := errors.AsType[*jsonrpc.ScanError](err)
	if !ok || se.Reason == "" || se.Offset < 0 || se.Offset > len(data) {
		t.Fatalf("Scan(%q): %#v", data, err)
	}
	if se.Code == jsonrpc.CodeParseError && jsontext.Value(data).IsValid() || se.Code != jsonrpc.CodeParseError && se.Code != jsonrpc.CodeInvalidRequest {
		t.Fatalf("Scan(%q): code %d (%v)", data, se.Code, se)
	}
	if se.ID != nil {
		reply := jsonrpc.AppendError(nil, se.ID, se.Code, se.Reason, nil)
		if m, err := jsonrpc.Scan(reply, nil); err != nil || !bytes.Equal(m.ID, se.ID) {
			t.Fatalf("the reply %q to %q: %v", reply, data, err)
		}
	}
}

// encode builds a message from its parts.
func encode(m jsonrpc.Message) []byte {
	switch m.Kind {
	case jsonrpc.Request:
		return jsonrpc.AppendRequest(nil, m.ID, m.Method, m.Params)
	case jsonrpc.Notification:
		return jsonrpc.AppendNotification(nil, m.Method, m.Params)
	case jsonrpc.Response:
		return jsonrpc.AppendResult(nil, m.ID, m.Result)
	}
	out := []byte(`{"jsonrpc":"2.0","error":{}}`)
	return jsonrpc.Splice(nil, out, jsonrpc.Member{Key: "id", Value: m.ID}, jsonrpc.Member{Key: "error", Value: m.Error})
}

// meaning is what must survive: each part, without white space.
func meaning(t *testing.T, m jsonrpc.Message) []string {
	t.Helper()
	parts := []string{string(rune('0' + m.Kind)), m.Method, string(m.ID)}
	for _, raw := range [][]byte{m.Params, m.Name, m.URI, m.Arguments, m.Meta, m.Result, m.Error} {
		if raw == nil {
			parts = append(parts, "absent")
			continue
		}
		v := jsontext.Value(bytes.Clone(raw))
		if err := v.Compact(); err != nil {
			t.Fatalf("part %q: %v", raw, err)
		}
		parts = append(parts, string(v))
	}
	return parts
}

// FuzzSplice: an edit is there afterwards, everything else is as before, and bytes that were
// never checked do no harm.
func FuzzSplice(f *testing.F) {
	f.Add([]byte(typicalCall), "id", []byte(`"x"`))
	f.Add([]byte(`{ "\u0061" : 1 , "b" : [ {} ] }`), "a", []byte(`{"c":2}`))
	f.Add([]byte(`{"a":"\\\"}"}`), "é\n", []byte(`null`))
	f.Add([]byte(`[1,"]",[2],{"a":3}]`), "", []byte(` 7 `))
	f.Add([]byte(`{"a":1]`), "a", []byte(`\`))
	f.Fuzz(func(t *testing.T, obj []byte, key string, value []byte) {
		members := map[string]string{}
		for k, v := range jsonrpc.Members(obj) {
			members[k] = string(v)
		}
		var elements []byte
		for e := range jsonrpc.Elements(obj) {
			elements = append(append(elements, e...), ',')
		}
		s, ok := jsonrpc.Unquote(value)
		if want, err := jsontext.AppendUnquote(nil, value); ok != (err == nil) || ok && s != string(want) {
			t.Fatalf("Unquote(%q): %q, %v, want %q, %v", value, s, ok, want, err)
		}
		set := jsonrpc.Splice(nil, obj, jsonrpc.Member{Key: key, Value: value})
		removed := jsonrpc.Splice(nil, obj, jsonrpc.Member{Key: key})
		quoted := jsonrpc.AppendString(nil, key)
		if s, ok := jsonrpc.Unquote(quoted); !ok || s != strings.ToValidUTF8(key, "\uFFFD") && utf8.ValidString(key) {
			t.Fatalf("AppendString(%q): %q", key, quoted)
		}
		value = bytes.Trim(value, " \t\r\n")
		if jsonrpc.Valid(obj, nil) != nil || jsonrpc.Valid(value, &jsonrpc.Limits{MaxDepth: 100}) != nil || !utf8.ValidString(key) {
			return
		}
		if a := bytes.Trim(obj, " \t\r\n"); a[0] == '[' {
			again := append(append([]byte{'['}, bytes.TrimSuffix(elements, []byte{','})...), ']')
			if diff := cmp.Diff(compact(t, a), compact(t, again)); diff != "" {
				t.Fatalf("Elements(%q) (-want +got):\n%s", obj, diff)
			}
		}
		for name, out := range map[string][]byte{"set": set, "removed": removed} {
			if err := jsonrpc.Valid(out, nil); err != nil {
				t.Fatalf("%s: Splice(%q, %q, %q) = %q: %v", name, obj, key, value, out, err)
			}
			want := map[string]string{}
			maps.Copy(want, members)
			delete(want, key)
			if name == "set" {
				want[key] = string(value)
			}
			got := map[string]string{}
			for k, v := range jsonrpc.Members(out) {
				got[k] = string(v)
				if !bytes.Equal(jsonrpc.Get(out, k), v) {
					t.Fatalf("Get(%q, %q): got %q, want %q", out, k, jsonrpc.Get(out, k), v)
				}
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Fatalf("%s: Splice(%q, %q, %q) = %q (-want +got):\n%s", name, obj, key, value, out, diff)
			}
		}
	})
}

func compact(t *testing.T, raw []byte) string {
	t.Helper()
	v := jsontext.Value(bytes.Clone(raw))
	if err := v.Compact(); err != nil {
		t.Fatalf("%q: %v", raw, err)
	}
	return string(v)
}

// FuzzReader: the lines are those of the text whatever the sizes of the reads, an over-long
// one is reported in its place, and the buffer stays within the limit.
func FuzzReader(f *testing.F) {
	f.Add([]byte("a\n\nbb\r\n"+strings.Repeat("c", 50)+"\nd"), 10, false)
	f.Add([]byte(strings.Repeat(" ", 12)+"\r\n\r\r\n"), 11, true)
	f.Add([]byte("{}\n{}"), 1, true)
	f.Fuzz(func(t *testing.T, data []byte, limit int, slow bool) {
		if limit < 1 || limit > 1<<20 {
			return
		}
		var want []string
		for line := range bytes.SplitSeq(data, []byte("\n")) {
			line = bytes.TrimSuffix(line, []byte("\r"))
			switch {
			case len(line) > limit:
				want = append(want, overLong)
			case len(bytes.Trim(line, " \t\r")) > 0:
				want = append(want, string(line))
			}
		}
		var source io.Reader = bytes.NewReader(data)
		if slow {
			source = iotest.OneByteReader(source)
		}
		r := jsonrpc.NewReader(readFunc(func(p []byte) (int, error) {
			if len(p) > limit+2 {
				t.Fatalf("a read into %d bytes, limit %d", len(p), limit)
			}
			return source.Read(p)
		}), &jsonrpc.Limits{MaxBytes: limit})
		if diff := cmp.Diff(want, readAll(t, r)); diff != "" {
			t.Fatalf("%q, limit %d (-want +got):\n%s", data, limit, diff)
		}
	})
}
