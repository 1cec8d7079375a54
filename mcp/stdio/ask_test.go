package stdio_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/mcp/jsonrpc"
	"github.com/fairlead-mcp/fairlead/mcp/stdio"
)

// asks is a server of 2025-11-25 that asks, without this package. It asks for roots
// when it may, and tells of what it is told on standard error. The tool hold is
// answered when release is called.
func asks() {
	stdin, out, _ := tappedPipes()
	in := bufio.NewReader(stdin)
	held, next, roots := []string{}, 0, false
	say := func(format string, args ...any) { fmt.Fprintf(out, format+"\n", args...) }
	result := func(id, text string) {
		say(`{"jsonrpc":"2.0","id":%s,"result":{"content":[{"type":"text","text":%q}]}}`, id, text)
	}
	waiting := map[string]string{} // id of a question -> id of the call that asked it
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
		id := string(msg.ID)
		switch msg.Kind {
		case jsonrpc.Response, jsonrpc.ErrorReply:
			said := string(msg.Result) + string(msg.Error)
			if call := waiting[id]; call != "" {
				result(call, said)
			} else {
				fmt.Fprintln(os.Stderr, id, said)
			}
			delete(waiting, id)
			continue
		case jsonrpc.Notification:
			if msg.Method != "notifications/initialized" {
				fmt.Fprintln(os.Stderr, msg.Method)
			}
			if msg.Method != mcp.NotificationCancelled && roots {
				next++
				say(`{"jsonrpc":"2.0","id":"roots%d","method":"roots/list"}`, next)
			}
			continue
		}
		name, _ := jsonrpc.Unquote(msg.Name)
		switch msg.Method + " " + name {
		case "initialize ":
			roots = jsonrpc.Get(jsonrpc.Get(msg.Params, "capabilities"), "roots") != nil
			say(`{"jsonrpc":"2.0","id":%s,"result":{"protocolVersion":"2025-11-25","capabilities":{"tools":{}},"serverInfo":{"name":"asks","version":"1"}}}`, id)
		case "tools/call hold":
			held = append(held, id)
			fmt.Fprintln(os.Stderr, "hold")
		case "tools/call release":
			for _, id := range held {
				result(id, "held")
			}
			held = nil
			result(id, "released")
		case "tools/call ask":
			next++
			waiting[fmt.Sprint(next)] = id
			say(`{"jsonrpc":"2.0","id":%d,"method":"elicitation/create","params":{"message":"name?","requestedSchema":{"type":"object","properties":{}}}}`, next)
		case "tools/call die":
			os.Exit(4)
		case "tools/list ":
			next++
			waiting[fmt.Sprint(next)] = id
			say(`{"jsonrpc":"2.0","id":%d,"method":"elicitation/create","params":{"message":"name?","requestedSchema":{"type":"object","properties":{}}}}`, next)
		default:
			say(`{"jsonrpc":"2.0","id":%s,"error":{"code":-32601,"message":"no"}}`, id)
		}
	}
}

const (
	canElicit = `{"elicitation":{}}`
	canDo     = `{"elicitation":{},"roots":{"listChanged":true}}`
)

// asked is a call by somebody who can be asked.
func asked(tool string) *mcp.Request {
	req := call(tool, `{}`)
	req.Meta = mcp.Meta{Version: mcp.LatestVersion, Capabilities: []byte(canDo)}
	return req
}

// answered is the call's retry.
func answered(req *mcp.Request, res mcp.Result) *mcp.Request {
	again := *req
	again.Params = jsonrpc.Splice(nil, req.Params,
		jsonrpc.Member{Key: "inputResponses", Value: []byte(`{"q1":{"action":"accept","content":{"name":"Ann"}}}`)},
		jsonrpc.Member{Key: "requestState", Value: jsonrpc.Get(res.Body, "requestState")})
	return &again
}

func text(res mcp.Result) string {
	for block := range jsonrpc.Elements(jsonrpc.Get(res.Body, "content")) {
		s, _ := jsonrpc.Unquote(jsonrpc.Get(block, "text"))
		return s
	}
	return string(res.Body)
}

// heard collects lines of a child's standard error.
func heard(opts *stdio.ClientOptions) chan string {
	lines := make(chan string, 100)
	opts.Stderr = func(line []byte) { lines <- string(line) }
	return lines
}

func TestChildAsks(t *testing.T) {
	c := start(t, "asks", &stdio.ClientOptions{Capabilities: []byte(canElicit)})
	res, err := c.Handle(t.Context(), asked("ask"), mcp.Discard)
	if err != nil || res.Type != mcp.ResultInputRequired {
		t.Fatalf("%+v, %v", res, err)
	}
	want := `{"q1":{"method":"elicitation/create","params":{"message":"name?","requestedSchema":{"type":"object","properties":{}}}}}`
	if diff := cmp.Diff(want, string(jsonrpc.Get(res.Body, "inputRequests"))); diff != "" {
		t.Error("(-want +got)\n" + diff)
	}
	// Others are served meanwhile.
	if res, err := c.Handle(t.Context(), asked("release"), mcp.Discard); err != nil || text(res) != "released" {
		t.Errorf("%s, %v", res.Body, err)
	}
	res, err = c.Handle(t.Context(), answered(asked("ask"), res), mcp.Discard)
	if err != nil || text(res) != `{"action":"accept","content":{"name":"Ann"}}` {
		t.Errorf("%s, %v", res.Body, err)
	}
}

// TestChildAsksWhom has a child ask while several calls are in flight.
func TestChildAsksWhom(t *testing.T) {
	for _, one := range []bool{false, true} {
		t.Run(fmt.Sprintf("OneCaller %v", one), func(t *testing.T) {
			opts := &stdio.ClientOptions{Capabilities: []byte(canDo), OneCaller: one}
			lines := heard(opts)
			c := start(t, "asks", opts)
			c.OnAsk(func(context.Context, mcp.InputRequest) (mcp.Raw, error) { return mcp.Raw(`{"roots":[]}`), nil })
			<-lines // the answer to the roots that it asks for at the start
			c.OnAsk(nil)
			held := make(chan error, 1)
			go func() { // ends with release
				_, err := c.Handle(t.Context(), asked("hold"), mcp.Discard)
				held <- err
			}()
			if line := <-lines; line != "hold" {
				t.Fatalf("child said %s", line)
			}
			res, err := c.Handle(t.Context(), asked("ask"), mcp.Discard)
			switch {
			case err != nil:
				t.Fatal(err)
			case one && res.Type == mcp.ResultInputRequired:
				if _, err := c.Handle(t.Context(), answered(asked("ask"), res), mcp.Discard); err != nil {
					t.Fatal(err)
				}
			case one || !strings.Contains(text(res), "-32603"):
				t.Errorf("%s %s", res.Type, res.Body)
			}
			if _, err := c.Handle(t.Context(), asked("release"), mcp.Discard); err != nil {
				t.Fatal(err)
			}
			if err := <-held; err != nil {
				t.Error(err)
			}
		})
	}
}

// TestChildAsksWhoCannot has a child ask in calls that cannot carry a question.
func TestChildAsksWhoCannot(t *testing.T) {
	tests := []struct {
		name, offered string
		req           *mcp.Request
		want          string
	}{
		{"nothing offered", ``, asked("ask"), "-32601"},
		{"the caller cannot", canElicit, call("ask", `{}`), "-32603"},
		{"in a list", canElicit, &mcp.Request{Method: mcp.MethodListTools, Meta: asked("x").Meta}, "-32603"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			opts := &stdio.ClientOptions{}
			if tt.offered != "" {
				opts.Capabilities = []byte(tt.offered)
			}
			c := start(t, "asks", opts)
			c.OnAsk(func(_ context.Context, q mcp.InputRequest) (mcp.Raw, error) {
				return nil, mcp.Errorf(jsonrpc.CodeInternalError, "no call")
			})
			res, err := c.Handle(t.Context(), tt.req, mcp.Discard)
			if err != nil || !strings.Contains(text(res), tt.want) {
				t.Errorf("%s, %v, want %s", res.Body, err, tt.want)
			}
		})
	}
}

// TestChildAsksForRoots asks outside of any call: after the handshake, and again
// when the roots have changed.
func TestChildAsksForRoots(t *testing.T) {
	opts := &stdio.ClientOptions{Capabilities: []byte(canDo)}
	lines := heard(opts)
	c := start(t, "asks", opts)
	roots := `{"roots":[{"uri":"file:///a"}]}`
	c.OnAsk(func(_ context.Context, q mcp.InputRequest) (mcp.Raw, error) {
		if q.Method != mcp.MethodListRoots {
			return nil, mcp.ErrMethodNotFound(q.Method)
		}
		return mcp.Raw(roots), nil
	})
	if got, want := <-lines, `"roots1" `+roots; got != want {
		t.Errorf("child was told %s, want %s", got, want)
	}
	roots = `{"roots":[]}`
	if err := c.RootsChanged(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"notifications/roots/list_changed", `"roots2" ` + roots} {
		if got := <-lines; got != want {
			t.Errorf("child was told %s, want %s", got, want)
		}
	}

	modern := start(t, "modern", nil)
	modern.OnAsk(nil)
	if err := modern.RootsChanged(t.Context()); err != nil {
		t.Errorf("a modern server: %v", err)
	}
}

// TestCloseWithParkedCall closes while a call waits for its retry.
func TestCloseWithParkedCall(t *testing.T) {
	c := start(t, "asks", &stdio.ClientOptions{Capabilities: []byte(canElicit)})
	res, err := c.Handle(t.Context(), asked("ask"), mcp.Discard)
	if err != nil || res.Type != mcp.ResultInputRequired {
		t.Fatalf("%+v, %v", res, err)
	}
	if err := c.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Handle(t.Context(), answered(asked("ask"), res), mcp.Discard); !errors.Is(err, mcp.ErrClosed) {
		t.Errorf("retry: %v", err)
	}
}

// TestChildDiesWithParkedCall loses the child while a call waits for its retry.
func TestChildDiesWithParkedCall(t *testing.T) {
	c := start(t, "asks", &stdio.ClientOptions{Capabilities: []byte(canElicit)})
	res, err := c.Handle(t.Context(), asked("ask"), mcp.Discard)
	if err != nil || res.Type != mcp.ResultInputRequired {
		t.Fatalf("%+v, %v", res, err)
	}
	if _, err := c.Handle(t.Context(), asked("die"), mcp.Discard); !errors.Is(err, mcp.ErrClosed) || !strings.Contains(err.Error(), "exit status 4") {
		t.Errorf("call: %v", err)
	}
	if _, err := c.Handle(t.Context(), answered(asked("ask"), res), mcp.Discard); !errors.Is(err, mcp.ErrClosed) || !strings.Contains(err.Error(), "exit status 4") {
		t.Errorf("retry: %v", err)
	}
}
