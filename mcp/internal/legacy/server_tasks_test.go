package legacy_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/mcp/internal/legacy"
	"github.com/fairlead-mcp/fairlead/mcp/jsonrpc"
	"github.com/google/go-cmp/cmp"
)

type kind struct {
	Kind string `json:"kind,omitempty"`
}

// taskServer has a tool of each task support.
func taskServer(t *testing.T) *mcp.Server {
	t.Helper()
	s := mcp.NewServer("s", "1", &mcp.ServerOptions{PageSize: 2, Tasks: &mcp.TaskOptions{MaxPerPrincipal: 1000}})
	for name, support := range map[string]mcp.TaskSupport{"plain": mcp.TaskForbidden, "maybe": mcp.TaskOptional, "must": mcp.TaskRequired} {
		if err := mcp.AddTool(s, mcp.Tool{Name: name, Execution: &mcp.ToolExecution{TaskSupport: support, OnDemand: name == "maybe"}}, taskTool); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

func taskTool(ctx context.Context, call *mcp.Call, in kind) (string, error) {
	switch in.Kind {
	case "fails":
		return "", errors.New("no luck")
	case "refuses":
		return "", mcp.Errorf(-31999, "refused")
	case "slow":
		timer := time.NewTimer(time.Minute)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
			return "", ctx.Err()
		}
	case "capabilities":
		return string(jsonrpc.Get(call.ClientCapabilities(), "extensions")), nil
	case "asks":
		a, err := call.Ask(ctx, mcp.Question{Key: "form", Form: &mcp.Form{Message: "Sure?"}}, mcp.Question{Key: "roots", Roots: true})
		if err != nil {
			return "", err
		}
		return fmt.Sprint(a.Elicit("form").Action, " ", len(a.Roots("roots"))), nil
	}
	return "done", nil
}

// old is a session and its client.
type old struct {
	t  *testing.T
	s  *legacy.Session
	id int
	st *texts
}

func newOld(t *testing.T, h mcp.Handler, version string, p mcp.Principal) (*old, string) {
	t.Helper()
	s, result, problem := legacy.New(t.Context(), h, scan(t, `{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"`+version+
		`","capabilities":{"elicitation":{},"roots":{},"tasks":{"requests":{"elicitation":{"create":{}}}},"extensions":{"a/b":{},"io.modelcontextprotocol/tasks":{}}}}}`), p)
	if problem != nil {
		t.Fatal(problem)
	}
	t.Cleanup(s.Close)
	return &old{t: t, s: s, st: &texts{}}, string(jsonrpc.Get(result, "capabilities"))
}

// send returns the result or the error of a response.
func (o *old) send(method, params string) string {
	o.t.Helper()
	o.id++
	out := ask(o.t, o.s, o.st, fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"method":%q,"params":%s}`, o.id, method, params))
	if e := jsonrpc.Get([]byte(out), "error"); e != nil {
		return "error " + string(e)
	}
	return string(jsonrpc.Get([]byte(out), "result"))
}

func (o *old) fails(method, params string, code int, text string) {
	o.t.Helper()
	if got := o.send(method, params); !strings.HasPrefix(got, fmt.Sprintf(`error {"code":%d,`, code)) || !strings.Contains(got, text) {
		o.t.Errorf("%s %s: got %s, want code %d with %q", method, params, got, code, text)
	}
}

// create calls a tool as a task, and returns its id.
func (o *old) create(name, kind string) string {
	o.t.Helper()
	got := o.send("tools/call", `{"name":"`+name+`","arguments":{"kind":"`+kind+`"},"task":{"ttl":600000}}`)
	task := jsonrpc.Get([]byte(got), "task")
	id, ok := jsonrpc.Unquote(jsonrpc.Get(task, "taskId"))
	if !ok || string(jsonrpc.Get(task, "status")) != `"working"` {
		o.t.Fatalf("create %s %s: %s", name, kind, got)
	}
	return id
}

// status returns the status of a task and its message.
func (o *old) status(id string) string {
	o.t.Helper()
	got := []byte(o.send("tasks/get", `{"taskId":"`+id+`"}`))
	for _, key := range []string{"ttlMs", "pollIntervalMs", "resultType", "inputRequests", "result", "error"} {
		if jsonrpc.Get(got, key) != nil {
			o.t.Errorf("%s in a task of 2025-11-25: %s", key, got)
		}
	}
	if ttl, poll := jsonrpc.Get(got, "ttl"), jsonrpc.Get(got, "pollInterval"); string(ttl) != "600000" || string(poll) != "1000" || jsonrpc.Get(got, "createdAt") == nil || jsonrpc.Get(got, "lastUpdatedAt") == nil {
		o.t.Errorf("task %s", got)
	}
	status, _ := jsonrpc.Unquote(jsonrpc.Get(got, "status"))
	message, _ := jsonrpc.Unquote(jsonrpc.Get(got, "statusMessage"))
	return strings.TrimSpace(status + " " + message)
}

func (o *old) result(id string) string {
	o.t.Helper()
	return o.send("tasks/result", `{"taskId":"`+id+`"}`)
}

var alice = mcp.Principal{Issuer: "i", Subject: "alice"}

func TestSessionOffersTasks(t *testing.T) {
	s := taskServer(t)
	for _, tt := range []struct {
		version string
		p       mcp.Principal
		want    string
	}{
		{"2025-11-25", alice, `{"list":{},"cancel":{},"requests":{"tools":{"call":{}}}}`},
		{"2025-11-25", mcp.Principal{}, `{"cancel":{},"requests":{"tools":{"call":{}}}}`},
		{"2025-06-18", alice, ``},
	} {
		o, caps := newOld(t, s, tt.version, tt.p)
		if got := string(jsonrpc.Get([]byte(caps), "tasks")); got != tt.want || strings.Contains(caps, "extensions") {
			t.Errorf("%s: capabilities %s, want tasks %s", tt.version, caps, tt.want)
		}
		execution := map[string]string{}
		for _, page := range []string{`{}`, ``} {
			if page == "" {
				page = `{"cursor":` + string(jsonrpc.Get([]byte(o.send("tools/list", `{}`)), "nextCursor")) + `}`
			}
			for tool := range jsonrpc.Elements(jsonrpc.Get([]byte(o.send("tools/list", page)), "tools")) {
				execution[string(jsonrpc.Get(tool, "name"))] = string(jsonrpc.Get(tool, "execution"))
			}
		}
		want := map[string]string{`"plain"`: ``, `"maybe"`: `{"taskSupport":"optional"}`, `"must"`: `{"taskSupport":"required"}`}
		if tt.want == "" {
			want = map[string]string{`"plain"`: ``, `"maybe"`: ``, `"must"`: ``}
		}
		if diff := cmp.Diff(want, execution); diff != "" {
			t.Errorf("%s: execution (-want +got):\n%s", tt.version, diff)
		}
		if tt.p.Anonymous() {
			o.fails("tasks/list", `{}`, -32601, "")
		}
	}
	// A server without tasks, and a revision without them, know neither the methods nor the parameter.
	none := mcp.NewServer("s", "1", nil)
	if err := mcp.AddTool(none, mcp.Tool{Name: "plain"}, taskTool); err != nil {
		t.Fatal(err)
	}
	for version, h := range map[string]mcp.Handler{"2025-11-25": none, "2025-06-18": s} {
		o, caps := newOld(t, h, version, alice)
		if strings.Contains(caps, "tasks") {
			t.Errorf("%s: capabilities %s", version, caps)
		}
		for _, method := range []string{"tasks/get", "tasks/result", "tasks/cancel", "tasks/list", "tasks/update"} {
			o.fails(method, `{"taskId":"x"}`, -32601, method)
		}
		if got := o.send("tools/call", `{"name":"plain","task":{"ttl":1}}`); !strings.Contains(got, "done") {
			t.Errorf("%s: a call with task: %s", version, got)
		}
	}
}

func TestSessionTasks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, _ := newOld(t, taskServer(t), "2025-11-25", alice)
		o.fails("tools/call", `{"name":"must"}`, -32601, "must be called as a task")
		o.fails("tools/call", `{"name":"plain","task":{}}`, -32601, "cannot be called as a task")
		o.fails("tools/call", `{"name":"maybe","task":1}`, -32602, "params.task")
		if got := o.send("tools/call", `{"name":"maybe"}`); !strings.Contains(got, `"done"`) {
			t.Errorf("a call without task: %s", got)
		}
		if got := o.send("tools/call", `{"name":"maybe","task":{"ttl":1e300}}`); !strings.Contains(got, `"ttl":3600000`) {
			t.Errorf("a time without end: %s", got)
		}
		for _, method := range []string{"tasks/get", "tasks/result", "tasks/cancel"} {
			o.fails(method, `{"taskId":"nobody"}`, -32602, "Unknown task")
			o.fails(method, `{"taskId":1}`, -32602, "taskId")
		}
		o.fails("tasks/update", `{"taskId":"x","inputResponses":{}}`, -32601, "")

		for kind, want := range map[string][2]string{
			"well":         {"completed", `{"content":[{"type":"text","text":"done"}]`},
			"fails":        {"failed no luck", `{"content":[{"type":"text","text":"no luck"}],"isError":true`},
			"capabilities": {"completed", `{"content":[{"type":"text","text":"{\"a/b\":{},\"io.modelcontextprotocol/tasks\":{}}"}]`},
			"refuses":      {"failed refused", `error {"code":-31999,"message":"refused"}`},
		} {
			id := o.create("maybe", kind)
			synctest.Wait()
			if got := o.status(id); got != want[0] {
				t.Errorf("%s: status %q, want %q", kind, got, want[0])
			}
			got := o.result(id)
			if !strings.HasPrefix(got, "error ") {
				if to := jsonrpc.Get(jsonrpc.Get([]byte(got), "_meta"), "io.modelcontextprotocol/related-task"); string(to) != `{"taskId":"`+id+`"}` {
					t.Errorf("%s: related task %s", kind, to)
				}
				got = strings.TrimSuffix(string(jsonrpc.Splice(nil, []byte(got), jsonrpc.Member{Key: "_meta"})), "}")
			}
			if got != want[1] {
				t.Errorf("%s: result %s, want %s", kind, got, want[1])
			}
			o.fails("tasks/cancel", `{"taskId":"`+id+`"}`, -32602, strings.Fields(want[0])[0])
		}

		slow := o.create("must", "slow")
		begun := time.Now()
		if got := o.result(slow); !strings.Contains(got, "done") || time.Since(begun) != time.Minute {
			t.Errorf("after %v: %s", time.Since(begun), got)
		}
		slow = o.create("must", "slow")
		if got := o.send("tasks/cancel", `{"taskId":"`+slow+`"}`); string(jsonrpc.Get([]byte(got), "status")) != `"cancelled"` {
			t.Errorf("cancel: %s", got)
		}
		if got := o.result(slow); !strings.HasPrefix(got, "error ") || !strings.Contains(got, "cancelled") {
			t.Errorf("the result of a cancelled task: %s", got)
		}

		// Whoever waits may go; the task stays.
		slow = o.create("must", "slow")
		done := make(chan string)
		go func() {
			done <- ask(t, o.s, o.st, `{"jsonrpc":"2.0","id":"w","method":"tasks/result","params":{"taskId":"`+slow+`"}}`)
		}()
		synctest.Wait()
		o.s.Notified(scan(t, `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":"w"}}`))
		if got := <-done; got != "unanswered" {
			t.Errorf("a cancelled tasks/result: %s", got)
		}
		if got := o.status(slow); got != "working" {
			t.Errorf("its task: %s", got)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
	})
}

func TestSessionListsTasks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := taskServer(t)
		o, _ := newOld(t, s, "2025-11-25", alice)
		var want []string
		for range 5 {
			want = append(want, o.create("maybe", "fails"))
			time.Sleep(time.Second)
		}
		bob, _ := newOld(t, s, "2025-11-25", mcp.Principal{Issuer: "i", Subject: "bob"})
		for _, method := range []string{"tasks/get", "tasks/result", "tasks/cancel"} {
			bob.fails(method, `{"taskId":"`+want[0]+`"}`, -32602, "Unknown task")
		}
		if got := bob.send("tasks/list", `{}`); !strings.Contains(got, `"tasks":[]`) {
			t.Errorf("somebody else: %s", got)
		}
		again, _ := newOld(t, s, "2025-11-25", alice) // another session of the same principal
		var got []string
		page := again.send("tasks/list", `{}`)
		for pages := 1; ; pages++ {
			for task := range jsonrpc.Elements(jsonrpc.Get([]byte(page), "tasks")) {
				id, _ := jsonrpc.Unquote(jsonrpc.Get(task, "taskId"))
				if got = append(got, id); string(jsonrpc.Get(task, "ttl")) != "600000" || string(jsonrpc.Get(task, "status")) != `"failed"` || jsonrpc.Get(task, "result") != nil {
					t.Errorf("task in a list: %s", task)
				}
			}
			next := string(jsonrpc.Get([]byte(page), "nextCursor"))
			if next == "" {
				if pages != 3 {
					t.Errorf("%d pages", pages)
				}
				break
			}
			bob.fails("tasks/list", `{"cursor":`+next+`}`, -32602, "cursor")
			page = again.send("tasks/list", `{"cursor":`+next+`}`)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("list (-want +got):\n%s", diff)
		}
		again.fails("tasks/list", `{"cursor":"x"}`, -32602, "cursor")
		again.fails("tasks/list", `{"cursor":1}`, -32602, "cursor")
	})
}

// questions returns what the session has sent, and forgets it.
func (o *old) questions() (list [][]byte) {
	o.st.mu.Lock()
	defer o.st.mu.Unlock()
	for _, text := range o.st.list {
		list = append(list, []byte(text))
	}
	o.st.list = nil
	return list
}

func (o *old) respond(to []byte, response string) {
	o.t.Helper()
	o.s.Answered(scan(o.t, `{"jsonrpc":"2.0","id":`+string(jsonrpc.Get(to, "id"))+`,`+response+`}`))
}

func TestSessionTaskAsks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, _ := newOld(t, taskServer(t), "2025-11-25", alice)
		id := o.create("must", "asks")
		synctest.Wait()
		if got := o.status(id); got != "input_required" {
			t.Fatalf("status %q", got)
		}
		if asked := o.questions(); asked != nil {
			t.Errorf("asked before tasks/result: %s", asked)
		}
		results := make(chan string, 2)
		for i := range 2 { // of two who wait for the result the newest asks
			go func() {
				results <- ask(t, o.s, o.st, fmt.Sprintf(`{"jsonrpc":"2.0","id":"r%d","method":"tasks/result","params":{"taskId":%q}}`, i, id))
			}()
			synctest.Wait()
		}
		var withdrawn string
		asked := slices.DeleteFunc(o.questions(), func(message []byte) bool {
			id := jsonrpc.Get(jsonrpc.Get(message, "params"), "requestId")
			withdrawn += string(id) + " "
			return id != nil
		})
		if len(asked) != 4 || strings.Join(strings.Fields(withdrawn), " ") != "1 2" {
			t.Fatalf("asked %s, and withdrew %s", asked, withdrawn)
		}
		o.respond(asked[0], `"result":{"action":"decline"}`) // nobody waits for it any more
		asked = asked[2:]
		for i, method := range []string{"elicitation/create", "roots/list"} {
			meta := jsonrpc.Get(jsonrpc.Get(asked[i], "params"), "_meta")
			if got, _ := jsonrpc.Unquote(jsonrpc.Get(asked[i], "method")); got != method || string(jsonrpc.Get(meta, "io.modelcontextprotocol/related-task")) != `{"taskId":"`+id+`"}` {
				t.Errorf("question %d: %s", i, asked[i])
			}
			if jsonrpc.Get(jsonrpc.Get(asked[i], "params"), "task") != nil {
				t.Errorf("a task of the client is asked for: %s", asked[i])
			}
		}
		o.respond(asked[0], `"result":{"action":"accept","content":{}}`)
		o.respond(asked[1], `"result":{"roots":[{"uri":"file:///a"}]}`)
		for range 2 {
			if got := <-results; !strings.Contains(got, "accept 1") {
				t.Errorf("result %s", got)
			}
		}
		if asked := o.questions(); asked != nil {
			t.Errorf("asked again: %s", asked)
		}

		// An answer that does not fit is the client's error; the task can still be answered.
		id = o.create("must", "asks")
		synctest.Wait()
		go func() { results <- o.result(id) }()
		synctest.Wait()
		asked = o.questions()
		o.respond(asked[0], `"result":{"action":"perhaps"}`)
		o.respond(asked[1], `"result":{"roots":[]}`)
		if got := <-results; !strings.HasPrefix(got, `error {"code":-32602`) {
			t.Errorf("a wrong answer: %s", got)
		}
		if got := o.status(id); got != "input_required" {
			t.Errorf("status %q", got)
		}
		// A client that refuses ends the task.
		go func() { results <- o.result(id) }()
		synctest.Wait()
		asked = o.questions()
		o.respond(asked[0], `"error":{"code":-1,"message":"not today"}`)
		if got := <-results; !strings.Contains(got, "not today") {
			t.Errorf("a refusal: %s", got)
		}
		if got := o.status(id); !strings.HasPrefix(got, "cancelled") {
			t.Errorf("status %q", got)
		}
	})
}

func TestSessionTellsOfTasks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, _ := newOld(t, taskServer(t), "2025-11-25", alice)
		unheard := o.create("maybe", "well")
		synctest.Wait()
		out := &texts{}
		o.s.Attach(t.Context(), out)
		id := o.create("must", "asks")
		synctest.Wait()
		o.send("tasks/cancel", `{"taskId":"`+id+`"}`)
		out.mu.Lock()
		defer out.mu.Unlock()
		var got []string
		for _, text := range out.list {
			params := jsonrpc.Get([]byte(text), "params")
			status, _ := jsonrpc.Unquote(jsonrpc.Get(params, "status"))
			if !strings.Contains(text, `"method":"notifications/tasks/status"`) || !strings.Contains(text, id) || strings.Contains(text, unheard) ||
				jsonrpc.Get(params, "ttl") == nil || jsonrpc.Get(params, "inputRequests") != nil || jsonrpc.Get(params, "_meta") != nil {
				t.Errorf("told %s", text)
			}
			got = append(got, status)
		}
		if diff := cmp.Diff([]string{"input_required", "cancelled"}, got); diff != "" {
			t.Errorf("told (-want +got):\n%s", diff)
		}
	})
}

// TestSessionTaskOfADumbHandler: a handler that tells no changes is looked at, and of
// one that answers at once the session keeps the result as a task that has ended.
func TestSessionTaskOfADumbHandler(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		looked := 0
		h := mcp.HandlerFunc(func(_ context.Context, req *mcp.Request, _ mcp.Sink) (mcp.Result, error) {
			switch req.Method {
			case mcp.MethodDiscover:
				return mcp.Result{Body: []byte(`{"capabilities":{"tools":{},"extensions":{"io.modelcontextprotocol/tasks":{}}}}`)}, nil
			case mcp.MethodGetTask:
				if looked++; req.Name == "broken" {
					return mcp.Result{Body: []byte(`{"taskId":7}`)}, nil
				}
				status := `"working"`
				if looked == 4 {
					status = `"completed","result":{"content":[]}`
				}
				return mcp.Result{Body: []byte(`{"taskId":"x","createdAt":"2026-01-01T00:00:00Z","lastUpdatedAt":"2026-01-01T00:00:00Z","ttlMs":null,"pollIntervalMs":2000,"status":` + status + `}`)}, nil
			case mcp.MethodCallTool:
				return mcp.Result{Body: []byte(`{"content":[]}`)}, nil
			}
			return mcp.Result{}, mcp.ErrMethodNotFound(req.Method)
		})
		o, _ := newOld(t, h, "2025-11-25", alice)
		begun := time.Now()
		if got := o.result("x"); !strings.Contains(got, `"content":[]`) || time.Since(begun) != 4*time.Second {
			t.Errorf("after %v: %s", time.Since(begun), got)
		}
		o.fails("tasks/get", `{"taskId":"broken"}`, -32603, "cannot be read")
		for range 20 { // more than are kept
			id := o.create("x", "")
			if got := o.status(id); got != "completed" {
				t.Errorf("status %s", got)
			}
			if got := o.result(id); !strings.Contains(got, `"content":[]`) {
				t.Errorf("result %s", got)
			}
			o.fails("tasks/cancel", `{"taskId":"`+id+`"}`, -32602, "has ended already")
		}
	})
}

// TestSessionWatchesTasks: a session is told of 64 tasks at a time. Those that have
// ended, and those whose time is over, make room.
func TestSessionWatchesTasks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var streams []context.Context
		h := mcp.Intercept(taskServer(t), func(next mcp.Handler) mcp.Handler {
			return mcp.HandlerFunc(func(ctx context.Context, req *mcp.Request, sink mcp.Sink) (mcp.Result, error) {
				if req.Method == mcp.MethodListen {
					streams = append(streams, ctx)
				}
				return next.Handle(ctx, req, sink)
			})
		})
		o, _ := newOld(t, h, "2025-11-25", alice)
		open := func() (n int) {
			synctest.Wait()
			for _, ctx := range streams {
				if ctx.Err() == nil {
					n++
				}
			}
			return n
		}
		for range 70 {
			o.create("must", "well")
			if n := open(); n != 0 {
				t.Fatalf("%d streams of tasks that have ended", n)
			}
		}
		for range 70 {
			o.create("must", "asks")
		}
		if n := open(); n != 64 {
			t.Errorf("%d streams, want 64", n)
		}
		time.Sleep(600 * time.Second)
		if n := open(); n != 0 {
			t.Errorf("%d streams of tasks whose time is over", n)
		}
		o.create("must", "asks")
		if n := open(); n != 1 {
			t.Errorf("%d streams, want 1", n)
		}
		o.s.Close()
		if n := open(); n != 0 {
			t.Errorf("%d streams of a session that is closed", n)
		}
	})
}
