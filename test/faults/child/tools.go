package main

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"
)

// arguments are what a tool may be told. Each answers with the nonce.
type arguments struct {
	Nonce string `json:"nonce"`
	MS    int    `json:"ms"` // before the answer
	N     int    `json:"n"`
	Kind  string `json:"kind"`
	Pad   string `json:"pad"`
}

type tool struct {
	about      string
	repeatable bool
	do         func(s *server, m *message, out wire, cancelled <-chan struct{})
}

// tools is filled by init, since list reads it for one of them.
var tools map[string]tool

func init() {
	tools = map[string]tool{
		"echo":     {"answer after ms; not when cancelled", false, echo},
		"read":     {"the same, and may be repeated", true, echo},
		"late":     {"answer after ms, cancelled or not", false, late},
		"progress": {"n reports of progress, then the answer", false, progress},
		"twice":    {"answer twice, and to calls that never were", false, twice},
		"garbage":  {"n lines of a kind that is no message, then the answer", false, garbage},
		"huge":     {"a line of n megabytes, then the answer", false, huge},
		"storm":    {"n notifications about nothing, then the answer", false, storm},
		"drip":     {"one byte each ms", false, drip},
		"exit":     {"exit with n", false, func(_ *server, m *message, _ wire, _ <-chan struct{}) { os.Exit(m.Params.Arguments.N) }},
		"closeout": {"close standard output and live on", false, closeout},
		"deaf":     {"answer, then read no more", false, echo}, // the reader itself stops, see serveStdio
		"stderr":   {"n kilobytes of standard error, then the answer", false, flood},
		"spawn":    {"start n processes that stay", false, spawn},
		"leak":     {"keep n megabytes, then the answer", false, leak},
		"rounds":   {"ask for input, again and again", false, rounds},
		"status":   {"over HTTP: the status n", false, echo}, // see serveHTTP, as for the next
		"half":     {"over HTTP: half an answer", false, echo},
		"reset":    {"over HTTP: a reset connection", false, echo},
		"redirect": {"over HTTP: be sent to kind", false, echo},
		"html":     {"over HTTP: a page", false, echo},
	}
}

// call runs a tool.
func (s *server) call(m *message, out wire, cancelled <-chan struct{}) {
	t, ok := tools[m.Params.Name]
	if !ok {
		out.send(fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"error":{"code":-32602,"message":"Unknown tool"}}`, m.ID))
		return
	}
	s.note("call %s", m.Params.Arguments.Nonce)
	t.do(s, m, out, cancelled)
}

// said is the answer of a tool.
func said(m *message) string {
	return result(m, fmt.Sprintf(`"content":[{"type":"text","text":%q}]`, m.Params.Arguments.Nonce))
}

func echo(s *server, m *message, out wire, cancelled <-chan struct{}) {
	if ms := m.Params.Arguments.MS; ms > 0 {
		select {
		case <-cancelled:
			s.note("cancelled %s", m.Params.Arguments.Nonce)
			return
		case <-time.After(time.Duration(ms) * time.Millisecond):
		}
	}
	out.send(said(m))
}

func late(s *server, m *message, out wire, _ <-chan struct{}) {
	time.Sleep(time.Duration(m.Params.Arguments.MS) * time.Millisecond)
	out.send(said(m))
	s.note("late %s", m.Params.Arguments.Nonce)
}

func progress(s *server, m *message, out wire, cancelled <-chan struct{}) {
	for i := range m.Params.Arguments.N {
		if m.Params.Meta.Token != nil {
			out.send(fmt.Sprintf(`{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":%s,"progress":%d,"message":%q}}`, m.Params.Meta.Token, i+1, m.Params.Arguments.Nonce))
		}
	}
	echo(s, m, out, cancelled)
}

func twice(_ *server, m *message, out wire, _ <-chan struct{}) {
	lie := func(id string) {
		out.send(fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"result":{"resultType":"complete","content":[{"type":"text","text":"a lie"}]}}`, id))
	}
	lie(`999999999`)
	lie(`"1"`)
	lie(`null`)
	lie(`1.5`)
	lie(`-1`)
	out.send(said(m))
	out.send(said(m))
	lie(string(m.ID))
}

// kinds are lines that are no message.
var kinds = map[string]string{
	"banner":    "Server running on stdio",
	"empty":     "",
	"partial":   `{"jsonrpc":"2.0","id":`,
	"utf8":      "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/message\",\"params\":{\"level\":\"info\",\"data\":\"\xff\xfe\"}}",
	"nul":       "\x00\x01\x02",
	"array":     `[1,2,3]`,
	"number":    `42`,
	"duplicate": `{"jsonrpc":"2.0","id":1,"id":2,"result":{}}`,
	"deep":      strings.Repeat("[", 100_000),
	"headers":   "Content-Length: 52\r",
	"case":      `{"JSONRPC":"2.0","ID":1,"RESULT":{}}`,
}

func garbage(s *server, m *message, out wire, cancelled <-chan struct{}) {
	line, ok := kinds[m.Params.Arguments.Kind]
	if !ok {
		line = kinds["banner"]
	}
	for range m.Params.Arguments.N {
		out.send(line)
	}
	echo(s, m, out, cancelled)
}

func huge(s *server, m *message, out wire, cancelled <-chan struct{}) {
	line := make([]byte, m.Params.Arguments.N<<20, m.Params.Arguments.N<<20+1)
	for i := range line {
		line[i] = 'x'
	}
	copy(line, `{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":"`)
	out.raw(append(line, '\n'))
	echo(s, m, out, cancelled)
}

func storm(s *server, m *message, out wire, cancelled <-chan struct{}) {
	kinds := []string{
		`{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}`,
		`{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":"storm"}}`,
		`{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":4242424242,"progress":1}}`,
		`{"jsonrpc":"2.0","method":"notifications/resources/updated","params":{"uri":"x://y"}}`,
		`{"jsonrpc":"2.0","method":"notifications/unheard/of"}`,
	}
	for i := range m.Params.Arguments.N {
		if i%100 == 0 {
			select {
			case <-cancelled:
				return
			default:
			}
		}
		out.send(kinds[i%len(kinds)])
	}
	echo(s, m, out, cancelled)
}

func drip(_ *server, m *message, out wire, _ <-chan struct{}) {
	if p, ok := out.(interface {
		drip(b []byte, pause time.Duration)
	}); ok {
		p.drip([]byte(said(m)+"\n"), time.Duration(m.Params.Arguments.MS)*time.Millisecond)
	}
}

func closeout(_ *server, _ *message, _ wire, _ <-chan struct{}) { _ = os.Stdout.Close() }

func flood(s *server, m *message, out wire, cancelled <-chan struct{}) {
	line := strings.Repeat("e", 1023) + "\n"
	for range m.Params.Arguments.N {
		_, _ = os.Stderr.WriteString(line)
	}
	echo(s, m, out, cancelled)
}

func spawn(s *server, m *message, out wire, cancelled <-chan struct{}) {
	for range m.Params.Arguments.N {
		cmd := exec.Command(os.Args[0], "-sleep")
		if err := cmd.Start(); err != nil {
			panic(err)
		}
		go func() { _ = cmd.Wait() }() // ends with the grandchild
		s.note("spawned %d", cmd.Process.Pid)
	}
	echo(s, m, out, cancelled)
}

var kept [][]byte

func leak(s *server, m *message, out wire, cancelled <-chan struct{}) {
	b := make([]byte, m.Params.Arguments.N<<20)
	for i := 0; i < len(b); i += 4096 {
		b[i] = 1 // or it is not really there
	}
	s.mu.Lock()
	kept = append(kept, b)
	s.mu.Unlock()
	echo(s, m, out, cancelled)
}

// rounds never comes to an end: each retry is asked again (2026-07-28), or a call
// that asks its client over and over (2025-11-25).
func rounds(_ *server, m *message, out wire, cancelled <-chan struct{}) {
	if m.modern() {
		out.send(fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"result":{"resultType":"input_required","requestState":"again"}}`, m.ID))
		return
	}
	for i := 0; ; i++ {
		select {
		case <-cancelled:
			return
		case <-time.After(time.Millisecond):
			out.send(fmt.Sprintf(`{"jsonrpc":"2.0","id":"ask-%d","method":"elicitation/create","params":{"message":"again?","requestedSchema":{"type":"object","properties":{}}}}`, i))
		}
	}
}
