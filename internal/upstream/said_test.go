package upstream

// These tests are inside for the clock of the log's limit.

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func TestPrintable(t *testing.T) {
	for in, want := range map[string]string{
		"plain\ttext, äöü €":             "plain\ttext, äöü €",
		"\x1b[31mred\x1b[0m\r\n":         `\x1b[31mred\x1b[0m\r\n`,
		"bad \xff\xfe utf-8\x00":         `bad \xff\xfe utf-8\x00`,
		"\u202eevil\u2066 \u2028 \ufeff": `\u202eevil\u2066 \u2028 \ufeff`,
		strings.Repeat("x", 30):          strings.Repeat("x", 20) + "...",
	} {
		most := 4096
		if strings.HasPrefix(in, "xxx") {
			most = 20
		}
		if got := printable([]byte(in), most); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

func TestStandardErrorIsLimited(t *testing.T) {
	var out bytes.Buffer
	var dropped atomic.Uint64
	s := newSaid(slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug})), &dropped)
	now := time.Unix(1000, 0)
	s.now = func() time.Time { return now }
	for i := range 1000 {
		s.stderr(fmt.Appendf(nil, "line %d", i))
	}
	if n := strings.Count(out.String(), "msg=stderr"); n < saidBurst || n > saidBurst+1 {
		t.Errorf("%d lines at once", n)
	}
	logged := strings.Count(out.String(), "msg=stderr")
	if got := int(dropped.Load()); got != 1000-logged {
		t.Errorf("%d lines are missing, %d were counted", 1000-logged, got)
	}
	now = now.Add(time.Second)
	for range 100 {
		s.stderr([]byte("later"))
	}
	if n := strings.Count(out.String(), "line=later"); n < 19 || n > 21 {
		t.Errorf("%d lines a second later", n)
	}
	if !strings.Contains(out.String(), fmt.Sprintf("were dropped\" lines=%d", 1000-logged)) {
		t.Error("nobody is told of the dropped lines")
	}
	if len(s.last) != saidLast || s.last[saidLast-1] != "later" {
		t.Errorf("last words %q", s.last)
	}
}
