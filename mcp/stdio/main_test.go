package stdio_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/mcp/jsonrpc"
	"github.com/fairlead-mcp/fairlead/mcp/mcptest/wirecheck"
	"github.com/fairlead-mcp/fairlead/mcp/stdio"
)

// wireEnv names the file to which a child records what its client sends.
const wireEnv = "STDIO_TEST_WIRE"

// childEnv makes the test binary a child with the behaviour that it names.
const childEnv = "STDIO_TEST_CHILD"

func TestMain(m *testing.M) {
	if behaviour := os.Getenv(childEnv); behaviour != "" {
		beChild(behaviour)
		os.Exit(0)
	}
	code := m.Run()
	if left := leftovers(); left != "" && code == 0 {
		fmt.Fprintln(os.Stderr, "goroutines left behind:\n"+left)
		code = 1
	}
	os.Exit(code)
}

// leftovers returns the stacks of goroutines of this module that have not ended
// after a while.
func leftovers() string {
	deadline := time.After(5 * time.Second)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		buf := make([]byte, 1<<20)
		var left []string
		for _, stack := range strings.Split(string(buf[:runtime.Stack(buf, true)]), "\n\n")[1:] {
			if strings.Contains(stack, "fairlead/mcp/") {
				left = append(left, stack)
			}
		}
		if len(left) == 0 {
			return ""
		}
		select {
		case <-tick.C:
		case <-deadline:
			return strings.Join(left, "\n\n")
		}
	}
}

// child returns a command that behaves like that.
func child(behaviour string) *exec.Cmd {
	self, err := os.Executable()
	if err != nil {
		panic(err)
	}
	cmd := exec.Command(self)
	// The race detector's pause on exit would be one for each child.
	cmd.Env = []string{childEnv + "=" + behaviour, "GORACE=atexit_sleep_ms=0"}
	return cmd
}

func beChild(behaviour string) {
	ctx := context.Background()
	switch behaviour {
	case "modern":
		serve(ctx)
	case "banner":
		fmt.Println("Welcome to the server!\n\x00\xff{]\n\n{\"jsonrpc\":\"2.0\"}")
		serve(ctx)
	case "legacy":
		old(func(msg *jsonrpc.Message) bool { return false })
	case "silent": // until initialize
		initialized := false
		old(func(msg *jsonrpc.Message) bool {
			initialized = initialized || msg.Method == "initialize"
			return !initialized
		})
	case "exits": // unless the first message is initialize
		first := true
		old(func(msg *jsonrpc.Message) bool {
			if first && msg.Method != "initialize" {
				os.Exit(3)
			}
			first = false
			return false
		})
	case "mute":
		fmt.Fprintln(os.Stderr, "I shall not answer")
		old(func(*jsonrpc.Message) bool { return true })
	case "future":
		old(func(msg *jsonrpc.Message) bool {
			fmt.Printf(`{"jsonrpc":"2.0","id":%s,"error":{"code":-32022,"message":"no","data":{"supported":["2031-01-01"],"requested":"x"}}}`+"\n", msg.ID)
			return true
		})
	case "odd version":
		old(func(msg *jsonrpc.Message) bool {
			if msg.Method == "initialize" {
				fmt.Printf(`{"jsonrpc":"2.0","id":%s,"result":{"protocolVersion":"1999-01-01","capabilities":{},"serverInfo":{"name":"o","version":"1"}}}`+"\n", msg.ID)
			}
			return msg.Method == "initialize"
		})
	case "stubborn": // ignores the end of its input and SIGTERM, and so does its child
		signal.Ignore(syscall.SIGTERM)
		grandchild := child("grandchild")
		grandchild.ExtraFiles = []*os.File{os.NewFile(3, "alive")}
		if err := grandchild.Start(); err != nil {
			panic(err)
		}
		serve(ctx)
		select {}
	case "grandchild":
		signal.Ignore(syscall.SIGTERM)
		select {}
	case "env":
		fmt.Fprintln(os.Stderr, strings.Join(os.Environ(), " "))
		serve(ctx)
	case "asks":
		asks()
	default:
		panic("no such behaviour: " + behaviour)
	}
}

func serve(ctx context.Context) {
	var err error
	if in, out, tapped := tappedPipes(); tapped {
		err = stdio.ServeConn(ctx, fixture{}, in, out, nil)
	} else {
		err = stdio.Serve(ctx, fixture{}, nil)
	}
	if err != nil {
		panic(err)
	}
}

// tappedPipes are standard input and output, recorded if the parent wants it.
func tappedPipes() (io.Reader, io.Writer, bool) {
	path := os.Getenv(wireEnv)
	if path == "" {
		return os.Stdin, os.Stdout, false
	}
	tap, err := wirecheck.ToFile(path)
	if err != nil {
		panic(err)
	}
	in, out := tap.Pipes(wirecheck.Server, os.Stdin, os.Stdout)
	return in, out, true
}

// fixture is a server with tools that do what their names say.
type fixture struct {
	streams chan mcp.Sink // gets the sink of each open stream, if not nil
	hanging chan error    // gets the cause of the end of each hang, if not nil
	started chan struct{} // gets one for each hang, if not nil
	release chan struct{} // lets wait return
}

func (f fixture) Handle(ctx context.Context, req *mcp.Request, sink mcp.Sink) (mcp.Result, error) {
	switch req.Method {
	case mcp.MethodDiscover:
		return mcp.Result{Body: []byte(`{"supportedVersions":["2026-07-28"],"capabilities":{"tools":{"listChanged":true}},"_meta":{"io.modelcontextprotocol/serverInfo":{"name":"fixture","version":"1"}}}`)}, nil
	case mcp.MethodListen:
		if err := sink.Notify(mcp.NewNotification(mcp.NotificationAcknowledged, []byte(`{"notifications":{"toolsListChanged":true}}`))); err != nil {
			return mcp.Result{}, err
		}
		if f.streams != nil {
			f.streams <- sink
		} else {
			context.AfterFunc(ctx, func() {})
			go sink.Notify(mcp.NewNotification(mcp.NotificationToolsListChanged, nil))
		}
		return mcp.Result{Stream: true}, nil
	case mcp.MethodCallTool:
	default:
		return mcp.Result{}, mcp.ErrMethodNotFound(req.Method)
	}
	switch req.Name {
	case "echo":
		args := req.Arguments
		if args == nil {
			args = []byte(`null`)
		}
		return mcp.Result{Body: append(append([]byte(`{"content":[],"structuredContent":`), args...), '}')}, nil
	case "progress":
		for i := range 3 {
			params := fmt.Sprintf(`{"progressToken":%s,"progress":%d}`, req.Meta.ProgressToken, i)
			if err := sink.Notify(mcp.NewNotification(mcp.NotificationProgress, []byte(params))); err != nil {
				return mcp.Result{}, err
			}
		}
		return mcp.Result{Body: []byte(`{"content":[]}`)}, nil
	case "hang":
		if f.started != nil {
			f.started <- struct{}{}
		}
		<-ctx.Done()
		if f.hanging != nil {
			f.hanging <- context.Cause(ctx)
		}
		return mcp.Result{}, ctx.Err()
	case "wait":
		if f.started != nil {
			f.started <- struct{}{}
		}
		<-f.release
		return mcp.Result{Body: []byte(`{"content":[]}`)}, nil
	case "panic":
		panic("as asked")
	case "die":
		syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	case "exit":
		os.Exit(7)
	case "close stdout":
		os.Stdout.Close()
		select {}
	case "long line":
		os.Stdout.WriteString(strings.Repeat("x", 1<<20) + "\n")
		return mcp.Result{Body: []byte(`{"content":[]}`)}, nil
	case "garbage":
		for range 20 {
			os.Stdout.WriteString("garbage\n")
		}
		select {}
	case "strange answers":
		fmt.Println(`{"jsonrpc":"2.0","id":99999,"result":{}}`)
		fmt.Println(`{"jsonrpc":"2.0","id":"one","result":{}}`)
		fmt.Println(`{"jsonrpc":"2.0","id":1,"result":{}}`)
		fmt.Println(`{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":424242,"progress":1}}`)
		fmt.Println(`{"jsonrpc":"2.0","id":5,"method":"sampling/createMessage","params":{}}`)
		return mcp.Result{Body: []byte(`{"content":[]}`)}, nil
	case "duplicate keys":
		fmt.Printf(`{"jsonrpc":"2.0","id":%s,"result":{"a":1,"a":2}}`+"\n", req.ID)
		select {}
	}
	return mcp.Result{}, mcp.ErrInvalidParams("Unknown tool: %s", req.Name)
}

// old is a server of 2025-11-25, without this package. before may take a message
// for itself.
func old(before func(*jsonrpc.Message) bool) {
	stdin, out, _ := tappedPipes()
	in := bufio.NewReader(stdin)
	var subscribed []string
	for {
		line, err := in.ReadBytes('\n')
		if err != nil {
			return
		}
		msg, err := jsonrpc.Scan(line, nil)
		if err != nil {
			fmt.Fprintln(os.Stderr, "bad message:", err)
			continue
		}
		if before(&msg) || msg.Kind != jsonrpc.Request {
			continue
		}
		result := `{}`
		switch msg.Method {
		case "initialize":
			result = `{"protocolVersion":"2025-06-18","capabilities":{"tools":{"listChanged":true},"resources":{"subscribe":true},"logging":{},"tasks":{}},"serverInfo":{"name":"old","version":"1"},"instructions":"be kind"}`
		case "tools/list":
			// Ask something first, which nobody may.
			fmt.Fprintln(out, `{"jsonrpc":"2.0","id":"p","method":"ping"}`)
			answer, _ := in.ReadString('\n')
			fmt.Fprintln(out, `{"jsonrpc":"2.0","id":7,"method":"roots/list"}`)
			refusal, _ := in.ReadString('\n')
			result = `{"tools":[],"answers":[` + strings.TrimSpace(answer) + `,` + strings.TrimSpace(refusal) + `]}`
		case "tools/call":
			if token := jsonrpc.Get(msg.Meta, "progressToken"); token != nil {
				fmt.Fprintf(out, `{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":%s,"progress":1}}`+"\n", token)
			}
			for _, uri := range subscribed {
				fmt.Fprintf(out, `{"jsonrpc":"2.0","method":"notifications/resources/updated","params":{"uri":%q}}`+"\n", uri)
			}
			fmt.Fprintln(out, `{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"debug","data":"d"}}`)
			fmt.Fprintln(out, `{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"error","data":"e"}}`)
			result = fmt.Sprintf(`{"content":[],"params":%s}`, msg.Params)
		case "resources/read":
			fmt.Fprintf(out, `{"jsonrpc":"2.0","id":%s,"error":{"code":-32002,"message":"Resource not found"}}`+"\n", msg.ID)
			continue
		case "resources/subscribe":
			uri, _ := jsonrpc.Unquote(msg.URI)
			if strings.HasPrefix(uri, "bad:") {
				fmt.Fprintf(out, `{"jsonrpc":"2.0","id":%s,"error":{"code":-32602,"message":"no"}}`+"\n", msg.ID)
				continue
			}
			subscribed = append(subscribed, uri)
		case "resources/unsubscribe":
			subscribed = nil
			fmt.Fprintln(os.Stderr, "unsubscribed")
		case "logging/setLevel":
		default:
			fmt.Fprintf(out, `{"jsonrpc":"2.0","id":%s,"error":{"code":-32601,"message":"Method not found"}}`+"\n", msg.ID)
			continue
		}
		fmt.Fprintf(out, `{"jsonrpc":"2.0","id":%s,"result":%s}`+"\n", msg.ID, result)
	}
}

// call makes a modern tools/call.
func call(name, arguments string) *mcp.Request {
	return &mcp.Request{
		Method:    mcp.MethodCallTool,
		Name:      name,
		Params:    []byte(`{"name":"` + name + `","arguments":` + arguments + `}`),
		Arguments: []byte(arguments),
	}
}

// recorder is a Sink that hands on what it gets.
type recorder struct {
	got   chan string
	ended chan error
}

func record() recorder { return recorder{make(chan string, 100), make(chan error, 1)} }

func (r recorder) Notify(n *mcp.Notification) error {
	r.got <- n.Method + " " + string(n.Params)
	return nil
}
func (r recorder) End(_ mcp.Result, err error) { r.ended <- err }

// drained returns what has been recorded so far.
func (r recorder) drained() []string {
	var all []string
	for {
		select {
		case s := <-r.got:
			all = append(all, s)
		default:
			return all
		}
	}
}
