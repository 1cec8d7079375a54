package main

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/fairlead-mcp/fairlead/internal/adminapi"
	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/mcp/jsonrpc"
	"github.com/fairlead-mcp/fairlead/mcp/streamhttp"
)

// upgrade replaces the process of the node and returns the new one's id.
func (p *process) upgrade(t *testing.T, u adminapi.Upgrade) int {
	t.Helper()
	out, err := p.admin.Upgrade(t.Context(), u)
	if err != nil {
		t.Fatalf("upgrade: %v", err)
	}
	p.adopt(t, out.PID)
	return out.PID
}

// adopt ends another process with the test.
func (p *process) adopt(t *testing.T, pid int) {
	t.Cleanup(func() {
		if syscall.Kill(pid, syscall.SIGTERM) != nil {
			return
		}
		eventually(t, "the new process to end", func() bool { return !alive(pid) })
	})
}

// alive reports whether a process runs; who adopts orphans here may not reap them.
func alive(pid int) bool {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return syscall.Kill(pid, 0) == nil && !errors.Is(err, os.ErrNotExist)
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	return !strings.HasPrefix(rest, "Z")
}

// pid is that of the node's process, as the admin socket tells it.
func (p *process) pid(t *testing.T) int {
	t.Helper()
	st, err := p.admin.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return st.PID
}

func (p *process) host() string {
	return strings.TrimSuffix(strings.TrimPrefix(p.endpoint, "http://"), "/mcp")
}

// child is the process id of the child that answers a client.
func childOf(t *testing.T, c *mcp.Client) int {
	t.Helper()
	res, err := c.CallTool(t.Context(), "one__pid", struct{}{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(res.Text())
	if err != nil {
		t.Fatal(err)
	}
	return pid
}

// askModern makes a call that asks, and returns its requestState.
func askModern(t *testing.T, c *caller, tool string) string {
	t.Helper()
	res, _, err := c.post(modernCall(tool, "{}", ""), "2026-07-28", "Mcp-Method: tools/call\r\nMcp-Name: "+tool+"\r\n")
	if err != nil {
		t.Fatal(err)
	}
	state, ok := jsonrpc.Unquote(jsonrpc.Get(jsonrpc.Get(res, "result"), "requestState"))
	if !ok {
		t.Fatalf("%s has not asked: %s", tool, res)
	}
	return state
}

// answerModern retries the call with the answer to its question.
func answerModern(t *testing.T, c *caller, tool, state, question string) []byte {
	t.Helper()
	more := fmt.Sprintf(`,"requestState":%q,"inputResponses":{%q:{"action":"accept","content":{"name":"Ada"}}}`, state, question)
	res, _, err := c.post(modernCall(tool, "{}", more), "2026-07-28", "Mcp-Method: tools/call\r\nMcp-Name: "+tool+"\r\n")
	if err != nil {
		t.Fatal(err)
	}
	return res
}

// TestUpgradeUnderLoad: fault F29. The program is replaced while clients of both eras
// call, calls run, a stream is open and a child waits for an answer. Nothing is lost;
// sessions and the question stay with the process that has them until it has drained;
// then sessions are not found, and their clients open new ones.
func TestUpgradeUnderLoad(t *testing.T) {
	p := start(t, "upgrade_grace: 3s")
	old := p.pid(t)
	file := filepath.Join(p.dir, "file")
	var calls []<-chan error
	for _, era := range eras() {
		for range 4 {
			calls = append(calls, waiting(t, p.client(t, "", era, nil), file))
		}
	}
	session := p.client(t, "", streamhttp.EraLegacy, nil)
	oldChild := childOf(t, session)
	sub, err := p.client(t, "", streamhttp.EraModern, nil).Listen(t.Context(), mcp.NotificationFilter{ToolsListChanged: true}, func(mcp.Event) {})
	if err != nil {
		t.Fatal(err)
	}
	raw := &caller{host: p.host()}
	defer raw.close()
	state := askModern(t, raw, "one__ask")
	l := startLoad(t, p.endpoint, 16)

	pid := p.upgrade(t, adminapi.Upgrade{})
	if now := p.pid(t); now != pid || now == old {
		t.Errorf("the admin socket is that of process %d, want the new one, %d", now, pid)
	}
	<-sub.Done()
	if err := sub.Err(); err != nil {
		t.Errorf("the stream ends with %v, want its completion", err)
	}
	if got := childOf(t, session); got != oldChild {
		t.Errorf("a session from before is answered by child %d, want %d", got, oldChild)
	}
	fresh := p.client(t, "", streamhttp.EraModern, nil)
	if got := childOf(t, fresh); got == oldChild {
		t.Errorf("a request without session is answered by the child of the old process")
	}
	res := answerModern(t, raw, "one__ask", state, "name")
	if want := fmt.Sprintf("Hello, Ada, from %d", oldChild); !strings.Contains(string(res), want) {
		t.Errorf("the answer to a question from before the upgrade: %s, want %q", res, want)
	}
	if st, err := p.admin.Status(t.Context()); err != nil || st.Replaces == nil || st.Replaces.PID != old {
		t.Errorf("status does not tell of process %d, which drains: %+v, %v", old, st, err)
	}
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, ended := range calls {
		if err := <-ended; err != nil {
			t.Errorf("a call from before the upgrade: %v", err)
		}
	}
	if code := p.exit(t); code != 0 { // the load's sessions keep it until upgrade_grace is over
		t.Errorf("exit code of the old process %d, want 0", code)
	}
	eventually(t, "the old child to end", func() bool { return !alive(oldChild) })
	after := l.calls.Load()
	eventually(t, "more calls", func() bool { return l.calls.Load() > after+100 })
	l.end()
	l.none(t)
	if n := l.refused.Load(); n != 0 {
		t.Errorf("%d connections were refused", n)
	}
	if n := l.unknown.Load(); n != 8 {
		t.Errorf("%d sessions were not found in the end, want the 8 of the load, each once", n)
	}
	if res := answerModern(t, raw, "one__ask", state, "name"); jsonrpc.Get(res, "error") == nil {
		t.Errorf("an answer for a process that has gone: %s, want an error", res)
	}
	if left, _ := filepath.Glob(filepath.Join(p.dir, "*-"+strconv.Itoa(old)+".sock")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// TestUpgradeKeepsParkedCalls: a child of an old revision has asked in the middle of a
// call; the answer comes after the upgrade and finds it. The handle is that of the
// process that sealed it, and the new one opens what it has sealed itself.
func TestUpgradeKeepsParkedCalls(t *testing.T) {
	p := start(t, "  two: {command: "+os.Args[0]+", era: legacy, instances: principal, env: {"+childEnv+": \"1\", GORACE: atexit_sleep_ms=0}}")
	raw := &caller{host: p.host()}
	defer raw.close()
	question := func() (state, key string) {
		res, _, err := raw.post(modernCall("two__ask", "{}", ""), "2026-07-28", "Mcp-Method: tools/call\r\nMcp-Name: two__ask\r\n")
		if err != nil {
			t.Fatal(err)
		}
		state, _ = jsonrpc.Unquote(jsonrpc.Get(jsonrpc.Get(res, "result"), "requestState"))
		for key := range jsonrpc.Members(jsonrpc.Get(jsonrpc.Get(res, "result"), "inputRequests")) {
			return state, key
		}
		t.Fatalf("no question: %s", res)
		return "", ""
	}
	before, key := question()
	p.upgrade(t, adminapi.Upgrade{})
	after, newKey := question()
	if res := answerModern(t, raw, "two__ask", before, key); !strings.Contains(string(res), "Hello, Ada") {
		t.Errorf("the answer to the question from before: %s", res)
	}
	if res := answerModern(t, raw, "two__ask", after, newKey); !strings.Contains(string(res), "Hello, Ada") {
		t.Errorf("the answer to the question from after: %s", res)
	}
}

// TestUpgradeResumesStreams: a call of a session goes on in the old process while its
// client has no connection, and the client that comes back finds it.
func TestUpgradeResumesStreams(t *testing.T) {
	p := start(t)
	file := filepath.Join(p.dir, "file")
	c := &caller{host: p.host(), era: streamhttp.EraLegacy}
	defer c.close()
	if err := c.call("hello"); err != nil {
		t.Fatal(err)
	}
	body := fmt.Sprintf(`{"jsonrpc":"2.0","id":3,"method":"tools/call","params":{"name":"one__wait","arguments":{"text":%q},"_meta":{"progressToken":1}}}`, file)
	conn, err := net.Dial("tcp", p.host())
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(conn, "POST /mcp HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nAccept: application/json, text/event-stream\r\nMCP-Protocol-Version: 2025-11-25\r\nMcp-Session-Id: %s\r\nContent-Length: %d\r\n\r\n%s", p.host(), c.session, len(body), body)
	id := lineWith(t, bufio.NewReader(conn), "id: ")
	_ = conn.Close()

	p.upgrade(t, adminapi.Upgrade{})
	if conn, err = net.Dial("tcp", p.host()); err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "GET /mcp HTTP/1.1\r\nHost: %s\r\nAccept: text/event-stream\r\nMCP-Protocol-Version: 2025-11-25\r\nMcp-Session-Id: %s\r\nLast-Event-ID: %s\r\n\r\n", p.host(), c.session, strings.TrimPrefix(id, "id: "))
	r := bufio.NewReader(conn)
	lineWith(t, r, "HTTP/1.1 200")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if line := lineWith(t, r, `"result"`); !strings.Contains(line, "done") {
		t.Errorf("the result on the stream that goes on: %s", line)
	}
	if err := c.call("again"); err != nil {
		t.Errorf("the session: %v", err)
	}
}

// lineWith reads until a line that has text.
func lineWith(t *testing.T, r *bufio.Reader, text string) string {
	t.Helper()
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			t.Fatalf("no line with %q: %v", text, err)
		}
		if strings.Contains(line, text) {
			return strings.TrimSpace(line)
		}
	}
}

// TestUpgradeFails: a program or a config that is no good leaves everything as it was,
// and the operator is told why.
func TestUpgradeFails(t *testing.T) {
	p := start(t, "upgrade_grace: 1s")
	pid, child := p.pid(t), childOf(t, p.client(t, "", streamhttp.EraModern, nil))
	l := startLoad(t, p.endpoint, 8)
	script := func(name, text string, mode os.FileMode) string {
		path := filepath.Join(p.dir, name)
		if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text+"\n"), mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	good, err := os.ReadFile(p.config)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name   string
		u      adminapi.Upgrade
		config string // in place of the good one
		want   string
	}{
		{"exits at once", adminapi.Upgrade{Program: script("exits", "exit 3", 0o700)}, "", "exit status 3"},
		{"never ready", adminapi.Upgrade{Program: script("hangs", "exec sleep 1000", 0o700), WaitMillis: 300}, "", "not ready in time"},
		{"not there", adminapi.Upgrade{Program: filepath.Join(p.dir, "nothing")}, "", "no such file"},
		{"not a program", adminapi.Upgrade{Program: script("text", "", 0o600)}, "", "permission denied"},
		{"config is wrong", adminapi.Upgrade{}, "listne: 127.0.0.1:0\n", "listne"},
		{"upstream is broken", adminapi.Upgrade{}, strings.Replace(string(good), os.Args[0], filepath.Join(p.dir, "nothing"), 1), `upstream "one" is ready in the running process and not in the new one`},
		{"address in use", adminapi.Upgrade{}, strings.Replace(string(good), "listen: 127.0.0.1:0", "listen: "+p.host(), 1), "in use by another program"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.config != "" {
				if err := os.WriteFile(p.config, []byte(c.config), 0o600); err != nil {
					t.Fatal(err)
				}
				defer func() {
					if err := os.WriteFile(p.config, good, 0o600); err != nil {
						t.Error(err)
					}
				}()
			}
			_, err := p.admin.Upgrade(t.Context(), c.u)
			if _, refused := errors.AsType[*adminapi.Refused](err); !refused || !strings.Contains(err.Error(), c.want) {
				t.Errorf("upgrade: %v, want a reason with %q", err, c.want)
			}
			if now := p.pid(t); now != pid {
				t.Errorf("the node is process %d now, want %d", now, pid)
			}
			if got := childOf(t, p.client(t, "", streamhttp.EraModern, nil)); got != child {
				t.Errorf("the child is %d now, want %d", got, child)
			}
			if status := p.status("/readyz"); status != http.StatusOK {
				t.Errorf("readyz says %d", status)
			}
		})
	}
	l.end()
	l.none(t)
	if n := l.refused.Load() + l.unknown.Load(); n != 0 {
		t.Errorf("%d calls were refused or have lost their session", n)
	}
	// The state is with the node again.
	if change, err := p.admin.Reload(t.Context()); err != nil {
		t.Errorf("reload after upgrades that failed: %+v, %v", change, err)
	}
	// The same node can still be upgraded.
	p.upgrade(t, adminapi.Upgrade{})
	if code := p.exit(t); code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
}

// TestUpgradeBySignal: SIGUSR2; and one upgrade after the other.
func TestUpgradeBySignal(t *testing.T) {
	p := start(t)
	old := p.pid(t)
	session := &caller{host: p.host(), era: streamhttp.EraLegacy}
	defer session.close()
	if err := session.call("hello"); err != nil {
		t.Fatal(err)
	}
	p.signal(t, syscall.SIGUSR2)
	var second int
	eventually(t, "the new process", func() bool {
		st, err := p.admin.Status(t.Context())
		if err != nil {
			return false
		}
		second = st.PID
		return second != old
	})
	p.adopt(t, second)
	_, err := p.admin.Upgrade(t.Context(), adminapi.Upgrade{})
	if err == nil || !strings.Contains(err.Error(), "still drains: 1 sessions") {
		t.Errorf("an upgrade while the first process has a session: %v, want it refused", err)
	}
	if err := session.call("still"); err != nil {
		t.Errorf("the session: %v", err)
	}
	if _, err := p.admin.Reload(t.Context()); err != nil {
		t.Errorf("reload by the new process: %v", err)
	}
	third := p.upgrade(t, adminapi.Upgrade{Now: true})
	if code := p.exit(t); code != 0 {
		t.Errorf("exit code of the first process %d, want 0", code)
	}
	if err := session.call("gone"); !errors.Is(err, errUnknown) {
		t.Errorf("the session of a process that was ended: %v, want that it is not found", err)
	}
	if err := session.call("fresh"); err != nil {
		t.Errorf("a new session: %v", err)
	}
	eventually(t, "the second process to end", func() bool { return !alive(second) })
	if now := p.pid(t); now != third {
		t.Errorf("the node is process %d, want %d", now, third)
	}
}

// TestUpgradeKeepsPrincipals: the old process learns who calls from the new one, and
// from nobody else.
func TestUpgradeKeepsPrincipals(t *testing.T) {
	// The hashes of "alice's token" and "bob's token".
	p := start(t, `auth: {tokens: [{name: alice, hash: "sha256:`+sum("alice's token")+`"}, {name: bob, hash: "sha256:`+sum("bob's token")+`"}]}`)
	alice := &caller{host: p.host(), era: streamhttp.EraLegacy, header: "Authorization: Bearer alice's token\r\n"}
	defer alice.close()
	if err := alice.call("hello"); err != nil {
		t.Fatal(err)
	}
	p.upgrade(t, adminapi.Upgrade{})
	if err := alice.call("again"); err != nil {
		t.Errorf("the owner of the session: %v", err)
	}
	forged := "Fairlead-Principal: eyJJc3N1ZXIiOiJ0b2tlbiIsIlN1YmplY3QiOiJhbGljZSIsIkNsaWVudCI6IiJ9\r\n"
	for _, c := range []struct{ name, header, want string }{
		{"another caller", "Authorization: Bearer bob's token\r\n", "session not found"},
		{"another caller who says that it is the owner", "Authorization: Bearer bob's token\r\n" + forged, "session not found"},
		{"nobody who says that it is the owner", forged, "status 401"},
	} {
		thief := &caller{host: p.host(), era: streamhttp.EraLegacy, session: alice.session, header: c.header}
		defer thief.close()
		if err := thief.call("mine"); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %s", c.name, err, c.want)
		}
	}
	sockets, _ := filepath.Glob(filepath.Join(p.dir, "*-*.sock"))
	if len(sockets) != 2 {
		t.Errorf("sockets: %v, want that of each process", sockets)
	}
	for _, path := range sockets {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v; want mode 0600", path, info.Mode(), err)
		}
	}
}
