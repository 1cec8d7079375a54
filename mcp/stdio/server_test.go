package stdio_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/mcp/jsonrpc"
	"github.com/fairlead-mcp/fairlead/mcp/mcptest"
	"github.com/fairlead-mcp/fairlead/mcp/mcptest/wirecheck"
	"github.com/fairlead-mcp/fairlead/mcp/stdio"
)

const modernMeta = `"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}`

// wire is a client that writes and reads lines.
type wire struct {
	t      *testing.T
	in     *io.PipeWriter
	out    *bufio.Reader
	served chan error // what ServeConn returned
}

func dial(ctx context.Context, t *testing.T, h mcp.Handler, opts *stdio.ServeOptions) *wire {
	t.Helper()
	inR, inW := io.Pipe()
	outR, outW := io.Pipe()
	w := &wire{t: t, in: inW, out: bufio.NewReader(outR), served: make(chan error, 1)}
	in, out := mcptest.Tap(t, wirecheck.Server).Pipes(wirecheck.Server, inR, outW)
	go func() {
		w.served <- stdio.ServeConn(ctx, h, in, out, opts)
		outW.Close()
	}()
	t.Cleanup(func() {
		inW.Close()
		outR.Close()
	})
	return w
}

func (w *wire) send(format string, args ...any) {
	w.t.Helper()
	if _, err := fmt.Fprintf(w.in, format+"\n", args...); err != nil {
		w.t.Error(err)
	}
}

func (w *wire) call(id, tool, arguments string) {
	w.t.Helper()
	w.send(`{"jsonrpc":"2.0","id":%s,"method":"tools/call","params":{"name":"%s","arguments":%s,%s}}`, id, tool, arguments, modernMeta)
}

func (w *wire) want(lines ...string) {
	w.t.Helper()
	for _, want := range lines {
		got, err := w.out.ReadString('\n')
		if err != nil {
			w.t.Fatalf("%v, wanted %s", err, want)
		}
		if diff := cmp.Diff(want, strings.TrimSuffix(got, "\n")); diff != "" {
			w.t.Error("(-want +got)\n" + diff)
		}
	}
}

// sync checks that nothing else is to come: the next answer is to this.
func (w *wire) sync() {
	w.t.Helper()
	w.call(`"sync"`, "echo", `{}`)
	w.want(`{"jsonrpc":"2.0","id":"sync","result":{"resultType":"complete","content":[],"structuredContent":{}}}`)
}

func TestServeAnswers(t *testing.T) {
	ok := func(id string) string {
		return `{"jsonrpc":"2.0","id":` + id + `,"result":{"resultType":"complete","content":[],"structuredContent":{"a":1}}}`
	}
	request := func(id string) string {
		return `{"jsonrpc":"2.0","id":` + id + `,"method":"tools/call","params":{"name":"echo","arguments":{"a":1},` + modernMeta + `}}`
	}
	tests := []struct{ name, line, want string }{ // no want: no answer
		{"call", request("1"), ok("1")},
		{"id digit for digit", request("-12345678901234567890"), ok("-12345678901234567890")},
		{"string id", request(`"\u0061b"`), ok(`"\u0061b"`)},
		{"carriage return", request("1") + "\r", ok("1")},
		{"leading space", "  " + request("1"), ok("1")},
		{"blank line", "\r", ""},
		{"ping before initialize", `{"jsonrpc":"2.0","id":1,"method":"ping"}`, `{"jsonrpc":"2.0","id":1,"result":{}}`},
		{"response", `{"jsonrpc":"2.0","id":1,"result":{}}`, ""},
		{"unknown notification", `{"jsonrpc":"2.0","method":"notifications/whatever"}`, ""},
		{"cancelled, unknown", `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":77}}`, ""},
		{"cancelled, malformed", `{"jsonrpc":"2.0","method":"notifications/cancelled"}`, ""},
		{
			"method not found", `{"jsonrpc":"2.0","id":1,"method":"nope","params":{` + modernMeta + `}}`,
			`{"jsonrpc":"2.0","id":1,"error":{"code":-32601,"message":"Method not found: nope"}}`,
		},
		{"panic", strings.Replace(request("1"), "echo", "panic", 1), `{"jsonrpc":"2.0","id":1,"error":{"code":-32603,"message":"internal error"}}`},
		{
			"unsupported revision", strings.Replace(request("1"), "2026-07-28", "2031-01-01", 1),
			`{"jsonrpc":"2.0","id":1,"error":{"code":-32022,"message":"Unsupported protocol version","data":{"supported":["2026-07-28","2025-11-25","2025-06-18","2025-03-26","2024-11-05"],"requested":"2031-01-01"}}}`,
		},
	}
	panics := 0
	w := dial(t.Context(), t, fixture{}, &stdio.ServeOptions{OnPanic: func(string, any, []byte) { panics++ }})
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w.t = t
			w.send("%s", tt.line)
			if tt.want != "" {
				w.want(tt.want)
			}
			w.sync()
		})
	}
	if panics != 1 {
		t.Errorf("OnPanic was told of %d", panics)
	}
}

func TestServeRefuses(t *testing.T) {
	tests := []struct {
		name, line string
		code       int
		id         string // none: no id
	}{
		{"not JSON", `hello`, jsonrpc.CodeParseError, ""},
		{"cut off", `{"jsonrpc":"2.0","id":1`, jsonrpc.CodeParseError, ""},
		{"no message", `{"jsonrpc":"2.0","id":3}`, jsonrpc.CodeInvalidRequest, "3"},
		{"null id", `{"jsonrpc":"2.0","id":null,"method":"ping"}`, jsonrpc.CodeInvalidRequest, ""},
		{"batch", `[{"jsonrpc":"2.0","id":1,"method":"ping"}]`, jsonrpc.CodeInvalidRequest, ""},
		{"too long", `{"jsonrpc":"2.0","id":1,"method":"` + strings.Repeat("x", 5000) + `"}`, jsonrpc.CodeInvalidRequest, ""},
		{"without metadata", `{"jsonrpc":"2.0","id":4,"method":"tools/list"}`, jsonrpc.CodeInvalidParams, "4"},
	}
	w := dial(t.Context(), t, fixture{}, &stdio.ServeOptions{Limits: &jsonrpc.Limits{MaxBytes: 4096}})
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w.t = t
			go w.send("%s", tt.line) // the answer may come before all is read
			line, err := w.out.ReadBytes('\n')
			if err != nil {
				t.Fatal(err)
			}
			msg, err := jsonrpc.Scan(line, nil)
			if err != nil {
				t.Fatalf("%s: %v", line, err)
			}
			if code := string(jsonrpc.Get(msg.Error, "code")); code != fmt.Sprint(tt.code) || string(msg.ID) != tt.id {
				t.Errorf("answer %s, want code %d and id %q", line, tt.code, tt.id)
			}
			w.sync()
		})
	}
}

func TestServeCancellation(t *testing.T) {
	f := fixture{started: make(chan struct{}, 1), hanging: make(chan error, 1)}
	w := dial(t.Context(), t, f, nil)
	w.call("1", "hang", `{}`)
	<-f.started
	w.call("1", "echo", `{}`)
	w.want(`{"jsonrpc":"2.0","id":1,"error":{"code":-32600,"message":"The request id is in use by a request in flight"}}`)
	w.send(`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}`)
	if cause := <-f.hanging; cause == nil || !strings.Contains(cause.Error(), "cancelled") {
		t.Errorf("cause = %v", cause)
	}
	w.sync() // and no response

	// A cancellation right behind its request finds it.
	w.call("2", "hang", `{}`)
	w.send(`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":2}}`)
	<-f.hanging
	w.sync()
}

func TestServeProgressComesFirst(t *testing.T) {
	w := dial(t.Context(), t, fixture{}, nil)
	w.send(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"progress",%s}}`, strings.Replace(modernMeta, `{"io`, `{"progressToken":"p","io`, 1))
	for i := range 3 {
		w.want(fmt.Sprintf(`{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":"p","progress":%d}}`, i))
	}
	w.want(`{"jsonrpc":"2.0","id":1,"result":{"resultType":"complete","content":[]}}`)
}

func TestServeStreams(t *testing.T) {
	const listen = `{"jsonrpc":"2.0","id":%s,"method":"subscriptions/listen","params":{"notifications":{"toolsListChanged":true},` + modernMeta + `}}`
	id := func(id string) string { return `"_meta":{"io.modelcontextprotocol/subscriptionId":` + id + `}` }
	open := func(t *testing.T, w *wire, f fixture, n string) mcp.Sink {
		w.send(listen, n)
		w.want(`{"jsonrpc":"2.0","method":"notifications/subscriptions/acknowledged","params":{` + id(n) + `,"notifications":{"toolsListChanged":true}}}`)
		return <-f.streams
	}
	changed := mcp.NewNotification(mcp.NotificationToolsListChanged, nil)
	f := fixture{streams: make(chan mcp.Sink, 1)}

	t.Run("cancelled", func(t *testing.T) {
		w := dial(t.Context(), t, f, &stdio.ServeOptions{MaxInFlight: 1})
		one := open(t, w, f, `1`)
		two := open(t, w, f, `"two"`) // streams take no worker
		if err := errors.Join(one.Notify(changed), two.Notify(changed)); err != nil {
			t.Error(err)
		}
		w.want(`{"jsonrpc":"2.0","method":"notifications/tools/list_changed","params":{`+id("1")+`}}`,
			`{"jsonrpc":"2.0","method":"notifications/tools/list_changed","params":{`+id(`"two"`)+`}}`)
		w.send(`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}`)
		w.sync()
		if err := one.Notify(changed); err != mcp.ErrSinkClosed {
			t.Errorf("after the cancellation: %v", err)
		}
		two.End(mcp.Result{}, nil)
		two.End(mcp.Result{}, errors.New("the second End does nothing"))
		w.want(`{"jsonrpc":"2.0","id":"two","result":{"resultType":"complete",` + id(`"two"`) + `}}`)
		w.sync()
	})
	t.Run("end of input", func(t *testing.T) {
		w := dial(t.Context(), t, f, nil)
		open(t, w, f, `1`)
		w.in.Close()
		w.want(`{"jsonrpc":"2.0","id":1,"result":{"resultType":"complete",` + id("1") + `}}`)
		if err := <-w.served; err != nil {
			t.Error(err)
		}
	})
	t.Run("too many", func(t *testing.T) {
		w := dial(t.Context(), t, f, &stdio.ServeOptions{MaxStreams: 1})
		open(t, w, f, `1`)
		open(t, w, f, `2`)
		w.want(`{"jsonrpc":"2.0","id":2,"error":{"code":-32603,"message":"Too many open streams"}}`)
		w.sync()
	})
	t.Run("slow client", func(t *testing.T) {
		w := dial(t.Context(), t, f, nil)
		sink := open(t, w, f, `1`)
		big := mcp.NewNotification(mcp.NotificationToolsListChanged, []byte(`{"x":"`+strings.Repeat("x", 100<<10)+`"}`))
		var err error
		for range 20 {
			err = errors.Join(err, sink.Notify(big)) // never waits
		}
		if !errors.Is(err, mcp.ErrSinkClosed) {
			t.Errorf("error = %v", err)
		}
		for {
			line, err := w.out.ReadString('\n')
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(line, `"error"`) {
				break
			}
		}
		w.sync()
	})
}

func TestServeLegacy(t *testing.T) {
	initialize := func(version string) string {
		return `{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"` + version + `","capabilities":{},"clientInfo":{"name":"c","version":"1"}}}`
	}
	answer := func(version string) string {
		return `{"jsonrpc":"2.0","id":0,"result":{"protocolVersion":"` + version + `","capabilities":{"tools":{"listChanged":true}},"serverInfo":{"name":"fixture","version":"1"}}}`
	}
	f := fixture{streams: make(chan mcp.Sink, 1), started: make(chan struct{}, 1), hanging: make(chan error, 1)}
	w := dial(t.Context(), t, f, nil)
	w.send("%s", initialize("2025-11-25"))
	w.want(answer("2025-11-25"))
	w.send(`{"jsonrpc":"2.0","method":"notifications/initialized"}`)
	changes := <-f.streams
	if err := changes.Notify(mcp.NewNotification(mcp.NotificationToolsListChanged, nil)); err != nil {
		t.Error(err)
	}
	w.want(`{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}`)

	w.send(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo","arguments":{"a":1}}}`)
	w.want(`{"jsonrpc":"2.0","id":1,"result":{"content":[],"structuredContent":{"a":1}}}`)
	w.sync() // a modern request beside the session

	w.send(`{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"hang","arguments":{}}}`)
	<-f.started
	w.send(`{"jsonrpc":"2.0","id":2,"method":"ping"}`)
	w.want(`{"jsonrpc":"2.0","id":2,"error":{"code":-32600,"message":"The request id is in use by a request in flight"}}`)
	w.send(`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":2}}`)
	<-f.hanging
	w.sync()

	w.send(`{"jsonrpc":"2.0","id":3,"method":"tools/call","params":{"name":"panic"}}`)
	w.want(`{"jsonrpc":"2.0","id":3,"error":{"code":-32603,"message":"internal error"}}`)

	t.Run("batch of 2025-03-26", func(t *testing.T) {
		w := dial(t.Context(), t, f, &stdio.ServeOptions{MaxInFlight: 1})
		w.send("%s", initialize("2025-03-26"))
		w.want(answer("2025-03-26"))
		w.send(`[{"jsonrpc":"2.0","id":1,"method":"ping"},{"jsonrpc":"2.0","method":"notifications/x"},{"jsonrpc":"2.0","id":2,"method":"ping"}]`)
		w.want(`[{"jsonrpc":"2.0","id":1,"result":{}},{"jsonrpc":"2.0","id":2,"result":{}}]`)
		w.send(`[{"jsonrpc":"2.0","method":"notifications/x"}]`)
		w.send(`[]`)
		w.want(`{"jsonrpc":"2.0","error":{"code":-32600,"message":"A batch has 1 to 50 messages"}}`)
		w.send(`[{"jsonrpc":"2.0","id":1,"method":"ping"}` + strings.Repeat(`,{"jsonrpc":"2.0","method":"notifications/x"}`, 50) + `]`)
		w.want(`{"jsonrpc":"2.0","error":{"code":-32600,"message":"A batch has 1 to 50 messages"}}`)
	})
}

func TestServeBoundsRequestsInFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := fixture{started: make(chan struct{}, 3), release: make(chan struct{})}
		w := dial(t.Context(), t, f, &stdio.ServeOptions{MaxInFlight: 2})
		go func() {
			for id := range 3 {
				w.call(fmt.Sprint(id), "wait", `{}`)
			}
		}()
		synctest.Wait()
		if len(f.started) != 2 {
			t.Errorf("%d requests run", len(f.started))
		}
		close(f.release)
		for range 3 {
			if _, err := w.out.ReadString('\n'); err != nil {
				t.Fatal(err)
			}
		}
		w.in.Close()
		if err := <-w.served; err != nil {
			t.Error(err)
		}
	})
}

func TestServeEnds(t *testing.T) {
	t.Run("input, with calls in flight", func(t *testing.T) {
		f := fixture{started: make(chan struct{}, 1), release: make(chan struct{})}
		w := dial(t.Context(), t, f, nil)
		w.call("1", "wait", `{}`)
		<-f.started
		w.in.Close()
		close(f.release)
		w.want(`{"jsonrpc":"2.0","id":1,"result":{"resultType":"complete","content":[]}}`)
		if err := <-w.served; err != nil {
			t.Error(err)
		}
	})
	t.Run("input, calls beyond the grace", func(t *testing.T) {
		f := fixture{started: make(chan struct{}, 1), hanging: make(chan error, 1)}
		w := dial(t.Context(), t, f, &stdio.ServeOptions{Grace: 10 * time.Millisecond})
		w.call("1", "hang", `{}`)
		<-f.started
		w.in.Close()
		<-f.hanging
		w.want(`{"jsonrpc":"2.0","id":1,"error":{"code":-32603,"message":"request cancelled"}}`)
		if err := <-w.served; err != nil {
			t.Error(err)
		}
	})
	t.Run("context", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		w := dial(ctx, t, fixture{}, nil)
		w.sync()
		cancel()
		if err := <-w.served; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
	t.Run("context, with an input that cannot be interrupted", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		inR, inW := io.Pipe()
		outR, outW := io.Pipe()
		served := make(chan error, 1)
		go func() {
			served <- stdio.ServeConn(ctx, fixture{}, struct{ io.Reader }{inR}, outW, &stdio.ServeOptions{Grace: time.Hour})
		}()
		w := &wire{t: t, in: inW, out: bufio.NewReader(outR)}
		w.sync()
		cancel()
		if err := <-served; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		inW.Close()
	})
	t.Run("output", func(t *testing.T) {
		inR, inW := io.Pipe()
		outR, outW := io.Pipe()
		outR.CloseWithError(errors.New("gone"))
		served := make(chan error, 1)
		go func() { served <- stdio.ServeConn(t.Context(), fixture{}, inR, outW, nil) }()
		fmt.Fprintln(inW, `{"jsonrpc":"2.0","id":1,"method":"ping"}`)
		if err := <-served; err == nil || !strings.Contains(err.Error(), "gone") {
			t.Error(err)
		}
	})
}

func TestServePipelined(t *testing.T) {
	w := dial(t.Context(), t, fixture{}, nil)
	const n = 2000
	go func() {
		for i := range n {
			w.call(fmt.Sprint(i), "echo", fmt.Sprintf(`{"n":%d}`, i))
		}
	}()
	seen := make(map[string]bool)
	for range n {
		line, err := w.out.ReadBytes('\n')
		if err != nil {
			t.Fatal(err)
		}
		msg, err := jsonrpc.Scan(line, nil)
		if err != nil {
			t.Fatal(err)
		}
		if want := fmt.Sprintf(`{"n":%s}`, msg.ID); string(jsonrpc.Get(msg.Result, "structuredContent")) != want || seen[string(msg.ID)] {
			t.Fatalf("answer %s", line)
		}
		seen[string(msg.ID)] = true
	}
}
