package mcp_test

import (
	"context"
	"strings"
	"testing"

	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/mcp/jsonrpc"
	"github.com/fairlead-mcp/fairlead/mcp/mcptest"
	"github.com/google/go-cmp/cmp"
)

// parent is the example of the specification.
const parent = "00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01"

// traceMeta makes a _meta object of three values, each left out when empty.
func traceMeta(parent, state, baggage string) []byte {
	var members []jsonrpc.Member
	for _, m := range []struct{ key, value string }{{mcp.MetaTraceParent, parent}, {mcp.MetaTraceState, state}, {mcp.MetaBaggage, baggage}} {
		if m.value != "" {
			members = append(members, jsonrpc.Member{Key: m.key, Value: jsonrpc.AppendString(nil, m.value)})
		}
	}
	return jsonrpc.Splice(nil, nil, members...)
}

func TestTraceOf(t *testing.T) {
	for _, tt := range []struct {
		name                   string
		parent, state, baggage string
		want                   mcp.Trace
	}{
		{"all three", parent, "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE", "userId=alice,serverNode=DF%2028;isProduction=false;x", mcp.Trace{
			Parent: parent, State: "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE", Baggage: "userId=alice,serverNode=DF%2028;isProduction=false;x",
		}},
		{"baggage alone", "", "", "a=1", mcp.Trace{Baggage: "a=1"}},
		{"state without a parent", "", "a=1", "", mcp.Trace{}},
		{"state of an invalid parent", parent[:54], "a=1", "b=2", mcp.Trace{Baggage: "b=2"}},
		{"version 00 with more fields", parent + "-00", "", "", mcp.Trace{}},
		{"a later version with more fields", "01" + parent[2:] + "-what-ever", "", "", mcp.Trace{Parent: "01" + parent[2:] + "-what-ever"}},
		{"a later version that is too long", "01" + parent[2:] + "-" + strings.Repeat("x", 300), "", "", mcp.Trace{}},
		{"version ff", "ff" + parent[2:], "", "", mcp.Trace{}},
		{"upper case", strings.ToUpper(parent), "", "", mcp.Trace{}},
		{"no trace id", "00-" + strings.Repeat("0", 32) + "-00f067aa0ba902b7-01", "", "", mcp.Trace{}},
		{"no parent id", "00-0af7651916cd43dd8448eb211c80319c-" + strings.Repeat("0", 16) + "-01", "", "", mcp.Trace{}},
		{"a wrong separator", strings.Replace(parent, "-", "_", 1), "", "", mcp.Trace{}},
		{"state of several tenants, spaces and empty members", parent, "fw529a3039@dt=FfAAA , ,b=x y", "", mcp.Trace{Parent: parent, State: "fw529a3039@dt=FfAAA , ,b=x y"}},
		{"a key of the state twice", parent, "a=1,a=2", "", mcp.Trace{Parent: parent}},
		{"a key of the state in upper case", parent, "A=1", "", mcp.Trace{Parent: parent}},
		{"a state without a value", parent, "a=", "", mcp.Trace{Parent: parent}},
		{"a state with too long a value", parent, "a=" + strings.Repeat("x", 257), "", mcp.Trace{Parent: parent}},
		{"a state with 33 members", parent, many(33), "", mcp.Trace{Parent: parent}},
		{"a state with 32 members", parent, many(32), "", mcp.Trace{Parent: parent, State: many(32)}},
		{"a state that breaks the line", parent, "a=1\nb", "", mcp.Trace{Parent: parent}},
		{"baggage without a value", "", "", "a", mcp.Trace{}},
		{"baggage with a quote", "", "", `a="b"`, mcp.Trace{}},
		{"baggage with bytes beyond ASCII", "", "", "a=ä", mcp.Trace{}},
		{"baggage with 65 members", "", "", many(65), mcp.Trace{}},
		{"baggage that is too long", "", "", "a=" + strings.Repeat("x", 8<<10), mcp.Trace{}},
		{"baggage of the greatest length", "", "", "a=" + strings.Repeat("x", 8<<10-2), mcp.Trace{Baggage: "a=" + strings.Repeat("x", 8<<10-2)}},
	} {
		if diff := cmp.Diff(tt.want, mcp.TraceOf(traceMeta(tt.parent, tt.state, tt.baggage))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
	}
	if got := mcp.TraceOf([]byte(`{"traceparent":1,"tracestate":null,"baggage":{}}`)); got != (mcp.Trace{}) {
		t.Errorf("values that are no strings = %+v", got)
	}
}

// many makes a list of n members.
func many(n int) string {
	var b strings.Builder
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString("k" + string(rune('a'+i/26)) + string(rune('a'+i%26)) + "=1")
	}
	return b.String()
}

func FuzzTrace(f *testing.F) {
	f.Add(parent, "rojo=1,congo=2", "a=1;b,c=2")
	f.Add("01-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01-x", "a@b=1", "a = 1")
	f.Add("00-", ",,=,", ";;=")
	f.Fuzz(func(t *testing.T, parent, state, baggage string) {
		got := mcp.TraceOf(traceMeta(parent, state, baggage))
		if again := mcp.TraceOf(traceMeta(got.Parent, got.State, got.Baggage)); again != got {
			t.Errorf("%+v is not stable: %+v", got, again)
		}
		if len(got.Parent)+len(got.State)+len(got.Baggage) > 256+4<<10+8<<10 || got.State != "" && got.Parent == "" {
			t.Errorf("%+v is beyond its bounds", got)
		}
	})
}

func TestTraceReachesHandlers(t *testing.T) {
	type seen struct {
		trace mcp.Trace
		meta  string
	}
	for _, version := range mcp.Versions() {
		t.Run(string(version), func(t *testing.T) {
			var got seen
			s := mcp.NewServer("s", "1", nil)
			if err := mcp.AddTool(s, mcp.Tool{Name: "look"}, func(_ context.Context, call *mcp.Call, _ struct{}) (string, error) {
				got = seen{call.Trace(), string(jsonrpc.Get(call.Request().Meta.Raw, "x"))}
				for key := range jsonrpc.Members(call.Request().Meta.Raw) {
					if key == mcp.MetaTraceParent && got.trace.Parent == "" {
						t.Error("a trace context that is not valid went on")
					}
				}
				return "", nil
			}); err != nil {
				t.Fatal(err)
			}
			c := mcp.NewClient("c", "1", mcptest.Pair(t, s, version), nil)
			want := mcp.Trace{Parent: parent, State: "a=1", Baggage: "b=2"}
			other := strings.Replace(parent, "-01", "-00", 1)
			for _, tt := range []struct {
				name string
				ctx  mcp.Trace
				meta string
				want seen
			}{
				{"none", mcp.Trace{}, `{"x":1}`, seen{mcp.Trace{}, "1"}},
				{"of the context", want, `{"x":1}`, seen{want, "1"}},
				{"of the call", want, `{"x":1,"traceparent":"` + other + `"}`, seen{mcp.Trace{Parent: other}, "1"}},
				{"not valid", mcp.Trace{Parent: "00-1"}, `{"x":1,"traceparent":"00-2"}`, seen{mcp.Trace{}, "1"}},
				{"of the context instead of one that is not valid", want, `{"traceparent":"00-2"}`, seen{want, ""}},
			} {
				ctx := mcp.ContextWithTrace(t.Context(), tt.ctx)
				if _, err := c.CallTool(ctx, "look", nil, &mcp.CallOptions{Meta: mcp.Raw(tt.meta)}); err != nil {
					t.Fatalf("%s: %v", tt.name, err)
				}
				if diff := cmp.Diff(tt.want, got, cmp.AllowUnexported(seen{})); diff != "" {
					t.Errorf("%s (-want +got):\n%s", tt.name, diff)
				}
			}
		})
	}
}

// An interceptor that makes a span gives its own trace context to the request.
func TestTraceOfInterceptor(t *testing.T) {
	var got mcp.Trace
	h := mcp.HandlerFunc(func(_ context.Context, req *mcp.Request, _ mcp.Sink) (mcp.Result, error) {
		got = mcp.TraceOf(req.Meta.Raw)
		return mcp.Result{Body: []byte(`{"content":[]}`)}, nil
	})
	span := strings.Replace(parent, "00f067aa0ba902b7", "1111111111111111", 1)
	c := mcp.NewClient("c", "1", h, &mcp.ClientOptions{Interceptors: []mcp.Interceptor{func(next mcp.Handler) mcp.Handler {
		return mcp.HandlerFunc(func(ctx context.Context, req *mcp.Request, sink mcp.Sink) (mcp.Result, error) {
			in := mcp.TraceFromContext(ctx)
			in.Parent = span
			return next.Handle(mcp.ContextWithTrace(ctx, in), req, sink)
		})
	}}})
	ctx := mcp.ContextWithTrace(t.Context(), mcp.Trace{Parent: parent, Baggage: "b=2"})
	if _, err := c.CallTool(ctx, "x", nil, nil); err != nil {
		t.Fatal(err)
	}
	if want := (mcp.Trace{Parent: span, Baggage: "b=2"}); got != want {
		t.Errorf("trace = %+v, want %+v", got, want)
	}
}
