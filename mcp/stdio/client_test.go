package stdio_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/mcp/jsonrpc"
	"github.com/fairlead-mcp/fairlead/mcp/mcptest/wirecheck"
	"github.com/fairlead-mcp/fairlead/mcp/stdio"
)

// start starts a child and ends it with the test.
func start(t *testing.T, behaviour string, opts *stdio.ClientOptions) *stdio.Client {
	t.Helper()
	cmd := child(behaviour)
	wire := filepath.Join(t.TempDir(), "wire")
	cmd.Env = append(cmd.Env, wireEnv+"="+wire)
	c, err := stdio.Start(t.Context(), cmd, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(context.Background()); err != nil {
			t.Error(err)
		}
		checkWire(t, wire)
	})
	return c
}

// checkWire holds what the client has sent to a child against the schemas.
func checkWire(t *testing.T, path string) {
	t.Helper()
	tap, err := wirecheck.FromFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, problem := range tap.Check(wirecheck.Client).Problems {
		t.Error(problem)
	}
}

func TestEra(t *testing.T) {
	options := func(behaviour string, era stdio.Era) *stdio.ClientOptions {
		o := &stdio.ClientOptions{Era: era, ProbeAfterStart: time.Minute} // machines may be slow
		if behaviour == "silent" {
			o.ProbeAfterStart = 300 * time.Millisecond
		}
		return o
	}
	tests := []struct {
		behaviour string
		era       stdio.Era
		want      stdio.Era
		err       string
	}{
		{"modern", stdio.EraAuto, stdio.EraModern, ""},
		{"modern", stdio.EraModern, stdio.EraModern, ""},
		{"modern", stdio.EraLegacy, stdio.EraLegacy, ""},
		{"banner", stdio.EraAuto, stdio.EraModern, ""},
		{"legacy", stdio.EraAuto, stdio.EraLegacy, ""},
		{"legacy", stdio.EraLegacy, stdio.EraLegacy, ""},
		{"legacy", stdio.EraModern, "", "Method not found"},
		{"silent", stdio.EraAuto, stdio.EraLegacy, ""},
		{"exits", stdio.EraAuto, stdio.EraLegacy, ""},
		{"exits", stdio.EraModern, "", "exit status 3"},
		{"future", stdio.EraAuto, "", "2031-01-01"},
		{"odd version", stdio.EraAuto, "", "1999-01-01"},
	}
	for _, tt := range tests {
		t.Run(tt.behaviour+" "+string(tt.era), func(t *testing.T) {
			t.Parallel()
			c, err := stdio.Start(t.Context(), child(tt.behaviour), options(tt.behaviour, tt.era))
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) {
					t.Fatalf("error = %v, want one that tells of %q", err, tt.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close(context.Background())
			if c.Era() != tt.want {
				t.Errorf("era = %q, want %q", c.Era(), tt.want)
			}
			res, err := c.Handle(t.Context(), &mcp.Request{Method: mcp.MethodDiscover}, mcp.Discard)
			if err != nil {
				t.Fatal(err)
			}
			if jsonrpc.Get(res.Body, "supportedVersions") == nil {
				t.Errorf("discover: %s", res.Body)
			}
		})
	}
}

func TestStartFails(t *testing.T) {
	t.Run("no such program", func(t *testing.T) {
		cmd := child("modern")
		cmd.Path = "/nonexistent/program"
		if _, err := stdio.Start(t.Context(), cmd, nil); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("error = %v", err)
		}
	})
	t.Run("never answers", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer cancel()
		_, err := stdio.Start(ctx, child("mute"), &stdio.ClientOptions{ProbeAfterOutput: 50 * time.Millisecond})
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error = %v", err)
		}
	})
}

func TestCall(t *testing.T) {
	c := start(t, "modern", nil)
	res, err := c.Handle(t.Context(), call("echo", `{"text":"grüße\n"}`), mcp.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(`{"content":[],"structuredContent":{"text":"grüße\n"}}`, string(res.Body)); diff != "" {
		t.Error("(-want +got)\n" + diff)
	}
	_, err = c.Handle(t.Context(), call("nothing", `{}`), mcp.Discard)
	if !mcp.IsWireError(err) || !errors.Is(err, &mcp.Error{Code: jsonrpc.CodeInvalidParams}) {
		t.Errorf("error of the server = %v", err)
	}
}

func TestProgressReachesItsCall(t *testing.T) {
	c := start(t, "modern", nil)
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			req := call("progress", `{}`)
			req.Meta.ProgressToken = []byte(`"t"`) // all the same
			sink := record()
			if _, err := c.Handle(t.Context(), req, sink); err != nil {
				t.Error(err)
			}
			want := []string{
				`notifications/progress {"progressToken":"t","progress":0}`,
				`notifications/progress {"progressToken":"t","progress":1}`,
				`notifications/progress {"progressToken":"t","progress":2}`,
			}
			if diff := cmp.Diff(want, sink.drained()); diff != "" {
				t.Error("(-want +got)\n" + diff)
			}
		})
	}
	wg.Wait()
}

func TestLegacyTranslation(t *testing.T) {
	var mu sync.Mutex
	var unasked []string
	c := start(t, "legacy", &stdio.ClientOptions{OneCaller: true, OnNotification: func(method string, _ []byte) {
		mu.Lock()
		defer mu.Unlock()
		unasked = append(unasked, method)
	}})
	if c.Version() != mcp.Version20250618 {
		t.Errorf("version = %s", c.Version())
	}
	do := func(req *mcp.Request, sink mcp.Sink) string {
		t.Helper()
		res, err := c.Handle(t.Context(), req, sink)
		if err != nil {
			return err.Error()
		}
		if res.Type != mcp.ResultComplete || res.Cache != (mcp.Cache{Scope: mcp.CachePrivate}) {
			t.Errorf("result %+v", res)
		}
		return string(res.Body)
	}

	got := do(&mcp.Request{Method: mcp.MethodDiscover}, mcp.Discard)
	want := `{"supportedVersions":["2025-06-18"],"capabilities":{"tools":{"listChanged":true},"resources":{"subscribe":true},"logging":{}},"instructions":"be kind","_meta":{"io.modelcontextprotocol/serverInfo":{"name":"old","version":"1"}}}`
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error("discover (-want +got)\n" + diff)
	}

	// The server's requests: ping is answered, the rest refused.
	got = do(&mcp.Request{Method: mcp.MethodListTools}, mcp.Discard)
	want = `{"tools":[],"answers":[{"jsonrpc":"2.0","id":"p","result":{}},{"jsonrpc":"2.0","id":7,"error":{"code":-32601,"message":"Method not found: roots/list"}}]}`
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error("list (-want +got)\n" + diff)
	}

	req := call("any", `{}`)
	req.Meta = mcp.PeekMeta([]byte(`{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{},"io.modelcontextprotocol/logLevel":"warning","traceparent":"00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01","tracestate":"A","progressToken":"mine"}`))
	sink := record()
	got = do(req, sink)
	if !strings.Contains(got, `"_meta":{"traceparent":"00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01","progressToken":`) || strings.Contains(got, "mine") || strings.Contains(got, "clientCapabilities") {
		t.Errorf("params were %s", got)
	}
	if diff := cmp.Diff([]string{
		`notifications/progress {"progressToken":"mine","progress":1}`,
		`notifications/message {"level":"error","data":"e"}`,
	}, sink.drained()); diff != "" {
		t.Error("notifications (-want +got)\n" + diff)
	}

	_, err := c.Handle(t.Context(), &mcp.Request{Method: mcp.MethodReadResource, Name: "x:y", Params: []byte(`{"uri":"x:y"}`)}, mcp.Discard)
	var e *mcp.Error
	if !errors.As(err, &e) || !mcp.IsWireError(err) || e.Code != jsonrpc.CodeInvalidParams || string(e.Data) != `{"uri":"x:y"}` {
		t.Errorf("unknown resource: %#v", err)
	}
	for _, method := range []string{"initialize", "ping", "resources/subscribe", "logging/setLevel"} {
		if _, err := c.Handle(t.Context(), &mcp.Request{Method: method}, mcp.Discard); !errors.Is(err, &mcp.Error{Code: jsonrpc.CodeMethodNotFound}) {
			t.Errorf("%s: %v", method, err)
		}
	}
}

func TestListen(t *testing.T) {
	listen := func(filter string) *mcp.Request {
		return &mcp.Request{Method: mcp.MethodListen, Params: []byte(`{"notifications":` + filter + `}`)}
	}
	t.Run("modern", func(t *testing.T) {
		c := start(t, "modern", nil)
		sink := record()
		res, err := c.Handle(t.Context(), listen(`{"toolsListChanged":true}`), sink)
		if err != nil || !res.Stream {
			t.Fatalf("%+v, %v", res, err)
		}
		for _, want := range []string{
			`notifications/subscriptions/acknowledged {"notifications":{"toolsListChanged":true}}`,
			`notifications/tools/list_changed `,
		} {
			if diff := cmp.Diff(want, <-sink.got); diff != "" {
				t.Error("(-want +got)\n" + diff)
			}
		}
		go c.Close(context.Background())
		if err := <-sink.ended; err != nil {
			t.Errorf("stream ended with %v, though the server ended it gracefully", err)
		}
	})
	t.Run("modern, killed", func(t *testing.T) {
		c := start(t, "modern", nil)
		sink := record()
		if _, err := c.Handle(t.Context(), listen(`{}`), sink); err != nil {
			t.Fatal(err)
		}
		go c.Handle(t.Context(), call("die", `{}`), mcp.Discard)
		if err := <-sink.ended; !errors.Is(err, mcp.ErrClosed) {
			t.Errorf("stream ended with %v", err)
		}
	})
	t.Run("legacy", func(t *testing.T) {
		stderr := make(chan string, 10)
		c := start(t, "legacy", &stdio.ClientOptions{Stderr: func(line []byte) { stderr <- string(line) }})
		sinks := [2]recorder{record(), record()}
		var cancels [2]context.CancelFunc
		for i, sink := range sinks {
			ctx, cancel := context.WithCancel(t.Context())
			cancels[i] = cancel
			res, err := c.Handle(ctx, listen(`{"toolsListChanged":true,"promptsListChanged":true,"resourceSubscriptions":["a:b","bad:c","a:b"]}`), sink)
			if err != nil || !res.Stream {
				t.Fatalf("%+v, %v", res, err)
			}
			want := `notifications/subscriptions/acknowledged {"notifications":{"toolsListChanged":true,"resourceSubscriptions":["a:b"]}}`
			if diff := cmp.Diff(want, <-sink.got); diff != "" {
				t.Error("(-want +got)\n" + diff)
			}
		}
		if _, err := c.Handle(t.Context(), call("any", `{}`), mcp.Discard); err != nil {
			t.Fatal(err)
		}
		for _, sink := range sinks {
			if got := <-sink.got; got != `notifications/resources/updated {"uri":"a:b"}` {
				t.Error(got)
			}
		}
		cancels[0]()
		cancels[1]()
		if got := <-stderr; got != "unsubscribed" { // once, when the last has gone
			t.Error(got)
		}
	})
}

func TestCancel(t *testing.T) {
	c := start(t, "modern", nil)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := c.Handle(ctx, call("hang", `{}`), mcp.Discard); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error = %v", err)
	}
	// The connection goes on, and the server was told: it answers no more.
	if _, err := c.Handle(t.Context(), call("echo", `{}`), mcp.Discard); err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff(stdio.Stats{}, c.Stats()); diff != "" {
		t.Error("(-want +got)\n" + diff)
	}
}

func TestDeathEndsCalls(t *testing.T) {
	for tool, status := range map[string]string{"die": "signal: killed", "exit": "exit status 7", "close stdout": "closed its output"} {
		t.Run(tool, func(t *testing.T) {
			c := start(t, "modern", &stdio.ClientOptions{StopWait: 50 * time.Millisecond})
			failed := make(chan error, 5)
			for range 4 {
				go func() {
					_, err := c.Handle(t.Context(), call("hang", `{}`), mcp.Discard)
					failed <- err
				}()
			}
			go func() {
				_, err := c.Handle(t.Context(), call(tool, `{}`), mcp.Discard)
				failed <- err
			}()
			for range 5 {
				if err := <-failed; !errors.Is(err, mcp.ErrClosed) || !strings.Contains(err.Error(), status) {
					t.Errorf("error = %v, want one that tells of %q", err, status)
				}
			}
			<-c.Done()
			if err := c.Err(); !errors.Is(err, mcp.ErrClosed) {
				t.Errorf("Err = %v", err)
			}
			if _, err := c.Handle(t.Context(), call("echo", `{}`), mcp.Discard); !errors.Is(err, mcp.ErrClosed) {
				t.Errorf("call after the end: %v", err)
			}
		})
	}
}

func TestStrangeServer(t *testing.T) {
	c := start(t, "modern", &stdio.ClientOptions{Limits: &jsonrpc.Limits{MaxBytes: 64 << 10}, MaxBadLines: 10, StopWait: 50 * time.Millisecond})
	for _, tool := range []string{"long line", "strange answers"} {
		if _, err := c.Handle(t.Context(), call(tool, `{}`), mcp.Discard); err != nil {
			t.Errorf("%s: %v", tool, err)
		}
	}
	want := stdio.Stats{BadLines: 1, LateAnswers: 1, UnknownAnswers: 2, DroppedNotifications: 1, RefusedRequests: 1}
	if diff := cmp.Diff(want, c.Stats()); diff != "" {
		t.Error("(-want +got)\n" + diff)
	}
	if _, err := c.Handle(t.Context(), call("duplicate keys", `{}`), mcp.Discard); err == nil || !strings.Contains(err.Error(), "malformed answer") {
		t.Errorf("duplicate keys: %v", err)
	}
	if _, err := c.Handle(t.Context(), call("garbage", `{}`), mcp.Discard); !errors.Is(err, mcp.ErrClosed) || !strings.Contains(err.Error(), "too many") {
		t.Errorf("garbage: %v", err)
	}
}

func TestServerThatStopsReading(t *testing.T) {
	inR, inW := io.Pipe()
	outR, outW := io.Pipe()
	defer inR.Close()
	go func() {
		line, err := bufio.NewReaderSize(inR, 64).ReadBytes('\n')
		msg, scanErr := jsonrpc.Scan(line, nil)
		if err != nil || scanErr != nil {
			t.Error(err, scanErr)
		}
		fmt.Fprintf(outW, `{"jsonrpc":"2.0","id":%s,"result":{"resultType":"complete","supportedVersions":["2026-07-28"],"capabilities":{}}}`+"\n", msg.ID)
	}()
	c, err := stdio.NewClient(t.Context(), outR, inW, &stdio.ClientOptions{WriteTimeout: 200 * time.Millisecond, StopWait: 50 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(context.Background())
	big := `{"text":"` + strings.Repeat("x", 1<<20) + `"}`
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := c.Handle(ctx, call("echo", big), mcp.Discard); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a caller's deadline: %v", err)
	}
	if _, err := c.Handle(t.Context(), call("echo", big), mcp.Discard); !errors.Is(err, mcp.ErrClosed) || !strings.Contains(err.Error(), "does not read") {
		t.Errorf("the write's deadline: %v", err)
	}
	if err := c.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestCloseEndsTheWholeGroup(t *testing.T) {
	alive, theirs, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer alive.Close()
	cmd := child("stubborn")
	cmd.ExtraFiles = []*os.File{theirs}
	c, err := stdio.Start(t.Context(), cmd, &stdio.ClientOptions{StopWait: 50 * time.Millisecond})
	theirs.Close()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	// The pipe ends when nobody holds it any more: child and grandchild are dead.
	if _, err := io.ReadAll(alive); err != nil {
		t.Fatal(err)
	}
	if err := c.Err(); err == nil || !strings.Contains(err.Error(), "killed") {
		t.Errorf("Err = %v", err)
	}
	if err := c.Close(t.Context()); err != nil {
		t.Errorf("second Close: %v", err)
	}
}

func TestCloseLetsCallsFinish(t *testing.T) {
	inR, inW := io.Pipe()
	outR, outW := io.Pipe()
	f := fixture{started: make(chan struct{}), release: make(chan struct{})}
	served := make(chan error, 1)
	go func() {
		served <- stdio.ServeConn(context.Background(), f, inR, outW, nil)
		outW.Close()
	}()
	c, err := stdio.NewClient(t.Context(), outR, inW, nil)
	if err != nil {
		t.Fatal(err)
	}
	answered := make(chan error, 1)
	go func() {
		_, err := c.Handle(t.Context(), call("wait", `{}`), mcp.Discard)
		answered <- err
	}()
	<-f.started
	closed := make(chan error, 1)
	go func() { closed <- c.Close(t.Context()) }()
	close(f.release)
	if err := <-answered; err != nil {
		t.Errorf("call in flight: %v", err)
	}
	if err := <-closed; err != nil {
		t.Error(err)
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
}

func TestEnvironmentIsNotInherited(t *testing.T) {
	t.Setenv("A_SECRET", "hush")
	t.Setenv("TZ", "UTC")
	sh := child("env")
	sh.Args = []string{"sh", "-c", childEnv + "=env exec " + sh.Path}
	sh.Path, sh.Env = "/bin/sh", nil
	lines := make(chan string, 10)
	c, err := stdio.Start(t.Context(), sh, &stdio.ClientOptions{Stderr: func(line []byte) { lines <- string(line) }})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(context.Background())
	if got := <-lines; strings.Contains(got, "hush") || !strings.Contains(got, "TZ=UTC") || !strings.Contains(got, "PATH=") {
		t.Errorf("environment: %s", got)
	}
}

func TestManyCallers(t *testing.T) {
	c := start(t, "modern", nil)
	var wg sync.WaitGroup
	for i := range 200 {
		wg.Go(func() {
			args := fmt.Sprintf(`{"n":%d}`, i)
			req := call("echo", args)
			req.ID = []byte("1") // all the same
			res, err := c.Handle(t.Context(), req, mcp.Discard)
			if err != nil || string(jsonrpc.Get(res.Body, "structuredContent")) != args {
				t.Errorf("call %d: %s, %v", i, res.Body, err)
			}
		})
	}
	wg.Wait()
}

func BenchmarkCall(b *testing.B) {
	c, err := stdio.Start(b.Context(), child("modern"), nil)
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close(context.Background())
	one := func(b *testing.B) {
		if _, err := c.Handle(b.Context(), call("echo", `{"text":"hello"}`), mcp.Discard); err != nil {
			b.Fatal(err)
		}
	}
	b.Run("ping-pong", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			one(b)
		}
	})
	b.Run("64 in flight", func(b *testing.B) {
		b.ReportAllocs()
		b.SetParallelism(64)
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				one(b)
			}
		})
	})
}
