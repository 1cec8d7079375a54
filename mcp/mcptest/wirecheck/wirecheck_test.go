package wirecheck_test

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/fairlead-mcp/fairlead/mcp/mcptest/wirecheck"
)

const modernMeta = `"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{},"io.modelcontextprotocol/clientInfo":{"name":"c","version":"1"}}`

func initialize(version string) []string {
	return []string{
		`client {"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"c","version":"1"}}}`,
		`server {"jsonrpc":"2.0","id":0,"result":{"protocolVersion":"` + version + `","capabilities":{},"serverInfo":{"name":"s","version":"1"}}}`,
		`client {"jsonrpc":"2.0","method":"notifications/initialized"}`,
	}
}

// play records a conversation over pipes, given as lines of side and message.
func play(tap *wirecheck.Tap, lines ...string) {
	in, out := io.Pipe()
	fromServer, toClient := tap.Pipes(wirecheck.Client, in, io.Discard)
	for _, line := range lines {
		side, text, _ := strings.Cut(line, " ")
		if side == "client" {
			_, _ = io.WriteString(toClient, text+"\n")
			continue
		}
		go func() { _, _ = io.WriteString(out, text+"\n") }() // ends when it is read
		_, _ = io.ReadFull(fromServer, make([]byte, len(text)+1))
	}
}

// TestWrongMessages is the broken twin of every check: each wrong message is found,
// and only that.
func TestWrongMessages(t *testing.T) {
	call := `client {"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"t",` + modernMeta + `}}`
	oldCall := `client {"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"t"}}`
	tests := []struct {
		name  string
		lines []string
		want  string // in the problem; "" for none
	}{
		{"fine", []string{call, `server {"jsonrpc":"2.0","id":1,"result":{"resultType":"complete","content":[]}}`}, ""},
		{"no resultType", []string{call, `server {"jsonrpc":"2.0","id":1,"result":{"content":[]}}`}, "resultType"},
		{"no content", []string{call, `server {"jsonrpc":"2.0","id":1,"result":{"resultType":"complete"}}`}, "CallToolResult of 2026-07-28"},
		{"not base64", []string{call, `server {"jsonrpc":"2.0","id":1,"result":{"resultType":"complete","content":[{"type":"image","mimeType":"a/b","data":"*"}]}}`}, "byte"},
		{"no metadata", []string{`client {"jsonrpc":"2.0","id":1,"method":"server/discover","params":{}}`}, "_meta"},
		{"no jsonrpc", []string{`client {"id":1,"method":"server/discover","params":{` + modernMeta + `}}`}, "JSONRPCRequest"},
		{"not JSON", []string{`client {`}, "not a message"},
		{"a method that is gone", []string{`client {"jsonrpc":"2.0","id":1,"method":"logging/setLevel","params":{"level":"info",` + modernMeta + `}}`}, "not of 2026-07-28"},
		{"a method of the extension", []string{`client {"jsonrpc":"2.0","id":1,"method":"tasks/get","params":{"taskId":"x",` + modernMeta + `}}`}, ""},
		{"an answer to nothing", []string{`server {"jsonrpc":"2.0","id":7,"result":{"resultType":"complete"}}`}, "nobody has used"},
		{"a list that asks", []string{
			`client {"jsonrpc":"2.0","id":1,"method":"tools/list","params":{` + modernMeta + `}}`,
			`server {"jsonrpc":"2.0","id":1,"result":{"resultType":"input_required","requestState":"x"}}`,
		}, "cannot ask"},
		{"a question without params", []string{call, `server {"jsonrpc":"2.0","id":1,"result":{"resultType":"input_required","inputRequests":{"a":{"method":"elicitation/create"}}}}`}, "InputRequiredResult"},
		{"an error without what it needs", []string{call, `server {"jsonrpc":"2.0","id":1,"error":{"code":-32022,"message":"no"}}`}, "UnsupportedProtocolVersionError"},
		{"an error without a message", []string{call, `server {"jsonrpc":"2.0","id":1,"error":{"code":-32000}}`}, "message"},
		{"a request of a modern server", []string{call, `server {"jsonrpc":"2.0","id":1,"method":"roots/list","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}}`}, "a server does not send roots/list"},
		{"a progress without a token", []string{`server {"jsonrpc":"2.0","method":"notifications/progress","params":{"progress":1}}`}, "progressToken"},

		{"a ping before anything else", []string{`client {"jsonrpc":"2.0","id":1,"method":"ping"}`, `server {"jsonrpc":"2.0","id":1,"result":{}}`}, ""},
		{"old, fine", append(initialize("2025-03-26"), oldCall, `server {"jsonrpc":"2.0","id":1,"result":{"content":[]}}`), ""},
		{"old, no content", append(initialize("2025-03-26"), oldCall, `server {"jsonrpc":"2.0","id":1,"result":{}}`), "CallToolResult of 2025-03-26"},
		{"old, unreadable request", append(initialize("2025-06-18"), `server {"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"no"}}`), ""},
		{"an array as structured content", append(initialize("2025-06-18"), oldCall, `server {"jsonrpc":"2.0","id":1,"result":{"content":[],"structuredContent":[]}}`), "2025-06-18"},
		{"a question before there were any", append(initialize("2024-11-05"), `server {"jsonrpc":"2.0","id":1,"method":"elicitation/create","params":{"message":"m","requestedSchema":{"type":"object","properties":{}}}}`), "not of 2024-11-05"},
		{"an answer without an action", append(initialize("2025-06-18"),
			`server {"jsonrpc":"2.0","id":1,"method":"elicitation/create","params":{"message":"m","requestedSchema":{"type":"object","properties":{}}}}`,
			`client {"jsonrpc":"2.0","id":1,"result":{"content":{}}}`), "action"},
		{"one of a batch", append(initialize("2025-03-26"), `client [{"jsonrpc":"2.0","id":1,"method":"ping"},{"jsonrpc":"2.0","id":2,"method":"tools/call"}]`), "params"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tap := wirecheck.New()
			play(tap, tt.lines...)
			got := tap.Check(wirecheck.Client, wirecheck.Server).Problems
			switch {
			case tt.want == "" && len(got) > 0:
				t.Errorf("problems %q, want none", got)
			case tt.want != "" && (len(got) != 1 || !strings.Contains(got[0], tt.want)):
				t.Errorf("problems %q, want one with %q", got, tt.want)
			}
		})
	}
}

func TestOnlyOurSideIsChecked(t *testing.T) {
	tap := wirecheck.New()
	play(tap, `server {"jsonrpc":"2.0","method":"notifications/progress"}`)
	if got := tap.Check(wirecheck.Client).Problems; len(got) > 0 {
		t.Errorf("problems of the server: %q", got)
	}
}

// TestHTTP follows a session over several connections, with an answer in JSON and
// one in a stream, and finds the wrong one of each.
func TestHTTP(t *testing.T) {
	answers := map[string]string{
		`initialize"`: `{"jsonrpc":"2.0","id":1,"result":{"protocolVersion":"2025-03-26","capabilities":{},"serverInfo":{"name":"s","version":"1"}}}`,
		"good":        `{"jsonrpc":"2.0","id":2,"result":{"content":[]}}`,
		"bad":         `{"jsonrpc":"2.0","id":3,"result":{"content":1}}`,
	}
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("Mcp-Session-Id", "session")
		for name, answer := range answers {
			if !strings.Contains(string(body), name) {
				continue
			}
			if r.Header.Get("Stream") == "" {
				w.Header().Set("Content-Type", "application/json")
				_, _ = io.WriteString(w, answer)
				return
			}
			w.Header().Set("Content-Type", "text/event-stream")
			fmt.Fprintf(w, "id: 1\ndata:\n\nevent: message\ndata: %s\n\n: bye\n\n", answer)
			return
		}
		w.WriteHeader(http.StatusAccepted)
	})
	call := func(id int, name string) string {
		return fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"method":"tools/call","params":{"name":%q}}`, id, name)
	}
	send := func(t *testing.T, c *http.Client, url, text, session, stream string) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Accept", "application/json, text/event-stream")
		for key, value := range map[string]string{"Mcp-Session-Id": session, "Stream": stream} {
			if value != "" {
				req.Header.Set(key, value)
			}
		}
		res, err := c.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, res.Body)
		res.Body.Close()
	}
	for _, end := range []wirecheck.Side{wirecheck.Client, wirecheck.Server} {
		for _, stream := range []string{"", "yes"} {
			t.Run(fmt.Sprintf("tap at the %s, stream %q", end, stream), func(t *testing.T) {
				tap := wirecheck.New()
				srv := httptest.NewUnstartedServer(handler)
				c := &http.Client{Transport: &http.Transport{}}
				if end == wirecheck.Server {
					srv.Listener = tap.Listener(srv.Listener)
				} else {
					c.Transport = &http.Transport{DialContext: tap.Dial, DisableKeepAlives: true}
				}
				srv.Start()
				send(t, c, srv.URL, `{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"c","version":"1"}}}`, "", "")
				send(t, c, srv.URL, `{"jsonrpc":"2.0","method":"notifications/initialized"}`, "session", "")
				send(t, c, srv.URL, call(2, "good"), "session", stream)
				send(t, c, srv.URL, call(3, "bad"), "session", stream)
				c.CloseIdleConnections()
				srv.Close()

				report := tap.Check(wirecheck.Client, wirecheck.Server)
				if got := report.Problems; len(got) != 1 || !strings.Contains(got[0], "CallToolResult of 2025-03-26") {
					t.Errorf("problems %q, want one of 2025-03-26", got)
				}
				want := map[wirecheck.Kind]int{
					{"2025-11-25", wirecheck.Client, "request", "initialize"}:                     1,
					{"2025-03-26", wirecheck.Server, "result", "initialize"}:                      1,
					{"2025-03-26", wirecheck.Client, "notification", "notifications/initialized"}: 1,
					{"2025-03-26", wirecheck.Client, "request", "tools/call"}:                     2,
					{"2025-03-26", wirecheck.Server, "result", "tools/call"}:                      2,
				}
				if !maps.Equal(report.Seen, want) {
					t.Errorf("seen:\n%s", report)
				}
			})
		}
	}
}

// TestFile reads what another program has recorded, and one that was cut off.
func TestFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "wire")
	for _, line := range []string{`client {"jsonrpc":"2.0","id":1,"method":"ping","params":{` + modernMeta + `}}`, `client {}`} {
		tap, err := wirecheck.ToFile(path)
		if err != nil {
			t.Fatal(err)
		}
		play(tap, line)
		if err := tap.Err(); err != nil {
			t.Error(err)
		}
	}
	tap, err := wirecheck.FromFile(path)
	if err != nil {
		t.Fatal(err)
	}
	all := wirecheck.New()
	play(all, `client {"jsonrpc":"2.0","method":"x"}`)
	all.Add(tap)
	report := all.Check(wirecheck.Client)
	if len(report.Problems) != 2 || len(report.Seen) != 3 {
		t.Errorf("problems %q, seen:\n%s", report.Problems, report)
	}
}

func TestRevisions(t *testing.T) {
	if got := wirecheck.Revisions(); !slices.Equal(got, []string{"2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25", "2026-07-28"}) {
		t.Errorf("revisions %q", got)
	}
	for _, revision := range wirecheck.Revisions() {
		s := wirecheck.Of(revision)
		if s.Requests["tools/call"] == "" || s.Notifications["notifications/progress"] == "" || s.Result("tools/call") != "CallToolResult" {
			t.Errorf("%s: requests %v, notifications %v", revision, s.Requests, s.Notifications)
		}
	}
}
